"""IPD-FER: "Disentangling Identity and Pose for Facial Expression Recognition" (Jiang, Deng; IEEE Trans. Affective
Computing).

Three encoders give a face's identity, pose and expression as vectors of one width; a decoder draws the face from their
sum. Without the expression's part the drawing has to be the same person in the same pose, neutral.

Readings of what the paper leaves open, each a field of `IPDFERConfig` where there is a choice:

- All four encoders (E_id, E_pose, E_exp and the one inside D) are the same network and start from the same
  face-recognition weights. The paper's ResNet-18, trained on CASIA-WebFace, cannot be shipped: by default the zoo's own
  identity network serves (`identity="dlib_resnet"`, vectors of 128), and a path of ResNet-18 weights gives the paper's
  networks (vectors of 512).
- N of equation 2 is that same frozen network. Norms in equations 1 and 2 are means over entries (`norm`).
- Algorithm 1: line 2 trains E_pose, C_p, E_exp and C_exp with L_c + beta1 L_cos; line 3 trains D on real images with
  equation 8 (the listing prints L^f_exp); line 4 trains E_pose, E_exp and G_dec with equation 12, which already holds
  beta2 L_confusion (the listing adds it again), while D, C_exp and C_p stand still. The encoders so move twice a step.
- L_confusion moves E_exp through a C_p that stands still. Where a face's pose is not known, it takes part in everything
  but L_pose.
- E_exp may be two networks whose vectors are averaged (`expression_networks`): one that starts as the identity network,
  like the paper's, and a fine one, which takes the pixels of a small face as they are and starts at random.
- The decoder: 1 -> h/16 by a transposed convolution over the whole map, then four doublings, each with instance norm,
  ReLU and a residual block; a 3x3 convolution and tanh at the end.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasfer.expressions import UNKNOWN, Expression
from kerasfer.layers import InstanceNormalization, conv_norm_relu
from kerasfer.losses import absolute_cosine, cross_entropy_from_logits, hits, l1_distance
from kerasfer.models.base import FERModel, ModelConfig, OptimizerPlan, copy_weights, in_batches, is_path, ours
from kerasfer.optimizers import FusedAdam

__all__ = ["IPDFER", "IPDFERConfig"]

PARTS = ("identity", "pose", "expression")
VARIANTS = ("ipd_fer", "id_fer", "baseline")
EXPRESSION_NETWORKS = {"identity": "expression_encoder", "fine": "fine_encoder"}
"""What E_exp may consist of -> the network's name."""


@dataclasses.dataclass(frozen=True)
class IPDFERConfig(ModelConfig):
    """Fields of IPD-FER; the defaults are the paper's.

    Attributes:
        variant: "ipd_fer"; "id_fer", which leaves out E_pose, C_p and their losses (the paper's CK+ model and
            ablation); or "baseline", E_exp and C_exp alone: the face-recognition network fine-tuned.
        identity: where E_id's weights come from: "dlib_resnet", the path of a ResNet-18 state dict (see
            `kerasfer.backbones.resnet`), or "untrained": a ResNet-18 with random weights, for tests.
        encoder_size: side in pixels that the dlib network scales faces to in E_pose, E_exp and D.
        identity_size: the same in E_id, whose weights were trained at 150.
        encoder_blocks: how many of the dlib network's 14 residual blocks E_pose, E_exp and D have. The last halves the
            map once more: at an encoder_size of 112 or less it would have nothing left to look at.
        encoder_norm: whether batch normalization follows each convolution of E_pose, E_exp and D if they are the dlib
            network. A ResNet-18 has it anyway. It starts as what the first batch of the training asks for.
        expression_networks: what E_exp consists of: "identity", the same network as E_id, "fine", a ResNet for small
            images (`kerasfer.backbones.resnet.build_small_resnet`), or both, whose vectors are averaged.
        fine_width: channels of the fine network's first stage.
        encoder_width: channels of ResNet-18's first stage; 64 in the paper.
        features: width of ResNet-18's vectors; 512 in the paper.
        decoder_channels: of G_dec's five blocks.
        pose_classes: K_P.
        pose_units: how many numbers f_pose comes from, by a linear map; 0 for what E_pose's last layer has.
        lambda_neutral, lambda_expression, lambda_identity, lambda_reconstruction: lambda1 to lambda4 of equation 11.
        beta_cosine, beta_confusion: beta1 and beta2 of equation 12.
        norm: "mean" or "sum" over entries in equations 1 and 2.
        identity_scale: what E_id's vectors are multiplied by. dlib's vary ten times less from face to face than the
            other two parts come to do, and the decoder would not see them in the sum.
        mixup: the baseline, and line 2 of Algorithm 1, learn from each image with up to this share of another in it,
            and of the other's expression label (after Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018,
            with uniform shares); identity and pose stay those of the first. 0 for none.
        weight_decay: the baseline's: at each step every weight loses this share of it, times the learning rate
            (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019); 0 for none.
        decoder_rate: learning rate of G_dec over that of the others, which may start from a trained baseline.
    """

    image_size: int = 112
    channels: int = 3
    pixel_range: str = "signed"
    batch_size: int = 32
    epochs: int = 30
    learning_rate: float = 1e-4
    schedule: str = "steps"
    variant: str = "ipd_fer"
    identity: str = ours("dlib_resnet", "released weights are not the project's to ship", is_path)
    encoder_size: int = ours(150, "the dlib network in place of ResNet-18")
    identity_size: int = ours(150, "fewer pixels cost less, and tell people apart less surely")
    encoder_blocks: int = ours(14, "the dlib network in place of ResNet-18")
    encoder_norm: bool = ours(True, "the dlib network in place of ResNet-18")
    expression_networks: tuple[str, ...] = ours(("identity",), "small faces seen as they are")
    fine_width: int = ours(48, "small faces seen as they are")
    encoder_width: int = 64
    features: int = 512
    decoder_channels: tuple[int, ...] = (512, 256, 128, 64, 32)
    pose_classes: int = 5
    pose_units: int = ours(0, "a pose is a few numbers; more hold the whole face")
    lambda_neutral: float = 0.001
    lambda_expression: float = 0.001
    lambda_identity: float = 1.0
    lambda_reconstruction: float = 10.0
    beta_cosine: float = 0.5
    beta_confusion: float = 1.0
    norm: str = "mean"
    identity_scale: float = ours(1.0, "dlib's vectors vary less than the other parts")
    mixup: float = ours(0.0, "less overfitting")
    weight_decay: float = ours(0.0, "less overfitting")
    decoder_rate: float = ours(1.0, "the encoders may start from a trained baseline")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.variant in VARIANTS, f"variant is one of {', '.join(VARIANTS)}")
        self._require(self.norm in ("mean", "sum"), "norm is mean or sum")
        self._require(self.decoder_rate > 0, "decoder_rate is positive")
        self._require(self.pose_units >= 0, "pose_units are not negative")
        self._require(self.identity_scale > 0, "identity_scale is positive")
        self._require(0 <= self.mixup <= 0.5, "mixup lies in [0, 0.5]")
        self._require(self.weight_decay >= 0, "weight_decay is not negative")
        self._require(
            self.expression_networks in (("identity",), ("fine",), ("identity", "fine")),
            "expression_networks are identity, fine, or identity,fine",
        )
        self._require(self.fine_width >= 2, "fine_width is at least 2")
        self._require(self.image_size % 16 == 0, "image_size is a multiple of 16")
        self._require(len(self.decoder_channels) == 5, "decoder_channels are five numbers")
        self._require(self.pixel_range == "signed", "pixel_range is signed: the decoder ends in tanh")

    @classmethod
    def small(cls) -> IPDFERConfig:
        return cls(
            image_size=48,
            channels=1,
            precision="mixed_bfloat16",
            epochs=4,
            encoder_size=96,
            encoder_blocks=11,
            decoder_channels=(256, 128, 64, 32, 16),
        )

    @classmethod
    def tiny(cls) -> IPDFERConfig:
        return cls(
            image_size=32,
            channels=1,
            batch_size=4,
            epochs=1,
            schedule="constant",
            identity="untrained",
            encoder_width=4,
            features=8,
            decoder_channels=(8, 8, 6, 4, 4),
        )

    def baseline(self) -> IPDFERConfig:
        """The paper's baseline of the same size: E_exp and C_exp alone."""
        return dataclasses.replace(self, variant="baseline")

    def recognizing(self) -> IPDFERConfig:
        return self.baseline()

    def without_pose(self) -> IPDFERConfig:
        """ID-FER."""
        return dataclasses.replace(self, variant="id_fer")

    def without_discriminator(self) -> IPDFERConfig:
        """The ablation of Table 9 in which D judges nothing: lambda1 and lambda2 are zero."""
        return dataclasses.replace(self, lambda_neutral=0.0, lambda_expression=0.0)


@keras.saving.register_keras_serializable("kerasfer")
class DecoderBlock(keras.layers.Layer):
    """Transposed convolution, instance norm, ReLU, residual block x + IN(conv(ReLU(IN(conv(x))))).

    The last norm starts with a gamma of zero, so that the residual block starts as nothing.

    Args:
        filters: number of output channels.
        kernel_size: of the transposed convolution.
        strides: of the transposed convolution; 1 lets a 1 x 1 map grow to kernel_size x kernel_size.

    Input: float (n, h, w, c). Output: float (n, h * strides, w * strides, filters); (n, k, k, filters) for strides 1.
    """

    def __init__(self, filters: int, kernel_size: int, strides: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides

    def build(self, input_shape: tuple) -> None:
        padding = "same" if self.strides > 1 else "valid"
        policy = self.dtype_policy
        self.grow = keras.layers.Conv2DTranspose(
            self.filters, self.kernel_size, self.strides, padding, use_bias=False, name="grow", dtype=policy
        )
        self.norm1 = InstanceNormalization(relu=True, name="norm1", dtype=policy)
        self.conv2 = keras.layers.Conv2D(self.filters, 3, padding="same", use_bias=False, name="conv2", dtype=policy)
        self.norm2 = InstanceNormalization(gamma_initializer="zeros", name="norm2", dtype=policy)
        self.grow.build(input_shape)
        grown = self.compute_output_shape(input_shape)
        for layer in (self.norm1, self.conv2, self.norm2):
            layer.build(grown)
        shape = (3, 3, self.filters, self.filters)
        self.kernel = self.add_weight(shape, initializer="glorot_uniform", name="kernel")
        self.gamma = self.add_weight((self.filters,), initializer="ones", name="gamma", autocast=False)
        self.beta = self.add_weight((self.filters,), initializer="zeros", name="beta", autocast=False)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = self.norm1(self.grow(inputs), training=training)
        residual = conv_norm_relu(x, self.kernel, self.gamma, self.beta, self.norm1.epsilon, training=training)
        return x + self.norm2(self.conv2(residual), training=training)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        if self.strides == 1:
            return (input_shape[0], self.kernel_size, self.kernel_size, self.filters)
        return (input_shape[0], input_shape[1] * self.strides, input_shape[2] * self.strides, self.filters)

    def get_config(self) -> dict:
        config = {"filters": self.filters, "kernel_size": self.kernel_size, "strides": self.strides}
        return {**super().get_config(), **config}


def build_encoder(config: IPDFERConfig, name: str) -> keras.Model:
    """E_id, E_pose, E_exp and the body of D: image (h, w, c) to a vector, float (d,)."""
    if config.identity == "dlib_resnet":
        from kerasfer.backbones.dlib_resnet import build_dlib_resnet, load_dlib_weights
        from kerasfer.backbones.identity import LIFT

        whole = name == "identity_encoder"
        encoder = build_dlib_resnet(
            name,
            config.image_size,
            config.channels,
            config.pixel_range,
            internal_size=config.identity_size if whole else config.encoder_size,
            blocks=14 if whole else config.encoder_blocks,
            lift=LIFT if whole else 0.0,
            normalized=config.encoder_norm and not whole,
        )
        load_dlib_weights(encoder)
        return _scaled(encoder, config.identity_scale) if whole else encoder
    from kerasfer.backbones.resnet import build_resnet18, load_resnet18_weights

    shape = (config.image_size, config.image_size, config.channels)
    encoder = build_resnet18(name, shape, width=config.encoder_width, features=config.features)
    if config.identity != "untrained":
        load_resnet18_weights(encoder, config.identity)
    return _scaled(encoder, config.identity_scale) if name == "identity_encoder" else encoder


def code_width(config: IPDFERConfig) -> int:
    """Numbers in each part of the code: those of the identity network."""
    if config.identity != "dlib_resnet":
        return config.features
    from kerasfer.backbones.dlib_resnet import DESCRIPTOR

    return DESCRIPTOR


def build_fine_encoder(config: IPDFERConfig, image: keras.KerasTensor | None = None) -> keras.Model:
    """The fine network of E_exp, on an image if it is given: image (h, w, c) to a vector, float32 (d,)."""
    from kerasfer.backbones.resnet import build_small_resnet

    shape = (config.image_size, config.image_size, config.channels)
    name = EXPRESSION_NETWORKS["fine"]
    body = build_small_resnet(name, shape, config.fine_width, inputs=image, prefix=f"{name}_")
    vector = keras.layers.Dense(code_width(config), name=f"{name}_vector", dtype="float32")(body.output)
    return keras.Model(body.input, vector, name=name)


def _scaled(encoder: keras.Model, scale: float) -> keras.Model:
    if scale == 1.0:
        return encoder
    vector = keras.layers.Rescaling(scale, dtype="float32", name="scale")(encoder.output)
    return keras.Model(encoder.input, vector, name=encoder.name)


def _narrowed(encoder: keras.Model, config: IPDFERConfig) -> keras.Model:
    """E_pose, its vector led through `pose_units` numbers: image to a vector, float32 (d,)."""
    if not config.pose_units:
        return encoder
    narrow = keras.layers.Dense(config.pose_units, dtype="float32", name=f"{encoder.name}_narrow")(encoder.output)
    vector = keras.layers.Dense(code_width(config), dtype="float32", name=f"{encoder.name}_vector")(narrow)
    return keras.Model(encoder.input, vector, name=encoder.name)


def build_classifier(vector: keras.KerasTensor, classes: int, name: str) -> keras.Model:
    """C_exp, C_p and the end of D, on a vector: that to logits, float32 (n, classes), by one fully-connected layer."""
    logits = keras.layers.Dense(classes, dtype="float32", name="fc")(vector)
    return keras.Model(vector, logits, name=name)


def build_decoder(config: IPDFERConfig, width: int) -> keras.Model:
    """G_dec: a vector to an image (h, w, c), float32 in [-1, 1]."""
    vector = keras.Input((width,), name="features")
    x = keras.layers.Reshape((1, 1, width), name="map")(vector)
    for number, channels in enumerate(config.decoder_channels):
        kernel, strides = (config.image_size // 16, 1) if number == 0 else (4, 2)
        x = DecoderBlock(channels, kernel, strides, name=f"block{number + 1}")(x)
    x = keras.layers.Conv2D(config.channels, 3, padding="same", name="to_image")(x)
    image = keras.layers.Activation("tanh", dtype="float32", name="tanh")(x)
    return keras.Model(vector, image, name="decoder")


@keras.saving.register_keras_serializable("kerasfer")
class IPDFER(FERModel):
    """IPD-FER, ID-FER or their baseline.

    Networks: identity_encoder (E_id, frozen), pose_encoder, expression_encoder and fine_encoder (E_exp, one of them or
    both), expression_classifier (C_exp), pose_classifier (C_p), decoder (G_dec), discriminator_encoder and
    discriminator_head (D). ID-FER has no pose_encoder and pose_classifier; the baseline has the expression's alone.
    """

    Config = IPDFERConfig
    config: IPDFERConfig
    controls = ("photos",)

    def __init__(self, config: IPDFERConfig) -> None:
        super().__init__(config)
        self.frozen = ("identity_encoder",) if self.generates else ()

    @classmethod
    def batch_kind_of(cls, config: IPDFERConfig) -> str:
        return "images_with_pose" if config.variant == "ipd_fer" else "images"

    @property
    def generates(self) -> bool:
        """Whether the variant has a decoder."""
        return self.config.variant != "baseline"

    @property
    def knows_pose(self) -> bool:
        """Whether the variant has a pose encoder."""
        return self.config.variant == "ipd_fer"

    @property
    def feature_layer(self) -> str:
        """The last layer of E_exp."""
        return self._expression_encoder.layers[-1].name

    @property
    def neutral_class(self) -> int | None:
        """Number of the class that means neutral; None if there is none."""
        number = self.label_space.find(Expression.NEUTRAL)
        return None if number == UNKNOWN else number

    def omissions(self) -> tuple[str, ...]:
        if not self.generates or self.neutral_class is not None:
            return ()
        return (
            f"no class of {', '.join(self.label_space.labels)} is neutral: L_neu (equation 9) and the part of the "
            "reconstruction that is for neutral faces (equation 1) are left out",
        )

    @property
    def expression_encoders(self) -> tuple[str, ...]:
        """Names of the networks that E_exp consists of."""
        return tuple(EXPRESSION_NETWORKS[name] for name in self.config.expression_networks)

    def _whole_expression_encoder(self, encoders: list[keras.Model]) -> keras.Model:
        """E_exp, of the layers of its networks, which share their input: image to a vector."""
        if len(encoders) == 1:
            return encoders[0]
        rows = [
            keras.layers.Reshape((1, -1), dtype="float32", name=f"{encoder.name}_row")(encoder.output)
            for encoder in encoders
        ]
        # Not keras.layers.Average: TFLite's converter would fold its factor into a layer before it, whose bias it then
        # leaves in floats among integers.
        stacked = keras.layers.Concatenate(1, dtype="float32", name="stack")(rows)
        mean = keras.layers.GlobalAveragePooling1D(dtype="float32", name="mean")(stacked)
        return keras.Model(encoders[0].input, mean, name="expression")

    def _encoder(self, part: str) -> keras.Model:
        return self._expression_encoder if part == "expression" else self.networks[f"{part}_encoder"]

    @property
    def parts(self) -> tuple[str, ...]:
        """Those of identity, pose and expression that the variant encodes."""
        return tuple(part for part in PARTS if part == "expression" or f"{part}_encoder" in self.networks)

    def build_networks(self) -> dict[str, keras.Model]:
        config = self.config
        expressions = len(config.expressions)
        networks = {}
        if "identity" in config.expression_networks:
            networks["expression_encoder"] = build_encoder(config, "expression_encoder")
        if "fine" in config.expression_networks:
            shared = networks["expression_encoder"].input if networks else None
            networks["fine_encoder"] = build_fine_encoder(config, shared)
        self._expression_encoder = self._whole_expression_encoder(list(networks.values()))
        code = self._expression_encoder.output
        networks["expression_classifier"] = build_classifier(code, expressions, "expression_classifier")
        if not self.generates:
            return networks
        if self.knows_pose:
            pose = networks["pose_encoder"] = _narrowed(build_encoder(config, "pose_encoder"), config)
            networks["pose_classifier"] = build_classifier(pose.output, config.pose_classes, "pose_classifier")
        identity = build_encoder(config, "identity_encoder")
        identity.trainable = False
        decoder = build_decoder(config, code_width(config))
        judge = build_encoder(config, "discriminator_encoder")
        return {
            **networks,
            "identity_encoder": identity,
            "decoder": decoder,
            "discriminator_encoder": judge,
            "discriminator_head": build_classifier(judge.output, expressions, "discriminator_head"),
        }

    def optimizer_plans(self) -> dict[str, OptimizerPlan]:
        if not self.generates:
            make = functools.partial(FusedAdam, weight_decay=self.config.weight_decay or None)
            return {"classification": OptimizerPlan((*self.expression_encoders, "expression_classifier"), make)}
        pose = self.knows_pose
        return {
            "encoders": OptimizerPlan((*self.expression_encoders, *(["pose_encoder"] if pose else [])), updates=2),
            "classifiers": OptimizerPlan(("expression_classifier", *(["pose_classifier"] if pose else []))),
            "decoder": OptimizerPlan(("decoder",), rate=self.config.decoder_rate),
            "discriminator": OptimizerPlan(("discriminator_encoder", "discriminator_head")),
        }

    def weight_groups(self) -> dict[str, tuple[str, ...]]:
        groups: dict[str, tuple[str, ...]] = {"recognizer": (*self.expression_encoders, "expression_classifier")}
        if self.generates:
            pose = ("pose_encoder", "pose_classifier") if self.knows_pose else ()
            groups["generator"] = (*pose, "decoder")
            groups["identity"] = ("identity_encoder",)
            groups["training"] = ("discriminator_encoder", "discriminator_head")
        return groups

    def given_groups(self) -> tuple[str, ...]:
        return ("identity",) if self.generates and self.config.identity == "dlib_resnet" else ()

    def portable_config(self) -> IPDFERConfig:
        portable = self.config.identity in ("dlib_resnet", "untrained")
        return self.config if portable else dataclasses.replace(self.config, identity="untrained")

    def loss_terms(self) -> tuple[str, ...]:
        if not self.generates:
            return ("expression", "accuracy")
        pose = ("pose", "confusion", "pose_accuracy") if self.knows_pose else ()
        return (
            "expression",
            "cosine",
            "discriminator",
            *(("neutral_adversarial",) if self.neutral_class is not None else ()),
            "expression_adversarial",
            "identity",
            "reconstruction",
            *pose,
            "accuracy",
        )

    def generator(self) -> keras.Model | None:
        """G_dec and its encoders: "face" (identity, pose) and "expression", (h, w, c) each, to "image"."""
        if not self.generates:
            return None
        shape = self.image_spec.shape
        face, expression = keras.Input(shape, name="face"), keras.Input(shape, name="expression")
        parts = [self.networks["identity_encoder"](face), self._expression_encoder(expression)]
        if self.knows_pose:
            parts.append(self.networks["pose_encoder"](face))
        image = self.networks["decoder"](keras.layers.Add(dtype="float32", name="whole")(parts))
        return keras.Model({"face": face, "expression": expression}, {"image": image}, name="generator")

    def generator_inputs(self, faces: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
        return {"face": faces, "expression": faces[np.random.default_rng(seed).permutation(len(faces))]}

    # -- one training step ---------------------------------------------------------------------------------------------

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        batch = self.as_batch(batch)
        images, labels = batch["image"], batch["label"]
        if not self.generates:
            self._train_baseline(images, labels)
        else:
            identity = tf.cast(self.networks["identity_encoder"](images, training=False), tf.float32)
            pose_labels = batch["pose_label"] if self.knows_pose else None
            self._train_classification(images, labels, pose_labels, identity)
            self._train_discriminator(images, labels)
            self._train_generator(images, labels, pose_labels, identity)
        self.step.assign_add(1)
        return self.result()

    def _train_baseline(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        images, labels = self._mixed(images, labels)
        with tf.GradientTape() as tape:
            logits = self.expression_logits(self._encode("expression", images, True), True)
            loss = self.mean_over_batch(cross_entropy_from_logits(labels, logits))
        self.minimize("classification", loss, tape)
        self.report(expression=loss, accuracy=self.mean_over_batch(hits(labels, logits)))

    def _mixed(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Each image and label with a share of its neighbor's, as `mixup` says."""
        if not self.config.mixup:
            return images, labels
        shares = self.config.mixup * self.uniform((tf.shape(images)[0], 1, 1, 1), 0)
        return (
            images + shares * (tf.roll(images, 1, 0) - images),
            labels + shares[:, 0, 0] * (tf.roll(labels, 1, 0) - labels),
        )

    def _train_classification(
        self, images: tf.Tensor, labels: tf.Tensor, pose_labels: tf.Tensor | None, identity: tf.Tensor
    ) -> None:
        """Line 2 of Algorithm 1: L_c + beta1 L_cos."""
        images, labels = self._mixed(images, labels)
        with tf.GradientTape() as tape:
            terms, features = self._classification_terms(images, labels, pose_labels, identity, True)
            loss = tf.add_n(list(terms.values()))
        self.minimize(("encoders", "classifiers"), loss, tape)
        self.report(**terms, accuracy=self.mean_over_batch(hits(labels, features["expression_logits"])))
        if pose_labels is not None:
            known = tf.cast(pose_labels >= 0, tf.float32)
            right = tf.equal(tf.argmax(features["pose_logits"], -1, tf.int32), pose_labels)
            self.report(pose_accuracy=self.mean_over_batch(_over_known(tf.cast(right, tf.float32), known)))

    def _classification_terms(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        pose_labels: tf.Tensor | None,
        identity: tf.Tensor,
        training: bool,
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """L_c, Equation 7, and beta1 L_cos, Equation 3, term by term; and the features they were computed from."""
        features = {"expression": self._encode("expression", images, training)}
        features["expression_logits"] = self.expression_logits(features["expression"], training)
        terms = {
            # Equation 5.
            "expression": self.mean_over_batch(cross_entropy_from_logits(labels, features["expression_logits"])),
            "cosine": self.config.beta_cosine * self.mean_over_batch(absolute_cosine(identity, features["expression"])),
        }
        if pose_labels is not None:
            features["pose"] = self._encode("pose", images, training)
            features["pose_logits"] = self.networks["pose_classifier"](features["pose"], training=training)
            known = tf.cast(pose_labels >= 0, tf.float32)
            # Equation 6.
            loss = cross_entropy_from_logits(tf.maximum(pose_labels, 0), features["pose_logits"])
            terms["pose"] = self.mean_over_batch(_over_known(loss, known))
        return terms, features

    def _train_discriminator(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """Line 3, Equation 8: D learns the expressions of real images."""
        with tf.GradientTape() as tape:
            loss = self.mean_over_batch(cross_entropy_from_logits(labels, self.discriminate(images, True)))
        self.minimize("discriminator", loss, tape)
        self.report(discriminator=loss)

    def _train_generator(
        self, images: tf.Tensor, labels: tf.Tensor, pose_labels: tf.Tensor | None, identity: tf.Tensor
    ) -> None:
        """Line 4, Equation 12: the encoders and the decoder; D, C_exp and C_p stand still."""
        config = self.config
        neutral_class = self.neutral_class
        with tf.GradientTape() as tape:
            terms, features = self._classification_terms(images, labels, pose_labels, identity, True)
            base = identity + tf.cast(features["pose"], tf.float32) if pose_labels is not None else identity
            whole = base + tf.cast(features["expression"], tf.float32)
            generated = self.networks["decoder"](tf.concat([base, whole], 0), training=True)
            neutral, expressional = tf.split(generated, 2)
            # Equation 1: the second part counts for neutral faces only.
            reconstruction = l1_distance(expressional, images, config.norm)
            if neutral_class is not None:
                is_neutral = tf.cast(tf.equal(tf.argmax(labels, -1, tf.int32), neutral_class), tf.float32)
                reconstruction += is_neutral * l1_distance(neutral, images, config.norm)
            # Equation 2: N is E_id, so N(x) is f_id.
            seen = tf.cast(self.networks["identity_encoder"](generated, training=False), tf.float32)
            identity_distance = tf.add_n(tf.split(l1_distance(seen, tf.tile(identity, [2, 1]), config.norm), 2))
            # Equation 9 and Equation 10; with lambda1 to lambda4 their sum with the next two is Equation 11.
            on_neutral, on_expressional = tf.split(self.discriminate(generated, False), 2)
            if neutral_class is not None:
                neutral_labels = tf.fill(tf.shape(labels)[:1], neutral_class)
                terms["neutral_adversarial"] = config.lambda_neutral * self.mean_over_batch(
                    cross_entropy_from_logits(neutral_labels, on_neutral)
                )
            terms["expression_adversarial"] = config.lambda_expression * self.mean_over_batch(
                cross_entropy_from_logits(labels, on_expressional)
            )
            terms["identity"] = config.lambda_identity * self.mean_over_batch(identity_distance)
            terms["reconstruction"] = config.lambda_reconstruction * self.mean_over_batch(reconstruction)
            if pose_labels is not None:
                # Equation 4: against the uniform distribution.
                logits = self.networks["pose_classifier"](features["expression"], training=False)
                uniform = tf.ones_like(logits) / config.pose_classes
                terms["confusion"] = config.beta_confusion * self.mean_over_batch(
                    cross_entropy_from_logits(uniform, logits)
                )
            loss = tf.add_n(list(terms.values()))
        self.minimize(("encoders", "decoder"), loss, tape)
        reported = set(terms) - {"expression", "cosine", "pose"}
        self.report(**{name: value for name, value in terms.items() if name in reported})

    def _encode(self, part: str, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self._encoder(part)(images, training=training)

    def expression_logits(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
        """C_exp before its softmax, float32 (n, K), of f_exp, float (n, d)."""
        return self.networks["expression_classifier"](features, training=training)

    def discriminate(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """D before its softmax, float32 (n, K)."""
        features = self.networks["discriminator_encoder"](images, training=training)
        return self.networks["discriminator_head"](features, training=training)

    def prepare(self, batch: dict[str, tf.Tensor]) -> None:
        if self.config.identity == "dlib_resnet":
            from kerasfer.backbones.dlib_resnet import calibrate_normalization

            for name in ("expression_encoder", "pose_encoder", "discriminator_encoder"):
                if name in self.networks:
                    calibrate_normalization(self.networks[name], batch["image"])

    def start_from(self, other: FERModel) -> None:
        """Copies the networks that both have; from a baseline, or a model saved without D, D starts as its recognizer.

        The paper starts every encoder from the identity network. Where E_exp has a fine network beside it, that of a
        model with a fine network alone joins: C_exp stays, and then says the mean of what both say (before the
        softmax).
        """
        if len(self.expression_encoders) > 1 and set(other.networks) == {"fine_encoder", "expression_classifier"}:
            copy_weights(other.networks["fine_encoder"], self.networks["fine_encoder"])
            _read_by(
                self.networks["expression_classifier"].get_layer("fc"),
                other.networks["expression_classifier"].get_layer("fc"),
                self.networks["fine_encoder"].get_layer("fine_encoder_vector"),
            )
            return
        super().start_from(other)
        given = set(other.networks) - set(other.left_out())
        if (
            "discriminator_encoder" in self.networks
            and "discriminator_encoder" not in given
            and "expression_encoder" in given
        ):
            copy_weights(other.networks["expression_encoder"], self.networks["discriminator_encoder"])
            copy_weights(other.networks["expression_classifier"], self.networks["discriminator_head"])

    # -- synthesis -----------------------------------------------------------------------------------------------------

    def encode(self, part: str, images: np.ndarray) -> np.ndarray:
        """f_id, f_pose or f_exp, float32 (n, d).

        Args:
            part: "identity", "pose" or "expression".
            images: float32 (n, h, w, c) in [-1, 1].

        Raises:
            ValueError: a part that the variant does not have, or images of another shape.
        """
        if part not in self.parts:
            raise ValueError(f"{self.config.variant} encodes {', '.join(self.parts)}, not {part!r}")
        return in_batches(self._encoder(part), self.checked(images))

    def codes(self, images: np.ndarray) -> dict[str, np.ndarray]:
        return {part: self.encode(part, images) for part in reversed(self.parts)}

    def encode_faces(self, faces: np.ndarray, poses: np.ndarray | None = None) -> np.ndarray:
        """f_id + f_pose, or f_id for ID-FER: float32 (n, d).

        Args:
            faces: whose identity to take, float32 (n, h, w, c) in [-1, 1].
            poses: whose pose to take, like `faces`; by default that of the faces.
        """
        identity = self.encode("identity", faces)
        return identity + self.encode("pose", faces if poses is None else poses) if self.knows_pose else identity

    def encode_expressions(self, images: np.ndarray) -> np.ndarray:
        """f_exp, float32 (n, d), of images float32 (n, h, w, c) in [-1, 1]."""
        return self.encode("expression", images)

    def decode(self, features: np.ndarray) -> np.ndarray:
        """G_dec: sums of parts, float32 (n, d), to images, float32 (n, h, w, c) in [-1, 1]."""
        self.require_generator()
        return in_batches(self.networks["decoder"], np.asarray(features, np.float32))

    def decode_codes(
        self, expression_codes: np.ndarray, face_codes: np.ndarray, seed: int = 0, same_noise: bool = False
    ) -> np.ndarray:
        """Codes of expressions and of faces, float32 (n, d), to images, float32 (n, h, w, c) in [-1, 1].

        Args:
            expression_codes, face_codes: as `encode_expressions` and `encode_faces` give them.
            seed, same_noise: not used; IPD-FER draws nothing at random.
        """
        return self.decode(face_codes + expression_codes)

    def synthesize(
        self, faces: np.ndarray, expressions: np.ndarray, poses: np.ndarray | None = None, seed: int = 0
    ) -> np.ndarray:
        """Puts expressions on faces: G_dec(E_id(face) + E_pose(pose) + E_exp(expression)).

        Args:
            faces: whose identity to take, float32 (n, h, w, c) in [-1, 1].
            expressions: whose expression to take, like `faces`.
            poses: whose pose to take, like `faces`; by default that of the faces.
            seed: not used; IPD-FER draws nothing at random.

        Returns:
            float32 (n, h, w, c) in [-1, 1].

        Raises:
            ValueError: shapes that do not fit, or the baseline, which generates nothing.
        """
        self.require_generator()
        if len(faces) != len(expressions):
            raise ValueError(f"as many faces as expressions are needed, got {len(faces)} and {len(expressions)}")
        return self.decode_codes(self.encode_expressions(expressions), self.encode_faces(faces, poses))


def _read_by(classifier: keras.layers.Dense, before: keras.layers.Dense, vector: keras.layers.Dense) -> None:
    """Changes what makes a vector, so that a classifier says of it what the one before said.

    Of all such changes the smallest: what a vector holds beside the directions that the classifier looks at stays.
    """
    kernel, bias = (weight.numpy() for weight in classifier.weights)
    old_kernel, old_bias = (weight.numpy() for weight in before.weights)
    inverse = np.linalg.pinv(kernel)
    weights, offset = (weight.numpy() for weight in vector.weights)
    vector.kernel.assign(weights + weights @ (old_kernel - kernel) @ inverse)
    vector.bias.assign(offset + (offset @ (old_kernel - kernel) + old_bias - bias) @ inverse)


def _over_known(values: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Values whose mean over the batch is that of the known ones; all zero where none is known."""
    return values * known * tf.cast(tf.size(known), tf.float32) / tf.maximum(tf.reduce_sum(known), 1.0)

"""TDGAN: "Facial Expression Recognition With Two-Branch Disentangled Generative Adversarial Network" (IEEE TCSVT 2021).

Siyue Xie, Haifeng Hu, Yizhen Chen. A face encoder and an expression encoder meet in a decoder that puts the expression
of one image on the face of another; two discriminators judge identity and expression; the expression code, learned only
through that transfer, is what the classifier M_ER reads.

Symbols of the paper: I_f, I_e face and expression image; E_f, E_e their encoders; d_f, d_e, d_n the two codes and the
noise; Emb the embedding module; D_g the decoder; G = D_g(Emb(d_e, d_f, d_n)); D_f, D_e the discriminators; M_ER the
expression classification module.

Readings, where the paper leaves a choice, each a field of `TDGANConfig`: images have one channel (Table I prints three,
the experiments one); the L1 norms of equations 7 and 8 are means over the numbers of an image; the decoder has no "C32"
row (Table II prints one whose input does not fit); noise is uniform on [0, 1) and drawn anew at every call.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

from kerasfer.layers import ConvUnit, GrayConvTranspose, InstanceNormalization, conv_norm_relu
from kerasfer.losses import cross_entropy_from_logits, hits, l1_distance
from kerasfer.models.base import FERModel, ModelConfig, OptimizerPlan, copy_weights, in_batches, ours

__all__ = ["TDGAN", "TDGANConfig"]


@dataclasses.dataclass(frozen=True)
class TDGANConfig(ModelConfig):
    """Every choice of TDGAN; the defaults are the paper's.

    Attributes:
        variant: "tdgan", or "cnn_base": the expression discriminator alone, trained and used as a classifier.
        identities: K_f, number of people in the face set.
        encoder_channels: of the four 5x5 convolutions of an encoder (Table I).
        inception_blocks: number of inception-residual blocks (Table I).
        inception_channels: of each convolution in a block's branches (Fig. 4).
        inception_scale: what a block's branches are multiplied with before they are added to its input.
        embedding_channels: of the embedding module (Table II).
        residual_blocks: of the embedding module (Table II).
        noise_channels: of d_n (Table II).
        decoder_channels: of the four 4x4 deconvolutions (Table II).
        head_units: of the two hidden layers of D_f, D_e and M_ER (Table I).
        dropout: in front of both hidden layers.
        encoder_epsilon: of the encoders' instance normalization.
        decoder_epsilon: of the decoder's instance normalization.
        lambda_face: weight of identity in equation 6.
        lambda_expression: weight of expression in equation 6.
        lambda_dic: weight of the dual image consistency, equation 7; 0 gives the ablation TDGAN-D.
        lambda_perceptual: weight of equation 8.
        perceptual: "face_encoder_l1" (equation 8), or "face_discriminator_mse" (the released code).
        norm: "mean" or "sum" over the numbers of an image in the L1 norms of equations 7 and 8.
        faces_drawn: "images", face images in passes over all of them; "people", a person first, each as often.
        deviation: standard deviation of the normal distribution that kernels start from; 0 for Glorot's uniform one.
        face_discriminator_steps: training steps at first in which D_f alone learns, who the people are.
        face_discriminator_every: D_f learns at every so many steps.
        expression_discriminator_every: D_e learns at every so many steps.
    """

    variant: str = "tdgan"
    identities: int = 20
    encoder_channels: tuple[int, ...] = (32, 64, 128, 128)
    inception_blocks: int = 4
    inception_channels: int = 16
    inception_scale: float = 0.17
    embedding_channels: int = 128
    residual_blocks: int = 6
    noise_channels: int = 256
    decoder_channels: tuple[int, ...] = (512, 256, 128, 64)
    head_units: int = 1024
    dropout: float = 0.5
    encoder_epsilon: float = 1e-3
    decoder_epsilon: float = 1e-5
    lambda_face: float = 0.2
    lambda_expression: float = 0.8
    lambda_dic: float = 5.0
    lambda_perceptual: float = 1.0
    perceptual: str = "face_encoder_l1"
    norm: str = "mean"
    faces_drawn: str = ours("images", "D_f learns people of few images as well")
    deviation: float = ours(0.0, "the released code's start")
    face_discriminator_steps: int = ours(0, "D_f knows the people before G is to draw them")
    face_discriminator_every: int = 1
    expression_discriminator_every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.variant in ("tdgan", "cnn_base"), "variant is tdgan or cnn_base")
        self._require(self.image_size % 16 == 0, "image_size is a multiple of 16: encoders halve it four times")
        self._require(len(self.encoder_channels) == 4, "encoder_channels has four entries")
        self._require(len(self.decoder_channels) == 4, "decoder_channels has four entries")
        self._require(self.identities >= 1, "identities is at least 1")
        self._require(
            self.perceptual in ("face_encoder_l1", "face_discriminator_mse"),
            "perceptual is face_encoder_l1 or face_discriminator_mse",
        )
        self._require(self.norm in ("mean", "sum"), "norm is mean or sum")
        self._require(self.faces_drawn in ("images", "people"), "faces_drawn is images or people")
        self._require(self.deviation >= 0, "deviation is not negative")
        self._require(self.face_discriminator_steps >= 0, "face_discriminator_steps are not negative")
        self._require(
            min(self.face_discriminator_every, self.expression_discriminator_every) >= 1,
            "the discriminators learn at every 1st step or more rarely",
        )

    @classmethod
    def released(cls) -> TDGANConfig:
        """The authors' released code: rarer discriminator updates, its perceptual loss and its first weights."""
        return cls(
            perceptual="face_discriminator_mse",
            deviation=0.02,
            face_discriminator_every=5,
            expression_discriminator_every=10,
        )

    @classmethod
    def small(cls) -> TDGANConfig:
        return cls(
            image_size=48,
            precision="mixed_bfloat16",
            epochs=12,
            noise_channels=64,
            decoder_channels=(256, 128, 64, 32),
            head_units=512,
            batch_size=64,
        )

    @classmethod
    def tiny(cls) -> TDGANConfig:
        return cls(
            image_size=32,
            identities=3,
            epochs=1,
            batch_size=4,
            encoder_channels=(4, 6, 8, 8),
            inception_channels=2,
            noise_channels=4,
            embedding_channels=8,
            decoder_channels=(12, 8, 6, 4),
            head_units=16,
        )

    def cnn_base(self) -> TDGANConfig:
        """The paper's baseline of the same size: D_e alone."""
        return dataclasses.replace(self, variant="cnn_base")

    def fine_tuning(self) -> TDGANConfig:
        """As every model's, of the CNN-Base, which needs no names of people; it starts as E_e and M_ER."""
        return dataclasses.replace(super().fine_tuning(), variant="cnn_base")

    def without_dic(self) -> TDGANConfig:
        """The paper's ablation TDGAN-D."""
        return dataclasses.replace(self, lambda_dic=0.0)


@keras.saving.register_keras_serializable("kerasfer")
class InceptionResidual(keras.layers.Layer):
    """The inception-residual block of Fig. 4.

    Three branches of conv units: 1x1; 1x1, 3x3; 1x1, 3x3, 3x3. Concatenated, through a linear 1x1 convolution with bias
    back to the input's channels, scaled, added to the input, ReLU.

    The branches' convolutions that stand at the same depth run as one: side by side for the 1x1s, which share their
    input, and as one block-diagonal kernel for the first 3x3s. Instance normalization treats channels apart, so this
    changes nothing but the time.

    Args:
        branch_channels: of each convolution in the branches.
        scale: of the branches' sum.
        epsilon: added to the variance.

    Input and output: float (n, h, w, c).
    """

    BRANCHES: ClassVar[tuple[tuple[int, ...], ...]] = ((1,), (1, 3), (1, 3, 3))

    def __init__(self, branch_channels: int = 16, scale: float = 0.17, epsilon: float = 1e-3, **kwargs) -> None:
        super().__init__(**kwargs)
        self.branch_channels = branch_channels
        self.scale = scale
        self.epsilon = epsilon

    def build(self, input_shape: tuple) -> None:
        channels = input_shape[-1]
        width = self.branch_channels
        self.kernels, self.gammas, self.betas = {}, {}, {}
        for branch, sizes in enumerate(self.BRANCHES):
            for depth, size in enumerate(sizes):
                name = f"branch{branch}_{depth}"
                shape = (size, size, channels if depth == 0 else width, width)
                self.kernels[name] = self.add_weight(shape, initializer="glorot_uniform", name=f"{name}_kernel")
                self.gammas[name] = self.add_weight((width,), initializer="ones", name=f"{name}_gamma", autocast=False)
                self.betas[name] = self.add_weight((width,), initializer="zeros", name=f"{name}_beta", autocast=False)
        shape = (1, 1, len(self.BRANCHES) * width, channels)
        self.kernel = self.add_weight(shape, initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight((channels,), initializer="zeros", name="bias")

    def _unit(self, x: tf.Tensor, kernel: tf.Tensor, names: tuple[str, ...], training: bool) -> tf.Tensor:
        gamma = tf.concat([tf.convert_to_tensor(self.gammas[name]) for name in names], 0)
        beta = tf.concat([tf.convert_to_tensor(self.betas[name]) for name in names], 0)
        return conv_norm_relu(x, kernel, gamma, beta, self.epsilon, training=training)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        kernels = {name: tf.convert_to_tensor(kernel) for name, kernel in self.kernels.items()}
        width = self.branch_channels
        first = ("branch0_0", "branch1_0", "branch2_0")
        x = self._unit(inputs, tf.concat([kernels[name] for name in first], -1), first, training)
        branch0, rest = tf.split(x, [width, 2 * width], -1)
        upper = tf.pad(kernels["branch1_1"], [[0, 0], [0, 0], [0, width], [0, 0]])
        lower = tf.pad(kernels["branch2_1"], [[0, 0], [0, 0], [width, 0], [0, 0]])
        x = self._unit(rest, tf.concat([upper, lower], -1), ("branch1_1", "branch2_1"), training)
        branch1, rest = tf.split(x, 2, -1)
        branch2 = self._unit(rest, kernels["branch2_2"], ("branch2_2",), training)
        x = tf.concat([branch0, branch1, branch2], -1)
        x = tf.nn.conv2d(x, tf.cast(self.kernel, x.dtype), 1, "SAME") + tf.cast(self.bias, x.dtype)
        return tf.nn.relu(inputs + x * self.scale)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict:
        config = {"branch_channels": self.branch_channels, "scale": self.scale, "epsilon": self.epsilon}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("kerasfer")
class ResidualBlock(keras.layers.Layer):
    """The residual block of Fig. 4: x + ReLU(conv3x3(x)). Input and output: float (n, h, w, c)."""

    def build(self, input_shape: tuple) -> None:
        self.conv = keras.layers.Conv2D(
            input_shape[-1], 3, padding="same", activation="relu", name="conv", dtype=self.dtype_policy
        )
        self.conv.build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs + self.conv(inputs)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape


def build_encoder(config: TDGANConfig, name: str) -> keras.Model:
    """E_f, E_e and the encoding part of both discriminators (Table I): image (h, w, c) to code (h/16, w/16, 128)."""
    channels = config.encoder_channels
    image = keras.Input((config.image_size, config.image_size, config.channels), name="image")
    epsilon = config.encoder_epsilon
    x = ConvUnit(channels[0], 5, pool=True, epsilon=epsilon, name="conv1")(image)
    x = ConvUnit(channels[1], 5, pool=True, epsilon=epsilon, name="conv2")(x)
    for block in range(config.inception_blocks):
        x = InceptionResidual(config.inception_channels, config.inception_scale, epsilon, name=f"inception{block + 1}")(
            x
        )
    x = ConvUnit(channels[2], 5, pool=True, epsilon=epsilon, name="conv3")(x)
    x = ConvUnit(channels[3], 5, pool=True, epsilon=epsilon, name="conv4")(x)
    return keras.Model(image, x, name=name)


def build_head(config: TDGANConfig, classes: int, name: str, code: keras.KerasTensor) -> keras.Model:
    """The fully-connected part of D_f, D_e and M_ER (Table I), on a code: code to logits, float32 (n, classes)."""
    x = keras.layers.Flatten(name="flatten")(code)
    for layer in (1, 2):
        x = keras.layers.Dropout(config.dropout, seed=config.seed + layer, name=f"dropout{layer}")(x)
        x = keras.layers.Dense(config.head_units, activation="relu", name=f"fc{layer}")(x)
    logits = keras.layers.Dense(classes, dtype="float32", name="fc3")(x)
    return keras.Model(code, logits, name=name)


def build_embedding(config: TDGANConfig) -> keras.Model:
    """Emb (Table II): d_e, d_f and d_n, concatenated in that order, to d_fuse (h/16, w/16, 128)."""
    side = config.image_size // 16
    code_channels = config.encoder_channels[3]
    expression = keras.Input((side, side, code_channels), name="expression_code")
    face = keras.Input((side, side, code_channels), name="face_code")
    noise = keras.Input((side, side, config.noise_channels), name="noise")
    x = keras.layers.Concatenate(name="concatenate")([expression, face, noise])
    x = keras.layers.Conv2D(config.embedding_channels, 3, padding="same", activation="relu", name="conv")(x)
    for block in range(config.residual_blocks):
        x = ResidualBlock(name=f"residual{block + 1}")(x)
    return keras.Model([expression, face, noise], x, name="embedding")


def build_decoder(config: TDGANConfig) -> keras.Model:
    """D_g (Table II): d_fuse (h/16, w/16, 128) to an image (h, w, c), float32 in [0, 1]."""
    side = config.image_size // 16
    fused = keras.Input((side, side, config.embedding_channels), name="fused")
    x = fused
    for index, channels in enumerate(config.decoder_channels):
        x = keras.layers.Conv2DTranspose(
            channels, 4, strides=2, padding="same", use_bias=False, name=f"deconv{index + 1}"
        )(x)
        x = InstanceNormalization(config.decoder_epsilon, affine=False, relu=True, name=f"norm{index + 1}")(x)
    x = GrayConvTranspose(config.channels, 3, name="deconv5")(x)
    image = keras.layers.Activation("sigmoid", dtype="float32", name="sigmoid")(x)
    return keras.Model(fused, image, name="decoder")


@keras.saving.register_keras_serializable("kerasfer")
class TDGAN(FERModel):
    """The two-branch disentangled GAN, or its baseline CNN-Base.

    Networks: face_encoder (E_f), expression_encoder (E_e), embedding (Emb), decoder (D_g), expression_classifier
    (M_ER), face_discriminator_encoder and face_discriminator_head (D_f), expression_discriminator_encoder and
    expression_discriminator_head (D_e). CNN-Base has the last two alone.
    """

    Config = TDGANConfig
    config: TDGANConfig
    controls = ("photos",)

    @classmethod
    def batch_kind_of(cls, config: TDGANConfig) -> str:
        if config.variant == "cnn_base":
            return "images"
        return "expression_and_person" if config.faces_drawn == "people" else "expression_and_face"

    @property
    def generates(self) -> bool:
        """Whether the variant has a decoder."""
        return self.config.variant != "cnn_base"

    def build_networks(self) -> dict[str, keras.Model]:
        networks = self._networks()
        if self.config.deviation:
            draw = keras.initializers.RandomNormal(0.0, self.config.deviation, seed=keras.random.SeedGenerator())
            for network in networks.values():
                for variable in network.trainable_variables:
                    if len(variable.shape) > 1:
                        variable.assign(draw(variable.shape))
        return networks

    def _networks(self) -> dict[str, keras.Model]:
        config = self.config
        expressions = len(config.expressions)
        judge = build_encoder(config, "expression_discriminator_encoder")
        networks = {
            "expression_discriminator_encoder": judge,
            "expression_discriminator_head": build_head(
                config, expressions, "expression_discriminator_head", judge.output
            ),
        }
        if config.variant == "cnn_base":
            return networks
        face_encoder = build_encoder(config, "face_encoder")
        encoder = build_encoder(config, "expression_encoder")
        embedding, decoder = build_embedding(config), build_decoder(config)
        classifier = build_head(config, expressions, "expression_classifier", encoder.output)
        face_judge = build_encoder(config, "face_discriminator_encoder")
        return {
            "face_encoder": face_encoder,
            "expression_encoder": encoder,
            "embedding": embedding,
            "decoder": decoder,
            "expression_classifier": classifier,
            "face_discriminator_encoder": face_judge,
            "face_discriminator_head": build_head(
                config, config.identities + 1, "face_discriminator_head", face_judge.output
            ),
            **networks,
        }

    def optimizer_plans(self) -> dict[str, OptimizerPlan]:
        expression = OptimizerPlan(("expression_discriminator_encoder", "expression_discriminator_head"))
        if self.config.variant == "cnn_base":
            return {"expression_discriminator": expression}
        return {
            "generator": OptimizerPlan(("face_encoder", "expression_encoder", "embedding", "decoder")),
            "expression_classifier": OptimizerPlan(("expression_classifier",)),
            "face_discriminator": OptimizerPlan(("face_discriminator_encoder", "face_discriminator_head")),
            "expression_discriminator": expression,
        }

    def weight_groups(self) -> dict[str, tuple[str, ...]]:
        if self.config.variant == "cnn_base":
            return {"recognizer": ("expression_discriminator_encoder", "expression_discriminator_head")}
        return {
            "recognizer": ("expression_encoder", "expression_classifier"),
            "generator": ("face_encoder", "embedding", "decoder"),
            "training": tuple(name for name in self.networks if "discriminator" in name),
        }

    def loss_terms(self) -> tuple[str, ...]:
        if self.config.variant == "cnn_base":
            return ("expression_discriminator", "accuracy")
        return (
            "face_discriminator",
            "expression_discriminator",
            "generator_face",
            "generator_expression",
            "dual_image_consistency",
            "perceptual",
            "expression_classifier",
            "accuracy",
        )

    def intervals(self) -> tuple[int, ...]:
        if self.config.variant == "cnn_base":
            return ()
        return (self.config.face_discriminator_every, self.config.expression_discriminator_every)

    def starts(self) -> tuple[int, ...]:
        return (self.config.face_discriminator_steps,) if self.generates else ()

    def generator(self) -> keras.Model | None:
        """G: "face" and "expression", (h, w, c) each, and "noise", d_n, to "image"; None for CNN-Base."""
        if not self.generates:
            return None
        shape, side = self.image_spec.shape, self.config.image_size // 16
        inputs = {
            "face": keras.Input(shape, name="face"),
            "expression": keras.Input(shape, name="expression"),
            "noise": keras.Input((side, side, self.config.noise_channels), name="noise"),
        }
        codes = [
            self.networks["expression_encoder"](inputs["expression"]),
            self.networks["face_encoder"](inputs["face"]),
        ]
        image = self.networks["decoder"](self.networks["embedding"]([*codes, inputs["noise"]]))
        return keras.Model(inputs, {"image": image}, name="generator")

    def generator_inputs(self, faces: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
        generator, side = np.random.default_rng(seed), self.config.image_size // 16
        noise = generator.random((len(faces), side, side, self.config.noise_channels), np.float32)
        return {"face": faces, "expression": faces[generator.permutation(len(faces))], "noise": noise}

    # -- the networks put together ------------------------------------------------------------------------------------

    def noise(self, count: tf.Tensor | int, draw: int = 0) -> tf.Tensor:
        """d_n for one step, uniform on [0, 1), float32 (count, h/16, w/16, channels); `draw` tells calls apart."""
        side = self.config.image_size // 16
        return self.uniform((count, side, side, self.config.noise_channels), draw)

    def decode(
        self, expression_code: tf.Tensor, face_code: tf.Tensor, noise: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Equation 3 and Equation 4: codes and noise to images, float32 (n, h, w, c) in [0, 1]."""
        fused = self.networks["embedding"]([expression_code, face_code, noise], training=training)
        return self.networks["decoder"](fused, training=training)

    def face_logits(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """D_f before its softmax, float32 (n, K_f + 1); the last class means "generated"."""
        features = self.networks["face_discriminator_encoder"](images, training=training)
        return self.networks["face_discriminator_head"](features, training=training)

    def expression_logits(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """D_e before its softmax, float32 (n, K_e)."""
        features = self.networks["expression_discriminator_encoder"](images, training=training)
        return self.networks["expression_discriminator_head"](features, training=training)

    # -- one training step ---------------------------------------------------------------------------------------------

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        batch = self.as_batch(batch)
        if self.config.variant == "cnn_base":
            self._train_expression_discriminator(batch["image"], batch["label"], count_accuracy=True)
        else:
            self.when_started(0, lambda: self._train_all(batch), lambda: self._train_people(batch))
        self.step.assign_add(1)
        return self.result()

    def _train_people(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """Of equation 5 what D_f learns of real faces."""
        with tf.GradientTape() as tape:
            logits = self.face_logits(batch["face_image"], True)
            loss = self.mean_over_batch(cross_entropy_from_logits(batch["identity_label"], logits))
        self.minimize("face_discriminator", loss, tape)
        self.report(face_discriminator=loss)
        return tf.zeros([])

    def _train_all(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        faces, expressions = batch["face_image"], batch["expression_image"]
        identity, expression = batch["identity_label"], batch["expression_label"]
        networks = self.networks
        config = self.config
        count = tf.shape(faces)[0]
        dic = config.lambda_dic > 0
        with tf.GradientTape() as tape:
            # Equation 2; with dual image consistency each encoder sees both images, in one call.
            if dic:
                both = tf.concat([faces, expressions], 0)
                face_code, face_code_of_expression = tf.split(networks["face_encoder"](both, training=True), 2)
                expression_code_of_face, expression_code = tf.split(
                    networks["expression_encoder"](both, training=True), 2
                )
            else:
                face_code = networks["face_encoder"](faces, training=True)
                expression_code = networks["expression_encoder"](expressions, training=True)
            generated = self.decode(expression_code, face_code, self.noise(count), training=True)

            with tape.stop_recording():
                self._train_discriminators(batch, tf.stop_gradient(generated))
                self._train_expression_classifier(tf.stop_gradient(expression_code), expression)

            # Equation 6: the generated image has the identity of I_f and the expression of I_e.
            seen = networks["face_discriminator_encoder"](generated, training=True)
            face_logits = networks["face_discriminator_head"](seen, training=True)
            generator_face = self.mean_over_batch(cross_entropy_from_logits(identity, face_logits))
            generator_expression = self.mean_over_batch(
                cross_entropy_from_logits(expression, self.expression_logits(generated, True))
            )
            terms = {
                "generator_face": config.lambda_face * generator_face,
                "generator_expression": config.lambda_expression * generator_expression,
            }
            needs_face_code = dic or config.perceptual == "face_encoder_l1"
            if needs_face_code:
                face_code_of_generated = networks["face_encoder"](generated, training=True)
            # Equation 7: I_f from G(I_g, I_f) and I_e from G(I_e, I_g), first argument the face.
            if dic:
                expression_code_of_generated = networks["expression_encoder"](generated, training=True)
                reconstructed = self.decode(
                    tf.concat([expression_code_of_face, expression_code_of_generated], 0),
                    tf.concat([face_code_of_generated, face_code_of_expression], 0),
                    tf.concat([self.noise(count, 1), self.noise(count, 2)], 0),
                    training=True,
                )
                reconstructed_face, reconstructed_expression = tf.split(reconstructed, 2)
                terms["dual_image_consistency"] = config.lambda_dic * self.mean_over_batch(
                    l1_distance(reconstructed_face, faces, config.norm)
                    + l1_distance(reconstructed_expression, expressions, config.norm)
                )
            # Equation 8, or the released code's form of it.
            if config.perceptual == "face_encoder_l1":
                perceptual = l1_distance(face_code, face_code_of_generated, config.norm)
            else:
                target = tf.stop_gradient(networks["face_discriminator_encoder"](faces, training=True))
                difference = tf.cast(seen, tf.float32) - tf.cast(target, tf.float32)
                perceptual = tf.reduce_mean(tf.square(difference), axis=(1, 2, 3))
            terms["perceptual"] = config.lambda_perceptual * self.mean_over_batch(perceptual)
            generator_loss = tf.add_n(list(terms.values()))  # Equation 9
        self.minimize("generator", generator_loss, tape)
        self.report(**terms)
        return tf.zeros([])

    def _train_discriminators(self, batch: dict[str, tf.Tensor], generated: tf.Tensor) -> None:
        """Equation 5: D_f learns the people and, as class K_f + 1, "generated"; D_e learns real expressions only."""

        def face_discriminator() -> tf.Tensor:
            generated_class = tf.fill(tf.shape(batch["identity_label"]), self.config.identities)
            with tf.GradientTape() as tape:
                logits = self.face_logits(tf.concat([batch["face_image"], generated], 0), True)
                real, fake = tf.split(logits, 2)
                loss = self.mean_over_batch(
                    cross_entropy_from_logits(batch["identity_label"], real)
                    + cross_entropy_from_logits(generated_class, fake)
                )
            self.minimize("face_discriminator", loss, tape)
            self.report(face_discriminator=loss)
            return tf.zeros([])

        def expression_discriminator() -> tf.Tensor:
            self._train_expression_discriminator(batch["expression_image"], batch["expression_label"])
            return tf.zeros([])

        self.when_due(0, face_discriminator, lambda: tf.zeros([]))
        self.when_due(1, expression_discriminator, lambda: tf.zeros([]))

    def _train_expression_discriminator(
        self, images: tf.Tensor, labels: tf.Tensor, count_accuracy: bool = False
    ) -> None:
        with tf.GradientTape() as tape:
            logits = self.expression_logits(images, True)
            loss = self.mean_over_batch(cross_entropy_from_logits(labels, logits))
        self.minimize("expression_discriminator", loss, tape)
        self.report(expression_discriminator=loss)
        if count_accuracy:
            self.report(accuracy=self.mean_over_batch(hits(labels, logits)))

    def _train_expression_classifier(self, expression_code: tf.Tensor, labels: tf.Tensor) -> None:
        """Equation 10: L_ER moves M_ER alone; the code arrives without a gradient."""
        with tf.GradientTape() as tape:
            logits = self.networks["expression_classifier"](expression_code, training=True)
            loss = self.mean_over_batch(cross_entropy_from_logits(labels, logits))
        self.minimize("expression_classifier", loss, tape)
        self.report(expression_classifier=loss, accuracy=self.mean_over_batch(hits(labels, logits)))

    def start_from(self, other: FERModel) -> None:
        """Copies the networks that both have, and those of the expression to where the other model has none.

        From a CNN-Base, which has D_e alone, E_e and M_ER start as its encoder and head. From a TDGAN that was saved
        without its discriminators, D_e, which is all of a CNN-Base, starts as its E_e and M_ER.

        The paper starts every network at random.
        """
        recognizer = ("expression_encoder", "expression_classifier")
        discriminator = ("expression_discriminator_encoder", "expression_discriminator_head")
        is_base = self.config.variant == "cnn_base"
        has_recognizer = set(recognizer) <= set(other.networks)
        lacks_discriminator = has_recognizer and discriminator[0] in other.left_out()
        copies: list[tuple[str, str]] = []
        if lacks_discriminator:
            copies += zip(recognizer, discriminator)
        elif not has_recognizer and not is_base:
            copies += zip(discriminator, recognizer)
        if not (is_base and lacks_discriminator):
            super().start_from(other)
        for source, target in copies:
            copy_weights(other.networks[source], self.networks[target])

    # Equation 11 and Equation 12, the ways between two codes, are `kerasfer.synthesis.ByPhoto`'s.

    # -- synthesis -----------------------------------------------------------------------------------------------------

    def synthesize(
        self, faces: np.ndarray, expressions: np.ndarray, noise: np.ndarray | None = None, seed: int = 0
    ) -> np.ndarray:
        """Puts expressions on faces: I_g = G(I_f, I_e, d_n), equation 4.

        Args:
            faces: I_f, float32 (n, h, w, c) in [0, 1].
            expressions: I_e, float32 (n, h, w, c) in [0, 1].
            noise: d_n, float32 (n, h/16, w/16, noise channels) in [0, 1); drawn from `seed` if not given.
            seed: of the noise.

        Returns:
            float32 (n, h, w, c) in [0, 1].

        Raises:
            ValueError: shapes that do not fit, or CNN-Base, which generates nothing.
        """
        face_codes = self.encode_faces(faces)
        return self.decode_codes(self.encode_expressions(expressions), face_codes, noise, seed)

    def encode_faces(self, images: np.ndarray) -> np.ndarray:
        """d_f = E_f(I), float32 (n, h/16, w/16, 128), of images float32 (n, h, w, c) in [0, 1]."""
        return self._encode("face_encoder", images)

    def encode_expressions(self, images: np.ndarray) -> np.ndarray:
        """d_e = E_e(I), or D_e's code for CNN-Base; shapes as in `encode_faces`."""
        return self._encode(self.weight_groups()["recognizer"][0], images)

    def codes(self, images: np.ndarray) -> dict[str, np.ndarray]:
        codes = {"expression": self.encode_expressions(images)}
        if "face_encoder" in self.networks:
            codes["face"] = self.encode_faces(images)
        return codes

    def _encode(self, network: str, images: np.ndarray) -> np.ndarray:
        if network not in self.networks:
            self.require_generator()
        return in_batches(self.networks[network], self.checked(images))

    def decode_codes(
        self,
        expression_codes: np.ndarray,
        face_codes: np.ndarray,
        noise: np.ndarray | None = None,
        seed: int = 0,
        same_noise: bool = False,
    ) -> np.ndarray:
        """Codes, float32 (n, h/16, w/16, 128), to images, float32 (n, h, w, c) in [0, 1]; noise as in `synthesize`."""
        self.require_generator()
        count = len(expression_codes)
        if len(face_codes) != count:
            raise ValueError(f"as many faces as expressions are needed, got {len(face_codes)} and {count}")
        side = self.config.image_size // 16
        if noise is None:
            draws = np.random.default_rng(seed).random(
                (1 if same_noise else count, side, side, self.config.noise_channels), np.float32
            )
            noise = np.repeat(draws, count, 0) if same_noise else draws
        embedding, decoder = self.networks["embedding"], self.networks["decoder"]
        return in_batches(lambda *codes: decoder(embedding(list(codes))), expression_codes, face_codes, noise)

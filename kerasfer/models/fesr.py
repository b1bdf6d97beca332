"""FESR: "Joint Deep Learning of Facial Expression Synthesis and Recognition" (Yan et al.; IEEE Trans. Multimedia).

FESGAN puts expressions on faces, and makes faces of people who do not exist: an encoder brings a face to a vector that
a discriminator D_z keeps evenly spread over [-1, 1]^64, so that a random vector is a face, too. A recognizer R learns
from real faces and from such new ones, tells the generator whether they show what they should, and draws its features
of new faces to those of real ones.

Symbols of the paper: G_enc, G_dec the generator's halves; g(x) = G_enc(x); y a face's expression, y' another; u(y) the
expression as numbers in [-1, 1] that carry its intensity; D_img with a critic D_adv and a classifier D_cls; D_z;
F_id a network that tells people apart; R = R_cls(R_ext(.)); x^{p,r} and x^{p,f} a real and a synthetic face of x's
expression.

Variants, by the paper's names (`FESRConfig.variant`). FESGAN alone, R learning from real faces beside it:

- FG: all of FESGAN. FG-CO: without content learning, L_rec and L_id. FG-IP: without L_id. FG-Dimg: without D_img.
  FG-Dimgcls: without D_cls. FG-Dz: without D_z.

R with FESGAN:

- BASELINE: R on real faces alone, no FESGAN. FESR_SL: two networks trained apart, R learning from FESGAN's new faces,
  FESGAN not learning from R. FESR_OneSt: joint from the first step (P_pre = 0). FESR_JL-IL: without L_intra.
  FESR_JL-RDBP: L_intra with the whole of its gradient. FESR_Real: as FESR_JL-IL, but the synthetic faces are made of
  g(x), not of z. FESR_JL: the method.

Readings of what the paper leaves open, each a field of `FESRConfig` where there is a choice:

- P_pre is `pretraining_steps`, P_max the number of steps that all epochs have. The paper gives neither.
- Table I: G_dec takes [g(x), u] as a map of 1 x 1; its first transposed convolution fills a map of h / 32 (4 x 4 at
  128), each further one doubles it. D_cls ends in an unpadded convolution over the whole map, D_adv gives a map of
  scores. Leaky ReLUs have a slope of 0.2; convolutions before an instance norm have no bias, as the norms have one.
- WGAN-GP's coefficient is 10 (Gulrajani et al. 2017); the penalty belongs to L_advd, so lambda5 weighs it, too.
- L1 norms are means over entries (`norm`). v is drawn anew at each use of equation 2. y' is drawn evenly from the other
  expressions. Where labels are distributions, u and the classes of synthetic faces take the most probable expression.
- L_intra compares what leaves R_ext, dropout included, as Table II prints it. For the generator R judges without
  dropout.
- The last L^f_cls,D term of equation 25 and L^f_cls,R share lambda4, as printed.
- R learns synthetic faces as surely what they were drawn to show. With `synthetic_teachers`, other recognizers are
  shown them, and what they say counts beside that, as it may for the labels of real faces (`kerasfer.teaching`).
- FESR_SL has no L_intra, so that it differs from FESR_JL-IL in the joint learning alone; FESGAN goes on by equation 22.
- FESR_Real: "all expressions from the input images" is one of all, drawn evenly, for each face at each step.
- F_id and R's frozen layers are Light CNN-29's; its released weights are not the project's to ship. By default the
  zoo's identity network serves (`identity="dlib_resnet"`): F_id is all of it, R starts from its stem and its first
  seven blocks, whose 17 x 17 map is the nearest to the 16 x 16 of Light CNN's Pool3 (an eighth of the face's side). A
  path of Light CNN's weights gives the paper's networks.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from kerasfer.backbones.identity import LIFT, identity_network
from kerasfer.backbones.lightcnn import build_lightcnn, load_lightcnn_weights
from kerasfer.faces import ImageSpec
from kerasfer.layers import InstanceNormalization
from kerasfer.losses import (
    cross_entropy_from_logits,
    gradient_penalty,
    hits,
    l1_distance,
    minimax_discriminator_loss,
    non_saturating_generator_loss,
    safe_norm,
    told_by_length,
    wasserstein_critic_loss,
    wasserstein_generator_loss,
)
from kerasfer.models.base import (
    ConfigError,
    FERModel,
    ModelConfig,
    OptimizerPlan,
    copy_layers,
    in_batches,
    is_path,
    ours,
)
from kerasfer.optimizers import FusedAdam

__all__ = ["FESR", "VARIANTS", "FESRConfig"]

SYNTHESIS_VARIANTS = ("fg", "fg_co", "fg_ip", "fg_dimg", "fg_dimgcls", "fg_dz")
JOINT_VARIANTS = ("fesr_sl", "fesr_onest", "fesr_jl_il", "fesr_jl_rdbp", "fesr_real", "fesr_jl")
VARIANTS = ("baseline", *SYNTHESIS_VARIANTS, *JOINT_VARIANTS)
WITH_INTRA_CLASS_LOSS = ("fesr_jl", "fesr_onest", "fesr_jl_rdbp")

SLOPE = 0.2
"""Of the leaky ReLUs."""

_Z, _OTHER, _CHANGED, _OWN, _NEW, _BETWEEN, _ANY, _FURTHER, _JUDGED, _JUDGED_AS, _BETWEEN_NEW = range(11)
"""What a step draws at random, for `FERModel.uniform`."""


@dataclasses.dataclass(frozen=True)
class FESRConfig(ModelConfig):
    """Fields of FESR; the defaults are the paper's.

    Attributes:
        variant: one of `VARIANTS`; see the module.
        identity: where F_id and R's frozen layers come from: "dlib_resnet", the path of Light CNN-29's released weights
            (see `kerasfer.backbones.lightcnn`), or "untrained": a Light CNN with random weights, for tests.
        lightcnn_size: side in pixels that Light CNN scales faces to.
        lightcnn_width: channels of Light CNN's first layer.
        trunk_size: side in pixels that R scales faces to where its frozen layers are the dlib network's.
        identity_size: the same of F_id, whose weights were trained at 150.
        trunk_blocks: how many of the dlib network's 14 residual blocks R has.
        train_trunk: whether R's first layers learn, which the paper freezes.
        latent: n, the width of g(x) and z.
        encoder_channels: of G_enc's convolutions, each of which halves the map.
        decoder_channels: of G_dec's transposed convolutions but the last; the image is 2 ** their number as large as
            the map that the first one fills.
        discriminator_channels: of D_img's shared convolutions, then of D_cls' first one.
        latent_discriminator_units: of D_z's hidden layers.
        extractor_channels: of R_ext's two convolutions.
        extractor_units: of R_ext's two fully-connected layers.
        dropout: at the end of R_ext.
        latent_updates: of D_z a step.
        latent_rate: learning rate of D_z over that of the others.
        latent_draws: z that D_z sees beside each g(x).
        new_faces_judged: whether D_adv and equation 4 see faces of new people as well, one for each changed face.
        least_intensity: v of equation 2 at least, of the new faces that R learns from.
        pretraining_steps: P_pre, training steps before R and FESGAN learn together.
        lambda_latent, lambda_reconstruction, lambda_identity, lambda_expression: lambda1 to lambda4 of equation 22.
        lambda_critic: lambda5 of equation 23.
        lambda_intra: lambda6 of equation 26.
        synthetic_teachers: saved models, or folders of runs, that are shown the synthetic faces R learns from; the mean
            of their answers is a part of these faces' labels. The paper has none.
        synthetic_teacher_share: how much of those labels; the rest is the expression that was to be drawn.
        penalty: coefficient of the gradient penalty.
        norm: "mean" or "sum" over entries in equations 10 and 12.
        beta1, beta2: of Adam.
    """

    image_size: int = 128
    channels: int = 3
    pixel_range: str = "signed"
    batch_size: int = 16
    epochs: int = 400
    learning_rate: float = 1e-4
    variant: str = "fesr_jl"
    identity: str = ours("dlib_resnet", "released weights are not the project's to ship", is_path)
    lightcnn_size: int = 128
    lightcnn_width: int = 48
    trunk_size: int = ours(150, "the dlib network in place of Light CNN-29")
    identity_size: int = ours(150, "fewer pixels cost less, and tell people apart less surely")
    trunk_blocks: int = ours(7, "the dlib network in place of Light CNN-29")
    train_trunk: bool = ours(False, "what knows faces alone learns expressions, too")
    latent: int = 64
    encoder_channels: tuple[int, ...] = (64, 128, 256, 512, 1024)
    decoder_channels: tuple[int, ...] = (512, 256, 128, 64, 32)
    discriminator_channels: tuple[int, ...] = (64, 128, 256, 512, 1024)
    latent_discriminator_units: tuple[int, ...] = (64, 32, 16)
    extractor_channels: tuple[int, ...] = (256, 512)
    extractor_units: tuple[int, ...] = (2048, 512)
    dropout: float = 0.5
    latent_updates: int = ours(1, "D_z keeps up with g(x)")
    latent_rate: float = ours(1.0, "D_z keeps up with g(x)")
    latent_draws: int = ours(1, "D_z sees more of the prior")
    new_faces_judged: bool = ours(False, "new people have to look like people, too")
    least_intensity: float = ours(0.0, "at a low intensity a face does not show what R is told")
    pretraining_steps: int = 5000
    lambda_latent: float = 1.0
    lambda_reconstruction: float = 10.0
    lambda_identity: float = 5.0
    lambda_expression: float = 1.0
    lambda_critic: float = 1.0
    lambda_intra: float = 0.001
    synthetic_teachers: tuple[str, ...] = ours((), "synthetic faces do not always show what was asked for")
    synthetic_teacher_share: float = ours(0.0, "synthetic faces do not always show what was asked for")
    penalty: float = 10.0
    norm: str = "mean"
    beta1: float = 0.5
    beta2: float = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.variant in VARIANTS, f"variant is one of {', '.join(VARIANTS)}")
        self._require(self.norm in ("mean", "sum"), "norm is mean or sum")
        self._require(self.pixel_range == "signed", "pixel_range is signed: the decoder ends in tanh")
        halvings = {
            "encoder_channels": len(self.encoder_channels),
            "decoder_channels": len(self.decoder_channels),
            "discriminator_channels": len(self.discriminator_channels),
        }
        for name, number in halvings.items():
            fits = number >= 2 and self.image_size % 2**number == 0 and self.image_size > 2**number
            self._require(fits, f"{name} are two or more, and image_size is a larger multiple of 2 ** their number")
        self._require(
            len(self.extractor_channels) == len(self.extractor_units) == 2,
            "extractor_channels and extractor_units are two numbers each",
        )
        self._require(1 <= self.trunk_blocks <= 14, "trunk_blocks are 1 to 14")
        self._require(self.latent >= 1 and self.pretraining_steps >= 0, "latent is at least 1, pretraining_steps 0")
        self._require(
            self.latent_updates >= 1 and self.latent_draws >= 1, "latent_updates, latent_draws are at least 1"
        )
        self._require(self.latent_rate > 0, "latent_rate is positive")
        self._require(0 <= self.least_intensity <= 1, "least_intensity lies in [0, 1]")
        self._require(len(self.expressions) >= 2, "expressions are two or more")
        self._require(
            0 <= self.synthetic_teacher_share <= 1
            and bool(self.synthetic_teachers) == (self.synthetic_teacher_share > 0),
            "synthetic_teachers have a synthetic_teacher_share of more than 0, at most 1",
        )

    @property
    def pretrains(self) -> int:
        """P_pre of the variant."""
        return self.pretraining_steps if self.variant in JOINT_VARIANTS and self.variant != "fesr_onest" else 0

    @classmethod
    def small(cls) -> FESRConfig:
        return cls(
            image_size=48,
            channels=1,
            precision="mixed_bfloat16",
            batch_size=64,
            epochs=8,
            trunk_size=96,
            encoder_channels=(64, 128, 256, 512),
            decoder_channels=(256, 128, 64, 32),
            discriminator_channels=(64, 128, 256, 512),
            extractor_channels=(128, 256),
            extractor_units=(512, 256),
            pretraining_steps=1000,
        )

    @classmethod
    def tiny(cls) -> FESRConfig:
        return cls(
            image_size=32,
            channels=1,
            batch_size=4,
            epochs=1,
            identity="untrained",
            lightcnn_size=32,
            lightcnn_width=3,
            latent=6,
            encoder_channels=(4, 6, 8),
            decoder_channels=(8, 6, 4),
            discriminator_channels=(4, 6, 8),
            latent_discriminator_units=(6, 5, 4),
            extractor_channels=(6, 8),
            extractor_units=(16, 8),
            pretraining_steps=0,
        )

    def recognizing(self) -> FESRConfig:
        return dataclasses.replace(self, variant="baseline")


# -- networks of Table I -----------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("kerasfer")
class LeakyReLU(keras.layers.Layer):
    """max(x, 0) + 0.2 min(x, 0) (Maas et al. 2013). Input and output: float (n, ...)."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.leaky_relu(inputs, SLOPE)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape


def build_encoder(config: FESRConfig) -> keras.Model:
    """G_enc (Table I): image (h, w, c) to g(x), float32 (n, latent) in [-1, 1]."""
    image = keras.Input((config.image_size, config.image_size, config.channels), name="image")
    x = image
    for number, channels in enumerate(config.encoder_channels, 1):
        x = keras.layers.Conv2D(channels, 4, 2, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = InstanceNormalization(name=f"norm{number}")(x)
        x = LeakyReLU(name=f"leaky{number}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    code = keras.layers.Dense(config.latent, activation="tanh", dtype="float32", name="fc")(x)
    return keras.Model(image, code, name="encoder")


def build_decoder(config: FESRConfig) -> keras.Model:
    """G_dec (Table I): g(x) or z, (latent,), and u, (K,), to an image (h, w, c), float32 in [-1, 1]."""
    code = keras.Input((config.latent,), name="face_code")
    expression = keras.Input((len(config.expressions),), name="expression_code")
    x = keras.layers.Concatenate(name="concatenate")([code, expression])
    x = keras.layers.Reshape((1, 1, x.shape[-1]), name="map")(x)
    for number, channels in enumerate(config.decoder_channels, 1):
        kernel, strides, padding = 4, 2, "same"
        if number == 1:
            kernel, strides, padding = config.image_size // 2 ** len(config.decoder_channels), 1, "valid"
        x = keras.layers.Conv2DTranspose(channels, kernel, strides, padding, use_bias=False, name=f"deconv{number}")(x)
        x = InstanceNormalization(relu=True, name=f"norm{number}")(x)
    x = keras.layers.Conv2DTranspose(config.channels, 4, 2, "same", name="to_image")(x)
    image = keras.layers.Activation("tanh", dtype="float32", name="tanh")(x)
    return keras.Model([code, expression], image, name="decoder")


def build_discriminator(config: FESRConfig) -> keras.Model:
    """What both heads of D_img share (Table I): image (h, w, c) to a map."""
    image = keras.Input((config.image_size, config.image_size, config.channels), name="image")
    x = image
    for number, channels in enumerate(config.discriminator_channels[:-1], 1):
        x = keras.layers.Conv2D(channels, 4, 2, padding="same", name=f"conv{number}")(x)
        x = LeakyReLU(name=f"leaky{number}")(x)
    return keras.Model(image, x, name="discriminator")


def build_critic(config: FESRConfig, shape: tuple[int, int, int]) -> keras.Model:
    """D_adv (Table I): the shared map to a map of scores, float32 (h, w, 1)."""
    features = keras.Input(shape, name="features")
    scores = keras.layers.Conv2D(1, 4, 2, padding="same", dtype="float32", name="scores")(features)
    return keras.Model(features, scores, name="critic")


def build_discriminator_classifier(config: FESRConfig, shape: tuple[int, int, int]) -> keras.Model:
    """D_cls (Table I): the shared map to logits, float32 (n, K)."""
    features = keras.Input(shape, name="features")
    x = keras.layers.Conv2D(config.discriminator_channels[-1], 4, 2, padding="same", name="conv")(features)
    x = LeakyReLU(name="leaky")(x)
    x = keras.layers.Conv2D(len(config.expressions), x.shape[1], dtype="float32", name="classes")(x)
    logits = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(features, logits, name="discriminator_classifier")


def build_latent_discriminator(config: FESRConfig) -> keras.Model:
    """D_z (Table I) before its sigmoid: a vector (latent,) to a logit, float32 (n, 1)."""
    code = keras.Input((config.latent,), name="face_code")
    x = code
    for number, units in enumerate(config.latent_discriminator_units, 1):
        x = keras.layers.Dense(units, dtype="float32", name=f"fc{number}")(x)
        x = LeakyReLU(dtype="float32", name=f"leaky{number}")(x)
    logit = keras.layers.Dense(1, dtype="float32", name="logit")(x)
    return keras.Model(code, logit, name="latent_discriminator")


# -- networks of Table II, and F_id ------------------------------------------------------------------------------------


def build_identity(config: FESRConfig) -> keras.Model:
    """F_id: image (h, w, c) to numbers that tell people apart, float32 (n, d); frozen."""
    if config.identity == "dlib_resnet":
        return identity_network("dlib_resnet", _spec(config), "identity", size=config.identity_size)
    network = _lightcnn(config, "identity")
    network.trainable = False
    return network


def build_trunk(config: FESRConfig) -> keras.Model:
    """The frozen layers of R (Table II): image (h, w, c) to a map."""
    if config.identity == "dlib_resnet":
        from kerasfer.backbones.dlib_resnet import build_dlib_resnet, load_dlib_weights

        spec = _spec(config)
        whole = build_dlib_resnet(
            "whole", spec.size, spec.channels, spec.pixel_range, internal_size=config.trunk_size, lift=LIFT
        )
        load_dlib_weights(whole)
        trunk = keras.Model(whole.input, whole.get_layer(f"block{config.trunk_blocks}_relu").output, name="trunk")
    else:
        trunk = _lightcnn(config, "trunk", whole=False)
    trunk.trainable = config.train_trunk
    return trunk


def _lightcnn(config: FESRConfig, name: str, whole: bool = True) -> keras.Model:
    spec = _spec(config)
    network = build_lightcnn(
        name,
        spec.size,
        spec.channels,
        spec.pixel_range,
        internal_size=config.lightcnn_size,
        width=config.lightcnn_width,
        whole=whole,
    )
    if config.identity != "untrained":
        load_lightcnn_weights(network, config.identity)
    return network


def _spec(config: FESRConfig) -> ImageSpec:
    return ImageSpec(config.image_size, config.channels, config.pixel_range)


def build_extractor(config: FESRConfig, features: keras.KerasTensor) -> keras.Model:
    """The rest of R_ext (Table II), on the trunk's map: map to features, float32 (n, 512)."""
    x = features
    for number, channels in enumerate(config.extractor_channels, 1):
        x = keras.layers.Conv2D(channels, 3, 2, padding="same", activation="relu", name=f"extractor_conv{number}")(x)
    x = keras.layers.Flatten(name="extractor_flatten")(x)
    x = keras.layers.Dense(config.extractor_units[0], activation="relu", name="extractor_fc1")(x)
    x = keras.layers.Dense(config.extractor_units[1], activation="relu", dtype="float32", name="extractor_fc2")(x)
    x = keras.layers.Dropout(config.dropout, seed=config.seed + 1, dtype="float32", name="extractor_dropout")(x)
    return keras.Model(features, x, name="extractor")


def build_classifier(config: FESRConfig, features: keras.KerasTensor) -> keras.Model:
    """R_cls (Table II), on features: features (n, 512) to logits, float32 (n, K)."""
    logits = keras.layers.Dense(len(config.expressions), dtype="float32", name="fc")(features)
    return keras.Model(features, logits, name="classifier")


@keras.saving.register_keras_serializable("kerasfer")
class FESR(FERModel):
    """FESR, FESGAN or their variants.

    Networks: trunk, extractor and classifier (R); encoder and decoder (G); discriminator, critic and
    discriminator_classifier (D_img); latent_discriminator (D_z); identity (F_id, frozen). A variant has those that it
    uses; the baseline has R alone.
    """

    Config = FESRConfig
    config: FESRConfig
    controls = ("names", "noise")
    feature_layer = "extractor_fc2"

    def __init__(self, config: FESRConfig) -> None:
        super().__init__(config)
        self.frozen = tuple(
            name for name in ("trunk", "identity") if name in self.networks and not self.networks[name].trainable
        )
        self._teachers_say: Callable[[tf.Tensor], tf.Tensor] | None = None

    @classmethod
    def batch_kind_of(cls, config: FESRConfig) -> str:
        return "expression_pairs" if config.variant in WITH_INTRA_CLASS_LOSS else "images"

    @property
    def generates(self) -> bool:
        """Whether the variant has FESGAN."""
        return self.config.variant != "baseline"

    @property
    def joins(self) -> bool:
        """Whether R learns from FESGAN's faces, from step P_pre on."""
        return self.config.variant in JOINT_VARIANTS

    @property
    def compares(self) -> bool:
        """Whether the variant has L_intra."""
        return self.config.variant in WITH_INTRA_CLASS_LOSS

    @property
    def teaches(self) -> bool:
        """Whether G learns from R."""
        return self.joins and self.config.variant != "fesr_sl"

    def build_networks(self) -> dict[str, keras.Model]:
        config, variant = self.config, self.config.variant
        trunk = build_trunk(config)
        extractor = build_extractor(config, trunk.output)
        networks = {
            "trunk": trunk,
            "extractor": extractor,
            "classifier": build_classifier(config, extractor.layers[-1].output),
        }
        if not self.generates:
            return networks
        networks |= {"encoder": build_encoder(config), "decoder": build_decoder(config)}
        if variant != "fg_dimg":
            discriminator = build_discriminator(config)
            shape = discriminator.output_shape[1:]
            networks |= {"discriminator": discriminator, "critic": build_critic(config, shape)}
            if variant != "fg_dimgcls":
                networks["discriminator_classifier"] = build_discriminator_classifier(config, shape)
        if variant != "fg_dz":
            networks["latent_discriminator"] = build_latent_discriminator(config)
        if variant not in ("fg_co", "fg_ip"):
            networks["identity"] = build_identity(config)
        return networks

    def _those(self, *names: str) -> tuple[str, ...]:
        """Of some networks those that the variant has."""
        return tuple(name for name in names if name in self.networks)

    def optimizer_plans(self) -> dict[str, OptimizerPlan]:
        make = functools.partial(FusedAdam, beta_1=self.config.beta1, beta_2=self.config.beta2)
        trunk = ("trunk",) if self.config.train_trunk else ()
        plans = {"recognizer": OptimizerPlan((*trunk, "extractor", "classifier"), make, start=self.config.pretrains)}
        if not self.generates:
            return plans
        plans["generator"] = OptimizerPlan(("encoder", "decoder"), make)
        for name, networks in {
            "discriminator": self._those("discriminator", "critic", "discriminator_classifier"),
            "latent_discriminator": self._those("latent_discriminator"),
        }.items():
            if networks:
                plans[name] = OptimizerPlan(networks, make)
        if "latent_discriminator" in plans:
            plans["latent_discriminator"] = dataclasses.replace(
                plans["latent_discriminator"], updates=self.config.latent_updates, rate=self.config.latent_rate
            )
        return plans

    def weight_groups(self) -> dict[str, tuple[str, ...]]:
        groups: dict[str, tuple[str, ...]] = {"recognizer": ("trunk", "extractor", "classifier")}
        if self.generates:
            groups["generator"] = ("encoder", "decoder")
            training = ("discriminator", "critic", "discriminator_classifier", "latent_discriminator")
            for name, networks in (("identity", ("identity",)), ("training", training)):
                if self._those(*networks):
                    groups[name] = self._those(*networks)
        return groups

    def given_groups(self) -> tuple[str, ...]:
        given = self.config.identity == "dlib_resnet" and "identity" in self.networks
        return ("identity",) if given else ()

    def portable_config(self) -> FESRConfig:
        portable = self.config.identity in ("dlib_resnet", "untrained")
        return dataclasses.replace(
            self.config,
            identity=self.config.identity if portable else "untrained",
            synthetic_teachers=(),
            synthetic_teacher_share=0.0,
        )

    def loss_terms(self) -> tuple[str, ...]:
        has = self.networks
        chosen = {
            "latent_discriminator": "latent_discriminator" in has,
            "latent_told": "latent_discriminator" in has,
            "critic": "critic" in has,
            "penalty": "critic" in has,
            "discriminator_expression": "discriminator_classifier" in has,
            "generator_critic": "critic" in has,
            "generator_latent": "latent_discriminator" in has,
            "reconstruction": self.generates and self.config.variant != "fg_co",
            "identity": "identity" in has,
            "generator_expression": "discriminator_classifier" in has,
            "generator_recognizer": self.teaches,
            "recognizer_real": True,
            "recognizer_synthetic": self.joins,
            "intra_real": self.compares,
            "intra_synthetic": self.compares,
            "accuracy": True,
        }
        return tuple(name for name, is_there in chosen.items() if is_there)

    def starts(self) -> tuple[int, ...]:
        return (self.config.pretrains,) if self.joins else ()

    def generator(self) -> keras.Model | None:
        """G: "face" (h, w, c) and "expression_code", u in [-1, 1]^K, to "image"; None for the baseline."""
        if not self.generates:
            return None
        face = keras.Input(self.image_spec.shape, name="face")
        expression = keras.Input((len(self.label_space),), name="expression_code")
        image = self.networks["decoder"]([self.networks["encoder"](face), expression])
        return keras.Model({"face": face, "expression_code": expression}, {"image": image}, name="generator")

    def generator_inputs(self, faces: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(seed)
        classes = generator.integers(len(self.label_space), size=len(faces))
        intensity = generator.random(len(faces), np.float32)
        return {"face": faces, "expression_code": self.expression_codes(classes, intensity)}

    def start_from(self, other: FERModel) -> None:
        """Copies the networks that both have; from an IPD-FER or its baseline, R's frozen layers.

        The paper's are those of a network that knows faces alone. An IPD-FER's expression encoder is the zoo's identity
        network, taught expressions.

        Raises:
            ConfigError: no network is shared, or one has other shapes.
        """
        if self.config.identity != "dlib_resnet" or "expression_encoder" not in other.networks:
            super().start_from(other)
            return
        from kerasfer.backbones.dlib_resnet import fold_normalization

        copy_layers(fold_normalization(other.networks["expression_encoder"]), self.networks["trunk"])

    def learn_from(self, teachers: Sequence[FERModel]) -> None:
        """Takes those that `synthetic_teachers` names, before training; they become no part of the model.

        Args:
            teachers: as many as there are names, in their order.

        Raises:
            ValueError: another number of them.
            ConfigError: one takes other faces than this model, knows other expressions, or none.
        """
        for source, teacher in zip(self.config.synthetic_teachers, teachers, strict=True):
            known = teacher.label_space.labels if isinstance(teacher, FERModel) else ("no expressions",)
            if teacher.image_spec != self.image_spec or known != self.config.expressions:
                raise ConfigError(
                    f"the synthetic teacher {source} recognizes {', '.join(known)} in {teacher.image_spec}; it is to "
                    f"know {', '.join(self.config.expressions)} in {self.image_spec}"
                )
        recognizers = tuple(teacher.recognizer() for teacher in teachers)
        # Behind a function, or Keras would count their weights among this model's.
        self._teachers_say = lambda images: (
            tf.add_n([say(images, training=False) for say in recognizers]) / len(teachers)
        )

    # -- the networks put together -------------------------------------------------------------------------------------

    def extract(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """R_ext: float32 (n, 512) of images (n, h, w, c)."""
        return self.networks["extractor"](self.networks["trunk"](images, training=training), training=training)

    def critic_scores(self, images: tf.Tensor, training: bool = True) -> tf.Tensor:
        """D_adv: a map of scores, float32 (n, s, s, 1), of images (n, h, w, c)."""
        features = self.networks["discriminator"](images, training=training)
        return self.networks["critic"](features, training=training)

    def decode_codes(self, codes: tf.Tensor, expressions: tf.Tensor, training: bool = False) -> tf.Tensor:
        """G_dec([g(x), u]), equation 3: float32 (n, h, w, c) in [-1, 1] of (n, latent) and (n, K)."""
        return self.networks["decoder"]([codes, expressions], training=training)

    def continuous(self, classes: tf.Tensor, draw: int, least: float = 0.0) -> tf.Tensor:
        """Equation 2: u(y) = v (2 y - 1) with v uniform on [least, 1), float32 (n, K) of class numbers (n,)."""
        signs = 2.0 * tf.one_hot(classes, len(self.label_space)) - 1.0
        return signs * (least + (1.0 - least) * self.uniform((tf.shape(classes)[0], len(self.label_space)), draw))

    def random_codes(self, count: tf.Tensor, draw: int = _Z) -> tf.Tensor:
        """z of this step, uniform on [-1, 1), float32 (count, latent)."""
        return 2.0 * self.uniform((count, self.config.latent), draw) - 1.0

    def other_classes(self, classes: tf.Tensor) -> tf.Tensor:
        """y': for each class number (n,) another one, each as likely, int32 (n,)."""
        others = len(self.label_space) - 1
        chosen = tf.cast(self.uniform((tf.shape(classes)[0],), _OTHER) * others, tf.int32)
        return (classes + 1 + tf.minimum(chosen, others - 1)) % (others + 1)

    def any_classes(self, count: tf.Tensor, draw: int = _ANY) -> tf.Tensor:
        """A class number for each of `count` faces, each as likely, int32 (count,)."""
        classes = len(self.label_space)
        return tf.minimum(tf.cast(self.uniform((count,), draw) * classes, tf.int32), classes - 1)

    # -- one training step, Algorithm 1 --------------------------------------------------------------------------------

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        batch = self.as_batch(batch)
        if self.generates:
            self._train_together(batch)
        if not self.joins:
            self._train_recognizer(batch["image"], batch["label"])
        self.step.assign_add(1)
        return self.result()

    def _train_together(self, batch: dict[str, tf.Tensor]) -> None:
        """D_z, D_img, from P_pre on R, then G; the generator's outputs are the same for all of them."""
        images, labels = batch["image"], batch["label"]
        classes = tf.argmax(labels, -1, tf.int32)
        z = self.random_codes(tf.shape(images)[0])
        wanted = self.other_classes(classes)
        with tf.GradientTape() as tape:
            codes = self.networks["encoder"](images, training=True)  # Equation 1
            expressions = [self.continuous(wanted, _CHANGED), self.continuous(classes, _OWN)]
            drawn = self.decode_codes(tf.tile(codes, [2, 1]), tf.concat(expressions, 0), True)
            changed, reconstructed = tf.split(drawn, 2)  # Equation 3 and Equation 11
            new = self._new_faces(z) if self.config.new_faces_judged else None
            with tape.stop_recording():
                if "latent_discriminator" in self.networks:
                    self._train_latent_discriminator(z, tf.stop_gradient(codes))
                if "discriminator" in self.networks:
                    self._train_discriminator(images, labels, *map(tf.stop_gradient, self._judged(changed, new)))
            from_recognizer = tf.zeros([])
            if self.joins:
                from_recognizer = self.when_started(
                    0, lambda: self._join(batch, z, codes, classes, tape), lambda: tf.zeros([])
                )
            terms = self._generator_terms(images, codes, changed, wanted, reconstructed, new)
            loss = tf.add_n([*terms.values(), from_recognizer])  # Equation 22; from P_pre on Equation 25
        self.minimize("generator", loss, tape)
        self.report(**terms)

    def _new_faces(self, z: tf.Tensor) -> tf.Tensor:
        """Faces of new people, of any expression each, float32 (n, h, w, c) of z (n, latent)."""
        return self.decode_codes(z, self.continuous(self.any_classes(tf.shape(z)[0], _JUDGED), _JUDGED_AS), True)

    @staticmethod
    def _judged(changed: tf.Tensor, new: tf.Tensor | None) -> list[tf.Tensor]:
        """What D_adv is to tell from real faces."""
        return [changed] if new is None else [changed, new]

    def _train_latent_discriminator(self, z: tf.Tensor, codes: tf.Tensor) -> None:
        """Equation 7, which is Equation 24, `latent_updates` times, each on draws of its own."""
        judge, config = self.networks["latent_discriminator"], self.config
        count, updates = tf.shape(codes)[0], config.latent_updates
        draws = [z]
        if updates * config.latent_draws > 1:
            draws = tf.split(self.random_codes(count * updates * config.latent_draws, _FURTHER), updates)
        total = tf.zeros([])
        for prior in draws:
            with tf.GradientTape() as tape:
                on_both = judge(tf.concat([prior, codes], 0), training=True)
                on_prior, on_codes = on_both[:-count], tf.tile(on_both[-count:], [config.latent_draws, 1])
                loss = self.mean_over_batch(minimax_discriminator_loss(on_prior, on_codes))
            self.minimize("latent_discriminator", loss, tape)
            total += loss / updates
        told = self.mean_over_batch(told_by_length(draws[0], codes))
        self.report(latent_discriminator=total, latent_told=told)

    def _train_discriminator(self, images: tf.Tensor, labels: tf.Tensor, *judged: tf.Tensor) -> None:
        """Equation 23: Equation 5 and Equation 9; the penalty reaches the critic and all that it shares with D_cls.

        Of several kinds of generated faces the mean counts.
        """
        config, kinds = self.config, len(judged)
        with tf.GradientTape() as tape:
            on_all = self.networks["discriminator"](tf.concat([images, *judged], 0), training=True)
            on_real = tf.split(on_all, 1 + kinds)[0]
            scores, *on_judged = tf.split(self.networks["critic"](on_all, training=True), 1 + kinds)
            critic, penalty = tf.zeros([]), tf.zeros([])
            for faces, judgment, draw in zip(judged, on_judged, (_BETWEEN, _BETWEEN_NEW)):
                critic += self.mean_over_batch(wasserstein_critic_loss(scores, judgment)) / kinds
                between = self.uniform((tf.shape(images)[0],), draw)
                steepness = gradient_penalty(self.critic_scores, images, faces, between)
                penalty += self.mean_over_batch(steepness) / kinds
            terms = {
                "critic": config.lambda_critic * critic,
                "penalty": config.lambda_critic * config.penalty * penalty,
            }
            if "discriminator_classifier" in self.networks:
                logits = self.networks["discriminator_classifier"](on_real, training=True)
                terms["discriminator_expression"] = self.mean_over_batch(cross_entropy_from_logits(labels, logits))
            loss = tf.add_n(list(terms.values()))
        self.minimize("discriminator", loss, tape)
        self.report(**terms)

    def _generator_terms(
        self,
        images: tf.Tensor,
        codes: tf.Tensor,
        changed: tf.Tensor,
        wanted: tf.Tensor,
        reconstructed: tf.Tensor,
        new: tf.Tensor | None,
    ) -> dict[str, tf.Tensor]:
        """The terms of equation 22."""
        config, networks = self.config, self.networks
        terms = {}
        if "discriminator" in networks:
            judged = self._judged(changed, new)
            seen_by_both = networks["discriminator"](tf.concat(judged, 0), training=True)
            scores = networks["critic"](seen_by_both, training=True)
            features = tf.split(seen_by_both, len(judged))[0]
            terms["generator_critic"] = self.mean_over_batch(wasserstein_generator_loss(scores))  # Equation 4
        if "latent_discriminator" in networks:
            logits = networks["latent_discriminator"](codes, training=True)
            losses = non_saturating_generator_loss(logits)  # Equation 6
            terms["generator_latent"] = config.lambda_latent * self.mean_over_batch(losses)
        if config.variant != "fg_co":
            distances = l1_distance(images, reconstructed, config.norm)  # Equation 10
            terms["reconstruction"] = config.lambda_reconstruction * self.mean_over_batch(distances)
        if "identity" in networks:
            # Two calls, as only one of them needs a gradient.
            seen = [networks["identity"](faces, training=False) for faces in (reconstructed, images)]
            distances = l1_distance(*seen, config.norm)  # Equation 12
            terms["identity"] = config.lambda_identity * self.mean_over_batch(distances)
        if "discriminator_classifier" in networks:
            logits = networks["discriminator_classifier"](features, training=True)
            losses = cross_entropy_from_logits(wanted, logits)  # Equation 8
            terms["generator_expression"] = config.lambda_expression * self.mean_over_batch(losses)
        return terms

    def _join(
        self,
        batch: dict[str, tf.Tensor],
        z: tf.Tensor,
        codes: tf.Tensor,
        classes: tf.Tensor,
        tape: tf.GradientTape,
    ) -> tf.Tensor:
        """Lines 14 to 17: R learns, then says what G's synthetic faces cost: lambda4 L^f_cls,R."""
        if self.config.variant == "fesr_real":
            classes, source = self.any_classes(tf.shape(classes)[0]), codes
        else:
            source = z
        shown = self.continuous(classes, _NEW, self.config.least_intensity)
        synthetic = self.decode_codes(source, shown, True)  # Equation 13
        with tape.stop_recording():
            positive = batch["positive_image"] if self.compares else None
            self._train_recognizer(batch["image"], batch["label"], positive, tf.stop_gradient(synthetic), classes)
        if not self.teaches:
            return tf.zeros([])
        logits = self.networks["classifier"](self.extract(synthetic))
        loss = self.config.lambda_expression * self.mean_over_batch(cross_entropy_from_logits(classes, logits))
        self.report(generator_recognizer=loss)
        return loss

    def _train_recognizer(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        positive: tf.Tensor | None = None,
        synthetic: tf.Tensor | None = None,
        classes: tf.Tensor | None = None,
    ) -> None:
        """Equation 26, as far as its images are given: L^r_cls, with synthetic ones L^f_cls, with both L_intra."""
        faces = [part for part in (images, positive, synthetic) if part is not None]
        with tf.GradientTape() as tape:
            features = tf.split(self.extract(tf.concat(faces, 0), True), len(faces))
            logits = self.networks["classifier"](features[0], training=True)
            # Equation 19 is the sum of Equation 20, on real faces, and Equation 21, on synthetic ones.
            terms = {"recognizer_real": self.mean_over_batch(cross_entropy_from_logits(labels, logits))}
            if synthetic is not None:
                on_synthetic = self.networks["classifier"](features[-1], training=True)
                losses = cross_entropy_from_logits(self.synthetic_labels(synthetic, classes), on_synthetic)
                terms["recognizer_synthetic"] = self.mean_over_batch(losses)
            if positive is not None and synthetic is not None:  # Equation 14, term by term
                for name, distances in zip(("intra_real", "intra_synthetic"), self.intra_class_distances(*features)):
                    terms[name] = self.config.lambda_intra * self.mean_over_batch(distances)
            loss = tf.add_n(list(terms.values()))
        self.minimize("recognizer", loss, tape)
        self.report(**terms, accuracy=self.mean_over_batch(hits(labels, logits)))

    def synthetic_labels(self, images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """What R is to say of synthetic faces: the class that each was drawn as, and what the teachers say, if any.

        Args:
            images: (n, h, w, c).
            classes: int32 (n,).

        Returns:
            float32 (n, K): distributions.
        """
        wanted = tf.one_hot(classes, len(self.label_space))
        if not self.config.synthetic_teachers:
            return wanted
        if self._teachers_say is None:
            raise ConfigError("the synthetic teachers are not there yet: call learn_from with them before training")
        share = self.config.synthetic_teacher_share
        return (1.0 - share) * wanted + share * tf.stop_gradient(self._teachers_say(images))

    def intra_class_distances(
        self, anchor: tf.Tensor, real: tf.Tensor, synthetic: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """|R_ext(x) - R_ext(x^{p,r})| and |R_ext(x) - R_ext(x^{p,f})|, each float32 (n,): Equation 15, Equation 16.

        By RDBP (Equation 17 and Equation 18) the second is a function of the synthetic face's features alone: the real
        face's are its target. FESR_JL-RDBP goes without.

        Args:
            anchor, real, synthetic: the three features, float (n, d).
        """
        target = anchor if self.config.variant == "fesr_jl_rdbp" else tf.stop_gradient(anchor)
        return safe_norm(anchor - real), safe_norm(target - synthetic)

    # -- synthesis -----------------------------------------------------------------------------------------------------

    def codes(self, images: np.ndarray) -> dict[str, np.ndarray]:
        images = self.checked(images)
        found = {"expression": in_batches(self.features, images)}
        if self.generates:
            found["face"] = in_batches(self.networks["encoder"], images)
        return found

    def expression_codes(
        self, expressions: str | int | Sequence[str | int] | np.ndarray, intensity: float | np.ndarray = 1.0
    ) -> np.ndarray:
        """u(y) with every entry of v equal to the intensity (equation 2).

        Args:
            expressions: a name or class number, or several.
            intensity: in [0, 1]; one for all, or one for each.

        Returns:
            float32 (n, K); (1, K) for one expression.

        Raises:
            ValueError: an unknown expression, an intensity outside [0, 1], or another number of intensities.
        """
        labels = self.label_space.labels
        names = [expressions] if isinstance(expressions, (str, int, np.integer)) else list(expressions)
        classes = []
        for name in names:
            number = self.label_space.find(name) if isinstance(name, str) else name
            if not 0 <= number < len(labels):
                raise ValueError(f"unknown expression {name!r}; this model has {', '.join(labels)}")
            classes.append(int(number))
        intensity = np.asarray(intensity, np.float32)
        if intensity.ndim > 1 or intensity.size not in (1, len(classes)):
            raise ValueError(f"{len(classes)} expressions need one intensity or {len(classes)}, got {intensity.size}")
        if not ((intensity >= 0) & (intensity <= 1)).all():
            wrong = intensity[~((intensity >= 0) & (intensity <= 1))].flat[0]
            raise ValueError(f"an intensity lies between 0 and 1, got {wrong:g}")
        signs = 2.0 * np.eye(len(labels), dtype=np.float32)[classes] - 1.0
        return signs * np.broadcast_to(intensity, (len(classes),))[:, None]

    def encode(self, faces: np.ndarray) -> np.ndarray:
        """g(x), float32 (n, latent) in [-1, 1], of faces float32 (n, h, w, c) in [-1, 1]."""
        self.require_generator()
        return in_batches(self.networks["encoder"], self.checked(faces))

    def draw(self, count: int, seed: int = 0) -> np.ndarray:
        """z of people who do not exist, float32 (count, latent), uniform on [-1, 1]."""
        return np.random.default_rng(seed).uniform(-1.0, 1.0, (count, self.config.latent)).astype(np.float32)

    def decode(self, codes: np.ndarray, expressions: np.ndarray) -> np.ndarray:
        """G_dec of g(x) or z, float32 (n, latent), and u, float32 (n, K): float32 (n, h, w, c) in [-1, 1].

        Raises:
            ValueError: another width, or not as many of one as of the other.
        """
        self.require_generator()
        codes, expressions = np.asarray(codes, np.float32), np.asarray(expressions, np.float32)
        for name, values, width in (
            ("z", codes, self.config.latent),
            ("expression codes", expressions, len(self.label_space)),
        ):
            if values.ndim != 2 or values.shape[1] != width:
                raise ValueError(f"{name} have shape (n, {width}) for this model, got {values.shape}")
        if len(codes) != len(expressions):
            raise ValueError(f"as many z as expression codes are needed, got {len(codes)} and {len(expressions)}")
        return in_batches(self.decode_codes, codes, expressions)

    def synthesize(
        self,
        faces: np.ndarray,
        expressions: str | int | Sequence[str | int] | np.ndarray,
        intensity: float | np.ndarray = 1.0,
        seed: int = 0,
    ) -> np.ndarray:
        """Puts expressions on faces: G_dec([g(x), u(y)]).

        Args:
            faces: float32 (n, h, w, c) in [-1, 1].
            expressions: a name or class number for all, or one for each face.
            intensity: in [0, 1], for all or for each face.
            seed: not used; given a face and an expression, FESR draws nothing at random.

        Returns:
            float32 (n, h, w, c) in [-1, 1].

        Raises:
            ValueError: an unknown expression, an intensity outside [0, 1], shapes that do not fit, or the baseline.
        """
        codes = self.encode(faces)
        if isinstance(expressions, (str, int, np.integer)):
            expressions = [expressions] * len(codes)
        if len(expressions) != len(codes):
            raise ValueError(f"as many faces as expressions are needed, got {len(codes)} and {len(expressions)}")
        return self.decode(codes, self.expression_codes(expressions, intensity))

    def change_expression(self, faces: np.ndarray, classes: np.ndarray, seed: int = 0) -> np.ndarray:
        """`synthesize` with whole intensity and class numbers (n,), as the protocols call it."""
        return self.synthesize(faces, np.asarray(classes), seed=seed)

    def identity_codes(self, images: np.ndarray) -> np.ndarray:
        """What a judge other than F_id as the loss used it says of who a face is, float32 (n, 128).

        The judge is the zoo's identity network. Where F_id is that network, too, it sees the faces mirrored, and
        without a sixteenth of their side at each border: a generator learns to please the very network and input of
        its loss.

        Args:
            images: float32 (n, h, w, c) in [-1, 1].
        """
        images = self.checked(images)
        if self.config.identity == "dlib_resnet":
            border = max(1, self.image_spec.size // 16)
            images = images[:, border:-border, border:-border][:, :, ::-1]
        spec = dataclasses.replace(self.image_spec, size=images.shape[1])
        return in_batches(_judge(spec), images)


@functools.lru_cache(maxsize=4)
def _judge(spec: ImageSpec) -> keras.Model:
    return identity_network("dlib_resnet", spec, "judge")

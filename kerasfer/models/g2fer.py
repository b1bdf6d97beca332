"""G2-FER: "Geometry Guided Pose-Invariant Facial Expression Recognition" (Zhang, Zhang, Mao, Xu; IEEE Trans. Image
Processing 2020).

A generator draws a face anew with the expression and the pose that 68 landmarks describe; the faces it draws train the
classifier, which in turn tells the generator whether they show what they should.

Symbols of the paper: x a face with label y^e, x^t another with landmarks g^t and label y^t; E embeds landmarks, f(g) is
its code; G_enc gives the identity f(x), G_dec draws x' = G_dec(f(x), f(g^t)); D_att judges images with their geometry,
D_i identities; C_exp classifies.

Variants, by the paper's names (`G2FERConfig.variant`): "g2fer"; "no_synfi", C_exp on real images alone, so that nothing
is generated; "no_ls", without label smoothing; "no_e2e", C_exp learns from generated images, and G does not from C_exp.

Readings of what the paper leaves open, each a field of `G2FERConfig` where there is a choice:

- f(g) is the narrow middle of E. L_gr is the L2 norm of what its other half misses. Norms in equation 7 are means over
  entries (`norm`), as in CAAE, whose design the networks follow; equation 8 is the sum that it prints.
- Table II lists seven deconvolutions of stride 2, which would give 896 x 896. Here all but the last two have stride 2,
  and the last, printed with 16 channels, has those of the image. Leaky ReLUs have a slope of 0.2.
- D_att sees the geometry as CAAE's discriminator sees its label: f(g^t) on every pixel of its first map. There it is a
  given: D_att's opinion reaches E through the image that was drawn, not through the condition.
- D_i's prior is uniform on [-1, 1].
- Equations 3 and 4: the discriminators go first, each on its own loss without the weights lambda1 and lambda2, which
  Adam would not feel. G then lowers log(1 - D) as printed (`adversarial="minimax"`), or raises log D
  ("non_saturating").
- Equation 7 prints the distance of x' to x. Where x^t is of the same person, x^t is what x' has to look like; elsewhere
  it is x (`content_target="auto"`). "target" and "input" take one of them throughout. "own" compares, where nobody has
  two images, x with G(x) at x's own landmarks, so that x' is free to follow g^t. The term `paired` reports the share of
  x^t that are of the same person.
- C_exp normalizes generated images as it does when it is used, by the running statistics of real ones: otherwise the
  first part of equation 5 would reach G through the statistics of a common batch, and generated images would have a
  say in how real ones are normalized. With `synthetic_statistics="batch"` it takes their own, apart from real ones.
- `synthetic_images` = k generated images train C_exp beside each real one: x', and k - 1 of the same person with
  landmarks drawn from 60 sets of the training set, made by G as it stands; each counts as much as a real one. They are
  drawn and labeled inside the training step. With 0, equation 5 has its first part alone.
- Landmark noise is uniform on [-sigma, sigma] pixels of the paper's image of 224, whatever the size of the model's, and
  is on all landmarks that G is given while training.
- The learning rate printed as 5^-4 is 5e-4. Batch size and epochs are not given.
- ResNet-50 starts from random weights (`classifier_start`). The paper's No_SynFI equals its Table IV's ResNet-50, which
  ImageNet started, although all weights are said to start from a normal distribution. `classifier_start` may be the
  path of those weights as keras.applications has them; nothing is downloaded.
- Where x^t is of somebody else, x is drawn at its own landmarks, and nothing forces the pose out of f(x).
  `pairs="everybody"` takes for x^t another image of the person or, where there is none, the same image warped.
- Two warps of one image show one expression, so that f(x) may hold it. `exchanged_landmarks` gives a share of the
  examples g^t and y^t of somebody else. No image shows what their x' has to look like, and equation 7 leaves them out:
  D_att judges them, and C_exp by equation 5.

What the paper does not have, and small sizes and few steps need, each a field: D_att sees the landmarks on its first
map (`attribute_condition="points"`), refuses real images beside other faces' landmarks (`wrong_landmarks`), has
spectral normalization for batch normalization (`attribute_norm`) and the hinge loss (`adversarial="hinge"`). D_i does
without batch normalization (`identity_norm`), which, as draws and codes are normalized apart, hides how long the codes
are, and is updated several times a step (`identity_updates`). The term `identity_told` reports the share of codes and
draws that their lengths alone tell apart: 0.5 is the prior; above 0.6 f(x) does not follow it yet.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasfer.backbones.resnet import STEMS, BatchNormalization, build_resnet50, uncounted
from kerasfer.faces import LANDMARK_GROUPS, MIRRORED_LANDMARKS, checked_landmarks
from kerasfer.losses import (
    cross_entropy_from_logits,
    hinge_discriminator_loss,
    hits,
    l1_distance,
    minimax_discriminator_loss,
    minimax_generator_loss,
    non_saturating_generator_loss,
    safe_norm,
    told_by_length,
    wasserstein_generator_loss,
)
from kerasfer.models.base import FERModel, ModelConfig, OptimizerPlan, copy_weights, in_batches, ours
from kerasfer.optimizers import FusedAdam

__all__ = ["G2FER", "VARIANTS", "YAWS", "G2FERConfig"]

VARIANTS = ("g2fer", "no_synfi", "no_ls", "no_e2e")
CONTENT_TARGETS = ("auto", "target", "input", "own")
ADVERSARIAL = ("minimax", "non_saturating", "hinge")
PAIRS = ("people", "everybody")
CONDITIONS = ("code", "points")
ATTRIBUTE_NORMS = ("batch", "spectral")
IDENTITY_NORMS = ("batch", "none")
GEOMETRY_NORMS = ("batch", "none")
STATISTICS = ("running", "batch")
CLASSIFIERS = ("resnet50", "dlib_resnet")

YAWS = (-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0)
"""Yaws in degrees at which the mean landmarks of each expression are kept."""

LANDMARKS = 136
"""Numbers that describe a face's geometry: x and y of 68 points."""

NOISE_PIXELS = 224
"""Side of the image whose pixels `landmark_noise` is given in."""

SLOPE = 0.2
"""Of the leaky ReLUs."""

EPSILON = 1e-7
"""Adam's, where a loss has the weight 1."""

_PRIOR, _NOISE, _SETS, _SET_NOISE, _OWN_NOISE = range(5)
"""What a step draws at random, for `FERModel.uniform`."""


def _is_imagenet(start: str) -> bool:
    """Whether C_exp started from ImageNet's weights, as the paper's."""
    return start != "random"


def _is_file(start: str) -> bool:
    """Whether C_exp's first weights are to be read from a file."""
    return start not in ("random", "imagenet")


@dataclasses.dataclass(frozen=True)
class G2FERConfig(ModelConfig):
    """Fields of G2-FER; the defaults are the paper's.

    Attributes:
        variant: one of `VARIANTS`; see the module.
        content_target: what equation 7 compares the generated image with: one of `CONTENT_TARGETS`; see the module.
        pairs: whose x^t are of x's person: those "people" of whom the set has several images, or "everybody".
        adversarial: the generator's side of equations 3 and 4: one of `ADVERSARIAL`; "hinge" is both sides of
            equation 3, and "non_saturating" in equation 4.
        norm: "mean" or "sum" over entries in equation 7.
        geometry_units: of E's layers but the last; the middle one is f(g).
        geometry_components: principal components of the training set's landmarks, each of unit variance, that E sees in
            their place; 0 for the landmarks themselves.
        geometry_norm: of E's layers: "batch", or "none".
        identity_units: width of f(x).
        encoder_channels: of G_enc's convolutions, each of which halves the map.
        decoder_channels: of G_dec's deconvolutions but the last; each doubles the map but the last of these.
        attribute_channels: of D_att's convolutions.
        attribute_units: of D_att's fully-connected layer.
        attribute_norm: of D_att's layers: "batch", or "spectral", with leaky ReLUs.
        attribute_condition: what D_att sees of g^t: its "code" f(g^t), or its "points", a map for each part
            of the face.
        exchanged_landmarks: share of a batch whose g^t and y^t are those of another example of it.
        wrong_landmarks: whether D_att is to refuse real images beside another face's landmarks.
        identity_discriminator_units: of D_i's layers but the last.
        identity_norm: of D_i's layers: "batch", or "none", with leaky ReLUs.
        identity_updates: of D_i a step.
        classifier: what stands before C_exp's two fully-connected layers: "resnet50"; or "dlib_resnet", the zoo's
            identity network, which starts from faces it knows.
        classifier_start: what ResNet-50 starts from: "random", or the path of ImageNet's weights as
            keras.applications has them (`kerasfer.backbones.keras_resnet50`). "imagenet" is what a saved model says
            that started so: its weights are its own, and it sees images as those did.
        classifier_units: of the first of the two.
        classifier_rate: learning rate of C_exp over that of the others, which may start untrained beside it.
        resnet_width, resnet_blocks, resnet_stem: see `kerasfer.backbones.resnet.build_resnet50`.
        dlib_size, dlib_blocks: side in pixels that the dlib network scales faces to, and its number of blocks.
        smoothing: rho of equation 6, for generated images.
        generator_steps: training steps before C_exp and G learn from each other; C_exp learns from real images alone
            until then.
        synthetic_statistics: what C_exp's batch normalization takes for generated images: "running" statistics of real
            ones, or those of their own "batch".
        synthetic_images: generated images beside each real one in C_exp's training; 1 is equation 5.
        landmark_sets: how many sets of landmarks are kept to generate further images from.
        landmark_noise: sigma in pixels of an image of 224.
        lambda_attribute, lambda_identity, lambda_classification, lambda_geometry, lambda_variation: lambda1 to lambda5
            of equation 10.
        deviation: standard deviation of the normal distribution that all weights start from.
        beta1, beta2: of Adam.
    """

    image_size: int = 224
    channels: int = 3
    pixel_range: str = "signed"
    batch_size: int = 32
    epochs: int = 100
    learning_rate: float = 5e-4
    variant: str = "g2fer"
    content_target: str = "auto"
    pairs: str = ours("people", "nothing else forces the pose out of f(x)")
    adversarial: str = "minimax"
    norm: str = "mean"
    geometry_units: tuple[int, ...] = (128, 64, 32, 64, 128)
    geometry_components: int = ours(0, "in f(g) an expression counts as much as the turn of a head")
    geometry_norm: str = ours("batch", "landmarks reach the decoder without the noise of a small batch")
    identity_units: int = 50
    encoder_channels: tuple[int, ...] = (64, 128, 256, 512, 1024)
    decoder_channels: tuple[int, ...] = (1024, 512, 256, 128, 64, 32)
    attribute_channels: tuple[int, ...] = (16, 32, 64, 128)
    attribute_units: int = 1024
    attribute_norm: str = ours("batch", "D_att must not outrun G")
    attribute_condition: str = ours("code", "D_att sees where each landmark lies")
    exchanged_landmarks: float = ours(0.0, "G draws expressions that no photograph of the person shows")
    wrong_landmarks: bool = ours(False, "D_att compares faces with their landmarks")
    identity_discriminator_units: tuple[int, ...] = (64, 32, 16)
    identity_norm: str = ours("batch", "D_i sees how long the codes are")
    identity_updates: int = ours(1, "D_i keeps up with f(x)")
    classifier: str = ours("resnet50", "a classifier that starts from faces it knows")
    classifier_start: str = ours("random", "ImageNet's weights are not the project's to ship", _is_imagenet)
    classifier_units: int = 512
    classifier_rate: float = ours(1.0, "what knows faces already learns more slowly")
    resnet_width: int = 64
    resnet_blocks: tuple[int, ...] = (3, 4, 6, 3)
    resnet_stem: str = ours("imagenet", "small faces keep their maps")
    dlib_size: int = ours(150, "a classifier that starts from faces it knows")
    dlib_blocks: int = ours(14, "a classifier that starts from faces it knows")
    smoothing: float = 0.1
    generator_steps: int = ours(0, "C_exp learns nothing from faces that are none yet")
    synthetic_statistics: str = ours("running", "running statistics of real images lag behind C_exp and do not fit")
    synthetic_images: int = 1
    landmark_sets: int = 60
    landmark_noise: float = 0.0
    lambda_attribute: float = 1e-3
    lambda_identity: float = 1e-3
    lambda_classification: float = 1e-3
    lambda_geometry: float = 1e-4
    lambda_variation: float = 1e-4
    deviation: float = 0.02
    beta1: float = 0.5
    beta2: float = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (
            ("variant", VARIANTS),
            ("content_target", CONTENT_TARGETS),
            ("pairs", PAIRS),
            ("adversarial", ADVERSARIAL),
            ("attribute_norm", ATTRIBUTE_NORMS),
            ("attribute_condition", CONDITIONS),
            ("identity_norm", IDENTITY_NORMS),
            ("geometry_norm", GEOMETRY_NORMS),
            ("norm", ("mean", "sum")),
            ("synthetic_statistics", STATISTICS),
            ("classifier", CLASSIFIERS),
            ("resnet_stem", STEMS),
        ):
            self._require(getattr(self, name) in known, f"{name} is one of {', '.join(known)}")
        self._require(self.pixel_range == "signed", "pixel_range is signed: the decoder ends in tanh")
        self._require(len(self.geometry_units) % 2 == 1, "geometry_units are an odd number of layers")
        self._require(0 <= self.geometry_components <= LANDMARKS, f"geometry_components are 0 to {LANDMARKS}")
        self._require(len(self.decoder_channels) >= 2, "decoder_channels are two numbers or more")
        doublings = 2 ** (len(self.decoder_channels) - 1)
        self._require(self.image_size % doublings == 0, f"image_size is a multiple of {doublings}")
        self._require(len(self.resnet_blocks) == 4, "resnet_blocks are four numbers")
        self._require(0 <= self.smoothing <= 1, "smoothing lies in [0, 1]")
        self._require(0 <= self.exchanged_landmarks <= 0.5, "exchanged_landmarks lie in [0, 0.5]")
        self._require(self.synthetic_images >= 0 and self.landmark_sets >= 1, "synthetic_images are not negative")
        self._require(self.generator_steps >= 0, "generator_steps are not negative")
        self._require(self.identity_updates >= 1, "identity_updates is at least 1")
        of_imagenet = (self.classifier, self.resnet_width, self.resnet_blocks, self.resnet_stem)
        self._require(
            self.classifier_start == "random" or of_imagenet == ("resnet50", 64, (3, 4, 6, 3), "imagenet"),
            "classifier_start is a file where C_exp is a whole ResNet-50: resnet_width 64, resnet_stem imagenet",
        )
        self._require(self.classifier_rate > 0, "classifier_rate is positive")
        self._require(self.landmark_noise >= 0 and self.deviation > 0, "landmark_noise and deviation are not negative")

    @classmethod
    def small(cls) -> G2FERConfig:
        return cls(
            image_size=48,
            channels=1,
            precision="mixed_bfloat16",
            epochs=4,
            pairs="everybody",
            adversarial="hinge",
            geometry_components=24,
            geometry_norm="none",
            identity_units=256,
            encoder_channels=(32, 64, 128, 256),
            decoder_channels=(256, 128, 64, 32, 16),
            attribute_channels=(32, 64, 128, 256),
            attribute_units=256,
            attribute_norm="spectral",
            attribute_condition="points",
            wrong_landmarks=True,
            identity_norm="none",
            identity_updates=3,
            resnet_width=24,
            resnet_stem="half",
            # C_exp learns from random weights, too, and more slowly than G.
            classifier_rate=2.0,
            # The hinge's gradient at an image is up to 1 long, that of L1's mean a forty-eighth: with a lambda1 of 0.03
            # and more G learns to please D_att and little else, and with a lambda2 of 0.02 f(x) stays one point.
            lambda_attribute=0.004,
            lambda_identity=0.001,
            lambda_classification=0.02,
            lambda_geometry=0.01,
            # A sum over pixels beside L1's mean: at 48 pixels 1e-4 would smooth as much as L1 sharpens.
            lambda_variation=1e-6,
            # Layers without a norm then pass on as much as they are given; thinner ones need larger weights for it.
            deviation=0.06,
        )

    @classmethod
    def tiny(cls) -> G2FERConfig:
        return cls(
            image_size=32,
            channels=1,
            batch_size=4,
            epochs=1,
            geometry_units=(12, 8, 12),
            identity_units=6,
            encoder_channels=(4, 6, 8),
            decoder_channels=(8, 6, 4, 4),
            attribute_channels=(4, 6),
            attribute_units=8,
            identity_discriminator_units=(8, 4),
            classifier_units=8,
            resnet_width=2,
            resnet_blocks=(1, 1, 1, 1),
            resnet_stem="half",
            landmark_sets=5,
            deviation=0.2,
        )

    def recognizing(self) -> G2FERConfig:
        return dataclasses.replace(self, variant="no_synfi")

    @property
    def code_units(self) -> int:
        """Width of f(g)."""
        return self.geometry_units[len(self.geometry_units) // 2]


# -- networks of Table II ----------------------------------------------------------------------------------------------


def _normal(config: G2FERConfig) -> Callable[[], keras.initializers.Initializer]:
    """Makes initializers of the paper's normal distribution; each draws numbers of its own."""
    return functools.partial(keras.initializers.RandomNormal, 0.0, config.deviation)


def _dense(config: G2FERConfig, units: int, name: str, **options: Any) -> keras.layers.Dense:
    """A fully-connected layer; in float32 unless a dtype is given, since landmarks are finer than bfloat16."""
    return keras.layers.Dense(units, kernel_initializer=_normal(config)(), name=name, **{"dtype": "float32", **options})


def _dense_norm_relu(
    config: G2FERConfig, x: keras.KerasTensor, units: Sequence[int], first: int = 1, norm: str = "batch"
) -> keras.KerasTensor:
    for number, width in enumerate(units, first):
        x = _dense(config, width, f"fc{number}")(x)
        if norm == "batch":
            x = BatchNormalization(name=f"norm{number}", dtype="float32")(x)
        x = keras.layers.ReLU(name=f"relu{number}", dtype="float32")(x)
    return x


@keras.saving.register_keras_serializable("kerasfer")
class LandmarkComponents(keras.layers.Layer):
    """Principal components of landmarks, each of unit variance in the training set; it learns nothing.

    Where landmarks differ most is how a head is turned; with all components alike, E tells expressions apart as soon.

    Args:
        count: number of components.

    Input: float32 (n, 136) in [-1, 1]. Output: float32 (n, count).
    """

    def __init__(self, count: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count

    def build(self, input_shape: tuple) -> None:
        kept = functools.partial(self.add_weight, trainable=False, dtype="float32", autocast=False)
        self.mean = kept((LANDMARKS,), initializer="zeros", name="mean")
        self.projection = kept((LANDMARKS, self.count), initializer="orthogonal", name="projection")

    @property
    def found(self) -> bool:
        """Whether `find` has been called: no mean of faces is zero."""
        return bool(np.any(self.mean.numpy()))

    def find(self, landmarks: np.ndarray) -> None:
        """Takes the components of landmarks, (n, 136) in [-1, 1]; those beyond n - 1 stay without effect."""
        mean = landmarks.mean(0, dtype=np.float64)
        variances, directions = np.linalg.eigh(np.cov(landmarks - mean, rowvar=False, bias=True))
        variances, directions = variances[::-1][: self.count], directions[:, ::-1][:, : self.count]
        seen = variances > 1e-8 * max(variances[0], 1e-8)
        self.mean.assign(mean)
        self.projection.assign(directions * np.where(seen, 1 / np.sqrt(np.where(seen, variances, 1)), 0))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.matmul(inputs - self.mean, self.projection)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], self.count)

    def get_config(self) -> dict:
        return {**super().get_config(), "count": self.count}


def build_geometry_encoder(config: G2FERConfig) -> keras.Model:
    """The first half of E: landmarks in [-1, 1], (136,), to f(g), float32 (n, 32)."""
    landmarks = keras.Input((LANDMARKS,), name="landmarks")
    half, x = len(config.geometry_units) // 2, landmarks
    if config.geometry_components:
        x = LandmarkComponents(config.geometry_components, name="components", dtype="float32")(x)
    code = _dense_norm_relu(config, x, config.geometry_units[: half + 1], norm=config.geometry_norm)
    return keras.Model(landmarks, code, name="geometry_encoder")


def build_geometry_decoder(config: G2FERConfig) -> keras.Model:
    """The second half of E: f(g) to landmarks again, float32 (n, 136) in [-1, 1]."""
    code = keras.Input((config.code_units,), name="geometry_code")
    half = len(config.geometry_units) // 2
    x = _dense_norm_relu(config, code, config.geometry_units[half + 1 :], half + 2, config.geometry_norm)
    landmarks = _dense(config, LANDMARKS, "landmarks", activation="tanh")(x)
    return keras.Model(code, landmarks, name="geometry_decoder")


def build_encoder(config: G2FERConfig) -> keras.Model:
    """G_enc: image (h, w, c) to f(x), float32 (n, 50) in [-1, 1]."""
    image = keras.Input((config.image_size, config.image_size, config.channels), name="image")
    x = image
    for number, channels in enumerate(config.encoder_channels, 1):
        x = keras.layers.Conv2D(
            channels, 5, 2, "same", activation="relu", kernel_initializer=_normal(config)(), name=f"conv{number}"
        )(x)
    x = keras.layers.Flatten(name="flatten")(x)
    identity = _dense(config, config.identity_units, "identity", activation="tanh")(x)
    return keras.Model(image, identity, name="encoder")


def build_decoder(config: G2FERConfig) -> keras.Model:
    """G_dec: f(x) and f(g), concatenated (82), to an image (h, w, c), float32 in [-1, 1]."""
    identity = keras.Input((config.identity_units,), name="identity_code")
    geometry = keras.Input((config.code_units,), name="geometry_code")
    doublings = len(config.decoder_channels) - 1
    side, first = config.image_size >> doublings, config.decoder_channels[0]
    x = keras.layers.Concatenate(name="concatenate", dtype="float32")([identity, geometry])
    policy = keras.config.dtype_policy()
    x = _dense(config, side * side * first, "fc", activation="relu", dtype=policy)(x)
    x = keras.layers.Reshape((side, side, first), name="map")(x)
    for number, channels in enumerate((*config.decoder_channels, config.channels), 1):
        last = number == doublings + 2
        x = keras.layers.Conv2DTranspose(
            channels,
            5,
            2 if number <= doublings else 1,
            "same",
            activation=None if last else "relu",
            kernel_initializer=_normal(config)(),
            name="to_image" if last else f"deconv{number}",
        )(x)
    image = keras.layers.Activation("tanh", dtype="float32", name="tanh")(x)
    return keras.Model([identity, geometry], image, name="decoder")


@keras.saving.register_keras_serializable("kerasfer")
class LandmarkMaps(keras.layers.Layer):
    """Landmarks as maps, one for each part of the face: 1 where a point lies, less and less around it.

    A point's surroundings are a Gaussian with the deviation of one pixel of the map.

    Args:
        side: height and width of the maps.

    Input: float32 (n, 136) in [-1, 1]. Output: float (n, side, side, 9), in the order of `LANDMARK_GROUPS`.
    """

    def __init__(self, side: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.side = side

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        points = (tf.reshape(tf.cast(inputs, tf.float32), (-1, 68, 2)) + 1.0) * (self.side / 2)
        ticks = tf.range(self.side, dtype=tf.float32) + 0.5
        across, down = (tf.exp(-0.5 * tf.square(points[..., axis, None] - ticks)) for axis in (0, 1))
        parts = []
        for group in LANDMARK_GROUPS.values():
            rows, columns = down[:, group.start : group.stop], across[:, group.start : group.stop]
            parts.append(tf.reduce_max(rows[:, :, :, None] * columns[:, :, None, :], 1))
        return tf.cast(tf.stack(parts, -1), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], self.side, self.side, len(LANDMARK_GROUPS))

    def get_config(self) -> dict:
        return {**super().get_config(), "side": self.side}


def build_attribute_discriminator(config: G2FERConfig) -> keras.Model:
    """D_att before its sigmoid: image (h, w, c) and f(g), or g itself (136,), to a logit, float32 (n, 1)."""
    spectral = config.attribute_norm == "spectral"
    image = keras.Input((config.image_size, config.image_size, config.channels), name="image")
    by_code = config.attribute_condition == "code"
    geometry = keras.Input(
        (config.code_units if by_code else LANDMARKS,), name="geometry_code" if by_code else "landmarks"
    )

    def judging(layer: keras.layers.Layer) -> keras.layers.Layer:
        return keras.layers.SpectralNormalization(layer, name=f"{layer.name}_spectral") if spectral else layer

    x = image
    for number, channels in enumerate(config.attribute_channels, 1):
        layer = keras.layers.Conv2D(channels, 5, 2, "same", kernel_initializer=_normal(config)(), name=f"conv{number}")
        x = judging(layer)(x)
        if spectral:
            x = keras.layers.LeakyReLU(SLOPE, name=f"leaky{number}")(x)
        else:
            x = BatchNormalization(name=f"norm{number}")(x)
            x = keras.layers.ReLU(name=f"relu{number}")(x)
        if number == 1:
            height, width = x.shape[1:3]
            if by_code:
                seen = keras.layers.RepeatVector(height * width, name="repeat")(geometry)
                seen = keras.layers.Reshape((height, width, config.code_units), name="tile")(seen)
            else:
                seen = LandmarkMaps(height, name="maps")(geometry)
            x = keras.layers.Concatenate(name="concatenate")([x, seen])
    x = keras.layers.Flatten(name="flatten")(x)
    x = judging(_dense(config, config.attribute_units, "fc1", dtype=keras.config.dtype_policy()))(x)
    if not spectral:
        x = BatchNormalization(name="fc1_norm")(x)
    x = keras.layers.LeakyReLU(SLOPE, name="fc1_leaky")(x)
    return keras.Model([image, geometry], judging(_dense(config, 1, "fc2"))(x), name="attribute_discriminator")


def build_identity_discriminator(config: G2FERConfig) -> keras.Model:
    """D_i before its sigmoid: f(x) or a draw from the prior, (50,), to a logit, float32 (n, 1)."""
    x = identity = keras.Input((config.identity_units,), name="identity_code")
    if config.identity_norm == "batch":
        x = _dense_norm_relu(config, identity, config.identity_discriminator_units)
    else:
        for number, width in enumerate(config.identity_discriminator_units, 1):
            x = _dense(config, width, f"fc{number}")(x)
            x = keras.layers.LeakyReLU(SLOPE, name=f"leaky{number}", dtype="float32")(x)
    return keras.Model(identity, _dense(config, 1, "logit")(x), name="identity_discriminator")


def build_classifier(config: G2FERConfig) -> keras.Model:
    """C_exp: image (h, w, c) to logits, float32 (n, K)."""
    if config.classifier == "resnet50":
        from kerasfer.backbones.keras_resnet50 import as_imagenet, load_keras_resnet50

        start = config.classifier_start
        body = build_resnet50(
            "body",
            (config.image_size, config.image_size, config.channels),
            config.resnet_width,
            config.resnet_blocks,
            config.resnet_stem,
            _normal(config),
            None if start == "random" else as_imagenet,
        )
        if _is_file(start):
            load_keras_resnet50(body, start)
    else:
        from kerasfer.backbones.dlib_resnet import build_dlib_resnet, load_dlib_weights

        body = build_dlib_resnet(
            "body",
            config.image_size,
            config.channels,
            config.pixel_range,
            internal_size=config.dlib_size,
            blocks=config.dlib_blocks,
        )
        load_dlib_weights(body)
    x = _dense(config, config.classifier_units, "fc1", activation="relu")(body.output)
    logits = _dense(config, len(config.expressions), "fc2")(x)
    return keras.Model(body.input, logits, name="classifier")


@keras.saving.register_keras_serializable("kerasfer")
class LandmarkSets(keras.layers.Layer):
    """Landmarks that the training set has shown, in [-1, 1]: sets to generate from, and means by expression and yaw.

    Args:
        sets: number of sets.
        classes: K.

    Attributes:
        yaws: `YAWS`.
        sets: float32 (sets, 136); labels: float32 (sets, K), zeros before a training has filled them.
        means: float32 (K, yaws, 136); counts: float32 (K, yaws), number of faces behind each.

    Input: int (n,), numbers of sets. Output: their landmarks, float32 (n, 136), and labels, float32 (n, K).
    """

    yaws = YAWS

    def __init__(self, sets: int, classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number = sets
        self.classes = classes

    def build(self, input_shape: tuple) -> None:
        def kept(name: str, *shape: int) -> keras.Variable:
            return self.add_weight(
                shape, initializer="zeros", trainable=False, name=name, dtype="float32", autocast=False
            )

        self.sets = kept("sets", self.number, LANDMARKS)
        self.labels = kept("labels", self.number, self.classes)
        self.means = kept("means", self.classes, len(YAWS), LANDMARKS)
        self.counts = kept("counts", self.classes, len(YAWS))

    def call(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(tf.convert_to_tensor(self.sets), inputs), tf.gather(tf.convert_to_tensor(self.labels), inputs)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], LANDMARKS), (input_shape[0], self.classes)

    def get_config(self) -> dict:
        return {**super().get_config(), "sets": self.number, "classes": self.classes}


def build_landmark_sets(config: G2FERConfig) -> keras.Model:
    """`LandmarkSets` as a network without anything to learn, so that it is stored with the generator."""
    numbers = keras.Input((), dtype="int32", name="numbers")
    outputs = LandmarkSets(config.landmark_sets, len(config.expressions), name="kept", dtype="float32")(numbers)
    return keras.Model(numbers, outputs, name="landmark_sets")


@keras.saving.register_keras_serializable("kerasfer")
class G2FER(FERModel):
    """G2-FER or a variant of it.

    Networks: classifier (C_exp); encoder and decoder (G); geometry_encoder and geometry_decoder (E);
    attribute_discriminator (D_att); identity_discriminator (D_i); landmark_sets, which learns nothing. No_SynFI has the
    classifier alone.
    """

    Config = G2FERConfig
    config: G2FERConfig
    controls = ("landmarks",)

    @classmethod
    def batch_kind_of(cls, config: G2FERConfig) -> str:
        if config.variant == "no_synfi":
            return "images_together"
        return "warped_pairs" if config.pairs == "everybody" else "landmark_pairs"

    @property
    def generates(self) -> bool:
        """Whether the variant has a generator."""
        return self.config.variant != "no_synfi"

    def build_networks(self) -> dict[str, keras.Model]:
        config = self.config
        networks = {"classifier": build_classifier(config)}
        if self.generates:
            networks |= {
                "geometry_encoder": build_geometry_encoder(config),
                "geometry_decoder": build_geometry_decoder(config),
                "encoder": build_encoder(config),
                "decoder": build_decoder(config),
                "attribute_discriminator": build_attribute_discriminator(config),
                "identity_discriminator": build_identity_discriminator(config),
                "landmark_sets": build_landmark_sets(config),
            }
        return networks

    def optimizer_plans(self) -> dict[str, OptimizerPlan]:
        make = functools.partial(FusedAdam, beta_1=self.config.beta1, beta_2=self.config.beta2)
        # C_exp has no loss but L_c: with an epsilon as small as lambda3, Adam's steps are as if lambda3 were 1.
        epsilon = EPSILON * (self.config.lambda_classification or 1.0)
        classifier = functools.partial(make, epsilon=epsilon)
        plans = {"classifier": OptimizerPlan(("classifier",), classifier, rate=self.config.classifier_rate)}
        if self.generates:
            moved = ("encoder", "decoder", "geometry_encoder", "geometry_decoder")
            plans["generator"] = OptimizerPlan(moved, make)
            for name in ("attribute_discriminator", "identity_discriminator"):
                plans[name] = OptimizerPlan((name,), make, average=False)
            plans["identity_discriminator"] = dataclasses.replace(
                plans["identity_discriminator"], updates=self.config.identity_updates
            )
        return plans

    def weight_groups(self) -> dict[str, tuple[str, ...]]:
        groups: dict[str, tuple[str, ...]] = {"recognizer": ("classifier",)}
        if self.generates:
            groups["generator"] = ("encoder", "decoder", "geometry_encoder", "landmark_sets")
            groups["training"] = ("geometry_decoder", "attribute_discriminator", "identity_discriminator")
        return groups

    def loss_terms(self) -> tuple[str, ...]:
        if not self.generates:
            return ("classification", "accuracy")
        return (
            "attribute_discriminator",
            "identity_discriminator",
            "attribute_adversarial",
            "identity_adversarial",
            "classification",
            "synthetic",
            "content",
            "geometry",
            "variation",
            "paired",
            "identity_told",
            "accuracy",
            "synthetic_accuracy",
        )

    def portable_config(self) -> G2FERConfig:
        started = "imagenet" if _is_file(self.config.classifier_start) else self.config.classifier_start
        return dataclasses.replace(self.config, classifier_start=started)

    def starts(self) -> tuple[int, ...]:
        steps = self.config.generator_steps
        return (steps,) if self.generates and steps else ()

    def generator(self) -> keras.Model | None:
        """G: "face" (h, w, c) and "landmarks" (68, 2) in pixels of the face to "image"; None for No_SynFI."""
        if not self.generates:
            return None
        face = keras.Input(self.image_spec.shape, name="face")
        landmarks = keras.Input((68, 2), name="landmarks")
        flat = keras.layers.Reshape((LANDMARKS,), name="flat", dtype="float32")(landmarks)
        scaled = keras.layers.Rescaling(2.0 / self.image_spec.size, -1.0, name="scaled", dtype="float32")(flat)
        codes = [self.networks["encoder"](face), self.networks["geometry_encoder"](scaled)]
        image = self.networks["decoder"](codes)
        return keras.Model({"face": face, "landmarks": landmarks}, {"image": image}, name="generator")

    def generator_inputs(self, faces: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
        """Aligned faces, each with one of the kept sets of landmarks."""
        numbers = np.random.default_rng(seed).integers(self.config.landmark_sets, size=len(faces))
        return {"face": faces, "landmarks": self.in_pixels(self.kept.sets.numpy()[numbers])}

    def start_from(self, other: FERModel) -> None:
        """Copies the networks that both have; from an IPD-FER or its baseline, what stands before C_exp's last layers.

        The paper starts every network at random. An IPD-FER's expression encoder is the network of
        `classifier="dlib_resnet"`, taught expressions. From a G2-FER whose C_exp is of another kind all else is copied:
        C_exp stays as it starts.

        Raises:
            ConfigError: no network is shared, or one has other shapes.
        """
        if isinstance(other, G2FER) and other.generates and other.config.classifier != self.config.classifier:
            shared = [name for name in self.networks if name in other.networks and name not in other.left_out()]
            for name in shared:
                if name != "classifier":
                    copy_weights(other.networks[name], self.networks[name])
            if shared != ["classifier"]:
                return
        if self.config.classifier != "dlib_resnet" or "expression_encoder" not in other.networks:
            super().start_from(other)
            return
        from kerasfer.backbones.dlib_resnet import fold_normalization

        classifier = self.networks["classifier"]
        body = keras.Model(classifier.input, classifier.get_layer("fc1").input, name="classifier_body")
        copy_weights(fold_normalization(other.networks["expression_encoder"]), body)

    # -- one training step ---------------------------------------------------------------------------------------------

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        batch = self.as_batch(batch)
        if self.generates:
            self._train_together(batch)
        else:
            self._train_classifier(batch["image"], batch["label"])
        self.step.assign_add(1)
        return self.result()

    def _train_classifier(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """The first part of equation 5 alone."""
        with tf.GradientTape() as tape:
            logits = self.networks["classifier"](images, training=True)
            loss = self.config.lambda_classification * self.mean_over_batch(cross_entropy_from_logits(labels, logits))
        self.minimize("classifier", loss, tape)
        self.report(classification=loss, accuracy=self.mean_over_batch(hits(labels, logits)))

    def _train_together(self, batch: dict[str, tf.Tensor]) -> None:
        """Equation 10: first both discriminators, then G, E and C_exp."""
        networks = self.networks
        geometry = self._exchanged(self._noisy(self._scaled(batch["other_landmarks"]), _NOISE))
        with tf.GradientTape() as tape:
            identity = networks["encoder"](batch["image"], training=True)  # f(x)
            codes = self._embed(geometry, batch)
            code = codes[: tf.shape(geometry)[0]]  # f(g^t)
            drawn = self._decode(identity, codes)
            changed = drawn[: tf.shape(geometry)[0]]  # x'
            with tape.stop_recording():
                condition = self._condition(code, geometry)
                self._train_attribute_discriminator(batch["other_image"], tf.stop_gradient(changed), condition)
                self._train_identity_discriminator(tf.stop_gradient(identity))
            terms = self._synthesis_terms(batch, geometry, identity, codes, drawn)
            terms |= self._classification_terms(batch, identity, changed, tape)
            loss = tf.add_n(list(terms.values()))
        self.minimize(("generator", "classifier"), loss, tape)
        self.report(**terms, paired=self.mean_over_batch(batch["paired"]))

    def _exchanged(self, values: tf.Tensor, by: int = 1) -> tf.Tensor:
        """What goes with g^t, (n, ...): of the first of a batch, the config's share, each has what the one before had.

        With `by` -1 each has its own again.
        """
        if not self.config.exchanged_landmarks:
            return values
        count = self._exchanging(values)
        return tf.concat([tf.roll(values[:count], by, 0), values[count:]], 0)

    def _exchanging(self, values: tf.Tensor) -> tf.Tensor:
        """How many examples of a batch exchange their g^t."""
        return tf.cast(self.config.exchanged_landmarks * tf.cast(tf.shape(values)[0], tf.float32), tf.int32)

    def _scaled(self, landmarks: tf.Tensor) -> tf.Tensor:
        """Landmarks, float32 (n, 68, 2) in pixels, as numbers (n, 136) that are -1 and 1 at the image's borders."""
        return tf.reshape(landmarks, (-1, LANDMARKS)) * (2.0 / self.image_spec.size) - 1.0

    def _noisy(self, geometry: tf.Tensor, draw: int) -> tf.Tensor:
        """Landmarks (n, 136) in [-1, 1] with the config's noise."""
        if not self.config.landmark_noise:
            return geometry
        reach = self.config.landmark_noise * 2.0 / NOISE_PIXELS
        return geometry + reach * (2.0 * self.uniform((tf.shape(geometry)[0], LANDMARKS), draw) - 1.0)

    def _embed(self, geometry: tf.Tensor, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """f(g^t); with `content_target="own"` the code of each x's own landmarks after them."""
        if self.config.content_target == "own":
            own = self._noisy(self._scaled(batch["landmarks"]), _OWN_NOISE)
            geometry = tf.concat([geometry, own], 0)
        return self.networks["geometry_encoder"](geometry, training=True)

    def _decode(self, identity: tf.Tensor, codes: tf.Tensor, training: bool = True) -> tf.Tensor:
        """G_dec of f(x), (n, 50), and codes, (n or 2 n, 32), of which the second half belongs to the same f(x)."""
        if self.config.content_target == "own" and training:
            identity = tf.tile(identity, [2, 1])
        return self.networks["decoder"]([identity, codes], training=training)

    def _condition(self, code: tf.Tensor, geometry: tf.Tensor) -> tf.Tensor:
        """What D_att sees of g^t, as a given."""
        return tf.stop_gradient(code if self.config.attribute_condition == "code" else geometry)

    def _train_attribute_discriminator(self, real: tf.Tensor, generated: tf.Tensor, condition: tf.Tensor) -> None:
        """Equation 3, D_att's side; with `wrong_landmarks` half of what is refused are real images beside others' g."""
        judge, own = self.networks["attribute_discriminator"], self._exchanged(condition, -1)
        loss_of = hinge_discriminator_loss if self.config.adversarial == "hinge" else minimax_discriminator_loss
        with tf.GradientTape() as tape:
            on_real, on_generated = judge([real, own], training=True), judge([generated, condition], training=True)
            losses = loss_of(on_real, on_generated)
            if self.config.wrong_landmarks:
                on_wrong = judge([real, tf.roll(own, 1, 0)], training=True)
                losses = 0.5 * (losses + loss_of(on_real, on_wrong))
            loss = self.mean_over_batch(losses)
        self.minimize("attribute_discriminator", loss, tape)
        self.report(attribute_discriminator=loss)

    def _train_identity_discriminator(self, identity: tf.Tensor) -> None:
        """Equation 4, D_i's side."""
        judge, updates = self.networks["identity_discriminator"], self.config.identity_updates
        shape = (tf.shape(identity)[0], updates, self.config.identity_units)
        draws = tf.unstack(2.0 * self.uniform(shape, _PRIOR) - 1.0, updates, 1)
        total = tf.zeros([])
        for prior in draws:
            with tf.GradientTape() as tape:
                on_prior, on_identity = (judge(codes, training=True) for codes in (prior, identity))
                loss = self.mean_over_batch(minimax_discriminator_loss(on_prior, on_identity))
            self.minimize("identity_discriminator", loss, tape)
            total += loss / updates
        told = self.mean_over_batch(told_by_length(draws[0], identity))
        self.report(identity_discriminator=total, identity_told=told)

    def _synthesis_terms(
        self, batch: dict[str, tf.Tensor], geometry: tf.Tensor, identity: tf.Tensor, codes: tf.Tensor, drawn: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """All terms of equation 10 but L_c."""
        config, networks = self.config, self.networks
        count = tf.shape(geometry)[0]
        code, changed = codes[:count], drawn[:count]
        fooling = minimax_generator_loss if config.adversarial == "minimax" else non_saturating_generator_loss
        pleasing = wasserstein_generator_loss if config.adversarial == "hinge" else fooling
        condition = self._condition(code, geometry)
        on_image = networks["attribute_discriminator"]([changed, condition], training=True)
        on_identity = networks["identity_discriminator"](identity, training=True)
        rebuilt = networks["geometry_decoder"](code, training=True)
        means = {
            "attribute_adversarial": config.lambda_attribute * pleasing(on_image),  # Equation 3
            "identity_adversarial": config.lambda_identity * fooling(on_identity),  # Equation 4
            "content": self._content(batch, changed, drawn[count:]),  # Equation 7
            "variation": config.lambda_variation * tf.image.total_variation(changed),  # Equation 8
            "geometry": config.lambda_geometry * safe_norm(geometry - rebuilt),  # Equation 9
        }
        return {name: self.mean_over_batch(values) for name, values in means.items()}

    def _content(self, batch: dict[str, tf.Tensor], changed: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
        """Equation 7 for each example, float32 (n,); of those with their own g^t, where some have exchanged it."""
        distances = self._distances(batch, changed, own)
        if not self.config.exchanged_landmarks:
            return distances
        count, exchanging = tf.shape(distances)[0], self._exchanging(distances)
        kept = tf.cast(tf.range(count) >= exchanging, tf.float32)
        return distances * kept * tf.cast(count / (count - exchanging), tf.float32)

    def _distances(self, batch: dict[str, tf.Tensor], changed: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
        """What equation 7 compares, float32 (n,)."""
        distance = functools.partial(l1_distance, norm=self.config.norm)
        if self.config.content_target == "input":
            return distance(batch["image"], changed)
        to_target = distance(batch["other_image"], changed)
        if self.config.content_target == "target":
            return to_target
        to_input = distance(batch["image"], own if self.config.content_target == "own" else changed)
        return batch["paired"] * to_target + (1.0 - batch["paired"]) * to_input

    def _classification_terms(
        self, batch: dict[str, tf.Tensor], identity: tf.Tensor, changed: tf.Tensor, tape: tf.GradientTape
    ) -> dict[str, tf.Tensor]:
        """Equation 5, weighted: C_exp on real images and, with label smoothing, on generated ones."""
        config = self.config
        real = self.networks["classifier"](batch["image"], training=True)
        on_real = self.mean_over_batch(cross_entropy_from_logits(batch["label"], real))
        on_synthetic, right = tf.zeros([]), tf.zeros([])
        if config.synthetic_images:

            def together() -> tuple[tf.Tensor, tf.Tensor]:
                return self._on_synthetic(self._exchanged(batch["other_label"]), identity, changed, tape)

            def apart() -> tuple[tf.Tensor, tf.Tensor]:
                return tf.zeros([]), tf.zeros([])

            on_synthetic, right = self.when_started(0, together, apart) if self.starts() else together()
        self.report(accuracy=self.mean_over_batch(hits(batch["label"], real)), synthetic_accuracy=right)
        return {
            "classification": config.lambda_classification * on_real,
            "synthetic": config.lambda_classification * on_synthetic,
        }

    def _on_synthetic(
        self, labels: tf.Tensor, identity: tf.Tensor, changed: tf.Tensor, tape: tf.GradientTape
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The second part of equation 5, with label smoothing, and how often C_exp is right there."""
        config = self.config
        smoothing = 0.0 if config.variant == "no_ls" else config.smoothing  # Equation 6, by the cross entropy
        seen = tf.stop_gradient(changed) if config.variant == "no_e2e" else changed
        if config.synthetic_images > 1:
            with tape.stop_recording():
                further, further_labels = self._further(tf.stop_gradient(identity))
            seen = tf.concat([seen, further], 0)
        count = tf.shape(labels)[0]
        logits = self._judged_expressions(seen)
        loss = self.mean_over_batch(cross_entropy_from_logits(labels, logits[:count], smoothing))
        right = self.mean_over_batch(hits(labels, logits[:count]))
        if config.synthetic_images > 1:
            losses = cross_entropy_from_logits(further_labels, logits[count:], smoothing)
            # Sets that no training set has filled have no label, and count for nothing.
            losses *= tf.reduce_sum(further_labels, -1)
            loss += (config.synthetic_images - 1.0) * self.mean_over_batch(losses)
        return loss, right

    def _judged_expressions(self, generated: tf.Tensor) -> tf.Tensor:
        """C_exp of generated images, which have no say in its running statistics: logits, float32 (n, K)."""
        classifier = self.networks["classifier"]
        if self.config.synthetic_statistics == "running":
            return classifier(generated, training=False)
        with uncounted(classifier):
            return classifier(generated, training=True)

    def _further(self, identity: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """k - 1 more images of each person with landmarks of the kept sets, and the sets' labels."""
        each = self.config.synthetic_images - 1
        count = tf.shape(identity)[0]
        draws = tf.reshape(self.uniform((count, each), _SETS), [-1])
        numbers = tf.cast(draws * self.config.landmark_sets, tf.int32)
        geometry, labels = self.networks["landmark_sets"](tf.minimum(numbers, self.config.landmark_sets - 1))
        code = self.networks["geometry_encoder"](self._noisy(geometry, _SET_NOISE), training=False)
        return self._decode(tf.repeat(identity, each, 0), code, training=False), labels

    # -- landmarks of the training set ---------------------------------------------------------------------------------

    @property
    def kept(self) -> LandmarkSets:
        """What the training set has shown; `ValueError` for No_SynFI, which keeps nothing."""
        self.require_generator()
        return self.networks["landmark_sets"].get_layer("kept")

    def adapt(self, columns: dict[str, np.ndarray]) -> None:
        """Keeps sets of landmarks of the training set, means by expression and yaw, and the components that E sees.

        The sets are spread over expressions and yaws as evenly as the faces allow. Each face counts toward the means
        as it is and mirrored.

        Args:
            columns: "landmarks", float32 (n, 68, 2) in pixels of the model's images, and "label", float32 (n, K).
        """
        if not self.generates:
            return
        from kerasfer.detection.pose import head_poses

        points, labels = np.asarray(columns["landmarks"], np.float32), np.asarray(columns["label"], np.float32)
        scaled = self._in_range(points)
        yaw = head_poses(points)[:, 0]
        classes, bins = labels.argmax(1), np.abs(yaw[:, None] - YAWS).argmin(1)
        cells: dict[tuple[int, int], list[int]] = {}
        for row in np.random.default_rng(self.config.seed).permutation(len(points)).tolist():
            cells.setdefault((int(classes[row]), int(bins[row])), []).append(row)
        by_turn = [rows[turn] for turn in range(len(points)) for _, rows in sorted(cells.items()) if turn < len(rows)]
        chosen = np.resize(by_turn[: self.config.landmark_sets], self.config.landmark_sets)
        kept = self.kept
        kept.sets.assign(scaled[chosen])
        kept.labels.assign(labels[chosen])

        mirrored = scaled.reshape(-1, 68, 2)[:, MIRRORED_LANDMARKS] * np.float32([-1, 1])
        both = np.concatenate([scaled, mirrored.reshape(-1, LANDMARKS)])
        if self.config.geometry_components:
            components = self.networks["geometry_encoder"].get_layer("components")
            # An encoder that has learned goes on with the components that it has learned on.
            if not components.found:
                components.find(both)
        step = YAWS[1] - YAWS[0]
        yaws, classes = np.concatenate([yaw, -yaw]), np.tile(classes, 2)
        bins = np.abs(yaws[:, None] - YAWS).argmin(1)
        inside = np.abs(yaws) <= YAWS[-1] + step / 2
        shape = (len(self.label_space), len(YAWS))
        place = np.ravel_multi_index((classes[inside], bins[inside]), shape)
        counts = np.bincount(place, minlength=shape[0] * shape[1])
        sums = np.zeros((len(counts), LANDMARKS))
        np.add.at(sums, place, both[inside])
        kept.means.assign((sums / np.maximum(counts, 1)[:, None]).reshape(*shape, LANDMARKS))
        kept.counts.assign(counts.reshape(shape))

    def _in_range(self, landmarks: np.ndarray) -> np.ndarray:
        """Pixels, (n, 68, 2), to numbers, float32 (n, 136), that are -1 and 1 at the image's borders."""
        return np.asarray(landmarks, np.float32).reshape(-1, LANDMARKS) * (2.0 / self.image_spec.size) - np.float32(1)

    def in_pixels(self, geometry: np.ndarray) -> np.ndarray:
        """The other way round: float32 (n, 68, 2)."""
        return ((np.asarray(geometry, np.float32) + 1) * (self.image_spec.size / 2)).reshape(-1, 68, 2)

    # -- synthesis -----------------------------------------------------------------------------------------------------

    def codes(self, images: np.ndarray) -> dict[str, np.ndarray]:
        images = self.checked(images)
        classifier = self.networks["classifier"]
        features = keras.Model(classifier.input, classifier.get_layer("fc1").output)
        found = {"expression": in_batches(features, images)}
        if self.generates:
            found["identity"] = in_batches(self.networks["encoder"], images)
        return found

    def draw_geometry(self, faces: np.ndarray, geometry: np.ndarray) -> tf.Tensor:
        """G of faces, (n, h, w, c), and landmarks, (n, 136), both in [-1, 1]: (n, h, w, c)."""
        networks = self.networks
        return networks["decoder"]([networks["encoder"](faces), networks["geometry_encoder"](geometry)])

    def synthesize(self, faces: np.ndarray, landmarks: np.ndarray, seed: int = 0) -> np.ndarray:
        """Gives faces the expression and the pose of landmarks: G_dec(G_enc(face), E(landmarks)).

        Args:
            faces: float32 (n, h, w, c) in [-1, 1].
            landmarks: (n, 68, 2), one set a face, or (68, 2) for all; in pixels of the model's images.
                `kerasfer.synthesis.ByLandmarks` has those of expressions and poses, and doubts what is unusual.
            seed: not used; G2-FER draws nothing at random.

        Returns:
            float32 (n, h, w, c) in [-1, 1].

        Raises:
            ValueError: shapes that do not fit, landmarks that `checked_landmarks` refuses, or No_SynFI, which generates
                nothing.
        """
        self.require_generator()
        faces, points = self.checked(faces), checked_landmarks(landmarks, self.image_spec.size)
        if np.ndim(landmarks) == 2:
            points = np.repeat(points, len(faces), 0)
        if len(points) != len(faces):
            raise ValueError(f"as many faces as sets of landmarks are needed, got {len(faces)} and {len(points)}")
        return in_batches(self.draw_geometry, faces, self._in_range(points))

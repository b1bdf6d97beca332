"""DCGAN-FER: "Generative Adversarial Networks for Facial Expression Recognition in the Wild" (Alharbawee, Pugeault).

A DCGAN learns from faces without labels. What the last convolution of its discriminator D makes of a face, 512 maps of
4 x 4, is the face's feature: 8,192 numbers. Support vector machines on it tell the expression (one with an RBF kernel)
and the action units (a linear one for each of fourteen).

Training is in two parts: `train_step` for G and D, then `fit_classifier` and `fit_units` for the machines, which are
kept as weights and run as layers (`kerasfer.models.svm`). Before it is fitted the recognizer gives every expression the
same probability.

Readings of what the paper leaves open, each a field of `DCGANFERConfig` where there is a choice:

- The feature: the text's maps of 64 x 64 contradict its 8,192 numbers; maps are of 4 x 4, as they leave the activation,
  with the running statistics of D's normalization. `feature_layers` above 1 adds the convolutions before, each
  max-pooled to 4 x 4, as Radford et al. (2016) do.
- Layers: the paper takes "the DCGAN architecture": Radford et al.'s, with 5 x 5 kernels of stride 2, batch
  normalization but for G's last and D's first layer, leaky ReLUs of slope 0.2 in D, and as many channels in D as the
  512 maps ask for (64, 128, 256, 512), mirrored in G. z is uniform on [-1, 1]^100, as there.
- Optimizer: Adam with beta1 0.9, as the text has it; Radford et al. have 0.5. The mini-batch SGD of 128 that stands
  beside it is taken for the batch size.
- Loss: G's term is printed saturating, log(1 - D(G(z))); trained is -log D(G(z)) (`generator_loss`). The L1 distance
  to a target that the introduction names has no meaning without targets, and is left out.
- `diff_augment` (off in the paper's config) changes what D sees of real and of generated faces alike, as Zhao et al. do
  ("Differentiable Augmentation for Data-Efficient GAN Training", 2020): light, place and a covered square. `average`,
  where it is set, is of G's weights alone.
- D's running statistics are those of real faces: a pass over generated ones leaves no trace in them.
- C and gamma: MATLAB's bayesopt in the paper, Optuna's Parzen estimators here; the paper does not give the ranges.
  Features are brought to a total variance of 1 first.
- Several classes: one machine for each pair, as LIBSVM and MATLAB's fitcecoc have it, decoded as the latter does, by
  the least mean hinge loss. Probabilities are a softmax of that with a slope from the cross-validation.
- Action units: the machines have liblinear's squared hinge loss, both sides weighted equally; the text names LIBSVM
  with a linear kernel. A unit is present above half of its intensity. Probabilities are Platt's (1999).
- `components` and `landmarks` (0 in the paper's config): principal components of the feature, and Nystroem's
  approximation of the kernel, so that a large set's machine fits a device. The latter has the squared hinge loss.
- `mirrored` (off in the paper's config): the feature is the mean of a face's and of its mirror image's.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kerasfer.backbones.resnet import BatchNormalization
from kerasfer.datasets.base import FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.expressions import ACTION_UNITS, EXPRESSION_ACTION_UNITS, LabelSpace
from kerasfer.losses import minimax_discriminator_loss, minimax_generator_loss, non_saturating_generator_loss
from kerasfer.models.base import FERModel, ModelConfig, OptimizerPlan, copy_weights, in_batches, ours
from kerasfer.models.recognizer import Recognizer
from kerasfer.models.svm import (
    ABSENT,
    ExpressionSVM,
    SVMError,
    SVMSettings,
    UnitSVMs,
    class_pairs,
    fit_expression_svm,
    fit_unit_svms,
)
from kerasfer.models.svm_layers import LinearDecision, RBFDecision, ScaledFeatures, VoteLogits
from kerasfer.optimizers import FusedAdam

__all__ = ["DCGANFER", "DCGANFERConfig", "unit_labels"]

SLOPE = 0.2
"""Of D's leaky ReLUs."""

GENERATOR_LOSSES = {"non_saturating": non_saturating_generator_loss, "minimax": minimax_generator_loss}

_Z, _OF_REAL, _OF_GENERATED, _OF_G = range(4)
"""What a step draws at random, for `FERModel.uniform`: z, and what is done to faces before D sees them."""

_CHUNK = 1024


@dataclasses.dataclass(frozen=True)
class DCGANFERConfig(ModelConfig):
    """Fields of DCGAN-FER; the defaults are the paper's.

    Attributes:
        latent: width of z.
        generator_channels: of the map that G makes of z, and of its transposed convolutions but the last; each doubles
            the map.
        discriminator_channels: of D's convolutions; each halves the map.
        kernel: side of all kernels.
        generator_loss: "non_saturating" or "minimax".
        beta1, beta2: of Adam.
        diff_augment: whether D sees real and generated faces augmented.
        feature_layers: how many of D's last convolutions make the feature.
        components: principal components of the feature that the RBF machine takes; 0 for all of the feature.
        landmarks: rows of Nystroem's approximation of the RBF machine; 0 for the machine itself.
        mirrored: whether the feature is the mean of a face's and its mirror image's.
        svm_c, svm_gamma: C and gamma; where they are sought, what the search begins with.
        search_trials: pairs of C and gamma to try; 0 takes those given.
        search_images: faces that the search uses; 0 for all.
        folds: of the cross-validation.
        unit_c: C of the action units' machines.
        support_vectors: how many the fitted machine has; `fit_classifier` sets it.
    """

    image_size: int = 64
    channels: int = 3
    pixel_range: str = "signed"
    batch_size: int = 128
    epochs: int = 300
    learning_rate: float = 2e-4
    latent: int = 100
    generator_channels: tuple[int, ...] = (512, 256, 128, 64)
    discriminator_channels: tuple[int, ...] = (64, 128, 256, 512)
    kernel: int = 5
    generator_loss: str = "non_saturating"
    beta1: float = 0.9
    beta2: float = 0.999
    diff_augment: bool = ours(False, "D does not learn few faces by heart")
    feature_layers: int = ours(1, "finer maps, too, as Radford et al. have it")
    components: int = ours(0, "a machine that fits a device")
    landmarks: int = ours(0, "a machine that fits a device")
    mirrored: bool = ours(False, "a mirrored face has the same expression")
    svm_c: float = 10.0
    svm_gamma: float = 1.0
    search_trials: int = 30
    search_images: int = ours(0, "a search that takes minutes")
    folds: int = 10
    unit_c: float = 1.0
    support_vectors: int = ours(0, "what the fit has found, so that a saved machine can be built")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.pixel_range == "signed", "pixel_range is signed: the generator ends in tanh")
        for name in ("generator_channels", "discriminator_channels"):
            number = len(getattr(self, name))
            fits = number >= 2 and self.image_size % 2**number == 0 and self.image_size > 2**number
            self._require(fits, f"{name} are two or more, and image_size is a larger multiple of 2 ** their number")
        self._require(self.generator_loss in GENERATOR_LOSSES, f"generator_loss is {' or '.join(GENERATOR_LOSSES)}")
        self._require(
            1 <= self.feature_layers <= len(self.discriminator_channels),
            "feature_layers are 1 to the number of discriminator_channels",
        )
        self._require(self.latent >= 1 and self.kernel >= 2, "latent is at least 1, kernel at least 2")
        self._require(self.svm_c > 0 and self.svm_gamma > 0 and self.unit_c > 0, "C and gamma are more than 0")
        self._require(self.folds >= 2, "folds are at least 2")
        counts = (self.components, self.landmarks, self.search_trials, self.search_images, self.support_vectors)
        self._require(
            min(counts) >= 0,
            "components, landmarks, search_trials, search_images and support_vectors are at least 0",
        )
        self._require(self.search_images == 0 or self.search_images >= self.folds, "search_images are at least folds")
        self._require(len(self.expressions) >= 2, "expressions are two or more")

    @classmethod
    def small(cls) -> DCGANFERConfig:
        return cls(
            channels=1,
            precision="mixed_bfloat16",
            epochs=20,
            generator_channels=(256, 128, 64, 32),
            discriminator_channels=(32, 64, 128, 512),
            kernel=4,
            components=128,
            search_trials=20,
            search_images=3000,
        )

    @classmethod
    def tiny(cls) -> DCGANFERConfig:
        return cls(
            image_size=32,
            channels=1,
            batch_size=4,
            epochs=1,
            latent=6,
            generator_channels=(8, 6, 4),
            discriminator_channels=(4, 6, 8),
            kernel=4,
            search_trials=0,
            folds=2,
        )

    def with_classes(self, expressions: Sequence[str]) -> DCGANFERConfig:
        return dataclasses.replace(super().with_classes(expressions), support_vectors=0)

    def fine_tuning(self) -> DCGANFERConfig:
        """As every model's, but G and D, which know no classes, learn from the first epoch on."""
        return dataclasses.replace(super().fine_tuning(), freeze_epochs=0)

    @property
    def svm_settings(self) -> SVMSettings:
        """The fields that say how the machines are fitted."""
        return SVMSettings(
            c=self.svm_c,
            gamma=self.svm_gamma,
            trials=self.search_trials,
            folds=self.folds,
            search_rows=self.search_images,
            components=self.components,
            landmarks=self.landmarks,
            unit_c=self.unit_c,
        )


_WITH_UNITS = LabelSpace.of(EXPRESSION_ACTION_UNITS)


def unit_labels(table: FaceTable) -> np.ndarray:
    """Intensities of the fourteen action units of each face, float32 (n, 14).

    They are the table's own where it knows any; else those that Table VI gives the expression, 1 or 0; NaN where
    neither is known.
    """
    by_rule = np.full((len(table), len(ACTION_UNITS)), np.nan, np.float32)
    if "expression" in table:
        codes = table.encoded(_WITH_UNITS)
        for number, units in enumerate(EXPRESSION_ACTION_UNITS.values()):
            by_rule[codes == number] = [float(unit in units) for unit in ACTION_UNITS]
    if "aus" not in table:
        return by_rule
    own = table["aus"]
    return np.where(np.isfinite(own).any(1, keepdims=True), own, by_rule)


# -- networks ----------------------------------------------------------------------------------------------------------


def _first_values() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(0.0, 0.02)


def build_generator(config: DCGANFERConfig) -> keras.Model:
    """G: z (latent,) to an image (h, w, c), float32 in [-1, 1]."""
    z = keras.Input((config.latent,), name="z")
    first, *others = config.generator_channels
    side = config.image_size // 2 ** len(config.generator_channels)
    x = keras.layers.Dense(side * side * first, use_bias=False, kernel_initializer=_first_values(), name="project")(z)
    x = keras.layers.Reshape((side, side, first), name="map")(x)
    x = keras.layers.ReLU(name="relu0")(BatchNormalization(name="norm0")(x))
    settings = {"strides": 2, "padding": "same"}
    for number, channels in enumerate(others, 1):
        x = keras.layers.Conv2DTranspose(
            channels,
            config.kernel,
            use_bias=False,
            kernel_initializer=_first_values(),
            name=f"deconv{number}",
            **settings,
        )(x)
        x = keras.layers.ReLU(name=f"relu{number}")(BatchNormalization(name=f"norm{number}")(x))
    x = keras.layers.Conv2DTranspose(
        config.channels, config.kernel, kernel_initializer=_first_values(), name="to_image", **settings
    )(x)
    image = keras.layers.Activation("tanh", dtype="float32", name="tanh")(x)
    return keras.Model(z, image, name="generator")


def build_discriminator(config: DCGANFERConfig) -> keras.Model:
    """D's convolutions: image (h, w, c) to the last map, (4, 4, 512) at the paper's size."""
    image = keras.Input((config.image_size, config.image_size, config.channels), name="image")
    x = image
    for number, channels in enumerate(config.discriminator_channels, 1):
        x = keras.layers.Conv2D(
            channels,
            config.kernel,
            2,
            padding="same",
            use_bias=number == 1,
            kernel_initializer=_first_values(),
            name=f"conv{number}",
        )(x)
        if number > 1:
            x = BatchNormalization(name=f"norm{number}")(x)
        x = keras.layers.LeakyReLU(negative_slope=SLOPE, name=f"leaky{number}")(x)
    return keras.Model(image, x, name="discriminator")


def build_head(shape: tuple[int, int, int]) -> keras.Model:
    """The rest of D: its last map to a logit, float32 (n, 1)."""
    features = keras.Input(shape, name="map")
    x = keras.layers.Flatten(name="flatten")(features)
    logit = keras.layers.Dense(1, kernel_initializer=_first_values(), dtype="float32", name="logit")(x)
    return keras.Model(features, logit, name="discriminator_head")


def build_feature_network(config: DCGANFERConfig, discriminator: keras.Model) -> keras.Model:
    """D's last maps, pooled to one size: image (h, w, c) to the feature, float32 (n, d)."""
    side = discriminator.output_shape[1]
    count = len(config.discriminator_channels)
    parts = []
    for number in range(count - config.feature_layers + 1, count + 1):
        features = discriminator.get_layer(f"leaky{number}").output
        window = features.shape[1] // side
        if window > 1:
            features = keras.layers.MaxPooling2D(window, name=f"pool{number}")(features)
        parts.append(keras.layers.Flatten(name=f"flatten{number}")(features))
    image = discriminator.input
    feature = parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="concatenate")(parts)
    if config.mirrored:
        maps = keras.Model(image, feature, name="maps")
        image = keras.Input(maps.input_shape[1:], name="image")
        both = maps(keras.ops.concatenate([image, keras.ops.flip(image, 2)], 0))
        feature = keras.ops.mean(keras.ops.reshape(both, (2, -1, both.shape[-1])), 0)
    feature = keras.layers.Activation("linear", dtype="float32", name="feature")(feature)
    return keras.Model(image, feature, name="feature")


def build_expression_svm(config: DCGANFERConfig, feature: keras.KerasTensor) -> keras.Model:
    """The RBF machine, on a feature: feature float32 (n, d) to decisions (n, K (K - 1) / 2) and logits (n, K)."""
    classes = len(config.expressions)
    scaled = ScaledFeatures(config.components, name="scaled")(feature)
    decisions = RBFDecision(max(config.support_vectors, 1), len(class_pairs(classes)), name="rbf")(scaled)
    network = keras.Model(feature, [decisions, VoteLogits(classes, name="votes")(decisions)], name="expression_svm")
    network.trainable = False
    return network


def build_unit_svms(feature: keras.KerasTensor) -> keras.Model:
    """The linear machines, on a feature: feature float32 (n, d) to decisions and probabilities, (n, 14) each."""
    network = keras.Model(feature, LinearDecision(len(ACTION_UNITS), name="linear")(feature), name="unit_svms")
    network.trainable = False
    return network


@keras.saving.register_keras_serializable("kerasfer")
class DCGANFER(FERModel):
    """DCGAN-FER; see the module."""

    Config = DCGANFERConfig
    controls = ("noise",)
    frozen = ("expression_svm", "unit_svms")

    @classmethod
    def batch_kind_of(cls, config: DCGANFERConfig) -> str:
        return "unlabeled"

    def build_networks(self) -> dict[str, keras.Model]:
        discriminator = build_discriminator(self.config)
        self._feature_network = build_feature_network(self.config, discriminator)
        feature = self._feature_network.output
        return {
            "generator": build_generator(self.config),
            "discriminator": discriminator,
            "discriminator_head": build_head(discriminator.output_shape[1:]),
            "expression_svm": build_expression_svm(self.config, feature),
            "unit_svms": build_unit_svms(feature),
        }

    @property
    def feature_width(self) -> int:
        """Width of the feature: 8,192 at the paper's size."""
        channels = self.config.discriminator_channels
        side = self.config.image_size // 2 ** len(channels)
        return side * side * sum(channels[-self.config.feature_layers :])

    def optimizer_plans(self) -> dict[str, OptimizerPlan]:
        return {
            "discriminator": OptimizerPlan(("discriminator", "discriminator_head"), self._adam, average=False),
            "generator": OptimizerPlan(("generator",), self._adam),
        }

    def _adam(self, **settings) -> FusedAdam:
        return FusedAdam(beta_1=self.config.beta1, beta_2=self.config.beta2, **settings)

    def class_weights(self) -> dict[str, tuple[int, ...]]:
        """The RBF machine as a whole: `fit_classifier` fits it anew."""
        machine = self.networks["expression_svm"]
        return {"expression_svm": tuple(range(len(machine.weights)))}

    def weight_groups(self) -> dict[str, tuple[str, ...]]:
        return {
            "recognizer": ("discriminator", "expression_svm"),
            "units": ("unit_svms",),
            "generator": ("generator",),
            "training": ("discriminator_head",),
        }

    def loss_terms(self) -> tuple[str, ...]:
        return ("discriminator", "generator", "real_score", "generated_score")

    def start_from(self, other: FERModel) -> None:
        """Copies the weights of the other's networks, but for machines of another size or of other classes."""
        if not isinstance(other, DCGANFER):
            super().start_from(other)
            return
        sizes = [(model.config.support_vectors, model.config.components, model.label_space) for model in (self, other)]
        left_out = set() if sizes[0] == sizes[1] else {"expression_svm"}
        left_out |= set() if self.feature_width == other.feature_width else {"expression_svm", "unit_svms"}
        if not left_out:
            super().start_from(other)
            return
        for name in set(self.networks) - left_out:
            copy_weights(other.networks[name], self.networks[name])

    # -- training ------------------------------------------------------------------------------------------------------

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """D, then G, on one batch of faces and as many of z."""
        batch = self.as_batch(batch)
        real = batch["image"]
        z = 2.0 * self.uniform((tf.shape(real)[0], self.config.latent), _Z) - 1.0
        statistics = self.networks["discriminator"].non_trainable_variables
        with tf.GradientTape() as generator_tape:
            generated = self.networks["generator"](z, training=True)
            with generator_tape.stop_recording():
                with tf.GradientTape() as tape:
                    real_logits = self.logits(self.augmented(real, _OF_REAL), training=True)
                    of_real_faces = [tf.identity(variable) for variable in statistics]
                    generated_logits = self.logits(self.augmented(generated, _OF_GENERATED), training=True)
                    loss = self.mean_over_batch(minimax_discriminator_loss(real_logits, generated_logits))
                self.minimize("discriminator", loss, tape)
            logits = self.logits(self.augmented(generated, _OF_G), training=True)
            generator_loss = self.mean_over_batch(GENERATOR_LOSSES[self.config.generator_loss](logits))
        self.minimize("generator", generator_loss, generator_tape)
        for variable, value in zip(statistics, of_real_faces):
            variable.assign(value)
        self.report(
            discriminator=loss,
            generator=generator_loss,
            real_score=self.mean_over_batch(tf.sigmoid(real_logits)),
            generated_score=self.mean_over_batch(tf.sigmoid(generated_logits)),
        )
        self.step.assign_add(1)
        return self.result()

    def logits(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """D before its sigmoid: float32 (n, 1) of images (n, h, w, c)."""
        features = self.networks["discriminator"](images, training=training)
        return self.networks["discriminator_head"](features, training=training)

    def augmented(self, images: tf.Tensor, draw: int) -> tf.Tensor:
        """Images (n, h, w, c) as D sees them in training: each augmented by itself if `diff_augment`.

        Light (to each side by a quarter of the range from black to white), contrast (by half), place (by an eighth of
        the side, filled with gray), and a gray square of half the side at any place.
        """
        if not self.config.diff_augment:
            return images
        count, side = tf.shape(images)[0], self.config.image_size
        draws = self.uniform((count, 6), draw)[:, :, None, None, None]
        mean = tf.reduce_mean(images, (1, 2, 3), keepdims=True)
        images = (images - mean) * (draws[:, 0] + 0.5) + mean + draws[:, 1] - 0.5
        rows, columns = (
            tf.cast(tf.floor((2 * draws[:, place, 0, 0] - 1) * (side // 8) + 0.5), tf.int32) + tf.range(side)
            for place in (2, 3)
        )
        for axis, places in ((1, rows), (2, columns)):
            inside = tf.cast((places >= 0) & (places < side), images.dtype)
            taken = tf.gather(images, tf.clip_by_value(places, 0, side - 1), axis=axis, batch_dims=1)
            images = taken * (inside[:, :, None, None] if axis == 1 else inside[:, None, :, None])
        lines = tf.range(side, dtype=tf.float32)
        covered = [abs(lines + 0.5 - draws[:, place, 0, 0] * side) < side / 4 for place in (4, 5)]
        square = covered[0][:, :, None, None] & covered[1][:, None, :, None]
        return tf.where(square, tf.zeros_like(images), images)

    # -- features and machines -----------------------------------------------------------------------------------------

    def feature_network(self) -> keras.Model:
        """Images (n, h, w, c) to the feature, float32 (n, d)."""
        return self._feature_network

    # Cached beside Keras, which would keep the machines that a fit has replaced.

    @functools.cached_property
    def _recognizer(self) -> Recognizer:
        logits = self.networks["expression_svm"].get_layer("votes").output
        return self.recognizer_of(self._feature_network.input, logits, "feature")

    @functools.cached_property
    def _unit_detector(self) -> keras.Model:
        _, probabilities = self.networks["unit_svms"].get_layer("linear").output
        return keras.Model(self._feature_network.input, probabilities, name="unit_detector")

    def features(self, faces: np.ndarray | FaceTable) -> np.ndarray:
        """The feature of each face, float32 (n, d).

        Args:
            faces: float32 (n, h, w, c) in the model's range, or a table.
        """
        if not isinstance(faces, FaceTable):
            return super().features(self.checked(faces))
        parts = []
        for start in range(0, len(faces), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(faces)))
            parts.append(super().features(self.image_spec.scale(prepare_faces(faces, self.image_spec, rows))))
        return np.concatenate(parts)

    def codes(self, images: np.ndarray) -> dict[str, np.ndarray]:
        return {"expression": self.features(images)}

    def fit_classifier(
        self, faces: np.ndarray | FaceTable, classes: np.ndarray | None = None, *, seed: int = 0
    ) -> ExpressionSVM:
        """Fits the RBF machine; `recognizer()` then answers with it.

        Args:
            faces: float32 (n, h, w, c) in the model's range, or a table.
            classes: class numbers, int (n,), -1 for a face to leave out; of a table by default its expressions.
            seed: of the folds, the search and the landmarks.

        Returns:
            The machine, with what the search found.

        Raises:
            SVMError: fewer faces than folds, fewer than two expressions, or a search without Optuna.
        """
        if classes is None:
            if not isinstance(faces, FaceTable):
                raise SVMError("class numbers are missing: give them with the faces, or a table that has expressions")
            classes = faces.encoded(self.label_space)
        machine = fit_expression_svm(
            self.features(faces), np.asarray(classes), len(self.label_space), self.config.svm_settings, seed
        )
        self.set_classifier(machine)
        return machine

    def set_classifier(self, machine: ExpressionSVM) -> None:
        """Puts a fitted machine into the model.

        Raises:
            SVMError: it takes features of another width, or has other classes or more components.
        """
        width, components = len(machine.scaling.mean), self.config.components
        found = 0 if machine.scaling.projection is None else machine.scaling.projection.shape[1]
        if width != self.feature_width:
            raise SVMError(f"the machine takes features of {width} numbers, this model's have {self.feature_width}")
        if len(machine.present) != len(self.label_space) or found > components or bool(found) != bool(components):
            raise SVMError(
                f"the machine has {len(machine.present)} classes and {found} components, this model "
                f"{len(self.label_space)} and {components}"
            )
        self._rebuild(len(machine.vectors))
        network = self.networks["expression_svm"]
        scaled, rbf, votes = (network.get_layer(name) for name in ("scaled", "rbf", "votes"))
        scaled.mean.assign(machine.scaling.mean)
        scaled.scale.assign(machine.scaling.scale)
        if components:
            scaled.projection.assign(_padded(machine.scaling.projection, components))
        rbf.vectors.assign(_padded(machine.vectors, components or width))
        rbf.coefficients.assign(machine.coefficients)
        rbf.intercepts.assign(machine.intercepts)
        rbf.gamma.assign([machine.gamma])
        votes.slope.assign([machine.slope])
        votes.offsets.assign(np.where(machine.present, 0.0, ABSENT))

    def forget_classifier(self) -> None:
        """Makes both kinds of machine as they were before they were fitted."""
        self._rebuild(0)
        self.networks["unit_svms"] = build_unit_svms(self._feature_network.output)
        vars(self).pop("_unit_detector", None)

    def _rebuild(self, support_vectors: int) -> None:
        self.config = dataclasses.replace(self.config, support_vectors=support_vectors)
        self.networks["expression_svm"] = build_expression_svm(self.config, self._feature_network.output)
        vars(self).pop("_recognizer", None)

    def decide(self, faces: np.ndarray | FaceTable) -> np.ndarray:
        """Decisions of all pairs of expressions, float32 (n, K (K - 1) / 2): scikit-learn's "ovo" decision function."""
        network = self.networks["expression_svm"]
        return in_batches(lambda features: network(features)[0], self.features(faces))

    def recognizer(self) -> Recognizer:
        return self._recognizer

    # -- action units --------------------------------------------------------------------------------------------------

    @property
    def learned_units(self) -> tuple[int, ...]:
        """Numbers of the action units that machines were fitted for."""
        learned = self.networks["unit_svms"].get_layer("linear").learned.numpy()
        return tuple(unit for unit, known in zip(ACTION_UNITS, learned) if known)

    def fit_units(
        self,
        faces: np.ndarray | FaceTable,
        units: np.ndarray | None = None,
        *,
        seed: int = 0,
    ) -> UnitSVMs:
        """Fits a linear machine for each action unit that some faces show and others do not.

        Args:
            faces: float32 (n, h, w, c) in the model's range, or a table.
            units: intensities in [0, 1], float (n, 14), NaN where not known; of a table by default `unit_labels`.
            seed: of the folds.

        Raises:
            SVMError: no unit can be learned, or fewer faces than folds.
        """
        if units is None:
            if not isinstance(faces, FaceTable):
                raise SVMError("units are missing: give them with the faces, or a table that has aus or expressions")
            units = unit_labels(faces)
        features = self.features(faces)
        machines = fit_unit_svms(features, units, self.config.svm_settings, seed)
        layer = self.networks["unit_svms"].get_layer("linear")
        for name in ("directions", "intercepts", "slopes", "shifts", "learned"):
            getattr(layer, name).assign(getattr(machines, name).astype(np.float32))
        return machines

    def unit_detector(self) -> keras.Model:
        """Images (n, h, w, c) to the probability of each action unit, float32 (n, 14); 0.5 for one not learned."""
        return self._unit_detector

    def detect_units(self, faces: np.ndarray | FaceTable, units: Sequence[int] | None = None) -> np.ndarray:
        """Probabilities of action units.

        Args:
            faces: float32 (n, h, w, c) in the model's range, or a table.
            units: numbers of the units wanted; by default all of `ACTION_UNITS`, NaN for those that were not learned.

        Returns:
            float32 (n, 14), or (n, number of units).

        Raises:
            SVMError: no unit was learned, or one was asked for that was not.
        """
        learned = self.learned_units
        if not learned:
            raise SVMError("no action unit was learned: fit_units first, or load a model that was saved with them")
        missing = [unit for unit in units or () if unit not in learned]
        if missing:
            raise SVMError(
                f"AU {', '.join(map(str, missing))} was not learned, as no face that it was fitted on showed it; "
                f"learned are {', '.join(map(str, learned))}"
            )
        network = self.networks["unit_svms"]
        found = in_batches(lambda features: network(features)[1], self.features(faces))
        found[:, [unit not in learned for unit in ACTION_UNITS]] = np.nan
        return found if units is None else found[:, [ACTION_UNITS.index(unit) for unit in units]]

    # -- synthesis -----------------------------------------------------------------------------------------------------

    def generator(self) -> keras.Model | None:
        """G: "z" in [-1, 1]^latent to "image"."""
        z = keras.Input((self.config.latent,), name="z")
        return keras.Model({"z": z}, {"image": self.networks["generator"](z)}, name="generate")

    def generator_inputs(self, faces: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
        return {"z": self.draw(len(faces), seed)}

    def draw(self, count: int, seed: int = 0) -> np.ndarray:
        """z, float32 (count, latent), uniform on [-1, 1]."""
        draws = np.random.default_rng(seed).uniform(-1.0, 1.0, (count, self.config.latent))
        return draws.astype(np.float32)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """G of z, float32 (n, latent): float32 (n, h, w, c) in [-1, 1]."""
        return in_batches(self.networks["generator"], np.asarray(codes, np.float32))

    def generate(self, count: int, seed: int = 0) -> np.ndarray:
        """Faces of nobody: float32 (count, h, w, c) in [-1, 1].

        Args:
            count: number of faces.
            seed: of z.

        Raises:
            ValueError: no faces.
        """
        if count < 1:
            raise ValueError(f"at least one face is needed, got {count}")
        return self.decode(self.draw(count, seed))


def _padded(values: np.ndarray, columns: int) -> np.ndarray:
    """Values (rows, m) with zeros added up to (rows, columns)."""
    return np.pad(values, ((0, 0), (0, columns - values.shape[1])))

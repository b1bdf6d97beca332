"""Wild: the recognizer for photographs of every kind, whatever helps it. No paper's model.

Recognizers that learn from one set carry over badly to others: posed anger looks neutral to who has only seen anger in
the street, and rare expressions are hardly ever answered. Three things are done about it here:

- Two networks look at the face, as in IPD-FER's recognizer: the zoo's identity network on the face enlarged, and a fine
  one on its pixels as they are. They start as another model's that has them, or as the released identity network.
- They learn what muscles do beside what the face expresses: the 52 movements of MediaPipe's blendshapes. A movement
  looks alike in every set, and its labels come from geometry instead of from people's opinions.
- An expert judges by movements alone. It learns from the movements of the training set and, for the expressions that
  people pose and photographs in the street lack, from prototypes composed of action units
  (`kerasfer.movements.prototypes`). Its logits are added to those of the networks.

The labels are learned by logit-adjusted cross-entropy (Menon et al., "Long-tail learning via logit adjustment", ICLR
2021, Equation 10): with tau = 1 the answers are those for a world in which every expression is equally frequent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kerasfer import movements
from kerasfer.backbones.dlib_resnet import build_dlib_resnet, calibrate_normalization, load_dlib_weights
from kerasfer.backbones.resnet import build_small_resnet
from kerasfer.faces import BLENDSHAPES
from kerasfer.losses import cross_entropy_from_logits, hits
from kerasfer.models.base import ConfigError, FERModel, ModelConfig, OptimizerPlan, copy_layers
from kerasfer.models.certainty import build_certainty, sure
from kerasfer.models.recognizer import Recognizer
from kerasfer.priors import training_shares

__all__ = ["Wild", "WildConfig"]

HIDDEN = 64
"""Units of the expert's hidden layer."""


@dataclasses.dataclass(frozen=True)
class WildConfig(ModelConfig):
    """Fields of Wild.

    Attributes:
        identity: what the body starts from: "dlib_resnet", or "untrained": random weights, for tests.
        body_size, body_blocks: side in pixels that the body sees faces at, and its number of residual blocks.
        fine_width: channels of the fine network's first stage.
        adjustment: tau, how much of the classes' frequencies is taken out of the answers while they are learned.
        answered: how much of them is taken out of the answers in the end: 1 for answers as if every class were equally
            frequent, 0 for those of the training.
        lambda_movements: weight of the movements' cross-entropy.
        expert_share: what the expert's logits are multiplied by before they are added.
        adaptive_temperature: whether each face has a temperature of its own (`kerasfer.models.certainty`).
    """

    image_size: int = 48
    pixel_range: str = "signed"
    batch_size: int = 48
    epochs: int = 4
    learning_rate: float = 3e-4
    schedule: str = "cosine"
    average: float = 0.998
    identity: str = "dlib_resnet"
    body_size: int = 96
    body_blocks: int = 11
    fine_width: int = 48
    adjustment: float = 1.0
    answered: float = 1.0
    lambda_movements: float = 4.0
    expert_share: float = 0.5
    adaptive_temperature: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.identity in ("dlib_resnet", "untrained"), "identity is dlib_resnet or untrained")
        self._require(0 <= self.adjustment <= 1, "adjustment lies in [0, 1]")
        self._require(0 <= self.answered <= 1, "answered lies in [0, 1]")
        self._require(self.lambda_movements >= 0, "lambda_movements is not negative")
        self._require(self.expert_share >= 0, "expert_share is not negative")

    @classmethod
    def small(cls) -> WildConfig:
        return cls()

    @classmethod
    def tiny(cls) -> WildConfig:
        return cls(
            image_size=32,
            batch_size=4,
            epochs=1,
            schedule="constant",
            identity="untrained",
            body_size=71,
            body_blocks=4,
            fine_width=4,
            adaptive_temperature=True,
        )

    def with_classes(self, expressions: Sequence[str]) -> WildConfig:
        return dataclasses.replace(super().with_classes(expressions), adaptive_temperature=False)


@keras.saving.register_keras_serializable("kerasfer")
class Wild(FERModel):
    """Body and fine network, two heads on what both see, and the expert on the second head.

    Networks: body, fine (images to features), head (features to logits of the expressions), movements (features to
    logits of the 52 movements) and expert (those to logits of the expressions).
    """

    Config = WildConfig
    config: WildConfig
    feature_layer = "features"

    @classmethod
    def batch_kind_of(cls, config: WildConfig) -> str:
        return "images_with_movements"

    def build_networks(self) -> dict[str, keras.Model]:
        config, classes = self.config, len(self.config.expressions)
        shape = (config.image_size, config.channels, config.pixel_range)
        body = build_dlib_resnet(
            "body",
            *shape,
            internal_size=config.body_size,
            features="pooled",
            blocks=config.body_blocks,
            normalized=True,
        )
        if config.identity == "dlib_resnet":
            load_dlib_weights(body)
        faces = (config.image_size, config.image_size, config.channels)
        fine = build_small_resnet("fine", faces, config.fine_width, inputs=body.input, prefix="fine_")
        features = keras.layers.Concatenate(dtype="float32", name="features")([body.output, fine.output])
        opinion = keras.layers.Dense(classes, dtype="float32", name="head")(features)
        moves = keras.layers.Dense(len(BLENDSHAPES), dtype="float32", name="movements")(features)
        hidden = keras.layers.Dense(HIDDEN, "relu", dtype="float32", name="expert_hidden")(moves)
        judged = keras.layers.Dense(classes, dtype="float32", name="expert")(hidden)
        back = ((config.adjustment - config.answered) * self._log_shares()).tolist()
        share = keras.layers.Rescaling(config.expert_share, back, dtype="float32", name="expert_share")(judged)
        self._logits = keras.layers.Add(dtype="float32", name="logits")([opinion, share])
        self._moves = moves
        self._features = keras.Model(body.input, features, name="seen")
        networks = {
            "body": body,
            "fine": fine,
            "head": keras.Model(features, opinion, name="head"),
            "movements": keras.Model(features, moves, name="movements"),
            "expert": keras.Model(moves, judged, name="expert"),
        }
        networks["expert"].trainable = False
        if config.adaptive_temperature:
            networks["certainty"] = build_certainty(features)
            self._logits = sure(self._logits, networks["certainty"])
        return networks

    @property
    def training_prior(self) -> tuple[float, ...]:
        """The shares that the answers presume: what `answered` leaves of those in the training; () if not known."""
        shares = np.array(self.config.training_prior)
        if not len(shares):
            return ()
        left = np.where(shares > 0, shares, 1.0) ** (1 - self.config.answered) * (shares > 0)
        return tuple(np.round(left / left.sum(), 6).tolist())

    def recognizer(self) -> Recognizer:
        return self.recognizer_of(self.networks["body"].input, self._logits, "features")

    def movement_scores(self) -> keras.Model:
        """Aligned faces in the model's range, float32 (n, h, w, c), to the scores of `BLENDSHAPES`, (n, 52)."""
        scores = keras.layers.Activation("sigmoid", dtype="float32", name="scores")(self._moves)
        return keras.Model(self.networks["body"].input, scores, name="movement_scores")

    def optimizer_plans(self) -> dict[str, OptimizerPlan]:
        return {"recognizer": OptimizerPlan(("body", "fine", "head", "movements"))}

    def weight_groups(self) -> dict[str, tuple[str, ...]]:
        certainty = ("certainty",) if self.config.adaptive_temperature else ()
        return {"recognizer": ("body", "fine", "head", "movements", "expert", *certainty)}

    def loss_terms(self) -> tuple[str, ...]:
        return ("labels", "movements", "accuracy")

    def adapt(self, columns: dict[str, np.ndarray]) -> None:
        """Fits the expert to the movements of the training set and to prototypes."""
        config = self.config
        known = np.isfinite(columns["movements"]).all(1) & (columns["label"].sum(1) > 0)
        layers = (self.networks["expert"].get_layer("expert_hidden"), self.networks["expert"].get_layer("expert"))
        fitted = movements.fit_expert(
            columns["movements"][known], columns["label"][known], config.expressions, HIDDEN, config.seed
        )
        for layer, (kernel, bias) in zip(layers, fitted, strict=True):
            layer.kernel.assign(kernel)
            layer.bias.assign(bias)

    def prepare(self, batch: dict[str, tf.Tensor]) -> None:
        calibrate_normalization(self.networks["body"], batch["image"])

    def start_from(self, other: FERModel) -> None:
        """Copies the networks that both have; of an IPD-FER, or its baseline, those that see.

        Its encoders end in a layer each, whose mean its classifier reads: the head starts as the product of these.

        Raises:
            ConfigError: no network is shared, or one has other layers or shapes.
        """
        if "expression_encoder" not in other.networks or "fine_encoder" not in other.networks:
            super().start_from(other)
            return
        coarse, fine = other.networks["expression_encoder"], other.networks["fine_encoder"]
        copy_layers(coarse, self.networks["body"])
        _copy_prefixed(fine, self.networks["fine"], "fine_encoder_", "fine_")
        if other.label_space != self.label_space or other.new_head:
            return
        ends = (coarse.get_layer("descriptor"), fine.get_layer("fine_encoder_vector"))
        read = other.networks["expression_classifier"].get_layer("fc")
        kernels = [end.kernel.numpy().reshape(-1, end.kernel.shape[-1]) @ read.kernel.numpy() / 2 for end in ends]
        biases = [np.zeros(read.kernel.shape[0]) if end.bias is None else end.bias.numpy() for end in ends]
        head = self.networks["head"].get_layer("head")
        head.kernel.assign(np.concatenate(kernels))
        head.bias.assign(read.bias.numpy() + sum(biases) / 2 @ read.kernel.numpy())

    def blend(self, other: FERModel, share: float) -> None:
        """Goes back a part of the way to the model that the training started from.

        The mean of the weights keeps more of what the first model knew, and carries over better, than either end
        (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). The other's answers are brought to what
        the head's presume before: its temperature and its training's frequencies.

        Args:
            other: an IPD-FER, or its baseline, of the same classes.
            share: of the other, in [0, 1].

        Raises:
            ConfigError: the share lies outside, or the other has other classes, layers or shapes.
        """
        if not 0 <= share <= 1 or other.label_space != self.label_space:
            raise ConfigError(f"the share, {share}, lies in [0, 1], and both models have the same classes")
        start = type(self)(self.config)
        start.start_from(other)
        head = start.networks["head"].get_layer("head")
        frequent = np.log(training_shares(other.label_space.labels, other.training_prior))
        head.kernel.assign(head.kernel / other.config.temperature)
        head.bias.assign(head.bias / other.config.temperature - self.config.adjustment * frequent)
        for name in ("body", "fine", "head"):
            for mine, theirs in zip(self.networks[name].weights, start.networks[name].weights, strict=True):
                mine.assign((1 - share) * mine + share * theirs)

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        batch = self.as_batch(batch)
        images, labels, scores = batch["image"], batch["label"], batch["movements"]
        labeled = tf.reduce_sum(labels, -1)
        seen = tf.cast(tf.reduce_all(tf.math.is_finite(scores), -1), tf.float32)
        scores = tf.where(tf.math.is_finite(scores), scores, 0.0)
        with tf.GradientTape() as tape:
            features = self._features(images, training=True)
            logits = self.networks["head"](features, training=True)
            moves = self.networks["movements"](features, training=True)
            loss_of_labels = labeled * cross_entropy_from_logits(labels, logits + self._adjustment())
            distances = tf.nn.sigmoid_cross_entropy_with_logits(scores, moves)
            terms = {
                "labels": self.mean_over_batch(loss_of_labels),
                "movements": self.config.lambda_movements * self.mean_over_batch(seen * tf.reduce_mean(distances, -1)),
            }
            loss = tf.add_n(list(terms.values()))
        self.minimize("recognizer", loss, tape)
        self.report(**terms, accuracy=self.mean_over_batch(labeled * hits(labels, logits + self._adjustment())))
        self.step.assign_add(1)
        return self.result()

    def _adjustment(self) -> tf.Tensor:
        """What the logits get in training: tau log of the classes' shares, float32 (K,)."""
        return tf.constant(self.config.adjustment * self._log_shares(), tf.float32)

    def _log_shares(self) -> np.ndarray:
        """Logarithms of the classes' shares in the training, float64 (K,); 0 where they are not known."""
        shares = self.config.training_prior or (1.0,) * len(self.config.expressions)
        return np.log(np.maximum(shares, 1e-6))


def _copy_prefixed(source: keras.Model, target: keras.Model, theirs: str, ours: str) -> None:
    """Copies the weights of layers that are named alike but for the prefix."""
    for layer in target.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(theirs + layer.name.removeprefix(ours)).get_weights())

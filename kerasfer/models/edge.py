"""Edge: a small recognizer for devices that learns from a large one (distillation; Hinton, Vinyals, Dean 2015).

No paper's model: the first blocks of the zoo's identity network, looking at smaller faces, and one fully-connected
layer. It learns the labels and, of the same pictures, the answers of IPD-FER's recognizer, both softened by a
temperature T:

    (1 - a) H(labels, student) + a T^2 KL(teacher at T || student at T)

T^2 keeps the second gradient as large as the first whatever T is.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import keras
import tensorflow as tf

from kerasfer.backbones.dlib_resnet import (
    build_dlib_resnet,
    calibrate_normalization,
    fold_normalization,
    load_dlib_weights,
)
from kerasfer.losses import cross_entropy_from_logits, hits
from kerasfer.models.base import ConfigError, FERModel, ModelConfig, OptimizerPlan, copy_layers, copy_weights
from kerasfer.models.certainty import build_certainty, sure
from kerasfer.models.ipdfer import build_classifier
from kerasfer.models.recognizer import Recognizer

__all__ = ["Edge", "EdgeConfig"]

TEACHER = {"expression_encoder": "teacher_encoder", "expression_classifier": "teacher_classifier"}
"""Networks of IPD-FER's recognizer -> their names here."""


@dataclasses.dataclass(frozen=True)
class EdgeConfig(ModelConfig):
    """Fields of Edge.

    Attributes:
        identity: what the body starts from: "dlib_resnet", or "untrained": random weights, for tests.
        internal_size: side in pixels that faces are scaled to.
        blocks: how many of the identity network's residual blocks there are.
        norm: whether batch normalization follows each convolution. It starts as what the first batch of the training
            asks for; TFLite files have it folded into the convolutions.
        teacher_size, teacher_blocks: `encoder_size` and `encoder_blocks` of the IPD-FER that teaches.
        teacher_share: a, the weight of what the teacher says beside the labels; 0 for no teacher. With one, start the
            training from an IPD-FER: its networks teach.
        softening: T.
        adaptive_temperature: whether each face has a temperature of its own (`kerasfer.models.certainty`).
    """

    image_size: int = 48
    pixel_range: str = "signed"
    batch_size: int = 64
    epochs: int = 30
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    average: float = 0.998
    identity: str = "dlib_resnet"
    internal_size: int = 64
    blocks: int = 9
    norm: bool = True
    teacher_size: int = 96
    teacher_blocks: int = 11
    teacher_share: float = 0.0
    softening: float = 2.0
    adaptive_temperature: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.identity in ("dlib_resnet", "untrained"), "identity is dlib_resnet or untrained")
        self._require(0 <= self.teacher_share <= 1, "teacher_share lies in [0, 1]")
        self._require(self.softening > 0, "softening is more than 0")

    @classmethod
    def small(cls) -> EdgeConfig:
        return cls(precision="mixed_bfloat16")

    @classmethod
    def tiny(cls) -> EdgeConfig:
        return cls(
            image_size=32,
            batch_size=4,
            epochs=1,
            schedule="constant",
            identity="untrained",
            internal_size=40,
            blocks=4,
            teacher_size=71,
            teacher_share=0.7,
            adaptive_temperature=True,
        )

    def with_classes(self, expressions: Sequence[str]) -> EdgeConfig:
        return dataclasses.replace(super().with_classes(expressions), adaptive_temperature=False)

    def recognizing(self) -> EdgeConfig:
        return dataclasses.replace(self, teacher_share=0.0)


@keras.saving.register_keras_serializable("kerasfer")
class Edge(FERModel):
    """The recognizer and, to learn from, its teacher.

    Networks: body and head (the recognizer), teacher_encoder and teacher_classifier (frozen). Without a teacher, the
    first two alone. `start_from` an IPD-FER, or its baseline, gives the teacher and what the body shares with it;
    before that, the teacher knows nothing of expressions.
    """

    Config = EdgeConfig
    config: EdgeConfig

    def __init__(self, config: EdgeConfig) -> None:
        super().__init__(config)
        self.frozen = tuple(TEACHER.values()) if self.taught else ()

    @classmethod
    def batch_kind_of(cls, config: EdgeConfig) -> str:
        return "images_together"

    @property
    def taught(self) -> bool:
        """Whether there is a teacher."""
        return self.config.teacher_share > 0

    def build_networks(self) -> dict[str, keras.Model]:
        config, classes = self.config, len(self.config.expressions)
        body = self._identity_network("body", config.internal_size, "pooled", config.blocks, config.norm)
        networks = {"body": body, "head": build_classifier(body.output, classes, "head")}
        if config.adaptive_temperature:
            networks["certainty"] = build_certainty(body.output)
        if self.taught:
            encoder = self._identity_network(
                "teacher_encoder", config.teacher_size, "descriptor", config.teacher_blocks
            )
            networks |= {
                "teacher_encoder": encoder,
                "teacher_classifier": build_classifier(encoder.output, classes, "teacher_classifier"),
            }
            for name in TEACHER.values():
                networks[name].trainable = False
        return networks

    def _identity_network(
        self, name: str, size: int, features: str, blocks: int, normalized: bool = False
    ) -> keras.Model:
        spec = self.config.image_size, self.config.channels, self.config.pixel_range
        network = build_dlib_resnet(
            name, *spec, internal_size=size, features=features, blocks=blocks, normalized=normalized
        )
        if self.config.identity == "dlib_resnet":
            load_dlib_weights(network)
        return network

    def recognizer(self) -> Recognizer:
        return self._recognizer

    @functools.cached_property
    def _recognizer(self) -> Recognizer:
        if not self.config.adaptive_temperature:
            return self._chained_recognizer()
        body, logits = self.networks["body"], self.networks["head"].layers[-1].output
        return self.recognizer_of(body.input, sure(logits, self.networks["certainty"]), body.layers[-1].name)

    def optimizer_plans(self) -> dict[str, OptimizerPlan]:
        return {"recognizer": OptimizerPlan(("body", "head"))}

    def weight_groups(self) -> dict[str, tuple[str, ...]]:
        teacher = {"training": tuple(TEACHER.values())} if self.taught else {}
        certainty = ("certainty",) if self.config.adaptive_temperature else ()
        return {"recognizer": ("body", "head", *certainty), **teacher}

    def loss_terms(self) -> tuple[str, ...]:
        return ("labels", *(("teacher", "agreement") if self.taught else ()), "accuracy")

    def prepare(self, batch: dict[str, tf.Tensor]) -> None:
        calibrate_normalization(self.networks["body"], batch["image"])

    def start_from(self, other: FERModel) -> None:
        """Copies the networks that both have; an IPD-FER, or its baseline, becomes the teacher.

        The body's blocks start as the teacher's, or, of a Wild, as the first of its body's.

        Raises:
            ConfigError: no network is shared, or one has other layers or shapes: `teacher_blocks` are the teacher's
                `encoder_blocks`, and no fewer than `blocks`; with `norm` it has `encoder_norm`. Or the teacher is an
                IPD-FER with a fine network, which is not built here: it teaches by its answers. Or the other was
                taught other classes, and there is to be a teacher.
        """
        if self.taught and other.new_head:
            raise ConfigError(
                f"{type(other).__name__} was taught other classes than {', '.join(self.label_space.labels)} and cannot "
                "teach them; do without a teacher: --set teacher_share=0"
            )
        if "movements" in other.networks:
            copy_layers(other.networks["body"], self.networks["body"])
            return
        if "expression_encoder" not in other.networks:
            super().start_from(other)
            return
        if self.taught and "fine_encoder" in other.networks:
            raise ConfigError(
                "Edge has no place for the teacher's fine network; learn from its answers instead: "
                "apps/train.py --labels votes --teachers NAME --set teacher_share=0"
            )
        encoder = other.networks["expression_encoder"]
        folded = fold_normalization(encoder)
        if self.taught:
            for theirs, mine in TEACHER.items():
                copy_weights(folded if theirs == "expression_encoder" else other.networks[theirs], self.networks[mine])
        copy_layers(encoder if self.config.norm else folded, self.networks["body"])

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        batch = self.as_batch(batch)
        images, labels = batch["image"], batch["label"]
        share, softening = self.config.teacher_share, self.config.softening
        with tf.GradientTape() as tape:
            logits = self.networks["head"](self.networks["body"](images, training=True), training=True)
            terms = {"labels": (1 - share) * self.mean_over_batch(cross_entropy_from_logits(labels, logits))}
            if self.taught:
                features = self.networks["teacher_encoder"](images, training=False)
                answers = tf.stop_gradient(self.networks["teacher_classifier"](features, training=False))
                soft = tf.nn.softmax(answers / softening)
                divergence = cross_entropy_from_logits(soft, logits / softening) - cross_entropy_from_logits(
                    soft, answers / softening
                )
                terms["teacher"] = share * softening**2 * self.mean_over_batch(divergence)
            loss = tf.add_n(list(terms.values()))
        self.minimize("recognizer", loss, tape)
        self.report(**terms, accuracy=self.mean_over_batch(hits(labels, logits)))
        if self.taught:
            self.report(agreement=self.mean_over_batch(hits(soft, logits)))
        self.step.assign_add(1)
        return self.result()

"""A model of two dense networks, so that tests of what surrounds a model need no paper's networks."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from kerasfer.models.base import FERModel, ModelConfig, OptimizerPlan


@dataclasses.dataclass(frozen=True)
class ToyConfig(ModelConfig):
    """`units` is the width of the only hidden layer."""

    image_size: int = 8
    units: int = 4
    batch_size: int = 2

    @classmethod
    def small(cls) -> ToyConfig:
        return cls(units=3)

    @classmethod
    def tiny(cls) -> ToyConfig:
        return cls(units=2, image_size=4)


class Toy(FERModel):
    """Recognizes with one network, generates with another."""

    Config = ToyConfig

    @classmethod
    def batch_kind_of(cls, config: ToyConfig) -> str:
        return "images"

    def build_networks(self) -> dict[str, keras.Model]:
        image = keras.Input(self.image_spec.shape, name="image")
        hidden = keras.layers.Conv2D(self.config.units, 3, activation="relu", name="conv")(image)
        flat = keras.layers.Flatten(name="flat")(hidden)
        answer = keras.layers.Dense(len(self.config.expressions), "softmax", dtype="float32", name="out")(flat)
        code = keras.Input((self.config.units,), name="code")
        picture = keras.layers.Dense(int(np.prod(self.image_spec.shape)), name="paint")(code)
        return {
            "classifier": keras.Model(image, answer, name="classifier"),
            "painter": keras.Model(code, picture, name="painter"),
        }

    def optimizer_plans(self) -> dict[str, OptimizerPlan]:
        return {"all": OptimizerPlan(("classifier", "painter"))}

    def weight_groups(self) -> dict[str, tuple[str, ...]]:
        return {"recognizer": ("classifier",), "generator": ("painter",)}

    def loss_terms(self) -> tuple[str, ...]:
        return ("loss",)

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            answers = self.networks["classifier"](batch["image"], training=True)
            painted = self.networks["painter"](tf.ones((1, self.config.units)))
            loss = self.mean_over_batch(tf.reduce_sum(tf.square(answers - batch["label"]), -1)) + tf.reduce_sum(
                tf.square(tf.cast(painted, tf.float32))
            )
        self.minimize("all", loss, tape)
        self.report(loss=loss)
        self.step.assign_add(1)
        return self.result()

    def recognizer(self) -> keras.Model:
        return self.networks["classifier"]

    def synthesize(self, codes: np.ndarray) -> np.ndarray:
        return np.asarray(self.networks["painter"](codes))

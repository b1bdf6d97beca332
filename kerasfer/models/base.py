"""`FERModel`: the contract that every paper's model fulfills, and all that the models share.

A paper's class defines its `Config`, the batches it eats, its networks, which optimizer moves which networks,
`train_step`, `recognizer` and `synthesize`. Everything else is here and in the bases.
"""

from __future__ import annotations

import abc
import math
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from kerasfer import markup
from kerasfer.expressions import LabelSpace
from kerasfer.faces import PIXEL_RANGES, ImageSpec
from kerasfer.forks import use_tensorflow
from kerasfer.losses import hits
from kerasfer.models.config import (
    PRECISIONS,
    SCHEDULES,
    ConfigError,
    Deviation,
    ModelConfig,
    deviations,
    is_path,
    ours,
    require_defined,
)
from kerasfer.models.kinds import BATCH_KINDS
from kerasfer.models.networks import (
    chosen_precision,
    copy_layers,
    copy_weights,
    in_batches,
    precision_scope,
    weights_at_most,
)
from kerasfer.models.optimization import Optimized, OptimizerPlan
from kerasfer.models.ranges import RangeChecked
from kerasfer.models.recognizer import Probabilities, Recognizer, refuse_hdf5
from kerasfer.models.steps import Stepped

__all__ = [
    "BATCH_KINDS",
    "PRECISIONS",
    "SCHEDULES",
    "ConfigError",
    "Deviation",
    "FERModel",
    "ModelConfig",
    "OptimizerPlan",
    "chosen_precision",
    "copy_layers",
    "copy_weights",
    "deviations",
    "in_batches",
    "is_path",
    "ours",
    "precision_scope",
    "weights_at_most",
]


def _seed_paths(paths: Iterable[str]) -> dict[str, str]:
    """Keras numbers seed generators through the process; path -> path as if they were the process's first."""
    numbers = {path: int(found[1] or 0) for path in paths if (found := _SEED_PATH.fullmatch(path))}
    ordered = sorted(numbers, key=numbers.__getitem__)
    return {path: f"seed_generator{f'_{rank}' if rank else ''}/{_SEED}" for rank, path in enumerate(ordered)}


_SEED = "seed_generator_state"
_SEED_PATH = re.compile(rf"seed_generator(?:_(\d+))?/{_SEED}")


class FERModel(RangeChecked, Optimized, Stepped, keras.Model):
    """A paper's model: several networks, several optimizers, one training step.

    Args:
        config: an instance of the class's `Config`.

    Attributes:
        controls: what people control the faces with that the model draws: names of `kerasfer.synthesis.CONTROLS`, or
            classes of the paper's own that are made with the model; () if it draws none.
        feature_layer: name of the layer whose output the recognizer's logits are made from; by default the one that
            stands before the last.
        parts: names of the codes that a face is drawn from the sum of, in the order in which they are added; see
            `encode` of such a model.
        networks: name -> functional `keras.Model`, built and ready.
        optimizers: name -> optimizer, after `compile`.
        step: number of training steps done, int64 variable.
        new_head: whether the layers that depend on the classes have learned nothing yet, on networks that have.
    """

    new_head: bool = False

    Config: ClassVar[type[ModelConfig]]
    Batch: ClassVar[Any] = None
    frozen: ClassVar[tuple[str, ...]] = ()
    controls: ClassVar[tuple[str | type, ...]] = ()
    feature_layer: ClassVar[str] = ""
    parts: tuple[str, ...] = ()

    def __init_subclass__(cls, abstract: bool = False, **options: Any) -> None:
        """Every model fulfills the contract.

        Args:
            abstract: whether the class leaves some of it to its own subclasses.
            **options: none.

        Raises:
            TypeError: a method of the contract, `Config`, or the kind of batch is not defined.
        """
        super().__init_subclass__(**options)
        if abstract:
            return
        also = [] if hasattr(cls, "Config") else ["Config"]
        if cls.Batch is None and cls.batch_kind_of.__func__ is FERModel.batch_kind_of.__func__:
            also.append("batch_kind_of or Batch")
        require_defined(cls, *also)

    def __init__(self, config: ModelConfig) -> None:
        use_tensorflow()
        super().__init__(name=type(self).__name__.lower(), dtype="float32")
        if not isinstance(config, self.Config):
            raise ConfigError(f"{type(self).__name__} takes a {self.Config.__name__}, got {type(config).__name__}")
        self.config = config
        self.image_spec = ImageSpec(config.image_size, config.channels, config.pixel_range)
        self.label_space = LabelSpace.of(config.expressions)
        keras.utils.set_random_seed(config.seed)
        with precision_scope(config.precision):
            self.networks: dict[str, keras.Model] = self.build_networks()
        self.step = self.add_weight(
            (), initializer="zeros", dtype="int64", trainable=False, name="step", aggregation="only_first_replica"
        )
        self.trackers = {name: keras.metrics.Mean(name=name) for name in self.loss_terms()}
        self.test_trackers = {
            name: self.trackers.get(name) or keras.metrics.Mean(name=name) for name in ("loss", "accuracy")
        }
        self.optimizers: dict[str, keras.optimizers.Optimizer] = {}
        self.phase: tuple[bool, ...] | None = None
        if type(self).recognizer is FERModel.recognizer:
            self._recognizer = self._chained_recognizer()
        self.built = True

    @classmethod
    def batch_kind_of(cls, config: ModelConfig) -> Any:
        """The kind of batch that `train_step` eats under a config.

        Returns:
            A key of `BATCH_KINDS`; or, for a kind of the paper's own, a class of `kerasfer.data.Batches`, as which the
            model's class may also simply define `Batch`.
        """
        return cls.Batch

    @abc.abstractmethod
    def build_networks(self) -> dict[str, keras.Model]:
        """Makes the networks, by name."""

    @abc.abstractmethod
    def optimizer_plans(self) -> dict[str, OptimizerPlan]:
        """Which optimizer moves which networks, by the optimizer's name."""

    @abc.abstractmethod
    def loss_terms(self) -> tuple[str, ...]:
        """Names of the numbers that `train_step` reports."""

    @abc.abstractmethod
    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step on a batch of the class's `batch_kind`; returns the loss terms' running means.

        It begins with `self.as_batch`, so that `Model.fit` may be given images and labels.
        """

    def recognizer(self) -> keras.Model:
        """Aligned faces in the model's range, float32 (n, h, w, c), to probabilities, float32 (n, K).

        One flat functional model, a `Recognizer`; it shares its layers with the networks. Unless the class defines
        another, the networks of the group "recognizer" make it, each built on the outputs of those before, the last
        with the logits of the expressions.
        """
        return self._recognizer

    def _chained_recognizer(self) -> Recognizer:
        chain = [self.networks[name] for name in self.weight_groups()["recognizer"]]
        last = chain[-1].layers[-1]
        layers = [layer for network in chain for layer in network.layers]
        before = next((layer.name for layer in reversed(layers) if layer.output is last.input), last.name)
        return self.recognizer_of(chain[0].input, last.output, self.feature_layer or before)

    def features(self, faces: np.ndarray) -> np.ndarray:
        """What the recognizer makes of faces before it names their expressions.

        The last layer but one of each: dcganfer's feature of D's last maps (8,192 numbers at the bundled size), edge's
        mean over the last map (128), fesr's R_ext (256), g2fer's fc1 (512), ipdfer's E_exp (128), tdgan's fc2 (512).

        Args:
            faces: float32 (n, h, w, c) in the model's range.

        Returns:
            float32 (n, d).
        """
        return self.recognizer().features(faces)

    def generator(self) -> keras.Model | None:
        """What generates images, as one network to export; None if the model or the variant generates none.

        Returns:
            A model with named inputs, each float32 (n, ...), to "image", float32 (n, h, w, c) in the model's range.
        """
        return None

    def generator_inputs(self, faces: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
        """Inputs of `generator()` made from aligned faces, to compare exported files on.

        Args:
            faces: float32 (n, h, w, c) in the model's range.
            seed: of what is drawn.

        Returns:
            Name of the input -> float32 (n, ...).
        """
        raise NotImplementedError(f"{type(self).__name__} has no generator")

    @property
    def training_prior(self) -> tuple[float, ...]:
        """Share of each class that the answers presume, as a rule those of the training; () where it is not known."""
        return self.config.training_prior

    def get_config(self) -> dict[str, Any]:
        """What a .keras file says of the model, beside its weights."""
        return {"config": self.portable_config().to_dict()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> FERModel:
        """The model of `get_config`, with the weights that its config starts with."""
        return cls(cls.Config.from_dict(config["config"]))

    def save(self, filepath: str | os.PathLike[str], *arguments: Any, **options: Any) -> None:
        """Saves the whole model as a .keras file, as `keras.Model.save` does; `kerasfer.save` writes a folder.

        Raises:
            ValueError: the path is that of an HDF5 file, or the model was saved without some of its weights.
        """
        refuse_hdf5(filepath)
        missing = [name for name, network in self.networks.items() if not isinstance(network, keras.Model)]
        if missing:
            raise ValueError(
                f"{os.fspath(filepath)}: the model has no {', '.join(missing)}, which a .keras file must hold; save it "
                "with kerasfer.save(model, folder), or model.recognizer() alone as .keras"
            )
        super().save(filepath, *arguments, **options)

    @abc.abstractmethod
    def weight_groups(self) -> dict[str, tuple[str, ...]]:
        """Networks by what they are needed for: "recognizer" first, then others such as "generator", "training"."""

    def adapt(self, columns: dict[str, np.ndarray]) -> None:
        """Looks at the whole training set before the first step, for models that keep something of it.

        Args:
            columns: what `Batches.columns` holds of every row; {} for kinds of batch that hold nothing.
        """

    def prepare(self, batch: dict[str, tf.Tensor]) -> None:
        """Fits what needs it to the first batch, before the first step of a training that begins.

        Args:
            batch: of the model's kind, whole on every replica and worker.
        """

    def omissions(self) -> tuple[str, ...]:
        """What of the paper's method the config's classes leave no place for, a line each; a training says it."""
        return ()

    def given_groups(self) -> tuple[str, ...]:
        """Weight groups whose values come with kerasfer: a saved model does not hold them once more."""
        return ()

    def portable_config(self) -> ModelConfig:
        """The config as a saved model holds it: without paths of this machine."""
        return self.config

    def codes(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What the encoders make of aligned faces, for probing what each code gives away.

        Args:
            images: float32 (n, h, w, c) in the model's range.

        Returns:
            Name of the code, such as "expression" -> float32 (n, ...); none if the model has no encoders.
        """
        return {}

    @markup.optional
    def _repr_html_(self) -> str:
        spec = self.image_spec
        color = "gray" if spec.channels == 1 else "RGB"
        low, high = PIXEL_RANGES[spec.pixel_range]
        return markup.facts(
            type(self).__name__,
            (
                ("takes", f"aligned faces, {spec.size} x {spec.size}, {color}, in [{low:g}, {high:g}]"),
                ("tells", ", ".join(self.label_space.labels)),
                (
                    "draws, controlled by",
                    ", ".join(each if isinstance(each, str) else each.__name__ for each in self.controls)
                    if self.generates
                    else "nothing",
                ),
                ("networks", ", ".join(self.networks)),
                (
                    "weights",
                    sum(
                        math.prod(each.shape)
                        for part in self.networks.values()
                        for each in getattr(part, "variables", ())
                    ),
                ),
                (
                    "not the paper's",
                    ", ".join(each.field for each in deviations(self.config)) or "nothing in the config",
                ),
            ),
        )

    @property
    def generates(self) -> bool:
        """Whether the model, in this variant, draws faces."""
        return bool(self.controls)

    def require_generator(self) -> None:
        """`ValueError` where the model, or the variant of it, draws nothing."""
        if not self.generates:
            variant = getattr(self.config, "variant", type(self).__name__)
            raise ValueError(f"{variant} recognizes, and generates nothing; take another variant, or another model")

    def left_out(self) -> tuple[str, ...]:
        """Networks of the group "training" that this model was saved without."""
        training = self.weight_groups().get("training", ())
        return tuple(name for name in training if not isinstance(self.networks[name], keras.Model))

    def start_from(self, other: FERModel) -> None:
        """Copies the weights of the networks that both models have.

        Networks of the group "training" that the other was saved without, such as discriminators, stay as they are.

        Raises:
            ConfigError: no network is shared, or one has other shapes, or was taught other classes.
            ZooError: the other was saved without another network that both have.
        """
        shared = [name for name in self.networks if name in other.networks and name not in other.left_out()]
        if not shared:
            raise ConfigError(f"{type(other).__name__} has no network that {type(self).__name__} could start from")
        if other.label_space != self.label_space and any(self.class_weights().get(name) for name in shared):
            raise ConfigError(
                f"{type(other).__name__} has learned {', '.join(other.label_space.labels)}, and this model is to learn "
                f"{', '.join(self.label_space.labels)}; for a new head on its networks load it with "
                "expressions=(...), or name the classes with --set expressions="
            )
        for name in shared:
            copy_weights(other.networks[name], self.networks[name])

    def recognizer_of(self, image: keras.KerasTensor, logits: keras.KerasTensor, feature_layer: str) -> Recognizer:
        """The recognizer from its input to its logits, Keras tensors of the networks' own graph.

        Args:
            image: the input.
            logits: what the softmax is taken of.
            feature_layer: name of the layer whose output the logits are made from.
        """
        config = self.config
        if config.temperature != 1.0:
            logits = keras.layers.Rescaling(1.0 / config.temperature, dtype="float32", name="temperature")(logits)
        end = Probabilities(
            self.label_space.labels,
            config.pixel_range,
            feature_layer,
            config.precision,
            self.training_prior,
            name="probabilities",
        )
        return Recognizer(image, end(logits), name="recognizer")

    def weight_name(self, network: str, variable: keras.Variable) -> str:
        """What files call a weight of a network: its path.

        Layers whose names would meet another network's in the recognizer have their network's before their own; files
        do without.
        """
        return variable.path.removeprefix(f"{network}_")

    def as_batch(self, data: Any) -> dict[str, tf.Tensor]:
        """What `train_step` was given, as a batch of the model's kind.

        Args:
            data: such a batch, a dict; images; or images and labels, where the kind has no more than these. Labels may
                be class numbers, int (n,).

        Raises:
            ConfigError: an entry of the batch is missing, or there are sample weights.
        """
        batch = self._by_name(data)
        kind = self.batch_kind_of(self.config)
        keys = BATCH_KINDS[kind] if isinstance(kind, str) else kind.keys
        missing = [name for name in keys if name not in batch]
        if missing:
            raise ConfigError(
                f"{type(self).__name__} eats batches of the kind {getattr(kind, '__name__', kind)}, dicts of "
                f"{', '.join(keys)}; this one has no {', '.join(missing)} (kerasfer.data makes them)"
            )
        return batch

    def _by_name(self, data: Any) -> dict[str, tf.Tensor]:
        if isinstance(data, Mapping):
            batch = dict(data)
        else:
            images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
            if weights is not None:
                raise ConfigError(f"{type(self).__name__} takes no sample weights; draw what counts more more often")
            batch = {"image": images} if labels is None else {"image": images, "label": labels}
        for name in batch:
            if name.endswith("label") and name not in ("identity_label", "pose_label"):
                labels = tf.convert_to_tensor(batch[name])
                if labels.shape.rank == 1 or labels.dtype.is_integer and labels.shape[-1] == 1:
                    labels = tf.one_hot(tf.reshape(tf.cast(labels, tf.int32), (-1,)), len(self.label_space))
                batch[name] = tf.cast(labels, tf.float32)
        return batch

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """For `Model.evaluate`: cross entropy and accuracy of the recognizer on images and labels."""
        batch = self._by_name(data)
        start = "expression_" if "expression_image" in batch else ""
        if f"{start}label" not in batch:
            raise ConfigError(f"{type(self).__name__} is evaluated on images and labels; this batch has no labels")
        labels = batch[f"{start}label"]
        probabilities = tf.cast(self(batch[f"{start}image"], training=False), tf.float32)
        self.test_trackers["loss"].update_state(keras.losses.categorical_crossentropy(labels, probabilities))
        self.test_trackers["accuracy"].update_state(hits(labels, probabilities))
        return {name: tracker.result() for name, tracker in self.test_trackers.items()}

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Probabilities of aligned faces: the recognizer's answer."""
        return self.recognizer()(inputs, training=training)

    def checked(self, images: np.ndarray) -> np.ndarray:
        """Images as float32; `ValueError` if they have not shape (n, h, w, c) or the range of values of the model."""
        images = np.asarray(images, np.float32)
        if images.ndim != 4 or images.shape[1:] != self.image_spec.shape:
            raise ValueError(f"images have shape (n, {', '.join(map(str, self.image_spec.shape))}), got {images.shape}")
        if images.size:
            self.image_spec.check_range(float(images.min()), float(images.max()), "images")
        return images

    def state(self) -> dict[str, Any]:
        """Every variable that a training needs to go on: weights, optimizer slots, random states, the step.

        Returns:
            name -> Keras variable; the names are the same in every run of the same config.
        """
        variables = {"step": self.step}
        in_networks = {name: model.variables for name, model in self.networks.items()}
        seeds = _seed_paths([variable.path for part in in_networks.values() for variable in part])
        for network, part in in_networks.items():
            for index, variable in enumerate(part):
                path = seeds.get(variable.path) or self.weight_name(network, variable)
                variables[f"network/{network}/{index:03d}/{path}"] = variable
        for name, optimizer in self.optimizers.items():
            for index, variable in enumerate(optimizer.variables):
                variables[f"optimizer/{name}/{index:03d}"] = variable
        for name, tracker in self.trackers.items():
            for index, variable in enumerate(tracker.variables):
                variables[f"tracker/{name}/{index}"] = variable
        return variables

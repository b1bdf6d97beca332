"""Several optimizers in one Keras model: which one updates which networks, and how."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from kerasfer.models.config import ConfigError, ModelConfig
from kerasfer.optimizers import FusedAdam, WarmAverage, copied

__all__ = ["OptimizerPlan", "Optimized"]

Optimizers = str | keras.optimizers.Optimizer
"""What names an optimizer: "adam", say, or one."""


@dataclasses.dataclass(frozen=True)
class OptimizerPlan:
    """One optimizer of a model.

    Attributes:
        networks: names of the networks it moves; every network with weights belongs to exactly one optimizer, or is
            named in the model's `frozen`.
        make: makes the optimizer, a `kerasfer.optimizers.WarmAverage`, from keyword arguments `learning_rate`,
            `use_ema`, `ema_momentum`.
        updates: how often a training step updates the networks; the learning rate's schedule counts updates.
        start: the training step at which the updates begin.
        rate: multiplies the config's learning rate.
        average: whether the config's running average covers these networks.
    """

    networks: tuple[str, ...]
    make: Callable[..., keras.optimizers.Optimizer] = FusedAdam
    updates: int = 1
    start: int = 0
    rate: float = 1.0
    average: bool = True


class _Together:
    """The optimizers of a model as Keras' callbacks see one: a learning rate that they read and set."""

    built = True

    def __init__(self, optimizers: Sequence[keras.optimizers.Optimizer]) -> None:
        self._optimizers = optimizers

    @property
    def learning_rate(self) -> Any:
        """That of the first; when it is set, the others' change in proportion."""
        return self._optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        before = float(keras.ops.convert_to_numpy(self.learning_rate))
        for optimizer in self._optimizers:
            own = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
            optimizer.learning_rate = float(rate) * (own / before if before else 1.0)


class Optimized:
    """Stands before `keras.Model` among the bases of a model whose `optimizer_plans` say what moves what.

    Attributes:
        config: says learning rate, schedule, running averages and precision.
        networks: name -> network.
        optimizers: name -> optimizer, after `compile`.
        frozen: networks with weights that no optimizer moves.
    """

    config: ModelConfig
    networks: dict[str, keras.Model]
    optimizers: dict[str, keras.optimizers.Optimizer]
    frozen: ClassVar[tuple[str, ...]]

    def compile(
        self,
        optimizer: Optimizers | Mapping[str, Optimizers] | None = None,
        loss: None = None,
        loss_weights: None = None,
        metrics: None = None,
        weighted_metrics: None = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = False,
        auto_scale_loss: bool = True,
        *,
        total_steps: int | None = None,
    ) -> None:
        """Makes the optimizers and builds their slots; the arguments are those of `keras.Model.compile`.

        Args:
            optimizer: by default the paper's. A name such as "adam" has the config's learning rates, an optimizer its
                own; each of the model's is a copy. Or one for each of `optimizer_plans()`, by name.
            loss, loss_weights, metrics, weighted_metrics: None: `train_step` has its own. To train with others compile
                and fit `recognizer()`.
            run_eagerly, steps_per_execution: for `Model.fit`.
            jit_compile: whether `Model.fit` has XLA compile the step; "auto" does not.
            auto_scale_loss: whether losses are scaled where the precision is mixed_float16, for each optimizer apart.
            total_steps: length of the training; needed by every schedule but the constant one, and by `freeze_epochs`.
                Without it, an optimizer named here keeps one learning rate and moves everything from the first step on.

        Raises:
            ConfigError: a loss or a metric; an optimizer that is unknown or missing; a schedule without `total_steps`;
                a network that no optimizer moves, or two do.
        """
        others = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics, "weighted_metrics": weighted_metrics}
        given = [name for name, value in others.items() if value is not None]
        if given:
            raise ConfigError(
                f"{type(self).__name__} has the losses of its train_step and takes no {given[0]}; compile and fit "
                "model.recognizer() to train with others"
            )
        plans = self.optimizer_plans()
        if isinstance(optimizer, Mapping) and set(optimizer) != set(plans):
            raise ConfigError(f"the optimizers are {', '.join(plans)}; got {', '.join(optimizer) or 'none'}")
        super().compile(
            optimizer=None,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile is True,
        )
        seen: dict[str, str] = {}
        for name, plan in plans.items():
            for network in plan.networks:
                if network in seen:
                    raise ConfigError(f"network {network!r} is moved by both {seen[network]!r} and {name!r}")
                seen[network] = name
            updates = total_steps and max(total_steps - plan.start, 1) * plan.updates
            wanted = optimizer[name] if isinstance(optimizer, Mapping) else optimizer
            made = self._make_optimizer(name, plan, wanted, updates)
            variables = self.variables_of(*plan.networks)
            scaled = auto_scale_loss and self.config.precision == "mixed_float16"
            self.optimizers[name] = keras.optimizers.LossScaleOptimizer(made) if scaled else made
            self.optimizers[name].build(variables)
            if made.use_ema:
                # Until its first update, a network's averages are the weights that it starts with.
                for variable, average in zip(variables, made.averages, strict=True):
                    average.assign(variable)
        if total_steps is not None or optimizer is None:
            self._freeze(total_steps)
        idle = [name for name, net in self.networks.items() if net.trainable_variables and name not in seen]
        if set(idle) - set(self.frozen):
            raise ConfigError(f"no optimizer moves {', '.join(sorted(set(idle) - set(self.frozen)))}")
        self.optimizer = _Together(list(self.optimizers.values()))
        self._compiled = {
            "optimizer": optimizer,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
            "auto_scale_loss": auto_scale_loss,
            "total_steps": total_steps,
        }

    def _make_optimizer(
        self, name: str, plan: OptimizerPlan, wanted: Optimizers | None, updates: int | None
    ) -> keras.optimizers.Optimizer:
        if wanted is None:
            made = plan.make(learning_rate=self._learning_rate(updates, plan.rate), **self._averaging(plan))
            if not isinstance(made, WarmAverage):
                raise ConfigError(f"optimizer {name!r} is no WarmAverage: its averages would start at random weights")
            return made
        try:
            known = keras.optimizers.get(wanted)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"optimizer {name!r}: {wanted!r} is no Keras optimizer; give one, or its name") from error
        settings = self._averaging(plan)
        if isinstance(wanted, str):
            one_rate = plan.rate * self.config.learning_rate
            settings["learning_rate"] = self._learning_rate(updates, plan.rate) if updates else one_rate
        return copied(known, **settings)

    def get_compile_config(self) -> dict[str, Any]:
        """What `compile` was given, for a .keras file."""
        return keras.saving.serialize_keras_object(getattr(self, "_compiled", {}))

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as a .keras file says."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def _freeze(self, total_steps: int | None) -> None:
        """Has the optimizers hold, for `freeze_epochs`, all weights that do not depend on the classes."""
        if not self.config.freeze_epochs:
            return
        if total_steps is None:
            raise ConfigError("freeze_epochs need the number of steps: compile(total_steps=...)")
        steps = round(total_steps * self.config.freeze_epochs / self.config.epochs)
        if not steps:
            return
        depends = {
            id(self.networks[network].weights[place])
            for network, places in self.class_weights().items()
            for place in places
        }
        for name, plan in self.optimizer_plans().items():
            held = [variable for variable in self.variables_of(*plan.networks) if id(variable) not in depends]
            updates = max(steps - plan.start, 0) * plan.updates
            if held and updates and not isinstance(self._inner(name), FusedAdam):
                raise ConfigError("freeze_epochs need Adam: compile() or compile('adam')")
            if held and updates:
                self._inner(name).hold(held, updates)

    def class_weights(self) -> dict[str, tuple[int, ...]]:
        """What a new head replaces: of each network the places, in `weights`, of those that depend on the classes.

        They are the weights that would have another shape if there were one class more.
        """
        more = [f"class {number}" for number in range(len(self.config.expressions) + 1)]
        other = type(self)(self.config.replace(expressions=tuple(more)))
        return {
            name: tuple(
                place
                for place, (mine, theirs) in enumerate(zip(network.weights, other.networks[name].weights, strict=True))
                if mine.shape != theirs.shape
            )
            for name, network in self.networks.items()
            if isinstance(network, keras.Model)
        }

    def _learning_rate(self, updates: int | None, factor: float = 1.0) -> Any:
        rate, schedule = factor * self.config.learning_rate, self.config.schedule
        if schedule == "constant":
            return rate
        if not updates:
            raise ConfigError(f"the {schedule} schedule needs the number of steps: compile(total_steps=...)")
        if schedule == "cosine":
            return keras.optimizers.schedules.CosineDecay(rate, updates)
        return keras.optimizers.schedules.PiecewiseConstantDecay(
            [updates // 3, 2 * updates // 3], [rate, rate / 10, rate / 100]
        )

    def _averaging(self, plan: OptimizerPlan) -> dict[str, Any]:
        if not (self.config.average and plan.average):
            return {}
        return {"use_ema": True, "ema_momentum": self.config.average, "ema_overwrite_frequency": None}

    def variables_of(self, *networks: str) -> list[keras.Variable]:
        """Trainable variables of some networks, in a fixed order."""
        return [variable for name in networks for variable in self.networks[name].trainable_variables]

    def minimize(self, optimizers: str | tuple[str, ...], loss: tf.Tensor, tape: tf.GradientTape) -> None:
        """Moves the networks of one optimizer or of several, and no others, down the loss."""
        names = (optimizers,) if isinstance(optimizers, str) else optimizers
        variables = [self.variables_of(*self.optimizer_plans()[name].networks) for name in names]
        scales = [self._loss_scale(name) for name in names]
        first = scales[0]
        start = None if first is None else tf.cast(first, loss.dtype)
        for name, gradients, moved, scale in zip(
            names, tape.gradient(loss, variables, output_gradients=start), variables, scales
        ):
            if scale is not first:
                gradients = [gradient if gradient is None else gradient * (scale / first) for gradient in gradients]
            self.optimizers[name].apply(gradients, moved)

    def _inner(self, name: str) -> WarmAverage:
        """The optimizer itself, without what scales its loss."""
        optimizer = self.optimizers[name]
        return getattr(optimizer, "inner_optimizer", optimizer)

    def _loss_scale(self, name: str) -> tf.Tensor | None:
        """What an optimizer wants its loss multiplied by; None if it does not scale losses."""
        optimizer = self.optimizers[name]
        scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        return tf.convert_to_tensor(optimizer.dynamic_scale) if scales else None

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """The trained weights are replaced by their running averages inside, if the config asks for averages."""
        if not (self.config.average and self.optimizers):
            yield
            return
        kept: list[tuple[keras.Variable, np.ndarray]] = []
        averaged = {name: plan for name, plan in self.optimizer_plans().items() if plan.average}
        for name, plan in averaged.items():
            variables = self.variables_of(*plan.networks)
            for variable, average in zip(variables, self._inner(name).averages, strict=True):
                kept.append((variable, variable.numpy()))
                variable.assign(average.numpy())
        try:
            yield
        finally:
            for variable, value in kept:
                variable.assign(value)

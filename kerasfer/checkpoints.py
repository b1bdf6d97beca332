"""The state of a training in files: all that it needs to resume, complete or not there at all."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer.files import atomic_file, atomic_folder
from kerasfer.models.base import FERModel
from kerasfer.weights import ZooError, read_state, write_state

__all__ = [
    "Checkpoints",
    "NonFiniteLossError",
    "Place",
    "TrainingError",
    "changed_fields",
    "load_state",
    "save_state",
    "snapshots",
]


class TrainingError(ValueError):
    """A training cannot start or resume; the message says why and what to do."""


class NonFiniteLossError(TrainingError):
    """A loss became NaN or infinite; the message names the term, the step and the last good checkpoint."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a run stands: `step` batches of epoch `epoch` are done."""

    epoch: int = 0
    step: int = 0


def save_state(model: FERModel, path: Path) -> None:
    """Writes every variable of `model.state()` to a safetensors file, aside first.

    Raises:
        NonFiniteLossError: a variable is NaN or infinite; nothing is written.
        TrainingError: the file cannot be written; what was there before stays.
    """
    with atomic_file(path, TrainingError) as aside:
        _write_state(_arrays(model), model, aside)


def _arrays(model: FERModel) -> dict[str, np.ndarray]:
    """The values of `model.state()`. Every worker has to ask for them: the running means are summed over all."""
    return {name: np.array(variable.numpy(), order="C") for name, variable in model.state().items()}


def _write_state(arrays: dict[str, np.ndarray], model: FERModel, path: Path) -> None:
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise NonFiniteLossError(f"{name} is no longer finite")
    write_state(path, arrays, model.config.to_dict())


def load_state(model: FERModel, path: Path) -> None:
    """Fills every variable of `model.state()` from a file of `save_state`.

    Raises:
        TrainingError: the file is damaged, or is of another model or config.
    """
    try:
        arrays, config = read_state(path)
    except ZooError as error:
        raise TrainingError(str(error)) from error
    remedy = "train into an empty folder, or with the config.json beside it"
    # Fields that came to the config after the run was written have the values that make no difference.
    before = {**type(model.config).paper().to_dict(), **config} if config else model.config.to_dict()
    changed = changed_fields(before, model.config.to_dict())
    if changed:
        raise TrainingError(f"{path}: is of a run with another {', '.join(changed)}; {remedy}")
    state = model.state()
    wrong = sorted(set(arrays) ^ set(state)) or [
        name for name, variable in state.items() if not _fits(arrays[name], tuple(variable.shape))
    ]
    if wrong:
        raise TrainingError(
            f"{path}: is of another model or config ({len(wrong)} variables differ, first {wrong[0]}); {remedy}"
        )
    for name, variable in state.items():
        variable.assign(arrays[name].reshape(variable.shape))


def _fits(array: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether an array is of a shape; a single number may be stored with an axis."""
    return array.shape == shape or array.size == 1 and not shape


def snapshots(folder: Path) -> dict[int, Path]:
    """Number of epochs -> file that `kerasfer.training.Snapshots` kept in the folder of a training, in order."""
    files = sorted((Path(folder) / "snapshots").glob("epoch-*.safetensors"))
    return {int(file.stem.removeprefix("epoch-")): file for file in files}


def changed_fields(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Fields that two configs do not share or that differ."""
    return [key for key in {**before, **after} if key not in before or key not in after or before[key] != after[key]]


class Checkpoints:
    """The checkpoints of one run: complete folders `checkpoints/<epoch>-<step>`, the newest two are kept.

    Args:
        folder: of the run.
        writes: False for the workers that only read.
    """

    def __init__(self, folder: Path, writes: bool = True, keep: int = 2) -> None:
        self.folder = folder / "checkpoints"
        self.writes = writes
        self.keep = keep

    def places(self) -> list[tuple[Place, Path]]:
        """Every complete checkpoint, oldest first."""
        found = []
        for path in self.folder.glob("[0-9]*-[0-9]*"):
            epoch, _, step = path.name.partition("-")
            if (path / "state.safetensors").is_file() and epoch.isdecimal() and step.isdecimal():
                found.append((Place(int(epoch), int(step)), path))
        return sorted(found, key=lambda entry: dataclasses.astuple(entry[0]))

    def save(self, model: FERModel, place: Place) -> None:
        """Writes a checkpoint aside, renames it, and removes those that are no longer kept.

        Raises:
            NonFiniteLossError: a variable is NaN or infinite; the checkpoints stay as they are.
            TrainingError: it cannot be written, as on a full disk; the checkpoints stay as they are.
        """
        arrays = _arrays(model)
        if not self.writes:
            return
        target = self.folder / f"{place.epoch:05d}-{place.step:07d}"
        with atomic_folder(target, TrainingError) as aside:
            _write_state(arrays, model, aside / "state.safetensors")
        for _, path in self.places()[: -self.keep]:
            shutil.rmtree(path, ignore_errors=True)

    def restore(self, model: FERModel) -> Place:
        """Loads the newest checkpoint, if there is one, and returns the place it was written at.

        Raises:
            TrainingError: it is damaged, or of another model or config.
        """
        if self.writes:
            for left_over in (*self.folder.glob(".*.tmp"), *self.folder.glob(".*.old")):
                shutil.rmtree(left_over, ignore_errors=True)
        places = self.places()
        if not places:
            return Place()
        place, path = places[-1]
        load_state(model, path / "state.safetensors")
        return place

"""Trained models: from folders of saved models, from training runs, and from the Hugging Face Hub."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasfer import hub
from kerasfer.forks import ForkError
from kerasfer.models import MODELS, model_class
from kerasfer.weights import ZooError, bundled, check_seal, fill, read_json, read_state, read_weights
from kerasfer.zoo.derived import with_new_head
from kerasfer.zoo.groups import mark_missing, variables_of
from kerasfer.zoo.layout import FORMAT, image_entry
from kerasfer.zoo.names import chosen_precision, list_models

if TYPE_CHECKING:
    from kerasfer.backbones.identity import IdentityNetwork
    from kerasfer.models.base import FERModel

__all__ = ["load"]

UNSTORED = 1 << 27
"""Weights that a model may have besides those in the files beside its config.json: networks that were not saved."""

_SHOWN = 300
"""Characters that are shown of what a library says."""


def load(
    source: str | os.PathLike[str],
    *,
    expressions: Sequence[str] | None = None,
    precision: str | None = None,
    recognizer_only: bool = False,
) -> FERModel | IdentityNetwork:
    """Loads a trained model.

    Weight groups other than "recognizer" may be absent; what needs them, such as `synthesize`, then raises.

    With `expressions` other than its own the model gets a new head for these classes (`with_new_head`), untrained, and
    is the recognizer alone, with the settings of `ModelConfig.fine_tuning`: train it before you ask it.

    Args:
        source: a name of `list_models(trained=True)`; or the path of a folder of `save`, of a training run (its newest
            checkpoint is taken, with the averaged weights if it keeps them), or of one checkpoint of a run. A string
            that is both a name and a path means the name; write "./tdgan" for the folder. Or the address of a model on
            the Hugging Face Hub, "hf://user/name" or "hf://user/name@revision", which is fetched once (extra `hub`).
        expressions: names of the classes, if they are to be others than those that the model was trained on.
        precision: the dtype policy that the model computes in. Models are trained in bfloat16 for speed and used in
            float32; give "mixed_bfloat16" for a model that is to be trained on. By default the global policy.
        recognizer_only: leave out networks that recognizing does not need, where the model can do without; it loads
            up to four times sooner. `config` is then that of the variant without them. Of a training run all is loaded.

    Returns:
        The model; of "dlib_resnet" an `IdentityNetwork`, which tells people apart and recognizes no expressions.

    Raises:
        ZooError: there is no such model, or a file of it is missing, damaged or of another model.
        ConfigError: an unknown precision, or names that cannot be classes.
    """
    if expressions is not None:
        return _load_for(source, expressions, precision)
    if isinstance(source, str) and source in bundled():
        return _load_saved(bundled()[source], precision, recognizer_only)
    if hub.is_address(source):
        return _load_saved(hub.fetch(str(source)), precision, recognizer_only)
    path = Path(source)
    if path.name in ("config.json", "state.safetensors") and path.is_file():
        path = path.parent
    if path.is_dir() and path.parent.name == "checkpoints":
        return _load_run(path.parent.parent, path, precision)
    if (path / "checkpoints").is_dir():
        return _load_run(path, _newest_checkpoint(path), precision)
    if path.is_dir():
        return _load_saved(path, precision, recognizer_only)
    trained = list_models(trained=True)
    known = f"trained models are: {', '.join(trained)}" if trained else "no trained models come with this installation"
    if path.exists():
        raise ZooError(f"{path}: not a saved model; name the folder that holds its config.json")
    hint = f"; kerasfer.create({str(source)!r}) makes an untrained one" if str(source) in MODELS else ""
    raise ZooError(f"{source}: neither a trained model nor a folder; {known}{hint}")


def _load_for(source: str | os.PathLike[str], expressions: Sequence[str], precision: str | None) -> FERModel:
    """The recognizer of a trained model with these classes, whether it has learned them or not."""
    from kerasfer.models.base import FERModel

    model = load(source, precision=precision, recognizer_only=True)
    if not isinstance(model, FERModel):
        raise ZooError(f"{source}: recognizes no expressions, so it has no head for classes; take one that does")
    if model.config.with_classes(expressions).expressions == model.config.expressions:
        return model
    return with_new_head(model, expressions, model.config.recognizing().fine_tuning())


def _chosen(precision: str | None) -> str:
    """The precision asked for, or the global policy."""
    return chosen_precision("float32") if precision is None else precision


def _load_saved(folder: Path, precision: str | None, recognizer_only: bool) -> FERModel | IdentityNetwork:
    path = folder / "config.json"
    description = read_json(path)
    if description.get("kind") == "identity":
        return _load_identity(folder, description, precision)
    _require_description(description, path)
    if description.get("format") is None:
        raise ZooError(f"{path}: is of a training run without checkpoints; train first, or name a saved model")
    if description["format"] not in range(1, FORMAT + 1):
        found = reprlib.repr(description["format"])
        raise ZooError(f"{path}: has format {found}, this kerasfer reads up to {FORMAT}; install a newer one")
    model = _model_of(description, path, _chosen(precision), recognizer_only)
    for key, ours in (("labels", list(model.label_space.labels)), ("image", image_entry(model))):
        if description.get(key) != ours:
            found = reprlib.repr(description.get(key))
            raise ZooError(f"{path}: {key} {found} contradicts the config's {ours}; restore the file as saved")
    files = description.get("files")
    if not isinstance(files, dict) or not recognizer_only and set(files) - set(model.weight_groups()):
        known = ", ".join(model.weight_groups())
        raise ZooError(f"{path}: lists other weight files than those of {known}; restore the file as saved")
    for group in model.weight_groups():
        entry = files.get(group)
        if entry is None and group in model.given_groups():
            continue
        if entry is None and group != "recognizer":
            mark_missing(model, group, f"{folder} was saved without its {group} weights")
            continue
        file = folder / f"{group}.safetensors"
        if not isinstance(entry, dict) or entry.get("file") != file.name:
            raise ZooError(f"{path}: has no valid entry of {file.name}; restore the file as saved")
        if group != "recognizer" and not file.exists():
            mark_missing(model, group, f"{file} is missing")
        else:
            fill(variables_of(model, group), read_weights(file, entry), file)
    check_seal(description, path)
    return model


def _load_identity(folder: Path, description: Mapping[str, Any], precision: str | None) -> IdentityNetwork:
    from kerasfer.backbones.identity import load_identity
    from kerasfer.models.base import PRECISIONS, ConfigError, precision_scope

    precision = _chosen(precision)
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is one of {', '.join(PRECISIONS)}, got {precision!r}")
    with precision_scope(precision):
        network = load_identity(folder, description)
    check_seal(description, folder / "config.json")
    return network


def _read_description(path: Path) -> dict[str, Any]:
    description = read_json(path)
    _require_description(description, path)
    return description


def _require_description(description: Mapping[str, Any], path: Path) -> None:
    if not isinstance(description.get("config"), dict):
        raise ZooError(f"{path}: does not describe a model; name the folder of a saved model or of a training run")
    if not isinstance(description.get("model"), str) or description["model"] not in MODELS:
        raise ZooError(
            f"{path}: is of model {reprlib.repr(description.get('model'))}, which this kerasfer does not have "
            f"({', '.join(sorted(MODELS))}); install a newer one"
        )


def _model_of(
    description: Mapping[str, Any], path: Path, precision: str | None = None, recognizer_only: bool = False
) -> FERModel:
    from kerasfer.models.base import weights_at_most

    model = model_class(description["model"])
    try:
        config = model.Config.from_dict(description["config"])
    except (TypeError, ValueError) as error:
        raise ZooError(f"{path}: {error}; restore the file as saved, or install the kerasfer that wrote it") from error
    config = config.recognizing() if recognizer_only else config
    config = config if precision is None else config.replace(precision=precision)
    stored = sum(file.stat().st_size for file in path.parent.rglob("*.safetensors"))
    try:
        with weights_at_most(UNSTORED + stored):
            return model(config)
    except (ForkError, ZooError):
        raise
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:_SHOWN]
        raise ZooError(f"{path}: no model can be made of its config ({reason}); restore the file as saved") from error


def _newest_checkpoint(run: Path) -> Path:
    found = []
    for path in (run / "checkpoints").glob("[0-9]*-[0-9]*/state.safetensors"):
        epoch, _, step = path.parent.name.partition("-")
        if epoch.isdecimal() and step.isdecimal():
            found.append((int(epoch), int(step), path.parent))
    if not found:
        raise ZooError(f"{run / 'checkpoints'}: holds no checkpoint; train longer, or name another folder")
    return max(found)[2]


def _load_run(run: Path, checkpoint: Path, precision: str | None) -> FERModel:
    """The model of a training run at one of its checkpoints."""
    description = _read_description(run / "config.json")
    path = checkpoint / "state.safetensors"
    arrays, config = read_state(path)
    if config is not None and config != description["config"]:
        raise ZooError(f"{path}: is of a run with another config; use the config.json that was written with it")
    model = _model_of(description, run / "config.json", _chosen(precision))
    trained = _model_of(description, run / "config.json")
    if trained.config.average:
        trained.compile(total_steps=1)
    # Counters and random states matter to a training that resumes, not to a trained model.
    state = {name: value for name, value in trained.state().items() if len(value.shape) and _is_kept(name, trained)}
    kept = {
        name: value for name, value in arrays.items() if name in state or value.size > 1 and _is_kept(name, trained)
    }
    fill(state, kept, path)
    with trained.averaged_weights():
        for name, network in trained.networks.items():
            for variable, value in zip(model.networks[name].weights, network.weights):
                variable.assign(value.numpy())
    check_seal(description, run / "config.json")
    return model


def _is_kept(name: str, model: FERModel) -> bool:
    """Tells whether an entry of a checkpoint is a weight, or a slot of an optimizer that the model has."""
    return name.startswith(("network/", "optimizer/") if model.optimizers else "network/") and "seed_gen" not in name

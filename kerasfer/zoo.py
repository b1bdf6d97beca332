"""The zoo: models by name, and trained models as folders that carry all one must know to use them.

A saved model is a folder:

    config.json               format, model, config, labels, image format, and each weight file with its checksum
    recognizer.safetensors    weights of the networks that recognise
    generator.safetensors     ... and of those that synthesise, and so on, one file a group of `weight_groups()`
    README.md                 the model card
    metrics.json history.csv  what was measured, and the course of the training

Nothing in it is code, and nothing in it is taken on trust: a file that is missing, damaged or of another model raises.
"""

from __future__ import annotations

import csv
import fnmatch
import hashlib
import json
import math
import os
import reprlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasfer import hub
from kerasfer.files import folder_written_aside
from kerasfer.forks import ForkError
from kerasfer.missing import explained
from kerasfer.models import MODELS, model_class
from kerasfer.models.config import deviations_table
from kerasfer.version import __version__
from kerasfer.weights import (
    ZooError,
    bundled,
    check_seal,
    fill,
    folder_of,
    pack,
    read_json,
    read_state,
    read_weights,
    seal,
)

if TYPE_CHECKING:
    from kerasfer.backbones.identity import IdentityNetwork
    from kerasfer.models.base import FERModel, ModelConfig

__all__ = [
    "FORMAT",
    "SIZES",
    "STORAGES",
    "ZooError",
    "average",
    "create",
    "folder_of",
    "list_models",
    "load",
    "push_to_hub",
    "save",
    "with_new_head",
]

FORMAT = 1
"""Number of the folder format that this version writes; it reads this one and all before it."""

SIZES = ("paper", "small", "tiny")
"""Ready-made configs that every model has."""

STORAGES: dict[str, type[np.number]] = {"float32": np.float32, "float16": np.float16, "int8": np.int8}
"""Types that weights can be stored in; in memory they are float32."""

CONTENTS = (
    "config.json",
    "README.md",
    "metrics.json",
    "history.csv",
    "parity.json",
    "saved_model",
    "generator_parity.json",
    "generator_saved_model",
)
ENDINGS = (".safetensors", ".tflite")
"""What a saved model's folder holds, by name or by ending, exports included."""


def list_models(pattern: str = "*", trained: bool = False) -> list[str]:
    """Names of models, sorted.

    Args:
        pattern: a shell pattern, such as "tdgan*".
        trained: list what `load` takes by name, the trained models that come with kerasfer, instead of what `create`
            takes.
    """
    names = bundled() if trained else MODELS
    return sorted(name for name in names if fnmatch.fnmatchcase(name, pattern))


def create(name: str, size: str = "paper", **config_overrides: Any) -> FERModel:
    """Makes an untrained model.

    Args:
        name: one of `list_models()`.
        size: "paper" for the paper's config, "small" for one that a CPU can train, "tiny" for tests.
        **config_overrides: fields of the model's config to change. Its precision is by default a global dtype policy
            other than float32, where somebody has set one.

    Raises:
        ZooError: an unknown name or size.
        ConfigError: a field that the config does not have, or a value that it cannot have.
    """
    if name not in MODELS:
        trained = " (a trained model: use load)" if name in bundled() else ""
        raise ZooError(f"unknown model {name!r}{trained}; known are: {', '.join(sorted(MODELS))}")
    if size not in SIZES:
        raise ZooError(f"unknown size {size!r}; known are: {', '.join(SIZES)}")

    model = model_class(name)
    config = getattr(model.Config, size)()
    return model(config.replace(**{"precision": _chosen_precision(config.precision), **config_overrides}))


def model_name(model: FERModel) -> str:
    """The name that `create` makes a model of this class by; `ZooError` if its class is not in the zoo."""
    for name, (module, attribute) in MODELS.items():
        if (type(model).__module__, type(model).__qualname__) == (module, attribute):
            return name
    raise ZooError(f"{type(model).__qualname__} is not a model of the zoo; add it to MODELS in kerasfer/models")


def average(models: Sequence[FERModel]) -> FERModel:
    """The model whose weights are the means of those of several.

    Trainings that begin at the same weights, and differ in what they draw, end near each other; their mean is then a
    model too, of the size of one, and often a better one (Wortsman et al., "Model soups", ICML 2022). Means of models
    that began apart are of no use.

    Args:
        models: of one class and, but for the seed, of one config, each with all of its weights.

    Returns:
        A new model, with the config of the first.

    Raises:
        ZooError: no models, ones that differ in more than the seed, or one that was saved without some of its weights.
    """
    if not models:
        raise ZooError("an average needs at least one model")
    first = models[0]
    for model in models:
        if type(model) is not type(first) or model.config.replace(seed=first.config.seed) != first.config:
            raise ZooError("an average is of models of one class and one config, which may differ in the seed alone")
        missing = ", ".join(name for name, network in model.networks.items() if is_missing(network))
        if missing:
            raise ZooError(f"a model was saved without {missing}; average models that have all weights")
    mean = type(first)(first.config)
    for name, network in mean.networks.items():
        parts = zip(*(model.networks[name].get_weights() for model in models))
        network.set_weights([np.mean(values, axis=0, dtype=np.float64).astype(values[0].dtype) for values in parts])
    return mean


# -- saving ------------------------------------------------------------------------------------------------------------


def save(
    model: FERModel,
    folder: str | os.PathLike[str],
    *,
    metrics: Mapping[str, Any] | None = None,
    history: Sequence[Mapping[str, float]] | None = None,
    card: str | None = None,
    groups: Sequence[str] | None = None,
    storage: str | Mapping[str, str] = "float32",
) -> Path:
    """Saves a model as a folder, which appears when it is complete and not before.

    Args:
        model: a model of the zoo. If it is in training with averaged weights, call this inside `averaged_weights()`.
        folder: where to. A model saved there before is replaced as a whole; a folder with anything else in it is not
            touched.
        metrics: what was measured, as JSON values.
        history: the training's epochs, as `training.fit` returns them.
        card: the model card, Markdown; by default one is written from the config and the metrics.
        groups: which weight groups to store; by default all that the model has but for those that come with kerasfer
            anyhow. "recognizer" is always needed.
        storage: "float32", "float16" (half the size, about three decimals) or "int8" (a quarter of the size, two
            decimals: enough for many generators), for all groups or by group.

    Returns:
        The folder.

    Raises:
        ZooError: an unknown group or storage, weights that are missing or not finite, or a folder that holds
            something else.
    """
    folder = Path(folder)
    name = model_name(model)
    available = model.weight_groups()
    if groups is None:
        groups = [group for group in available if _is_loaded(model, group) and group not in model.given_groups()]
    unknown = [group for group in groups if group not in available]
    if unknown or "recognizer" not in groups:
        raise ZooError(f"{name}: groups are recognizer and any of {', '.join(available)}; got {', '.join(groups)}")
    storages = {group: storage if isinstance(storage, str) else storage.get(group, "float32") for group in groups}
    if set(storages.values()) - set(STORAGES):
        raise ZooError(f"storage is one of {', '.join(STORAGES)}, got {', '.join(storages.values())}")
    _demand_replaceable(folder)
    files = {
        group: pack(
            {key: variable.numpy() for key, variable in _variables(model, group).items()}, STORAGES[storages[group]]
        )
        for group in groups
    }
    description = {
        "format": FORMAT,
        "kerasfer": __version__,
        "model": name,
        "config": model.portable_config().to_dict(),
        "labels": list(model.label_space.labels),
        "image": _image_entry(model),
        "files": {
            group: {
                "file": f"{group}.safetensors",
                "networks": list(available[group]),
                "storage": storages[group],
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for group, content in files.items()
        },
    }
    with folder_written_aside(folder, ZooError) as aside:
        for group, content in files.items():
            (aside / f"{group}.safetensors").write_bytes(content)
        _write_json(aside / "config.json", seal(description))
        if metrics is not None:
            _write_json(aside / "metrics.json", metrics)
        if history:
            _write_csv(aside / "history.csv", history)
        text = _card(model, description, metrics) if card is None else card
        (aside / "README.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    return folder


def push_to_hub(
    model: FERModel,
    repository: str,
    *,
    license: str = "mit",
    datasets: Sequence[str] = (),
    metrics: Mapping[str, Any] | None = None,
    card: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    **options: Any,
) -> str:
    """Saves a model on the Hugging Face Hub: safetensors, JSON and a card; `load("hf://user/name")` opens it anywhere.

    Who is logged in (`hf auth login`, or `HF_TOKEN`) sends it; `HF_ENDPOINT` names another hub.

    Args:
        model: a model of the zoo.
        repository: "user/name"; it is made if need be.
        license: of the weights, as the hub names it ("mit", "apache-2.0", "cc-by-nc-4.0", "other").
        datasets: what the model was trained on, as the hub names it.
        metrics: what was measured, as JSON values; their names go into the card's front matter.
        card: the model card, Markdown; by default one is written. Its front matter is replaced.
        private: whether a new repository is private; by default as the account has it.
        revision: the branch to send it to.
        **options: `history`, `groups` and `storage` of `save`.

    Returns:
        The commit's address.

    Raises:
        ZooError: as `save`; or the hub is away, or does not let you.
        ImportError: huggingface_hub is not installed.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = save(model, Path(place) / "model", metrics=metrics, card=card, **options)
        description = read_json(folder / "config.json")
        readme = folder / "README.md"
        text = hub.card(readme.read_text(encoding="utf-8"), description, license, datasets, sorted(metrics or {}))
        readme.write_text(text, encoding="utf-8")
        message = f"{description['model']} by kerasfer {__version__}"
        return hub.upload(folder, repository, revision, private, message)


def _demand_replaceable(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ZooError(f"{folder}: is a file; name a folder for the model")
    if folder.is_dir():
        entries = sorted(path.name for path in folder.iterdir())
        foreign = [name for name in entries if name not in CONTENTS and not name.endswith(ENDINGS)]
        if foreign:
            raise ZooError(f"{folder}: holds something else ({foreign[0]}); name an empty or a new folder")


def _variables(model: FERModel, group: str) -> dict[str, Any]:
    """Name -> variable of the networks of a group; the names are those in its file."""
    found: dict[str, Any] = {}
    for network in model.weight_groups()[group]:
        for variable in model.networks[network].weights:
            key = f"{network}/{model.weight_name(network, variable)}"
            if key in found:
                raise ZooError(f"{key}: two weights have this name; give the layers of {network} names of their own")
            found[key] = variable
    return found


def _image_entry(model: FERModel) -> dict[str, Any]:
    spec = model.image_spec
    return {"size": spec.size, "channels": spec.channels, "pixel_range": spec.pixel_range}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _write_csv(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _card(model: FERModel, description: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> str:
    """A model card from what is known: the config, the files, the metrics."""
    image = description["image"]
    colour = "grey" if image["channels"] == 1 else "RGB"
    lines = [
        f"# {description['model']}",
        "",
        f"Written by kerasfer {description['kerasfer']}; load it with `kerasfer.load(...)`.",
        "",
        f"- Input: aligned faces, {image['size']} x {image['size']}, {colour}, pixel range {image['pixel_range']}",
        f"- Output: probabilities of {', '.join(description['labels'])}",
    ]
    for entry in description["files"].values():
        lines.append(f"- {entry['file']}: {', '.join(entry['networks'])} ({entry['storage']}, {entry['bytes']} bytes)")
    if metrics:
        lines += ["", "## Measured", ""]
        lines += [f"- {key}: {value}" for key, value in metrics.items() if not isinstance(value, (dict, list))]
    lines += ["", "## Deviations from the paper", ""]
    lines.append(deviations_table(model.config))
    return "\n".join(lines)


# -- loading -----------------------------------------------------------------------------------------------------------


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
    is the recogniser alone, with the settings of `ModelConfig.fine_tuning`: train it before you ask it.

    Args:
        source: a name of `list_models(trained=True)`; or the path of a folder of `save`, of a training run (its newest
            checkpoint is taken, with the averaged weights if it keeps them), or of one checkpoint of a run. A string
            that is both a name and a path means the name; write "./tdgan" for the folder. Or the address of a model on
            the Hugging Face Hub, "hf://user/name" or "hf://user/name@revision", which is fetched once (extra `hub`).
        expressions: names of the classes, if they are to be others than those that the model was trained on.
        precision: the dtype policy that the model computes in. Models are trained in bfloat16 for speed and used in
            float32; give "mixed_bfloat16" for a model that is to be trained on. By default the global policy.
        recognizer_only: leave out networks that recognising does not need, where the model can do without; it loads
            up to four times sooner. `config` is then that of the variant without them. Of a training run all is loaded.

    Returns:
        The model; of "dlib_resnet" an `IdentityNetwork`, which tells people apart and recognises no expressions.

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
    """The recogniser of a trained model with these classes, whether it has learnt them or not."""
    from kerasfer.models.base import FERModel

    model = load(source, precision=precision, recognizer_only=True)
    if not isinstance(model, FERModel):
        raise ZooError(f"{source}: recognises no expressions, so it has no head for classes; take one that does")
    if model.config.with_classes(expressions).expressions == model.config.expressions:
        return model
    return with_new_head(model, expressions, model.config.recognizing().fine_tuning())


def with_new_head(model: FERModel, expressions: Sequence[str], config: ModelConfig | None = None) -> FERModel:
    """A model with a trained one's networks, but for the weights that depend on the classes, which are new.

    Args:
        model: the trained model.
        expressions: names of the new classes.
        config: of the new model but for its classes; by default the trained one's. It may lack some of the networks.

    Returns:
        A new model, whose `new_head` is true. DCGAN-FER's has no machine until `fit_classifier`.

    Raises:
        ConfigError: names that cannot be classes, or networks of another size.
    """
    from kerasfer.models.base import ConfigError

    headed = type(model)((config or model.config).with_classes(expressions))
    if config is not None and any(is_missing(model.networks[name]) for name in headed.weight_groups()["recognizer"]):
        # Another variant, whose recognizer is made of other networks: the model's `start_from` says of which.
        headed.start_from(with_new_head(model, expressions))
        headed.new_head = True
        return headed
    replaced = headed.class_weights()
    for name, network in headed.networks.items():
        if is_missing(model.networks[name]):
            reason = f"it was not with the weights that {type(model).__name__} was loaded from"
            headed.networks[name] = _MissingNetwork(name, reason)
            continue
        kept = set(range(len(network.weights))) - set(replaced.get(name, ()))
        for place in sorted(kept):
            mine, theirs = network.weights[place], model.networks[name].weights[place]
            if mine.shape != theirs.shape:
                raise ConfigError(f"network {name!r} has other shapes than the trained one's; use a config of its size")
            mine.assign(theirs.numpy())
    headed.new_head = True
    return headed


def _chosen(precision: str | None) -> str:
    """The precision asked for, or the global policy."""
    return _chosen_precision("float32") if precision is None else precision


def _chosen_precision(configured: str) -> str:
    """As `models.base.chosen_precision`; `ImportError` if Keras is not installed."""
    try:
        from kerasfer.models.base import chosen_precision
    except ModuleNotFoundError as error:
        raise explained(error) from None
    return chosen_precision(configured)


def _load_saved(folder: Path, precision: str | None, recognizer_only: bool) -> FERModel | IdentityNetwork:
    path = folder / "config.json"
    description = read_json(path)
    if description.get("kind") == "identity":
        return _load_identity(folder, description, precision)
    _demand_description(description, path)
    if description.get("format") is None:
        raise ZooError(f"{path}: is of a training run without checkpoints; train first, or name a saved model")
    if description["format"] not in range(1, FORMAT + 1):
        found = reprlib.repr(description["format"])
        raise ZooError(f"{path}: has format {found}, this kerasfer reads up to {FORMAT}; install a newer one")
    model = _model_of(description, path, _chosen(precision), recognizer_only)
    for key, ours in (("labels", list(model.label_space.labels)), ("image", _image_entry(model))):
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
            _mark_missing(model, group, f"{folder} was saved without its {group} weights")
            continue
        file = folder / f"{group}.safetensors"
        if not isinstance(entry, dict) or entry.get("file") != file.name:
            raise ZooError(f"{path}: has no valid entry of {file.name}; restore the file as saved")
        if group != "recognizer" and not file.exists():
            _mark_missing(model, group, f"{file} is missing")
        else:
            fill(_variables(model, group), read_weights(file, entry), file)
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
    _demand_description(description, path)
    return description


def _demand_description(description: Mapping[str, Any], path: Path) -> None:
    if not isinstance(description.get("config"), dict):
        raise ZooError(f"{path}: does not describe a model; name the folder of a saved model or of a training run")
    if not isinstance(description.get("model"), str) or description["model"] not in MODELS:
        raise ZooError(
            f"{path}: is of model {reprlib.repr(description.get('model'))}, which this kerasfer does not have "
            f"({', '.join(sorted(MODELS))}); install a newer one"
        )


UNSTORED = 1 << 27
"""Weights that a model may have besides those in the files beside its config.json: networks that were not saved."""

_SHOWN = 300
"""Characters that are shown of what a library says."""


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


class _MissingNetwork:
    """Stands for a network whose weights were not saved: any use raises."""

    def __init__(self, network: str, reason: str) -> None:
        self._message = f"no {network}: {reason}; put the file there, or load a model that was saved with all groups"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ZooError(self._message)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        raise ZooError(self._message)


def _mark_missing(model: FERModel, group: str, reason: str) -> None:
    """Makes every use of a group's networks raise, and every trace of their random weights NaN."""
    for network in model.weight_groups()[group]:
        for variable in model.networks[network].weights:
            variable.assign(np.full(variable.shape, math.nan, variable.dtype))
        model.networks[network] = _MissingNetwork(network, reason)


def is_missing(network: Any) -> bool:
    """Whether a network of a loaded model has no weights, as its group was not saved."""
    return isinstance(network, _MissingNetwork)


def _is_loaded(model: FERModel, group: str) -> bool:
    return not any(is_missing(model.networks[network]) for network in model.weight_groups()[group])


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
    # Counters and random states matter to a training that goes on, not to a trained model.
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

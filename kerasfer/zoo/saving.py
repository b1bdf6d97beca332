"""Models as folders, and on the Hugging Face Hub."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasfer import hub
from kerasfer.files import atomic_folder
from kerasfer.models.config import deviations_table
from kerasfer.version import __version__
from kerasfer.weights import ZooError, pack, read_json, seal
from kerasfer.zoo.groups import is_loaded, variables_of
from kerasfer.zoo.layout import FORMAT, STORAGES, image_entry, require_replaceable
from kerasfer.zoo.names import model_name

if TYPE_CHECKING:
    from kerasfer.models.base import FERModel

__all__ = ["push_to_hub", "save"]


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
        groups = [group for group in available if is_loaded(model, group) and group not in model.given_groups()]
    unknown = [group for group in groups if group not in available]
    if unknown or "recognizer" not in groups:
        raise ZooError(f"{name}: groups are recognizer and any of {', '.join(available)}; got {', '.join(groups)}")
    storages = {group: storage if isinstance(storage, str) else storage.get(group, "float32") for group in groups}
    if set(storages.values()) - set(STORAGES):
        raise ZooError(f"storage is one of {', '.join(STORAGES)}, got {', '.join(storages.values())}")
    require_replaceable(folder)
    files = {
        group: pack(
            {key: variable.numpy() for key, variable in variables_of(model, group).items()}, STORAGES[storages[group]]
        )
        for group in groups
    }
    description = {
        "format": FORMAT,
        "kerasfer": __version__,
        "model": name,
        "config": model.portable_config().to_dict(),
        "labels": list(model.label_space.labels),
        "image": image_entry(model),
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
    with atomic_folder(folder, ZooError) as aside:
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
    color = "gray" if image["channels"] == 1 else "RGB"
    lines = [
        f"# {description['model']}",
        "",
        f"Written by kerasfer {description['kerasfer']}; load it with `kerasfer.load(...)`.",
        "",
        f"- Input: aligned faces, {image['size']} x {image['size']}, {color}, pixel range {image['pixel_range']}",
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

"""Models on the Hugging Face Hub: safetensors and JSON are fetched, nothing else, and nothing is run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasfer.weights import ZooError

__all__ = ["SCHEME", "Address", "HubFigure", "card", "fetch", "front_matter", "is_address", "upload"]

SCHEME = "hf://"

FETCHED = ("*.safetensors", "*.json")
"""What is fetched of a repository."""

SENT = (*FETCHED, "*.csv", "*.tflite", "README.md")
"""What is sent of a saved model's folder."""

_ADDRESS = re.compile(rf"{re.escape(SCHEME)}(?P<repository>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?")


class Address(str):
    """An address, "hf://user/name" or "hf://user/name@revision".

    Attributes:
        repository: "user/name".
        revision: a branch, a tag or a commit; None for the newest.

    Raises:
        ZooError: another text.
    """

    repository: str
    revision: str | None

    def __new__(cls, text: str) -> Address:
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise ZooError(f"{text}: no address of a model on the hub; write hf://user/name or hf://user/name@revision")
        address = super().__new__(cls, text)
        address.repository, address.revision = found["repository"], found["revision"]
        return address


def is_address(source: Any) -> bool:
    """Whether this is meant as an address on the hub."""
    return isinstance(source, str) and source.startswith(SCHEME)


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            "models on the hub need huggingface_hub: pip install 'kerasfer[hub]'", name="huggingface_hub"
        ) from error
    return huggingface_hub


def fetch(source: str) -> Path:
    """The folder of a model on the hub, fetched or kept from an earlier time.

    Args:
        source: as of `Address`.

    Returns:
        A folder in the cache of huggingface_hub, which holds the model's safetensors and JSON files.

    Raises:
        ZooError: another text; the hub is away and the model was never fetched; or it is not there, or not for you.
        ImportError: huggingface_hub is not installed.
    """
    address, library = Address(source), _library()
    settings: dict[str, Any] = {"revision": address.revision, "allow_patterns": list(FETCHED)}
    try:
        return Path(library.snapshot_download(address.repository, **settings))
    except Exception as error:
        refusal = _refusal(error, library)
        if refusal is not None:
            raise ZooError(f"{address}: {refusal}; check the name, or log in with `hf auth login`") from error
        try:
            return Path(library.snapshot_download(address.repository, **settings, local_files_only=True))
        except Exception:
            raise ZooError(
                f"{address}: the hub cannot be reached ({_line(error)}), and the model is not in the cache; try again "
                "when you are online"
            ) from error


def upload(folder: Path, repository: str, revision: str | None, private: bool | None, message: str) -> str:
    """Sends a saved model's folder to the hub as one commit; the repository is made if need be.

    Returns:
        The commit's address.

    Raises:
        ZooError: the hub is away, or does not let you.
        ImportError: huggingface_hub is not installed.
    """
    address, library = Address(f"{SCHEME}{repository}"), _library()
    try:
        library.create_repo(address.repository, private=private, exist_ok=True)
        sent = library.upload_folder(
            repo_id=address.repository,
            folder_path=folder,
            revision=revision,
            commit_message=message,
            allow_patterns=list(SENT),
        )
    except Exception as error:
        raise ZooError(
            f"{address}: could not be sent ({_line(error)}); check the name and your login (`hf auth login`)"
        ) from error
    return str(getattr(sent, "commit_url", sent))


_REFUSALS = {
    "GatedRepoError": "access to the model has to be asked for on its page",
    "RevisionNotFoundError": "the model has no such revision",
    "DisabledRepoError": "the hub has disabled the model",
    "RepositoryNotFoundError": "the hub has no such model, or not for you",
}
"""Errors with which the hub says no -> what they mean, the special ones first."""


def _refusal(error: Exception, library: Any) -> str | None:
    """What the hub means where it answered and said no; None where it did not answer."""
    for name, meaning in _REFUSALS.items():
        kind = getattr(library.errors, name, None)
        if isinstance(kind, type) and isinstance(error, kind):
            return meaning
    return None


def _line(error: Exception) -> str:
    """The first line of what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")[:200]


@dataclasses.dataclass(frozen=True)
class HubFigure:
    """A figure as the hub's model-index has it.

    Attributes:
        dataset: the data set's name on the hub, or the nearest to one.
        dataset_name: the same for readers.
        split: the part of it.
        metric: "accuracy", "recall" or another metric of the hub.
        metric_name: the same for readers.
        value: the number; a share lies in [0, 1].
    """

    dataset: str
    dataset_name: str
    split: str
    metric: str
    metric_name: str
    value: float


def front_matter(
    name: str,
    license: str,
    tags: Sequence[str],
    datasets: Sequence[str],
    metrics: Sequence[str],
    task: str = "image-classification",
    figures: Sequence[HubFigure] = (),
) -> str:
    """The YAML at the top of a model card, as the hub reads it.

    Args:
        name: of the model, in the model-index.
        license: as the hub names it.
        tags: words to find it by.
        datasets: what the model was trained on, as the hub names it.
        metrics: names of what was measured.
        task: the hub's name for what the model does.
        figures: what was measured, for the model-index; none: it has none.

    Returns:
        Lines from "---" to "---", with a line's end.
    """
    lines = ["---", f"license: {_quoted(license)}", "library_name: keras", f"pipeline_tag: {_quoted(task)}"]
    for key, entries in {"tags": tags, "datasets": datasets, "metrics": metrics}.items():
        if entries:
            lines += [f"{key}:", *(f"- {_quoted(entry)}" for entry in entries)]
    if figures:
        lines += ["model-index:", f"- name: {_quoted(name)}", "  results:"]
    by_set: dict[tuple[str, str, str], list[HubFigure]] = {}
    for figure in figures:
        by_set.setdefault((figure.dataset, figure.dataset_name, figure.split), []).append(figure)
    for (dataset, readable, split), measured in by_set.items():
        lines += ["  - task:", f"      type: {_quoted(task)}", "    dataset:", f"      type: {_quoted(dataset)}"]
        lines += [f"      name: {_quoted(readable)}", f"      split: {_quoted(split)}", "    metrics:"]
        for figure in measured:
            lines += [f"    - type: {_quoted(figure.metric)}", f"      name: {_quoted(figure.metric_name)}"]
            lines.append(f"      value: {figure.value}")
    return "\n".join([*lines, "---", ""])


def card(
    text: str, description: Mapping[str, Any], license: str, datasets: Sequence[str], metrics: Sequence[str]
) -> str:
    """A model card with the YAML front matter that the hub reads, in place of one that it may have.

    Args:
        text: the card, Markdown.
        description: the model's config.json.
        license: as the hub names it.
        datasets: what the model was trained on, as the hub names it.
        metrics: names of what was measured.
    """
    body = re.sub(r"\A---\n.*?\n---\n+", "", text, flags=re.DOTALL)
    name = str(description["model"])
    tags = ["facial-expression-recognition", "kerasfer", "keras", name]
    return front_matter(name, license, tags, datasets, metrics) + "\n" + body


def _quoted(text: str) -> str:
    """A text as YAML."""
    plain = re.fullmatch(r"[A-Za-z][\w./+-]*", text) and text.lower() not in ("true", "false", "yes", "no", "null")
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'

"""The formats in which labels go out to people and come back: CSV, FiftyOne and Label Studio."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import posixpath
import re
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from xml.sax.saxutils import quoteattr

from PIL import Image

from kerasfer import datasets
from kerasfer.datasets.base import FaceTable
from kerasfer.datasets.reading import Problems
from kerasfer.datasets.sources import leads_out
from kerasfer.expressions import KNOWN_CLASSES, class_name
from kerasfer.files import atomic_entries, atomic_write
from kerasfer.labeling.faces import LabeledFace, LabelingError, _close, require_single

__all__ = ["FORMATS", "LOCAL_FILES", "export", "load"]

LOCAL_FILES = "/data/local-files/?d="
"""What Label Studio calls files of its own machine by (LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true)."""

_CSV = ("path", "expression", "box", "confidence", "recognized")


def export(
    kind: str,
    faces: Sequence[LabeledFace],
    root: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    expressions: Sequence[str] = (),
    url: str = LOCAL_FILES,
) -> list[Path]:
    """Writes faces for people to correct.

    Args:
        kind: "csv": labels.csv, with the machine's answer in a column that stays. "fiftyone": labels.json and data.json
            of a `FiftyOneImageDetectionDataset`. "label-studio": tasks.json, in which the machine's answers are
            predictions, and labels.xml, the labeling interface.
        faces: in the order in which they are to be looked at.
        root: the folder of the photos.
        folder: where to; missing folders are made.
        expressions: the classes that people choose from; by default those of the faces, or all expressions that
            kerasfer knows if the faces have no others.
        url: what stands before a photo's path for Label Studio.

    Returns:
        The files that were written.

    Raises:
        LabelingError: an unknown format, no faces, a photo that is not there or cannot be read (all are named), a box
            outside its photo, or a class that is not among the expressions.
    """
    _require_known(kind)
    if not faces:
        raise LabelingError(f"there is no face to label for {folder}")
    problems = Problems(str(folder), strict=True)
    classes = _classes(faces, expressions, problems)
    sizes = {} if kind == "csv" else _sizes(faces, Path(root), problems)
    _close(problems)
    written = _WRITERS[kind](faces, sizes, classes, Path(root), url)
    with atomic_entries(folder, LabelingError) as aside:
        for name, text in written.items():
            (aside / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    return [Path(folder) / name for name in written]


def load(
    kind: str,
    file: str | os.PathLike[str],
    root: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    expressions: Sequence[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> FaceTable:
    """Reads what people corrected, and writes it as the CSV file that `kerasfer train --dataset csv` takes.

    Args:
        kind: as for `export`.
        file: the CSV file; the folder of FiftyOne's export, or labels.json in it; Label Studio's export as JSON.
        root: the folder of the photos.
        output: the CSV file to write, in a folder that the photos are in or below; by default labels.csv in `root`.
        expressions: the classes there are, if others are a mistake.
        say: is told what was left out, and how many faces are labeled otherwise than the machine said.

    Returns:
        The table: columns path, expression and box.

    Raises:
        LabelingError: entries are wrong or there twice: one error that names the first ten and counts them all.
        DatasetError: photos are missing or damaged, or classes are none.
    """
    _require_known(kind)
    file, root = Path(file), Path(root)
    output = root / "labels.csv" if output is None else Path(output)
    try:
        below = root.absolute().relative_to(output.absolute().parent).as_posix()
    except ValueError:
        raise LabelingError(f"{output}: put it into {root}, or above, as the paths in it are relative to it") from None
    problems = Problems(str(file), strict=True)
    try:
        found = list(_READERS[kind](file, root, problems, say))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LabelingError(f"{file}: cannot be read ({reason}); name what {kind} exported") from error
    require_single(found, problems)
    _close(problems)
    if not found:
        raise LabelingError(f"{file}: holds no labels yet")
    faces = [face for _, face in found]
    _write_table(output, faces, below)
    known = [face for face in faces if face.recognized]
    if known:
        changed = sum(face.recognized != face.expression for face in known)
        say(f"{changed} of {len(known)} faces are labeled otherwise than they were recognized")
    return datasets.load("csv", output, expressions=expressions)


def _require_known(kind: str) -> None:
    if kind not in FORMATS:
        raise LabelingError(f"no format {kind!r} of labels; there are {', '.join(FORMATS)}")


def _classes(faces: Sequence[LabeledFace], expressions: Sequence[str], problems: Problems) -> list[str]:
    """The classes that people choose from."""
    found = list(dict.fromkeys(face.expression for face in faces if face.expression))
    if expressions:
        classes = [class_name(name) for name in expressions]
        for face in faces:
            if face.expression and face.expression not in classes:
                problems.add(face.path, f"class {face.expression!r} is not one of {', '.join(classes)}")
        return classes
    return list(KNOWN_CLASSES[:8]) if set(found) <= set(KNOWN_CLASSES[:8]) else sorted(found)


def _sizes(faces: Sequence[LabeledFace], root: Path, problems: Problems) -> dict[str, tuple[int, int]]:
    """Width and height of each photo, upright."""
    sizes: dict[str, tuple[int, int]] = {}
    wrong: set[str] = set()
    for face in faces:
        if face.path not in sizes and face.path not in wrong:
            try:
                with Image.open(root / face.path) as opened:
                    turned = opened.getexif().get(0x0112, 1) in (5, 6, 7, 8)
                    sizes[face.path] = opened.size[::-1] if turned else opened.size
            except Exception as error:
                # Pillow's plug-ins meet damage with errors of many types.
                wrong.add(face.path)
                problems.add(str(root / face.path), f"cannot be read as a photo ({error})")
        if face.path in sizes and face.box is not None:
            width, height = sizes[face.path]
            if face.box[0] >= width or face.box[1] >= height or face.box[2] <= 0 or face.box[3] <= 0:
                problems.add(face.path, f"the box {face.box} is outside of its {width} x {height} pixels")
    return sizes


def _shares(face: LabeledFace, size: tuple[int, int]) -> list[float]:
    """Left, top, width and height as parts of the photo's, inside of it."""
    width, height = size
    left, top, right, bottom = face.box or (0.0, 0.0, float(width), float(height))
    left, right = max(left, 0.0) / width, min(right, width) / width
    top, bottom = max(top, 0.0) / height, min(bottom, height) / height
    return [left, top, right - left, bottom - top]


def _pixels(shares: Sequence[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box of left, top, width and height as parts of the photo's.

    Raises:
        ValueError: it is none, or leads out of the photo by more than drawing by hand does.
    """
    left, top, width, height = (float(value) for value in shares)
    if not (all(map(math.isfinite, (left, top, width, height))) and width > 0 and height > 0):
        raise ValueError("a box without a width or a height")
    if min(left, top) < -_SLACK or max(left + width, top + height) > 1 + _SLACK:
        raise ValueError("a box that leads out of its photo")
    right, bottom = min(left + width, 1.0), min(top + height, 1.0)
    left, top = max(left, 0.0), max(top, 0.0)
    box = [left * size[0], top * size[1], right * size[0], bottom * size[1]]
    return round(box[0], 2), round(box[1], 2), round(box[2], 2), round(box[3], 2)


_SLACK = 0.005


def _write_table(output: Path, faces: Sequence[LabeledFace], below: str) -> None:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    boxes = any(face.box is not None for face in faces)
    lines.writerow(["path", "expression", *(["box"] if boxes else [])])
    for face in faces:
        path = posixpath.normpath(posixpath.join(below, face.path))
        lines.writerow([path, face.expression, *([_numbers(face.box)] if boxes else [])])
    atomic_write(output, text.getvalue().encode("utf-8", "surrogateescape"), LabelingError)


def _numbers(box: Sequence[float] | None) -> str:
    return "" if box is None else " ".join(f"{value:g}" if value < 1e4 else f"{value:.2f}" for value in box)


def _inside(path: str) -> str:
    """A path as it is; `ValueError` if it leads out of the folder of all."""
    if not path or leads_out(path):
        raise ValueError(f"{path!r} leads out of the folder of the photos")
    return path


# -- CSV ---------------------------------------------------------------------------------------------------------------


def _csv_text(
    faces: Sequence[LabeledFace], sizes: dict[str, tuple[int, int]], classes: list[str], root: Path, url: str
) -> dict[str, str]:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(_CSV)
    for face in faces:
        sure = "" if face.confidence is None else f"{face.confidence:.4f}"
        lines.writerow([face.path, face.expression, _numbers(face.box), sure, face.expression])
    return {"labels.csv": text.getvalue()}


def _read_csv(
    file: Path, root: Path, problems: Problems, say: Callable[[str], None]
) -> Iterator[tuple[str, LabeledFace]]:
    with file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as opened:
        lines = csv.DictReader(opened)
        if not {"path", "expression"} <= set(lines.fieldnames or ()):
            raise LabelingError(f"{file}: its first line must name path and expression, and may name {', '.join(_CSV)}")
        skipped = 0
        for row in lines:
            place = f"line {lines.line_num}"
            try:
                if None in row or None in row.values():
                    raise ValueError(f"not {len(lines.fieldnames or ())} cells")
                if not row["expression"].strip():
                    skipped += 1
                    continue
                box = None
                if row.get("box", "").strip():
                    left, top, right, bottom = (float(value) for value in row["box"].split())
                    if not (left < right and top < bottom):
                        raise ValueError(f"{row['box']!r} is not left, top, right, bottom")
                    box = (left, top, right, bottom)
                name = class_name(row["expression"])
                yield place, LabeledFace(_inside(row["path"]), box, name, None, row.get("recognized") or None)
            except ValueError as error:
                problems.add(place, str(error))
    if skipped:
        say(f"{skipped} lines without an expression are left out")


# -- FiftyOne ----------------------------------------------------------------------------------------------------------


def _fiftyone_text(
    faces: Sequence[LabeledFace], sizes: dict[str, tuple[int, int]], classes: list[str], root: Path, url: str
) -> dict[str, str]:
    """labels.json and data.json, of `fiftyone.types.FiftyOneImageDetectionDataset`.

    FiftyOne leaves endings out of the names of samples: two photos may differ in them alone, so the ending becomes part
    of the name.
    """
    labels: dict[str, list[dict[str, Any]]] = {}
    data: dict[str, str] = {}
    for face in faces:
        name = _uuid(face.path)
        data[name] = str((root / face.path).absolute())
        entry = {"label": face.expression or None, "bounding_box": _shares(face, sizes[face.path])}
        entry |= {} if face.confidence is None else {"confidence": face.confidence}
        entry["attributes"] = {"recognized": face.expression}
        labels.setdefault(name, []).append(entry)
    content = {"classes": None, "labels": labels}
    return {"labels.json": json.dumps(content, indent=1), "data.json": json.dumps(data, indent=1)}


def _uuid(path: str) -> str:
    return re.sub(r"\.(?=[^./]*$)", "_", path)


def _read_fiftyone(
    file: Path, root: Path, problems: Problems, say: Callable[[str], None]
) -> Iterator[tuple[str, LabeledFace]]:
    file = file / "labels.json" if file.is_dir() else file
    told = json.loads(file.read_bytes())
    if not isinstance(told, dict) or not isinstance(told.get("labels"), dict):
        raise LabelingError(f"{file}: is no labels.json of a FiftyOneImageDetectionDataset; export labels as that type")
    classes = told.get("classes")
    by_name: dict[str, set[str]] = {}
    for path in root.rglob("*"):
        if path.is_file():
            relative = path.relative_to(root).as_posix()
            # FiftyOne drops endings and, without a rel_dir, folders, so that a name may be of several photos.
            stem = PurePosixPath(relative).with_suffix("")
            for name in {relative, _uuid(relative), str(stem), stem.name}:
                by_name.setdefault(name, set()).add(relative)
    manifest = file.parent / "data.json"
    named = json.loads(manifest.read_bytes()) if manifest.is_file() else {}
    empty = 0
    for name, entries in told["labels"].items():
        try:
            path = _photo(name, named.get(name), by_name, root)
            size = _size(root / path)
        except ValueError as error:
            problems.add(name, str(error))
            continue
        empty += not entries
        for number, entry in enumerate(entries or [], start=1):
            place = f"{name} detection {number}"
            try:
                label = entry["label"]
                if isinstance(label, int) and not isinstance(label, bool) and classes:
                    label = classes[label]
                box = _pixels(entry["bounding_box"], size)
                known = (entry.get("attributes") or {}).get("recognized", entry.get("recognized"))
                yield place, LabeledFace(path, box, class_name(label), None, known or None)
            except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                problems.add(place, _reason(error))
    if empty:
        say(f"{empty} photos without a label are left out")


def _reason(error: Exception) -> str:
    return f"has no {error}" if isinstance(error, KeyError) else str(error)


def _photo(name: str, told: Any, by_name: dict[str, set[str]], root: Path) -> str:
    """The photo that a sample's name means."""
    if isinstance(told, str):
        place = Path(told)
        if place.is_absolute() and place.is_file():
            with_root = root.resolve()
            if with_root in place.resolve().parents:
                return place.resolve().relative_to(with_root).as_posix()
    found = by_name.get(name, set())
    if len(found) != 1:
        what = f"may be {' or '.join(sorted(found))}" if found else "is no photo"
        raise ValueError(
            f"{what} in {root}; export it with data_path='data.json', export_media='manifest' and rel_dir={root}"
        )
    return next(iter(found))


def _size(path: Path) -> tuple[int, int]:
    problems = Problems("photo", strict=False)
    sizes = _sizes([LabeledFace(path.name, None, "")], path.parent, problems)
    if problems.entries:
        raise ValueError(problems.entries[0].reason)
    return sizes[path.name]


# -- Label Studio ------------------------------------------------------------------------------------------------------


def _label_studio_text(
    faces: Sequence[LabeledFace], sizes: dict[str, tuple[int, int]], classes: list[str], root: Path, url: str
) -> dict[str, str]:
    """tasks.json and labels.xml."""
    tasks: dict[str, dict[str, Any]] = {}
    for face in faces:
        width, height = sizes[face.path]
        task = tasks.setdefault(
            face.path,
            {
                "data": {"image": url + urllib.parse.quote(face.path), "path": face.path, "recognized": []},
                "predictions": [{"model_version": "kerasfer", "result": []}],
            },
        )
        results = task["predictions"][0]["result"]
        left, top, across, down = (round(100 * share, 4) for share in _shares(face, (width, height)))
        results.append(
            {
                "id": f"face{len(results)}",
                "type": "rectanglelabels",
                "from_name": "expression",
                "to_name": "photo",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {
                    "x": left,
                    "y": top,
                    "width": across,
                    "height": down,
                    "rotation": 0,
                    "rectanglelabels": [face.expression] if face.expression else [],
                },
                **({} if face.confidence is None else {"score": face.confidence}),
            }
        )
        task["data"]["recognized"].append(face.expression)
        sure = [entry["score"] for entry in results if "score" in entry]
        if sure:
            task["predictions"][0]["score"] = min(sure)
    labels = "\n".join(f"    <Label value={quoteattr(name)}/>" for name in classes)
    interface = (
        '<View>\n  <Image name="photo" value="$image" zoom="true"/>\n'
        f'  <RectangleLabels name="expression" toName="photo">\n{labels}\n  </RectangleLabels>\n</View>\n'
    )
    return {"tasks.json": json.dumps(list(tasks.values()), indent=1), "labels.xml": interface}


def _read_label_studio(
    file: Path, root: Path, problems: Problems, say: Callable[[str], None]
) -> Iterator[tuple[str, LabeledFace]]:
    told = json.loads(file.read_bytes())
    if not isinstance(told, list) or not all(isinstance(task, dict) for task in told):
        raise LabelingError(f"{file}: is no list of tasks; export the project as JSON (not JSON-MIN)")
    if told and not any("annotations" in task for task in told):
        raise LabelingError(f"{file}: its tasks have no annotations; export the project as JSON (not JSON-MIN)")
    seen: dict[str, str] = {}
    waiting = without = 0
    for number, task in enumerate(told, start=1):
        place = f"task {task.get('id', number)}"
        try:
            path = _path_of_task(task)
            if path in seen:
                raise ValueError(f"labels {path}, as {seen[path]} does; keep one of the two")
            seen[path] = place
            done = [entry for entry in task.get("annotations") or [] if not entry.get("was_cancelled")]
            if not done:
                waiting += 1
                continue
            if len(done) > 1:
                raise ValueError(f"{len(done)} annotations of {path}; delete all but the one that holds")
            results = [entry for entry in done[0]["result"] if entry.get("type") != "choices"]
            without += not results
            size = _size(root / path)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problems.add(place, _reason(error))
            continue
        machine = {
            entry.get("id"): (entry["value"].get("rectanglelabels") or [None])[0]
            for prediction in task.get("predictions") or []
            if isinstance(prediction, dict)
            for entry in prediction.get("result") or []
        }
        for entry in results:
            where = f"{place} region {entry.get('id', '')}".rstrip()
            try:
                yield where, _face_of_region(entry, path, size, machine)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                problems.add(where, _reason(error))
    if waiting:
        say(f"{waiting} tasks without an annotation are left out")
    if without:
        say(f"{without} photos in which people marked no face are left out")


def _path_of_task(task: dict[str, Any]) -> str:
    data = task["data"]
    if data.get("path"):
        return _inside(str(data["path"]))
    address = urllib.parse.urlsplit(str(data["image"]))
    told = urllib.parse.parse_qs(address.query).get("d", [address.path.lstrip("/")])[0]
    return _inside(urllib.parse.unquote(told))


def _face_of_region(
    entry: dict[str, Any], path: str, size: tuple[int, int], machine: dict[Any, str | None]
) -> LabeledFace:
    if entry.get("type") != "rectanglelabels":
        raise ValueError(f"a {entry.get('type')!r} instead of a rectangle with a label")
    value = entry["value"]
    if value.get("rotation"):
        raise ValueError("a rectangle that is turned; draw it upright")
    labels = value.get("rectanglelabels") or []
    if len(labels) != 1:
        raise ValueError(f"{len(labels)} labels instead of one")
    box = _pixels([value[name] / 100 for name in ("x", "y", "width", "height")], size)
    return LabeledFace(path, box, class_name(labels[0]), None, machine.get(entry.get("id")))


_WRITERS: dict[str, Callable[..., dict[str, str]]] = {
    "csv": _csv_text,
    "fiftyone": _fiftyone_text,
    "label-studio": _label_studio_text,
}
_READERS: dict[str, Callable[..., Iterator[tuple[str, LabeledFace]]]] = {
    "csv": _read_csv,
    "fiftyone": _read_fiftyone,
    "label-studio": _read_label_studio,
}

FORMATS = tuple(_WRITERS)
"""Names of the formats."""

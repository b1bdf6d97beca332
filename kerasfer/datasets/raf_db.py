"""RAF-DB, the single-label subset (Li, Deng and Du, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for
Expression Recognition in the Wild", CVPR 2017)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable, ImageSource
from kerasfer.datasets.generic import find_images
from kerasfer.datasets.reading import Problems, check_choice, check_split, table_of_rows
from kerasfer.datasets.text_files import text_of
from kerasfer.expressions import BASIC7, LABEL_CODES

__all__ = ["CODES", "IMAGES", "read"]

CODES = {str(code): expression for code, expression in LABEL_CODES["raf_db"].items()}
"""Numbers in the label list, and names of the redistributed set's folders -> expressions."""

IMAGES = ("aligned", "original")
"""The pictures there are: 100 x 100 aligned faces, and whole photographs."""

_SPLITS = ("train", "test")
_LISTS = ("list_patition_label.txt", "list_partition_label.txt")


def read(
    root: str | Path,
    split: str | None = None,
    strict: bool = True,
    *,
    images: str = "aligned",
    verify: bool = False,
) -> FaceTable:
    """Reads RAF-DB's single-label subset: `EmoLabel/list_patition_label.txt` beside `Image/aligned`, `Image/original`.

    Where there is no such list, folders `train/1` to `train/7` and `test/1` to `test/7` (as in a copy that is passed
    around) are read instead.

    Args:
        root: the folder or zip.
        split: "train" or "test", as the owners divide it; None reads both.
        strict: raise on missing or damaged files and unknown codes; False leaves them out.
        images: "aligned" or "original".
        verify: decode every image, instead of a check of its first and last bytes.

    Returns:
        Columns path, expression, split and, for original images, box (NaN where there is no
        `Annotation/boundingbox` file).

    Raises:
        DatasetError: the layout is another, or, if strict, files or codes are bad.
    """
    check_split("raf_db", split, _SPLITS)
    check_choice("raf_db", "images", images, IMAGES)
    source, found = find_images("raf_db", root)
    problems = Problems("raf_db", strict)
    names = source.names()
    listing = _find_list(names, root)
    if listing is not None:
        rows = _listed(source, names, listing, split, images, problems)
    elif images == "aligned":
        rows = _sorted_into_folders(source, found, split, problems)
    else:
        raise DatasetError(f"{root}: holds no EmoLabel/{_LISTS[0]}, so only aligned images can be read")
    if not rows and not problems.entries:
        raise DatasetError(
            f"{root}: holds neither EmoLabel/{_LISTS[0]} with images of split {split or 'any'!r} nor "
            f"folders {split or 'train'}/1 to {split or 'train'}/7"
        )
    return table_of_rows("raf_db", source, rows, BASIC7, problems, verify)


def _find_list(names: Iterable[str], root: str | Path) -> str | None:
    """Path of the label list of the single-label subset, if there is one."""
    found = [path for path in names if PurePosixPath(path).name in _LISTS]
    basic = [path for path in found if "compound" not in PurePosixPath(path).parts]
    if found and not basic:
        raise DatasetError(f"{root}: holds only the compound subset; this reader reads the single-label one, `basic`")
    return basic[0] if basic else None


def _listed(
    source: ImageSource, names: Iterable[str], listing: str, split: str | None, images: str, problems: Problems
) -> list[dict[str, Any]]:
    parent = PurePosixPath(listing).parent
    base = parent.parent if parent.name == "EmoLabel" else parent
    by_name = {PurePosixPath(path).name: path for path in names if PurePosixPath(path).is_relative_to(base)}
    rows = []
    for number, line in enumerate(text_of(source, listing), start=1):
        if not line.strip():
            continue
        name, _, code = line.strip().partition(" ")
        part = name.partition("_")[0]
        if part not in _SPLITS or code.strip() not in CODES:
            problems.add(f"{source.describe(listing)} line {number}", f"not an image and 1 to 7: {line.strip()!r}")
            continue
        if split not in (None, part):
            continue
        stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
        wanted = name if images == "original" else f"{stem}_aligned{suffix}"
        row = {
            "path": by_name.get(wanted, (base / "Image" / images / wanted).as_posix()),
            "expression": CODES[code.strip()],
            "split": part,
        }
        boxed = by_name.get(f"{stem}_boundingbox.txt")
        if images == "original" and boxed is not None:
            try:
                row["box"] = _box(source, boxed)
            except ValueError as error:
                problems.add_error(source.describe(boxed), error)
                continue
        rows.append(row)
    return rows


def _box(source: ImageSource, path: str) -> np.ndarray:
    """float32 (4,): left, top, right, bottom."""
    numbers = np.array(text_of(source, path).read().split(), np.float32)
    if numbers.shape != (4,) or not (numbers[:2] < numbers[2:]).all():
        raise ValueError("not left, top, right and bottom of a face")
    return numbers


def _sorted_into_folders(
    source: ImageSource, found: Iterable[str], split: str | None, problems: Problems
) -> list[dict[str, Any]]:
    rows = []
    for path in found:
        part, folder = ("", "", *PurePosixPath(path).parent.parts)[-2:]
        if part not in _SPLITS or split not in (None, part):
            continue
        if folder not in CODES:
            problems.add(source.describe(path), f"folder {folder!r} is not 1 to 7")
            continue
        rows.append({"path": path, "expression": CODES[folder], "split": part})
    return rows

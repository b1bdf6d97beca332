"""FER+ (Barsoum, Zhang, Canton Ferrer and Zhang, "Training Deep Networks for Facial Expression Recognition with
Crowd-Sourced Label Distribution", ICMI 2016): FER-2013's faces, each labeled by ten people."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerasfer.datasets.base import MOST_VOTES, ArraySource, DatasetError, FaceTable, ImageSource, Rejected, open_source
from kerasfer.datasets.reading import Problems, check_images, check_split
from kerasfer.datasets.text_files import csv_lines
from kerasfer.expressions import FERPLUS8, UNKNOWN

__all__ = ["LABELS", "majority_expressions", "read", "usable_distributions", "without_outliers"]

LABELS = ("majority", "probability")
"""Ways to choose the images, as the paper trains on them."""

_HEADER = ["Usage", "Image name", *FERPLUS8.labels, "unknown", "NF"]
_SPLITS = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
_FOLDERS = {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}
_PARENTS = ("", "data/")
_SIZE = 48


def without_outliers(votes: np.ndarray) -> np.ndarray:
    """Drops what only one person saw: a category with a single vote counts for nothing (section 3 of the paper)."""
    return np.where(votes > 1, votes, 0)


def majority_expressions(votes: np.ndarray) -> np.ndarray:
    """The expression that most people saw.

    After outliers are dropped, the category with the most votes must hold more than half of the votes that are left
    in all ten categories. If none does, or if it is "unknown" or "not a face", the image has no majority.

    Args:
        votes: int (n, 10): for the FERPlus expressions in their order, then "unknown" and "not a face".

    Returns:
        int8 (n,): codes of Expression, -1 where there is no majority.
    """
    left = without_outliers(np.asarray(votes))
    winner = left.argmax(1)
    clear = (2 * left.max(1) > left.sum(1)) & (winner < len(FERPLUS8))
    return np.where(clear, winner, UNKNOWN).astype(np.int8)


def usable_distributions(votes: np.ndarray) -> np.ndarray:
    """Tells which images have a distribution over the expressions to learn from.

    After outliers are dropped, the eight expressions together must hold more than half of the votes that are left.

    Args:
        votes: int (n, 10) as in `majority_expressions`.

    Returns:
        bool (n,).
    """
    left = without_outliers(np.asarray(votes))
    return 2 * left[:, : len(FERPLUS8)].sum(1) > left.sum(1)


def read(
    root: str | Path, split: str | None = None, strict: bool = True, *, labels: str = "majority", verify: bool = False
) -> FaceTable:
    """Reads FER+ in either of its layouts.

    The images stand in `FER2013Train`, `FER2013Valid` and `FER2013Test`, at the root or under `data`; or, if a split's
    folder is not there, in the pixels of the original `fer2013.csv`. `fer2013new.csv` holds the votes.

    Args:
        root: the folder or zip.
        split: "train", "valid" (FER-2013's public test) or "test" (its private test); None reads those that
            `fer2013new.csv` lists.
        strict: raise on missing or damaged files and unknown codes; False leaves them out.
        labels: "majority" keeps the images with a majority; "probability" those with a usable distribution, with
            `expression` -1 where there is no majority.
        verify: decode every image, instead of a check of its checksums.

    Returns:
        Columns path, expression, votes (of the eight expressions, outliers dropped) and split.

    Raises:
        DatasetError: the layout is another, or, if strict, files or codes are bad.
    """
    check_split("ferplus", split)
    if labels not in LABELS:
        raise DatasetError(f"ferplus: labels must be {' or '.join(LABELS)}, not {labels!r}")
    source = open_source(root, "fer2013new.csv")
    problems = Problems("ferplus", strict)
    names, splits, votes = _read_votes(source, split, problems)
    majority = majority_expressions(votes)
    kept = np.flatnonzero((names != "") & ((majority >= 0) if labels == "majority" else usable_distributions(votes)))
    parts = list(dict.fromkeys(splits[kept]))
    if not parts:
        raise DatasetError(f"{source.describe('fer2013new.csv')}: lists no images of split {split or 'any'!r}")
    parents = {part: _image_folder(source, part, names[kept][splits[kept] == part]) for part in parts}
    absent = [part for part in parts if parents[part] is None]
    if not absent:
        paths = np.array([f"{parents[splits[row]]}{names[row]}" for row in kept])
        remedy = "missing" if split else "missing (ask for one split to read only its files)"
        good = check_images(source, paths.tolist(), problems, verify, remedy)
        paths, kept = paths[good], kept[good]
    elif source.exists("fer2013.csv"):
        pixels, kept = _read_pixels(source, names, splits, kept, problems)
        source, paths = ArraySource(pixels, source.describe("fer2013.csv")), np.arange(len(kept)).astype(str)
    else:
        folders = ", ".join(f"{_FOLDERS[part]}/" for part in absent)
        raise DatasetError(f"{root}: holds neither {folders} nor fer2013.csv; add it, or ask for a split that is there")
    columns = {
        "path": paths,
        "expression": majority[kept],
        "votes": without_outliers(votes[kept, : len(FERPLUS8)]),
        "split": splits[kept],
    }
    return FaceTable("ferplus", source, columns, FERPLUS8, problems.close())


def _read_votes(
    source: ImageSource, split: str | None, problems: Problems
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """File names (n,), splits (n,) and votes int32 (n, 10), one for each line of `fer2013new.csv`.

    Lines of another split and bad lines have an empty name, so that a line's number stays that of `fer2013.csv`.
    """
    rows = csv_lines(source, "fer2013new.csv")
    if [cell.strip() for cell in next(rows, [])] != _HEADER:
        raise DatasetError(f"{source.describe('fer2013new.csv')}: its first line must be {','.join(_HEADER)}")
    names, splits, votes = [], [], []
    for number, row in enumerate(rows, start=2):
        part, name, counts = "", "", [0] * 10
        try:
            part = _SPLITS[row[0].strip()]
            if split in (None, part):
                numbers = [int(cell) for cell in row[2:]]
                if len(numbers) != 10 or min(numbers) < 0 or max(numbers) > MOST_VOTES:
                    raise ValueError
                name, counts = row[1].strip(), numbers
        except (KeyError, IndexError):
            problems.add(f"{source.describe('fer2013new.csv')} line {number}", f"unknown usage in {','.join(row)!r}")
        except ValueError:
            problems.add(f"{source.describe('fer2013new.csv')} line {number}", f"not ten votes: {','.join(row)!r}")
        names.append(name)
        splits.append(part)
        votes.append(counts)
    return np.array(names, np.str_), np.array(splits, np.str_), np.array(votes, np.int32).reshape(-1, 10)


def _image_folder(source: ImageSource, split: str, names: np.ndarray) -> str | None:
    """Where a split's images are, with a slash at the end; None if none of them is there."""
    for parent in _PARENTS:
        folder = f"{parent}{_FOLDERS[split]}/"
        if any(source.exists(folder + name) for name in names):
            return folder
    return None


def _read_pixels(
    source: ImageSource, names: np.ndarray, splits: np.ndarray, kept: np.ndarray, problems: Problems
) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 48, 48) of `fer2013.csv` and their line numbers, for those of the lines kept that are good."""
    origin = source.describe("fer2013.csv")
    rows = csv_lines(source, "fer2013.csv")
    header = [cell.strip() for cell in next(rows, [])]
    if not {"pixels", "Usage"} <= set(header):
        raise DatasetError(f"{origin}: its first line must be emotion,pixels,Usage")
    pixels_at, usage_at = header.index("pixels"), header.index("Usage")
    wanted = np.zeros(len(names), bool)
    wanted[kept] = True
    pixels = np.empty((len(kept), _SIZE * _SIZE), np.uint8)
    good: list[int] = []
    number = -1
    for number, row in enumerate(rows):
        if number >= len(names) or not wanted[number]:
            continue
        try:
            if _SPLITS[row[usage_at].strip()] != splits[number]:
                raise DatasetError(
                    f"{origin} line {number + 2}: usage {row[usage_at]!r} is not that of fer2013new.csv; "
                    "the two files must list the same images in the same order"
                )
            pixels[len(good)] = np.frombuffer(bytes(map(int, row[pixels_at].split())), np.uint8)
            good.append(number)
        except (IndexError, KeyError, ValueError) as error:
            if isinstance(error, DatasetError):
                raise
            problems.extend([Rejected(f"{origin} line {number + 2}", "not 2304 pixels between 0 and 255 and a usage")])
    missing = kept[kept > number]
    problems.extend(Rejected(f"{origin} line {line + 2}", "missing") for line in missing)
    return pixels[: len(good)].reshape(-1, _SIZE, _SIZE), np.array(good, np.int64)

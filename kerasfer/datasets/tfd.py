"""The Toronto Face Database (Susskind, Anderson and Hinton, "The Toronto Face Database", Technical Report UTML TR
2010-001, University of Toronto, 2010): aligned gray faces of many sets, a small part labeled, with five folds."""

from __future__ import annotations

import io
import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kerasfer.datasets.base import ArraySource, DatasetError, FaceTable, FolderSource, ImageSource, open_source
from kerasfer.datasets.reading import SPLITS, Problems, check_choice, check_split
from kerasfer.expressions import BASIC7, LABEL_CODES, UNKNOWN

__all__ = ["CODES", "FOLDS", "SIZES", "read"]

CODES = LABEL_CODES["tfd"]
"""Values of `labs_ex` -> expressions; -1 is an unlabeled image."""

FOLDS = (1, 2, 3, 4, 5)
"""The owners' folds, in the order of the columns of `folds`."""

SIZES = (48, 96)
"""Sizes of the images there are, in pixels."""

_PARTS = {0: "", 1: "train", 2: "valid", 3: "test"}
_FIELDS = ("images", "labs_ex", "labs_id", "folds")


def read(
    root: str | Path,
    split: str | None = None,
    strict: bool = True,
    *,
    fold: int | None = None,
    size: int | None = None,
    unlabeled: bool = False,
    verify: bool = False,
) -> FaceTable:
    """Reads TFD: `TFD_48x48.mat` or `TFD_96x96.mat`, with images, labs_ex, labs_id and folds.

    Args:
        root: the file, or a folder or zip that holds it.
        split: "train", "valid" or "test" of a fold; None reads all.
        strict: raise on codes that are unknown; False leaves those images out.
        fold: 1 to 5, whose parts the column split tells; the set has no split without one.
        size: 48 or 96; None takes the larger that is there.
        unlabeled: whether the images without an expression are read too.
        verify: changes nothing; an image of the file cannot be damaged on its own.

    Returns:
        Columns path (the image's number among those read, in the file's order), expression, identity (empty where it
        is not known), fold (the one in which the image is tested; -1 if there is none, or several) and, if a fold was
        asked for, split (empty for unlabeled images).

    Raises:
        DatasetError: the layout is another, a split without a fold, or, if strict, codes are bad.
    """
    check_split("tfd", split, SPLITS)
    if fold is not None:
        check_choice("tfd", "fold", fold, FOLDS)
    elif split is not None:
        raise DatasetError("tfd: there is no official split without a fold; say fold=1 to 5")
    if size is not None:
        check_choice("tfd", "size", size, SIZES)
    root = Path(root)
    single = root.is_file() and root.suffix.lower() == ".mat"
    source: ImageSource = FolderSource(root.parent) if single else open_source(root)
    file = _find_file([root.name] if single else source.names(), root, size)
    images, expressions, identities, parts = _read_file(source, file)
    problems = Problems("tfd", strict)
    origin = source.describe(file)
    known = np.isin(expressions, [UNKNOWN, *CODES]) & np.isin(parts, list(_PARTS)).all(1)
    for row in np.flatnonzero(~known):
        problems.add(f"{origin} image {row}", f"expression {expressions[row]} or folds {parts[row].tolist()} unknown")
    wanted = known & (unlabeled | (expressions != UNKNOWN))
    if split is not None and fold is not None:
        wanted &= np.isin(parts[:, fold - 1], [code for code, part in _PARTS.items() if part == split])
    rows = np.flatnonzero(wanted)
    rejected = problems.close()
    if not len(rows):
        raise DatasetError(f"{origin}: holds no images of split {split or 'any'!r}")
    tested = parts[rows] == 3
    columns: dict[str, Any] = {
        "path": np.arange(len(rows)).astype(str),
        "expression": [CODES.get(code, UNKNOWN) for code in expressions[rows].tolist()],
        "identity": ["" if code < 0 else str(code) for code in identities[rows].tolist()],
        "fold": np.where(tested.sum(1) == 1, tested.argmax(1) + 1, -1),
    }
    if fold is not None:
        columns["split"] = [_PARTS[code] for code in parts[rows, fold - 1].tolist()]
    return FaceTable("tfd", ArraySource(images[rows], origin), columns, BASIC7, rejected)


def _find_file(names: list[str], root: Path, size: int | None) -> str:
    found = {}
    for name in names:
        if match := re.fullmatch(r"TFD.*?(\d+)x\1\.mat", PurePosixPath(name).name, re.IGNORECASE):
            found[int(match[1])] = name
    sizes = [each for each in (SIZES if size is None else [size]) if each in found]
    if not sizes:
        wanted = " or ".join(f"TFD_{each}x{each}.mat" for each in (SIZES if size is None else [size]))
        raise DatasetError(f"{root}: holds no {wanted}")
    return found[sizes[-1]]


def _read_file(source: ImageSource, file: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images uint8 (n, size, size); expressions and identities int (n,); parts of each fold int (n, 5).

    Raises:
        DatasetError: the file is damaged or not as it should be.
    """
    from scipy.io import loadmat

    origin = source.describe(file)
    content = bytes(source.read(file))
    try:
        fields = loadmat(io.BytesIO(content), variable_names=_FIELDS)
    except NotImplementedError as error:
        raise DatasetError(f"{origin}: in MATLAB's format 7.3; save it again with save -v7") from error
    except Exception as error:
        raise DatasetError(f"{origin}: not a readable .mat file ({error}); get it again") from error
    missing = [name for name in _FIELDS if name not in fields]
    if missing:
        raise DatasetError(f"{origin}: has no {', '.join(missing)}; TFD's files hold {', '.join(_FIELDS)}")
    expressions, identities = (fields[name].astype(np.int64).ravel() for name in ("labs_ex", "labs_id"))
    images, parts = fields["images"], fields["folds"].astype(np.int64)
    if images.ndim == 3 and images.shape[0] != len(expressions) == images.shape[2]:
        images = images.transpose(2, 0, 1)
    if (
        images.dtype != np.uint8
        or images.ndim != 3
        or not len(images) == len(expressions) == len(identities) == len(parts)
        or parts.shape[1:] != (len(FOLDS),)
    ):
        raise DatasetError(
            f"{origin}: images {images.dtype} {images.shape}, labs_ex {expressions.shape}, labs_id {identities.shape} "
            f"and folds {parts.shape} are not uint8 (n, size, size), (n,), (n,) and (n, {len(FOLDS)})"
        )
    return images, expressions, identities, parts

"""CelebA (Liu, Luo, Wang and Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015): celebrities' aligned faces
with forty attributes and, on request, identities; no expressions."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import numpy as np

from kerasfer.datasets.base import DatasetError, FaceTable, FolderSource, ImageSource, ZipSource, open_source
from kerasfer.datasets.reading import SPLITS, Problems, check_images, check_split
from kerasfer.datasets.text_files import text_of
from kerasfer.expressions import FERPLUS8

__all__ = ["attributes", "five_points", "read"]

_IMAGES = "img_align_celeba"
_FILE_NAME = re.compile(r"\d{6}\.(?:jpg|png)")
_LISTS = {
    "partition": "list_eval_partition",
    "identity": "identity_CelebA",
    "attributes": "list_attr_celeba",
    "points": "list_landmarks_align_celeba",
}


class _Files:
    """What lies where in a copy of the set.

    Attributes:
        images: where the images are read from.
        folder: what stands before a file's name there.
        names: the images' file names, sorted.
    """

    def __init__(self, root: str | Path) -> None:
        self._source = open_source(root)
        self._lists: dict[str, str] = {}
        folders: dict[str, list[str]] = {}
        archive = ""
        for path in self._source.names():
            folder, _, file = path.rpartition("/")
            if folder.endswith(_IMAGES) and _FILE_NAME.fullmatch(file):
                folders.setdefault(folder, []).append(file)
            elif file == f"{_IMAGES}.zip":
                archive = path
            else:
                stem, _, suffix = file.partition(".")
                if suffix in ("txt", "csv") and stem in _LISTS.values():
                    self._lists.setdefault(stem, path)
        self.images: ImageSource = self._source
        if not folders and archive and isinstance(self._source, FolderSource):
            self.images = ZipSource(self._source.root / archive)
            folders[_IMAGES] = [path.rpartition("/")[2] for path in self.images.names()]
        if not folders:
            unpack = f"; unpack {archive}" if archive else ""
            raise DatasetError(f"{root}: holds no images such as {_IMAGES}/000001.jpg{unpack}")
        folder = min(folders)
        self.folder = f"{folder}/"
        self.names = sorted(name for name in folders[folder] if _FILE_NAME.fullmatch(name))

    def has(self, kind: str) -> bool:
        return _LISTS[kind] in self._lists

    def describe(self, kind: str) -> str:
        return self._source.describe(self._lists[_LISTS[kind]])

    def lines(self, kind: str) -> list[list[str]]:
        """The cells of each line of a list, .txt or .csv, without lines that hold no image."""
        if not self.has(kind):
            raise DatasetError(f"{self._source.describe(_LISTS[kind] + '.txt')}: no such file; add it")
        text = text_of(self._source, self._lists[_LISTS[kind]])
        return [cells for line in text if (cells := line.replace(",", " ").split())]


def read(
    root: str | Path,
    split: str | None = None,
    strict: bool = True,
    *,
    count: int | None = None,
    verify: bool = False,
) -> FaceTable:
    """Reads the aligned images, `img_align_celeba/000001.jpg` and so on, or the archive of them in a folder.

    Args:
        root: the folder or zip, with `list_eval_partition.txt` and `identity_CelebA.txt`, each if you have it, at any
            depth (.csv too).
        split: "train", "valid" or "test"; None reads all.
        strict: raise on missing or damaged files and bad lines; False leaves them out.
        count: read only the first so many images; DCGAN-FER has 30,000 and does not name them.
        verify: decode every image, instead of a check of its first and last bytes.

    Returns:
        Columns path, expression (unknown, -1: "Smiling" is an attribute, not an expression), split and identity, the
        last two if their file is there.

    Raises:
        DatasetError: the layout is another, a split is asked for without the file that tells it, or, if strict, files
            or lines are bad.
    """
    check_split("celeba", split)
    if count is not None and count < 1:
        raise DatasetError(f"celeba: count must be at least 1, not {count}")
    files = _Files(root)
    problems = Problems("celeba", strict)
    parts: dict[str, str] = {}
    if split is not None or files.has("partition"):
        parts = _codes(files, "partition", dict(zip("012", SPLITS)), problems)
    people = _codes(files, "identity", None, problems) if files.has("identity") else {}
    names = sorted(parts.keys() | files.names) if split is None else [name for name in parts if parts[name] == split]
    names = names[:count]
    if not names:
        raise DatasetError(f"{files.describe('partition')}: lists no images of split {split!r}")
    good = np.flatnonzero(check_images(files.images, [files.folder + name for name in names], problems, verify))
    kept = [names[row] for row in good]
    columns = {"path": np.array([files.folder + name for name in kept], np.str_)}
    if parts:
        columns["split"] = np.array([parts.get(name, "") for name in kept], np.str_)
    if people:
        columns["identity"] = np.array([people.get(name, "") for name in kept], np.str_)
    return FaceTable("celeba", files.images, columns, FERPLUS8, problems.close())


def _codes(files: _Files, kind: str, meaning: dict[str, str] | None, problems: Problems) -> dict[str, str]:
    """File name -> code, or what it means, of a list of two columns; its header, if any, is passed over."""
    found: dict[str, str] = {}
    for number, cells in enumerate(files.lines(kind), start=1):
        if number == 1 and not _FILE_NAME.fullmatch(cells[0]):
            continue
        if len(cells) != 2 or not _FILE_NAME.fullmatch(cells[0]) or not cells[1].isdecimal():
            problems.add(f"{files.describe(kind)} line {number}", f"not an image and a number: {' '.join(cells)!r}")
        elif meaning is not None and cells[1] not in meaning:
            problems.add(f"{files.describe(kind)} line {number}", f"unknown code {cells[1]!r}")
        else:
            found[cells[0]] = cells[1] if meaning is None else meaning[cells[1]]
    return found


def attributes(root: str | Path, table: FaceTable) -> tuple[list[str], np.ndarray]:
    """The forty attributes of a table's images, from `list_attr_celeba.txt`.

    Args:
        root: the folder or zip that the table was read from.
        table: what `read` returned, or some of its rows.

    Returns:
        The attributes' names, and bool (n, 40).

    Raises:
        DatasetError: the file is missing, or has no line for an image.
    """
    names, values = _values(root, "attributes", table)
    return names, values > 0


def five_points(root: str | Path, table: FaceTable) -> np.ndarray:
    """Eyes, nose and corners of the mouth in a table's images, from `list_landmarks_align_celeba.txt`.

    Args:
        root: the folder or zip that the table was read from.
        table: what `read` returned, or some of its rows.

    Returns:
        float32 (n, 5, 2), x and y in pixels: left and right eye, nose, left and right corner of the mouth, as the file
        has them, where left is the left side of the picture.

    Raises:
        DatasetError: the file is missing, or has no line for an image.
    """
    return _values(root, "points", table)[1].astype(np.float32).reshape(-1, 5, 2)


def _values(root: str | Path, kind: str, table: FaceTable) -> tuple[list[str], np.ndarray]:
    """The names of a list's columns, and the values int16 (n, columns) of a table's images."""
    files = _Files(root)
    lines = files.lines(kind)
    start = next((number for number, cells in enumerate(lines) if _FILE_NAME.fullmatch(cells[0])), len(lines))
    names = [name for name in lines[start - 1] if name != "image_id"] if start else []
    try:
        values = np.array([cells[1:] for cells in lines[start:]], np.int16)
        if not names or values.shape != (len(lines) - start, len(names)):
            raise ValueError
    except ValueError as error:
        raise DatasetError(
            f"{files.describe(kind)}: its lines are not an image and as many numbers as the header names"
        ) from error
    rows = {cells[0]: row for row, cells in enumerate(lines[start:])}
    try:
        wanted = [rows[PurePosixPath(path).name] for path in table["path"].tolist()]
    except KeyError as error:
        raise DatasetError(f"{files.describe(kind)}: has no line for {error.args[0]}; get the whole file") from error
    return names, values[wanted]

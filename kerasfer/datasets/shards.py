"""Shards: a table and its images in Parquet files of some thousand rows each, for training on many machines.

    from kerasfer.datasets import shards
    shards.write(table, "ferplus_shards")
    table = kerasfer.datasets.load("shards", "ferplus_shards")

The table that is read is the one that was written: name, rows and their order, columns, classes, and the very bytes of
each image, so that a training on shards has the losses of one on the files that they were made of. `shards.json` stands
beside the Parquet files and is written last.

Parquet and not TFRecord: columns are read without the images, in seconds for half a million faces; an image is read by
its number, which a shuffled and resumable order needs, and TFRecord files can only be read from their beginning; Ray
Data, pandas, Polars and DuckDB read it as it is; and reading it takes no TensorFlow.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasfer import images
from kerasfer.datasets.base import (
    COLUMNS,
    DatasetError,
    FaceTable,
    FolderSource,
    ImageSource,
    Rejected,
    open_source,
)
from kerasfer.datasets.reading import Problems, check_choice, check_images, check_split
from kerasfer.expressions import LabelSpace
from kerasfer.files import atomic_file, atomic_write, name_of_text, text_of_name

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

__all__ = ["MANIFEST", "ROWS", "ShardSource", "read", "write"]

MANIFEST = "shards.json"
"""The file that lists the shards."""

ROWS = 4096
"""Rows of a shard."""

_GROUP = 64
"""Rows of a shard that are read from it together: so many images are read to have one."""

_OPEN_FILES = 64
_FORMAT = "kerasfer shards 1"
_FILE = re.compile(r"shard-\d{5,}\.parquet")
_TEXTS = ("path", "identity", "sequence", "split")
_VECTORS = {"box": 4, "pose": 3, "landmarks": 136, "blendshapes": 52, "aus": 14}
_NOTE = b"kerasfer"


@dataclasses.dataclass(frozen=True)
class _Shard:
    """One file: its name, the number of its first row, how many it holds, and how large it is."""

    file: str
    first: int
    rows: int
    bytes: int


class ShardSource:
    """The images of shards. An image that several rows show is stored with the first of them in each shard.

    Args:
        files: the folder, or a zip of it (of which a whole shard is read for each row group).
        shards: which files there are.
        paths: of each row, str (n,).
        fingerprint: tells one set of shards from another.
    """

    def __init__(self, files: ImageSource, shards: Sequence[_Shard], paths: np.ndarray, fingerprint: str) -> None:
        self.files = files
        self.fingerprint = fingerprint
        self._shards = tuple(shards)
        self._starts = np.array([shard.first for shard in shards], np.int64)
        self._paths = paths
        self._order = np.argsort(paths, kind="stable")
        self._prepare()

    def _prepare(self) -> None:
        self._lock = threading.Lock()
        self._opened: collections.OrderedDict[int, Any] = collections.OrderedDict()
        self._groups: collections.OrderedDict[tuple[int, int], Any] = collections.OrderedDict()

    def _row(self, path: str) -> int:
        """The first row that shows an image; -1 for none."""
        place = int(np.searchsorted(self._paths, path, sorter=self._order))
        found = place < len(self._paths) and str(self._paths[self._order[place]]) == path
        return int(self._order[place]) if found else -1

    def read(self, path: str) -> bytes:
        row = self._row(path)
        if row < 0:
            raise DatasetError(f"{self.files.describe(MANIFEST)}: no image {path!r} in the shards")
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        group, place = divmod(row - self._shards[number].first, _GROUP)
        content = self._group(number, group)[place].as_py()
        if content is None:
            raise DatasetError(f"{self.describe(path)}: has no image, though it is the first row that shows it")
        return content

    def _group(self, number: int, group: int) -> pyarrow.Array:
        """The images of a row group; the last that were read are kept."""
        with self._lock:
            found = self._groups.get((number, group))
            if found is None:
                file = self._shards[number].file
                if number not in self._opened:
                    self._opened[number] = _opened(self.files, file)
                    while len(self._opened) > _OPEN_FILES:
                        self._opened.popitem(last=False)[1].close()
                self._opened.move_to_end(number)
                with _damage(self.files.describe(file)):
                    table = self._opened[number].read_row_group(group, columns=["image"], use_threads=False)
                found = self._groups[number, group] = table.column("image").combine_chunks()
                while len(self._groups) > 2 * (os.cpu_count() or 1) + 2:
                    self._groups.popitem(last=False)
            else:
                self._groups.move_to_end((number, group))
        return found

    def exists(self, path: str) -> bool:
        return self._row(path) >= 0

    def names(self) -> list[str]:
        return np.unique(self._paths).tolist()

    def describe(self, path: str) -> str:
        row = self._row(path)
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return f"{self.files.describe(MANIFEST if row < 0 else self._shards[number].file)}!{path}"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_opened", "_groups")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()


# -- writing -----------------------------------------------------------------------------------------------------------


def write(
    table: FaceTable,
    folder: str | os.PathLike[str],
    rows: int = ROWS,
    say: Callable[[str], None] | None = None,
) -> list[Path]:
    """Writes a table and its images as shards.

    A shard takes its name when it is whole. What was stopped resumes, with the same arguments, behind the last whole
    shard.

    Args:
        table: the faces. Decoded images become PNG files, all others keep their bytes.
        folder: where to.
        rows: of a shard.
        say: is told of each shard that is written.

    Returns:
        The shards' files, in order.

    Raises:
        DatasetError: the table is empty, images cannot be read (the message lists the first ten and the count), or the
            folder holds other shards or cannot be written to.
        ImportError: pyarrow is not installed.
    """
    if not len(table) or rows < 1:
        raise DatasetError(f"{table.name}: {len(table)} faces in shards of {rows}: there is nothing to write")
    _pyarrow()
    folder = Path(folder)
    fingerprint = _fingerprint(table, rows)
    shards = []
    kept = _kept(folder, fingerprint)
    count = -(-len(table) // rows)
    for number, first in enumerate(range(0, len(table), rows)):
        path = folder / f"shard-{number:05d}.parquet"
        if path.name not in kept:
            some = np.arange(first, min(first + rows, len(table)))
            with atomic_file(path, DatasetError) as aside:
                _write_shard(table, some, aside, fingerprint)
            if say is not None:
                say(f"{path}: {len(some)} faces, shard {number + 1} of {count}")
        shards.append(_Shard(path.name, first, min(rows, len(table) - first), path.stat().st_size))
    manifest = {
        "format": _FORMAT,
        "name": table.name,
        "rows": len(table),
        "columns": list(table.columns),
        "classes": list(table.classes),
        "label_space": list(table.label_space.labels),
        "vote_space": list(table.vote_space.labels),
        "left_out": [[text_of_name(entry.path), text_of_name(entry.reason)] for entry in table.rejected],
        "fingerprint": fingerprint,
        "shards": [dataclasses.asdict(shard) for shard in shards],
    }
    atomic_write(folder / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode(), DatasetError)
    return [folder / shard.file for shard in shards]


def _kept(folder: Path, fingerprint: str) -> set[str]:
    """The whole shards of this very table that are in a folder already."""
    import pyarrow.parquet

    kept = set()
    for path in sorted(folder.glob("shard-*.parquet")):
        with _damage(str(path)):
            note = (pyarrow.parquet.read_metadata(path).metadata or {}).get(_NOTE, b"")
        if note.decode("ascii", "replace") != fingerprint:
            raise DatasetError(
                f"{path}: is a shard of another table, or of shards of another size; give another folder, or remove it"
            )
        kept.add(path.name)
    if not kept and (folder / MANIFEST).exists():
        raise DatasetError(f"{folder / MANIFEST}: its shards are gone; give another folder, or remove it")
    return kept


def _fingerprint(table: FaceTable, rows: int) -> str:
    """What tells a table, divided so, from others."""
    spaces = [table.classes, table.label_space.labels, table.vote_space.labels]
    digest = hashlib.sha256(json.dumps([_FORMAT, table.name, rows, table.source.describe(""), spaces]).encode())
    for name, values in table.columns.items():
        digest.update(f"\0{name}\0{values.dtype}\0{values.shape}\0".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()[:32]


def _write_shard(table: FaceTable, rows: np.ndarray, path: Path, fingerprint: str) -> None:
    """Writes some rows to a file, some images at a time; one that several rows show is stored with the first."""
    import pyarrow.parquet

    shown_first = set(rows[np.unique(table["path"][rows], return_index=True)[1]].tolist())

    problems = Problems(table.name, strict=True)
    schema = _schema(table).with_metadata({_NOTE: fingerprint.encode("ascii")})
    dictionaries = _dictionaries(schema)
    with pyarrow.parquet.ParquetWriter(
        path,
        schema,
        compression={**dict.fromkeys(_leaves(schema), "zstd"), "image": "none"},  # Images are packed already.
        use_dictionary=dictionaries,
        write_statistics=dictionaries,  # Of images they would be whole images.
        write_page_checksum=True,
    ) as writer:
        for start in range(0, len(rows), _GROUP):
            some = rows[start : start + _GROUP]
            contents = []
            for row in some.tolist():
                try:
                    contents.append(_content(table, row) if row in shown_first else None)
                except ValueError as error:
                    problems.add_error(table.source.describe(str(table["path"][row])), error)
                    contents.append(None)
            writer.write_table(pyarrow.table(_arrow_columns(table, some, contents), schema), row_group_size=_GROUP)
    problems.close()


def _content(table: FaceTable, row: int) -> bytes:
    """An image as the content of a file that gives the same pixels."""
    content = table.read(row)
    if not isinstance(content, np.ndarray):
        return content
    encoded = images.encode(content)
    gray = content.ndim == 2 or content.shape[2] == 1
    pixels = np.repeat(content.reshape(*content.shape[:2], 1), 3, axis=2) if gray else content
    if not np.array_equal(images.decode(encoded), pixels):
        raise DatasetError(f"an array of shape {content.shape} cannot be stored as PNG; make it gray or RGB")
    return encoded


def _schema(table: FaceTable) -> pyarrow.Schema:
    import pyarrow

    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    kinds: dict[str, Any] = {"path": pyarrow.string(), "fold": pyarrow.int16(), "frame": pyarrow.int32()}
    kinds |= dict.fromkeys(("expression", "identity", "sequence", "split"), text)
    vectors = {**_VECTORS, "votes": len(table.vote_space)}
    kinds |= {name: pyarrow.list_(pyarrow.float32(), length) for name, length in vectors.items()}
    fields = [pyarrow.field(name, kinds[name]) for name in table.columns]
    return pyarrow.schema([*fields, pyarrow.field("image", pyarrow.binary())])


def _leaves(schema: pyarrow.Schema) -> Iterator[str]:
    """The columns as Parquet counts them."""
    import pyarrow.types

    for field in schema:
        yield f"{field.name}.list.element" if pyarrow.types.is_fixed_size_list(field.type) else field.name


def _dictionaries(schema: pyarrow.Schema) -> list[str]:
    import pyarrow.types

    return [field.name for field in schema if pyarrow.types.is_dictionary(field.type)]


def _arrow_columns(table: FaceTable, rows: np.ndarray, contents: list[bytes | None]) -> list[pyarrow.Array]:
    import pyarrow

    columns: list[Any] = []
    for name, values in table.columns.items():
        some = values[rows]
        if name == "expression":
            some = np.array([*table.classes, ""], np.str_)[some]
        if name in _TEXTS or name == "expression":
            texts = pyarrow.array([text_of_name(text) for text in some.tolist()], pyarrow.string())
            columns.append(texts if name == "path" else texts.dictionary_encode())
        elif some.ndim > 1:
            flat = np.ascontiguousarray(some).reshape(-1)
            columns.append(pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat), flat.size // len(some)))
        else:
            columns.append(pyarrow.array(some))
    return [*columns, pyarrow.array(contents, pyarrow.binary())]


# -- reading -----------------------------------------------------------------------------------------------------------


def read(
    root: str | Path,
    split: str | None = None,
    strict: bool = True,
    *,
    columns: Sequence[str] | None = None,
    verify: bool = False,
) -> FaceTable:
    """Reads the table that `write` wrote.

    Args:
        root: the folder with `shards.json`, or a zip of it (slower: put the folder there to train on it).
        split: read only the rows of this part; None reads all.
        strict: raise if a shard is missing or damaged; False leaves its rows out, and says so in `rejected`.
        columns: read these only, beside path and expression (and split, if one is asked for); None reads all. The
            landmarks of 300,000 faces take 160 MB, which most models have no use for.
        verify: decode every image, instead of looking at the files' sizes.

    Returns:
        The columns that the table had, and its name.

    Raises:
        DatasetError: there are no shards, they are not complete, or, if strict, some are bad.
        ImportError: pyarrow is not installed.
    """
    _pyarrow()
    files = _source(root)
    manifest = _Manifest(files)
    known = ("train", "valid", "test") if "split" in manifest.columns else ()
    check_split(manifest.name, split, known)
    problems = Problems(manifest.name, strict)
    good = []
    for shard in manifest.shards:
        reason = _problem(files, shard)
        if reason is None:
            good.append(shard)
        else:
            problems.add(files.describe(shard.file), f"{reason}; {shard.rows} faces are in it; write the shards again")
    if problems.entries and not good:
        problems.strict = True
    rejected = [*manifest.left_out, *problems.close()]
    if not good:
        raise DatasetError(f"{files.describe(MANIFEST)}: lists no shards; write them again")
    if columns is not None:
        for name in columns:
            check_choice(manifest.name, "columns", name, manifest.columns)
        wanted = {"path", "expression", *columns, *(["split"] if split else [])}
        manifest.columns = [name for name in manifest.columns if name in wanted]
    values = manifest.read_columns(files, good)
    placed, first = [], 0
    for shard in good:
        placed.append(dataclasses.replace(shard, first=first))
        first += shard.rows
    fingerprint = f"{manifest.fingerprint} {','.join(str(shard.first) for shard in good)}"
    source = ShardSource(files, placed, values["path"], fingerprint)
    with _damage(files.describe(MANIFEST)):
        spaces = {"label_space": LabelSpace.of(manifest.label_space), "vote_space": LabelSpace.of(manifest.vote_space)}
        table = FaceTable(manifest.name, source, values, rejected=rejected, classes=manifest.classes, **spaces)
    if split is not None:
        table = table.where(split=split)
        if not len(table):
            raise DatasetError(f"{files.describe(MANIFEST)}: holds no faces of split {split!r}")
    if verify:
        problems = Problems(manifest.name, strict)
        usable = check_images(source, table["path"].tolist(), problems, verify=True)
        table = table.select(usable).replace(rejected=[*rejected, *problems.close()])
    return table


def _source(root: str | Path) -> ImageSource:
    """The folder or zip; an unfinished one is told from one that never was."""
    try:
        return open_source(root, MANIFEST)
    except DatasetError as error:
        if Path(root).is_dir() and any(Path(root).glob("shard-*.parquet")):
            raise DatasetError(
                f"{root}: its shards are not complete, as {MANIFEST} is missing, which is written last; run kerasfer "
                "data shard again, it resumes"
            ) from error
        raise


class _Manifest:
    """What `shards.json` says, checked."""

    def __init__(self, files: ImageSource) -> None:
        origin = files.describe(MANIFEST)
        try:
            told = json.loads(bytes(files.read(MANIFEST)))
            if told["format"] != _FORMAT:
                raise ValueError(f"format {str(told['format'])[:40]!r} instead of {_FORMAT!r}")
            self.name = str(told["name"])
            self.fingerprint = str(told["fingerprint"])
            self.columns = [str(name) for name in told["columns"]]
            strange = sorted(set(self.columns) - set(COLUMNS))
            if strange or "path" not in self.columns or "expression" not in self.columns:
                raise ValueError(f"columns {', '.join(self.columns)}"[:200])
            self.classes, self.label_space, self.vote_space = (
                tuple(map(str, told[name])) for name in ("classes", "label_space", "vote_space")
            )
            self.left_out = [Rejected(name_of_text(path), name_of_text(reason)) for path, reason in told["left_out"]]
            self.shards = [
                _Shard(str(entry["file"]), int(entry["first"]), int(entry["rows"]), int(entry["bytes"]))
                for entry in told["shards"]
            ]
            ends = [0, *(shard.first + shard.rows for shard in self.shards)]
            wrong = [
                shard.file
                for shard, end in zip(self.shards, ends)
                if not _FILE.fullmatch(shard.file) or shard.first != end or not 0 < shard.rows <= shard.bytes
            ]
            if wrong or ends[-1] != told["rows"] or len({shard.file for shard in self.shards}) < len(self.shards):
                raise ValueError(f"its shards do not make {str(told['rows'])[:20]} rows {''.join(wrong[:1])[:80]}")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            if isinstance(error, DatasetError):
                raise
            reason = " ".join(str(error).split())[:300]
            raise DatasetError(f"{origin}: does not describe shards ({reason}); write them again") from error

    def read_columns(self, files: ImageSource, shards: Sequence[_Shard]) -> dict[str, np.ndarray]:
        """The columns of some shards, a shard at a time, without the images."""
        count = sum(shard.rows for shard in shards)
        sizes = {**_VECTORS, "votes": len(self.vote_space)}
        columns: dict[str, Any] = {}
        for name in self.columns:
            if name in sizes:
                columns[name] = np.empty((count, sizes[name]), np.float32)
            elif name not in _TEXTS:
                columns[name] = np.empty(count, np.int32 if name == "frame" else np.int16)
            else:
                columns[name] = []
        numbers = {name: number for number, name in enumerate(self.classes)} | {"": -1}
        place = 0
        for shard in shards:
            origin = files.describe(shard.file)
            opened = _opened(files, shard.file)
            with _damage(origin):
                table = opened.read(columns=self.columns, use_threads=False)
                opened.close()
                if table.num_rows != shard.rows or table.column_names != self.columns:
                    raise ValueError(f"{table.num_rows} rows of {', '.join(table.column_names)}"[:300])
                some = slice(place, place + shard.rows)
                for name in self.columns:
                    values = table.column(name).combine_chunks()
                    if name in sizes:
                        columns[name][some] = values.flatten().to_numpy().reshape(shard.rows, -1)
                    elif name == "expression":
                        known = [numbers[text] for text in values.dictionary.to_pylist()]
                        columns[name][some] = np.array(known, np.int16)[values.indices.to_numpy()]
                    elif name in _TEXTS:
                        columns[name].append(_texts(values))
                    else:
                        columns[name][some] = values.to_numpy()
            place += shard.rows
        return {name: np.concatenate(part) if isinstance(part, list) else part for name, part in columns.items()}


def _texts(values: pyarrow.Array) -> np.ndarray:
    """Texts as an array, those of a dictionary by way of it."""
    dictionary = getattr(values, "dictionary", None)
    texts = [name_of_text(text) for text in (values if dictionary is None else dictionary).to_pylist()]
    found = np.array(texts, np.str_)
    return found if dictionary is None else found[values.indices.to_numpy()]


def _problem(files: ImageSource, shard: _Shard) -> str | None:
    """What is wrong with a shard, by its size."""
    if not files.exists(shard.file):
        return "missing"
    if isinstance(files, FolderSource):
        size = (files.root / shard.file).stat().st_size
        if size != shard.bytes:
            return f"{size} bytes instead of {shard.bytes}"
    return None


def _opened(files: ImageSource, file: str) -> pyarrow.parquet.ParquetFile:
    import pyarrow.parquet

    with _damage(files.describe(file)):
        content: Any
        if isinstance(files, FolderSource):
            content = str(files.root / file)
        else:
            content = pyarrow.BufferReader(bytes(files.read(file)))
        return pyarrow.parquet.ParquetFile(content, pre_buffer=False, page_checksum_verification=True)


class _damage:
    """Turns what pyarrow says of a file into one line that names it."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        import pyarrow

        expected = (pyarrow.ArrowException, ValueError, KeyError, TypeError, AttributeError, OSError, IndexError)
        if isinstance(error, expected) and not isinstance(error, DatasetError):
            reason = " ".join(str(error).split())[:300]
            raise DatasetError(f"{self.origin}: damaged, or no shard ({reason}); write the shards again") from error


def _pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ImportError(f"shards need pyarrow ({error}): pip install 'kerasfer[parquet]'", name="pyarrow") from error

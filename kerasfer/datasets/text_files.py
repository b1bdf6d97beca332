"""A data set's lists: CSV and other text files of a source."""

from __future__ import annotations

import codecs
import csv
import io
from typing import TextIO

from kerasfer.datasets.sources import DatasetError, ImageSource

_PIECE = 1 << 20


def csv_lines(source: ImageSource, path: str, delimiter: str = ",") -> CSVLines:
    """The lines of a CSV file of the source, each a list of its cells.

    Raises:
        DatasetError: the file is missing or is no UTF-8 text; or, with the line that is read, no CSV.
    """
    return CSVLines(text_of(source, path), source.describe(path), delimiter)


def csv_rows(source: ImageSource, path: str) -> csv.DictReader:
    """The rows of a CSV file of the source under the names in its first line; errors as of `csv_lines`."""
    rows: csv.DictReader = csv.DictReader([])
    rows.reader = csv_lines(source, path)  # type: ignore[assignment]
    return rows


class CSVLines:
    """What `csv.reader` gives; where that fails, a `DatasetError` names the file and the line."""

    def __init__(self, text: TextIO, origin: str, delimiter: str = ",") -> None:
        self._lines = csv.reader(text, delimiter=delimiter)
        self._origin = origin

    @property
    def line_num(self) -> int:
        """Number of lines of text that were read."""
        return self._lines.line_num

    def __iter__(self) -> CSVLines:
        return self

    def __next__(self) -> list[str]:
        try:
            return next(self._lines)
        except csv.Error as error:
            raise DatasetError(
                f"{self._origin} line {self.line_num}: no CSV ({error}); a quotation mark may lack its other one"
            ) from error


def text_of(source: ImageSource, path: str) -> TextIO:
    """A text file of the source, opened; a byte order mark is dropped.

    Raises:
        DatasetError: the file is missing or is not UTF-8 text.
    """
    content = bytes(source.read(path))
    try:
        # Piece by piece: as one text, a list of 300,000 faces would take as much memory again.
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        for start in range(0, len(content) + 1, _PIECE):
            decoder.decode(content[start : start + _PIECE], final=start + _PIECE > len(content))
    except UnicodeDecodeError as error:
        raise DatasetError(f"{source.describe(path)}: not a UTF-8 text file ({error})") from error
    return io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")

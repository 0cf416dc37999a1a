"""Text files and tables as aligners, Praat and spreadsheets write them: UTF-8, or UTF-16 with its mark."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from layersim.errors import LayersimError


def read_text(file: Path) -> str:
    r"""Read a text file whole; line ends become ``\n``.

    Raises
    ------
    LayersimError
        If it cannot be read, or is in neither encoding.
    """
    try:
        data = file.read_bytes()
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LayersimError(f"{file}: cannot be read as UTF-8 or UTF-16 text: {error}.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def table_rows(text: str, where: str, separator: str = ",") -> Iterator[list[str]]:
    """Yield the rows of a table as they are read, the header too.

    Raises
    ------
    LayersimError
        If a row cannot be read, naming its line.
    """
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator)
    try:
        yield from reader
    except csv.Error as error:
        raise LayersimError(
            f"{where}, line {reader.line_num}: cannot be read as a table: {error}. A cell in quotation marks "
            "must end with one."
        ) from None

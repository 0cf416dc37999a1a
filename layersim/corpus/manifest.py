"""The manifest: one utterance a row, joined with everything else by its key ``corpus/utterance_id``.

Conventions
-----------
- Columns are those of `layersim.corpus.manifest_rows.COLUMNS`, in that order, then ``gender`` where it is
  known. Text is ``""`` where nothing is known; ``start`` and ``end`` are seconds, both missing where the
  whole file is the utterance.
- ``path`` is relative to the corpus's audio root, with ``/``. One that leaves the root (absolute, or with
  ``..``) is refused, unless the corpus's table in ``layersim.toml`` says ``outside_audio_root = true``.
- ``emotion`` is the label after the label map, ``source_label`` the corpus's own.
- ``split`` is train, validation, test, or empty for what takes no part. No speaker is in two splits.
- A row number in a message is the one that a spreadsheet shows: the header is row 1, empty rows count, and
  a cell with line breaks is in one row.
"""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from layersim.corpus.manifest_rows import COLUMNS, OPTIONAL, find_faults, text_cells
from layersim.errors import LayersimError, summarise_faults
from layersim.workspace import write_text

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_SAME = 100_000  # cells that are looked for among those read before


class ManifestError(LayersimError):
    """A manifest is wrong; every bad row was looked at, the first ten are shown."""


def read_manifest(file: Path, outside_audio_root: bool = False) -> pd.DataFrame:
    """Read and check a manifest (CSV, UTF-8, with or without a byte-order mark).

    Parameters
    ----------
    outside_audio_root : bool
        Let paths leave the audio root.

    Raises
    ------
    ManifestError
        If the file cannot be read, lacks a column, has an unknown one, is empty, or any row is wrong.
    """
    header, numbers, columns, uneven = _read_columns(file)
    known = (*COLUMNS, *OPTIONAL)
    if missing := [name for name in COLUMNS if name not in header]:
        if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
            raise ManifestError(f"{file}: its cells are not separated by commas. Save it as CSV with commas.")
        raise ManifestError(
            f"{file}: column{'s' if len(missing) > 1 else ''} {', '.join(missing)} missing. "
            f"A manifest has {', '.join(COLUMNS)}."
        )
    if unknown := [name for name in header if name not in known]:
        raise ManifestError(
            f"{file}: unknown columns {', '.join(map(repr, unknown))}. Known: {', '.join(known)}."
        )
    if twice := sorted(name for name, count in Counter(header).items() if count > 1):
        raise ManifestError(f"{file}: the header names a column twice: {', '.join(twice)}.")
    if not numbers:
        raise ManifestError(f"{file}: has no rows.")
    if uneven:  # what stands in which column is not known, so that nothing else can be checked
        faults = [
            (place, f"{count} cells under {len(header)} columns. Quote cells that hold a comma.")
            for place, count in uneven
        ]
        raise _fault_error(str(file), [""] * len(numbers), faults, numbers)
    cells_of = dict(zip(header, columns, strict=True))
    columns.clear()  # a million rows: what has become a column of the table need not stay as cells too
    table = pd.DataFrame({
        name: pd.Series(cells_of[name] if name in ("start", "end") else cells_of.pop(name), dtype=str)
        for name in known
        if name in cells_of
    })  # fmt: skip
    faults = []
    for name in ("start", "end"):
        seconds = [_seconds(cell) for cell in cells_of[name]]
        faults += [
            (place, f"{name} {cells_of[name][place]!r} is not a time in seconds.")
            for place, value in enumerate(seconds)
            if value is None
        ]
        table[name] = [math.nan if value is None else value for value in seconds]
    faults += find_faults(table, numbers, outside_audio_root)
    if faults:
        raise _fault_error(str(file), text_cells(table["utterance_id"]), faults, numbers)
    return table


def check_manifest(manifest: pd.DataFrame, where: str, outside_audio_root: bool = False) -> None:
    """Refuse a wrong manifest that was not read from a file; ``where`` names it in the message.

    Raises
    ------
    ManifestError
        As `read_manifest`.
    ValueError
        If a column is missing.
    """
    if faults := find_faults(manifest, outside_audio_root=outside_audio_root):
        raise _fault_error(where, text_cells(manifest["utterance_id"]), faults, range(2, len(manifest) + 2))


def _read_columns(file: Path) -> tuple[list[str], list[int], list[list[str]], list[tuple[int, int]]]:
    """Read a manifest's cells.

    Returns
    -------
    header : list of str
    numbers : list of int
        The number of every row that is not empty.
    columns : list of list of str
        Their cells, column by column; equal cells share their memory, as long as there are not very many.
    uneven : list of (int, int)
        Place and number of cells of each row that has more or fewer than the header, and is not in columns.
    """
    text = _read_text(file)
    header: list[str] | None = None
    numbers: list[int] = []
    uneven: list[tuple[int, int]] = []
    columns: list[list[str]] = []
    same: dict[str, str] = {}
    reader = csv.reader((line.group() for line in _LINE.finditer(text)), strict=True)
    try:
        for number, cells in enumerate(reader, start=1):
            if header is None:
                header = [name.strip() for name in cells]
                columns = [[] for _ in header]
            elif any(cells):
                if len(cells) == len(header):
                    for column, cell in zip(columns, cells, strict=True):
                        column.append(
                            same.get(cell) or (same.setdefault(cell, cell) if len(same) < _SAME else cell)
                        )
                else:
                    uneven.append((len(numbers), len(cells)))
                numbers.append(number)
    except csv.Error as error:
        raise ManifestError(
            f"{file}, line {reader.line_num}: cannot be read as CSV: {error}. A cell in quotation marks must "
            "end with one; inside, they are doubled."
        ) from None
    if header is None:
        raise ManifestError(f"{file}: is empty. Its first row must be {','.join(COLUMNS)}.")
    return header, numbers, columns, uneven


def _read_text(file: Path) -> str:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            return stream.read()
    except FileNotFoundError:
        raise ManifestError(
            f"{file}: no such manifest. Make it with layersim init or corpus import."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file}: cannot be read as UTF-8 text: {error}. Save it as UTF-8.") from None


def _seconds(cell: str) -> float | None:
    """Read a time: NaN for an empty cell, None for what is no finite number.

    >>> _seconds("1.5"), _seconds(""), _seconds("1,5"), _seconds("nan")
    (1.5, nan, None, None)
    """
    try:
        seconds = float(cell) if cell else math.nan
    except ValueError:
        return None
    return seconds if not cell or math.isfinite(seconds) else None


def _cells(manifest: pd.DataFrame, name: str) -> list[str]:
    """Return a column as it stands in the file."""
    if name in ("start", "end"):
        return ["" if math.isnan(time) else repr(time) for time in manifest[name].astype(float).tolist()]
    return text_cells(manifest[name])


def _quoted(cell: str) -> str:
    """Quote a cell where it must be; the csv module leaves a lone carriage return bare, and so splits a row.

    >>> print(_quoted('Wait'), _quoted('"Wait", she said'))
    Wait \"""Wait"", she said"
    """
    return '"' + cell.replace('"', '""') + '"' if re.search('[",\r\n]', cell) else cell


def _fault_error(
    where: str, names: Sequence[str], faults: list[tuple[int, str]], numbers: Sequence[int]
) -> ManifestError:
    lines = [
        f"{where}, row {numbers[place]}{f' ({names[place]})' if names[place] else ''}: {what}"
        for place, what in sorted(faults)
    ]
    if len(lines) == 1:
        return ManifestError(lines[0])
    rows = len({place for place, _ in faults})
    return ManifestError(summarise_faults(f"{where}: {rows} bad row{'s' if rows > 1 else ''}", lines))


def write_manifest(manifest: pd.DataFrame, file: Path) -> None:
    """Write a manifest, checked first; the same manifest gives the same bytes.

    Raises
    ------
    ManifestError
        If it is wrong, or cannot be written as UTF-8 (a file name in another encoding).
    ValueError
        If a column is missing.
    """
    check_manifest(manifest, str(file))
    columns = [name for name in (*COLUMNS, *OPTIONAL) if name in manifest.columns]
    rows = zip(*(_cells(manifest, name) for name in columns), strict=True)
    text = "".join(",".join(map(_quoted, row)) + "\n" for row in (columns, *rows))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        cell = text[max(0, error.start - 20) : error.end + 20]
        raise ManifestError(f"{file}: {cell!r} cannot be written as UTF-8. Rename the audio file.") from None
    write_text(file, text)


def utterance_keys(manifest: pd.DataFrame) -> list[str]:
    """Return ``corpus/utterance_id`` of every row, in order."""
    pairs = zip(manifest["corpus"].tolist(), manifest["utterance_id"].tolist(), strict=True)
    return [f"{corpus}/{name}" for corpus, name in pairs]


def manifest_sha256(manifest: pd.DataFrame) -> str:
    """Hash what a manifest says; the order of its rows does not matter."""
    digest = hashlib.sha256()
    rows = zip(*(_cells(manifest, name) for name in COLUMNS), strict=True)
    for _, row in sorted(zip(utterance_keys(manifest), rows, strict=True)):
        digest.update("\x1f".join(row).encode() + b"\x1e")
    return digest.hexdigest()


def shared_emotions(first: pd.DataFrame, second: pd.DataFrame) -> tuple[str, ...]:
    """Return the emotions that both manifests have, sorted."""
    return tuple(sorted(set(first["emotion"]) & set(second["emotion"])))

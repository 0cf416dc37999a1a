"""The manifest: one utterance a row, joined with everything else by its key ``corpus/utterance_id``.

Conventions
-----------
- Columns are those of `COLUMNS`, in that order, then ``gender`` where it is known. Text is ``""`` where
  nothing is known; ``start`` and ``end`` are seconds, both missing where the whole file is the utterance.
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
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

import pandas as pd

from layersim.errors import LayersimError, summarise_faults
from layersim.workspace import write_text

TEXT_COLUMNS = (
    "corpus", "utterance_id", "path", "speaker", "language", "emotion", "split", "text", "source_label",
)  # fmt: skip
COLUMNS = (
    "corpus", "utterance_id", "path", "start", "end", "speaker", "language", "emotion", "split", "text",
    "source_label",
)  # fmt: skip
OPTIONAL = ("gender",)
SPLITS = ("train", "validation", "test", "")
EMOTIONS = (
    "anger", "happiness", "neutral", "sadness", "fear", "disgust", "surprise", "boredom", "calm", "contempt",
    "excitement", "frustration",
)  # fmt: skip

_NEVER_EMPTY = ("corpus", "utterance_id", "path", "speaker", "emotion")
_WORDS = ("corpus", "utterance_id", "speaker", "emotion", "split")  # compared letter by letter
_LEAVES = re.compile(r"^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)")  # absolute on any system, or with ".."


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
    header, records = _read_cells(file)
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
    numbers = [number for number, cells in records if any(cells)]
    rows = [cells for _, cells in records if any(cells)]
    if not rows:
        raise ManifestError(f"{file}: has no rows.")
    faults = [
        (place, f"{len(cells)} cells under {len(header)} columns. Quote cells that hold a comma.")
        for place, cells in enumerate(rows)
        if len(cells) != len(header)
    ]
    if faults:  # what stands in which column is not known, so that nothing else can be checked
        raise _fault_error(str(file), [""] * len(rows), faults, numbers)
    cells_of = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    table = pd.DataFrame({name: cells_of[name] for name in known if name in cells_of}, dtype=str)
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
        raise _fault_error(str(file), cells_of["utterance_id"], faults, numbers)
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
        raise _fault_error(where, _text(manifest["utterance_id"]), faults, range(2, len(manifest) + 2))


def find_faults(
    manifest: pd.DataFrame, numbers: Sequence[int] | None = None, outside_audio_root: bool = False
) -> list[tuple[int, str]]:
    """Look at every row.

    Parameters
    ----------
    numbers : sequence of int, optional
        The number of every row in its file; without it the rows follow the header without a gap.
    outside_audio_root : bool
        Let paths leave the audio root.

    Returns
    -------
    list of (int, str)
        Position of the row, what is wrong and what to do; ordered by row.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    if missing := [name for name in COLUMNS if name not in manifest.columns]:
        raise ValueError(f"manifest: expected columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}")
    if numbers is None:
        numbers = range(2, len(manifest) + 2)
    text = {name: _text(manifest[name]) for name in TEXT_COLUMNS}
    faults = [fault for name in TEXT_COLUMNS for fault in _column_faults(name, text[name])]
    if not outside_audio_root:
        faults += _leaving_paths(text["path"])
    faults += _repeated_keys(text, numbers)
    faults += _time_faults(
        *(pd.to_numeric(manifest[name]).astype(float).tolist() for name in ("start", "end"))
    )
    faults += _speaker_faults(text, numbers)
    return sorted(faults)


def _read_cells(file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read the header, and the cells of every row with the row's number."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            text = stream.read()
    except FileNotFoundError:
        raise ManifestError(
            f"{file}: no such manifest. Make it with layersim init or corpus import."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file}: cannot be read as UTF-8 text: {error}. Save it as UTF-8.") from None
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        records = list(enumerate(reader, start=1))
    except csv.Error as error:
        raise ManifestError(
            f"{file}, line {reader.line_num}: cannot be read as CSV: {error}. A cell in quotation marks must "
            "end with one; inside, they are doubled."
        ) from None
    if not records:
        raise ManifestError(f"{file}: is empty. Its first row must be {','.join(COLUMNS)}.")
    return [name.strip() for name in records[0][1]], records[1:]


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


def _text(column: pd.Series) -> list[str]:
    """Return a column as text, missing values as ``""``."""
    return [str(cell) for cell in column.where(column.notna(), "").tolist()]


def _cells(manifest: pd.DataFrame, name: str) -> list[str]:
    """Return a column as it stands in the file."""
    if name in ("start", "end"):
        return ["" if math.isnan(time) else repr(time) for time in manifest[name].astype(float).tolist()]
    return _text(manifest[name])


def _quoted(cell: str) -> str:
    """Quote a cell where it must be; the csv module leaves a lone carriage return bare, and so splits a row.

    >>> print(_quoted('Wait'), _quoted('"Wait", she said'))
    Wait \"""Wait"", she said"
    """
    return '"' + cell.replace('"', '""') + '"' if re.search('[",\r\n]', cell) else cell


def _column_faults(name: str, cells: Sequence[str]) -> list[tuple[int, str]]:
    """Check each distinct cell of a column once: most columns of a large manifest hold few."""
    found = {cell: faults for cell in set(cells) if (faults := _cell_faults(name, cell))}
    if not found:
        return []
    return [(place, fault) for place, cell in enumerate(cells) for fault in found.get(cell, ())]


def _cell_faults(name: str, cell: str) -> list[str]:
    if not cell:
        return [f"{name} is empty. Fill it in or remove the row."] if name in _NEVER_EMPTY else []
    faults = []
    if "\0" in cell and name in (
        "corpus",
        "utterance_id",
        "path",
    ):  # names of files and keys in HDF5 end there
        faults.append(f"{name} {cell!r} has a NUL character. Remove it.")
    if name in _WORDS and cell != cell.strip():
        faults.append(f"{name} {cell!r} begins or ends with a space. Remove the space.")
    if name == "corpus" and "/" in cell:
        faults.append(f"corpus {cell!r} has a '/', which ends the corpus in a key. Rename the corpus.")
    if name == "path" and "\\" in cell:
        faults.append(f"path {cell!r} has a backslash. Separate folders by '/'.")
    if name == "split" and cell.strip() not in SPLITS:
        faults.append(f"split {cell!r} is none of train, validation, test, or empty. Rename it.")
    if name == "emotion" and cell.strip() not in EMOTIONS:
        faults.append(
            f"emotion {cell!r} is not among {', '.join(EMOTIONS)}. "
            "Map it in the label map, or remove the row."
        )
    return faults


def _leaving_paths(paths: Sequence[str]) -> list[tuple[int, str]]:
    return [
        (
            place,
            f"path {path!r} leaves the audio root. Make it relative to the root, without '..'; or, if you "
            "trust this manifest, set outside_audio_root = true in the corpus's table of layersim.toml.",
        )
        for place, path in enumerate(paths)
        if _LEAVES.search(path)
    ]


def _repeated_keys(text: Mapping[str, list[str]], numbers: Sequence[int]) -> list[tuple[int, str]]:
    first: dict[tuple[str, str], int] = {}
    faults = []
    for place, key in enumerate(zip(text["corpus"], text["utterance_id"], strict=True)):
        earlier = first.setdefault(key, place)
        if earlier != place and key[1]:
            faults.append(
                (place, f"{'/'.join(key)} stands in row {numbers[earlier]} too. Remove or rename one.")
            )
    return faults


def _time_faults(starts: Sequence[float], ends: Sequence[float]) -> list[tuple[int, str]]:
    faults = []
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if math.isnan(start) != math.isnan(end):
            faults.append((place, "only one of start and end is given. Give both or neither."))
        elif math.isinf(start) or math.isinf(end):
            faults.append((place, f"{start:g} to {end:g} s is not finite. Mend its times."))
        elif start < 0:
            faults.append((place, f"start {start:g} s is before the file. Count from its first sample."))
        elif start >= end:
            faults.append((place, f"start {start:g} s is not before end {end:g} s. Are they swapped?"))
    return faults


def _speaker_faults(text: Mapping[str, list[str]], numbers: Sequence[int]) -> list[tuple[int, str]]:
    """Say once for each speaker found in several splits where each begins."""
    begins: dict[tuple[str, str], dict[str, int]] = {}
    columns = (text[name] for name in ("corpus", "speaker", "split"))
    for place, (corpus, speaker, split) in enumerate(zip(*columns, strict=True)):
        if speaker and split:
            begins.setdefault((corpus, speaker), {}).setdefault(split, place)
    faults = []
    for (_, speaker), places in begins.items():
        if len(places) > 1:
            where = " and ".join(f"{split} (row {numbers[place]})" for split, place in places.items())
            what = f"speaker {speaker!r} is in {where}: splits must be speaker-disjoint. Give it one split."
            faults.append((list(places.values())[1], what))
    return faults


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

"""A corpus described by a plain table, one utterance a row: ``metadata.csv``, or any csv or tsv.

Columns are found by their usual names, or named by the caller. The first row is the header; separators are
tabs, semicolons or commas, whichever the header has most of.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from layersim.corpus.folder import AudioFiles, Reading, Row, read_corpus_text, without_suffix
from layersim.corpus.labels import plain_name
from layersim.errors import LayersimError

METADATA = "metadata.csv"

# Manifest column -> the names that tables give it, the most telling first.
USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "utterance_id": ("utterance_id", "utt_id", "utterance", "utt", "id"),
    "path": ("path", "file", "filepath", "file_path", "filename", "file_name", "audio", "audio_path",
             "audio_file", "wav", "wav_path"),
    "start": ("start", "start_time", "begin"),
    "end": ("end", "end_time"),
    "speaker": ("speaker", "speaker_id", "spk", "spk_id", "spkrid", "actor", "actor_id"),
    "language": ("language", "lang"),
    "emotion": ("emotion", "label", "emotion_label", "emo", "emoclass", "class"),
    "split": ("split", "split_set", "set", "subset", "partition"),
    "text": ("text", "transcript", "transcription", "sentence_text"),
    "gender": ("gender", "sex"),
}  # fmt: skip

# "eval" and "evaluation" are not here: some corpora mean the validation set by it, some the test set.
SPLIT_WORDS = {
    "": "", "none": "", "train": "train", "training": "train", "dev": "validation",
    "development": "validation", "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test", "test1": "test", "test2": "test", "test3": "test",
}  # fmt: skip

_GENDERS = {"f": "female", "female": "female", "w": "female", "m": "male", "male": "male"}


def find_table(folder: Path) -> Path | None:
    """Return ``metadata.csv``, else the only csv or tsv directly in the folder, else None."""
    if (folder / METADATA).is_file():
        return folder / METADATA
    tables = [file for file in sorted(folder.glob("*.[ct]sv")) if not file.name.startswith(".")]
    return tables[0] if len(tables) == 1 else None


def read_csv(file: Path) -> tuple[list[str], dict[int, dict[str, str]]]:
    """Read a table as text.

    Returns
    -------
    header : list of str
    rows : dict
        Row number as a spreadsheet shows it (the header is row 1) to the row's cells, stripped. Empty rows
        are left out.

    Raises
    ------
    LayersimError
        If the file cannot be read, has no header, names a column twice, or a row has more or fewer cells
        than the header.
    """
    text = read_corpus_text(file, "cp1252")
    first = text.split("\n", 1)[0]
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=max("\t;,", key=first.count)))
    except csv.Error as error:
        raise LayersimError(f"{file}: the table cannot be read: {error}.") from None
    header = [cell.strip() for cell in lines[0]] if lines else []
    if not any(header):
        raise LayersimError(f"{file}: the table has no header.")
    if twice := sorted(name for name, count in Counter(header).items() if count > 1):
        raise LayersimError(f"{file}: the header names a column twice: {', '.join(twice)}.")
    rows = {}
    for number, cells in enumerate(lines[1:], start=2):
        if any(cell.strip() for cell in cells):
            if len(cells) != len(header):
                raise LayersimError(
                    f"{file}, row {number}: {len(cells)} cells under {len(header)} columns. "
                    "Quote cells that hold the separator or a line break."
                )
            rows[number] = dict(zip(header, (cell.strip() for cell in cells), strict=True))
    return header, rows


def read_table(table: Path, files: AudioFiles, columns: Mapping[str, str] | None, corpus: str) -> Reading:
    """Read a table whose paths are relative to its own folder.

    Parameters
    ----------
    columns : mapping, optional
        Manifest column (``utterance_id, path, start, end, speaker, language, emotion, split, text, gender``)
        to the table's column; the others are found by their usual names.
    corpus : str
        RAVDESS's speakers ``Actor_01`` become ``01``, as its file names have them.

    Raises
    ------
    LayersimError
        If a column is missing or unknown, or a split is none of train, validation and test.
    """
    header, rows = read_csv(table)
    chosen = _choose_columns(table, header, columns or {})
    reading = Reading(looked_for=f"rows of {table.name} whose audio files stand in {table.parent}")
    if "language" not in chosen:
        reading.notes.append(f"{table.name} has no column for the language; it stays empty")
    described: set[str] = set()
    for number, cells in rows.items():
        entry = {ours: cells[theirs] for ours, theirs in chosen.items()}
        path = files.find(entry.get("path") or entry.get("utterance_id", ""))
        if path is not None:
            described.add(path)
        row = _read_row(entry, path, f"{table}, row {number}")
        if isinstance(row, Row):
            reading.rows.append(row)
        else:
            named = entry.get("utterance_id") or entry.get("path") or ""
            reading.left_out[row].append(f"row {number}" + (f" ({named})" if named else ""))
    if plain_name(corpus) == "ravdess":
        reading.rows = [replace(row, speaker=re.sub(r"(?i)^actor_", "", row.speaker)) for row in reading.rows]
    if "utterance_id" not in chosen:
        reading.rows = _name_by_file(reading.rows, table)
    reading.left_out["audio files that the table does not name"] = [
        path for path in files.paths if path not in described
    ]
    return reading


def _choose_columns(table: Path, header: list[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Map manifest columns to the table's: as the caller says, else by their usual names."""
    for ours, theirs in columns.items():
        if ours not in USUAL_NAMES:
            raise LayersimError(f"columns: {ours!r} is no manifest column. Known: {', '.join(USUAL_NAMES)}.")
        if theirs not in header:
            raise LayersimError(f"{table}: no column {theirs!r}. Its columns: {', '.join(header)}.")
    folded = {name.casefold(): name for name in reversed(header)}
    chosen = dict(columns)
    for ours, names in USUAL_NAMES.items():
        usual = next((folded[name] for name in names if name in folded), None)
        if ours not in chosen and usual is not None and usual not in columns.values():
            chosen[ours] = usual
    missing = [ours for ours in ("speaker", "emotion") if ours not in chosen]
    if "path" not in chosen and "utterance_id" not in chosen:
        missing.insert(0, "path")
    if missing:
        raise LayersimError(
            f"{table}: no column for {', '.join(missing)}. Its columns: {', '.join(header)}. "
            f"Name them, for example {missing[0]}:{header[0]}."
        )
    return chosen


def _read_row(entry: Mapping[str, str], path: str | None, where: str) -> Row | str:
    """Turn one row into an utterance, or into the reason why it is none."""
    if not (entry.get("path") or entry.get("utterance_id")) or not entry["speaker"] or not entry["emotion"]:
        return "rows without path, speaker or emotion"
    if path is None:
        return "rows without audio"
    split = SPLIT_WORDS.get(entry.get("split", "").casefold())
    if split is None:
        raise LayersimError(
            f"{where}: split {entry['split']!r} is none of train, validation and test. Rename it."
        )
    try:
        start, end = (float(entry.get(key) or "nan") for key in ("start", "end"))
    except ValueError:
        return "rows whose start or end is no number of seconds"
    if math.isnan(start) != math.isnan(end) or start >= end or start < 0:
        return "rows whose start is not before their end"
    return Row(
        entry.get("utterance_id", ""), path, entry["speaker"], entry.get("language", ""), entry["emotion"],
        entry.get("text", ""), _GENDERS.get(entry.get("gender", "").casefold(), ""), split, start, end,
    )  # fmt: skip


def _name_by_file(rows: list[Row], table: Path) -> list[Row]:
    """Name utterances after their files: by the name alone where no two are alike, else by the whole path."""
    stems = {PurePosixPath(row.path).stem for row in rows}
    paths = {row.path for row in rows}
    if len(paths) < len(rows):
        raise LayersimError(
            f"{table}: several rows name the same file, so that each needs a name. Add a column utterance_id."
        )
    if len(stems) == len(rows):
        return [replace(row, utterance_id=PurePosixPath(row.path).stem) for row in rows]
    return [replace(row, utterance_id=without_suffix(row.path).replace("/", "_")) for row in rows]

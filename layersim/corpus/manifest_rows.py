"""What a manifest's rows may hold: its columns, and what is wrong with a row."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pandas as pd

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
    # One column at a time is text in memory: of a million rows each takes 60 MB and more.
    faults = [fault for name in TEXT_COLUMNS for fault in _column_faults(name, text_cells(manifest[name]))]
    if not outside_audio_root:
        faults += _leaving_paths(text_cells(manifest["path"]))
    faults += _repeated_keys(manifest, numbers)
    faults += _time_faults(
        *(pd.to_numeric(manifest[name]).astype(float).tolist() for name in ("start", "end"))
    )
    faults += _speaker_faults(manifest, numbers)
    return sorted(faults)


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


def _repeated_keys(manifest: pd.DataFrame, numbers: Sequence[int]) -> list[tuple[int, str]]:
    first: dict[tuple[str, str], int] = {}
    faults = []
    columns = (text_cells(manifest[name]) for name in ("corpus", "utterance_id"))
    for place, key in enumerate(zip(*columns, strict=True)):
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


def _speaker_faults(manifest: pd.DataFrame, numbers: Sequence[int]) -> list[tuple[int, str]]:
    """Say once for each speaker found in several splits where each begins."""
    begins: dict[tuple[str, str], dict[str, int]] = {}
    columns = (text_cells(manifest[name]) for name in ("corpus", "speaker", "split"))
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


def text_cells(column: pd.Series) -> list[str]:
    """Return a column as text, missing values as ``""``."""
    return [str(cell) for cell in column.where(column.notna(), "").tolist()]

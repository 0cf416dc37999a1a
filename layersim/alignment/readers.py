"""Read the phones of a corpus from wherever they are: TextGrids, MFA's JSON or CSV, or one plain table.

The result is one table for the corpus, ``utterance_id, start, end, phone``, sorted by utterance and time.
In a folder, a file belongs to the utterance whose id is its name without the suffix, its path in the folder
(``speaker/name``, also joined with ``_`` or ``-``), or ends in ``/`` and its name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from layersim.alignment.mfa import read_mfa_csv, read_mfa_json
from layersim.alignment.segments import Segment, clean_segments
from layersim.alignment.table import read_table
from layersim.alignment.textgrid import read_textgrid, write_textgrid
from layersim.errors import LayersimError, summarise_faults
from layersim.workspace import Progress, no_progress

__all__ = ["AlignmentResult", "read_alignments", "write_textgrid"]

COLUMNS = ["utterance_id", "start", "end", "phone"]
_READERS: dict[str, Callable[[Path], list[Segment]]] = {
    ".textgrid": read_textgrid,
    ".json": read_mfa_json,
    ".csv": read_mfa_csv,
}
_BESIDE = {"alignment_analysis.csv"}  # MFA's summary, which is no alignment


@dataclass(frozen=True)
class AlignmentResult:
    """A corpus's phones, and what was not used."""

    phones: pd.DataFrame  # utterance_id, start, end (float seconds), phone
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # utterances without alignment, in the order asked for


def read_alignments(
    path: Path, utterance_ids: Collection[str], progress: Progress = no_progress
) -> AlignmentResult:
    """Read the phones of some utterances.

    Parameters
    ----------
    path : Path
        A table (csv, tsv) with a row per segment; a folder of TextGrids, MFA JSON or MFA CSV files, at any
        depth; or one such file.
    utterance_ids : collection of str
        Which to read; what else is there is counted.

    Raises
    ------
    LayersimError
        If nothing is found, or any segment's times are wrong (all are looked at, ten are shown).
    """
    wanted = list(dict.fromkeys(utterance_ids))
    if path.is_dir():
        segments, notes = _read_folder(path, wanted, progress)
    elif not path.is_file():
        raise LayersimError(
            f"{path}: no such file or folder. Name a table of phones or a folder of TextGrids."
        )
    elif path.suffix.casefold() in (".csv", ".tsv", ".txt"):
        segments, notes = _read_whole_table(path, wanted)
    else:
        segments, notes = _read_files(path.parent, [path], wanted, no_progress)
    rows, faults = [], []
    dropped = {"silence": 0, "unnamed": 0}
    for name in sorted(segments):
        kept, left_out, wrong = clean_segments(segments[name], name)
        rows += [(name, *segment) for segment in kept]
        faults += wrong
        for kind, count in left_out.items():
            dropped[kind] += count
    if faults:
        heading = f"{path}: {len(faults)} segments with wrong times"
        raise LayersimError(summarise_faults(heading, faults, "Mend them, or take these utterances out."))
    notes += [f"{count} {kind} segments left out" for kind, count in dropped.items() if count]
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"start": float, "end": float})
    present = set(table["utterance_id"])
    missing = [name for name in wanted if name not in present]
    if not present:
        raise LayersimError(
            f"{path}: no alignment of the {len(wanted)} utterances asked for. Their ids look like "
            f"{', '.join(repr(name) for name in wanted[:3])}; check the files' names or the table's column."
        )
    return AlignmentResult(table, notes, missing)


def _read_whole_table(path: Path, wanted: Sequence[str]) -> tuple[dict[str, list[Segment]], list[str]]:
    table, notes = read_table(path)
    asked = set(wanted)
    found: dict[str, list[Segment]] = defaultdict(list)
    others = set()
    for name, start, end, phone in zip(*(table[column].tolist() for column in COLUMNS), strict=True):
        if name in asked:
            found[name].append(Segment(start, end, phone))
        else:
            others.add(name)
    if others:
        notes.append(f"{len(others)} utterances of {path.name} are not in the corpus")
    return found, notes


def _read_folder(
    folder: Path, wanted: Sequence[str], progress: Progress
) -> tuple[dict[str, list[Segment]], list[str]]:
    for suffix in _READERS:
        files = sorted(
            file
            for file in folder.rglob("*")
            if file.suffix.casefold() == suffix and file.name not in _BESIDE and file.is_file()
        )
        if files:
            return _read_files(folder, files, wanted, progress)
    raise LayersimError(
        f"{folder}: holds no alignments. Looked for {', '.join(_READERS)} files at any depth."
    )


def _read_files(
    folder: Path, files: Sequence[Path], wanted: Sequence[str], progress: Progress
) -> tuple[dict[str, list[Segment]], list[str]]:
    """Read the files that belong to the utterances asked for, each by its suffix."""
    by_name: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        parts = file.relative_to(folder).with_suffix("").parts
        for name in {parts[-1], *(sign.join(parts) for sign in "/_-")}:
            by_name[name].append(file)
    found, faults, used = {}, [], set()
    for done, name in enumerate(wanted):
        progress("reading alignments", done, len(wanted))
        candidates = by_name.get(name) or by_name.get(name.rpartition("/")[2], [])
        if len(candidates) > 1:
            places = ", ".join(str(file.relative_to(folder)) for file in candidates[:3])
            faults.append(f"{name}: {len(candidates)} files could be its alignment ({places})")
        elif candidates:
            try:
                found[name] = _READERS[candidates[0].suffix.casefold()](candidates[0])
                used.add(candidates[0])
            except LayersimError as error:
                faults.append(str(error))
            except KeyError:
                faults.append(f"{candidates[0]}: is of no known kind; known: {', '.join(_READERS)}")
    progress("reading alignments", len(wanted), len(wanted))
    if faults:
        raise LayersimError(summarise_faults(f"{folder}: {len(faults)} alignments cannot be used", faults))
    notes = []
    if unused := len(files) - len(used):
        notes.append(f"{unused} of {len(files)} alignment files belong to no utterance asked for")
    return found, notes

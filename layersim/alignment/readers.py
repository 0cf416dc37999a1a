"""Read the phones of a corpus from wherever they are: TextGrids, MFA's JSON or CSV, or one plain table.

The result is one table for the corpus, ``utterance_id, start, end, phone``, sorted by utterance and time. How
files and names find their utterance is said in `layersim.alignment.owners`. Only files of utterances that are
asked for are opened: a folder may hold many more.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from layersim.alignment.mfa import read_mfa_json
from layersim.alignment.owners import Owners
from layersim.alignment.segments import Segment, clean_segments
from layersim.alignment.table import TableContent, read_table
from layersim.alignment.textgrid import read_textgrid, write_textgrid
from layersim.errors import LayersimError, summarise_faults
from layersim.workspace import Progress, no_progress

__all__ = ["AlignmentResult", "read_alignments", "write_textgrid"]

_SUFFIXES = (".textgrid", ".json", ".csv")  # of files with one utterance each; the first kind found is read
_TABLES = (".csv", ".tsv", ".txt")  # of files with many
_BESIDE = {"alignment_analysis.csv"}  # MFA's summary, which is no alignment
_PROGRESS_EVERY = 100  # files


@dataclass(frozen=True)
class AlignmentResult:
    """A corpus's phones, and what was not used."""

    phones: pd.DataFrame  # utterance_id, start, end (float seconds), phone
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # utterances without alignment, in the order asked for
    durations: dict[str, float] = field(default_factory=dict)  # seconds, of those whose file says it (xmax)


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
        If nothing is found, or any alignment or time is wrong (all are looked at, ten are shown).
    """
    wanted = list(dict.fromkeys(utterance_ids))
    if path.is_dir():
        content, notes = _read_files(path, _list_files(path), wanted, progress)
    elif not path.is_file():
        raise LayersimError(
            f"{path}: no such file or folder. Name a table of phones or a folder of TextGrids."
        )
    elif path.suffix.casefold() in _TABLES:
        content = read_table(path, Owners(wanted), progress)
        others = len(content.others)
        notes = [f"{others} utterances of {path.name} are not in the corpus"] if others else []
    elif path.suffix.casefold() in _SUFFIXES:
        content, notes = _read_files(path.parent, [path.name], wanted, no_progress)
    else:
        known = ", ".join(dict.fromkeys((*_SUFFIXES, *_TABLES)))
        raise LayersimError(f"{path}: is of no known kind. Known: {known}, or a folder of such files.")
    if content.other_types:
        notes.append(f"{content.other_types} rows of words left out")
    names: list[str] = []
    kept: list[Segment] = []
    dropped: Counter[str] = Counter()
    faults = content.faults
    for name in sorted(content.segments):
        clean, left_out, wrong = clean_segments(content.segments.pop(name), name)
        names += [name] * len(clean)
        kept += clean
        dropped += left_out
        faults += wrong
    if faults:
        heading = f"{path}: {len(faults)} alignments or segments are wrong"
        raise LayersimError(summarise_faults(heading, faults, "Mend them, or take these utterances out."))
    notes += [f"{dropped[kind]} {kind} segments left out" for kind in ("silence", "unnamed") if dropped[kind]]
    table = pd.DataFrame(
        {
            "utterance_id": names,
            "start": [segment.start for segment in kept],
            "end": [segment.end for segment in kept],
            "phone": [segment.label for segment in kept],
        }
    )
    present = set(names)
    if not present:
        raise LayersimError(
            f"{path}: no alignment of the {len(wanted)} utterances asked for. Their ids look like "
            f"{', '.join(repr(name) for name in wanted[:3])}; check the files' names or the table's column."
        )
    return AlignmentResult(table, notes, [name for name in wanted if name not in present], content.ends)


def _list_files(folder: Path) -> list[str]:
    """List the alignment files below a folder, relative to it, of the first kind that there is."""
    found: dict[str, list[str]] = {suffix: [] for suffix in _SUFFIXES}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            suffix = os.path.splitext(name)[1].casefold()
            if suffix in found and name not in _BESIDE and not name.startswith("."):
                found[suffix].append(os.path.relpath(os.path.join(place, name), folder))
    files = next((files for files in found.values() if files), None)
    if files is None:
        raise LayersimError(
            f"{folder}: holds no alignments. Looked for {', '.join(_SUFFIXES)} files at any depth."
        )
    return files


def _read_files(
    folder: Path, files: Sequence[str], wanted: Sequence[str], progress: Progress
) -> tuple[TableContent, list[str]]:
    """Read the files that belong to the utterances asked for, each by its suffix."""
    owners = Owners(wanted)
    files_of: dict[str, list[str]] = defaultdict(list)
    content = TableContent()
    unused = 0
    for file in files:
        names = owners.of(os.path.splitext(file)[0])
        if len(names) > 1:
            content.faults.append(f"{file}: could be that of {' or '.join(map(repr, names[:3]))}")
        elif names:
            files_of[names[0]].append(file)
        else:
            unused += 1
    for done, (name, candidates) in enumerate(files_of.items()):
        if done % _PROGRESS_EVERY == 0:
            progress("reading alignments", done, len(files_of))
        if len(candidates) > 1:
            places = ", ".join(candidates[:3])
            content.faults.append(f"{name}: {len(candidates)} files could be its alignment ({places})")
            continue
        try:
            _read_file(folder / candidates[0], name, content)
        except LayersimError as error:
            content.faults.append(str(error))
    progress("reading alignments", len(files_of), len(files_of))
    return content, [f"{unused} of {len(files)} alignment files belong to no utterance asked for"] * (
        unused > 0
    )


def _read_file(file: Path, name: str, content: TableContent) -> None:
    suffix = file.suffix.casefold()
    if suffix == ".csv":
        table = read_table(file, name)
        content.segments[name] = table.segments[name]
        content.other_types += table.other_types
        content.faults += table.faults
    else:
        found = read_textgrid(file) if suffix == ".textgrid" else read_mfa_json(file)
        content.segments[name] = found.segments
        if found.end is not None:
            content.ends[name] = found.end

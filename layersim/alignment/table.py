"""Phone times in a plain table: one row per segment, columns named in one of the usual ways."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from layersim.alignment.owners import Owners
from layersim.alignment.segments import Segment
from layersim.alignment.text import read_text, table_rows
from layersim.errors import LayersimError
from layersim.workspace import Progress, no_progress

# The first name that a table has is taken; compared without case.
NAMES = {
    "utterance_id": ("utterance_id", "utterance", "utt_id", "utt", "file", "filename", "file_id", "name"),
    "start": ("start", "begin", "xmin", "start_time", "onset", "tmin"),
    "end": ("end", "xmax", "end_time", "offset", "stop", "tmax"),
    "phone": ("phone", "phoneme", "label", "segment", "text", "phones"),
}
_WORD_TYPES = ("words", "word")  # in the column Type of MFA's csv, which has words and phones
_PROGRESS_EVERY = 100_000  # rows


@dataclass
class TableContent:
    """What was found in a table."""

    segments: dict[str, list[Segment]] = field(default_factory=lambda: defaultdict(list))  # by utterance
    ends: dict[str, float] = field(default_factory=dict)  # seconds; where the recording is said to end
    others: set[str] = field(default_factory=set)  # names in it that are no utterance asked for
    other_types: int = 0  # rows of words, in a table that has phones and words
    faults: list[str] = field(default_factory=list)


def read_table(file: Path, utterances: Owners | str, progress: Progress = no_progress) -> TableContent:
    """Read the segments of some utterances from a csv or tsv table.

    Rows of words (MFA's csv has a column ``Type``) are left out and counted.
    Row numbers in faults are those that a spreadsheet shows.

    Parameters
    ----------
    utterances : Owners or str
        Which to take, by the column of utterances; or the one that the whole table belongs to.

    Raises
    ------
    LayersimError
        If the file is no table, or a column is missing.
    """
    text = read_text(file)
    header, rows = _read_rows(text, file)
    columns = _choose_columns(header, file, with_utterance=isinstance(utterances, Owners))
    type_column = next((n for n, name in enumerate(header) if name.strip().casefold() == "type"), None)
    owner_of: dict[str, list[str]] = {}
    content = TableContent()
    total = text.count("\n")
    for number, row in enumerate(rows, start=2):
        if number % _PROGRESS_EVERY == 0:
            progress("reading alignments", number, total)
        if not any(row):
            continue  # an empty line
        if len(row) < len(header) or any(row[len(header) :]):
            content.faults.append(f"{file}, row {number}: has {len(row)} cells; the header has {len(header)}")
            continue
        kind = row[type_column].strip().casefold() if type_column is not None else ""
        if kind in _WORD_TYPES:
            content.other_types += 1
            continue
        if isinstance(utterances, Owners):
            name = row[columns["utterance_id"]]
            if name not in owner_of:
                owner_of[name] = utterances.of(name)
            owners = owner_of[name]
        else:
            name, owners = utterances, [utterances]
        if len(owners) > 1:
            content.faults.append(
                f"{file}, row {number}: {name!r} could be {' or '.join(map(repr, owners[:3]))}"
            )
        elif not owners:
            content.others.add(name)
        else:
            _take(content, owners[0], [row[columns[key]] for key in ("start", "end", "phone")],
                  f"{file}, row {number}")  # fmt: skip
    return content


def _take(content: TableContent, utterance: str, cells: Sequence[str], where: str) -> None:
    times = []
    for column, cell in zip(("start", "end"), cells, strict=False):
        try:
            times.append(float(cell))
        except ValueError:
            content.faults.append(f"{where}: {column} {cell!r} is no time in seconds")
    if len(times) == 2:
        content.segments[utterance].append(Segment(times[0], times[1], cells[2]))


def _read_rows(text: str, file: Path) -> tuple[list[str], Iterator[list[str]]]:
    first = text.partition("\n")[0]
    separator = max(",\t;", key=first.count)
    rows = table_rows(text, str(file), separator)
    header = next(rows, None)
    if header is None:
        raise LayersimError(f"{file}: cannot be read as a table: it is empty.")
    return header, rows


def _choose_columns(header: Sequence[str], file: Path, with_utterance: bool) -> dict[str, int]:
    theirs = {name.strip().casefold(): place for place, name in reversed(list(enumerate(header)))}
    chosen = {}
    for column, names in NAMES.items():
        if column == "utterance_id" and not with_utterance:
            continue
        found = next((theirs[name] for name in names if name in theirs), None)
        if found is None:
            raise LayersimError(
                f"{file}: no column for {column}; has {', '.join(header)}. Name it one of {', '.join(names)}."
            )
        chosen[column] = found
    return chosen

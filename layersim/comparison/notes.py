"""What stands under a table of scores: what marks mean and where none can stand, chance, counts, classes."""

from __future__ import annotations

from collections.abc import Sequence

from layersim.comparison.cells import ALPHA, MARKS, MEAN
from layersim.comparison.table import Table
from layersim.comparison.tested import Results
from layersim.metrics import FEW_SPEAKERS


def table_notes(table: Table, results: Results, references: Sequence[str]) -> list[str]:
    """Return the notes under a table.

    Parameters
    ----------
    table : Table
        Its cells say what was compared.
    references : sequence of str
        What was to be compared with.
    """
    speakers = {name: results.utterances(name)["speaker"].nunique() for name in results.directions}
    notes = []
    if any(cell.value is None for row in table.rows() for cell in row.cells):
        notes.append("–: not run, or not in all directions.")
    notes += _marks(table, results, references)
    if any(column.direction == MEAN for column in table.columns):
        notes.append(
            f"{MEAN}: of {len(results.directions)} directions of equal weight; a target's speakers are drawn "
            "and swapped together in all of its directions."
        )
    if lone := [name for name, count in speakers.items() if count == 1]:
        notes.append(f"One test speaker, so no interval and no test: {_listed(lone)}.")
    if few := [name for name, count in speakers.items() if 1 < count < FEW_SPEAKERS]:
        notes.append(
            f"Fewer than {FEW_SPEAKERS} test speakers, over which intervals come out too narrow: "
            f"{_listed(few)}."
        )
    return notes + [_test_set(results, name) for name in results.directions]


def _marks(table: Table, results: Results, references: Sequence[str]) -> list[str]:
    notes = [
        f"Not compared with {reference}: it was not run."
        for reference in references
        if reference not in results.methods
    ]
    meanings = [
        f"{above} above, {below} below {reference}"
        for reference, (above, below) in zip(references, MARKS, strict=False)
        if reference in results.methods
    ]
    if not meanings:
        return notes
    notes.append(
        f"{'; '.join(meanings)}: two-sided paired permutation test over whole speakers, Holm-corrected over "
        f"the rows of a column, p ≤ {ALPHA:g}."
    )
    closed = []
    for place, column in enumerate(table.columns):
        smallest = [found.smallest_p_holm for row in table.rows() for found in row.cells[place].versus]
        known = [p for p in smallest if p is not None]
        if known and min(known) > ALPHA:
            closed.append(f"{column.direction} (corrected p ≥ {min(known):.2g})")
    if closed:
        notes.append(f"Too few test speakers for any mark among so many rows: {_listed(closed)}.")
    return notes


def _test_set(results: Results, direction: str) -> str:
    utterances = results.utterances(direction)
    emotions = sorted(set(utterances["emotion"]))
    speakers = utterances["speaker"].nunique()
    return (
        f"{direction}: {', '.join(emotions)}; chance {100 / len(emotions):.1f} %; tested on "
        f"{len(utterances)} utterances of {speakers} speaker{'' if speakers == 1 else 's'}."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))

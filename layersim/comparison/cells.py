"""The cells of one column: scores over seeds and speakers, and every row tested against the references."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from layersim.comparison.table import Cell, Column, Versus
from layersim.comparison.tested import Results, Tested
from layersim.metrics import holm, mean_uar, mean_uar_difference

ALPHA = 0.05  # a mark says that the corrected p-value is no larger
MARKS = (("+", "-"), ("↑", "↓"))  # above and below the first reference, above and below the second
MEAN = "mean"  # the column of all directions together


def column_cells(
    results: Results,
    column: Column,
    methods: Sequence[str],
    references: Sequence[str],
    replicates: int,
    seed: int,
) -> dict[str, Cell]:
    """Return the cell of each method; without a value where it was not run.

    Parameters
    ----------
    methods : sequence of str
        The table's rows: the tests against a reference are corrected for their number.
    references : sequence of str, at most 2
        A reference that was not run in this column is left out.

    Raises
    ------
    ValueError
        If there are more than two references.
    """
    if len(references) > len(MARKS):
        raise ValueError(f"references: expected {len(MARKS)} at most, got {list(references)}")
    tested = {method: tests_of(results, method, column) for method in {*methods, *references}}
    versus: dict[str, list[Versus]] = {method: [] for method in methods}
    marks = dict.fromkeys(methods, "")
    for reference, (above, below) in zip(references, MARKS, strict=False):
        for method, found in _compare(tested, methods, reference, replicates, seed).items():
            versus[method].append(found)
            if found.p_holm is not None and found.p_holm <= ALPHA:
                marks[method] += above if found.difference > 0 else below
    return {
        method: _cell(tested[method], marks[method], tuple(versus[method]), replicates, seed)
        for method in methods
    }


def tests_of(results: Results, method: str, column: Column) -> list[Tested]:
    """Return what a column is about: one direction, or all; nothing if the method lacks one of them."""
    directions = results.directions if column.direction == MEAN else [column.direction]
    found = [results.find(method, Column(direction, column.encoder)) for direction in directions]
    present = [tested for tested in found if tested is not None]
    return present if len(present) == len(directions) else []


def _compare(
    tested: Mapping[str, Sequence[Tested]],
    methods: Sequence[str],
    reference: str,
    replicates: int,
    seed: int,
) -> dict[str, Versus]:
    """Test every row of a column but the reference itself against it."""
    if not tested[reference]:
        return {}
    against = [test.runs for test in tested[reference]]
    differences = {
        method: mean_uar_difference([test.runs for test in tested[method]], against, replicates, seed=seed)
        for method in methods
        if method != reference and tested[method]
    }
    # All rows have the same test speakers: they have p-values together, or none has one.
    ps = {method: found.p for method, found in differences.items() if found.p is not None}
    adjusted = dict(zip(ps, holm(list(ps.values())), strict=True))
    return {
        method: Versus(
            reference=reference,
            difference=found.value,
            low=found.interval.low if found.interval else None,
            high=found.interval.high if found.interval else None,
            p=found.p,
            p_holm=adjusted.get(method),
            smallest_p_holm=None if found.smallest_p is None else min(1.0, len(ps) * found.smallest_p),
        )
        for method, found in differences.items()
    }


def _cell(tests: Sequence[Tested], mark: str, versus: tuple[Versus, ...], replicates: int, seed: int) -> Cell:
    if not tests:
        return Cell()
    score = mean_uar([test.runs for test in tests], replicates, seed=seed)
    seeds = sorted(set.intersection(*(set(test.uars) for test in tests)))
    by_seed = [statistics.fmean(test.uars[number] for test in tests) for number in seeds]
    return Cell(
        value=score.value,
        sd=statistics.stdev(by_seed) if len(by_seed) > 1 else None,
        low=score.interval.low if score.interval else None,
        high=score.interval.high if score.interval else None,
        mark=mark,
        versus=versus,
    )

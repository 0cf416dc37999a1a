"""The two tables of the layer-anchoring paper, of one's own corpora: methods, and anchor sets.

Conventions
-----------
- A cell is the mean UAR over seeds, its sample standard deviation, and the 95 % interval of the mean over
  the target's test speakers. Seeds are not drawn.
- The columns ``mean`` weigh the directions alike; a method that lacks a direction has no mean. Speakers of
  one target are drawn, and swapped, in all of its directions together.
- Marks say which rows lie significantly above or below a reference method: a paired permutation test over
  whole speakers, Holm-corrected over the rows of a column.
- In the results, layer anchoring on the ranking's Group is the method ``la``; on other sets it is ``la-``
  and the anchors: ``la-all``, ``la-best``, ``la-worst``, ``la-random-1``, ``la-8-9-11``.

Source: Upadhyay, Busso & Lee, Interspeech 2024, arXiv 2407.04966, tables 1 and 2.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from layersim.comparison.cells import MEAN, column_cells
from layersim.comparison.notes import table_notes
from layersim.comparison.table import Column, Row, RowGroup, Table
from layersim.comparison.tested import Predictions, Results

REFERENCES = ("cc-std-all", "la")

METHOD_GROUPS: Mapping[str, tuple[str, ...]] = {
    "top layer only": (
        "cc", "cc-std", "cc-spk", "ensemble", "fewshot", "pa", "dann", "wccn", "wccn-off",
    ),
    "with layers": ("cc-std-all", "cc-spk-all", "probe-*", "pa-avg", "pa-atn", "la", "la-class*"),
    "encoder itself trained": ("la+finetune-*", "la-*+finetune-*", "wccn+finetune-*"),
    "other features": (
        "ensemble-egemaps", "egemaps-rf", "egemaps-rf-wccn", "emobase-rf", "emobase-rf-wccn", "dann-conv1d",
        "dann-resnet50",
    ),
    "learns the target's labels": ("supervised", "supervised-conv1d"),
}  # fmt: skip
OTHERS = "others"
_SELF_TRAINED = "+self-train"

_SETS = {"auto": "Group", "all": "All", "best": "Best", "worst": "Worst"}


class _Layout(NamedTuple):
    """A group's name, and its rows: what they are called and their methods."""

    name: str
    rows: list[tuple[str, str]]


def method_table(
    results: pd.DataFrame,
    predictions: Predictions,
    groups: Mapping[str, Sequence[str]] = METHOD_GROUPS,
    references: Sequence[str] = REFERENCES,
    replicates: int = 1000,
    seed: int = 0,
) -> Table:
    """Set the methods side by side: rows in groups, a column per direction and encoder, and the means.

    Parameters
    ----------
    results : DataFrame
        One row per run; see `layersim.comparison.tested`.
    predictions : callable
        Gives each run's predictions.
    groups : mapping
        Group to its methods, in the order of the rows; ``*`` stands for anything. A self-trained method
        (the method and ``+self-train``) stands behind the group's own; a method that is in no group stands
        under "others".
    references : sequence of str, at most 2
        Methods to test against.
    replicates : int
        Draws of speakers of an interval.

    Raises
    ------
    ValueError
        If a column of the results is missing, there is no row, or there are more than two references.
    LayersimError
        If methods were not tested on the same utterances, or results and predictions do not belong
        together.
    """
    found = Results(results, predictions)
    methods = [method for method in found.methods if anchor_name(method) is None or method == "la"]
    layout = []
    for name, members in groups.items():
        plain = [method for method in methods if not method.endswith(_SELF_TRAINED)]
        own = list(dict.fromkeys(found for member in members for found in fnmatch.filter(plain, member)))
        own += [
            method for method in methods
            if method not in plain
            and any(fnmatch.fnmatch(method.removesuffix(_SELF_TRAINED), member) for member in members)
        ]  # fmt: skip
        layout.append(_Layout(name, [(method, method) for method in own]))
    placed = {method for group in layout for _, method in group.rows}
    layout.append(_Layout(OTHERS, [(method, method) for method in methods if method not in placed]))
    return _table("Methods", "method", layout, found, references, replicates, seed)


def anchor_table(
    results: pd.DataFrame,
    predictions: Predictions,
    references: Sequence[str] = REFERENCES,
    replicates: int = 1000,
    seed: int = 0,
) -> Table | None:
    """Set the anchor sets of layer anchoring side by side: Group, All, Best, Worst, Random-1, ...

    Parameters, errors and columns are those of `method_table`.

    Returns
    -------
    Table or None
        None if the results have no layer anchoring.
    """
    found = Results(results, predictions)
    named = [(name, method) for method in found.methods if (name := anchor_name(method)) is not None]
    if not named:
        return None
    layout = [_Layout("", sorted(named, key=lambda row: _place(row[0])))]
    return _table("Anchor sets", "anchors", layout, found, references, replicates, seed)


def anchor_name(method: str) -> str | None:
    """Name the anchors that a method of the results has; None where it is not layer anchoring.

    >>> [anchor_name(name) for name in ("la", "la-all", "la-random-2", "la-best-phoneme", "la-8-d1")]
    ['Group', 'All', 'Random-2', 'Best, phoneme', '8, d1']
    >>> anchor_name("pa-avg"), anchor_name("la-all+finetune-lora")
    (None, None)
    """
    if method == "la":
        return _SETS["auto"]
    slug = method.removeprefix("la-")
    if slug == method:
        return None
    if match := re.fullmatch(r"(auto|all|best|worst)(?:-(phoneme|label-free))?", slug):
        return _SETS[match[1]] + (f", {match[2]}" if match[2] else "")
    if match := re.fullmatch(r"random-(\d+)", slug):
        return f"Random-{match[1]}"
    return slug.replace("-", ", ") if re.fullmatch(r"d?\d+(-d?\d+)*", slug) else None


def _place(name: str) -> tuple[int, int, str]:
    """Order anchor sets as the paper does, lists of layers last."""
    kind = name.partition(",")[0].partition("-")[0]
    order = [*_SETS.values(), "Random"]
    number = int(name.removeprefix("Random-")) if kind == "Random" else 0
    return (order.index(kind) if kind in order else len(order), number, name)


def _table(
    title: str,
    rows_are: str,
    layout: Sequence[_Layout],
    results: Results,
    references: Sequence[str],
    replicates: int,
    seed: int,
) -> Table:
    columns = [Column(name, encoder) for name in results.directions for encoder in results.encoders]
    if len(results.directions) > 1:
        columns += [Column(MEAN, encoder) for encoder in results.encoders]
    methods = [method for group in layout for _, method in group.rows]
    cells = [column_cells(results, column, methods, references, replicates, seed) for column in columns]
    groups = tuple(
        RowGroup(
            group.name,
            tuple(Row(name, tuple(column[method] for column in cells)) for name, method in group.rows),
        )
        for group in layout
        if group.rows
    )
    seeds = sorted({len(results.seeds(method)) for method in methods})
    count = " to ".join(str(number) for number in dict.fromkeys((seeds[0], seeds[-1])))
    title = f"{title}: UAR %, mean ± sd over {count} seed{'' if count == '1' else 's'}"
    if any(cell.low is not None for column in cells for cell in column.values()):
        title += ", and the 95 % interval over test speakers"
    table = Table(title, rows_are, tuple(columns), groups)
    return replace(table, notes=tuple(table_notes(table, results, references)))

"""A table of scores, and how it reads as plain text, CSV, LaTeX and HTML.

Conventions
-----------
- Columns are directions, and encoders in them; rows stand in groups.
- Shares are 0..1 in the cells and in CSV, per cent with one decimal in the other forms. A cell without a
  value is a dash.
- A cell's interval stands under its value. Its mark says what it was tested to be above or below of.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pandas as pd

from layersim.comparison.latex import table_latex
from layersim.comparison.plain_text import table_text

NOTHING = "–"


@dataclass(frozen=True)
class Column:
    """What a column's scores are of."""

    direction: str
    encoder: str


@dataclass(frozen=True)
class Versus:
    """A cell's difference from the reference method in the same column, -1..1.

    ``low``, ``high`` and the p-values are None where too few speakers were tested. ``p_holm`` is adjusted
    for the other rows of the column, and ``smallest_p_holm`` the least that it could be with so many rows and
    so few speakers.
    """

    reference: str
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    smallest_p_holm: float | None

    def as_row(self) -> dict[str, float | None]:
        """Return its numbers by names that tell the reference."""
        minus = f"minus_{self.reference}"
        return {
            minus: self.difference,
            f"{minus}_low": self.low,
            f"{minus}_high": self.high,
            f"{minus}_p": self.p,
            f"{minus}_p_holm": self.p_holm,
            f"{minus}_smallest_p_holm": self.smallest_p_holm,
        }


@dataclass(frozen=True)
class Cell:
    """A score 0..1, its standard deviation over seeds, the ends of its interval over speakers.

    ``decimals`` are those of the per cent; more than one is for figures that were printed so.
    """

    value: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    mark: str = ""
    versus: tuple[Versus, ...] = ()
    decimals: int = 1

    def value_text(self) -> str:
        """Return the value in per cent.

        >>> Cell(0.6021, sd=0.0123).value_text(), Cell(0.6021).value_text(), Cell().value_text()
        ('60.2 ± 1.2', '60.2', '–')
        """
        if self.value is None:
            return NOTHING
        spread = "" if self.sd is None else f" ± {100 * self.sd:.{self.decimals}f}"
        return f"{100 * self.value:.{self.decimals}f}{spread}"

    def interval_text(self) -> str:
        """Return the interval in per cent; nothing where there is none.

        >>> Cell(0.6, low=0.55, high=0.648).interval_text(), Cell(0.6).interval_text()
        ('55.0 to 64.8', '')
        """
        if self.low is None or self.high is None:
            return ""
        return f"{100 * self.low:.{self.decimals}f} to {100 * self.high:.{self.decimals}f}"


@dataclass(frozen=True)
class Row:
    """A named row, one cell per column."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class RowGroup:
    """Rows that belong together; without a name they stand without a heading."""

    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """A table of scores.

    Attributes
    ----------
    rows_are : str
        What the rows' names are: heading of the first column, such as ``method``.
    notes : tuple of str
        Sentences under the table.

    Raises
    ------
    ValueError
        If a row has not one cell per column.
    """

    title: str
    rows_are: str
    columns: tuple[Column, ...]
    groups: tuple[RowGroup, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows():
            if len(row.cells) != len(self.columns):
                raise ValueError(
                    f"row {row.name!r}: expected one cell for each of {len(self.columns)} columns, "
                    f"got {len(row.cells)}"
                )

    def rows(self) -> list[Row]:
        """Return the rows of all groups."""
        return [row for group in self.groups for row in group.rows]

    def directions(self) -> list[tuple[str, int]]:
        """Return the directions in order, each with its number of neighbouring columns."""
        return [
            (direction, len(list(columns)))
            for direction, columns in itertools.groupby(column.direction for column in self.columns)
        ]

    def to_text(self) -> str:
        """Return it for a terminal."""
        return table_text(self)

    def to_latex(self) -> str:
        """Return it as a ``table`` for LaTeX; the document needs the package booktabs."""
        return table_latex(self)

    def to_csv(self) -> str:
        """Return one line per cell with a value: shares 0..1, and every difference with its p-values."""
        return str(self.to_frame().to_csv(index=False, lineterminator="\n"))

    def to_frame(self) -> pd.DataFrame:
        """Return what `to_csv` writes."""
        return pd.DataFrame(
            [
                {
                    "group": group.name,
                    self.rows_are: row.name,
                    "direction": column.direction,
                    "encoder": column.encoder,
                    "value": cell.value,
                    "sd": cell.sd,
                    "low": cell.low,
                    "high": cell.high,
                    "mark": cell.mark,
                    **{name: value for versus in cell.versus for name, value in versus.as_row().items()},
                }
                for group in self.groups
                for row in group.rows
                for column, cell in zip(self.columns, row.cells, strict=True)
                if cell.value is not None
            ]
        )

    def to_html_rows(self) -> list[dict[str, Any]]:
        """Return the body for a template: text that is still to be escaped.

        Returns
        -------
        list of dict
            ``kind`` is ``group`` (with ``name`` and ``span``, the columns it goes over) or ``row`` (with
            ``name`` and ``cells``, each ``value``, ``interval`` and ``mark``). The head is in ``columns``
            and `directions`.
        """
        rows: list[dict[str, Any]] = []
        for group in self.groups:
            if group.name:
                rows.append({"kind": "group", "name": group.name, "span": len(self.columns) + 1})
            for row in group.rows:
                cells = [
                    {"value": cell.value_text(), "interval": cell.interval_text(), "mark": cell.mark}
                    for cell in row.cells
                ]
                rows.append({"kind": "row", "name": row.name, "cells": cells})
        return rows

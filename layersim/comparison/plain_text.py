"""A table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layersim.comparison.table import Cell, Table

GAP = "  "


def table_text(table: Table) -> str:
    """Return the table as lines: the interval under each value, marks to the right of it."""
    columns = [
        _TextColumn(column.encoder, [row.cells[place] for row in table.rows()])
        for place, column in enumerate(table.columns)
    ]
    directions, place = [], 0
    for direction, count in table.directions():
        span = columns[place : place + count]
        missing = len(direction) - sum(column.width + len(GAP) for column in span) + len(GAP)
        for number, column in enumerate(span):
            column.widen(column.width + max(0, missing + number) // count)  # as evenly as it goes
        directions.append(direction.ljust(sum(column.width + len(GAP) for column in span) - len(GAP)))
        place += count
    indent = GAP if any(group.name for group in table.groups) else ""
    first = max(len(name) for name in [table.rows_are, *(indent + row.name for row in table.rows())])
    lines = [
        table.title,
        "",
        _line(first, "", directions),
        _line(first, table.rows_are, [column.heading() for column in columns]),
    ]
    for group in table.groups:
        if group.name:
            lines.append(group.name)
        for row in group.rows:
            pairs = list(zip(columns, row.cells, strict=True))
            lines.append(_line(first, indent + row.name, [column.value(cell) for column, cell in pairs]))
            if any(cell.interval_text() for cell in row.cells):
                lines.append(_line(first, "", [column.interval(cell) for column, cell in pairs]))
    return "\n".join([*lines, "", *table.notes]).rstrip() + "\n"


class _TextColumn:
    """Widths of one column: numbers are flush right, marks follow them."""

    def __init__(self, encoder: str, cells: Sequence[Cell]) -> None:
        self.encoder = encoder
        self.numbers = max(len(text) for cell in cells for text in (cell.value_text(), cell.interval_text()))
        self.marks = max(len(cell.mark) for cell in cells)
        self.widen(len(encoder))

    @property
    def width(self) -> int:
        return self.numbers + (1 + self.marks if self.marks else 0)

    def widen(self, width: int) -> None:
        self.numbers += max(0, width - self.width)

    def heading(self) -> str:
        return self.encoder.rjust(self.numbers).ljust(self.width)

    def value(self, cell: Cell) -> str:
        number = cell.value_text().rjust(self.numbers)
        return (f"{number} {cell.mark}" if cell.mark else number).ljust(self.width)

    def interval(self, cell: Cell) -> str:
        return cell.interval_text().rjust(self.numbers).ljust(self.width)


def _line(first: int, name: str, texts: Sequence[str]) -> str:
    return GAP.join([name.ljust(first), *texts]).rstrip()

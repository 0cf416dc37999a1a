"""A table for LaTeX, with the rules of the package booktabs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layersim.comparison.table import Cell, Table

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
        "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$",
        "→": r"$\rightarrow$", "±": r"$\pm$", "–": "--", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
        "≤": r"$\leq$", "≥": r"$\geq$", "·": r"$\cdot$", "×": r"$\times$", "γ": r"$\gamma$", "β": r"$\beta$",
        "λ": r"$\lambda$", "τ": r"$\tau$", "Σ": r"$\Sigma$", "≠": r"$\neq$",
    }
)  # fmt: skip


def escaped(text: str) -> str:
    r"""Escape what LaTeX would read as commands, and write arrows and signs as it can set them.

    >>> print(escaped("my_corpus → emodb, 50 % & more"))
    my\_corpus $\rightarrow$ emodb, 50 \% \& more
    """
    return text.translate(_ESCAPES)


def table_latex(table: Table) -> str:
    """Return the table as a float: the interval small under each value, marks as superscripts."""
    rules, directions, place = [], [], 2
    for direction, count in table.directions():
        directions.append(rf"\multicolumn{{{count}}}{{c}}{{{escaped(direction)}}}")
        rules.append(rf"\cmidrule(lr){{{place}-{place + count - 1}}}")
        place += count
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(table.title)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        _line(["", *directions]),
        " ".join(rules),
        _line([escaped(table.rows_are), *(escaped(column.encoder) for column in table.columns)]),
    ]
    for group in table.groups:
        lines.append(r"\midrule")
        if group.name:
            width = len(table.columns) + 1
            lines.append(rf"\multicolumn{{{width}}}{{l}}{{\textit{{{escaped(group.name)}}}}} \\")
        for row in group.rows:
            lines.append(_line([escaped(row.name), *(_value(cell) for cell in row.cells)]))
            if any(cell.interval_text() for cell in row.cells):
                lines.append(_line(["", *(_interval(cell) for cell in row.cells)]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.notes:
        lines += ["", r"\medskip", r"\parbox{\linewidth}{\footnotesize"]
        lines += [rf"{escaped(note)}\par" for note in table.notes]
        lines.append("}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _value(cell: Cell) -> str:
    mark = escaped(cell.mark).replace("-", "$-$")  # a minus, not a hyphen
    return escaped(cell.value_text()) + (rf"\textsuperscript{{{mark}}}" if mark else "")


def _interval(cell: Cell) -> str:
    text = cell.interval_text()
    return rf"{{\scriptsize {text}}}" if text else ""


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"

"""Confusion matrices: rows are the truth, columns the guess, colours the share of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from layersim.figures.grid import panel_corners
from layersim.figures.heatmap import ink_on
from layersim.figures.style import (
    INK,
    SEQUENTIAL,
    TEXT_SIZE,
    axes_at,
    new_figure,
    put_title,
    require_labels,
    styled,
    text_width,
    title_height,
    wrapped,
)

_CELL = 0.62  # inches; holds "100 %" over a count of five digits
_SMALL = 0.52  # the same of several side by side: three of four classes are as wide as a page
_ACROSS = 7.4  # inches that the matrices in one row may take together
_GAP = 0.2

Counts = NDArray[np.int64]


def confusion_matrix(counts: ArrayLike, labels: Sequence[str], title: str = "") -> Figure:
    """Draw how often each true class was guessed as each class: share of the row in per cent, and the count.

    Parameters
    ----------
    counts : array, shape (classes, classes), int
        Row: truth; column: guess. A class that never occurs has a row of zeros, which is hatched.

    Raises
    ------
    ValueError
        If the array is not square, has a negative or fractional entry, or the labels do not fit.

    >>> figure = confusion_matrix([[3, 1], [0, 0]], ["anger", "sadness"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['75 %\\n3', '25 %\\n1']
    """
    return _draw({"": _checked("counts", counts, labels)}, labels, title, _CELL)


def confusion_matrices(counts: Mapping[str, ArrayLike], labels: Sequence[str], title: str = "") -> Figure:
    """Draw several confusion matrices of the same classes side by side, such as one per method.

    Parameters
    ----------
    counts : mapping
        Panel title to counts, shape (classes, classes), as in `confusion_matrix`.

    Raises
    ------
    ValueError
        If there is no panel, an array is not square, has a negative or fractional entry, or the labels do not
        fit.

    >>> figure = confusion_matrices({"cc": [[3, 1], [0, 4]], "la": [[4, 0], [0, 4]]}, ["anger", "sadness"])
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['cc', 'la']
    """
    if not counts:
        raise ValueError("counts: expected at least one panel, got none")
    tables = {name: _checked(f"counts: {name}", table, labels) for name, table in counts.items()}
    return _draw(tables, labels, title, _SMALL)


def _checked(name: str, counts: ArrayLike, labels: Sequence[str]) -> Counts:
    table = np.asarray(counts)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or table.size == 0:
        raise ValueError(f"{name}: expected shape (classes, classes); got {table.shape}")
    if (table < 0).any() or (table != np.round(table)).any():
        raise ValueError(f"{name}: expected whole numbers >= 0; got others (shares? give counts)")
    require_labels("labels", labels, len(table), "class")
    return table.astype(np.int64)


def _draw(tables: Mapping[str, Counts], labels: Sequence[str], title: str, cell: float) -> Figure:
    """Draw a panel for each table, a row of them as wide as a page; a panel without a name has no title."""
    with styled():
        side = cell * len(labels)
        widest = text_width(labels)
        rotated = widest > cell * 0.95
        left, right = 0.55 + widest, 0.2
        under = 0.28 + (0.75 * widest + 0.12 if rotated else 0.24)
        name_height = 0.25 if any(tables) else 0.0
        across = int(np.clip(_ACROSS / side, 1, len(tables)))
        gaps = (_GAP, under - 0.1 + name_height)
        corners = panel_corners(len(tables), across, (side, side), gaps, (left, under))
        width = across * (side + _GAP) - _GAP
        height = corners[0][1] + side + name_height
        heading = wrapped(title, left + width + right - 0.3, 10.5)
        figure = new_figure(left + width + right, height + title_height(heading))
        for number, (corner, (name, table)) in enumerate(zip(corners, tables.items(), strict=True)):
            axes = axes_at(figure, *corner, side, side)
            _cells(axes, table)
            axes.set_xticks(range(len(labels)), labels)
            if rotated:
                for tick in axes.get_xticklabels():
                    tick.set(rotation=40, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(len(labels)), labels)
            axes.tick_params(length=0, pad=4, labelleft=number % across == 0)
            axes.set_title(name, loc="left", fontsize=TEXT_SIZE + 0.5, fontweight="bold", pad=4)
        inches = figure.get_size_inches()
        figure.text((left + width / 2) / inches[0], 0.1 / inches[1], "guess", ha="center", va="bottom",
                    color=INK)  # fmt: skip
        middle = (corners[0][1] + side + corners[-1][1]) / 2
        figure.text(0.12 / inches[0], middle / inches[1], "truth", rotation=90, ha="left", va="center")
        put_title(figure, heading, 0.12)
    return figure


def _cells(axes: Axes, table: Counts) -> None:
    """Draw the squares of one matrix with their numbers."""
    axes.set_xlim(-0.5, len(table) - 0.5)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    shade = Normalize(0, 1)
    for row, column in np.ndindex(table.shape):
        corner, total = (column - 0.5, row - 0.5), int(table[row].sum())
        if total == 0:
            axes.add_patch(Rectangle(corner, 1, 1, facecolor="white", edgecolor="#D1D5DB", hatch="/////",
                                     linewidth=0.5))  # fmt: skip
            continue
        share = float(table[row, column]) / total
        colour = SEQUENTIAL(shade(share))
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, edgecolor="white", linewidth=1.2))
        words = f"{100 * share:.0f} %\n{int(table[row, column])}"
        axes.text(column, row, words, ha="center", va="center",
                  color=ink_on(colour), linespacing=1.35,
                  fontweight="bold" if row == column else "normal")  # fmt: skip

"""Confusion matrices: rows are the truth, columns the guess, colours the share of each row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from layersim.figures.heatmap import ink_on
from layersim.figures.style import (
    INK,
    SEQUENTIAL,
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
    table = np.asarray(counts)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or table.size == 0:
        raise ValueError(f"counts: expected shape (classes, classes); got {table.shape}")
    if (table < 0).any() or (table != np.round(table)).any():
        raise ValueError("counts: expected whole numbers >= 0; got others (shares? give counts)")
    require_labels("labels", labels, len(table), "class")
    with styled():
        side = _CELL * len(labels)
        widest = text_width(labels)
        rotated = widest > _CELL * 0.95
        left, right = 0.55 + widest, 0.2
        under = 0.28 + (0.75 * widest + 0.12 if rotated else 0.24)
        heading = wrapped(title, left + side + right - 0.3, 10.5)
        figure = new_figure(left + side + right, under + side + title_height(heading))
        axes = axes_at(figure, left, under, side, side)
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xticks(range(len(labels)), labels)
        if rotated:
            for tick in axes.get_xticklabels():
                tick.set(rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), labels)
        axes.tick_params(length=0, pad=4)
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
        across, up = figure.get_size_inches()
        figure.text((left + side / 2) / across, 0.1 / up, "guess", ha="center", va="bottom", color=INK)
        figure.text(0.12 / across, (under + side / 2) / up, "truth", rotation=90, ha="left", va="center")
        put_title(figure, heading, 0.12)
    return figure

"""Panels in rows and columns, and the one legend that they share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from layersim.figures.style import LEGEND_LINE, TEXT_SIZE, text_width

_HANDLE, _SPACING = 2.2, 1.4  # of the legend's mark, and between its columns; in letters' heights


def panel_corners(
    count: int,
    columns: int,
    size: tuple[float, float],
    gaps: tuple[float, float],
    origin: tuple[float, float],
) -> list[tuple[float, float]]:
    """Place panels row by row, the first row at the top; all lengths in inches.

    Parameters
    ----------
    size : (width, height)
        Of each panel.
    gaps : (across, up)
        Between neighbours.
    origin : (left, bottom)
        The lower left corner of the lowest row's first panel.

    Returns
    -------
    list of (left, bottom)
        The lower left corner of each panel.

    >>> panel_corners(3, 2, (2.0, 1.0), (0.5, 0.5), (1.0, 1.0))
    [(1.0, 2.5), (3.5, 2.5), (1.0, 1.0)]
    """
    rows = -(-count // columns)
    return [
        (
            origin[0] + (number % columns) * (size[0] + gaps[0]),
            origin[1] + (rows - 1 - number // columns) * (size[1] + gaps[1]),
        )
        for number in range(count)
    ]


def legend_size(labels: Sequence[str], width: float) -> tuple[int, float]:
    """Say how many columns of a legend fit a width, and how high it then is; inches."""
    column = text_width(labels) + (_HANDLE + 0.8 + _SPACING) * TEXT_SIZE / 72
    columns = int(np.clip((width + _SPACING * TEXT_SIZE / 72) / column, 1, len(labels)))
    return columns, LEGEND_LINE * -(-len(labels) // columns) + 0.12


def put_legend(
    figure: Figure, handles: Sequence[Artist], labels: Sequence[str], left: float, top: float, columns: int
) -> Legend:
    """Write the legend with its upper left corner at a place in inches; see `legend_size` for its columns."""
    across, up = figure.get_size_inches()
    return figure.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(left / across, top / up), ncols=columns,
        borderpad=0, borderaxespad=0, handlelength=_HANDLE, columnspacing=_SPACING, labelspacing=0.35,
    )  # fmt: skip

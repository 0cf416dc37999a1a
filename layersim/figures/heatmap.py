"""Heatmaps of layers: one column a layer, one row an emotion or a vowel, the value printed in its cell.

Conventions
-----------
- Values that straddle zero (centred cosine) get a two-sided colour scale whose neutral middle is zero;
  others (raw cosine) get a one-sided scale over the range that is there. The colour scales are read
  correctly without red-green vision and in grey print (one-sided) or with the printed numbers (two-sided).
- A cell without a value (too few utterances or segments, say) is hatched and explained, never coloured.
- The picked layers stand under the axis, one row of marks per set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from layersim.figures.marks import draw_strip, strip_height
from layersim.figures.style import (
    DIVERGING,
    INK,
    SEQUENTIAL,
    TEXT_SIZE,
    axes_at,
    known_marks,
    new_figure,
    put_title,
    require_labels,
    styled,
    text_width,
    title_height,
    wrapped,
)

REFUSED_LABEL = "no value: too few utterances or segments"
_GRID_WIDTH = 7.2  # inches for the columns of a wide heatmap: that fills a printed page
_HATCH = "/////"


def heatmap(
    values: ArrayLike,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    title: str = "",
    colour_label: str = "",
    *,
    marked_columns: Mapping[str, Sequence[str]] | None = None,
    refused: ArrayLike | None = None,
    refused_label: str = REFUSED_LABEL,
    diverging: bool | None = None,
    limits: tuple[float, float] | None = None,
    summary_rows: int = 0,
    column_title: str = "Layer",
) -> Figure:
    """Draw one value per row and column as colours with the numbers in them.

    Parameters
    ----------
    values : array, shape (rows, columns), float
        NaN where there is no value.
    row_labels, column_labels : sequence of str
        Emotions or vowels; layers. Each label once.
    marked_columns : mapping, optional
        Set name to column labels, such as ``{"Group": ["8", "9", "11"], "Best": ["11"]}``.
    refused : array, shape (rows, columns), bool, optional
        Cells to hatch besides those that are NaN.
    diverging : bool, optional
        Two-sided colour scale with its middle at 0; default: if the shown values have both signs.
    limits : (float, float), optional
        Ends of the colour scale, for several heatmaps that are to be compared; default: the data's.
    summary_rows : int
        How many of the last rows summarise the others (a mean); a line sets them apart.

    Raises
    ------
    ValueError
        If shapes and labels do not fit, there is nothing to draw, or a marked column does not exist.

    >>> figure = heatmap([[0.1, -0.2]], ["anger"], ["1", "2"], "Similarity", "cosine")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['.10', '−.20']
    """
    grid = np.asarray(values, dtype=np.float64)
    if grid.ndim != 2 or grid.size == 0:
        raise ValueError(f"values: expected shape (rows, columns) with at least one cell; got {grid.shape}")
    require_labels("row_labels", row_labels, grid.shape[0], "row")
    require_labels("column_labels", column_labels, grid.shape[1], "column")
    hidden = ~np.isfinite(grid)
    if refused is not None:
        mask = np.asarray(refused, dtype=bool)
        if mask.shape != grid.shape:
            raise ValueError(f"refused: expected the shape of values, {grid.shape}; got {mask.shape}")
        hidden = hidden | mask
    marked = known_marks(marked_columns, column_labels)
    shown = grid[~hidden]
    with styled():
        return _draw(
            np.where(hidden, np.nan, grid), row_labels, column_labels, title, colour_label, marked,
            _scale(shown, diverging, limits), refused_label, summary_rows, column_title,
        )  # fmt: skip


def _scale(
    shown: NDArray[np.float64], diverging: bool | None, limits: tuple[float, float] | None
) -> ScalarMappable:
    """Choose the colour map and its ends."""
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    two_sided = diverging if diverging is not None else low < 0 < high
    if limits is not None:
        low, high = limits
    elif two_sided:
        high = max(abs(low), abs(high))
        low = -high
    if high - low < 1e-9:  # one single value: any width will do, and zero width has no colours
        low, high = low - 0.5, high + 0.5
    return ScalarMappable(Normalize(low, high), DIVERGING if two_sided else SEQUENTIAL)


def _draw(
    grid: NDArray[np.float64],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    title: str,
    colour_label: str,
    marked: dict[str, list[str]],
    scale: ScalarMappable,
    refused_label: str,
    summary_rows: int,
    column_title: str,
) -> Figure:
    rows, columns = grid.shape
    cell_width = float(np.clip(_GRID_WIDTH / columns, 0.28, 0.56))
    cell_height = 0.36 if rows <= 12 else 0.28
    width, height = cell_width * columns, cell_height * rows
    rotated = text_width(column_labels) > cell_width * 0.95
    tick_height = text_width(column_labels) + 0.12 if rotated else 0.24
    refused_height = 0.3 if np.isnan(grid).any() else 0.0
    left = 0.2 + max(text_width(row_labels), text_width(list(marked), TEXT_SIZE + 1)) + 0.08
    bar_label = wrapped(colour_label, height, TEXT_SIZE)
    right = 0.85 + 0.15 * (bar_label.count("\n") + 1)
    legend_width = text_width([refused_label]) + 0.55 if refused_height else 0.0
    across = max(left + width + right, left + legend_width, 3.6)  # 3.6: room for a title of a few words
    title = wrapped(title, across - 0.3, 10.5)
    bottom = refused_height + 0.3 + strip_height(marked) + tick_height
    up = bottom + height + title_height(title)
    figure = new_figure(across, up)
    axes = axes_at(figure, left, bottom, width, height)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xticks(range(columns), column_labels, rotation=90 if rotated else 0)
    axes.set_yticks(range(rows), row_labels)
    axes.tick_params(length=0, pad=4)
    for spine in axes.spines.values():
        spine.set_visible(False)
    _fill(axes, grid, scale, cell_width)
    if summary_rows:
        axes.axhline(rows - summary_rows - 0.5, color=INK, linewidth=1.4)
    strip_bottom = bottom - tick_height - strip_height(marked)
    draw_strip(figure, column_labels, marked, left, strip_bottom, width, (-0.5, columns - 0.5))
    figure.text((left + width / 2) / across, (strip_bottom - 0.05) / up, column_title, ha="center", va="top",
                fontsize=TEXT_SIZE + 0.5)  # fmt: skip
    colour_bar(figure, scale, (left + width + 0.16, bottom, 0.13, height), bar_label)
    if refused_height:
        hatched = Patch(
            facecolor="white", edgecolor="#9CA3AF", hatch=_HATCH, linewidth=0.5, label=refused_label
        )
        figure.legend(handles=[hatched], loc="lower left", bbox_to_anchor=(left / across, 0.04 / up),
                      borderpad=0, borderaxespad=0, handleheight=1.0)  # fmt: skip
    put_title(figure, title, 0.2)
    return figure


def _fill(axes: Axes, grid: NDArray[np.float64], scale: ScalarMappable, cell_width: float) -> None:
    """Colour every cell, print its number where it fits, hatch the cells without one."""
    texts, size = _fitting_texts(grid, cell_width)
    colours = scale.to_rgba(grid)  # (rows, columns, 4)
    for row, column in np.ndindex(grid.shape):
        corner = (column - 0.5, row - 0.5)
        if np.isnan(grid[row, column]):
            axes.add_patch(
                Rectangle(corner, 1, 1, facecolor="white", edgecolor="#D1D5DB", hatch=_HATCH, linewidth=0.5)
            )
            continue
        colour = tuple(colours[row, column].tolist())
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, edgecolor="white", linewidth=1.0))
        if size:
            axes.text(column, row, texts[row][column], ha="center", va="center_baseline", fontsize=size,
                      color=ink_on(colour))  # fmt: skip


def _fitting_texts(grid: NDArray[np.float64], cell_width: float) -> tuple[list[list[str]], float]:
    """Format the numbers with three decimals where they lie close, else two; size 0 if none fit."""
    shown = grid[np.isfinite(grid)]
    close = shown.size > 1 and float(np.ptp(shown)) < 0.1
    for decimals in (3, 2) if close else (2,):
        texts = [[short_number(float(value), decimals) for value in row] for row in np.nan_to_num(grid)]
        for size in (8.0, 7.5, 7.0, 6.5, 6.0):
            if text_width([text for row in texts for text in row], size) <= cell_width * 0.88:
                return texts, size
    return [], 0.0


def short_number(value: float, decimals: int) -> str:
    """Print a number without the zero before its point and with a true minus sign.

    >>> short_number(0.975, 2), short_number(-0.05, 2), short_number(1.0, 2), short_number(-0.001, 2)
    ('.97', '−.05', '1.00', '.00')
    """
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    digits = text.removeprefix("-")
    return ("−" if text.startswith("-") else "") + (digits[1:] if digits.startswith("0.") else digits)


def ink_on(colour: Sequence[float]) -> str:
    """Choose dark or white letters for a background, by its relative luminance (WCAG 2.1).

    >>> ink_on((1.0, 1.0, 1.0, 1.0)) == INK, ink_on((0.0, 0.0, 0.3, 1.0))
    (True, 'white')
    """
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return INK if luminance > 0.24 else "white"


def colour_bar(
    figure: Figure, scale: ScalarMappable, place: tuple[float, float, float, float], label: str
) -> None:
    """Draw the colour scale upright at a place: left, bottom, width, height in inches."""
    bar = figure.colorbar(scale, cax=axes_at(figure, *place))
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_locator(
        MaxNLocator(nbins=int(np.clip(place[3] / 0.28, 1, 6)), steps=[1, 2, 2.5, 5, 10])
    )
    bar.ax.tick_params(length=2, pad=2)
    bar.ax.spines[:].set_visible(False)
    bar.set_label(label, fontsize=TEXT_SIZE, linespacing=1.25)

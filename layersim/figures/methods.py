"""Many methods in several directions: a panel per direction, a row per method, a dot with its interval.

Where `layersim.figures.bars` grows too wide (some 40 bars) this stays readable: every method's name stands
once, and its dots are compared down a panel. The panels share one axis, which need not start at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from layersim.figures.grid import legend_size, panel_corners, put_legend
from layersim.figures.style import (
    BLUE,
    CHANCE,
    INK,
    PALE,
    TEXT_SIZE,
    VERMILION,
    axes_at,
    new_figure,
    put_title,
    require_labels,
    styled,
    text_width,
    title_height,
    wrapped,
)
from layersim.figures.values import Values, axis_numbers, intervals, printed, value_axis

_ROW = 0.19  # inches
_GUTTER = 0.36  # inches right of a panel, for its numbers
_METHOD: dict[str, Any] = {"marker": "o", "color": BLUE, "markersize": 4.6, "markeredgewidth": 1.0}
_BASELINE: dict[str, Any] = {
    "marker": "s", "color": VERMILION, "markersize": 4.2, "markeredgewidth": 1.0, "markerfacecolor": "white",
}  # fmt: skip


def method_intervals(
    values: ArrayLike,
    low: ArrayLike | None,
    high: ArrayLike | None,
    direction_labels: Sequence[str],
    method_labels: Sequence[str],
    title: str = "",
    value_label: str = "UAR",
    *,
    baselines: Sequence[str] = (),
    chance: float | Sequence[float] | None = None,
    percent: bool = True,
) -> Figure:
    """Draw one dot per direction and method with its interval and its number, the best of a panel in bold.

    Parameters
    ----------
    values : array, shape (directions, methods), float
        For example UAR 0..1. NaN leaves a place empty.
    low, high : array, shape (directions, methods), optional
        The interval of each value; give both or None for both. NaN: this dot has no interval.
    method_labels : sequence of str
        From the top down.
    baselines : sequence of str
        The methods that are baselines: open squares on a grey row instead of filled dots.
    chance : float or one per direction, optional
        A dashed line at what guessing gives, in the unit of ``values``. Directions whose corpora share other
        numbers of emotions have other chances.
    percent : bool
        Show values 0..1 in per cent.

    Raises
    ------
    ValueError
        If shapes and labels do not fit, a baseline is no method, or a low end lies above its high end.

    >>> figure = method_intervals([[0.5, 0.625]], None, None, ["a → b"], ["cc", "la"], baselines=["cc"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['50.0', '62.5']
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"values: expected shape (directions, methods); got {table.shape}")
    directions, methods = table.shape
    require_labels("direction_labels", direction_labels, directions, "direction")
    require_labels("method_labels", method_labels, methods, "method")
    unknown = [name for name in baselines if name not in method_labels]
    if unknown:
        raise ValueError(f"baselines: {unknown} are no methods; known: {list(method_labels)}")
    lows, highs = intervals(low, high, table.shape)
    guessing = _chances(chance, directions)
    base = np.array([name in baselines for name in method_labels])
    with styled():
        panel = (float(np.clip(6.9 / directions - _GUTTER, 0.72, 3.4)), _ROW * methods)
        left = 0.2 + max(text_width(method_labels), 0.5) + 0.1
        width = directions * (panel[0] + _GUTTER + 0.12) - 0.12
        entries = _entries(base, not np.isnan(guessing).all())
        columns, legend_height = legend_size(list(entries), width) if entries else (1, 0.0)
        names = [wrapped(label, panel[0] + _GUTTER - 0.05, 10.0) for label in direction_labels]
        name_height = 0.15 * (1 + max(name.count("\n") for name in names)) + 0.1
        heading = wrapped(title, left + width - 0.2, 10.5)
        top = 0.5 + panel[1] + name_height + legend_height
        figure = new_figure(left + width + 0.15, top + title_height(heading))
        corners = panel_corners(directions, directions, panel, (_GUTTER + 0.12, 0), (left, 0.5))
        ticks = int(np.clip(panel[0] / 0.42, 1, 6))  # 0.42 inches: "100 %" and a gap
        ends, _ = value_axis(np.concatenate([part.ravel() for part in (table, lows, highs, guessing)]))
        for number, corner in enumerate(corners):
            axes = axes_at(figure, *corner, *panel)
            _frame(axes, names[number], method_labels if number == 0 else (), methods, ends, ticks, percent)
            for row in np.flatnonzero(base):
                axes.axhspan(row - 0.5, row + 0.5, color=PALE, alpha=0.6, linewidth=0, zorder=0)
            if np.isfinite(guessing[number]):
                axes.axvline(guessing[number], zorder=1, **CHANCE)
            _dots(axes, table[number], lows[number], highs[number], base, percent)
        across, up = figure.get_size_inches()
        figure.text((left + (width - _GUTTER) / 2) / across, 0.1 / up, value_label, ha="center", va="bottom",
                    fontsize=TEXT_SIZE + 0.5)  # fmt: skip
        if legend_height:
            put_legend(figure, list(entries.values()), list(entries), left, top - 0.02, columns)
        put_title(figure, heading, 0.2)
    return figure


def _chances(chance: float | Sequence[float] | None, directions: int) -> Values:
    if chance is None:
        return np.full(directions, np.nan)
    given = np.asarray(chance, dtype=np.float64)
    if given.shape not in ((), (directions,)):
        raise ValueError(f"chance: expected one number or {directions}, one per direction; got {given.shape}")
    return np.broadcast_to(given, (directions,))


def _entries(base: NDArray[np.bool_], chance: bool) -> dict[str, Line2D]:
    """Give the legend's entries: which mark is a baseline must stand in words."""
    entries = {}
    if base.any():
        entries = {"method": Line2D([], [], linewidth=1.1, **_METHOD),
                   "baseline": Line2D([], [], linewidth=1.1, **_BASELINE)}  # fmt: skip
    if chance:
        entries["chance"] = Line2D([], [], **CHANCE)
    return entries


def _frame(
    axes: Axes,
    name: str,
    labels: Sequence[str],
    rows: int,
    ends: tuple[float, float],
    ticks: int,
    percent: bool,
) -> None:
    axes.set_xlim(*ends)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks(range(rows) if labels else [], labels)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=ticks, steps=[1, 2, 4, 5, 10]))
    axes.xaxis.set_major_formatter(axis_numbers(percent))
    axes.grid(axis="x")
    axes.tick_params(length=0, pad=4)
    axes.spines["left"].set_visible(False)
    axes.set_title(name, loc="left", fontsize=TEXT_SIZE + 0.5, fontweight="bold", pad=5)


def _dots(
    axes: Axes, values: Values, lows: Values, highs: Values, base: NDArray[np.bool_], percent: bool
) -> None:
    """Draw a panel's dots, whiskers and numbers."""
    rows = np.arange(len(values))
    for chosen, look in ((~base, _METHOD), (base, _BASELINE)):
        if chosen.any():
            axes.hlines(rows[chosen], lows[chosen], highs[chosen], color=look["color"], linewidth=1.1)
            axes.plot(values[chosen], rows[chosen], linestyle="none", zorder=3, **look)
    best = np.nanmax(values) if np.isfinite(values).any() else np.nan
    for row, value in zip(rows, values, strict=True):
        if np.isfinite(value):
            axes.annotate(
                printed(value, percent), (1, row), (_GUTTER * 72, 0),
                xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
                va="center_baseline", fontsize=TEXT_SIZE - 0.5, annotation_clip=False, color=INK,
                fontweight="bold" if value == best else "normal",
            )  # fmt: skip

"""The anchor ablation: what each set of anchored layers scores in each direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from layersim.figures.grid import legend_size, put_legend
from layersim.figures.style import (
    BLUE,
    CHANCE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    TEXT_SIZE,
    VERMILION,
    axes_at,
    new_figure,
    put_title,
    require_labels,
    styled,
    title_height,
    wrapped,
)
from layersim.figures.values import axis_numbers, intervals, printed, value_axis

# As in the strips under the heatmaps; further sets, such as random ones, take the others in turn.
_LOOKS = {
    "Group": ("s", BLUE, 5.2), "All": ("o", INK, 5.2),
    "Best": ("*", ORANGE, 9.0), "Worst": ("v", VERMILION, 5.6),
}  # fmt: skip
_FURTHER = (("D", GREEN, 4.8), ("P", PURPLE, 6.0), ("X", SKY, 6.0), ("^", GREY, 5.6))


def anchor_ablation(
    values: ArrayLike,
    low: ArrayLike | None,
    high: ArrayLike | None,
    direction_labels: Sequence[str],
    set_labels: Sequence[str],
    title: str = "",
    value_label: str = "UAR",
    *,
    chance: float | None = None,
    percent: bool = True,
) -> Figure:
    """Draw one mark per direction and set of anchors, with its interval and its number.

    Parameters
    ----------
    values : array, shape (directions, sets), float
        For example UAR 0..1. NaN leaves a place empty.
    low, high : array, shape (directions, sets), optional
        The interval of each value; give both or None for both. NaN: this mark has no interval.
    set_labels : sequence of str
        ``"Group"``, ``"All"``, ``"Best"`` and ``"Worst"`` have the marks that they have under a heatmap;
        any further name, such as ``"Random 1"``, has one of its own (four, then they repeat).
    chance : float, optional
        A dashed line at what guessing gives, in the unit of ``values``.
    percent : bool
        Show values 0..1 in per cent.

    Raises
    ------
    ValueError
        If shapes and labels do not fit, or a low end lies above its high end.

    >>> figure = anchor_ablation([[0.5, 0.625]], None, None, ["a → b"], ["Group", "Random 1"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['50.0', '62.5']
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"values: expected shape (directions, sets); got {table.shape}")
    directions, sets = table.shape
    require_labels("direction_labels", direction_labels, directions, "direction")
    require_labels("set_labels", set_labels, sets, "set")
    lows, highs = intervals(low, high, table.shape)
    guessing = np.nan if chance is None else chance
    with styled():
        step = float(np.clip(6.4 / (directions * (sets + 0.9)), 0.19, 0.4))  # inches a mark has to itself
        width, height = max(3.2, directions * (sets + 0.9) * step), 2.3
        names = [*set_labels, "chance"][: sets + (chance is not None)]
        columns, legend_height = legend_size(names, width)
        lines = [wrapped(label, max(0.9, step * (sets + 0.6)), TEXT_SIZE) for label in direction_labels]
        under = 0.22 + 0.15 * (1 + max(line.count("\n") for line in lines))
        heading = wrapped(title, width + 0.5, 10.5)
        top = under + height + legend_height + 0.06
        figure = new_figure(0.68 + width + 0.15, top + title_height(heading))
        axes = axes_at(figure, 0.68, under, width, height)
        handles: list[Artist] = []
        size = float(np.clip(step * 24, 5.0, TEXT_SIZE - 0.5))  # a number must not touch its neighbour's
        for number, (shape, colour, weight) in enumerate(_looks(set_labels)):
            places = np.arange(directions) * (sets + 0.9) + number
            axes.vlines(places, lows[:, number], highs[:, number], color=colour, linewidth=1.2)
            handles += axes.plot(
                places, table[:, number], linestyle="none", marker=shape, color=colour, markersize=weight,
                markeredgecolor=INK, markeredgewidth=0.5, zorder=3,
            )  # fmt: skip
            for place, value, end in zip(places, table[:, number], highs[:, number], strict=True):
                if np.isfinite(value):
                    axes.annotate(printed(value, percent),
                                  (place, float(np.nanmax([value, end]))), (0, 5 if np.isnan(end) else 3),
                                  textcoords="offset points", ha="center", va="bottom",
                                  fontsize=size)  # fmt: skip
        if chance is not None:
            handles.append(axes.axhline(chance, **CHANCE, zorder=1))
        drawn = np.concatenate([table.ravel(), lows.ravel(), highs.ravel(), [guessing]])
        (bottom, ceiling), _ = value_axis(drawn)
        axes.set_ylim(bottom, ceiling + 0.06 * (ceiling - bottom))  # room for the highest number
        for number in range(1, directions):
            axes.axvline(number * (sets + 0.9) - 0.95, color=GREY, linewidth=0.4)
        _frame(axes, lines, sets, width / step, percent)
        axes.set_ylabel(value_label)
        put_legend(figure, handles, names, 0.68, top - 0.02, columns)
        put_title(figure, heading, 0.2)
    return figure


def _frame(axes: Axes, lines: Sequence[str], sets: int, across: float, percent: bool) -> None:
    """Name the directions; ``across`` is the axis's length in marks."""
    middles = np.arange(len(lines)) * (sets + 0.9) + (sets - 1) / 2
    axes.set_xlim(middles.mean() - across / 2, middles.mean() + across / 2)
    axes.set_xticks(middles, lines)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(axis_numbers(percent))
    axes.tick_params(axis="x", length=0, pad=5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y")


def _looks(labels: Sequence[str]) -> list[tuple[str, str, float]]:
    further = [label for label in labels if label not in _LOOKS]
    looks = _LOOKS | {label: _FURTHER[place % len(_FURTHER)] for place, label in enumerate(further)}
    return [looks[label] for label in labels]

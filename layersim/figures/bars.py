"""Bars with intervals: several methods side by side, in one or several groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from layersim.figures.style import (
    CHANCE,
    HATCHES,
    INK,
    LEGEND_LINE,
    PALETTE,
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
from layersim.figures.values import intervals


def bars_with_intervals(
    values: ArrayLike,
    low: ArrayLike | None,
    high: ArrayLike | None,
    group_labels: Sequence[str],
    series_labels: Sequence[str],
    title: str = "",
    value_label: str = "UAR",
    *,
    chance: float | None = None,
    percent: bool = True,
) -> Figure:
    """Draw one bar per group and series, each with its interval and its number.

    Parameters
    ----------
    values : array, shape (groups, series), float
        For example UAR 0..1 per transfer direction and method. NaN leaves a place empty.
    low, high : array, shape (groups, series), optional
        The interval of each value; give both or None for both. NaN: this bar has no interval.
    chance : float, optional
        A dashed line at what guessing gives, in the unit of ``values``.
    percent : bool
        Show values 0..1 in per cent.

    Raises
    ------
    ValueError
        If shapes and labels do not fit, or a low end lies above its high end.

    >>> figure = bars_with_intervals([[0.5, 0.625]], None, None, ["a → b"], ["CC", "LA"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['50.0', '62.5']
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"values: expected shape (groups, series); got {table.shape}")
    require_labels("group_labels", group_labels, table.shape[0], "group")
    require_labels("series_labels", series_labels, table.shape[1], "series")
    lows, highs = intervals(low, high, table.shape)
    with styled():
        groups, series = table.shape
        bar = float(np.clip(6.4 / (groups * (series + 0.7)), 0.2, 0.46))  # inches
        width = max(3.2, bar * groups * (series + 0.7) + 0.3)
        heading = wrapped(title, width + 0.6, 10.5)
        entries = series + (chance is not None)
        legend_columns = max(1, min(entries, int(width / (0.42 + text_width([*series_labels, "chance"])))))
        lines = [wrapped(label, max(0.9, bar * (series + 0.5)), TEXT_SIZE) for label in group_labels]
        under = 0.22 + 0.15 * (1 + max(label.count("\n") for label in lines))
        top = LEGEND_LINE * -(-entries // legend_columns) + 0.14 + title_height(heading)
        figure = new_figure(0.68 + width + 0.15, under + 2.4 + top)
        axes = axes_at(figure, 0.68, under, width, 2.4)
        step = series + 0.7
        handles: list[Artist] = []
        for number in range(series):
            places = np.arange(groups) * step + number
            heights = table[:, number]
            drawn = axes.bar(
                places, heights, width=0.86, color=PALETTE[number % len(PALETTE)],
                hatch=HATCHES[number // len(PALETTE) % len(HATCHES)], edgecolor="white", linewidth=0.6,
            )  # fmt: skip
            handles.append(drawn[0])
            axes.vlines(places, lows[:, number], highs[:, number], color=INK, linewidth=1.1)
            for place, height, top_end in zip(places, heights, highs[:, number], strict=True):
                if np.isfinite(height):
                    peak = float(np.nanmax([height, top_end, 0.0]))
                    number_text = f"{100 * height:.1f}" if percent else f"{height:.2f}"
                    axes.annotate(number_text, (place, peak), (0, 2.5),
                                  textcoords="offset points", ha="center", va="bottom",
                                  fontsize=float(np.clip(bar * 20, 5.5, TEXT_SIZE)))  # fmt: skip
        if chance is not None:
            handles.append(axes.axhline(chance, zorder=3, **CHANCE))
        axes.set_xticks(np.arange(groups) * step + (series - 1) / 2, lines)
        middle = ((groups - 1) * step + series - 1) / 2
        axes.set_xlim(middle - width / bar / 2, middle + width / bar / 2)
        axes.margins(y=0.12)
        axes.tick_params(axis="x", length=0, pad=5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y")
        if percent:
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
        axes.set_ylabel(value_label)
        names = [*series_labels, "chance"][: len(handles)]
        axes.legend(
            handles, names, loc="lower left", bbox_to_anchor=(0, 1.02), ncols=legend_columns,
            borderpad=0, borderaxespad=0.2, handlelength=1.2, columnspacing=1.4, labelspacing=0.35,
        )  # fmt: skip
        put_title(figure, heading, 0.2)
    return figure

"""What labels of the target language are worth: a score over the number of labelled target clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from layersim.figures.grid import legend_size, put_legend
from layersim.figures.style import (
    CATEGORIES,
    CHANCE,
    DASHES,
    MARKER_SCALE,
    MARKERS,
    axes_at,
    new_figure,
    put_title,
    styled,
    title_height,
    wrapped,
)
from layersim.figures.values import Measured, axis_numbers, band, series, value_axis

_BANDS = 4  # more bands than these over each other cannot be told apart


def target_data_curves(
    clips: Sequence[int],
    lines: Mapping[str, Measured],
    title: str = "",
    value_label: str = "UAR",
    *,
    chance: float | None = None,
    percent: bool = True,
) -> Figure:
    """Draw a line per method over the number of labelled target clips, each in the band of its interval.

    With more than four lines the intervals are upright bars, set a little beside each other.

    Parameters
    ----------
    clips : sequence of int
        How many labelled target clips were given, rising, such as 0, 30, 80, 150. Drawn to scale.
    lines : mapping
        Method to value, low and high end, each of shape (clips,); NaN leaves a gap. Both ends or neither.
    chance : float, optional
        A dashed line at what guessing gives, in the unit of the values.
    percent : bool
        Show values 0..1 in per cent.

    Raises
    ------
    ValueError
        If there is no line, ``clips`` does not rise from 0 or more, or lengths differ.

    >>> figure = target_data_curves([0, 30], {"wccn": ([0.5, 0.75], None, None)})
    >>> figure.axes[0].lines[0].get_ydata().tolist()
    [0.5, 0.75]
    """
    if not lines:
        raise ValueError("lines: expected at least one, got none")
    counts = np.asarray(clips, dtype=np.float64)
    if counts.ndim != 1 or counts.size == 0 or counts[0] < 0 or (np.diff(counts) <= 0).any():
        raise ValueError(f"clips: expected rising numbers >= 0; got {list(clips)}")
    drawn = {
        name: (series(name, value, len(counts)), band("low", low, "high", high, len(counts)))
        for name, (value, low, high) in lines.items()
    }
    guessing = np.array([np.nan if chance is None else chance])
    parts = [part for value, interval in drawn.values() for part in (value, *(interval or ()))]
    ends, _ = value_axis(np.concatenate([guessing, *parts]))
    with styled():
        width, height = 4.4, 2.6
        names = [*drawn, "chance"][: len(drawn) + (chance is not None)]
        columns, legend_height = legend_size(names, width)
        heading = wrapped(title, width + 0.5, 10.5)
        top = 0.5 + height + legend_height + 0.06
        figure = new_figure(0.68 + width + 0.2, top + title_height(heading))
        axes = axes_at(figure, 0.68, 0.5, width, height)
        handles: list[Artist] = []
        span = float(counts[-1] - counts[0]) or 1.0
        for number, (value, interval) in enumerate(drawn.values()):
            colour, shape = CATEGORIES[number % len(CATEGORIES)], MARKERS[number % len(MARKERS)]
            places = counts
            if interval is not None and len(drawn) <= _BANDS:
                axes.fill_between(
                    counts, *interval, facecolor=(colour, 0.14), edgecolor=(colour, 0.5), linewidth=0.6
                )
            elif interval is not None:
                places = counts + 0.011 * span * (number - (len(drawn) - 1) / 2)
                axes.vlines(places, *interval, color=colour, linewidth=1.1, alpha=0.7)
            handles += axes.plot(
                places, value, color=colour, linestyle=DASHES[number % len(DASHES)], marker=shape,
                markersize=5.0 * MARKER_SCALE.get(shape, 1.0), markeredgecolor="white", markeredgewidth=0.6,
                linewidth=1.8, zorder=3,
            )  # fmt: skip
        if chance is not None:
            handles.append(axes.axhline(chance, **CHANCE, zorder=1))
        axes.set_xlim(counts[0] - 0.05 * span, counts[-1] + 0.05 * span)
        axes.set_ylim(*ends)
        axes.set_xticks(counts, [f"{count:.0f}" for count in counts])
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_formatter(axis_numbers(percent))
        axes.set_xlabel("labelled target clips")
        axes.set_ylabel(value_label)
        axes.grid(axis="y")
        axes.tick_params(length=2, pad=3)
        put_legend(figure, handles, names, 0.68, top - 0.02, columns)
        put_title(figure, heading, 0.2)
    return figure

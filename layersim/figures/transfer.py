"""Does a layer's similarity say how well it transfers? Both over the layers, and one against the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from layersim.figures.marks import draw_strip, strip_height
from layersim.figures.style import (
    BLUE,
    CHANCE,
    GREY,
    INK,
    TEXT_SIZE,
    VERMILION,
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
from layersim.figures.values import Measured, Values, axis_numbers, band, printed, series, value_axis

_HEIGHT, _GAP = 1.45, 0.22  # inches, of each panel over the layers, and between the two

Checked = tuple[Values, "tuple[Values, Values] | None"]


def rank_correlation(first: Values, second: Values) -> tuple[float, int]:
    """Return Spearman's rho over the layers that have both numbers, and how many they are.

    NaN with fewer than three layers, or where one side is the same throughout. Neighbouring layers are
    alike, so a p-value that takes them for independent would claim too much: there is none.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0, np.nan]), np.array([10.0, 30.0, 20.0, 0.0]))
    (0.5, 3)
    """
    both = np.isfinite(first) & np.isfinite(second)
    x, y = first[both], second[both]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan"), len(x)
    return float(stats.spearmanr(x, y).statistic), len(x)


def similarity_and_transfer(
    layers: Sequence[str],
    similarity: Measured,
    uar: Measured,
    marked: Mapping[str, Sequence[str]] | None = None,
    *,
    title: str = "",
    similarity_label: str = "similarity",
    value_label: str = "UAR of the layer's probe",
    chance: float | None = None,
) -> Figure:
    """Draw similarity above transfer over the layers, and beside them a point per layer with both.

    Parameters
    ----------
    layers : sequence of str
        Layer names in order.
    similarity, uar : (value, low, high)
        Each of shape (layers,); NaN leaves a gap; both ends or neither. The UAR 0..1 is that of a classifier
        which knows this layer only, learnt from the source and tested on the target.
    marked : mapping, optional
        Set name to layer names, such as ``{"Group": ["8", "9", "11"]}``; under the layers.
    chance : float, optional
        A dashed line at the UAR that guessing gives.

    Raises
    ------
    ValueError
        If lengths differ, an interval has one end only, or a marked layer does not exist.

    >>> scores = ([0.1, 0.2, 0.3], None, None), ([0.2, 0.4, 0.3], None, None)
    >>> figure = similarity_and_transfer(["1", "2", "3"], *scores)
    >>> figure.texts[-1].get_text()
    "Spearman's ρ = 0.50 (3 layers)"
    """
    count = len(layers)
    require_labels("layers", layers, count, "layer")
    above, below = (
        (series(name, value, count), band("low", low, "high", high, count))
        for name, (value, low, high) in (("similarity", similarity), ("uar", uar))
    )
    sets = known_marks(marked, layers)
    rho, used = rank_correlation(above[0], below[0])
    number = printed(rho, percent=False) if np.isfinite(rho) else "undefined"
    words = f"Spearman's ρ = {number} ({used} layers)"
    with styled():
        width, side = float(np.clip(0.24 * count, 2.6, 4.6)), 2 * _HEIGHT + _GAP
        ends = [_ends(above), _ends(below, chance)]
        left = max(0.9, 0.28 + text_width(list(sets), TEXT_SIZE + 1))
        rotated = text_width(layers) > width / count * 0.9
        under = text_width(layers) + 0.14 if rotated else 0.26
        bottom = 0.3 + strip_height(sets) + under
        right = left + width + 0.85
        heading = wrapped(f"{title}: {words}" if title else words, right + side - 0.2, 10.5)
        figure = new_figure(right + side + 0.2, bottom + side + title_height(heading))
        places = np.arange(count, dtype=np.float64)
        for level, (drawn, colour, label) in enumerate(
            [(below, VERMILION, value_label), (above, BLUE, similarity_label)]
        ):
            axes = axes_at(figure, left, bottom + level * (_HEIGHT + _GAP), width, _HEIGHT)
            _curve(axes, places, drawn, colour)
            axes.set_xlim(-0.5, count - 0.5)
            axes.set_ylim(*ends[1 - level])
            axes.set_xticks(places, layers if level == 0 else [], rotation=90 if rotated else 0)
            axes.set_ylabel(wrapped(label, _HEIGHT, TEXT_SIZE), linespacing=1.2)
            axes.yaxis.set_label_coords(-0.5 / width, 0.5)  # the two names in line
            axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
            axes.yaxis.set_major_formatter(axis_numbers(percent=level == 0))
            axes.tick_params(length=0, pad=4)
            axes.grid()
            if level == 0:
                _guessing(axes, chance)
        axes = axes_at(figure, right, bottom, side, side)
        _scatter(axes, layers, above, below)
        axes.set_xlim(*ends[0])
        axes.set_ylim(*_ends(below))  # without chance: the layers are many and need the room
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
        axes.set_xlabel(similarity_label)
        axes.set_ylabel(value_label)
        axes.xaxis.set_major_formatter(axis_numbers(percent=False))
        axes.yaxis.set_major_formatter(axis_numbers(percent=True))
        strip = bottom - under - strip_height(sets)
        draw_strip(figure, layers, sets, left, strip, width, (-0.5, count - 0.5))
        across, up = figure.get_size_inches()
        figure.text((left + width / 2) / across, (strip - 0.05) / up, "Layer", ha="center", va="top",
                    fontsize=TEXT_SIZE + 0.5)  # fmt: skip
        put_title(figure, heading, 0.2)
    return figure


def _ends(drawn: Checked, further: float | None = None) -> tuple[float, float]:
    value, interval = drawn
    return value_axis(np.concatenate([value, *(interval or ()), [np.nan if further is None else further]]))[0]


def _curve(axes: Axes, places: Values, drawn: Checked, colour: str) -> None:
    value, interval = drawn
    if interval is not None:
        axes.fill_between(places, *interval, color=colour, alpha=0.18, linewidth=0)
        axes.vlines(places, *interval, color=colour, linewidth=0.9)
    axes.plot(places, value, color=colour, marker="o", markersize=4.5, markeredgecolor="white",
              markeredgewidth=0.6, linewidth=1.8)  # fmt: skip


def _guessing(axes: Axes, chance: float | None) -> None:
    if chance is not None:
        axes.axhline(chance, zorder=1, **CHANCE)
        axes.annotate("chance", (1, chance), (-2, 2), xycoords=("axes fraction", "data"),
                      textcoords="offset points", ha="right", va="bottom", fontsize=TEXT_SIZE - 1,
                      color=GREY)  # fmt: skip


def _scatter(axes: Axes, layers: Sequence[str], above: Checked, below: Checked) -> None:
    """Draw each layer as its name in a disc, its intervals as a pale cross behind."""
    (x, across), (y, up) = above, below
    if across is not None:
        axes.hlines(y, *across, color=GREY, linewidth=0.7, alpha=0.4, zorder=1.5)
    if up is not None:
        axes.vlines(x, *up, color=GREY, linewidth=0.7, alpha=0.4, zorder=1.5)
    axes.scatter(x, y, s=100, facecolor="white", edgecolor=BLUE, linewidth=1.0, zorder=2)
    for place, layer in enumerate(layers):
        if np.isfinite(x[place]) and np.isfinite(y[place]):
            axes.text(x[place], y[place], layer, ha="center", va="center_baseline", fontsize=TEXT_SIZE - 2,
                      color=INK, zorder=3)  # fmt: skip
    axes.tick_params(length=0, pad=4)
    axes.grid()

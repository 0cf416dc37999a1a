"""Lines over the layers: one quantity for several emotions, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from layersim.figures.marks import draw_strip, strip_height
from layersim.figures.style import (
    DASHES,
    LEGEND_LINE,
    MARKERS,
    PALETTE,
    TEXT_SIZE,
    axes_at,
    known_marks,
    new_figure,
    put_title,
    require_labels,
    short,
    styled,
    text_width,
    title_height,
    wrapped,
)
from layersim.figures.values import Measured, band, series, value_axis


def layer_lines(
    layers: Sequence[str],
    lines: Mapping[str, Measured],
    marked: Mapping[str, Sequence[str]] | None = None,
    *,
    title: str = "",
    value_label: str = "",
) -> Figure:
    """Draw a line per name, its intervals as upright bars set a little beside each other.

    Parameters
    ----------
    layers : sequence of str
        Layer names in order.
    lines : mapping
        Name to value, low and high end, each of shape (layers,); NaN leaves a gap. Both ends or neither.
    marked : mapping, optional
        Set name to layer names, such as ``{"Group": ["8", "9", "11"]}``.

    Raises
    ------
    ValueError
        If there is no line, lengths differ, or a marked layer does not exist.

    >>> figure = layer_lines(["1", "2"], {"anger": ([0.1, 0.2], None, None)})
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['anger']
    """
    if not lines:
        raise ValueError("lines: expected at least one, got none")
    count = len(layers)
    require_labels("layers", layers, count, "layer")
    drawn = {
        name: (series(name, value, count), band("low", low, "high", high, count))
        for name, (value, low, high) in lines.items()
    }
    sets = known_marks(marked, layers)
    ends, ticks = value_axis(
        np.concatenate([part for value, ends in drawn.values() for part in (value, *(ends or ()))])
    )
    with styled():
        width, height = float(np.clip(0.42 * count, 3.2, 7.2)), 2.3
        left = max(
            0.5 + text_width([short(tick) for tick in ticks]), 0.28 + text_width(list(sets), TEXT_SIZE + 1)
        )
        columns = 2 if len(drawn) > 3 else 1
        legend_height = LEGEND_LINE * -(-len(drawn) // columns) + 0.12
        rotated = text_width(layers) > width / count * 0.9
        under = text_width(layers) + 0.14 if rotated else 0.26
        heading = wrapped(title, left + width, 10.5)
        bottom = 0.3 + strip_height(sets) + under
        figure = new_figure(left + width + 0.2, bottom + height + legend_height + title_height(heading))
        axes = axes_at(figure, left, bottom, width, height)
        for number, (name, (value, interval)) in enumerate(drawn.items()):
            places = np.arange(count) + 0.1 * (number - (len(drawn) - 1) / 2)
            colour = PALETTE[number % len(PALETTE)]
            if interval is not None:
                axes.vlines(places, *interval, color=colour, linewidth=1.1, alpha=0.6)
            axes.plot(places, value, label=name, color=colour, linestyle=DASHES[number % len(DASHES)],
                      marker=MARKERS[number % len(MARKERS)], markersize=4.0, markeredgecolor="white",
                      markeredgewidth=0.5)  # fmt: skip
        limits = (-0.5, count - 0.5)
        axes.set_xlim(*limits)
        axes.set_ylim(*ends)
        axes.set_yticks(ticks, [short(tick) for tick in ticks])
        axes.set_xticks(range(count), layers, rotation=90 if rotated else 0)
        axes.set_ylabel(value_label)
        axes.grid(axis="y")
        axes.tick_params(length=0, pad=4)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderpad=0.1,
                    borderaxespad=0.3, labelspacing=0.35, handlelength=2.6)  # fmt: skip
        below = bottom - under - strip_height(sets)
        draw_strip(figure, layers, sets, left, below, width, limits)
        across, up = figure.get_size_inches()
        figure.text((left + width / 2) / across, (below - 0.05) / up, "Layer", ha="center", va="top",
                    fontsize=TEXT_SIZE + 0.5)  # fmt: skip
        put_title(figure, heading, 0.2)
    return figure

"""Which layers an attention over the layers listens to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from layersim.figures.grid import legend_size, panel_corners, put_legend
from layersim.figures.style import (
    BLUE,
    INK,
    TEXT_SIZE,
    VERMILION,
    axes_at,
    new_figure,
    put_title,
    require_labels,
    short,
    styled,
    text_width,
    title_height,
    wrapped,
)
from layersim.figures.values import Values, axis_numbers

_UNIFORM: dict[str, Any] = {"color": VERMILION, "linewidth": 1.1, "linestyle": (0, (4, 2))}


def attention_weights(
    layers: Sequence[str],
    weights: Mapping[str, ArrayLike],
    title: str = "",
    *,
    value_label: str = "attention weight",
) -> Figure:
    """Draw a panel per direction: each layer's weight, the mean over seeds with one standard deviation.

    Parameters
    ----------
    layers : sequence of str
        Layer names in order; K of them.
    weights : mapping
        Direction to weights, shape (seeds, K), >= 0, each row with sum 1. The standard deviation is that of
        a sample (n - 1); one seed has none.

    Raises
    ------
    ValueError
        If there is no direction, a shape does not fit, or a row is no set of weights with sum 1.

    >>> figure = attention_weights(["1", "2"], {"a → b": [[0.25, 0.75], [0.75, 0.25]]})
    >>> [float(bar.get_height()) for bar in figure.axes[0].patches]
    [0.5, 0.5]
    """
    require_labels("layers", layers, len(layers), "layer")
    if not weights:
        raise ValueError("weights: expected at least one direction, got none")
    given = {name: _checked(name, values, len(layers)) for name, values in weights.items()}
    spreads = {name: rows.std(axis=0, ddof=1) if len(rows) > 1 else np.full(len(layers), np.nan)
               for name, rows in given.items()}  # fmt: skip
    tops = [rows.mean(axis=0) + np.nan_to_num(spreads[name]) for name, rows in given.items()]
    ceiling = float(np.max(tops))
    with styled():
        across = min(len(given), 3 if len(layers) <= 14 else 2)
        size = (float(np.clip(0.19 * len(layers), 2.0, 3.7)), 1.25)
        rotated = text_width(layers) > size[0] / len(layers) * 0.9
        under = text_width(layers) + 0.2 if rotated else 0.26
        names = ["mean over seeds, ± 1 sd" if any(len(rows) > 1 for rows in given.values()) else "one seed",
                 f"uniform, 1/{len(layers)}"]  # fmt: skip
        left, gap = 0.5 + text_width([short(round(ceiling, 2))]) + 0.1, 0.2
        width = across * (size[0] + gap) - gap
        columns, legend_height = legend_size(names, width)
        corners = panel_corners(len(given), across, size, (gap, under + 0.32), (left, under + 0.3))
        top = corners[0][1] + size[1] + 0.3 + legend_height
        heading = wrapped(title, left + width - 0.2, 10.5)
        figure = new_figure(left + width + 0.2, top + title_height(heading))
        for number, (corner, (name, rows)) in enumerate(zip(corners, given.items(), strict=True)):
            axes = axes_at(figure, *corner, *size)
            places, mean, spread = np.arange(len(layers)), rows.mean(axis=0), spreads[name]
            axes.bar(places, mean, width=0.78, color=BLUE)
            axes.vlines(places, np.maximum(mean - spread, 0), mean + spread, color=INK, linewidth=1.1)
            axes.axhline(1 / len(layers), **_UNIFORM)
            axes.set_xlim(-0.6, len(layers) - 0.4)
            axes.set_ylim(0, 1.06 * ceiling)
            axes.set_xticks(places, layers, rotation=90 if rotated else 0)
            axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
            axes.yaxis.set_major_formatter(axis_numbers(percent=False))
            axes.tick_params(length=0, pad=4, labelleft=number % across == 0)
            axes.grid(axis="y")
            axes.set_title(name, loc="left", fontsize=TEXT_SIZE + 0.5, fontweight="bold", pad=4)
        inches = figure.get_size_inches()
        figure.text((left + width / 2) / inches[0], 0.1 / inches[1], "Layer", ha="center", va="bottom",
                    fontsize=TEXT_SIZE + 0.5)  # fmt: skip
        middle = (corners[0][1] + size[1] + corners[-1][1]) / 2
        figure.text(0.14 / inches[0], middle / inches[1], value_label, rotation=90, ha="left", va="center",
                    fontsize=TEXT_SIZE + 0.5)  # fmt: skip
        put_legend(figure, [Patch(color=BLUE), Line2D([], [], **_UNIFORM)], names, left, top - 0.02, columns)
        put_title(figure, heading, 0.2)
    return figure


def _checked(name: str, values: ArrayLike, layers: int) -> Values:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != layers or len(rows) == 0:
        raise ValueError(f"weights: {name}: expected shape (seeds, {layers}); got {rows.shape}")
    # 1e-3: what float32's softmax and printing to four digits may leave
    if not (rows >= 0).all() or (np.abs(rows.sum(axis=1) - 1) > 1e-3).any():
        raise ValueError(f"weights: {name}: expected weights >= 0 with sum 1 (logits? take their softmax)")
    return rows

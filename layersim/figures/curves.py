"""Curves: how a quantity runs over the layers, and how a training ran over its epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from layersim.figures.grid import panel_corners
from layersim.figures.marks import draw_strip, strip_height
from layersim.figures.style import (
    BLUE,
    CHANCE,
    DASHES,
    GREY,
    INK,
    LEGEND_LINE,
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
from layersim.figures.values import band, series, value_axis

_PANELS_ACROSS = 3  # panels of training curves that stand in one row


def layer_curve(
    layers: Sequence[str],
    score: ArrayLike,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    null_low: ArrayLike | None = None,
    null_high: ArrayLike | None = None,
    marked: Mapping[str, Sequence[str]] | None = None,
    *,
    title: str = "",
    value_label: str = "similarity",
    score_label: str = "",
    null_label: str = "emotion labels permuted (null), 95 %",
    others: Mapping[str, ArrayLike] | None = None,
) -> Figure:
    """Draw one score per layer with its interval, over the band that chance alone gives.

    Parameters
    ----------
    layers : sequence of str
        Layer names in order, such as ``"1"`` to ``"12"``.
    score : array, shape (layers,), float
        NaN leaves a gap.
    low, high : array, shape (layers,), optional
        The interval of each score; give both or neither.
    null_low, null_high : array, shape (layers,), optional
        The band of the null; give both or neither.
    marked : mapping, optional
        Set name to layer names, such as ``{"Group": ["8", "9", "11"], "Best": ["11"]}``.
    score_label : str
        How the legend calls the score; default: the mean over emotions.
    others : mapping, optional
        Label to further scores in the same unit, such as the similarity of different emotions; dashed.

    Raises
    ------
    ValueError
        If lengths differ, a band has one side only, or a marked layer does not exist.
    """
    require_labels("layers", layers, np.size(score), "layer")
    values = series("score", score, len(layers))
    interval = band("low", low, "high", high, len(layers))
    null = band("null_low", null_low, "null_high", null_high, len(layers))
    sets = known_marks(marked, layers)
    dashed = {name: series(name, values, len(layers)) for name, values in (others or {}).items()}
    score_label = score_label or ("mean over emotions, 95 % interval" if interval else "mean over emotions")
    drawn = np.concatenate([values, *(interval or ()), *(null or ()), *dashed.values()])
    ends, ticks = value_axis(drawn)
    with styled():
        width, height = float(np.clip(0.42 * len(layers), 3.2, 7.2)), 2.3
        left = max(
            0.5 + text_width([short(tick) for tick in ticks]), 0.28 + text_width(list(sets), TEXT_SIZE + 1)
        )
        rotated = text_width(layers) > width / len(layers) * 0.9
        under = text_width(layers) + 0.14 if rotated else 0.26
        legend_height = LEGEND_LINE * (1 + (null is not None) + len(dashed)) + 0.08
        heading = wrapped(title, left + width, 10.5)
        bottom = 0.3 + strip_height(sets) + under
        figure = new_figure(left + width + 0.2, bottom + height + legend_height + title_height(heading))
        axes = axes_at(figure, left, bottom, width, height)
        places = np.arange(len(layers))
        if null is not None:
            axes.fill_between(places, *null, color=GREY, alpha=0.22, linewidth=0, label=null_label)
        for number, (name, line) in enumerate(dashed.items(), start=1):
            look = {"color": PALETTE[number % len(PALETTE)], "linestyle": DASHES[number % len(DASHES)]}
            axes.plot(places, line, label=name, marker=".", **look)
        if interval is not None:
            axes.fill_between(places, *interval, color=BLUE, alpha=0.2, linewidth=0)
            axes.vlines(places, *interval, color=BLUE, linewidth=0.9)
        axes.plot(places, values, color=BLUE, marker="o", markersize=4.5, markeredgecolor="white",
                  markeredgewidth=0.6, linewidth=1.8, label=score_label)  # fmt: skip
        limits = (-0.5, len(layers) - 0.5)
        axes.set_xlim(*limits)
        axes.set_ylim(*ends)
        axes.set_yticks(ticks, [short(tick) for tick in ticks])
        axes.set_xticks(places, layers, rotation=90 if rotated else 0)
        axes.set_ylabel(value_label)
        axes.grid(axis="y")
        axes.tick_params(length=0, pad=4)
        if ends[0] < 0 < ends[1]:
            axes.axhline(0, color=GREY, linewidth=0.9, zorder=1)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), reverse=True, borderpad=0.1, borderaxespad=0.3,
                    labelspacing=0.35, handlelength=2.2)  # fmt: skip
        below = bottom - under - strip_height(sets)
        draw_strip(figure, layers, sets, left, below, width, limits)
        across, up = figure.get_size_inches()
        figure.text((left + width / 2) / across, (below - 0.05) / up, "Layer", ha="center", va="top",
                    fontsize=TEXT_SIZE + 0.5)  # fmt: skip
        put_title(figure, heading, 0.2)
    return figure


def training_curves(
    table: pd.DataFrame,
    title: str = "",
    *,
    panels: Mapping[str, Sequence[str]] | None = None,
    chosen_epoch: int | None = None,
) -> Figure:
    """Draw a training's quantities over its epochs, those of one kind in one panel.

    Parameters
    ----------
    table : DataFrame
        One row per epoch: a column ``epoch``, and one numeric column per quantity. A column that is NaN
        throughout (a method without that quantity) is left out.
    panels : mapping, optional
        Panel title to columns; default `default_panels`. Columns named ``uar``, ``wa``, ``f1`` or
        ``accuracy`` (also as part of a name) are shares 0..1 and shown in per cent; a panel of the domain
        classifier's accuracy alone (``domain_accuracy``) has a line at chance, 50 %.
    chosen_epoch : int, optional
        The epoch whose weights were kept; a vertical line.

    Raises
    ------
    ValueError
        If there is no ``epoch`` column, no numeric quantity, or a panel names an unknown column.
    """
    if "epoch" not in table.columns or table.empty:
        raise ValueError(f"table: expected rows and a column 'epoch'; got columns {list(table.columns)}")
    known = [str(name) for name in table.columns if name != "epoch" and _drawable(table[name])]
    shown = {name: list(columns) for name, columns in (panels or default_panels(known)).items()}
    unknown = [column for columns in shown.values() for column in columns if column not in table.columns]
    if unknown:
        raise ValueError(f"panels: no columns {unknown} in the table; known: {list(table.columns)}")
    shown = {name: drawn for name, columns in shown.items() if (drawn := [c for c in columns if c in known])}
    if not shown:
        raise ValueError(f"table: no numeric column besides 'epoch'; got {list(table.columns)}")
    with styled():
        tallest = max(len(columns) + _has_chance(columns) for columns in shown.values())
        across = min(len(shown), _PANELS_ACROSS)
        heading = wrapped(title, 2.75 * across, 10.5)
        legend_height = LEGEND_LINE * (tallest + 1 + (chosen_epoch is not None)) + 0.1
        corners = panel_corners(len(shown), across, (2.1, 1.9), (0.65, legend_height + 0.5), (0.65, 0.5))
        figure = new_figure(
            0.15 + 2.75 * across, corners[0][1] + 0.02 + 1.9 + legend_height + title_height(heading)
        )
        for corner, (name, columns) in zip(corners, shown.items(), strict=True):
            axes = axes_at(figure, *corner, 2.1, 1.9)
            _panel(axes, table, name, columns, chosen_epoch)
        put_title(figure, heading, 0.2)
    return figure


def default_panels(columns: Sequence[str]) -> dict[str, list[str]]:
    """Sort quantities into panels by their names: shares correct, CORAL, losses, schedules, the domain's.

    >>> default_panels(["loss", "coral", "validation_uar"])
    {'Score': ['validation_uar'], 'Distance of the corpora (CORAL)': ['coral'], 'Loss': ['loss']}
    >>> default_panels(["lambda", "domain_accuracy"])
    {'Domain classifier': ['domain_accuracy'], 'Gradient reversal': ['lambda']}
    """
    panels: dict[str, list[str]] = {
        "Score": [], "Distance of the corpora (CORAL)": [], "Loss": [], "Domain classifier": [],
        "Gradient reversal": [], "Learning rate": [],
    }  # fmt: skip
    for column in columns:
        panels[_kind(column)].append(column)
    return {name: members for name, members in panels.items() if members}


def _kind(column: str) -> str:
    words = _words(column)
    if "coral" in column.lower():
        return "Distance of the corpora (CORAL)"
    if _is_share(column):
        return "Domain classifier" if "domain" in words else "Score"
    if "lambda" in words:
        return "Gradient reversal"
    return "Learning rate" if {"learning", "rate"} <= words else "Loss"


def _words(column: str) -> set[str]:
    return set(column.lower().replace("-", "_").split("_"))


def _is_share(column: str) -> bool:
    return bool({"uar", "wa", "f1", "accuracy"} & _words(column))


def _has_chance(columns: Sequence[str]) -> bool:
    """Tell whether all columns are how often a classifier tells the two corpora apart."""
    return all(_is_share(column) and "domain" in _words(column) for column in columns)


def _drawable(column: pd.Series) -> bool:
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return bool(numeric and column.notna().any())


def _panel(
    axes: Axes, table: pd.DataFrame, name: str, columns: Sequence[str], chosen_epoch: int | None
) -> None:
    epochs = table["epoch"].to_numpy(dtype=np.float64)
    for number, column in enumerate(columns):
        look = {"color": PALETTE[number % len(PALETTE)], "linestyle": DASHES[number % len(DASHES)]}
        marker = "o" if len(epochs) == 1 else None  # a line through one point cannot be seen
        axes.plot(epochs, table[column].to_numpy(dtype=np.float64), label=column.replace("_", " "),
                  marker=marker, **look)  # fmt: skip
    if _has_chance(columns):  # both corpora give as many rows, so guessing is right half the time
        axes.axhline(0.5, label="chance", **CHANCE)
    if chosen_epoch is not None:
        axes.axvline(chosen_epoch, color=INK, linewidth=0.9, linestyle=(0, (2, 2)), label="kept epoch")
    if all(_is_share(column) for column in columns):
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.set_xlabel("epoch")
    axes.grid(axis="y")
    axes.tick_params(length=2, pad=3)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderpad=0.1, borderaxespad=0.3, labelspacing=0.3,
                title=name, title_fontproperties={"weight": "bold", "size": TEXT_SIZE + 0.5},
                alignment="left", handlelength=2.2)  # fmt: skip

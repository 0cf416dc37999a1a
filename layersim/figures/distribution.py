"""How many utterances of each emotion the corpora have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from layersim.figures.grid import legend_size, panel_corners, put_legend
from layersim.figures.style import (
    HATCHES,
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

_ROW, _PANEL = 0.24, 2.0  # inches: an emotion's height, a corpus's width


def class_distribution(
    counts: ArrayLike,
    corpus_labels: Sequence[str],
    emotion_labels: Sequence[str],
    split_labels: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Draw a panel per corpus with a bar per emotion: how many utterances, and what share of the corpus.

    Each panel has an axis of its own: what counts is a corpus's balance, and corpora differ tenfold in size.

    Parameters
    ----------
    counts : array, shape (corpora, emotions) or (corpora, emotions, splits), int
        With splits, a bar is made up of them in order.
    split_labels : sequence of str
        One per split, such as ``["train", "validation", "test"]``; none for counts without splits.

    Raises
    ------
    ValueError
        If shapes and labels do not fit, or a count is negative or fractional.

    >>> figure = class_distribution([[3, 1], [0, 0]], ["a", "b"], ["anger", "sadness"])
    >>> [text.get_text() for axes in figure.axes for text in axes.texts]
    ['3 · 75 %', '1 · 25 %', '0', '0']
    """
    given = np.asarray(counts)
    if given.ndim != (3 if split_labels else 2) or given.size == 0:
        words = "(corpora, emotions, splits)" if split_labels else "(corpora, emotions)"
        raise ValueError(f"counts: expected shape {words}; got {given.shape}")
    if (given < 0).any() or (given != np.round(given)).any():
        raise ValueError("counts: expected whole numbers >= 0; got others (shares? give counts)")
    require_labels("corpus_labels", corpus_labels, given.shape[0], "corpus")
    require_labels("emotion_labels", emotion_labels, given.shape[1], "emotion")
    if split_labels:
        require_labels("split_labels", split_labels, given.shape[2], "split")
    table = given.astype(np.int64).reshape(*given.shape[:2], -1)  # (corpora, emotions, splits)
    with styled():
        across = min(len(corpus_labels), 3)
        size = (_PANEL, _ROW * len(emotion_labels))
        left, gap = 0.2 + text_width(emotion_labels) + 0.1, 0.25
        width = across * (_PANEL + gap) - gap
        looks: list[dict[str, Any]] = [
            {"facecolor": PALETTE[split % len(PALETTE)], "hatch": HATCHES[split % len(HATCHES)]}
            for split in range(table.shape[2])
        ]
        columns, legend_height = legend_size(split_labels, width) if split_labels else (1, 0.0)
        heading = wrapped(title, left + width - 0.2, 10.5)
        corners = panel_corners(len(corpus_labels), across, size, (gap, 0.62), (left, 0.45))
        top = corners[0][1] + size[1] + 0.3 + legend_height
        figure = new_figure(left + width + 0.2, top + title_height(heading))
        for number, corner in enumerate(corners):
            axes = axes_at(figure, *corner, *size)
            _bars(axes, table[number], looks)
            axes.set_yticks(range(len(emotion_labels)), emotion_labels)
            axes.tick_params(labelleft=number % across == 0)
            axes.set_title(f"{corpus_labels[number]} ({table[number].sum()})", loc="left",
                           fontsize=TEXT_SIZE + 0.5, fontweight="bold", pad=4)  # fmt: skip
        inches = figure.get_size_inches()
        figure.text((left + width / 2) / inches[0], 0.1 / inches[1], "utterances", ha="center", va="bottom",
                    fontsize=TEXT_SIZE + 0.5)  # fmt: skip
        if split_labels:
            patches = [Patch(edgecolor="white", linewidth=0.5, **look) for look in looks]
            put_legend(figure, patches, list(split_labels), left, top - 0.02, columns)
        put_title(figure, heading, 0.2)
    return figure


def _bars(axes: Axes, counts: NDArray[np.int64], looks: Sequence[dict[str, Any]]) -> None:
    """Draw one corpus, counts (emotions, splits), every bar with its number and share at its end."""
    totals = counts.sum(axis=1)  # (emotions,)
    rows, begun = np.arange(len(totals)), np.zeros(len(totals))
    for split, look in enumerate(looks):
        axes.barh(rows, counts[:, split], left=begun, height=0.74, edgecolor="white", linewidth=0.5, **look)
        begun = begun + counts[:, split]
    whole = max(int(totals.sum()), 1)
    words = [f"{total} · {100 * total / whole:.0f} %" if total else "0" for total in totals]
    for row, (total, word) in enumerate(zip(totals, words, strict=True)):
        axes.annotate(word, (total, row), (3, 0), textcoords="offset points", va="center_baseline",
                      fontsize=TEXT_SIZE - 0.5)  # fmt: skip
    room = text_width(words, TEXT_SIZE - 0.5) + 0.06
    axes.set_xlim(0, max(int(totals.max()), 1) * _PANEL / (_PANEL - room))
    axes.set_ylim(len(totals) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.grid(axis="x")
    axes.tick_params(length=0, pad=4)

"""How the emotions of several languages look: mel spectrograms, one utterance per emotion and corpus.

The frequency axis has one row per mel bin, so equal steps are equal steps in mel; its ticks say Hz. All
spectrograms share one colour scale and one scale of seconds, so level, speed and length can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from layersim.figures.grid import panel_corners
from layersim.figures.heatmap import colour_bar
from layersim.figures.style import (
    GREY,
    SEQUENTIAL,
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
from layersim.figures.values import Values

_TICKS = (250, 500, 1000, 2000, 4000, 8000)  # Hz
_GAPS, _HEIGHT = (0.14, 0.16), 0.78  # inches: between the panels, and of each
_LEAST = 0.13  # inches between the numbers on the frequency axis


def mel_spectrograms(
    cells: Mapping[tuple[str, str], ArrayLike],
    emotion_labels: Sequence[str],
    corpus_labels: Sequence[str],
    frequencies: ArrayLike,
    frame_seconds: float,
    title: str = "",
    *,
    level_label: str = "level (dB)",
    dynamic_range: float = 80.0,
) -> Figure:
    """Draw a row per emotion and a column per corpus.

    Parameters
    ----------
    cells : mapping
        (emotion, corpus) to log-mel levels, shape (bins, frames), dB; the lowest bin first. A cell that is
        not there is left empty and says so.
    frequencies : array, shape (bins,), Hz
        The bins' centres, rising, evenly spaced in mel (such as ``librosa.mel_frequencies`` gives): the
        ticks follow from them, whichever formula of mel it was.
    frame_seconds : float, seconds
        From one frame to the next.
    dynamic_range : float, dB
        The colour scale ends this far below the loudest point; what is quieter has its lowest colour.

    Raises
    ------
    ValueError
        If there is no cell, a cell's emotion or corpus has no label, or a shape does not fit.
    """
    require_labels("emotion_labels", emotion_labels, len(emotion_labels), "emotion")
    require_labels("corpus_labels", corpus_labels, len(corpus_labels), "corpus")
    centres = np.asarray(frequencies, dtype=np.float64)
    if centres.ndim != 1 or centres.size < 2 or (np.diff(centres) <= 0).any():
        raise ValueError(f"frequencies: expected rising centres of two bins or more, in Hz; got {centres}")
    if frame_seconds <= 0:
        raise ValueError(f"frame_seconds: expected a number > 0; got {frame_seconds}")
    levels = {key: _levels(key, cell, centres.size) for key, cell in cells.items()}
    unknown = [key for key in levels if key[0] not in emotion_labels or key[1] not in corpus_labels]
    if unknown or not levels:
        raise ValueError(
            f"cells: expected at least one, keyed by emotion ({list(emotion_labels)}) and corpus "
            f"({list(corpus_labels)}); got {unknown or 'none'}"
        )
    loudest = max(float(cell.max()) for cell in levels.values())
    quietest = max(min(float(cell.min()) for cell in levels.values()), loudest - dynamic_range)
    shade = Normalize(quietest, max(loudest, quietest + 1e-6))
    longest = max(cell.shape[1] for cell in levels.values()) * frame_seconds
    with styled():
        rows, columns = len(emotion_labels), len(corpus_labels)
        size = (float(np.clip(6.6 / columns, 1.3, 2.6)), _HEIGHT)
        left = 0.2 + 1.15 * text_width(emotion_labels, TEXT_SIZE + 0.5) + 0.68  # 1.15: bold is wider
        corners = panel_corners(rows * columns, columns, size, _GAPS, (left, 0.48))
        width, height = columns * (size[0] + _GAPS[0]) - _GAPS[0], rows * (size[1] + _GAPS[1]) - _GAPS[1]
        heading = wrapped(title, left + width + 0.5, 10.5)
        figure = new_figure(left + width + 0.95, 0.48 + height + 0.25 + title_height(heading))
        across, up = figure.get_size_inches()
        keys = [(emotion, corpus) for emotion in emotion_labels for corpus in corpus_labels]
        for number, (corner, key) in enumerate(zip(corners, keys, strict=True)):
            axes = axes_at(figure, *corner, *size)
            _cell(axes, levels.get(key), shade, frame_seconds, (longest, centres.size))
            _ticks(axes, centres, number % columns == 0, number >= (rows - 1) * columns)
            if number < columns:
                axes.set_title(key[1], fontsize=TEXT_SIZE + 0.5, fontweight="bold", pad=4)
            if number % columns == 0:
                figure.text(0.2 / across, (corner[1] + size[1] / 2) / up, key[0], ha="left",
                            va="center_baseline", fontsize=TEXT_SIZE + 0.5, fontweight="bold")  # fmt: skip
        figure.text((left - 0.5) / across, (0.48 + height / 2) / up, "frequency (Hz), mel scale", rotation=90,
                    ha="center", va="center", fontsize=TEXT_SIZE + 0.5)  # fmt: skip
        figure.text((left + width / 2) / across, 0.1 / up, "time (s)", ha="center", va="bottom",
                    fontsize=TEXT_SIZE + 0.5)  # fmt: skip
        bar = min(height, 2.4)
        place = (left + width + 0.16, 0.48 + (height - bar) / 2, 0.13, bar)
        colour_bar(figure, ScalarMappable(shade, SEQUENTIAL), place, level_label)
        put_title(figure, heading, 0.2)
    return figure


def _levels(key: tuple[str, str], cell: ArrayLike, bins: int) -> Values:
    levels = np.asarray(cell, dtype=np.float64)
    if levels.ndim != 2 or levels.shape[0] != bins or levels.shape[1] == 0:
        raise ValueError(
            f"cells: {key}: expected shape ({bins}, frames), one row per bin; got {levels.shape}"
        )
    if not np.isfinite(levels).all():
        raise ValueError(f"cells: {key}: expected finite levels in dB; got NaN or infinity (log of 0?)")
    return levels


def _cell(
    axes: Axes, levels: Values | None, shade: Normalize, frame_seconds: float, ends: tuple[float, int]
) -> None:
    if levels is None:
        axes.text(0.5, 0.5, "no utterance", transform=axes.transAxes, ha="center", va="center", color=GREY)
    else:
        axes.imshow(levels, cmap=SEQUENTIAL, norm=shade, origin="lower", aspect="auto",
                    interpolation="nearest",
                    extent=(0, levels.shape[1] * frame_seconds, -0.5, levels.shape[0] - 0.5))  # fmt: skip
    axes.set_xlim(0, ends[0])
    axes.set_ylim(-0.5, ends[1] - 0.5)


def _ticks(axes: Axes, centres: Values, leftmost: bool, lowest: bool) -> None:
    """Put round numbers of Hz where they fall between the bins' centres."""
    within = [hertz for hertz in _TICKS if centres[0] <= hertz <= centres[-1] * 1.001]
    step = centres.size * _LEAST / _HEIGHT  # bins
    shown: list[int] = []
    for hertz in reversed(within):
        if not shown or np.diff(np.interp([hertz, shown[-1]], centres, np.arange(centres.size)))[0] >= step:
            shown.append(hertz)
    places = np.interp(shown, centres, np.arange(centres.size))
    axes.set_yticks(places, [str(hertz) for hertz in shown] if leftmost else [])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.tick_params(length=2, pad=2, labelsize=TEXT_SIZE - 1.5, labelbottom=lowest)

"""The evidence as a figure: one panel per task and speech, scores over the layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from layersim.figures.style import BLUE, GREY, INK, VERMILION, axes_at, new_figure, put_title, short, styled
from layersim.figures.values import value_axis
from mini_probes.evidence import CEPSTRA, ENCODER, RANDOM
from mini_probes.tables import SPEECH

_WIDTH, _HEIGHT = 1.75, 1.35  # inches, of a panel
_LEFT, _BOTTOM, _ACROSS, _UP = 0.62, 0.5, 0.5, 0.8  # margins, and gaps between panels


def draw_layers(document: dict[str, Any]) -> Figure:
    """Draw a row of panels per task, a column per speech."""
    results = document["results"]
    tasks = list(dict.fromkeys(result["task"] for result in results))
    speeches = list(dict.fromkeys(result["speech"] for result in results))
    with styled():
        width = _LEFT + len(speeches) * (_WIDTH + _ACROSS) - _ACROSS + 0.15
        height = _BOTTOM + len(tasks) * (_HEIGHT + _UP) + 0.5
        figure = new_figure(max(width, 5.2), height)
        panels = []
        for result in results:
            row, column = tasks.index(result["task"]), speeches.index(result["speech"])
            left = _LEFT + column * (_WIDTH + _ACROSS)
            bottom = _BOTTOM + (len(tasks) - 1 - row) * (_HEIGHT + _UP)
            panels.append(axes_at(figure, left, bottom, _WIDTH, _HEIGHT))
            _draw(panels[-1], result)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper left", ncols=len(labels),
                      bbox_to_anchor=((_LEFT - 0.1) / figure.get_size_inches()[0], 1 - 0.3 / height),
                      handlelength=2.2, columnspacing=1.4)  # fmt: skip
        put_title(figure, f"What the layers of {document['encoder']['checkpoint']} know", _LEFT)
    return figure


def _draw(axes: Axes, result: dict[str, Any]) -> None:
    layers = result["layers"]
    places = np.arange(len(layers))
    own = _line(result[ENCODER], layers)
    drawn = [own.ravel(), np.array([100 * result["chance"], 100 * result[CEPSTRA]["uar"]])]
    axes.fill_between(places, own[1], own[2], color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(places, own[0], color=BLUE, marker="o", markersize=3, label="pretrained, 95 % over speakers")
    if result[RANDOM]:
        other = _line(result[RANDOM], layers)
        drawn.append(other.ravel())
        axes.fill_between(places, other[1], other[2], color=VERMILION, alpha=0.25, linewidth=0)
        axes.plot(places, other[0], color=VERMILION, linestyle=(0, (5, 1.5)), label="random weights, range")
    axes.axhline(100 * result[CEPSTRA]["uar"], color=INK, linewidth=1, linestyle=(0, (1.5, 1.5)),
                 label="MFCC statistics")  # fmt: skip
    axes.axhline(100 * result["chance"], color=GREY, linewidth=0.8, label="chance")
    ends, ticks = value_axis(np.concatenate(drawn))
    axes.set_ylim(*ends)
    axes.set_yticks(ticks, [short(tick) for tick in ticks])
    axes.set_xticks(places[::2], layers[::2])
    axes.set_xlabel("layer")
    axes.set_ylabel(f"{result['measure']}, %")
    axes.grid(axis="y")
    axes.tick_params(length=0, pad=3)
    task, _, how = result["task"].partition(", ")
    heading = f"{task}, {SPEECH.get(result['speech'], result['speech'])}"
    axes.set_title(heading + (f"\n{how}" if how else ""), fontsize=8, loc="left")


def _line(scores: dict[str, Any], layers: list[str]) -> NDArray[np.float64]:
    """Value, low and high end per layer in per cent, shape (3, layers); NaN where there is no end."""
    rows = [[scores[layer][name] for layer in layers] for name in ("uar", "low", "high")]
    values: NDArray[np.float64] = 100 * np.array(rows, dtype=np.float64)
    return values

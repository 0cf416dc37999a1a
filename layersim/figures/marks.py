"""The strip under a layer axis that shows which layers were picked: one row per set, one shape per set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from layersim.figures.style import BLUE, GREEN, INK, ORANGE, PALE, TEXT_SIZE, VERMILION, axes_at

ROW_HEIGHT = 0.19  # inches

# Shapes differ as well as colours, so that the sets stay apart in grey print.
_LOOKS = {"Group": ("s", BLUE), "Best": ("*", ORANGE), "Worst": ("v", VERMILION)}
_OTHER_LOOK = ("D", GREEN)
_SIZES = {"*": 85.0, "s": 36.0, "v": 36.0, "D": 26.0}  # square points, of equal visual weight


def strip_height(marked: Mapping[str, Sequence[str]]) -> float:
    """How many inches the strip needs; 0 without sets."""
    return ROW_HEIGHT * len(marked) + 0.06 if marked else 0.0


def draw_strip(
    figure: Figure,
    labels: Sequence[str],
    marked: Mapping[str, Sequence[str]],
    left: float,
    bottom: float,
    width: float,
    limits: tuple[float, float],
) -> Axes | None:
    """Draw the strip: a row per set with its name at the left and its shape under each of its layers.

    Parameters
    ----------
    labels : sequence of str
        The columns; column number k is centred at ``k`` of the axis.
    left, bottom, width : float, inches
        Where the strip stands; its height is `strip_height`.
    limits : (float, float)
        The x axis's limits, those of the axes above.
    """
    if not marked:
        return None
    axes = axes_at(figure, left, bottom, width, strip_height(marked))
    axes.set_xlim(*limits)
    axes.set_ylim(len(marked) - 0.5, -0.5 - 0.06 / ROW_HEIGHT)
    axes.set_axis_off()
    column = {label: position for position, label in enumerate(labels)}
    for row, (name, members) in enumerate(marked.items()):
        shape, colour = _LOOKS.get(name, _OTHER_LOOK)
        axes.plot(limits, (row, row), color=PALE, linewidth=0.7, zorder=1)
        axes.scatter(
            [column[label] for label in members], [row] * len(members),
            marker=shape, s=_SIZES[shape], color=colour, edgecolor=INK, linewidth=0.5,
            zorder=2, clip_on=False,
        )  # fmt: skip
        axes.annotate(
            name, (0, row), (-5, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="right", va="center_baseline", fontsize=TEXT_SIZE, fontweight="bold", color=INK,
            annotation_clip=False,
        )  # fmt: skip
    return axes

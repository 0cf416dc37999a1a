"""How every figure looks: one palette, one font, lengths in inches.

Conventions
-----------
- Figures are `matplotlib.figure.Figure` objects made without pyplot: no window, no global list of figures,
  no backend to choose. Each is made and saved inside `styled`, which starts from matplotlib's own defaults,
  so a user's ``matplotlibrc`` changes nothing and the same numbers give the same bytes.
- Colours are Okabe and Ito's, which people with each kind of colour blindness tell apart; wherever a colour
  carries a meaning, a shape, a line style or a printed word carries it too.
- Text is set in DejaVu Sans, which comes with matplotlib and has the letters of the IPA.

References
----------
Okabe & Ito, "Color Universal Design", 2008. Brewer's ColorBrewer scales (RdBu, YlGnBu), by seaborn.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib.style
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
)  # fmt: skip
INK, GREY, PALE = "#1F2430", "#6B7280", "#E5E7EB"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
CATEGORIES = (*PALETTE, INK)  # seven emotions, each with a colour of its own
MARKERS = "osDv^PX"  # what a colour tells apart, a shape tells apart too: for grey print
MARKER_SCALE = {"P": 1.3, "X": 1.3, "v": 1.1, "^": 1.1}  # of the width, for equal visual weight
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (5, 1.5, 1.5, 1.5)))

CHANCE: dict[str, Any] = {"color": GREY, "linewidth": 1.1, "linestyle": (0, (4, 2))}  # what guessing gives

TEXT_SIZE = 8.0  # points; a figure of 7 inches then prints at 8 points across a two-column page
TITLE_SIZE = 10.0
LEGEND_LINE = 0.155  # inches a legend's line takes at TEXT_SIZE

SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": TEXT_SIZE,
    "axes.titlesize": TITLE_SIZE,
    "axes.labelsize": TEXT_SIZE + 0.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": PALE,
    "grid.linewidth": 0.7,
    "hatch.color": "#9CA3AF",
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": TEXT_SIZE,
    "lines.linewidth": 1.6,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "savefig.dpi": 200,
    "svg.fonttype": "path",  # glyphs as outlines: a page needs no fonts to show the IPA
    "svg.hashsalt": "layersim",
}

# ColorBrewer's scales: one hue direction for values of one sign, two around zero. Red is more.
SEQUENTIAL: Colormap = seaborn.color_palette("YlGnBu", as_cmap=True)
DIVERGING: Colormap = seaborn.color_palette("RdBu_r", as_cmap=True)


def styled() -> AbstractContextManager[None]:
    """Draw inside this: matplotlib's defaults plus `SETTINGS`, put back as they were afterwards."""
    return matplotlib.style.context(["default", SETTINGS])


def new_figure(width: float, height: float) -> Figure:
    """Make an empty white figure of a size in inches."""
    return Figure(figsize=(width, height), facecolor="white")


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes whose place is given in inches from the figure's lower left corner."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def text_width(texts: Sequence[str], size: float = TEXT_SIZE) -> float:
    """Measure the widest of some one-line texts, in inches; 0 if all are empty."""
    font = FontProperties(family="DejaVu Sans")
    return max(
        (float(TextPath((0, 0), text, size=size, prop=font).get_extents().xmax) / 72
         for text in set(texts) if text.strip()),
        default=0.0,
    )  # fmt: skip


def wrapped(text: str, width: float, size: float) -> str:
    """Break a text into lines that fit a width in inches, at 0.6 em a letter (DejaVu Sans's mean)."""
    letters = max(12, int(width * 72 / (0.6 * size)))
    return "\n".join(textwrap.wrap(text, letters, break_on_hyphens=False))  # "Emo-DB" stays whole


def title_height(title: str) -> float:
    """How many inches a wrapped title takes with its margin; 0.12 without one."""
    return 0.22 + 0.18 * (title.count("\n") + 1) if title else 0.12


def put_title(figure: Figure, title: str, left: float) -> None:
    """Write a (wrapped) title at the top of a figure, flush with ``left`` inches."""
    across, up = figure.get_size_inches()
    figure.text(
        left / across, 1 - 0.12 / up, title, ha="left", va="top",
        fontsize=TITLE_SIZE, fontweight="bold", linespacing=1.25,
    )  # fmt: skip


def short(value: float) -> str:
    """Print an axis value with up to four digits and a true minus sign.

    >>> short(0.05), short(-0.25), short(0.00001)
    ('0.05', '−0.25', '1e−05')
    """
    return f"{0.0 if abs(value) < 1e-12 else value:.4g}".replace("-", "−")


def require_labels(name: str, labels: Sequence[str], count: int, what: str) -> None:
    """Refuse labels that do not fit the array.

    Raises
    ------
    ValueError
        If there are not ``count`` of them, or one stands twice.
    """
    if len(labels) != count:
        raise ValueError(f"{name}: expected {count} labels, one per {what}; got {len(labels)}")
    twice = sorted({label for label in labels if list(labels).count(label) > 1})
    if twice:
        raise ValueError(f"{name}: each {what} needs a label of its own; {twice} stand more than once")


def known_marks(marked: Mapping[str, Sequence[str]] | None, labels: Sequence[str]) -> dict[str, list[str]]:
    """Copy the marked sets, refusing a name that is no column.

    Raises
    ------
    ValueError
        If a marked layer is not among the labels.
    """
    sets = {name: [str(label) for label in members] for name, members in (marked or {}).items()}
    for name, members in sets.items():
        unknown = [label for label in members if label not in labels]
        if unknown:
            raise ValueError(f"marked layers: {name} names {unknown}, but the columns are {list(labels)}")
    return {name: members for name, members in sets.items() if members}

"""How the losses fell: one panel a round, from the rounds' logs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from layersim.figures.save import save
from layersim.figures.style import DASHES, PALETTE, axes_at, new_figure, put_title, styled, title_height

_TITLE = "Pretraining of layersim-mini: cross-entropy of the units"
_COLOURS = dict(zip(("sound", "prosody", "own"), PALETTE, strict=False))
_SMOOTH = 5  # rows of the log


def draw_losses(logs: Sequence[Path], target: Path) -> None:
    """Draw ``target.png`` and ``target.svg`` from one log per round, in order."""
    save(losses_figure({log.stem: pd.read_csv(log) for log in logs}), target)


def losses_figure(rounds: dict[str, pd.DataFrame]) -> Figure:
    """Draw each round's losses over its steps: hidden frames whole, heard frames dashed."""
    with styled():
        width, height, left, bottom, between = 3.1, 2.2, 0.5, 0.45, 0.25
        whole = left + len(rounds) * (width + between)
        figure = new_figure(whole, bottom + height + 0.25 + title_height(_TITLE))
        for number, (name, table) in enumerate(rounds.items()):
            axes = axes_at(figure, left + number * (width + between), bottom, width, height)
            for column in table.columns[table.columns.str.contains(" hidden| heard")]:
                kind, frames = str(column).rsplit(" ", 1)
                smooth = table[column].rolling(_SMOOTH, min_periods=1).mean()
                axes.plot(table["step"], smooth, label=f"{kind}, {frames}", color=_COLOURS[kind],
                          linestyle=DASHES[frames == "heard"])  # fmt: skip
            axes.set_title(name.replace("-", " "))
            axes.set_xlabel("Step")
            axes.set_ylim(0.0, 5.5)
            axes.grid(axis="y")
            axes.legend(fontsize=6.5, ncols=2, loc="lower left")
            if number == 0:
                axes.set_ylabel("nats a frame")
            else:
                axes.tick_params(labelleft=False)
        put_title(figure, _TITLE, 0.2)
    return figure

"""What a search for settings came to: the best ones, ready for ``layersim.toml``, and every trial."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import tomlkit

from layersim.adaptation.method import Method
from layersim.adaptation.methods import METHODS
from layersim.adaptation.settings import TrainConfig
from layersim.comparison.search import Tried
from layersim.comparison.search_spaces import Space
from layersim.comparison.settings import TuneConfig
from layersim.comparison.trying import LARGEST, OBJECTIVES, SCORES
from layersim.settings import FILE_NAME

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ONE_CLASS = 0.8  # from here on a note says that label-free scores reward such a classifier


@dataclass(frozen=True)
class Tuned:
    """A search for one method's settings on one pair of corpora.

    Attributes
    ----------
    method : Method
        With the settings as they stand.
    space : mapping
        What was tried.
    tried : tuple of Tried
        The finished trials, at least one of them with scores.
    interrupted : int
        How many trials were cut short by a kill; they do not count.
    notes : tuple of str
    """

    method: Method
    source: str
    target: str
    encoder: str
    classes: tuple[str, ...]
    config: TuneConfig
    space: Space
    tried: tuple[Tried, ...]
    interrupted: int
    notes: tuple[str, ...]
    folder: Path

    @cached_property
    def best(self) -> Tried:
        """The trial with the highest mean of the objective; of equals the first."""
        return max(self.scored, key=lambda one: one.mean(self.config.objective))

    @cached_property
    def scored(self) -> list[Tried]:
        """The trials that could be trained."""
        return [one for one in self.tried if one.scores is not None]

    @property
    def table(self) -> str:
        """The table of ``layersim.toml`` that the settings belong in."""
        section: str = type(self.method.settings.config).section
        return section

    def snippet(self) -> str:
        """Return the best settings as lines for ``layersim.toml``, with a word on where they come from."""
        lines = [f"{name} = {tomlkit.item(value).as_string()}" for name, value in self.best.params.items()]
        said = (
            f"# layersim tune {self.method.word}, {self.source} to {self.target}: the best of "
            f"{len(self.tried)} trials by {self.config.objective}"
        )
        return "\n".join([said, f"[{self.table}]", *lines, ""])

    def to_json(self) -> dict[str, Any]:
        """Return it as one JSON document; ``best.json`` holds the same."""
        return {
            "method": self.method.word,
            "source": self.source,
            "target": self.target,
            "encoder": self.encoder,
            "emotions": list(self.classes),
            "objective": self.config.objective,
            "meaning": OBJECTIVES[self.config.objective],
            "value": self.best.mean(self.config.objective),
            "sd": self.best.spread(self.config.objective),
            "trial": self.best.number,
            "settings": dict(self.best.params),
            "scores": {name: self.best.mean(name) for name in SCORES},
            "table": self.table,
            "snippet": self.snippet(),
            "space": {name: str(dimension) for name, dimension in self.space.items()},
            "trials": len(self.tried),
            "untrainable": len(self.tried) - len(self.scored),
            "interrupted": self.interrupted,
            "seeds": list(range(self.config.seed, self.config.seed + self.config.seeds)),
            "notes": list(self.notes),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row per finished trial; ``trials.csv`` holds the same.

        Columns: ``trial, value, sd``, the settings, ``source_validation, entropy, snd`` and
        `LARGEST`, each the mean over the seeds, and ``reason``: why a trial without values has none.
        """
        rows = []
        for one in self.tried:
            scored = one.scores is not None
            rows.append(
                {
                    "trial": one.number,
                    "value": one.mean(self.config.objective) if scored else None,
                    "sd": one.spread(self.config.objective) if scored else None,
                    **one.params,
                    **{name.replace("-", "_"): one.mean(name) if scored else None for name in SCORES},
                    "reason": one.reason,
                }
            )
        return pd.DataFrame(rows)

    def to_table(self) -> str:
        """Return the best settings, by what they were chosen, and what to put into ``layersim.toml``."""
        config = self.config
        counted = [f"{len(self.tried)} trials"]
        if untrainable := len(self.tried) - len(self.scored):
            counted.append(f"{untrainable} of them could not be trained")
        if self.interrupted:
            counted.append(f"{self.interrupted} more were interrupted")
        width = max(map(len, self.best.params))
        lines = [
            f"{self.method.word}, {self.source} -> {self.target}, {self.encoder}: {', '.join(self.classes)}",
            f"chosen by {OBJECTIVES[config.objective]}, mean ± sd over {config.seeds} "
            f"seed{'s' * (config.seeds != 1)}; {', '.join(counted)}",
            "",
            f"best: {self._shown(self.best)} (trial {self.best.number}){self._before()}",
        ]
        for name, value in self.best.params.items():
            lines.append(f"  {name.ljust(width)}  {value}  ({self.space[name]})")
        lines += ["", f"for {FILE_NAME}:", "", *self.snippet().splitlines(), ""]
        lines += [f"note: {note}" for note in self.notes]
        lines.append(f"search: {self.folder}")
        return "\n".join(lines)

    def _before(self) -> str:
        """Say what the settings as they stand came to, where they were tried."""
        config = self.method.settings.config
        standing = {name: getattr(config, name) for name in self.space}
        same = next((one for one in self.scored if one.params == standing), None)
        return "" if same is None else f"; settings as they stand: {self._shown(same)} (trial {same.number})"

    def _shown(self, one: Tried) -> str:
        mean, spread = one.mean(self.config.objective), one.spread(self.config.objective)
        factor, unit = (100, " %") if self.config.objective == "source-validation" else (1, "")
        digits = 1 if unit else 4
        shown = f"{factor * mean:.{digits}f}"
        return (shown if spread is None else f"{shown} ± {factor * spread:.{digits}f}") + unit


def search_notes(tuned: Tuned) -> list[str]:
    """Say what a reader of the best settings should know of how they were found."""
    objective, best, seeds = tuned.config.objective, tuned.best, tuned.config.seeds
    notes = []
    spread = best.spread(objective)
    if spread is not None and len(tuned.scored) > 1:
        near = sum(one.mean(objective) >= best.mean(objective) - spread for one in tuned.scored)
        notes.append(
            f"{near} of {len(tuned.scored)} trials are within one sd over seeds of the best"
            + ": the choice between them is not resolved" * (near > 1)
        )
    if objective == "source-validation":
        notes.append(
            "source validation does not see the target: a setting that helps only there is not favoured; and "
            "the best of many trials looks better than it is"
        )
    else:
        highest = max(one.mean("source-validation") for one in tuned.scored)
        notes.append(
            f"a label-free score on {seeds} seed{'s' * (seeds > 1)} a trial is noisy, and a higher one need "
            "not mean more that is right: compare with the settings as they stand before taking these. "
            f"Source validation UAR of the best trial: {100 * best.mean('source-validation'):.1f} %, the "
            f"highest of all trials: {100 * highest:.1f} %"
        )
        if (share := best.mean(LARGEST)) >= ONE_CLASS:
            notes.append(
                f"the best trial puts {100 * share:.0f} % of the target's utterances into one class, which "
                "both label-free scores reward: do not take its settings unseen"
            )
    config = type(tuned.method.settings.config)
    sharing = [name for name, one in METHODS.items() if one.config is config and name != tuned.method.name]
    if sharing:
        rest = ", and every method whose own table leaves it open" * (config is TrainConfig)
        notes.append(f"[{tuned.table}] is also what {', '.join(sharing)} read{rest}")
    return notes


def draw_history(tuned: Tuned) -> Figure:
    """Draw what the trials came to, one after the other, and the best so far."""
    from layersim.figures.curves import training_curves

    objective = tuned.config.objective
    panel, name = {
        "source-validation": ("Source validation", "uar"),
        "entropy": ("Negative entropy (nats)", "trial"),
        "snd": ("Density (nats)", "trial"),
    }[objective]
    values = pd.Series([one.mean(objective) for one in tuned.scored])
    history = pd.DataFrame(
        {"epoch": [one.number for one in tuned.scored], name: values, f"best_{name}": values.cummax()}
    )
    title = f"{tuned.method.word}, {tuned.source} → {tuned.target}"
    figure = training_curves(history, title, panels={panel: list(history.columns[1:])})
    figure.axes[0].set_xlabel("trial")
    return figure

"""Which layers are picked from their scores, and the ranking that rank writes and train reads.

Conventions
-----------
- Group = the 3 layers with the highest scores, Best = the highest, Worst = the 3 lowest. Ties go to the lower
  layer. Group and Worst are listed in layer order.
- Layer ``0`` (what enters the first block) has a score but is not picked unless asked for.
- An encoder with fewer than 6 layers to pick from gets sets of half of them, rounded down, at least 1, so
  that no layer is in both Group and Worst; with one single layer Worst is empty.
- The cut between Group and the rest is resolved if the interval of Group's last layer does not overlap that
  of the next layer. Without intervals, or without a next layer, nothing is resolved.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layersim.metrics import Interval
from layersim.similarity.estimate import Estimate, spread_row

if TYPE_CHECKING:
    from layersim.similarity.settings import RankConfig
    from layersim.similarity.tables import Axes

SET_SIZE = 3  # the layer-anchoring paper's (Upadhyay et al., Interspeech 2024)
TIE_DECIMALS = 12  # scores that differ by rounding alone are tied


@dataclass(frozen=True)
class LayerSets:
    """The picked layers."""

    group: tuple[str, ...]
    best: str
    worst: tuple[str, ...]
    cut: tuple[str, str] | None  # the layers on both sides of Group's cut; None if there is no other layer


@dataclass(frozen=True)
class LayerScore:
    """One layer of a ranking."""

    layer: str
    score: Estimate
    in_group: float | None  # share of the speaker draws in which the layer is in Group; None if not drawn
    labels: dict[str, Estimate]  # refused labels have no value
    spread: dict[str, Estimate]  # over vowels: per emotion; label-free: one, named ""; empty without vowels
    probe_uar: float | None
    probe_uar_source_statistics: float | None


@dataclass(frozen=True)
class Ranking:
    """How alike two corpora's emotions (or vowels) are in every layer, and the layers picked from that."""

    source: str
    target: str
    encoder: str
    config: RankConfig
    definition: str
    labels: tuple[str, ...]  # emotions, or vowels in the label-free form: those that have a value
    refused: tuple[str, ...]  # those whose cells are too small
    layers: tuple[LayerScore, ...]
    sets: LayerSets
    resolved: bool
    probe: dict[str, Any]
    agreement: dict[str, Any] | None  # with the utterance level; None where nothing is to be compared
    axes: Axes
    counts: pd.DataFrame  # one row a cell
    similarity: pd.DataFrame  # layer x label, long
    cells: pd.DataFrame | None  # layer x label x vowel, long
    spread: pd.DataFrame | None  # layer x emotion, long
    notes: tuple[str, ...]

    @property
    def level(self) -> str:
        """``utterance`` or ``phoneme``."""
        return self.config.level

    @property
    def name(self) -> str:
        """The level as people read it, with its form."""
        return f"{self.level} level, label-free" if self.config.label_free else f"{self.level} level"

    def to_json(self) -> dict[str, Any]:
        """Return the ranking as one JSON document, what ``ranking.json`` holds.

        A layer's values stand under ``emotions``, in the label-free form under ``vowels`` (``consonants``).
        """
        labels = f"{self.axes.label}s"
        return {
            "source": self.source,
            "target": self.target,
            "encoder": self.encoder,
            "level": self.level,
            "label_free": self.config.label_free,
            "metric": self.config.metric,
            "features": self.config.features,
            "definition": self.definition,
            "compared": labels,
            "emotions": [],
            labels: list(self.labels),
            "refused": list(self.refused),
            "layers": [
                {
                    "layer": layer.layer,
                    **layer.score.as_row("score"),
                    "in_group": layer.in_group,
                    "probe_uar": layer.probe_uar,
                    "probe_uar_source_statistics": layer.probe_uar_source_statistics,
                    labels: {name: value.as_row("similarity") for name, value in layer.labels.items()},
                    **({"spread": {name: spread_row(value) for name, value in layer.spread.items()}}
                       if layer.spread else {}),
                }
                for layer in self.layers
            ],
            "group": list(self.sets.group),
            "best": self.sets.best,
            "worst": list(self.sets.worst),
            "resolved": self.resolved,
            "probe": self.probe,
            "agreement": self.agreement,
            "counts": json.loads(self.counts.to_json(orient="records")),
            "notes": list(self.notes),
        }  # fmt: skip

    def to_table(self) -> str:
        """Return the ranking as plain text: layers by emotions, the sets marked."""
        from layersim.similarity.text import ranking_table

        return ranking_table(self)


def selectable(layers: Sequence[str], include_layer_zero: bool) -> list[str]:
    """Return the layers that may be picked."""
    return [layer for layer in layers if include_layer_zero or layer != "0"]


def set_size(layers: int) -> int:
    """How many layers Group and Worst have.

    >>> [set_size(layers) for layers in (12, 6, 5, 2, 1)]
    [3, 3, 2, 1, 1]
    """
    return min(SET_SIZE, max(1, layers // 2))


def pick_layers(layers: Sequence[str], scores: Sequence[float]) -> LayerSets:
    """Pick Group, Best and Worst.

    Parameters
    ----------
    layers : sequence of str
        From the lowest to the highest; only those that may be picked.
    scores : sequence of float
        One finite score a layer.

    Raises
    ------
    ValueError
        If there is no layer, the lengths differ or a score is not finite.

    >>> pick_layers(list("123456"), [0.1, 0.9, 0.9, 0.2, 0.3, 0.1])
    LayerSets(group=('2', '3', '5'), best='2', worst=('1', '4', '6'), cut=('5', '4'))
    """
    if not layers or len(layers) != len(scores) or not np.isfinite(scores).all():
        raise ValueError(
            f"expected one finite score for each of at least one layer, got {len(layers)} layers "
            f"and scores {list(scores)}"
        )
    rounded = np.round(np.asarray(scores, dtype=np.float64), TIE_DECIMALS)
    order = np.argsort(-rounded, kind="stable")  # stable: of tied layers the lower comes first
    size = set_size(len(layers))
    group, rest = order[:size], order[size:]
    lowest = rest[np.lexsort((rest, rounded[rest]))][:size]
    return LayerSets(
        group=tuple(layers[index] for index in sorted(group)),
        best=layers[order[0]],
        worst=tuple(layers[index] for index in sorted(lowest)),
        cut=(layers[group[-1]], layers[rest[0]]) if len(rest) else None,
    )


def group_shares(replicates: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """In which share of the speaker draws each layer is in Group.

    Parameters
    ----------
    replicates : ndarray, shape (layers, R)
        Paired scores: draw r has the same speakers in every layer. NaN where a draw has no score.

    Returns
    -------
    ndarray, shape (layers,), or None
        None if no draw has a score.
    """
    complete = replicates[:, np.isfinite(replicates).all(axis=0)]
    if not complete.shape[1]:
        return None
    order = np.argsort(-np.round(complete, TIE_DECIMALS), axis=0, kind="stable")
    shares = np.bincount(order[: set_size(len(replicates))].reshape(-1), minlength=len(replicates))
    return np.asarray(shares / complete.shape[1])


def cut_is_resolved(last: Interval | None, following: Interval | None) -> bool:
    """Tell whether the intervals on both sides of Group's cut are apart.

    >>> cut_is_resolved(Interval(0.3, 0.4), Interval(0.1, 0.2)), cut_is_resolved(Interval(0.3, 0.4), None)
    (True, False)
    """
    return last is not None and following is not None and not last.overlaps(following)

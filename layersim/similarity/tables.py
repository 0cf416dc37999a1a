"""The ranking's long tables: how many rows each cell has, and every value with its counts.

Columns named ``source`` and ``target`` count utterances, at phoneme level segments; ``source_effective`` and
``target_effective`` those that are left under the speaker cap. A column ``emotion``, ``vowel`` or
``consonant`` names what the row is about; which of them there are is the form's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from layersim.similarity.cosine import Cells, LayerSimilarity
from layersim.similarity.estimate import spread_row
from layersim.similarity.phones import class_kind
from layersim.similarity.selection import Selection
from layersim.similarity.settings import RankConfig


@dataclass(frozen=True)
class Axes:
    """What labels and strata are called."""

    label: str
    stratum: str | None  # None without strata

    @classmethod
    def of(cls, config: RankConfig) -> Axes:
        """Name those of a form."""
        if config.label_free:
            return cls(class_kind(config), None)
        return cls("emotion", None if config.level == "utterance" else class_kind(config))


def count_table(source: Selection, target: Selection, cells: Cells, axes: Axes, cap: int) -> pd.DataFrame:
    """One row per cell: counts of rows and speakers in both corpora, ``refused``."""
    sides = {"source": source, "target": target}
    capped = source.vowel_axis is not None
    counts = {name: side.counts for name, side in sides.items()}
    effective = {name: side.effective_counts(cap) for name, side in sides.items()}
    speakers = {name: side.spoken.sum(axis=2) for name, side in sides.items()}
    return pd.DataFrame(
        [
            {
                axes.label: label,
                **({axes.stratum: stratum} if axes.stratum else {}),
                **{name: int(counts[name][row, column]) for name in sides},
                **(
                    {f"{name}_effective": int(effective[name][row, column]) for name in sides}
                    if capped
                    else {}
                ),
                **{f"{name}_speakers": int(speakers[name][row, column]) for name in sides},
                "refused": not cells.used[row, column],
            }
            for column, label in enumerate(source.labels)
            for row, stratum in enumerate(source.strata)
        ]
    )


def similarity_table(
    layers: Sequence[LayerSimilarity],
    source: Selection,
    target: Selection,
    cells: Cells,
    axes: Axes,
    cap: int,
) -> pd.DataFrame:
    """One row per layer and label: the value, what it is held against, counts, vowels used, ``refused``."""
    sides = {"source": source, "target": target}
    capped = source.vowel_axis is not None
    totals = {name: side.counts.sum(axis=0) for name, side in sides.items()}
    effective = {name: side.effective_counts(cap).sum(axis=0) for name, side in sides.items()}
    speakers = {name: side.spoken.any(axis=0).sum(axis=1) for name, side in sides.items()}
    strata = cells.used.sum(axis=0)
    return pd.DataFrame(
        [
            {
                "layer": layer.layer,
                axes.label: label,
                **layer.labels[column].as_row("similarity"),
                **{name: int(totals[name][column]) for name in sides},
                **({f"{name}_effective": int(effective[name][column]) for name in sides} if capped else {}),
                **{f"{name}_speakers": int(speakers[name][column]) for name in sides},
                **({f"{axes.stratum}s": int(strata[column])} if axes.stratum else {}),
                "refused": not strata[column],
            }
            for layer in layers
            for column, label in enumerate(source.labels)
        ]
    )


def cell_table(
    layers: Sequence[LayerSimilarity], source: Selection, counts: pd.DataFrame, axes: Axes
) -> pd.DataFrame | None:
    """One row per layer, label and stratum: the value, what it is held against, counts, ``refused``.

    None without strata: `similarity_table` holds it all.
    """
    if axes.stratum is None:
        return None
    values = pd.DataFrame(
        [
            {"layer": layer.layer, axes.label: label, axes.stratum: stratum,
             **layer.cells[row][column].as_row("similarity")}
            for layer in layers
            for column, label in enumerate(source.labels)
            for row, stratum in enumerate(source.strata)
        ]
    )  # fmt: skip
    return values.merge(counts, on=[axes.label, axes.stratum], how="left", validate="many_to_one")


def spread_table(layers: Sequence[LayerSimilarity], source: Selection, axes: Axes) -> pd.DataFrame | None:
    """One row per layer (and emotion): how the vowels' values spread; None at utterance level."""
    if source.vowel_axis is None:
        return None
    names = source.labels if axes.stratum else ("",)
    rows = []
    for layer in layers:
        for name, spread in zip(names, layer.spread, strict=True):
            named = {axes.label: name} if axes.stratum else {}
            rows.append({"layer": layer.layer, **named, **spread_row(spread)})
    return pd.DataFrame(rows)

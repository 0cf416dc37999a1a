"""The ranking's long tables: how many rows each cell has, and every value with its counts.

Columns named ``source`` and ``target`` count utterances, at phoneme level vowel segments.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from layersim.similarity.cosine import Cells, LayerSimilarity
from layersim.similarity.selection import Selection

COUNT_COLUMNS = ["source", "target", "source_speakers", "target_speakers"]


def count_table(source: Selection, target: Selection, cells: Cells) -> pd.DataFrame:
    """One row per cell: ``emotion, vowel``, counts of rows and speakers in both corpora, ``refused``."""
    counts, spoken = (source.counts, target.counts), (source.spoken, target.spoken)
    return pd.DataFrame(
        [
            {
                "emotion": emotion,
                "vowel": vowel,
                "source": int(counts[0][row, column]),
                "target": int(counts[1][row, column]),
                "source_speakers": int(spoken[0][row, column].sum()),
                "target_speakers": int(spoken[1][row, column].sum()),
                "refused": not cells.used[row, column],
            }
            for column, emotion in enumerate(source.emotions)
            for row, vowel in enumerate(source.vowels)
        ]
    )


def similarity_table(
    layers: Sequence[LayerSimilarity], source: Selection, target: Selection, cells: Cells
) -> pd.DataFrame:
    """One row per layer and emotion: the value, what it is held against, counts, vowels used, ``refused``."""
    sides = (source, target)
    totals = [side.counts.sum(axis=0) for side in sides]
    speakers = [side.spoken.any(axis=0).sum(axis=1) for side in sides]
    vowels = cells.used.sum(axis=0)
    return pd.DataFrame(
        [
            {
                "layer": layer.layer,
                "emotion": emotion,
                **layer.emotions[column].as_row("similarity"),
                "source": int(totals[0][column]),
                "target": int(totals[1][column]),
                "source_speakers": int(speakers[0][column]),
                "target_speakers": int(speakers[1][column]),
                **({"vowels": int(vowels[column])} if source.vowels != ("",) else {}),
                "refused": not vowels[column],
            }
            for layer in layers
            for column, emotion in enumerate(source.emotions)
        ]
    )


def vowel_table(layers: Sequence[LayerSimilarity], source: Selection, counts: pd.DataFrame) -> pd.DataFrame:
    """One row per layer, emotion and vowel: the value, what it is held against, counts, ``refused``."""
    values = pd.DataFrame(
        [
            {"layer": layer.layer, "emotion": emotion, "vowel": vowel,
             **layer.vowels[row][column].as_row("similarity")}
            for layer in layers
            for column, emotion in enumerate(source.emotions)
            for row, vowel in enumerate(source.vowels)
        ]
    )  # fmt: skip
    return values.merge(counts, on=["emotion", "vowel"], how="left", validate="many_to_one")

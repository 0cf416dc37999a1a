"""What standardises a pair of corpora: by whose statistics each utterance's features are scaled.

Conventions are those of `layersim.adaptation.pair`: train splits alone are measured, labels unread, but for
speakers, each of whom is measured on all utterances of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures, by_key, read_layers
from layersim.adaptation.standardise import (
    MINIMUM_SPEAKER,
    apply_groups,
    measure_groups,
    measure_statistics,
)
from layersim.corpus.manifest import utterance_keys
from layersim.features.joined import qualified_speakers

if TYPE_CHECKING:
    import pandas as pd

    from layersim.adaptation.settings import Standardise
    from layersim.features.dataset import CorpusFeatures

Part = TypeVar("Part", LabelledFeatures, UnlabelledFeatures)


class Standardiser:
    """Standardises rows by the corpora or speakers of their utterances; what it measures reads no label.

    Attributes
    ----------
    target_statistics : Statistics
        Of the target's train split (with ``source``: of the source's): for recordings of unknown speakers.
    notes : tuple of str
        Speakers that are standardised with their corpus, since they have too few utterances.
    """

    def __init__(
        self,
        source: CorpusFeatures,
        target: CorpusFeatures,
        tested: CorpusFeatures,
        layers: Sequence[str],
        standardise: Standardise,
        whole_rows: bool = False,
    ) -> None:
        everyone = [corpus.without_labels() for corpus in (source, target, tested)]
        self._standardise = standardise
        self._speaker_of = {
            key: speaker
            for table in (corpus.table for corpus in everyone)
            for key, speaker in zip(utterance_keys(table), qualified_speakers(table), strict=True)
        }
        trained = [corpus.restrict("train") for corpus in everyone[: 1 if standardise == "source" else 2]]
        parts = _each_once(trained)
        self._statistics = {
            group: measure_statistics(self._read_group(group, parts, layers), whole_rows)
            for group in sorted({name for _, table in parts for name in self._coarsest(table)})
        }
        last = utterance_keys(trained[-1].table.iloc[:1])
        self.target_statistics = self._statistics[self._groups(last)[-1][0]]
        self.notes: tuple[str, ...] = ()
        if standardise == "speaker":
            parts = _each_once([corpus.restrict("train", "validation", "test") for corpus in everyone])
            keys = [key for _, table in parts for key in utterance_keys(table)]
            features = torch.cat([read_layers(corpus, layers, table) for corpus, table in parts])
            self._add_speakers(self._groups(keys)[0], features, whole_rows)

    def _read_group(
        self, group: str, parts: Sequence[tuple[CorpusFeatures, pd.DataFrame]], layers: Sequence[str]
    ) -> Tensor:
        """Read the utterances of one coarsest group: all groups at once would take gigabytes more."""
        read = []
        for corpus, table in parts:
            inside = np.array([name == group for name in self._coarsest(table)])
            if inside.any():
                read.append(read_layers(corpus, layers, table[inside]))
        return read[0] if len(read) == 1 else torch.cat(read)

    def _coarsest(self, table: pd.DataFrame) -> list[str]:
        return self._groups(utterance_keys(table))[-1]

    def _add_speakers(self, speakers: list[str], features: Tensor, whole_rows: bool) -> None:
        measured = measure_groups(features, speakers, MINIMUM_SPEAKER, whole_rows)
        few = sorted(set(speakers) - set(measured))
        self._statistics |= measured
        if few:
            shown = ", ".join(few[:5]) + (", ..." if len(few) > 5 else "")
            self.notes = (
                f"{len(few)} of {len(set(speakers))} speakers have fewer than {MINIMUM_SPEAKER} utterances "
                f"and are standardised with their corpus ({shown})",
            )

    def _groups(self, keys: Sequence[str]) -> list[list[str]]:
        """Return each row's groups, the first choice first, the coarsest last."""
        if self._standardise == "source":
            return [["source"] * len(keys)]
        corpora = [key.partition("/")[0] for key in keys]
        return (
            [corpora] if self._standardise == "corpus" else [[self._speaker_of[key] for key in keys], corpora]
        )

    def apply_to(self, part: Part) -> Part:
        """Standardise the features of utterances."""
        features = apply_groups(part.features, self._statistics, *self._groups(part.keys))
        return replace(part, features=features)

    def apply_to_segments(self, sides: Sequence[tuple[Sequence[str], Tensor]]) -> list[Tensor]:
        """Standardise segments (P, K, D) of both sides by statistics of segments, grouped as utterances are.

        Parameters
        ----------
        sides : sequence of (keys, features)
            The utterance of each segment, and the segments; the source first.
        """
        measured = sides[:1] if self._standardise == "source" else sides
        keys = [key for side, _ in measured for key in side]
        features = torch.cat([part for _, part in measured])
        choices = self._groups(keys)
        statistics = measure_groups(features, choices[-1])
        for finer in choices[:-1]:
            statistics |= measure_groups(features, finer, MINIMUM_SPEAKER)
        return [apply_groups(part, statistics, *self._groups(side)) for side, part in sides]


def _each_once(corpora: Sequence[CorpusFeatures]) -> list[tuple[CorpusFeatures, pd.DataFrame]]:
    """Return the rows of some corpora's tables, by key, each utterance once, however often it is there."""
    found: set[str] = set()
    parts = []
    for corpus in corpora:
        table = by_key(corpus.table)
        own = utterance_keys(table)
        places = [
            place
            for place, key in enumerate(own)
            if key not in found and (not place or own[place - 1] != key)
        ]
        found |= set(own)
        parts.append((corpus, table.iloc[places]))
    return parts

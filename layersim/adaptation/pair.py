"""What one method is given of a pair of corpora: read, standardised, and the test set kept apart.

Conventions
-----------
- Statistics are measured over all utterances of a *train* split, labels unread, in both corpora alike. The
  test set is standardised by those of the target's train split and measures nothing.
- ``speaker`` statistics are the exception: every speaker is standardised by all of their own utterances,
  labels unread, the test speakers too. That takes some recordings of a speaker before the first can be
  labelled.
- The test set is looked at after training only.
- Several corpora may be joined into one source; "each corpus" then means each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from layersim.adaptation.data import (
    MINIMUM_SOURCE,
    LabelledFeatures,
    UnlabelledFeatures,
    VowelSegments,
    by_key,
    read_labelled,
    read_layers,
    read_unlabelled,
)
from layersim.adaptation.standardise import MINIMUM_SPEAKER, Statistics, apply_groups, measure_groups
from layersim.adaptation.task import Task
from layersim.corpus.manifest import utterance_keys
from layersim.corpus.splits import assert_speaker_disjoint
from layersim.errors import LayersimError
from layersim.features.joined import qualified_speakers

if TYPE_CHECKING:
    from layersim.adaptation.settings import Standardise
    from layersim.features.dataset import CorpusFeatures

Part = TypeVar("Part", LabelledFeatures, UnlabelledFeatures)


@dataclass(frozen=True)
class PairData:
    """One method's view of a pair of corpora, standardised."""

    source_train: LabelledFeatures
    source_validation: LabelledFeatures
    target_train: UnlabelledFeatures
    target_test: LabelledFeatures
    target_statistics: Statistics  # what new recordings of the target are standardised by
    vowels: tuple[VowelSegments, VowelSegments] | None = None  # of the two train parts
    notes: tuple[str, ...] = ()

    def task(self, classes: Sequence[str]) -> Task:
        """Return what a method learns from: all but the test set."""
        source_vowels, target_vowels = self.vowels or (None, None)
        return Task(
            self.source_train, self.source_validation, self.target_train, tuple(classes), source_vowels,
            target_vowels,
        )  # fmt: skip

    def hashes(self) -> dict[str, str]:
        """Return one hash per part, by name."""
        found = {
            "source_train": self.source_train.sha256(),
            "source_validation": self.source_validation.sha256(),
            "target_train": self.target_train.sha256(),
            "target_test": self.target_test.sha256(),
        }
        for name, part in zip(("source_vowels", "target_vowels"), self.vowels or (), strict=False):
            found[name] = part.sha256()
        return found


def read_pair(
    source: CorpusFeatures,
    target: CorpusFeatures,
    layers: Sequence[str],
    classes: Sequence[str],
    standardise: Standardise,
    *,
    test: CorpusFeatures | None = None,
    with_vowels: bool = False,
    whole_rows: bool = False,
) -> PairData:
    """Read the layers of both corpora and standardise them.

    Parameters
    ----------
    layers : sequence of str
        In the features' order.
    classes : sequence of str
        The emotions to tell apart. Labelled parts hold no others.
    standardise : "corpus", "speaker" or "source"
        Each corpus by its own train split's statistics, each speaker by their own, or all by the source's.
    test : CorpusFeatures, optional
        Whose test split is the test set; default: the target's. For transductive protocols.
    with_vowels : bool
        Read the vowel segments of both train splits too.
    whole_rows : bool
        One mean and scale per layer (for sequences: per channel), not per dimension.

    Raises
    ------
    LayersimError
        If a split is empty, a class has no example, or a speaker is in two splits.
    """
    tested = target if test is None else test
    source_train = read_labelled(source, "train", layers, classes)
    source_validation = read_labelled(source, "validation", layers, classes)
    target_test = read_labelled(tested, "test", layers, classes)
    require_classes(source, "train", source_train, classes)
    require_classes(tested, "test", target_test, classes)
    if not len(source_validation):
        raise LayersimError(
            f"{source.name}: no validation utterance of {', '.join(classes)} in the features, by which "
            "epochs are chosen. Extract more (a larger --limit, or none), or mend the column split."
        )
    for corpus in (source, target):
        assert_speaker_disjoint(corpus.table)
    if len(source_train) < MINIMUM_SOURCE:
        raise LayersimError(
            f"{source.name}: {len(source_train)} train utterances of {', '.join(classes)} are too few to "
            f"learn from; at least {MINIMUM_SOURCE} are needed. Extract more (a larger --limit, or none)."
        )
    target_train = read_unlabelled(target, "train", layers)
    if len(target_train) < 2:
        raise LayersimError(
            f"{target.name}: {len(target_train)} train utterance; a covariance needs two. "
            "Extract more (a larger --limit, or none)."
        )
    standardiser = Standardiser(source, target, tested, layers, standardise, whole_rows)
    data = PairData(
        standardiser.apply_to(source_train),
        standardiser.apply_to(source_validation),
        standardiser.apply_to(target_train),
        standardiser.apply_to(target_test),
        standardiser.target_statistics,
        notes=standardiser.notes,
    )  # fmt: skip
    if not with_vowels:
        return data
    vowels, notes = _read_vowels(source, target, data, layers, standardiser)
    return replace(data, vowels=vowels, notes=(*data.notes, *notes))


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
        keys, features = _each_once(trained, layers)
        self._statistics = measure_groups(features, self._groups(keys)[-1], whole_rows=whole_rows)
        last = utterance_keys(trained[-1].table.iloc[:1])
        self.target_statistics = self._statistics[self._groups(last)[-1][0]]
        self.notes: tuple[str, ...] = ()
        if standardise == "speaker":
            keys, features = _each_once(
                [corpus.restrict("train", "validation", "test") for corpus in everyone], layers
            )
            self._add_speakers(self._groups(keys)[0], features, whole_rows)

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


def _each_once(corpora: Sequence[CorpusFeatures], layers: Sequence[str]) -> tuple[list[str], Tensor]:
    """Read the utterances of some corpora, each once, however often it stands in them."""
    found: set[str] = set()
    keys, parts = [], []
    for corpus in corpora:
        table = by_key(corpus.table)
        own = utterance_keys(table)
        places = [
            place
            for place, key in enumerate(own)
            if key not in found and (not place or own[place - 1] != key)
        ]
        keys += [own[place] for place in places]
        found |= set(own)
        parts.append(read_layers(corpus, layers, table.iloc[places]))
    return keys, torch.cat(parts)


def _read_vowels(
    source: CorpusFeatures,
    target: CorpusFeatures,
    data: PairData,
    layers: Sequence[str],
    standardiser: Standardiser,
) -> tuple[tuple[VowelSegments, VowelSegments], tuple[str, ...]]:
    """Read the vowels of both train parts, standardised, and what was noticed on the way."""
    from layersim.adaptation.vowel_data import read_vowels

    parts = (source, data.source_train.keys), (target, data.target_train.keys)
    read = [read_vowels(corpus, keys, layers) for corpus, keys in parts]
    raw = [segments for segments, _ in read]
    sides = [
        ([keys[place] for place in segments.utterance.tolist()], segments.features)
        for segments, (_, keys) in zip(raw, parts, strict=True)
    ]
    first, second = standardiser.apply_to_segments(sides)
    vowels = replace(raw[0], features=first), replace(raw[1], features=second)
    return vowels, tuple(note for _, notes in read for note in notes)


def require_classes(
    corpus: CorpusFeatures, split: str, part: LabelledFeatures, classes: Sequence[str]
) -> None:
    """Refuse a part of a corpus that lacks a class.

    Raises
    ------
    LayersimError
    """
    absent = [name for name, count in part.counts(classes).items() if not count]
    if absent:
        kept = ",".join(name for name in classes if name not in absent)
        raise LayersimError(
            f"{corpus.name}: no {split} utterance of {', '.join(absent)} in the features. "
            f"Extract more (a larger --limit, or none), or leave the class out: --emotions {kept}."
        )

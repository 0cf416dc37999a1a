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
from typing import TYPE_CHECKING

from layersim.adaptation.data import (
    MINIMUM_SOURCE,
    LabelledFeatures,
    UnlabelledFeatures,
    VowelSegments,
    read_labelled,
    read_unlabelled,
)
from layersim.adaptation.standardise import Statistics
from layersim.adaptation.standardiser import Standardiser
from layersim.adaptation.task import Task
from layersim.corpus.splits import assert_speaker_disjoint
from layersim.errors import LayersimError

if TYPE_CHECKING:
    from layersim.adaptation.settings import Standardise
    from layersim.features.dataset import CorpusFeatures


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
    source_train = standardiser.apply_to(source_train)  # each in place of the raw one: gigabytes
    source_validation = standardiser.apply_to(source_validation)
    target_train = standardiser.apply_to(target_train)
    target_test = standardiser.apply_to(target_test)
    data = PairData(
        source_train,
        source_validation,
        target_train,
        target_test,
        standardiser.target_statistics,
        notes=standardiser.notes,
    )  # fmt: skip
    if not with_vowels:
        return data
    vowels, notes = _read_vowels(source, target, data, layers, standardiser)
    return replace(data, vowels=vowels, notes=(*data.notes, *notes))


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

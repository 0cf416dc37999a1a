"""Protocols on pairs of corpora: from one to another, within one, and all by all.

Conventions
-----------
- Every protocol gives trials, see `layersim.comparison.trial`. Over the folds of a setting every utterance of
  the target that has a split is tested once.
- ``folds`` is how many, fewer where there are fewer speakers; see `layersim.comparison.folds`.
- ``emotions`` is the class list; None: all that the corpora of the protocol share.
- Where two corpora have different numbers of folds, the source's are counted round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from layersim.comparison.folds import COUNT, set_splits, speaker_folds
from layersim.comparison.trial import Trial, named, shared_classes
from layersim.errors import LayersimError

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures


def as_split(source: CorpusFeatures, target: CorpusFeatures, emotions: Sequence[str] | None = None) -> Trial:
    """One trial with the manifests' own splits: what ``layersim train`` does.

    Raises
    ------
    LayersimError
        If a split is empty or lacks a class, or the corpora share a speaker.
    """
    classes = shared_classes((source.restrict("train"), target.restrict("train")), emotions)
    return Trial(
        f"{source.name}-to-{target.name}/as-split",
        _only(source, "train", "validation"),
        _only(target, "train", "test"),
        classes,
        f"{source.name}: the train split for training, the validation split for validation; {target.name}: "
        "the train split for unlabelled adaptation, the test split for test (the manifests' splits).",
    )


def cross_corpus(
    source: CorpusFeatures, target: CorpusFeatures, folds: int = COUNT, emotions: Sequence[str] | None = None
) -> list[Trial]:
    """Transfer from one corpus to another, inductively: those who are tested are seen by nothing before.

    In each fold the target's test speakers are tested and all its others adapt, unlabelled; the source's
    validation speakers validate and all its others train.

    Raises
    ------
    LayersimError
        If a corpus has too few speakers, a fold lacks a class, or the corpora share a speaker.
    """
    classes = shared_classes((source, target), emotions)
    ours = speaker_folds(source.table, source.name, folds)
    theirs = speaker_folds(target.table, target.name, folds)
    return [
        Trial(
            f"{source.name}-to-{target.name}",
            set_splits(source, {"validation": ours[number].validation_speakers}, "train"),
            set_splits(target, {"test": theirs[number].test_speakers}, "train"),
            classes,
            f"{source.name}: {named(ours[number].validation_speakers)} for validation, the others for "
            f"training ({ours.origin}); {target.name}: {named(theirs[number].test_speakers)} for test, the "
            f"others for unlabelled adaptation ({theirs.origin}).",
            number + 1,
        )
        for number in range(len(theirs))
    ]


def transductive(
    source: CorpusFeatures, target: CorpusFeatures, emotions: Sequence[str] | None = None
) -> Trial:
    """Transfer to a corpus that adapts, unlabelled, and is tested as a whole, as published baselines do.

    The source's validation speakers are those of its first fold. A score so obtained is of a corpus that the
    method has heard; do not compare it with an inductive one without saying so.

    Raises
    ------
    LayersimError
        As `cross_corpus`.
    """
    classes = shared_classes((source, target), emotions)
    ours = speaker_folds(source.table, source.name)
    return Trial(
        f"{source.name}-to-{target.name}/transductive",
        set_splits(source, {"validation": ours[0].validation_speakers}, "train"),
        set_splits(target, {}, "train"),
        classes,
        f"{source.name}: {named(ours[0].validation_speakers)} for validation, the others for training "
        f"({ours.origin}); {target.name}: all for unlabelled adaptation and all for test (transductive).",
        target_test=set_splits(target, {}, "test"),
    )


def supervised(
    target: CorpusFeatures, folds: int = COUNT, emotions: Sequence[str] | None = None
) -> list[Trial]:
    """Train on the corpus itself: the upper row, what transfer would have to reach.

    In each fold the test speakers are tested, the validation speakers validate, all others train; the others
    are the adaptation too, unlabelled, for methods that ask for one.

    Raises
    ------
    LayersimError
        If there are fewer than three folds or speakers, or a fold lacks a class.
    """
    classes = shared_classes((target,), emotions)
    own = speaker_folds(target.table, target.name, folds)
    if len(own) < 3:
        raise LayersimError(
            f"{target.name}: {len(own)} folds leave nobody to train when one tests and the other validates. "
            "Take three at least; that needs three speakers."
        )
    return [
        Trial(
            f"{target.name}-to-{target.name}",
            set_splits(target, {"validation": fold.validation_speakers, "": fold.test_speakers}, "train"),
            set_splits(target, {"test": fold.test_speakers, "": fold.validation_speakers}, "train"),
            classes,
            f"{target.name}: {named(fold.test_speakers)} for test, {named(fold.validation_speakers)} for "
            f"validation, the others for training with their labels ({own.origin}).",
            number,
        )
        for number, fold in enumerate(own.folds, start=1)
    ]


def matrix(
    corpora: Sequence[CorpusFeatures], folds: int = COUNT, emotions: Sequence[str] | None = None
) -> list[Trial]:
    """Train on each corpus and test on each: `cross_corpus` off the diagonal, `supervised` on it.

    The class list is the same in all cells.

    Raises
    ------
    LayersimError
        As `cross_corpus` and `supervised`.
    """
    classes = shared_classes(corpora, emotions)
    return [
        trial
        for source in corpora
        for target in corpora
        for trial in (
            supervised(source, folds, classes)
            if source is target
            else cross_corpus(source, target, folds, classes)
        )
    ]


def _only(corpus: CorpusFeatures, *splits: str) -> CorpusFeatures:
    """Take the other splits out."""
    table = corpus.table
    return replace(corpus, table=table.assign(split=table["split"].where(table["split"].isin(splits), "")))

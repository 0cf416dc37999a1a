"""The target-data study: how much do a few labelled utterances of the target help?

Source: Tang, Kuppens, Geurts & van Waterschoot, arXiv 2311.13678: 0, 30, 80 or 150 two-second clips of the
target language (0, 60, 160, 300 s), labelled, are added to the training set and repeated to balance.

Conventions
-----------
- A clip here is an *utterance* of the target's speakers who are not tested, because cached features are of
  whole utterances. Emo-DB's last 2.7 s on average, RAVDESS's, with the silence at both ends, 3.7 s: the
  same number of clips is not the same amount of speech.
- Clips are drawn class by class in turn, so that the classes are as even as the speakers allow (one that has
  no more is passed over), and nested: the 30 are among the 80, the 80 among the 150.
- What is drawn moves: labelled train in the source, and no longer in the unlabelled adaptation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from layersim.comparison.folds import COUNT, set_splits, speaker_folds
from layersim.comparison.languages import balance, fold_parts, set_name
from layersim.comparison.trial import Trial, named, shared_classes
from layersim.corpus.manifest import utterance_keys
from layersim.errors import LayersimError
from layersim.features.joined import join_corpora

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures

CLIPS = (0, 30, 80, 150)


def target_data_study(
    sources: Sequence[CorpusFeatures],
    target: CorpusFeatures,
    clips: Sequence[int] = CLIPS,
    seed: int = 0,
    folds: int = COUNT,
    emotions: Sequence[str] | None = None,
) -> list[Trial]:
    """Move some labelled utterances of the target into the source, in each fold of the target.

    Parameters
    ----------
    sources : sequence of CorpusFeatures
        One corpus, whose speakers are divided as in `cross_corpus`, or several, which are merged as in
        `leave_one_language_out`. Without clips the trials are those protocols' own.
    clips : sequence of int, >= 0
        How many utterances of the target are labelled; every number is a setting.
    seed : int
        Of the draw. Other folds draw otherwise.

    Raises
    ------
    LayersimError
        If the target's speakers who are not tested have too few utterances; else as the protocols.
    ValueError
        If there are no sources, or a number of clips is negative or given twice.
    """
    if not sources:
        raise ValueError("sources: expected at least one corpus, got none")
    if not clips or min(clips) < 0 or len(set(clips)) < len(clips):
        raise ValueError(f"clips: expected different numbers of at least 0, got {list(clips)}")
    classes = shared_classes((*sources, target), emotions)
    theirs = speaker_folds(target.table, target.name, folds)
    name = sources[0].name if len(sources) == 1 else set_name(sources)
    wholes = [set_splits(target, {"test": fold.test_speakers}, "train") for fold in theirs.folds]
    orders = [draw_clips(whole, classes, seed, number) for number, whole in enumerate(wholes)]
    trials = []
    for count in clips:
        for number, (whole, order) in enumerate(zip(wholes, orders, strict=True)):
            drawn = order[:count]
            _refuse_too_few(whole, count, len(drawn), number)
            trials.append(
                Trial(
                    f"{name}-to-{target.name}/clips-{count}",
                    _with_clips(name, _parts(sources, number, folds), whole, drawn, classes),
                    _without(whole, drawn),
                    classes,
                    f"{name} for training and validation, {count} labelled utterances of {target.name}, "
                    f"repeated to balance, for training too; {target.name}: "
                    f"{named(theirs[number].test_speakers)} for test, what is left of the others for "
                    f"unlabelled adaptation ({theirs.origin}).",
                    number + 1,
                )
            )
    return trials


def draw_clips(corpus: CorpusFeatures, classes: Sequence[str], seed: int, number: int) -> list[int]:
    """Order a train split's utterances of the classes at random, class by class in turn.

    The first of them are a draw, whatever its size. The order of the table's rows changes nothing.

    Parameters
    ----------
    number : int, >= 0
        Of the fold.

    Returns
    -------
    list of int
        Index labels of the table.
    """
    generator = np.random.default_rng([seed, number])
    table = corpus.restrict("train").table
    keys = pd.Series(utterance_keys(table), index=table.index).sort_values(kind="stable")
    left = []
    for name in classes:
        own = keys.index[(table["emotion"][keys.index] == name).to_numpy()]
        left.append(deque(generator.permutation(own.to_numpy()).tolist()))
    order = []
    while any(left):
        order += [own.popleft() for own in left if own]
    return order


def _parts(sources: Sequence[CorpusFeatures], number: int, folds: int) -> list[CorpusFeatures]:
    if len(sources) > 1:
        return fold_parts(sources, number, folds)
    fold = speaker_folds(sources[0].table, sources[0].name, folds)[number]
    return [set_splits(sources[0], {"validation": fold.validation_speakers}, "train")]


def _with_clips(
    name: str,
    parts: Sequence[CorpusFeatures],
    target: CorpusFeatures,
    drawn: Sequence[int],
    classes: Sequence[str],
) -> CorpusFeatures:
    if not drawn:
        return parts[0] if len(parts) == 1 else join_corpora(name, parts, balance(parts, classes))
    together = [*parts, replace(target, table=target.table.loc[sorted(drawn)])]
    return join_corpora(f"{name}+{target.name}", together, balance(together, classes))


def _without(target: CorpusFeatures, drawn: Sequence[int]) -> CorpusFeatures:
    table = target.table
    return replace(target, table=table.assign(split=table["split"].mask(table.index.isin(list(drawn)), "")))


def _refuse_too_few(target: CorpusFeatures, count: int, drawn: int, number: int) -> None:
    """Refuse a draw that is short, or that leaves nobody to adapt."""
    there = len(target.restrict("train").table)
    if drawn < count or there <= count:
        raise LayersimError(
            f"{target.name}, fold {number + 1}: {count} labelled clips were asked for; its speakers who are "
            f"not tested have {drawn} utterances of the classes, {there} in all, of which some must be left "
            "to adapt. Ask for fewer clips."
        )

"""The three tasks: phones, speakers and emotions, each scored for every layer of one set of features.

A task's scores have a name each: the layers' own (``"0"`` .. ``"12"``, or ``"mfcc"``), and

- `BEST`: the layer that does best on the test itself. A bound, not what a choice would give.
- `CHOSEN` (emotions): per test fold, the layer that does best on the inner folds of its training speakers.
- `MEAN`, `ALL` (emotions): the layers' utterance vectors averaged as they are, or side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from mini_probes.features import Features
from mini_probes.probes import (
    Labels,
    Matrix,
    Score,
    choose,
    guess_labels,
    nested_probe,
    score,
    score_speakers,
    standardise_by,
)
from mini_probes.speech import ProbeSpeech

CHOSEN, MEAN, ALL = "layer chosen in training", "mean of all layers", "all layers side by side"
BEST = "best layer on the test"
_TRAINING_TOKENS, _TEST_TOKENS = 20, 5  # of a phone, below which it is left out


@dataclass(frozen=True)
class Scores:
    """How one set of features did on one task.

    Attributes
    ----------
    scores : dict of str to Score
    guesses : dict of str to array
        By the same names: the guess for each tested item.
    truth, speakers : array
        Of the tested items, in the same order.
    best : str
        The layer behind `BEST`.
    chosen : list of str
        The layers behind `CHOSEN`, one a test fold.
    about : dict
        How many classes, items and speakers; how they were split.
    """

    scores: dict[str, Score]
    guesses: dict[str, Labels]
    truth: Labels
    speakers: Labels
    best: str
    about: dict[str, Any]
    chosen: list[str] = field(default_factory=list)


def phone_scores(features: Features, speech: ProbeSpeech) -> Scores:
    """Which phone is it? Trained on the training voices' phones, tested on the test voices'.

    Raises
    ------
    ValueError
        If the speech has no phone times.
    """
    if speech.phones is None:
        raise ValueError(f"speech: expected phone times, {speech.name} has none")
    table = speech.table
    owner = np.repeat(np.arange(len(table)), [len(labels) for _, labels in speech.phones])
    truth = np.array([label for _, labels in speech.phones for label in labels])
    tested = np.isin(table["fold"].to_numpy()[owner], speech.test_folds)
    speakers = table["speaker"].to_numpy().astype(str)[owner]
    names = sorted(set(truth.tolist()))
    enough = [
        name
        for name in names
        if ((truth == name) & ~tested).sum() >= _TRAINING_TOKENS
        and ((truth == name) & tested).sum() >= _TEST_TOKENS
    ]
    usable = np.isin(truth, enough)
    train, test = usable & ~tested, usable & tested
    found = joblib.Parallel(n_jobs=-1)(
        joblib.delayed(guess_labels)(
            features.phones[train, place].astype(np.float64),
            truth[train],
            features.phones[test, place].astype(np.float64),
        )
        for place in range(len(features.layers))
    )
    guesses = dict(zip(features.layers, found, strict=True))
    about = {
        "classes": len(enough),
        "left out": sorted(set(names) - set(enough)),
        "trained on": int(train.sum()),
        "tested on": int(test.sum()),
        "test speakers": len(set(speakers[test])),
        "split": speech.folding,
    }
    scores = {layer: score(truth[test], guess, speakers[test]) for layer, guess in guesses.items()}
    return _with_best(scores, guesses, truth[test], speakers[test], about, features.layers)


def speaker_scores(features: Features, speech: ProbeSpeech) -> Scores:
    """Who speaks? Every sentence group is tested once, by a probe that knows the other groups."""
    truth = speech.table["speaker"].to_numpy().astype(str)
    fold = speech.table["sentence_fold"].to_numpy()
    found = joblib.Parallel(n_jobs=-1)(
        joblib.delayed(_across_folds)(features.utterances[:, place].astype(np.float64), truth, fold)
        for place in range(len(features.layers))
    )
    guesses = dict(zip(features.layers, found, strict=True))
    count = len(set(fold.tolist()))
    about = {"classes": len(set(truth.tolist())), "tested on": len(truth), "test speakers": len(set(truth)),
             "split": f"{count} folds of whole sentences"}  # fmt: skip
    scores = {layer: score_speakers(truth, guess) for layer, guess in guesses.items()}
    return _with_best(scores, guesses, truth, truth, about, features.layers)


def emotion_scores(features: Features, speech: ProbeSpeech, *, by_speaker: bool = False) -> Scores:
    """Which emotion is it? Speakers are tested that were not trained on.

    Parameters
    ----------
    by_speaker : bool
        First standardise each speaker's utterances by themselves, those tested too (without labels).
    """
    table = speech.table
    truth = table["emotion"].to_numpy().astype(str)
    speakers = table["speaker"].to_numpy().astype(str)
    fold = table["fold"].to_numpy()
    test = np.isin(fold, speech.test_folds)
    vectors = standardise_by(features.utterances, speakers) if by_speaker else features.utterances
    members = {layer: vectors[:, place] for place, layer in enumerate(features.layers)}
    if len(features.layers) > 1:
        members |= {MEAN: vectors.mean(axis=1), ALL: vectors.reshape(len(vectors), -1)}
    found = joblib.Parallel(n_jobs=-1)(
        joblib.delayed(nested_probe)(member, truth, fold, speech.test_folds) for member in members.values()
    )
    nested = dict(zip(members, found, strict=True))
    guesses = {name: one.guess[test] for name, one in nested.items()}
    chosen: list[str] = []
    if len(features.layers) > 1:
        guess, layer_of = choose({layer: nested[layer] for layer in features.layers}, fold)
        guesses[CHOSEN] = guess[test]
        chosen = list(layer_of.values())
    about = {
        "classes": len(set(truth)),
        "tested on": int(test.sum()),
        "test speakers": len(set(speakers[test])),
        "split": speech.folding,
    }
    scores = {name: score(truth[test], guess, speakers[test]) for name, guess in guesses.items()}
    return _with_best(scores, guesses, truth[test], speakers[test], about, features.layers, chosen)


def _across_folds(vectors: Matrix, truth: Labels, fold: NDArray[np.int64]) -> Labels:
    guess = np.full(len(truth), "", dtype=object)
    for number in sorted(set(fold.tolist())):
        test = fold == number
        guess[test] = guess_labels(vectors[~test], truth[~test], vectors[test])
    return guess


def _with_best(
    scores: Mapping[str, Score],
    guesses: Mapping[str, Labels],
    truth: Labels,
    speakers: Labels,
    about: dict[str, Any],
    layers: tuple[str, ...],
    chosen: list[str] | None = None,
) -> Scores:
    best = max(layers, key=lambda layer: scores[layer].uar)
    return Scores(
        {**scores, BEST: scores[best]}, {**guesses, BEST: guesses[best]}, truth, speakers, best, about,
        chosen or [],
    )  # fmt: skip

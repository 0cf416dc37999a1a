"""The three tasks: phones, speakers and emotions, each scored for every layer of one set of features.

A task's scores have a name each: the layers' own (``"0"`` .. ``"12"``, or ``"mfcc"``), and where there are
several layers also

- ``mean of layers``, ``all layers``: the layers' utterance vectors, averaged as they are, or side by side;
- ``layer chosen in training``: per test fold the layer that does best on the inner folds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import joblib
import numpy as np
from mini_probes.features import Features
from mini_probes.probes import (
    Score,
    choose,
    guess_labels,
    nested_probe,
    score,
    score_speakers,
    standardise_by,
)
from mini_probes.speech import ProbeSpeech

MEAN, ALL, CHOSEN = "mean of layers", "all layers", "layer chosen in training"
_TRAINING_TOKENS, _TEST_TOKENS = 20, 5  # of a phone, below which it is left out
_SENTENCE_FOLDS = 5


@dataclass(frozen=True)
class Scores:
    """The scores of one set of features on one task, by name, and which layers were chosen."""

    scores: dict[str, Score]
    chosen: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)


def phone_scores(features: Features, speech: ProbeSpeech) -> Scores:
    """Which phone is it? Trained on the training voices' phones, tested on the test voices'."""
    if speech.phones is None:
        raise ValueError(f"speech: {speech.name} has no phone times")
    table = speech.table
    owner = np.repeat(np.arange(len(table)), [len(labels) for _, labels in speech.phones])
    truth = np.array([label for _, labels in speech.phones for label in labels])
    test = np.isin(table["fold"].to_numpy()[owner], speech.test_folds)
    speakers = table["speaker"].to_numpy().astype(str)[owner]
    names = sorted(set(truth.tolist()))
    enough = [
        name for name in names
        if ((truth == name) & ~test).sum() >= _TRAINING_TOKENS and ((truth == name) & test).sum() >= _TEST_TOKENS
    ]  # fmt: skip
    usable = np.isin(truth, enough)
    train, test = usable & ~test, usable & test
    guesses = joblib.Parallel(n_jobs=-1)(
        joblib.delayed(guess_labels)(
            features.phones[train, place].astype(np.float64), truth[train],
            features.phones[test, place].astype(np.float64),
        )
        for place in range(len(features.layers))
    )  # fmt: skip
    about = {"classes": len(enough), "left out": sorted(set(names) - set(enough)), "train": int(train.sum()),
             "test": int(test.sum()), "test speakers": len(set(speakers[test]))}  # fmt: skip
    scores = {
        layer: score(truth[test], guess, speakers[test])
        for layer, guess in zip(features.layers, guesses, strict=True)
    }
    return Scores(scores, about=about)


def speaker_scores(features: Features, speech: ProbeSpeech) -> Scores:
    """Who speaks? No sentence is in both training and test: halves, or five folds where there are many."""
    table = speech.table
    truth = table["speaker"].to_numpy().astype(str)
    sentences = table["sentence"].tolist()
    order = {sentence: place for place, sentence in enumerate(sorted(set(sentences)))}
    folds = _SENTENCE_FOLDS if speech.phones is None and len(order) >= _SENTENCE_FOLDS else 2
    fold = np.array([order[sentence] % folds for sentence in sentences])
    if folds == 2:
        fold = table["half"].to_numpy()

    def guess(place: int) -> Any:
        found = np.full(len(truth), "", dtype=object)
        vectors = features.utterances[:, place].astype(np.float64)
        for number in range(folds):
            test = fold == number
            found[test] = guess_labels(vectors[~test], truth[~test], vectors[test])
        return found

    guesses = joblib.Parallel(n_jobs=-1, prefer="threads")(
        joblib.delayed(guess)(place) for place in range(len(features.layers))
    )
    about = {"classes": len(set(truth)), "test": len(truth), "folds": f"{folds} of whole sentences"}
    scores = {
        layer: score_speakers(truth, guess) for layer, guess in zip(features.layers, guesses, strict=True)
    }
    return Scores(scores, about=about)


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
    vectors = features.utterances
    if by_speaker:
        vectors = standardise_by(vectors, speakers)
    members = {layer: vectors[:, place] for place, layer in enumerate(features.layers)}
    if len(members) > 1:
        members[MEAN] = vectors.mean(axis=1)
        members[ALL] = vectors.reshape(len(vectors), -1)
    found = joblib.Parallel(n_jobs=-1)(
        joblib.delayed(nested_probe)(member, truth, fold, speech.test_folds) for member in members.values()
    )
    nested = dict(zip(members, found, strict=True))
    scores = {name: score(truth[test], one.guess[test], speakers[test]) for name, one in nested.items()}
    chosen: list[str] = []
    if len(members) > 1:
        guess, layer_of = choose({layer: nested[layer] for layer in features.layers}, fold)
        scores[CHOSEN] = score(truth[test], guess[test], speakers[test])
        chosen = list(layer_of.values())
    about = {"classes": len(set(truth)), "test": int(test.sum()), "folds": speech.folding,
             "test speakers": len(set(speakers[test]))}  # fmt: skip
    return Scores(scores, chosen, about)

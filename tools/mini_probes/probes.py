"""Linear probes: multinomial logistic regression on standardised features, tested on held-out speakers.

Conventions
-----------
- Features are standardised with the training rows' mean and deviation.
- The penalty's inverse strength C is fixed, or chosen on inner folds: each candidate is trained on all
  training folds but one and scored (UAR) on that one. No test row is looked at.
- Intervals are 95 % percentile intervals of a bootstrap over the test speakers. With few speakers
  (Emo-DB 10, CASIA 4) they come out too narrow.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from layersim.metrics import percentile_interval, speaker_bootstrap, speaker_weights, uar, wa

CANDIDATES = (0.0001, 0.001, 0.01, 0.1)
FIXED = 0.1
_ITERATIONS, _TOLERANCE = 500, 1e-3
_REPLICATES = 1000

Labels = NDArray[np.str_]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """How well a probe did.

    Attributes
    ----------
    uar, accuracy : float, 0..1
        Mean of the classes' recalls (balanced accuracy); share correct.
    low, high : float or None
        The UAR's interval over test speakers.
    """

    uar: float
    accuracy: float
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Nested:
    """One feature set under cross-validation: what the inner folds said, what the outer folds gave.

    Attributes
    ----------
    inner : dict
        Test fold to the best UAR on inner folds over the candidates of C.
    guess : array, shape (N,)
        Each tested row's guess, C chosen on the inner folds; empty for rows that are never tested.
    """

    inner: dict[int, float]
    guess: Labels


def guess_labels(
    train: Matrix, truth: Labels, test: Matrix, penalty: float = FIXED, balanced: bool = False
) -> Labels:
    """Train a probe and let it guess."""
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    scaled = (train - mean) / deviation
    others = (test - mean) / deviation
    if scaled.shape[1] > 2 * len(scaled):
        directions = _span(scaled)  # the penalty does not see a rotation, and no weight leaves the rows' span
        scaled, others = scaled @ directions, others @ directions
    model = LogisticRegression(
        C=penalty, max_iter=_ITERATIONS, tol=_TOLERANCE, class_weight="balanced" if balanced else None
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an unconverged probe is still a probe
        model.fit(scaled, truth)
    return np.asarray(model.predict(others)).astype(str)


def _span(rows: Matrix) -> Matrix:
    """Return an orthonormal basis of what the rows span, shape (D, at most n), by their Gram matrix."""
    values, vectors = np.linalg.eigh(rows @ rows.T)
    kept = values > 1e-9 * values[-1]
    basis: Matrix = rows.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    return basis


def nested_probe(features: Matrix, truth: Labels, fold: NDArray[np.int64], tested: Sequence[int]) -> Nested:
    """Test every fold of ``tested``, with C chosen on the other folds.

    Parameters
    ----------
    features : array, shape (N, D)
    truth : array, shape (N,)
    fold : array, shape (N,)
    tested : sequence of int
        The folds that are tested, one after the other.
    """
    features = features.astype(np.float64)
    kept: dict[tuple[frozenset[int], float], Labels] = {}

    def guesses(left_out: frozenset[int], penalty: float) -> Labels:
        """Guess the rows of the folds left out; a pair of folds serves as outer and inner fold, both ways."""
        if (left_out, penalty) not in kept:
            out = np.isin(fold, list(left_out))
            found = np.full(len(truth), "", dtype=object)
            found[out] = guess_labels(features[~out], truth[~out], features[out], penalty, balanced=True)
            kept[left_out, penalty] = found
        return kept[left_out, penalty]

    result = np.full(len(truth), "", dtype=object)
    inner: dict[int, float] = {}
    for outer in tested:
        others = [number for number in sorted(set(fold.tolist())) if number != outer]
        rows = fold != outer
        found = {}
        for penalty in CANDIDATES:
            seen = np.full(len(truth), "", dtype=object)
            for one in others:
                seen[fold == one] = guesses(frozenset({outer, one}), penalty)[fold == one]
            found[penalty] = uar(truth[rows].tolist(), seen[rows].tolist())
        best = max(CANDIDATES, key=lambda penalty: (found[penalty], -penalty))
        inner[outer] = found[best]
        result[fold == outer] = guesses(frozenset({outer}), best)[fold == outer]
    return Nested(inner, result)


def choose(members: dict[str, Nested], fold: NDArray[np.int64]) -> tuple[Labels, dict[int, str]]:
    """Take, for each tested fold, the guesses of the member that the inner folds like best."""
    tested = next(iter(members.values())).inner
    chosen = {outer: max(members, key=lambda name: members[name].inner[outer]) for outer in tested}
    guess = np.full(len(fold), "", dtype=object)
    for outer, name in chosen.items():
        guess[fold == outer] = members[name].guess[fold == outer]
    return guess, chosen


def score(truth: Labels, guess: Labels, speakers: Labels, seed: int = 0) -> Score:
    """Score guesses of utterances (or phones), with an interval over speakers."""
    given, found = truth.tolist(), guess.tolist()
    interval = speaker_bootstrap(given, found, speakers.tolist(), seed=seed)
    low, high = (interval.low, interval.high) if interval else (None, None)
    return Score(uar(given, found), wa(given, found), low, high)


def score_speakers(truth: Labels, guess: Labels, seed: int = 0) -> Score:
    """Score guesses of who speaks; the interval draws speakers, each with the recall that is theirs.

    >>> score_speakers(np.array(["a", "a", "b"]), np.array(["a", "b", "b"]))
    Score(uar=0.75, accuracy=0.6666666666666666, low=0.5, high=1.0)
    """
    names = sorted(set(truth.tolist()))
    recalls = np.array([float(np.mean(guess[truth == name] == name)) for name in names])
    weights = speaker_weights(len(names), _REPLICATES, np.random.default_rng(seed))
    interval = percentile_interval(weights @ recalls / len(names))
    return Score(float(recalls.mean()), float(np.mean(truth == guess)), interval.low, interval.high)


def gain(
    truth: Labels, guess: Labels, others: Sequence[Labels], speakers: Labels, seed: int = 0
) -> dict[str, float]:
    """Say by how much the UAR of guesses is above the mean UAR of others, with its interval.

    The same drawn speakers score both sides: what makes some speakers hard for all cancels out.

    Returns
    -------
    dict
        ``value``, ``low`` and ``high``, as shares (0.1 is ten points).

    >>> truth, speakers = np.array(["x", "y"] * 2), np.array(["a", "a", "b", "b"])
    >>> gain(truth, truth, [np.array(["x", "x"] * 2)], speakers)
    {'value': 0.5, 'low': 0.5, 'high': 0.5}
    >>> gain(speakers, speakers, [np.array(["a", "a", "b", "a"])], speakers)
    {'value': 0.25, 'low': 0.0, 'high': 0.5}
    """
    names, which = np.unique(speakers.astype(str), return_inverse=True)
    classes, place = np.unique(truth.astype(str), return_inverse=True)
    weights = speaker_weights(len(names), _REPLICATES, np.random.default_rng(seed))
    weights = np.concatenate([np.ones((1, len(names)), dtype=np.int64), weights])  # first: as they are
    shape = (len(names), len(classes))
    total = np.zeros(shape)
    np.add.at(total, (which, place), 1)

    def right(found: Labels) -> Matrix:
        counts = np.zeros(shape)
        np.add.at(counts, (which, place), found == truth)
        return counts

    more = right(guess) - np.mean([right(other) for other in others], axis=0)
    if np.array_equal(names, classes):  # who speaks is the question: as in score_speakers
        differences = weights @ (more.sum(axis=1) / total.sum(axis=1)) / len(names)
    else:
        drawn = weights @ total
        whole = (drawn > 0).all(axis=1)  # draws in which every class occurs
        differences = ((weights @ more)[whole] / drawn[whole]).mean(axis=1)
    interval = percentile_interval(differences[1:])
    return {"value": float(differences[0]), "low": interval.low, "high": interval.high}


def standardise_by(features: NDArray[np.float32], groups: Labels) -> NDArray[np.float32]:
    """Take each speaker's own mean and deviation out of their utterances, without their labels.

    >>> standardise_by(np.array([[1.0], [3.0], [5.0]], dtype=np.float32), np.array(["a", "a", "b"])).tolist()
    [[-1.0], [1.0], [0.0]]
    """
    result = np.empty_like(features)
    for name in set(groups.tolist()):
        own = features[groups == name]
        deviation = own.std(axis=0)
        result[groups == name] = (own - own.mean(axis=0)) / np.where(deviation > 1e-6, deviation, 1.0)
    return result

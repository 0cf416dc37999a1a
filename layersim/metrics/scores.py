"""UAR, WA, macro-F1, recalls and confusion from counts of truths and guesses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Statistic = Literal["uar", "wa", "macro_f1"]


def confusion(truth: Sequence[str], guess: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """Count how often each class was guessed for each class.

    Returns
    -------
    ndarray of int, shape (C, C)
        Truth in rows, guess in columns, both in the order of ``labels``.

    Raises
    ------
    ValueError
        If lengths differ, or a truth or a guess is not in ``labels``.

    >>> confusion(["sad", "sad", "angry"], ["sad", "angry", "angry"], ["angry", "sad"])
    array([[1, 0],
           [1, 1]])
    """
    strange = sorted(set(guess) - set(labels))
    if strange:
        raise ValueError(f"guess has labels that are not in labels {list(labels)}: {strange}")
    return count(truth, guess, labels)[:, :-1]


def recalls(truth: Sequence[str], guess: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """Return the share of each class that was found; NaN for a class that the truth does not have.

    Raises
    ------
    ValueError
        If lengths differ, there is no utterance, or a truth is not in ``labels``.

    >>> recalls(["sad", "sad", "angry"], ["sad", "angry", "angry"], ["angry", "sad", "calm"])
    {'angry': 1.0, 'sad': 0.5, 'calm': nan}
    """
    found = _recalls(count(truth, guess, labels))
    return dict(zip(labels, found.tolist(), strict=True))


def uar(truth: Sequence[str], guess: Sequence[str], labels: Sequence[str] | None = None) -> float:
    """Unweighted average recall: the mean of per-class recalls. Chance is 1/C.

    Raises
    ------
    ValueError
        If lengths differ, there is no utterance, a truth is not in ``labels``, or the truth lacks one.

    >>> uar(["sad", "sad", "sad", "angry"], ["sad", "sad", "sad", "sad"])
    0.5
    """
    return score("uar", truth, guess, labels)


def wa(truth: Sequence[str], guess: Sequence[str]) -> float:
    """Weighted accuracy: the share of utterances guessed right.

    Raises
    ------
    ValueError
        If lengths differ or there is no utterance.

    >>> wa(["sad", "sad", "sad", "angry"], ["sad", "sad", "sad", "sad"])
    0.75
    """
    return score("wa", truth, guess, None)


def macro_f1(truth: Sequence[str], guess: Sequence[str], labels: Sequence[str] | None = None) -> float:
    """Mean over classes of the harmonic mean of precision and recall; 0 for a class never guessed right.

    Raises
    ------
    ValueError
        As `uar`.

    >>> macro_f1(["sad", "sad", "angry"], ["sad", "angry", "angry"])  # 2/3 and 2/3
    0.666...
    """
    return score("macro_f1", truth, guess, labels)


def class_list(truth: Sequence[str], labels: Sequence[str] | None) -> list[str]:
    """Return the classes to score over: ``labels``, or those of the truth in alphabetical order."""
    if labels is None:
        return sorted(set(truth))
    if len(set(labels)) != len(labels):
        raise ValueError(f"labels has a class twice: {list(labels)}")
    return list(labels)


def indices(truth: Sequence[str], guess: Sequence[str], labels: Sequence[str]) -> tuple[list[int], list[int]]:
    """Positions in the class list; a guess outside it is ``C``, one past the end."""
    if len(truth) != len(guess):
        raise ValueError(f"truth and guess must have one length, got {len(truth)} and {len(guess)}")
    place = {label: position for position, label in enumerate(labels)}
    strange = sorted(set(truth) - set(place))
    if strange:
        raise ValueError(f"truth has labels that are not in labels {list(labels)}: {strange}")
    return [place[label] for label in truth], [place.get(label, len(labels)) for label in guess]


def count(truth: Sequence[str], guess: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """Confusion with one more column: guesses outside the class list."""
    rows, columns = indices(truth, guess, labels)
    counts = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)
    np.add.at(counts, (rows, columns), 1)
    return counts


def score(
    statistic: Statistic, truth: Sequence[str], guess: Sequence[str], labels: Sequence[str] | None
) -> float:
    """Score guesses; what `uar`, `wa` and `macro_f1` do."""
    if not len(truth):
        raise ValueError("truth is empty: there is nothing to score")
    classes = class_list(truth, labels)
    counts = count(truth, guess, classes)
    absent = [label for label, total in zip(classes, counts.sum(axis=1), strict=True) if not total]
    if absent and statistic != "wa":
        raise ValueError(
            f"no utterance of {absent} in truth: a class without utterances has no recall. "
            "Score over the classes that the truth has, and say so."
        )
    return float(STATISTICS[statistic](counts))


# The statistics work on (..., C, C+1) counts, so that a thousand replicates cost one call.


def _recalls(counts: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    right = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    total = counts.sum(axis=-1).astype(np.float64)
    found = np.full_like(right, np.nan)
    np.divide(right, total, out=found, where=total > 0)
    return found


def _uar(counts: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(_recalls(counts).mean(axis=-1))


def _wa(counts: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    right = np.diagonal(counts, axis1=-2, axis2=-1).sum(axis=-1)
    return np.asarray(right / counts.sum(axis=(-2, -1)))


def _macro_f1(counts: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    guessed = counts[..., :-1].sum(axis=-2)
    return np.asarray((2 * right / (counts.sum(axis=-1) + guessed)).mean(axis=-1))


STATISTICS: dict[Statistic, Callable[[NDArray[np.float64] | NDArray[np.int64]], NDArray[np.float64]]] = {
    "uar": _uar,
    "wa": _wa,
    "macro_f1": _macro_f1,
}

"""How well guesses meet the truth, and how far a number can be trusted.

Conventions
-----------
- Labels are strings, one per utterance; ``truth`` and ``guess`` have the same order and length.
- Scores are 0..1. UAR (also called UA) is the mean of per-class recalls, WA the share correct.
- The class list is explicit and never shrinks: with ``labels`` given, every score is over exactly those
  classes. A class that the truth does not have has no recall: `recalls` says NaN, and `uar` and `macro_f1`
  raise instead of averaging over fewer classes. Without ``labels`` the classes are those of the truth.
- A truth outside the class list raises. A guess outside it is a wrong guess.
- Confusion matrices have the truth in rows and the guess in columns, in the order of the class list.
- Speakers, not utterances, are drawn in a bootstrap: utterances of one speaker are no independent evidence.
  With one speaker there is no interval, and the functions say None.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Statistic = Literal["uar", "wa", "macro_f1"]

FEW_SPEAKERS = 10  # below this a percentile interval over speakers is known to come out too narrow
EXACT_UP_TO = 8  # 8! = 40,320 orders are still counted in a moment; beyond that Student's t serves well


@dataclass(frozen=True)
class Interval:
    """The two ends of an interval, ``low <= high``."""

    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Tell whether the two intervals share a point.

        >>> Interval(0.0, 0.4).overlaps(Interval(0.4, 1.0)), Interval(0.0, 0.3).overlaps(Interval(0.4, 1.0))
        (True, False)
        """
        return self.low <= other.high and other.low <= self.high


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
    return _counts(truth, guess, labels)[:, :-1]


def recalls(truth: Sequence[str], guess: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """Return the share of each class that was found; NaN for a class that the truth does not have.

    Raises
    ------
    ValueError
        If lengths differ, there is no utterance, or a truth is not in ``labels``.

    >>> recalls(["sad", "sad", "angry"], ["sad", "angry", "angry"], ["angry", "sad", "calm"])
    {'angry': 1.0, 'sad': 0.5, 'calm': nan}
    """
    found = _recalls(_counts(truth, guess, labels))
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
    return _score("uar", truth, guess, labels)


def wa(truth: Sequence[str], guess: Sequence[str]) -> float:
    """Weighted accuracy: the share of utterances guessed right.

    Raises
    ------
    ValueError
        If lengths differ or there is no utterance.

    >>> wa(["sad", "sad", "sad", "angry"], ["sad", "sad", "sad", "sad"])
    0.75
    """
    return _score("wa", truth, guess, None)


def macro_f1(truth: Sequence[str], guess: Sequence[str], labels: Sequence[str] | None = None) -> float:
    """Mean over classes of the harmonic mean of precision and recall; 0 for a class never guessed right.

    Raises
    ------
    ValueError
        As `uar`.

    >>> macro_f1(["sad", "sad", "angry"], ["sad", "angry", "angry"])  # 2/3 and 2/3
    0.666...
    """
    return _score("macro_f1", truth, guess, labels)


def speaker_weights(speakers: int, replicates: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw how often each speaker appears in each bootstrap replicate.

    Parameters
    ----------
    speakers, replicates : int, >= 1

    Returns
    -------
    ndarray of int, shape (replicates, speakers)
        Every row sums to ``speakers``: drawing that many with replacement.
    """
    if speakers < 1 or replicates < 1:
        raise ValueError(f"speakers and replicates must be at least 1, got {speakers} and {replicates}")
    return rng.multinomial(speakers, np.full(speakers, 1 / speakers), size=replicates)


def percentile_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Cut the same share off both ends of the bootstrap replicates.

    Parameters
    ----------
    values : array, shape (R,), finite
    level : float, 0..1
        Share of the replicates that stays inside.

    Raises
    ------
    ValueError
        If a value is not finite, there is none, or ``level`` is not between 0 and 1.

    >>> percentile_interval(range(101), level=0.5)
    Interval(low=25.0, high=75.0)
    """
    replicates = np.asarray(values, dtype=np.float64)
    if replicates.ndim != 1 or not len(replicates) or not np.isfinite(replicates).all():
        raise ValueError(f"values must be one row of finite numbers, got shape {replicates.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def speaker_bootstrap(
    truth: Sequence[str],
    guess: Sequence[str],
    speakers: Sequence[str],
    labels: Sequence[str] | None = None,
    statistic: Statistic = "uar",
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """Percentile interval of a score over speakers drawn with replacement.

    Draws in which a class has no utterance at all have no UAR and are left out.

    Returns
    -------
    Interval or None
        None with fewer than two speakers, or when half of the draws or more lack a class.

    Raises
    ------
    ValueError
        If lengths differ, or as the statistic itself.
    """
    classes = _classes(truth, labels)
    if len(speakers) != len(truth):
        raise ValueError(f"{len(speakers)} speakers for {len(truth)} utterances")
    _score(statistic, truth, guess, classes)
    names, which = np.unique(np.asarray(speakers, dtype=object).astype(str), return_inverse=True)
    if len(names) < 2:
        return None
    rows, columns = _indices(truth, guess, classes)
    counts = np.zeros((len(names), len(classes), len(classes) + 1))
    np.add.at(counts, (which, np.asarray(rows), np.asarray(columns)), 1)
    weights = speaker_weights(len(names), replicates, np.random.default_rng(seed))
    drawn = np.tensordot(weights, counts, axes=1)  # (R, C, C+1)
    values = _STATISTICS[statistic](drawn[(drawn.sum(axis=2) > 0).all(axis=1)])
    return percentile_interval(values, level) if 2 * len(values) > replicates else None


def permutation_p(observed: float, null: ArrayLike) -> float:
    """One-sided p-value: how often chance does at least as well, the observed order counted as one draw.

    ``(1 + number of null values >= observed) / (1 + R)`` (Phipson & Smyth 2010): never zero.

    >>> permutation_p(0.9, [0.1, 0.95, 0.3])
    0.5
    """
    values = np.asarray(null, dtype=np.float64)
    return float((1 + np.count_nonzero(values >= observed)) / (1 + values.size))


def p_value(p: float) -> str:
    """Write a p-value in words.

    >>> p_value(0.0412), p_value(2e-9)
    ('p 0.041', 'p < 0.001')
    """
    return f"p {p:.3f}" if p >= 0.0005 else "p < 0.001"


def spearman(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Rank correlation with its two-sided p-value.

    Up to 8 pairs the p-value is exact (every order of ``y`` is counted), beyond that by Student's t.

    Returns
    -------
    rho, p : float
        Both NaN with fewer than 3 pairs or when a side is constant: there is no order to compare.

    Raises
    ------
    ValueError
        If the lengths differ or a value is not finite.

    >>> spearman([1, 2, 3], [10, 20, 30])  # of 6 orders, 2 are as extreme
    (1.0, 0.333...)
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"x and y must be two rows of one length, got {first.shape} and {second.shape}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("x and y must be finite")
    pairs = len(first)
    if pairs < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan, math.nan
    if pairs > EXACT_UP_TO:
        result = stats.spearmanr(first, second)
        return float(result.statistic), float(result.pvalue)
    ranks = [stats.rankdata(side) for side in (first, second)]
    a, b = (side - side.mean() for side in ranks)
    scale = math.sqrt(float(a @ a) * float(b @ b))
    rho = float(a @ b) / scale
    orders = np.array(list(itertools.permutations(b)))  # (pairs!, pairs)
    # Ranks are multiples of 1/2, so ties with the observed value differ by rounding alone.
    extreme = np.abs(orders @ a) >= abs(float(a @ b)) - 1e-9
    return min(1.0, max(-1.0, rho)), float(extreme.mean())


def _classes(truth: Sequence[str], labels: Sequence[str] | None) -> list[str]:
    if labels is None:
        return sorted(set(truth))
    if len(set(labels)) != len(labels):
        raise ValueError(f"labels has a class twice: {list(labels)}")
    return list(labels)


def _indices(
    truth: Sequence[str], guess: Sequence[str], labels: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Positions in the class list; a guess outside it is ``C``, one past the end."""
    if len(truth) != len(guess):
        raise ValueError(f"truth and guess must have one length, got {len(truth)} and {len(guess)}")
    place = {label: position for position, label in enumerate(labels)}
    strange = sorted(set(truth) - set(place))
    if strange:
        raise ValueError(f"truth has labels that are not in labels {list(labels)}: {strange}")
    return [place[label] for label in truth], [place.get(label, len(labels)) for label in guess]


def _counts(truth: Sequence[str], guess: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """Confusion with one more column: guesses outside the class list."""
    rows, columns = _indices(truth, guess, labels)
    counts = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)
    np.add.at(counts, (rows, columns), 1)
    return counts


def _score(
    statistic: Statistic, truth: Sequence[str], guess: Sequence[str], labels: Sequence[str] | None
) -> float:
    if not len(truth):
        raise ValueError("truth is empty: there is nothing to score")
    classes = _classes(truth, labels)
    counts = _counts(truth, guess, classes)
    absent = [label for label, count in zip(classes, counts.sum(axis=1), strict=True) if not count]
    if absent and statistic != "wa":
        raise ValueError(
            f"no utterance of {absent} in truth: a class without utterances has no recall. "
            "Score over the classes that the truth has, and say so."
        )
    return float(_STATISTICS[statistic](counts))


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


_STATISTICS: dict[Statistic, Callable[[NDArray[np.float64] | NDArray[np.int64]], NDArray[np.float64]]] = {
    "uar": _uar,
    "wa": _wa,
    "macro_f1": _macro_f1,
}

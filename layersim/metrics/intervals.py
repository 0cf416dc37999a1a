"""Intervals of a score: speakers drawn with replacement, percentiles of what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from layersim.metrics.scores import STATISTICS, Statistic, class_list, indices, score

FEW_SPEAKERS = 10  # below this a percentile interval over speakers is known to come out too narrow


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
    classes = class_list(truth, labels)
    score(statistic, truth, guess, classes)
    names, counts = speaker_counts(truth, guess, speakers, classes)
    if len(names) < 2:
        return None
    weights = speaker_weights(len(names), replicates, np.random.default_rng(seed))
    drawn = np.tensordot(weights, counts, axes=1)  # (R, C, C+1)
    values = STATISTICS[statistic](drawn[(drawn.sum(axis=2) > 0).all(axis=1)])
    return interval_of_draws(values, replicates, level)


def speaker_counts(
    truth: Sequence[str], guess: Sequence[str], speakers: Sequence[str], classes: Sequence[str]
) -> tuple[list[str], NDArray[np.float64]]:
    """Return the speakers in order of their names, and each one's counts, shape (S, C, C+1).

    Truth in rows, guess in columns; the last column counts guesses outside the classes.
    """
    if len(speakers) != len(truth):
        raise ValueError(f"{len(speakers)} speakers for {len(truth)} utterances")
    names, which = np.unique(np.asarray(speakers, dtype=object).astype(str), return_inverse=True)
    rows, columns = indices(truth, guess, classes)
    counts = np.zeros((len(names), len(classes), len(classes) + 1))
    np.add.at(counts, (which, np.asarray(rows), np.asarray(columns)), 1)
    return names.tolist(), counts


def interval_of_draws(values: NDArray[np.float64], replicates: int, level: float) -> Interval | None:
    """Return the interval of the draws that have every class; None if they are half of all or fewer."""
    return percentile_interval(values, level) if 2 * len(values) > replicates else None

"""Two methods on the same utterances: the difference of their UARs, how sure it is, and means over test sets.

Conventions
-----------
- A method has one row of guesses per seed; its UAR is the mean over them. Seeds are not drawn: intervals and
  p-values are about speakers.
- A speaker is told by corpus and name. Test sets of one corpus share their speakers: they are drawn, and
  swapped, in all of them together. Speakers of different corpora are drawn independently.
- With one speaker in a corpus there is neither interval nor p-value, and both are None.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from layersim.metrics.intervals import Interval, interval_of_draws, speaker_counts, speaker_weights
from layersim.metrics.scores import STATISTICS, class_list, uar
from layersim.metrics.significance import permutation_p

SWAPS_UP_TO = 12  # 2^12 = 4,096 ways to swap speakers are all counted; of more, as many as below are drawn
SWAPS_DRAWN = 9_999
_ROUNDING = 1e-9  # swaps that undo each other differ by rounding alone; one utterance changes far more

Speaker = tuple[str, str]  # corpus, name


@dataclass(frozen=True)
class MethodRuns:
    """One method's guesses on one test set.

    Attributes
    ----------
    truth, speakers : sequence of str, length N
    guesses : sequence of sequences of str, each of length N
        One per seed.
    labels : sequence of str, optional
        The class list; without it the classes are those of the truth.
    corpus : str
        Whose speakers they are.

    Raises
    ------
    ValueError
        If there is no seed.
    """

    truth: Sequence[str]
    guesses: Sequence[Sequence[str]]
    speakers: Sequence[str]
    labels: Sequence[str] | None = None
    corpus: str = ""

    def __post_init__(self) -> None:
        if not len(self.guesses):
            raise ValueError("guesses: expected those of at least one seed, got none")

    @cached_property
    def uar(self) -> float:
        """The mean UAR over the seeds."""
        return float(np.mean([uar(self.truth, guess, self.labels) for guess in self.guesses]))

    @cached_property
    def counts(self) -> tuple[list[Speaker], NDArray[np.float64]]:
        """The speakers, and each one's truths and guesses, (S, C, C+1), mean over the seeds."""
        classes = class_list(self.truth, self.labels)
        parts = [speaker_counts(self.truth, guess, self.speakers, classes) for guess in self.guesses]
        speakers = [(self.corpus, name) for name in parts[0][0]]
        return speakers, np.mean([counts for _, counts in parts], axis=0)


@dataclass(frozen=True)
class MeanScore:
    """A mean UAR over seeds and test sets, 0..1, and its interval over speakers.

    ``interval`` is None with one speaker in a corpus, or when half of the draws or more lack a class.
    """

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class PairedDifference:
    """Mean UAR of one method minus that of another, -1..1.

    Attributes
    ----------
    interval : Interval or None
        None with one speaker in a corpus, or when half of the draws or more lack a class.
    p : float or None
        Two-sided, never zero; None with one speaker in a corpus.
    smallest_p : float or None
        The least that ``p`` can be with so many speakers: 2 / 2^S, and never below 1 in 10,000. Four
        speakers cannot bring a difference below 0.125, however large it is.
    speakers : int
        S, over all corpora.
    """

    value: float
    interval: Interval | None
    p: float | None
    smallest_p: float | None
    speakers: int


def paired_speaker_test(
    truth: Sequence[str],
    guesses_a: Sequence[Sequence[str]],
    guesses_b: Sequence[Sequence[str]],
    speakers: Sequence[str],
    labels: Sequence[str] | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> PairedDifference:
    """Compare two methods on one test set; `mean_uar_difference` says how.

    Parameters
    ----------
    truth, speakers : sequence of str, length N
    guesses_a, guesses_b : sequence of sequences of str, each of length N
        One per seed; the two methods may have different numbers of seeds.

    Raises
    ------
    ValueError
        If lengths differ, a method has no seed, or the truth lacks a class.

    >>> truth, speakers = ["x", "y"] * 3, list("aabbcc")
    >>> found = paired_speaker_test(truth, [truth], [["x"] * 6], speakers)
    >>> found.value, found.interval, found.p  # of 2^3 swaps, the one made and its mirror are as extreme
    (0.5, Interval(low=0.5, high=0.5), 0.25)
    """
    one, other = (MethodRuns(truth, guesses, speakers, labels) for guesses in (guesses_a, guesses_b))
    return mean_uar_difference([one], [other], replicates=replicates, seed=seed)


def mean_uar(
    test_sets: Sequence[MethodRuns], replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> MeanScore:
    """Return one method's mean UAR over test sets of equal weight, with its interval over speakers.

    Parameters
    ----------
    test_sets : sequence of MethodRuns
        For example one per direction of transfer. With a single one, the interval is that of
        `layersim.metrics.speaker_bootstrap`.

    Raises
    ------
    ValueError
        If there is no test set, lengths differ, the method has no seed, or a truth lacks a class.
    """
    value = _mean_uar(test_sets)
    values = _draw(test_sets, replicates, seed)
    return MeanScore(value, None if values is None else interval_of_draws(values, replicates, level))


def mean_uar_difference(
    first: Sequence[MethodRuns],
    second: Sequence[MethodRuns],
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Compare two methods on the same test sets: their mean UARs over seeds and test sets of equal weight.

    The interval draws the same speakers for both methods: what a speaker makes hard for both does not widen
    it. The p-value is of a permutation test: were the methods alike, then swapping the guesses of both (of
    all seeds) for whole speakers would give as large a difference as often as not. Up to `SWAPS_UP_TO`
    speakers every way to swap is counted, beyond that `SWAPS_DRAWN` are drawn.

    Parameters
    ----------
    first, second : sequence of MethodRuns
        One per test set, in the same order; a test set has the same truth, speakers, labels and corpus in
        both. Swapping ``first`` and ``second`` negates the difference and leaves the p-value.

    Raises
    ------
    ValueError
        If the test sets differ, there is none, lengths differ, a method has no seed, or a truth lacks a
        class.
    """
    if len(first) != len(second) or any(
        (list(one.truth), list(one.speakers), one.labels, one.corpus)
        != (list(other.truth), list(other.speakers), other.labels, other.corpus)
        for one, other in zip(first, second, strict=True)
    ):
        raise ValueError("first and second: expected the same test sets, with the same truths and speakers")
    value = _mean_uar(first) - _mean_uar(second)
    shares = np.array(list(_shares(first, second).values()))
    one, other = (_draw(side, replicates, seed) for side in (first, second))
    if one is None or other is None:
        return PairedDifference(value, None, None, None, len(shares))
    return PairedDifference(
        value,
        interval_of_draws(one - other, replicates, level),
        _swap_p(shares, seed),
        max(2 / 2 ** len(shares), 1 / (1 + SWAPS_DRAWN)),
        len(shares),
    )


def _mean_uar(test_sets: Sequence[MethodRuns]) -> float:
    if not test_sets:
        raise ValueError("expected at least one test set")
    return float(np.mean([runs.uar for runs in test_sets]))


def _draw(test_sets: Sequence[MethodRuns], replicates: int, seed: int) -> NDArray[np.float64] | None:
    """Mean UAR of each draw of speakers that has every class in every test set; None with one speaker.

    Which draws those are depends on the truths alone: they are the same for two methods.
    """
    rng = np.random.default_rng(seed)
    speakers = sorted({speaker for runs in test_sets for speaker in runs.counts[0]})
    weights: dict[Speaker, NDArray[np.int64]] = {}
    for _, group in itertools.groupby(speakers, key=lambda speaker: speaker[0]):
        names = list(group)
        if len(names) < 2:
            return None
        weights |= zip(names, speaker_weights(len(names), replicates, rng).T, strict=True)
    values = np.zeros(replicates)
    for runs in test_sets:
        names, counts = runs.counts
        drawn = np.tensordot(np.stack([weights[name] for name in names], axis=1), counts, axes=1)
        values += STATISTICS["uar"](drawn) / len(test_sets)  # NaN where a class is missing
    return np.asarray(values[np.isfinite(values)])


def _shares(first: Sequence[MethodRuns], second: Sequence[MethodRuns]) -> dict[Speaker, float]:
    """Split the difference into what each speaker adds to it; swapping a speaker turns the sign of theirs.

    The truths are the same in both, so that a class's number of utterances stays whatever is swapped.
    """
    shares: dict[Speaker, float] = {}
    for one, other in zip(first, second, strict=True):
        (speakers, counts), (_, others) = one.counts, other.counts
        more_right = np.diagonal(counts - others, axis1=1, axis2=2)  # (S, C)
        added = (more_right / counts.sum(axis=(0, 2))).mean(axis=1) / len(first)
        for speaker, share in zip(speakers, added.tolist(), strict=True):
            shares[speaker] = shares.get(speaker, 0.0) + share
    return shares


def _swap_p(shares: NDArray[np.float64], seed: int) -> float:
    """Two-sided p-value of the sum of the shares under random signs."""
    observed = abs(float(shares.sum())) - _ROUNDING
    if len(shares) <= SWAPS_UP_TO:
        signs = np.array(list(itertools.product((1, -1), repeat=len(shares))))
        return float((np.abs(signs @ shares) >= observed).mean())
    rng = np.random.default_rng((seed, 1))  # not the stream of the bootstrap
    signs = 2 * rng.integers(0, 2, size=(SWAPS_DRAWN, len(shares)), dtype=np.int8) - 1
    return permutation_p(observed, np.abs(signs @ shares))

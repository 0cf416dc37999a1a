"""What one method has over another: the difference of their UARs on the same test speakers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layersim.documents import read_frame
from layersim.metrics import Interval, percentile_interval, speaker_weights

REPLICATES = 1000


@dataclass(frozen=True)
class Gain:
    """A difference of two UARs, -1..1, and its 95 % interval over speakers.

    Attributes
    ----------
    interval : Interval or None
        None with fewer than two speakers, or when half of the draws or more lack a class.
    speakers : int
    """

    value: float
    interval: Interval | None
    speakers: int

    @property
    def is_apart_from_zero(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.interval is not None and not self.interval.low <= 0 <= self.interval.high


def read_runs(folders: Sequence[Path]) -> list[pd.DataFrame]:
    """Read the test predictions of a method's runs, ``speaker, emotion, predicted`` among their columns.

    Raises
    ------
    LayersimError
        If a run's predictions are gone.
    """
    columns = ("speaker", "emotion", "predicted")
    return [
        read_frame(folder / "predictions.csv", columns, "Train again: layersim train.") for folder in folders
    ]


def uar_gain(
    first: Sequence[pd.DataFrame], second: Sequence[pd.DataFrame], classes: Sequence[str], seed: int = 0
) -> Gain:
    """Return the mean UAR of one method's runs minus that of another's, on the same utterances.

    Both are drawn with the same speakers in every replicate: what a speaker makes hard for both does not
    widen the interval. The runs' seeds are not drawn: the interval is about speakers.

    Raises
    ------
    ValueError
        If the two were not tested on the same speakers, or a class is in no utterance.

    >>> run = pd.DataFrame({"speaker": list("aabb"), "emotion": ["x", "y"] * 2, "predicted": ["x"] * 4})
    >>> right = run.assign(predicted=run["emotion"])
    >>> gain = uar_gain([right], [run], ["x", "y"])
    >>> gain.value, gain.interval
    (0.5, Interval(low=0.5, high=0.5))
    """
    (speakers, *one), (others, *other) = _recall_counts(first, classes), _recall_counts(second, classes)
    if not np.array_equal(speakers, others):
        raise ValueError("first and second: expected the same test speakers")
    drawn = speaker_weights(len(speakers), REPLICATES, np.random.default_rng(seed))
    value = _uar(np.ones((1, len(speakers))), *one) - _uar(np.ones((1, len(speakers))), *other)
    if np.isnan(value[0]):
        raise ValueError("classes: expected an utterance of each")
    differences = _uar(drawn, *one) - _uar(drawn, *other)
    known = differences[np.isfinite(differences)]
    enough = len(speakers) > 1 and 2 * len(known) > REPLICATES
    return Gain(float(value[0]), percentile_interval(known) if enough else None, len(speakers))


def _recall_counts(
    runs: Sequence[pd.DataFrame], classes: Sequence[str]
) -> tuple[NDArray[np.str_], NDArray[np.float64], NDArray[np.float64]]:
    """Speakers, and per speaker and class: utterances guessed right, and all, over all runs; (S, C) each."""
    pooled = pd.concat(list(runs), ignore_index=True)
    speakers, which = np.unique(pooled["speaker"].to_numpy(dtype=str), return_inverse=True)
    right, all_ = np.zeros((2, len(speakers), len(classes)))
    for place, name in enumerate(classes):
        there = (pooled["emotion"] == name).to_numpy(dtype=bool)
        hit = there & (pooled["predicted"] == name).to_numpy(dtype=bool)
        all_[:, place] = np.bincount(which[there], minlength=len(speakers))
        right[:, place] = np.bincount(which[hit], minlength=len(speakers))
    return speakers, right, all_


def _uar(
    weights: NDArray[np.float64] | NDArray[np.int64], right: NDArray[np.float64], all_: NDArray[np.float64]
) -> NDArray[np.float64]:
    """UAR of each draw of speakers, shape (R,); NaN where a class has no utterance."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights @ right / (weights @ all_)).mean(axis=1))

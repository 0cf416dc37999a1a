"""What chance does: speakers drawn with replacement, labels permuted within a corpus.

Conventions
-----------
- One set of draws serves all emotions, vowels and layers, so that replicate r of one layer and replicate r of
  another rest on the same speakers (and permutation r on the same labels): they are paired.
- Labels are permuted among a corpus's utterances; a phone goes with its utterance.
- Permuting a million labels two hundred times would cost more than all the rest. Above a number of utterances
  they are first put into buckets at random, all of one size, and whole buckets get a label. Bucket size and
  the number of single utterances beside them are such that each permutation gives every emotion exactly as
  many utterances as it has. A random set of random buckets is a random set of utterances: each permutation is
  drawn from the same distribution as without buckets; only their independence of each other is approximate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layersim.metrics import speaker_weights
from layersim.similarity.selection import Selection

UNIT_LIMIT = 4096  # utterances up to here are permuted one by one
UNIT_BYTES = 256 * 2**20  # and no more units than fit in this, for each of the two corpora


@dataclass(frozen=True)
class Draws:
    """The draws of one corpus."""

    weights: NDArray[np.float64]  # (R, speakers) how often each speaker is drawn
    unit_of_utterance: NDArray[np.int64]  # (N,)
    labels: NDArray[np.int8]  # (permutations, units) position in the emotions
    bucket: int  # utterances per bucket; 1 where every utterance is permuted by itself

    @property
    def units(self) -> int:
        """How many permutation units there are; 0 without a null."""
        return int(self.labels.shape[1])


def draw(
    selection: Selection, width: int, bootstraps: int, permutations: int, rng: np.random.Generator
) -> Draws:
    """Draw one corpus's speaker weights and label permutations.

    Parameters
    ----------
    width : int
        D of the features, which with the number of vowels decides how many units fit in memory.
    bootstraps, permutations : int, >= 0
    """
    speakers = len(selection.speakers)
    weights = (
        speaker_weights(speakers, bootstraps, rng).astype(np.float64)
        if bootstraps
        else np.zeros((0, speakers))
    )
    utterances = len(selection.keys)
    if not permutations:
        return Draws(weights, np.zeros(utterances, np.int64), np.zeros((0, 0), np.int8), 1)
    sizes = np.bincount(selection.emotion, minlength=len(selection.emotions))
    limit = min(UNIT_LIMIT, max(1, UNIT_BYTES // (8 * width * len(selection.vowels))))
    bucket = bucket_size(sizes, limit)
    bucket_labels = np.repeat(np.arange(len(sizes), dtype=np.int8), sizes // bucket)
    single_labels = np.repeat(np.arange(len(sizes), dtype=np.int8), sizes % bucket)
    in_buckets = len(bucket_labels) * bucket
    place = rng.permutation(utterances)
    unit = np.where(place < in_buckets, place // bucket, len(bucket_labels) + place - in_buckets)
    labels = np.empty((permutations, len(bucket_labels) + len(single_labels)), dtype=np.int8)
    for row in labels:
        row[: len(bucket_labels)] = rng.permutation(bucket_labels)
        row[len(bucket_labels) :] = rng.permutation(single_labels)
    return Draws(weights, unit, labels, bucket)


def bucket_size(sizes: NDArray[np.int64], limit: int) -> int:
    """Find the smallest bucket with which buckets and single utterances are at most ``limit`` units.

    If none reaches the limit, the size that comes nearest to it.

    Parameters
    ----------
    sizes : ndarray of int, shape (C,)
        Utterances per emotion.

    >>> bucket_size(np.array([5, 3]), limit=8), bucket_size(np.array([5, 3]), limit=5)
    (1, 2)
    """
    candidates = np.arange(1, max(int(sizes.max()), 1) + 1)
    # At size b an emotion of n utterances needs n // b buckets and n % b single utterances.
    units = np.zeros(len(candidates), dtype=np.int64)
    for size in sizes:
        units += size // candidates + size % candidates
    fitting = np.flatnonzero(units <= limit)
    return int(candidates[fitting[0] if len(fitting) else units.argmin()])

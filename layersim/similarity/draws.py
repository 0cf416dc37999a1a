"""What chance does: speakers drawn with replacement, labels permuted within a corpus.

Conventions
-----------
- One set of draws serves all labels, strata and layers, so that replicate r of one layer and replicate r of
  another rest on the same speakers (and permutation r on the same labels): they are paired.
- Labels are permuted among a corpus's items: emotions among utterances (a phone goes with its utterance), in
  the label-free form vowels among segments. Always among all of the corpus: within each utterance a short one
  with a single vowel could not change, and within each speaker the buckets below would stay too small to
  help; that no speaker rules a cell is the speaker cap's task.
- Permuting a million labels two hundred times would cost more than all the rest. Above a number of items
  they are first put into buckets at random, all of one size, and whole buckets get a label. Bucket size and
  the number of single items beside them are such that each permutation gives every label exactly as many
  items as it has. A random set of random buckets is a random set of items: each permutation is drawn from the
  same distribution as without buckets; only their independence of each other is approximate.
- With a speaker cap, single items are weighed anew in every permutation, by how many of their speaker's fall
  into the same cell. Items in buckets bring along the weight that they have under their own label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layersim.metrics import speaker_weights
from layersim.similarity.selection import Selection

UNIT_LIMIT = 4096  # items up to here are permuted one by one
UNIT_BYTES = 256 * 2**20  # and no more units than fit in this, for each of the two corpora


@dataclass(frozen=True)
class Draws:
    """The draws of one corpus."""

    weights: NDArray[np.int32]  # (R, speakers) how often each speaker is drawn
    unit_of_item: NDArray[np.int64]  # (items,)
    labels: NDArray[np.int16]  # (permutations, units) position in the labels
    bucket: int  # items per bucket; 1 where every item is permuted by itself

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
        D of the features, which with the number of strata decides how many units fit in memory.
    bootstraps, permutations : int, >= 0
    """
    speakers = len(selection.speakers)
    weights = (
        speaker_weights(speakers, bootstraps, rng).astype(np.int32)
        if bootstraps
        else np.zeros((0, speakers), np.int32)
    )
    items = len(selection.label)
    if not permutations:
        return Draws(weights, np.zeros(items, np.int64), np.zeros((0, 0), np.int16), 1)
    sizes = np.bincount(selection.label, minlength=len(selection.labels))
    limit = min(UNIT_LIMIT, max(1, UNIT_BYTES // (8 * width * len(selection.strata))))
    bucket = bucket_size(sizes, limit)
    bucket_labels = np.repeat(np.arange(len(sizes), dtype=np.int16), sizes // bucket)
    single_labels = np.repeat(np.arange(len(sizes), dtype=np.int16), sizes % bucket)
    in_buckets = len(bucket_labels) * bucket
    place = rng.permutation(items)
    unit = np.where(place < in_buckets, place // bucket, len(bucket_labels) + place - in_buckets)
    labels = np.empty((permutations, len(bucket_labels) + len(single_labels)), dtype=np.int16)
    for row in labels:
        row[: len(bucket_labels)] = rng.permutation(bucket_labels)
        row[len(bucket_labels) :] = rng.permutation(single_labels)
    return Draws(weights, unit, labels, bucket)


def bucket_size(sizes: NDArray[np.int64], limit: int) -> int:
    """Find the smallest bucket with which buckets and single items are at most ``limit`` units.

    If none reaches the limit, the size that comes nearest to it.

    Parameters
    ----------
    sizes : ndarray of int, shape (C,)
        Items per label.

    >>> bucket_size(np.array([5, 3]), limit=8), bucket_size(np.array([5, 3]), limit=5)
    (1, 2)
    """
    candidates = np.arange(1, max(int(sizes.max()), 1) + 1)
    # At size b a label of n items needs n // b buckets and n % b single items.
    units = np.zeros(len(candidates), dtype=np.int64)
    for size in sizes:
        units += size // candidates + size % candidates
    fitting = np.flatnonzero(units <= limit)
    return int(candidates[fitting[0] if len(fitting) else units.argmin()])

"""Sums of feature vectors per cell, streamed from the cache: all that the similarities need.

The mean cosine over all pairs of two sets is the dot product of their means of unit vectors,

    (1 / NM) sum_ij <x_i, y_j> / (|x_i| |y_j|)  =  < mean_i x_i / |x_i| , mean_j y_j / |y_j| >,

so that no N x M matrix is needed, and a bootstrap over speakers only reweights per-speaker sums.

Conventions
-----------
- A layer is read in chunks of rows, twice for ``centred`` and ``zscored`` (statistics, then sums), once for
  ``raw``. Memory depends on the number of occupied cells and permutation units, not on the number of rows.
- Sums are float64; features come as float32.
- ``centred`` takes off the mean of all selected train rows of the corpus, ``zscored`` also divides by their
  population standard deviation (a constant dimension becomes 0); at phoneme level within each vowel, so that
  a vowel's identity does not pose as emotion. These statistics are taken once and stay fixed in bootstrap
  and null: they belong to the definition of the features, not to the sample of an emotion.
- A vector of length zero has no direction; it is counted, and its cosine with anything is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from layersim.similarity.selection import Selection

if TYPE_CHECKING:
    from layersim.features.cache import FeatureCache

Metric = Literal["pairwise", "centroid"]
Features = Literal["raw", "centred", "zscored"]

CHUNK_ROWS = 4096  # of 768 float64 values: 25 MB at a time


@dataclass(frozen=True)
class Moments:
    """One corpus in one layer: sums of prepared vectors per cell and speaker, and per permutation unit."""

    cells: NDArray[np.float64]  # (G, D) one row per occupied (vowel, emotion, speaker)
    units: NDArray[np.float64]  # (vowels, units, D); no rows without a null
    zero_vectors: int


@dataclass(frozen=True)
class Grouping:
    """Which sums each selected row goes into; the same for all layers."""

    cell_of_row: NDArray[np.int64]  # (rows of the product,) index into the occupied cells; -1 elsewhere
    cell_vowel: NDArray[np.int64]  # (G,)
    cell_emotion: NDArray[np.int64]  # (G,)
    cell_speaker: NDArray[np.int64]  # (G,)
    cell_count: NDArray[np.int64]  # (G,) rows
    unit_of_row: NDArray[np.int64]  # (rows of the product,) index into vowels x units; -1 elsewhere
    unit_count: NDArray[np.int64]  # (vowels, units) rows


def group_rows(selection: Selection, unit_of_utterance: NDArray[np.int64], units: int) -> Grouping:
    """Number the occupied cells and the permutation units of a selection.

    Parameters
    ----------
    unit_of_utterance : ndarray of int, shape (N,)
        Which permutation unit each selected utterance is in, 0..units-1.
    """
    rows = np.flatnonzero(selection.mask)
    utterance, vowel = selection.utterance[rows], selection.vowel[rows]
    shape = (len(selection.vowels), len(selection.emotions), len(selection.speakers))
    code = np.ravel_multi_index((vowel, selection.emotion[utterance], selection.speaker[utterance]), shape)
    occupied, cell, count = np.unique(code, return_inverse=True, return_counts=True)
    cell_vowel, cell_emotion, cell_speaker = np.unravel_index(occupied, shape)
    cell_of_row = np.full(len(selection.mask), -1, dtype=np.int64)
    cell_of_row[rows] = cell
    unit_of_row = np.full(len(selection.mask), -1, dtype=np.int64)
    unit_count = np.zeros((len(selection.vowels), units), dtype=np.int64)
    if units:
        unit_of_row[rows] = vowel * units + unit_of_utterance[utterance]
        np.add.at(unit_count.reshape(-1), unit_of_row[rows], 1)
    return Grouping(cell_of_row, cell_vowel, cell_emotion, cell_speaker, count, unit_of_row, unit_count)


def gather(
    cache: FeatureCache,
    selection: Selection,
    grouping: Grouping,
    layer: str,
    metric: Metric,
    features: Features,
) -> Moments:
    """Stream one layer of one corpus into its sums."""
    statistics = None if features == "raw" else _statistics(cache, selection, layer, features)
    cells = np.zeros((len(grouping.cell_count), cache.width))
    units = np.zeros((grouping.unit_count.size, cache.width))
    zero_vectors = 0
    for rows, values in _chunks(cache, selection, layer):
        prepared = values
        if statistics is not None:
            shift, scale = statistics
            vowel = selection.vowel[rows]
            prepared = (values - shift[vowel]) / scale[vowel]
        length = np.sqrt(np.einsum("nd,nd->n", prepared, prepared))
        zero_vectors += int(np.count_nonzero(length == 0))
        if metric == "pairwise":
            prepared = prepared / np.where(length > 0, length, 1.0)[:, None]
        _add(cells, grouping.cell_of_row[rows], prepared)
        if len(units):
            _add(units, grouping.unit_of_row[rows], prepared)
    return Moments(cells, units.reshape(*grouping.unit_count.shape, cache.width), zero_vectors)


def _chunks(
    cache: FeatureCache, selection: Selection, layer: str
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    for rows, values in cache.chunks(selection.product, layer, selection.mask, CHUNK_ROWS):
        yield rows, values.astype(np.float64)


def _statistics(
    cache: FeatureCache, selection: Selection, layer: str, features: Features
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and divisor per vowel, each (vowels, D).

    Squares are summed around the first chunk's mean: around zero, an outlier dimension with a large mean
    and a small spread would lose its digits.
    """
    width, vowels = cache.width, len(selection.vowels)
    origin = np.zeros(width)
    total, squares = np.zeros((vowels, width)), np.zeros((vowels, width))
    count = np.zeros((vowels, 1))
    first = True
    for rows, values in _chunks(cache, selection, layer):
        if first:
            origin, first = values.mean(axis=0), False
        vowel = selection.vowel[rows]
        centred = values - origin
        _add(total, vowel, centred)
        if features == "zscored":
            _add(squares, vowel, centred**2)
        np.add.at(count, vowel, 1)
    count = np.maximum(count, 1)
    mean = total / count
    scale = np.ones_like(mean)
    if features == "zscored":
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        # Below this share of the values' own size a deviation is rounding, not spread.
        constant = deviation <= 1e-7 * (np.abs(mean + origin) + np.abs(origin))
        scale = np.where(constant, 1.0, deviation)
    return mean + origin, scale


def _add(sums: NDArray[np.float64], group: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    """``sums[group[i]] += values[i]`` for all i; a sparse product is far faster than ``np.add.at``."""
    present, compact = np.unique(group, return_inverse=True)
    rows = len(group)
    membership = sparse.csr_array(
        (np.ones(rows), (compact, np.arange(rows))), shape=(len(present), rows), dtype=np.float64
    )
    sums[present] += membership @ values

"""Sums of feature vectors per cell, streamed from the cache: all that the similarities need.

The mean cosine over all pairs of two sets is the dot product of their means of unit vectors,

    (1 / NM) sum_ij <x_i, y_j> / (|x_i| |y_j|)  =  < mean_i x_i / |x_i| , mean_j y_j / |y_j| >,

so that no N x M matrix is needed, and a bootstrap over speakers only reweights per-speaker sums. The same
holds for weighted means.

Conventions
-----------
- A layer is read in chunks of rows, twice for ``centred`` and ``zscored`` (statistics, then sums), once for
  ``raw``. Memory depends on the number of occupied cells and permutation units, not on the number of rows.
- Sums are float64; features come as float32.
- Speaker cap: of the n rows of one speaker in one cell each weighs min(1, cap / n), so that together they
  weigh at most as ``cap`` rows. Nothing is drawn or thrown away. A cell's *effective* count is the sum of its
  weights.
- ``centred`` takes off the weighted mean of all selected train rows of the corpus, ``zscored`` also divides
  by their population standard deviation (a constant dimension becomes 0); at phoneme level within each vowel,
  so that a vowel's identity does not pose as emotion. In the label-free form, where the vowel is what is
  compared, that would leave nothing: there the mean is that of the corpus's vowel means, each compared vowel
  with equal weight (and so the deviation), so that what all its speech has in common goes and what tells
  vowels apart stays. These statistics are taken once and stay fixed in bootstrap and null: they belong to the
  definition of the features, not to the sample of a label.
- A vector of length zero has no direction; it is counted, and its cosine with anything is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from layersim.similarity.draws import Draws
from layersim.similarity.selection import Selection
from layersim.similarity.settings import Features, Metric

if TYPE_CHECKING:
    from layersim.features.cache import FeatureCache

CHUNK_ROWS = 4096  # of 768 float64 values: 25 MB at a time


@dataclass(frozen=True)
class Moments:
    """One corpus in one layer: weighted sums of prepared vectors per cell, and sums per permutation unit."""

    cells: NDArray[np.float64]  # (G, D) one row per occupied (stratum, label, speaker)
    units: NDArray[np.float64]  # (strata, units, D); no rows without a null
    zero_vectors: int


@dataclass(frozen=True)
class Grouping:
    """Which sums each selected row goes into, and with what weight; the same for all layers."""

    cell_of_row: NDArray[np.int64]  # (rows of the product,) index into the occupied cells; -1 elsewhere
    cell_stratum: NDArray[np.int64]  # (G,)
    cell_label: NDArray[np.int64]  # (G,)
    cell_speaker: NDArray[np.int64]  # (G,)
    cell_weight: NDArray[np.float64]  # (G,) of each of its rows
    cell_count: NDArray[np.float64]  # (G,) effective: rows times weight
    cell_share: NDArray[np.float64]  # (G,) of each of its rows, in the statistics of centred and zscored
    stratum_total: NDArray[np.float64]  # (strata,) sum of these shares over rows
    unit_of_row: NDArray[np.int64]  # (rows of the product,) index into strata x units; -1 elsewhere
    unit_count: NDArray[np.float64]  # (strata, units) rows, or the sum of the weights they bring along
    unit_speaker: NDArray[np.int64] | None  # (units,) where each null draw weighs anew; None: weights stay
    cap: int


def group_rows(
    selection: Selection, draws: Draws, cap: int = 0, equal: NDArray[np.bool_] | None = None
) -> Grouping:
    """Number the occupied cells and the permutation units of a selection, and weigh their rows.

    Parameters
    ----------
    cap : int
        As how many rows those of one speaker in one cell count at most; 0: no cap.
    equal : ndarray of bool, shape (labels,), optional
        Label-free: the labels that make the statistics of ``centred`` and ``zscored``, each with the same
        weight. Default: all rows, by their weights.
    """
    rows = np.flatnonzero(selection.mask)
    shape = (len(selection.strata), len(selection.labels), len(selection.speakers))
    code = np.ravel_multi_index(tuple(selection.cells), shape)
    occupied, cell, count = np.unique(code, return_inverse=True, return_counts=True)
    cell_stratum, cell_label, cell_speaker = np.unravel_index(occupied, shape)
    weight: NDArray[np.float64] = np.minimum(1.0, cap / count) if cap else np.ones(len(count))
    effective = np.asarray(count * weight, dtype=np.float64)
    share = weight
    if equal is not None:
        of_label = np.bincount(cell_label, effective, minlength=shape[1])
        share = np.where(equal[cell_label], weight / of_label[cell_label], 0.0)
    cell_of_row = np.full(len(selection.mask), -1, dtype=np.int64)
    cell_of_row[rows] = cell
    unit_of_row = np.full(len(selection.mask), -1, dtype=np.int64)
    unit_count = np.zeros((shape[0], draws.units))
    # Single items are weighed anew in every permutation; a bucket holds items of several speakers.
    weighs_anew = bool(cap) and draws.bucket == 1
    if draws.units:
        unit_of_row[rows] = selection.stratum[rows] * draws.units + draws.unit_of_item[selection.item[rows]]
        brought = np.ones(len(rows)) if weighs_anew else weight[cell]
        np.add.at(unit_count.reshape(-1), unit_of_row[rows], brought)
    unit_speaker = np.zeros(draws.units, dtype=np.int64)
    if weighs_anew and draws.units:
        unit_speaker[draws.unit_of_item] = selection.speaker
    return Grouping(
        cell_of_row, cell_stratum, cell_label, cell_speaker, weight, effective, share,
        np.bincount(cell_stratum, count * share, minlength=shape[0]).astype(np.float64),
        unit_of_row, unit_count, unit_speaker if weighs_anew else None, cap,
    )  # fmt: skip


def gather(
    cache: FeatureCache,
    selection: Selection,
    grouping: Grouping,
    layer: str,
    metric: Metric,
    features: Features,
) -> Moments:
    """Stream one layer of one corpus into its sums."""
    statistics = None if features == "raw" else _statistics(cache, selection, grouping, layer, features)
    cells = np.zeros((len(grouping.cell_count), cache.width))
    units = np.zeros((grouping.unit_count.size, cache.width))
    zero_vectors = 0
    for rows, values in _chunks(cache, selection, layer):
        prepared = values
        if statistics is not None:
            shift, scale = statistics
            stratum = selection.stratum[rows] if len(shift) > 1 else slice(None)  # one broadcasts
            prepared = values - shift[stratum]
            if features == "zscored":
                prepared /= scale[stratum]
        length = np.sqrt(np.einsum("nd,nd->n", prepared, prepared))
        zero_vectors += int(np.count_nonzero(length == 0))
        if metric == "pairwise":
            prepared = prepared / np.where(length > 0, length, 1.0)[:, None]
        cell = grouping.cell_of_row[rows]
        _add(cells, cell, prepared)
        if len(units):
            as_they_are = grouping.unit_speaker is not None or not grouping.cap
            brought = prepared if as_they_are else prepared * grouping.cell_weight[cell, None]
            _add(units, grouping.unit_of_row[rows], brought)
    cells *= grouping.cell_weight[:, None]
    return Moments(cells, units.reshape(*grouping.unit_count.shape, cache.width), zero_vectors)


def _chunks(
    cache: FeatureCache, selection: Selection, layer: str
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    for rows, values in cache.chunks(selection.product, layer, selection.mask, CHUNK_ROWS):
        yield rows, values.astype(np.float64)


def _statistics(
    cache: FeatureCache, selection: Selection, grouping: Grouping, layer: str, features: Features
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and divisor per stratum, each (strata, D).

    Squares are summed around the first chunk's mean: around zero, an outlier dimension with a large mean
    and a small spread would lose its digits.
    """
    width, strata = cache.width, len(selection.strata)
    origin = np.zeros(width)
    total, squares = np.zeros((strata, width)), np.zeros((strata, width))
    first = True
    for rows, values in _chunks(cache, selection, layer):
        if first:
            origin, first = values.mean(axis=0), False
        stratum = selection.stratum[rows]
        share = grouping.cell_share[grouping.cell_of_row[rows], None]
        centred = values - origin
        _add(total, stratum, centred * share)
        if features == "zscored":
            _add(squares, stratum, centred**2 * share)
    count = grouping.stratum_total[:, None]
    count = np.where(count > 0, count, 1.0)
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
    present, compact, count = np.unique(group, return_inverse=True, return_counts=True)
    members = np.argsort(compact, kind="stable")  # stable: the order of addition decides the last digit
    begins = np.concatenate([[0], np.cumsum(count)])
    membership = sparse.csr_array((np.ones(len(group)), members, begins), shape=(len(present), len(group)))
    sums[present] += membership @ values

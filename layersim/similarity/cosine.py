"""Cosine similarity of two corpora in one layer, label by label, with interval, null, baseline and spread.

For label e (an emotion; in the label-free form a vowel), corpora A and B, with the vectors prepared and
weighted as `moments` says:

- ``pairwise``: mean cosine over all cross pairs = dot product of the two means of unit vectors;
- ``centroid``: cosine of the two mean vectors.

The two differ widely on the same data (0.04 against 0.88 in one case): every output names its definition.

Conventions
-----------
- At phoneme level the value of an emotion is the mean over vowels, each with equal weight, of the vowel's
  value; only vowels whose cells suffice in both corpora count. A layer's score is the mean over labels.
- The interval is the percentile interval over speakers drawn with replacement in both corpora. A draw that
  leaves a vowel's cell empty averages over the other vowels; one that leaves an emotion empty is left out.
  No interval where a value rests on one speaker of a corpus, or half of the draws or more are left out.
- The null is the same value under permuted labels; ``p`` is the share of permutations that reach the value.
  Label-free it lies a little above 0: permuted vowels are all alike the mean of segments, in which frequent
  vowels weigh more than in the mean of vowels that was taken off.
- ``different`` is the similarity of label e in one corpus to the *other* labels in the other corpus (mean
  over these and over both directions). Where it is as high as the value itself, the value shows what the
  corpora share whatever the label.
- ``spread`` is the standard deviation (population) over vowels of the vowels' values: at phoneme level one
  for each emotion, in the label-free form one in all. See `estimate` for its interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layersim.similarity.draws import Draws
from layersim.similarity.estimate import Estimate, deviation_over, estimate, mean_over, spread_estimate
from layersim.similarity.moments import Grouping, Moments
from layersim.similarity.selection import Selection
from layersim.similarity.settings import Metric

_NULL_BLOCK = 2**23  # entries of one block of permutations by labels by units: 64 MB


@dataclass(frozen=True)
class Side:
    """One corpus: what is compared, how its rows are grouped, what was drawn."""

    selection: Selection
    grouping: Grouping
    draws: Draws


@dataclass(frozen=True)
class Cells:
    """Which cells may be compared, and which of them rest on two speakers or more in both corpora."""

    used: NDArray[np.bool_]  # (strata, labels) enough rows in both corpora
    enough: tuple[NDArray[np.bool_], NDArray[np.bool_]]  # the same for each corpus by itself
    value_trusted: NDArray[np.bool_]  # (strata, labels)
    label_trusted: NDArray[np.bool_]  # (labels,)
    score_trusted: bool

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Which labels have a value, shape (labels,)."""
        return np.asarray(self.used.any(axis=0))


@dataclass(frozen=True)
class LayerSimilarity:
    """All values of one layer."""

    layer: str
    score: Estimate
    score_replicates: NDArray[np.float64]  # (R,) NaN where a draw leaves a label empty
    labels: list[Estimate]
    cells: list[list[Estimate]]  # [stratum][label]
    spread: list[Estimate]  # over vowels: per label with strata, else one; empty at utterance level


def usable_cells(source: Selection, target: Selection, minimum: int) -> Cells:
    """Decide which cells have at least ``minimum`` rows in both corpora."""
    enough = source.counts >= minimum, target.counts >= minimum
    used = enough[0] & enough[1]
    value_trusted = used.copy()
    labels = np.asarray(used.any(axis=0))
    label_trusted, score_trusted = labels.copy(), True
    for side in (source, target):
        spoken = side.spoken & used[:, :, None]
        value_trusted &= spoken.sum(axis=2) >= 2
        label_trusted &= spoken.any(axis=0).sum(axis=1) >= 2
        score_trusted &= bool(spoken.any(axis=(0, 1)).sum() >= 2)
    if source.vowel_axis != 1:
        score_trusted = bool(label_trusted[labels].all())
    return Cells(used, enough, value_trusted, np.asarray(label_trusted), score_trusted)


def compare(
    layer: str,
    sides: tuple[Side, Side],
    moments: tuple[Moments, Moments],
    cells: Cells,
    metric: Metric,
) -> LayerSimilarity:
    """Compute every value of one layer from both corpora's sums."""
    axis = sides[0].selection.vowel_axis
    means = [_cell_means(side, sums) for side, sums in zip(sides, moments, strict=True)]
    between = _between(means[0], means[1], cells, metric)  # (S, E, E)
    value = np.where(cells.used, np.diagonal(between, axis1=1, axis2=2), np.nan)
    different = np.where(cells.used, _different(between), np.nan)
    replicates = _replicates(sides, moments, cells, metric)  # (S, E, R)
    null = _null(sides, moments, cells, metric)  # (S, E, permutations)
    labels = cells.labels
    by_label = [mean_over(array, 0) for array in (value, different, replicates, null)]
    drawn = by_label[2][labels]
    score_replicates = mean_over(drawn, 0) if axis == 1 else drawn.mean(axis=0)
    score = estimate(
        float(by_label[0][labels].mean()), score_replicates, by_label[3][labels].mean(axis=0),
        float(mean_over(by_label[1], 0)), cells.score_trusted,
    )  # fmt: skip
    spread = []
    if axis is not None:
        trusted = cells.label_trusted if axis == 0 else np.array([cells.score_trusted])
        spread = [
            spread_estimate(*parts)
            for parts in zip(
                *(deviation_over(array, axis) for array in (value, replicates, null)), trusted, strict=True
            )
        ]
    return LayerSimilarity(
        layer, score, score_replicates,
        [estimate(*parts) for parts in zip(
            by_label[0], by_label[2], by_label[3], by_label[1], cells.label_trusted, strict=True)],
        [[estimate(*parts) for parts in zip(*rows, strict=True)] for rows in zip(
            value, replicates, null, different, cells.value_trusted, strict=True)],
        spread,
    )  # fmt: skip


def _cell_means(side: Side, sums: Moments) -> NDArray[np.float64]:
    """Weighted mean prepared vector per cell, (S, E, D); 0 for an empty cell, which is never used."""
    grouping, selection = side.grouping, side.selection
    shape = len(selection.strata), len(selection.labels)
    cell = (grouping.cell_stratum, grouping.cell_label)
    total, count = np.zeros((*shape, sums.cells.shape[1])), np.zeros(shape)
    np.add.at(total, cell, sums.cells)
    np.add.at(count, cell, grouping.cell_count)
    return np.asarray(total / np.where(count > 0, count, 1.0)[:, :, None])


def _between(
    first: NDArray[np.float64], second: NDArray[np.float64], cells: Cells, metric: Metric
) -> NDArray[np.float64]:
    """Similarity of every label of one corpus with every label of the other, (S, E, E)."""
    if metric == "centroid":
        first, second = _unit(first), _unit(second)
    values = np.einsum("ved,vfd->vef", first, second)
    allowed = cells.enough[0][:, :, None] & cells.enough[1][:, None, :]
    return np.where(allowed, np.clip(values, -1.0, 1.0), np.nan)


def _different(between: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean similarity of each label to the other labels, both directions, (S, E)."""
    off = np.where(np.eye(between.shape[1], dtype=bool), np.nan, between)
    return mean_over(np.concatenate([off, off.transpose(0, 2, 1)], axis=2), 2)


def _replicates(
    sides: tuple[Side, Side], moments: tuple[Moments, Moments], cells: Cells, metric: Metric
) -> NDArray[np.float64]:
    """Value of every used cell in every speaker draw, (S, E, R); NaN where a draw leaves it empty."""
    found = np.full((*cells.used.shape, len(sides[0].draws.weights)), np.nan)
    if not found.shape[2]:
        return found
    for stratum, label in np.argwhere(cells.used):
        drawn = []
        for side, sums in zip(sides, moments, strict=True):
            grouping = side.grouping
            rows = np.flatnonzero((grouping.cell_stratum == stratum) & (grouping.cell_label == label))
            weights = side.draws.weights[:, grouping.cell_speaker[rows]].astype(np.float64)
            drawn.append((weights @ sums.cells[rows], weights @ grouping.cell_count[rows]))
        found[stratum, label] = _row_similarity(drawn[0], drawn[1], metric)
    return found


def _null(
    sides: tuple[Side, Side], moments: tuple[Moments, Moments], cells: Cells, metric: Metric
) -> NDArray[np.float64]:
    """Value of every used cell under every label permutation, (S, E, permutations)."""
    labels = np.flatnonzero(cells.labels)
    permutations = len(sides[0].draws.labels)
    found = np.full((*cells.used.shape, permutations), np.nan)
    block = max(1, _NULL_BLOCK // max(1, len(labels) * max(side.draws.units for side in sides)))
    for start in range(0, permutations, block):
        members = [
            (side.draws.labels[start : start + block, None, :] == labels[:, None]).astype(np.float64)
            for side in sides
        ]  # (block, E, units)
        for stratum in np.flatnonzero(cells.used.any(axis=1)):
            drawn = [
                _permuted(side.grouping, sums, member, int(stratum))
                for side, sums, member in zip(sides, moments, members, strict=True)
            ]
            values = _row_similarity(drawn[0], drawn[1], metric).reshape(-1, len(labels)).T
            found[stratum, labels, start : start + block] = np.where(
                cells.used[stratum, labels][:, None], values, np.nan
            )
    return found


def _permuted(
    grouping: Grouping, sums: Moments, member: NDArray[np.float64], stratum: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums and effective counts of one stratum, one row for each permutation and label."""
    units, count = sums.units[stratum], grouping.unit_count[stratum]
    member = member.reshape(-1, member.shape[2])
    if grouping.unit_speaker is not None:
        speakers, place = np.unique(grouping.unit_speaker, return_inverse=True)
        of_speaker = np.zeros((len(member), len(speakers)))  # rows that each speaker has in each cell
        for speaker in range(len(speakers)):
            own = place == speaker
            of_speaker[:, speaker] = member[:, own] @ count[own]
        weight = np.minimum(1.0, grouping.cap / np.maximum(of_speaker, 1.0))
        member = member * weight[:, place]
    return member @ units, member @ count


def _row_similarity(
    first: tuple[NDArray[np.float64], NDArray[np.float64]],
    second: tuple[NDArray[np.float64], NDArray[np.float64]],
    metric: Metric,
) -> NDArray[np.float64]:
    """Similarity of matching rows of two (sums, counts); NaN where a count is 0."""
    (first_sum, first_count), (second_sum, second_count) = first, second
    dot = np.einsum("rd,rd->r", first_sum, second_sum)
    pairs = first_count * second_count
    scale = (
        pairs
        if metric == "pairwise"
        else np.linalg.norm(first_sum, axis=1) * np.linalg.norm(second_sum, axis=1)
    )
    values = np.zeros_like(dot)
    np.divide(dot, scale, out=values, where=scale > 0)
    return np.where(pairs > 0, np.clip(values, -1.0, 1.0), np.nan)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0))

"""Emotion-specific cosine similarity of two corpora in one layer, with interval, null and baseline.

For emotion e, corpora A and B, with the vectors prepared as `moments` says:

- ``pairwise``: mean cosine over all cross pairs = dot product of the two means of unit vectors;
- ``centroid``: cosine of the two mean vectors.

The two differ widely on the same data (0.04 against 0.88 in one case): every output names its definition.

Conventions
-----------
- At phoneme level the value of an emotion is the mean over vowels, each with equal weight, of the vowel's
  value; only vowels whose cells suffice in both corpora count. A layer's score is the mean over emotions.
- The interval is the percentile interval over speakers drawn with replacement in both corpora. A draw that
  leaves a vowel's cell empty averages over the other vowels; one that leaves an emotion empty is left out.
  No interval where a value rests on one speaker of a corpus, or half of the draws or more are left out.
- The null is the same value under permuted labels; ``p`` is the share of permutations that reach the value.
- ``different`` is the similarity of emotion e in one corpus to the *other* emotions in the other corpus (mean
  over these and over both directions). Where it is as high as the value itself, the value shows what the
  corpora share whatever the emotion.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from layersim.metrics import Interval, percentile_interval, permutation_p
from layersim.similarity.draws import Draws
from layersim.similarity.moments import Features, Grouping, Metric, Moments
from layersim.similarity.selection import Level, Selection

_PREPARED: dict[Features, str] = {
    "raw": "features as they are",
    "centred": "each corpus's mean{within} removed",
    "zscored": "each corpus standardised{within}",
}


@dataclass(frozen=True)
class Estimate:
    """A similarity and what it is to be held against; None where there is nothing to say."""

    value: float | None
    low: float | None = None
    high: float | None = None
    null_mean: float | None = None
    null_low: float | None = None
    null_high: float | None = None
    p: float | None = None
    different: float | None = None

    def as_row(self, name: str) -> dict[str, float | None]:
        """One table row, the value in a column called ``name``."""
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: row.pop("value"), **row}

    @property
    def interval(self) -> Interval | None:
        """The two ends, or None if refused."""
        return None if self.low is None or self.high is None else Interval(self.low, self.high)


@dataclass(frozen=True)
class Side:
    """One corpus: what is compared, how its rows are grouped, what was drawn."""

    selection: Selection
    grouping: Grouping
    draws: Draws


@dataclass(frozen=True)
class Cells:
    """Which cells may be compared, and which of them rest on two speakers or more in both corpora."""

    used: NDArray[np.bool_]  # (vowels, emotions) enough rows in both corpora
    enough: tuple[NDArray[np.bool_], NDArray[np.bool_]]  # the same for each corpus by itself
    value_trusted: NDArray[np.bool_]  # (vowels, emotions)
    emotion_trusted: NDArray[np.bool_]  # (emotions,)

    @property
    def emotions(self) -> NDArray[np.bool_]:
        """Which emotions have a value, shape (emotions,)."""
        return np.asarray(self.used.any(axis=0))


@dataclass(frozen=True)
class LayerSimilarity:
    """All values of one layer."""

    layer: str
    score: Estimate
    score_replicates: NDArray[np.float64]  # (R,) NaN where a draw leaves an emotion empty
    emotions: list[Estimate]
    vowels: list[list[Estimate]]  # [vowel][emotion]


def definition(metric: Metric, features: Features, level: Level) -> str:
    """Name the similarity in one line.

    >>> print(definition("pairwise", "centred", "utterance"))
    pairwise cosine (mean over all cross-corpus pairs of utterances), each corpus's mean removed
    """
    unit, within = ("utterances", "") if level == "utterance" else ("vowel segments", " within each vowel")
    kind = (
        f"pairwise cosine (mean over all cross-corpus pairs of {unit})"
        if metric == "pairwise"
        else f"centroid cosine (cosine of the two mean vectors over {unit})"
    )
    average = "" if level == "utterance" else "; per vowel, then averaged over the shared vowels"
    return f"{kind}, {_PREPARED[features].format(within=within)}{average}"


def usable_cells(source: Selection, target: Selection, minimum: int) -> Cells:
    """Decide which (vowel, emotion) cells have at least ``minimum`` rows in both corpora."""
    enough = source.counts >= minimum, target.counts >= minimum
    used = enough[0] & enough[1]
    value_trusted = used.copy()
    emotion_trusted = used.any(axis=0)
    for side in (source, target):
        value_trusted &= side.spoken.sum(axis=2) >= 2
        emotion_trusted &= (side.spoken & used[:, :, None]).any(axis=0).sum(axis=1) >= 2
    return Cells(used, enough, value_trusted, np.asarray(emotion_trusted))


def compare(
    layer: str, sides: tuple[Side, Side], moments: tuple[Moments, Moments], cells: Cells, metric: Metric
) -> LayerSimilarity:
    """Compute every value of one layer from both corpora's sums."""
    means = [_cell_means(side, sums) for side, sums in zip(sides, moments, strict=True)]
    between = _between(means[0], means[1], cells, metric)  # (V, E, E)
    value = np.where(cells.used, np.diagonal(between, axis1=1, axis2=2), np.nan)
    different = np.where(cells.used, _different(between), np.nan)
    replicates = _replicates(sides, moments, cells, metric)  # (V, E, R)
    null = _null(sides, moments, cells, metric)  # (V, E, permutations)
    emotions = cells.emotions
    by_emotion = [mean_over(array, 0) for array in (value, different, replicates, null)]
    score_replicates = by_emotion[2][emotions].mean(axis=0)
    score = _estimate(
        float(by_emotion[0][emotions].mean()), score_replicates, by_emotion[3][emotions].mean(axis=0),
        float(mean_over(by_emotion[1], 0)), bool(cells.emotion_trusted[emotions].all()),
    )  # fmt: skip
    return LayerSimilarity(
        layer, score, score_replicates,
        [_estimate(*parts) for parts in zip(
            by_emotion[0], by_emotion[2], by_emotion[3], by_emotion[1], cells.emotion_trusted, strict=True)],
        [[_estimate(*parts) for parts in zip(*rows, strict=True)] for rows in zip(
            value, replicates, null, different, cells.value_trusted, strict=True)],
    )  # fmt: skip


def mean_over(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Mean over the entries that are not NaN; NaN where there is none.

    >>> mean_over(np.array([[1.0, np.nan], [3.0, np.nan]]), 0)
    array([ 2., nan])
    """
    there = np.isfinite(values)
    count = there.sum(axis=axis)
    total = np.where(there, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _cell_means(side: Side, sums: Moments) -> NDArray[np.float64]:
    """Mean prepared vector per cell, (V, E, D); 0 for an empty cell, which is never used."""
    grouping, selection = side.grouping, side.selection
    total = np.zeros((len(selection.vowels), len(selection.emotions), sums.cells.shape[1]))
    np.add.at(total, (grouping.cell_vowel, grouping.cell_emotion), sums.cells)
    return np.asarray(total / np.maximum(selection.counts, 1)[:, :, None])


def _between(
    first: NDArray[np.float64], second: NDArray[np.float64], cells: Cells, metric: Metric
) -> NDArray[np.float64]:
    """Similarity of every emotion of one corpus with every emotion of the other, (V, E, E)."""
    if metric == "centroid":
        first, second = _unit(first), _unit(second)
    values = np.einsum("ved,vfd->vef", first, second)
    allowed = cells.enough[0][:, :, None] & cells.enough[1][:, None, :]
    return np.where(allowed, np.clip(values, -1.0, 1.0), np.nan)


def _different(between: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean similarity of each emotion to the other emotions, both directions, (V, E)."""
    off = np.where(np.eye(between.shape[1], dtype=bool), np.nan, between)
    return mean_over(np.concatenate([off, off.transpose(0, 2, 1)], axis=2), 2)


def _replicates(
    sides: tuple[Side, Side], moments: tuple[Moments, Moments], cells: Cells, metric: Metric
) -> NDArray[np.float64]:
    """Value of every used cell in every speaker draw, (V, E, R); NaN where a draw leaves it empty."""
    found = np.full((*cells.used.shape, len(sides[0].draws.weights)), np.nan)
    if not found.shape[2]:
        return found
    for vowel, emotion in np.argwhere(cells.used):
        drawn = []
        for side, sums in zip(sides, moments, strict=True):
            grouping = side.grouping
            rows = np.flatnonzero((grouping.cell_vowel == vowel) & (grouping.cell_emotion == emotion))
            weights = side.draws.weights[:, grouping.cell_speaker[rows]]
            drawn.append((weights @ sums.cells[rows], weights @ grouping.cell_count[rows]))
        found[vowel, emotion] = _row_similarity(drawn[0], drawn[1], metric)
    return found


def _null(
    sides: tuple[Side, Side], moments: tuple[Moments, Moments], cells: Cells, metric: Metric
) -> NDArray[np.float64]:
    """Value of every used cell under every label permutation, (V, E, permutations)."""
    emotions = np.flatnonzero(cells.emotions)
    found = np.full((*cells.used.shape, len(sides[0].draws.labels)), np.nan)
    if not found.shape[2]:
        return found
    members = [
        (side.draws.labels[:, None, :] == emotions[:, None]).astype(np.float64) for side in sides
    ]  # (permutations, E, units)
    for vowel in np.flatnonzero(cells.used.any(axis=1)):
        drawn = []
        for side, sums, member in zip(sides, moments, members, strict=True):
            flat = member.reshape(-1, member.shape[2])
            drawn.append((flat @ sums.units[vowel], flat @ side.grouping.unit_count[vowel]))
        values = _row_similarity(drawn[0], drawn[1], metric).reshape(-1, len(emotions)).T
        found[vowel, emotions] = np.where(cells.used[vowel, emotions][:, None], values, np.nan)
    return found


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


def _estimate(
    value: float,
    replicates: NDArray[np.float64],
    null: NDArray[np.float64],
    different: float,
    trusted: bool,
) -> Estimate:
    if not np.isfinite(value):
        return Estimate(None)
    low = high = null_mean = null_low = null_high = p = None
    drawn = replicates[np.isfinite(replicates)]
    if trusted and 2 * len(drawn) > len(replicates):
        interval = percentile_interval(drawn)
        low, high = interval.low, interval.high
    permuted = null[np.isfinite(null)]
    if len(permuted):
        span = percentile_interval(permuted)
        null_mean, null_low, null_high = float(permuted.mean()), span.low, span.high
        p = permutation_p(value, permuted)
    return Estimate(
        float(value), low, high, null_mean, null_low, null_high, p,
        float(different) if np.isfinite(different) else None,
    )  # fmt: skip

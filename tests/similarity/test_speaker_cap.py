"""Weights of segments against explicit weighted matrices, resampling and relabelling."""

from __future__ import annotations

import numpy as np
import pytest

from layersim.similarity.cosine import Side, compare, usable_cells
from layersim.similarity.draws import draw
from layersim.similarity.moments import gather, group_rows
from layersim.similarity.rank import RankConfig, rank_layers
from layersim.similarity.selection import select_pair

METRICS = ("pairwise", "centroid")
FEATURES = ("raw", "centred", "zscored")
VOWELS = {"AA1": "a", "IY0": "i", "UW1": "u"}
CAP = 3


def segments_of(corpus):
    """One row per segment of a vowel: vowel, emotion, speaker; and the vectors of layer 1."""
    phones = corpus.cache.phones.reset_index()
    table = corpus.table.assign(utterance=corpus.cache.keys)
    rows = phones.merge(table, on="utterance", how="left", validate="many_to_one")
    rows["vowel"] = rows["phone"].map(VOWELS)
    rows = rows[rows["vowel"].notna()]
    vectors = corpus.cache.products["phone/mean"][rows["index"], 1].astype(np.float32).astype(float)
    return rows.reset_index(drop=True), vectors


def weights_of(rows, cap, emotion="emotion"):
    """min(1, cap / n) by counting."""
    n = rows.groupby(["vowel", emotion, "speaker"])["phone"].transform("size").to_numpy()
    return np.minimum(1.0, cap / n) if cap else np.ones(len(rows))


def prepared(rows, vectors, weight, features):
    """Remove each vowel's weighted mean, and divide by its weighted deviation, by numpy alone."""
    if features == "raw":
        return vectors
    ready = np.empty_like(vectors)
    for vowel in rows["vowel"].unique():
        own = (rows["vowel"] == vowel).to_numpy()
        mean = np.average(vectors[own], axis=0, weights=weight[own])
        spread = np.sqrt(np.average((vectors[own] - mean) ** 2, axis=0, weights=weight[own]))
        ready[own] = (vectors[own] - mean) / (spread if features == "zscored" else 1)
    return ready


def explicit(first, second, one, other, metric):
    """Weighted mean over the N x M matrix of cosines, or the cosine of the weighted means."""
    if metric == "centroid":
        first, second = (
            np.average(part, axis=0, weights=w)[None] for part, w in ((first, one), (second, other))
        )
        one = other = np.ones(1)
    total = weight = 0.0
    for x, v in zip(first, one, strict=True):
        for y, w in zip(second, other, strict=True):
            total += v * w * (x @ y) / (np.linalg.norm(x) * np.linalg.norm(y))
            weight += v * w
    return total / weight


def compared(pair, config, bootstraps=0, permutations=0):
    """Layer 1 by the code under test, with what was drawn."""
    config = config.effective()
    first, second, _ = select_pair(*pair, config)
    cells = usable_cells(first, second, config.minimum_cell)
    sides = []
    for seed, (corpus, selection) in enumerate(zip(pair, (first, second), strict=True)):
        draws = draw(selection, corpus.cache.width, bootstraps, permutations, np.random.default_rng(seed))
        equal = cells.labels if config.label_free else None
        sides.append(Side(selection, group_rows(selection, draws, config.cap, equal), draws))
    moments = [
        gather(corpus.cache, side.selection, side.grouping, "1", config.metric, config.features)
        for corpus, side in zip(pair, sides, strict=True)
    ]
    return compare("1", tuple(sides), tuple(moments), cells, config.metric), sides


def phoneme(**changes):
    return RankConfig(level="phoneme", speaker_cap=CAP, minimum_cell=1, **changes)


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("cap", [CAP, 0])
def test_every_cell_is_the_mean_of_all_cross_pairs_by_their_weights(segment_pair, metric, features, cap):
    pair = segment_pair()
    config = RankConfig(level="phoneme", metric=metric, features=features, speaker_cap=cap, minimum_cell=1)
    found, _ = compared(pair, config)
    sides = []
    for corpus in pair:
        rows, vectors = segments_of(corpus)
        weight = weights_of(rows, cap)
        assert (weight.min() < 1) == bool(cap)
        sides.append((rows, prepared(rows, vectors, weight, features), weight))
    for row, vowel in enumerate("aiu"):
        for column, emotion in enumerate(("anger", "sadness")):
            parts, weights = [], []
            for rows, vectors, weight in sides:
                own = ((rows["vowel"] == vowel) & (rows["emotion"] == emotion)).to_numpy()
                parts.append(vectors[own])
                weights.append(weight[own])
            expected = explicit(*parts, *weights, metric)
            assert found.cells[row][column].value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_a_replicate_takes_the_drawn_speakers_with_their_weights(segment_pair, metric):
    pair = segment_pair(utterances=60)
    found, sides = compared(pair, phoneme(metric=metric), bootstraps=15)
    expected = []
    for replicate in range(15):
        values = np.full((3, 2), np.nan)
        drawn = []
        for corpus, side in zip(pair, sides, strict=True):
            rows, vectors = segments_of(corpus)
            weight = weights_of(rows, CAP)
            ready = prepared(rows, vectors, weight, "centred")
            times = dict(zip(side.selection.speakers, side.draws.weights[replicate], strict=True))
            drawn.append((rows, ready, weight * rows["speaker"].map(times).to_numpy()))
        for row, vowel in enumerate("aiu"):
            for column, emotion in enumerate(("anger", "sadness")):
                parts, weights = [], []
                for rows, ready, weight in drawn:
                    own = ((rows["vowel"] == vowel) & (rows["emotion"] == emotion)).to_numpy() & (weight > 0)
                    parts.append(ready[own])
                    weights.append(weight[own])
                if all(len(part) for part in parts):
                    values[row, column] = explicit(*parts, *weights, metric)
        by_emotion = np.array([np.mean(column[np.isfinite(column)]) for column in values.T])
        expected.append(by_emotion.mean())
    np.testing.assert_allclose(found.score_replicates, expected, atol=1e-6)


def test_a_permutation_of_single_utterances_weighs_every_speaker_anew(segment_pair):
    pair = segment_pair(utterances=40)
    found, sides = compared(pair, phoneme(), permutations=12)
    scores = []
    for permutation in range(12):
        values = np.full((3, 2), np.nan)
        relabelled = []
        for corpus, side in zip(pair, sides, strict=True):
            assert side.draws.bucket == 1
            rows, vectors = segments_of(corpus)
            ready = prepared(rows, vectors, weights_of(rows, CAP), "centred")
            label = side.draws.labels[permutation][side.draws.unit_of_item]
            names = {
                key: side.selection.labels[place]
                for key, place in zip(side.selection.keys, label, strict=True)
            }
            rows = rows.assign(permuted=rows["utterance"].map(names))
            relabelled.append((rows, ready, weights_of(rows, CAP, "permuted")))
        for row, vowel in enumerate("aiu"):
            for column, emotion in enumerate(("anger", "sadness")):
                parts, weights = [], []
                for rows, ready, weight in relabelled:
                    own = ((rows["vowel"] == vowel) & (rows["permuted"] == emotion)).to_numpy()
                    parts.append(ready[own])
                    weights.append(weight[own])
                if all(len(part) for part in parts):
                    values[row, column] = explicit(*parts, *weights, "pairwise")
        scores.append(np.nanmean(values, axis=0).mean())
    assert found.score.null_mean == pytest.approx(np.mean(scores), abs=1e-6)
    assert found.score.null_high == pytest.approx(np.percentile(scores, 97.5), abs=1e-6)


def test_segments_in_buckets_bring_their_own_weights_and_the_null_stays_where_it_was(
    segment_pair, monkeypatch
):
    pair = segment_pair(utterances=200)
    single, _ = compared(pair, phoneme(), permutations=200)
    monkeypatch.setattr("layersim.similarity.draws.UNIT_LIMIT", 60)
    bucketed, sides = compared(pair, phoneme(), permutations=200)
    assert all(side.draws.bucket > 1 and side.grouping.unit_speaker is None for side in sides)
    for side in sides:  # every row is in one unit, with its weight
        assert side.grouping.unit_count.sum() == pytest.approx(side.grouping.cell_count.sum())
    assert bucketed.score.value == pytest.approx(single.score.value, abs=1e-12)
    width = single.score.null_high - single.score.null_low
    assert bucketed.score.null_high - bucketed.score.null_low == pytest.approx(width, rel=0.5)
    assert bucketed.score.null_mean == pytest.approx(single.score.null_mean, abs=width / 2)


def test_a_talkative_speaker_cannot_rule_a_cell(segment_pair):
    """The loud speaker's copies of its own segments change nothing once it is over the cap."""
    source, target = segment_pair(utterances=40)
    rows, _ = segments_of(source)
    loud = rows.groupby(["vowel", "emotion", "speaker"]).size()
    assert loud.max() > 4 * CAP
    config = phoneme(bootstraps=0, permutations=0, probe_limit=0, features="raw")
    before = rank_layers(source, target, config)
    speaker = dict(zip(source.cache.keys, source.table["speaker"], strict=True))
    often = np.where(source.cache.phones["utterance"].map(speaker) == "loud", 7, 1)
    twice = np.repeat(np.arange(len(often)), often)
    source.cache.phones = source.cache.phones.iloc[twice].reset_index(drop=True)
    source.cache.products["phone/mean"] = source.cache.products["phone/mean"][twice]
    after = rank_layers(source, target, config)
    uncapped = rank_layers(source, target, config.model_copy(update={"speaker_cap": 0}))
    # Only cells in which the loud speaker was below the cap grow, to the cap.
    moved = [
        abs(one.score.value - other.score.value)
        for one, other in zip(before.layers, after.layers, strict=True)
    ]
    free = [
        abs(one.score.value - other.score.value)
        for one, other in zip(before.layers, uncapped.layers, strict=True)
    ]
    assert max(moved) < 0.2 * max(free)


def test_counts_are_given_in_segments_and_in_what_they_weigh(segment_pair):
    pair = segment_pair()
    ranking = rank_layers(*pair, phoneme(bootstraps=0, permutations=0, probe_limit=0))
    rows, _ = segments_of(pair[0])
    counted = rows.groupby(["emotion", "vowel"]).size()
    weighed = rows.assign(weight=weights_of(rows, CAP)).groupby(["emotion", "vowel"])["weight"].sum()
    table = ranking.counts.set_index(["emotion", "vowel"])
    assert table["source"].to_dict() == counted.to_dict()
    assert table["source_effective"].to_dict() == pytest.approx(weighed.to_dict())
    assert (table["source_effective"] < table["source"]).any()
    assert {"source_effective", "target_effective"} <= set(ranking.cells.columns)
    assert "source, capped" in ranking.to_table()
    assert any("segments weigh as 3" in note for note in ranking.notes)


def test_the_papers_form_has_no_cap(segment_pair):
    ranking = rank_layers(*segment_pair(), phoneme(paper=True, bootstraps=0, permutations=0, probe_limit=0))
    assert ranking.config.speaker_cap == 0
    assert (ranking.counts["source"] == ranking.counts["source_effective"]).all()


def test_the_spread_is_the_standard_deviation_over_vowels_and_its_interval_is_mirrored(segment_pair):
    pair = segment_pair(utterances=80)
    found, sides = compared(pair, phoneme(features="raw"), bootstraps=60, permutations=20)
    values = np.array([[cell.value for cell in row] for row in found.cells])
    assert [part.value for part in found.spread] == pytest.approx(np.std(values, axis=0).tolist())
    alone = []  # the same draws, one vowel at a time: its score over one emotion is its value
    for vowel in "aiu":
        config = phoneme(features="raw", vowels=(vowel,), emotions=("anger",))
        single, others = compared(pair, config, bootstraps=60)
        for side, other in zip(sides, others, strict=True):
            np.testing.assert_array_equal(side.draws.weights, other.draws.weights)
        alone.append(single.score_replicates)
    alone = np.array(alone)
    drawn = np.array([np.std(draw[np.isfinite(draw)]) for draw in alone.T if np.isfinite(draw).sum() > 1])
    low, high = np.percentile(drawn, [2.5, 97.5])
    value = found.spread[0].value
    ends = max(0.0, 2 * value - high), max(0.0, 2 * value - low)
    assert (found.spread[0].low, found.spread[0].high) == pytest.approx(ends)
    assert 0 < found.spread[0].p <= 1


def test_one_vowel_spreads_nothing(segment_pair):
    ranking = rank_layers(
        *segment_pair(), phoneme(vowels=("a",), bootstraps=0, permutations=0, probe_limit=0)
    )
    assert all(part.value is None for layer in ranking.layers for part in layer.spread.values())
    assert "spread over" not in ranking.to_table()

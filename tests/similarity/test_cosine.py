"""The streamed sums against explicit matrices and explicit resampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layersim.similarity.cosine import Side, compare, usable_cells
from layersim.similarity.definition import definition
from layersim.similarity.draws import Draws, bucket_size, draw
from layersim.similarity.estimate import mean_over
from layersim.similarity.moments import gather, group_rows
from layersim.similarity.selection import select
from layersim.similarity.settings import RankConfig

METRICS = ("pairwise", "centroid")
FEATURES = ("raw", "centred", "zscored")


def prepared(vectors, features):
    """Prepare one corpus's vectors by numpy alone."""
    if features == "raw":
        return vectors
    centred = vectors - vectors.mean(axis=0)
    return centred if features == "centred" else centred / vectors.std(axis=0)


def explicit(first, second, metric):
    """Cosine by the N x M matrix, or of the two mean vectors."""
    if metric == "centroid":
        first, second = first.mean(axis=0, keepdims=True), second.mean(axis=0, keepdims=True)
    lengths = np.linalg.norm(first, axis=1)[:, None] * np.linalg.norm(second, axis=1)[None]
    return float((first @ second.T / lengths).mean())


def side_of(corpus, emotions, bootstraps=0, permutations=0, seed=0):
    selection = select(corpus, emotions)
    draws = draw(selection, corpus.cache.width, bootstraps, permutations, np.random.default_rng(seed))
    return Side(selection, group_rows(selection, draws), draws)


def compared(corpora, sides, metric, features, layer="0", minimum=1):
    cells = usable_cells(sides[0].selection, sides[1].selection, minimum)
    moments = tuple(
        gather(corpus.cache, side.selection, side.grouping, layer, metric, features)
        for corpus, side in zip(corpora, sides, strict=True)
    )
    return compare(layer, sides, moments, cells, metric), moments


def vectors_of(corpus, layer=0):
    return corpus.cache.products["utterance/mean"][:, layer].astype(np.float32).astype(np.float64)


@pytest.fixture
def random_pair(make_corpus):
    def make(seed, counts=((9, 4, 6), (5, 11, 3)), width=5, speakers=3):
        rng = np.random.default_rng(seed)
        pair = []
        for name, sizes in zip(("a", "b"), counts, strict=True):
            label = rng.permutation(np.repeat(["anger", "neutral", "sadness"], sizes))
            vectors = rng.standard_normal((len(label), 2, width)) * rng.uniform(
                0.1, 3, width
            ) + rng.standard_normal(width)
            pair.append(
                make_corpus(name, vectors, label, rng.choice([f"s{k}" for k in range(speakers)], len(label)))
            )
        return pair

    return make


EMOTIONS = ["anger", "neutral", "sadness"]


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_streamed_similarity_equals_the_explicit_matrix_of_all_pairs(random_pair, metric, features, seed):
    corpora = random_pair(seed)
    sides = tuple(side_of(corpus, EMOTIONS) for corpus in corpora)
    found, _ = compared(corpora, sides, metric, features)
    ready = [prepared(vectors_of(corpus), features) for corpus in corpora]
    label = [corpus.table["emotion"].to_numpy() for corpus in corpora]
    expected = np.array(
        [
            [explicit(ready[0][label[0] == one], ready[1][label[1] == other], metric) for other in EMOTIONS]
            for one in EMOTIONS
        ]
    )
    for place in range(3):
        others = [expected[place, other] for other in range(3) if other != place]
        others += [expected[other, place] for other in range(3) if other != place]
        estimate = found.labels[place]
        assert estimate.value == pytest.approx(expected[place, place], abs=1e-6)
        assert estimate.different == pytest.approx(np.mean(others), abs=1e-6)
        assert -1 <= estimate.value <= 1
    assert found.score.value == pytest.approx(np.trace(expected) / 3, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("features", FEATURES)
def test_similarity_is_symmetric_and_a_common_scale_changes_nothing(random_pair, metric, features):
    first, second = random_pair(3)
    sides = side_of(first, EMOTIONS), side_of(second, EMOTIONS)
    there, _ = compared((first, second), sides, metric, features)
    back, _ = compared((second, first), sides[::-1], metric, features)
    second.cache.products["utterance/mean"] *= 4.0  # a power of two: no rounding
    scaled, _ = compared((first, second), sides, metric, features)
    for place in range(3):
        assert back.labels[place].value == pytest.approx(there.labels[place].value, abs=1e-12)
        assert scaled.labels[place].value == pytest.approx(there.labels[place].value, abs=1e-12)


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("metric", METRICS)
def test_a_bootstrap_replicate_equals_taking_the_drawn_speakers_utterances(random_pair, metric, features):
    corpora = random_pair(11, speakers=2)
    sides = tuple(side_of(corpus, EMOTIONS, bootstraps=25, seed=seed) for seed, corpus in enumerate(corpora))
    found, _ = compared(corpora, sides, metric, features)
    ready = [
        prepared(vectors_of(corpus), features) for corpus in corpora
    ]  # statistics stay those of all rows
    expected = []
    for replicate in range(25):
        drawn = []
        for corpus, side in zip(corpora, sides, strict=True):
            times = dict(zip(side.selection.speakers, side.draws.weights[replicate].astype(int), strict=True))
            drawn.append(np.repeat(np.arange(len(corpus.table)), corpus.table["speaker"].map(times)))
        values = []
        for emotion in EMOTIONS:
            parts = [
                vectors[rows[corpus.table["emotion"].to_numpy()[rows] == emotion]]
                for corpus, vectors, rows in zip(corpora, ready, drawn, strict=True)
            ]
            values.append(explicit(*parts, metric) if all(len(part) for part in parts) else np.nan)
        expected.append(np.mean(values))
    np.testing.assert_allclose(found.score_replicates, expected, atol=1e-6)


def test_the_interval_is_the_percentiles_of_the_replicates(random_pair):
    corpora = random_pair(11)
    sides = tuple(side_of(corpus, EMOTIONS, bootstraps=200) for corpus in corpora)
    found, _ = compared(corpora, sides, "pairwise", "centred")
    drawn = found.score_replicates[np.isfinite(found.score_replicates)]
    assert (found.score.low, found.score.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))
    assert found.score.low <= found.score.value <= found.score.high


@pytest.mark.parametrize("metric", METRICS)
def test_the_null_equals_relabelling_utterances_by_hand(random_pair, metric):
    corpora = random_pair(21)
    sides = tuple(
        side_of(corpus, EMOTIONS, permutations=30, seed=seed) for seed, corpus in enumerate(corpora)
    )
    found, _ = compared(corpora, sides, metric, "centred")
    ready = [prepared(vectors_of(corpus), "centred") for corpus in corpora]
    scores = []
    for permutation in range(30):
        label = [side.draws.labels[permutation][side.draws.unit_of_item] for side in sides]
        for corpus, permuted in zip(
            corpora, label, strict=True
        ):  # a permutation: every emotion keeps its size
            sizes = corpus.table["emotion"].value_counts()
            assert [int((permuted == place).sum()) for place in range(3)] == [
                sizes[name] for name in EMOTIONS
            ]
        scores.append(
            np.mean(
                [
                    explicit(ready[0][label[0] == place], ready[1][label[1] == place], metric)
                    for place in range(3)
                ]
            )
        )
    assert found.score.null_mean == pytest.approx(np.mean(scores), abs=1e-6)
    assert found.score.null_high == pytest.approx(np.percentile(scores, 97.5), abs=1e-6)
    reached = sum(score >= found.score.value for score in scores)
    assert found.score.p == pytest.approx((1 + reached) / 31)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6), st.integers(1, 200))
def test_buckets_are_the_smallest_that_keep_every_emotion_at_its_size(sizes, limit):
    sizes = np.array(sizes)
    found = bucket_size(sizes, limit)

    def units(size):
        return sum(int(number) // size + int(number) % size for number in sizes)

    smaller = [units(size) for size in range(1, found)]
    if units(found) <= limit:
        assert all(number > limit for number in smaller)
    else:
        assert units(found) == min(units(size) for size in range(1, int(sizes.max()) + 1))


def test_bucketed_permutations_keep_every_emotion_at_its_size_and_the_spread_of_the_null(
    make_corpus, monkeypatch
):
    """With whole buckets relabelled, a permuted mean varies as one of single utterances does."""
    rng = np.random.default_rng(2)
    label = np.repeat(["anger", "neutral", "sadness"], [500, 330, 171])
    corpus = make_corpus("a", rng.standard_normal((1001, 1, 1)), label, ["s1", "s2"] * 500 + ["s1"])
    spread = []
    for limit in (4096, 120):
        monkeypatch.setattr("layersim.similarity.draws.UNIT_LIMIT", limit)
        means = []
        for seed in range(30):
            draws = side_of(corpus, EMOTIONS, permutations=20, seed=seed).draws
            assert draws.units <= limit
            assert (draws.bucket > 1) == (limit == 120)
            permuted = draws.labels[:, draws.unit_of_item]
            assert ((permuted == 2).sum(axis=1) == 171).all()
            means.extend(vectors_of(corpus)[:, 0] @ (permuted == 2).T / 171)
        spread.append(np.std(means))
    assert spread[1] == pytest.approx(spread[0], rel=0.15)


def test_one_speaker_gives_values_and_a_null_but_no_interval(random_pair):
    first, second = random_pair(5)
    second.table["speaker"] = "alone"
    sides = side_of(first, EMOTIONS, 50, 20), side_of(second, EMOTIONS, 50, 20)
    found, _ = compared((first, second), sides, "pairwise", "centred")
    for estimate in (found.score, *found.labels):
        assert estimate.value is not None
        assert estimate.p is not None
        assert (estimate.low, estimate.high, estimate.interval) == (None, None, None)


def test_an_emotion_of_one_speaker_has_no_interval_and_neither_has_the_score(random_pair):
    first, second = random_pair(5)
    second.table.loc[second.table["emotion"] == "sadness", "speaker"] = "s0"
    sides = side_of(first, EMOTIONS, 50), side_of(second, EMOTIONS, 50)
    found, _ = compared((first, second), sides, "pairwise", "centred")
    assert [estimate.interval is None for estimate in found.labels] == [False, False, True]
    assert found.score.interval is None


def test_a_cell_below_the_minimum_has_no_value_and_is_no_baseline(random_pair):
    first, second = random_pair(7)  # b has 3 of sadness
    sides = side_of(first, EMOTIONS), side_of(second, EMOTIONS)
    found, _ = compared((first, second), sides, "pairwise", "raw", minimum=4)
    assert found.labels[2].value is None
    assert found.score.value == pytest.approx(np.mean([found.labels[0].value, found.labels[1].value]))
    ready = [vectors_of(corpus) for corpus in (first, second)]
    label = [corpus.table["emotion"].to_numpy() for corpus in (first, second)]
    others = [
        ("anger", "neutral"),
        ("neutral", "anger"),
        ("sadness", "anger"),
    ]  # a's sadness has 6: it counts
    expected = np.mean(
        [explicit(ready[0][label[0] == a], ready[1][label[1] == b], "pairwise") for a, b in others]
    )
    assert found.labels[0].different == pytest.approx(expected, abs=1e-6)


def test_a_vector_of_length_zero_is_counted_and_its_cosine_is_zero(make_corpus):
    first = make_corpus("a", np.array([[[0.0, 0.0]], [[2.0, 0.0]]]), ["anger"] * 2, ["s1", "s2"])
    second = make_corpus("b", np.array([[[1.0, 0.0]], [[1.0, 0.0]]]), ["anger"] * 2, ["s1", "s2"])
    sides = side_of(first, ["anger"]), side_of(second, ["anger"])
    found, moments = compared((first, second), sides, "pairwise", "raw")
    assert found.score.value == 0.5  # pairs: 0, 0, 1, 1
    assert [part.zero_vectors for part in moments] == [1, 0]
    assert found.score.different is None  # there is no other emotion


def test_statistics_survive_an_outlier_dimension_with_a_large_mean(make_corpus):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 1, 3))
    vectors[:, :, 0] = 3000 + 1e-2 * vectors[:, :, 0]
    vectors[:, :, 1] = 7.7  # a constant: no spread to divide by
    pair = [
        make_corpus(name, np.roll(vectors, shift, 0), ["anger", "sadness"] * 20, ["s1"] * 40)
        for name, shift in (("a", 0), ("b", 1))
    ]
    sides = tuple(side_of(corpus, ["anger", "sadness"]) for corpus in pair)
    found, _ = compared(pair, sides, "pairwise", "zscored")
    ready = []
    for corpus in pair:
        values = vectors_of(corpus)[:, [0, 2]]
        ready.append((values - values.mean(axis=0)) / values.std(axis=0))
    assert found.labels[0].value == pytest.approx(
        explicit(ready[0][::2], ready[1][::2], "pairwise"), abs=1e-6
    )


def test_mean_over_skips_nan_and_says_nan_where_there_is_nothing():
    values = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]])
    np.testing.assert_array_equal(mean_over(values, 0), [2.0, 5.0, np.nan])


def test_every_definition_names_its_metric_its_preparation_and_its_level():
    texts = {
        definition(RankConfig(metric=metric, features=features, level=level))
        for metric in METRICS for features in FEATURES for level in ("utterance", "phoneme")
    }  # fmt: skip
    assert len(texts) == 12
    assert "within each vowel" in definition(
        RankConfig(metric="centroid", features="zscored", level="phoneme")
    )


def test_draws_hold_no_units_without_permutations(random_pair):
    draws = side_of(random_pair(1)[0], EMOTIONS).draws
    assert isinstance(draws, Draws)
    assert (draws.units, len(draws.weights)) == (0, 0)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from layersim.similarity.agreement import BLIND_TO, kendall_tau, paired_agreement
from layersim.similarity.rank import RankConfig, rank_layers

SCORES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=14)


@given(SCORES)
def test_tau_is_scipys_tau_b_with_and_without_ties(pairs):
    first, second = zip(*pairs, strict=True)
    expected = stats.kendalltau(first, second).statistic
    assert float(kendall_tau(first, second)) == pytest.approx(expected, nan_ok=True)


def test_many_draws_at_once_are_each_draw_alone_and_rounding_is_a_tie():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 7, 30))
    found = kendall_tau(first, second)
    expected = [stats.kendalltau(one, other).statistic for one, other in zip(first.T, second.T, strict=True)]
    np.testing.assert_allclose(found, expected)
    assert np.isnan(kendall_tau([0.3, 0.3 + 1e-15], [1, 2]))


def test_the_interval_is_over_paired_draws_and_leaves_out_those_without_a_score():
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((5, 200))
    first, second = np.arange(5)[:, None] + noise, np.arange(5)[:, None] + noise  # alike in every draw
    apart = np.arange(5)[:, None] + rng.standard_normal((5, 200))
    scores = [0.0, 1.0, 2.0, 3.0, 4.0]
    paired = paired_agreement("12345", (scores, scores), (first, second))
    assert (paired["tau"], paired["low"], paired["high"]) == (1.0, 1.0, 1.0)
    assert paired["blind_to"] == BLIND_TO
    first[:, :90] = np.nan
    some = paired_agreement("12345", (scores, scores), (first, apart))
    taus = [stats.kendalltau(first[:, draw], apart[:, draw]).statistic for draw in range(90, 200)]
    assert (some["low"], some["high"]) == pytest.approx(tuple(np.percentile(taus, [2.5, 97.5])))
    first[:, :120] = np.nan
    few = paired_agreement("12345", (scores, scores), (first, apart))
    assert (few["low"], few["high"]) == (None, None)


def test_the_phoneme_ranking_holds_the_utterance_rankings_scores_from_the_same_draws(segment_pair):
    """Each level alone draws the same speakers from one seed; so the scores meet."""
    pair = segment_pair(utterances=60, layers=6, vowel_strength=1.0)
    config = RankConfig(bootstraps=40, permutations=10, probe_limit=0, seed=3)
    ranking = rank_layers(*pair, config.model_copy(update={"level": "phoneme"}))
    utterances = rank_layers(*pair, config)
    found = ranking.agreement
    own = [layer.score.value for layer in ranking.layers[1:]]
    others = [layer.score.value for layer in utterances.layers[1:]]
    assert found["scores"] == others
    assert found["layers"] == ["1", "2", "3", "4", "5"]  # without layer 0
    assert found["tau"] == pytest.approx(stats.kendalltau(own, others).statistic)
    assert -1 <= found["low"] <= found["high"] <= 1
    assert (
        f"Kendall's tau-b {found['tau']:+.2f} [{found['low']:.2f}, {found['high']:.2f}]" in ranking.to_table()
    )
    assert ranking.to_json()["agreement"] == found
    assert utterances.agreement is None


def test_where_no_utterance_cell_suffices_the_reason_is_given(segment_pair):
    ranking = rank_layers(
        *segment_pair(),
        RankConfig(level="phoneme", minimum_cell=20, bootstraps=0, permutations=0, probe_limit=0),
    )
    assert ranking.agreement == {"reason": "no emotion has 20 utterances in both corpora."}
    assert "agreement with the utterance level: not computed: no emotion has 20" in ranking.to_table()

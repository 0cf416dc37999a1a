from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from layersim.metrics import (
    Interval,
    confusion,
    macro_f1,
    percentile_interval,
    permutation_p,
    recalls,
    speaker_bootstrap,
    speaker_weights,
    spearman,
    uar,
    wa,
)

CLASSES = ["anger", "neutral", "sadness"]
ANSWERS = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=60)


def test_uar_is_the_mean_of_recalls_not_the_share_correct():
    truth, guess = ["sad"] * 3 + ["angry"], ["sad"] * 4  # recalls 1 and 0; 3 of 4 correct
    assert (uar(truth, guess), wa(truth, guess)) == (0.5, 0.75)


@settings(deadline=None)
@given(ANSWERS)
def test_scores_equal_those_of_scikit_learn_over_the_classes_of_the_truth(answers):
    truth, guess = (list(side) for side in zip(*answers, strict=True))
    present = sorted(set(truth))
    options = {"labels": present, "average": "macro", "zero_division": 0.0}
    assert uar(truth, guess) == pytest.approx(recall_score(truth, guess, **options))
    assert macro_f1(truth, guess) == pytest.approx(f1_score(truth, guess, **options))
    assert wa(truth, guess) == pytest.approx(accuracy_score(truth, guess))
    np.testing.assert_array_equal(
        confusion(truth, guess, CLASSES), confusion_matrix(truth, guess, labels=CLASSES)
    )


def test_an_absent_class_has_no_recall_and_does_not_shrink_the_average():
    truth, guess = ["anger", "sadness"], ["anger", "sadness"]
    found = recalls(truth, guess, CLASSES)
    assert math.isnan(found["neutral"])
    assert (found["anger"], found["sadness"]) == (1.0, 1.0)
    for score in (uar, macro_f1):
        with pytest.raises(ValueError, match=r"no utterance of \['neutral'\] in truth"):
            score(truth, guess, CLASSES)


def test_a_guess_outside_the_classes_is_wrong_and_a_truth_outside_them_is_an_error():
    assert uar(["anger", "anger"], ["anger", "boredom"]) == 0.5
    with pytest.raises(ValueError, match=r"truth has labels .*boredom"):
        uar(["boredom"], ["anger"], ["anger"])
    with pytest.raises(ValueError, match=r"guess has labels .*boredom"):
        confusion(["anger"], ["boredom"], ["anger"])


@pytest.mark.parametrize("score", [uar, wa, macro_f1])
def test_scores_refuse_nothing_and_unequal_lengths(score):
    with pytest.raises(ValueError, match="nothing to score"):
        score([], [])
    with pytest.raises(ValueError, match="got 2 and 1"):
        score(["a", "a"], ["a"])


def test_labels_may_not_repeat():
    with pytest.raises(ValueError, match="a class twice"):
        uar(["a"], ["a"], ["a", "a"])


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 99))
def test_every_bootstrap_replicate_draws_as_many_speakers_as_there_are(speakers, replicates, seed):
    weights = speaker_weights(speakers, replicates, np.random.default_rng(seed))
    assert weights.shape == (replicates, speakers)
    assert (weights.sum(axis=1) == speakers).all()


def test_speaker_weights_refuse_no_speaker():
    with pytest.raises(ValueError, match="at least 1"):
        speaker_weights(0, 10, np.random.default_rng(0))


def test_speaker_bootstrap_equals_rescoring_the_drawn_utterances_by_hand():
    rng = np.random.default_rng(5)
    truth = [*CLASSES] * 20
    guess = [label if rng.random() < 0.6 else "anger" for label in truth]
    speakers = [f"s{number // 12}" for number in range(60)]  # 5 speakers, each with every class
    weights = speaker_weights(5, 200, np.random.default_rng(3))
    values = []
    for row in weights:
        drawn = [index for index in range(60) for _ in range(row[index // 12])]
        values.append(
            recall_score(
                [truth[i] for i in drawn], [guess[i] for i in drawn], average="macro", labels=CLASSES
            )
        )
    found = speaker_bootstrap(truth, guess, speakers, CLASSES, replicates=200, seed=3)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_one_speaker_gives_no_interval():
    assert speaker_bootstrap(["a", "b"], ["a", "b"], ["s1", "s1"]) is None


def test_an_interval_is_refused_when_most_draws_lack_a_class():
    truth = ["a", *"bbbb"]  # only one of five speakers has class a: it is drawn in 67 % of the replicates
    assert speaker_bootstrap(truth, truth, list("12345")) == Interval(1.0, 1.0)
    many = ["a", "b", "c", "d"]  # each class hangs on its own speaker: all four are drawn in 9 % of them
    assert speaker_bootstrap(many, many, list("1234")) is None


def test_speaker_bootstrap_refuses_unequal_lengths():
    with pytest.raises(ValueError, match="1 speakers for 2 utterances"):
        speaker_bootstrap(["a", "b"], ["a", "b"], ["s1"])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=50), st.floats(0.1, 0.99))
def test_percentile_interval_equals_numpy_percentiles(values, level):
    found = percentile_interval(values, level)
    cut = 50 * (1 - level)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(values, [cut, 100 - cut])))


@pytest.mark.parametrize(
    ("values", "level", "message"),
    [([], 0.95, "finite"), ([1.0, math.nan], 0.95, "finite"), ([1.0], 1.0, "level must lie between")],
)
def test_percentile_interval_refuses_what_has_no_percentiles(values, level, message):
    with pytest.raises(ValueError, match=message):
        percentile_interval(values, level)


def test_permutation_p_counts_the_observed_order_itself():
    assert permutation_p(1.0, np.zeros(99)) == 0.01
    assert permutation_p(0.0, np.zeros(99)) == 1.0


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=5))
def test_spearman_is_exact_by_counting_every_order_when_there_are_few_pairs(pairs):
    x, y = (list(side) for side in zip(*pairs, strict=True))
    rho, p = spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(rho)
        assert math.isnan(p)
        return
    assert rho == pytest.approx(stats.spearmanr(x, y).statistic)
    every = [stats.spearmanr(x, order).statistic for order in itertools.permutations(y)]
    assert p == pytest.approx(np.mean([abs(value) >= abs(rho) - 1e-9 for value in every]))


def test_spearman_of_many_pairs_equals_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 30))
    expected = stats.spearmanr(x, y)
    assert spearman(x, y) == pytest.approx((expected.statistic, expected.pvalue))


def test_spearman_says_nan_for_two_pairs_and_refuses_unequal_sides():
    assert all(math.isnan(value) for value in spearman([1, 2], [1, 2]))
    with pytest.raises(ValueError, match="one length"):
        spearman([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="finite"):
        spearman([1, 2, math.nan], [1, 2, 3])

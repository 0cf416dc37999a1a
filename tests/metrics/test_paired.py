from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import recall_score

from layersim.metrics import (
    Interval,
    MeanScore,
    MethodRuns,
    mean_uar,
    mean_uar_difference,
    paired_speaker_test,
    speaker_bootstrap,
    speaker_weights,
)

CLASSES = ["anger", "neutral", "sadness"]


def utterances(speakers: int, each: int = 4) -> tuple[list[str], list[str]]:
    """Truths and speakers; every speaker has every class."""
    truth = [label for _ in range(speakers) for label in CLASSES for _ in range(each)]
    return truth, [f"s{number:02}" for number in range(speakers) for _ in range(each * len(CLASSES))]


def guessed(truth: list[str], share_right: float, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [label if rng.random() < share_right else CLASSES[rng.integers(3)] for label in truth]


def plain_uar(truth: list[str], guess: list[str]) -> float:
    return float(recall_score(truth, guess, average="macro", labels=CLASSES))


@st.composite
def two_methods(draw):
    """Truths, speakers and two methods' runs: up to five speakers that need not have every class."""
    answer = st.sampled_from(CLASSES)
    truth = CLASSES + draw(st.lists(answer, min_size=2, max_size=20))
    length = len(truth)
    speakers = draw(st.lists(st.sampled_from("abcde"), min_size=length, max_size=length))
    runs = st.lists(st.lists(answer, min_size=length, max_size=length), min_size=1, max_size=3)
    return truth, draw(runs), draw(runs), speakers


@settings(deadline=None, max_examples=40)
@given(two_methods())
def test_swapping_the_methods_negates_the_difference_and_leaves_the_p_value(methods):
    truth, one, other, speakers = methods
    found = paired_speaker_test(truth, one, other, speakers, CLASSES, replicates=100)
    turned = paired_speaker_test(truth, other, one, speakers, CLASSES, replicates=100)
    assert turned.value == -found.value
    assert (turned.p, turned.smallest_p, turned.speakers) == (found.p, found.smallest_p, found.speakers)
    assert (turned.interval is None) == (found.interval is None)
    if found.interval is not None:
        assert turned.interval.low == pytest.approx(-found.interval.high)
        assert turned.interval.high == pytest.approx(-found.interval.low)


@settings(deadline=None, max_examples=40)
@given(two_methods())
def test_the_p_value_is_between_the_smallest_possible_and_one(methods):
    truth, one, other, speakers = methods
    found = paired_speaker_test(truth, one, other, speakers, CLASSES, replicates=100)
    if len(set(speakers)) < 2:
        assert (found.interval, found.p, found.smallest_p, found.speakers) == (None, None, None, 1)
    else:
        assert 0 < found.smallest_p <= found.p <= 1
        assert found.smallest_p == 2 / 2 ** len(set(speakers))


@settings(deadline=None, max_examples=20)
@given(two_methods())
def test_identical_methods_differ_by_nothing(methods):
    truth, one, _, speakers = methods
    found = paired_speaker_test(truth, one, one, speakers, CLASSES, replicates=100)
    assert found.value == 0
    assert found.interval in (None, Interval(0.0, 0.0))
    assert found.p in (None, 1.0)


@settings(deadline=None, max_examples=15)
@given(two_methods())
def test_the_p_value_counts_every_way_to_swap_whole_speakers(methods):
    truth, one, other, speakers = methods
    names = sorted(set(speakers))
    if len(names) < 2 or len(one) != len(other):
        return
    differences = []
    for swapped in itertools.product((False, True), repeat=len(names)):
        turn = dict(zip(names, swapped, strict=True))
        sides = [
            [[(b if turn[who] else a) for a, b, who in zip(*pair, speakers, strict=True)] for pair in pairs]
            for pairs in (zip(one, other, strict=True), zip(other, one, strict=True))
        ]
        first, second = (np.mean([plain_uar(truth, run) for run in side]) for side in sides)
        differences.append(abs(first - second))
    expected = np.mean([difference >= differences[0] - 1e-9 for difference in differences])
    assert paired_speaker_test(truth, one, other, speakers, CLASSES).p == pytest.approx(expected)


def test_a_plain_loop_over_draws_of_speakers_gives_the_interval():
    truth, speakers = utterances(6)
    one, other = (
        [guessed(truth, share, seed) for seed in seeds] for share, seeds in ((0.7, (1, 2)), (0.4, (3,)))
    )
    where = {name: [place for place, who in enumerate(speakers) if who == name] for name in set(speakers)}
    values = []
    for row in speaker_weights(6, 200, np.random.default_rng(7)):
        drawn = [
            place for name, times in zip(sorted(where), row, strict=True) for place in where[name] * times
        ]
        first, second = (
            np.mean([plain_uar([truth[i] for i in drawn], [run[i] for i in drawn]) for run in runs])
            for runs in (one, other)
        )
        values.append(first - second)
    found = paired_speaker_test(truth, one, other, speakers, CLASSES, replicates=200, seed=7)
    assert found.value == pytest.approx(
        np.mean([plain_uar(truth, run) for run in one]) - plain_uar(truth, other[0])
    )
    assert (found.interval.low, found.interval.high) == pytest.approx(
        tuple(np.percentile(values, [2.5, 97.5]))
    )


def test_pairing_narrows_the_interval_where_speakers_differ_and_methods_do_so_alike():
    truth, speakers = utterances(20)
    hard = [int(name[1:]) % 2 == 0 for name in speakers]  # every second speaker is guessed wrong by both
    one = ["none" if wrong else label for label, wrong in zip(truth, hard, strict=True)]
    other = ["none" if label == "anger" else guess for label, guess in zip(truth, one, strict=True)]
    found = paired_speaker_test(truth, [one], [other], speakers, CLASSES)
    own = speaker_bootstrap(truth, one, speakers, CLASSES)
    assert found.value == pytest.approx(0.5 / 3)  # anger's recall of 0.5 is all that is lost
    assert found.interval.high - found.interval.low < 0.4 * (own.high - own.low)


def test_many_speakers_are_swapped_at_random_as_exactly_as_by_all_swaps():
    # 13 speakers, all better by the same: only the swaps of none and of all are as extreme, 2 of 8,192.
    truth, speakers = utterances(13, each=1)
    worse = [label if label != "anger" else "sadness" for label in truth]
    found = paired_speaker_test(truth, [truth], [worse], speakers, CLASSES)
    assert found.smallest_p == pytest.approx(2 / 8192)
    assert 1 / 10_000 <= found.p < 0.001
    # Seven speakers better and six worse by the same: the smallest difference that there is.
    mixed = [w if int(who[1:]) < 7 else t for t, w, who in zip(truth, worse, speakers, strict=True)]
    turned = [t if int(who[1:]) < 7 else w for t, w, who in zip(truth, worse, speakers, strict=True)]
    assert paired_speaker_test(truth, [turned], [mixed], speakers, CLASSES).p == 1.0


def test_the_p_value_is_uniform_where_the_methods_are_alike():
    # Below 0.25 in a quarter of the cases or fewer (p is discrete): 200 cases, 3 standard errors above.
    truth, speakers = utterances(6, each=2)
    ps = [
        paired_speaker_test(
            truth, [guessed(truth, 0.5, 2 * case)], [guessed(truth, 0.5, 2 * case + 1)], speakers, CLASSES,
            replicates=10,
        ).p
        for case in range(200)
    ]  # fmt: skip
    assert np.mean(np.array(ps) <= 0.25) < 0.25 + 3 * np.sqrt(0.25 * 0.75 / 200)
    assert np.mean(np.array(ps) <= 0.25) > 0.1  # and it does reject


def width(score: MeanScore) -> float:
    return score.interval.high - score.interval.low


def runs_of(speakers: int, share: float, seed: int, corpus: str) -> MethodRuns:
    truth, who = utterances(speakers)
    return MethodRuns(
        truth, [guessed(truth, share, seed), guessed(truth, share, seed + 100)], who, CLASSES, corpus
    )


def test_one_test_set_has_the_mean_and_the_interval_of_the_speaker_bootstrap():
    runs = runs_of(5, 0.6, 1, "emodb")
    found = mean_uar([runs], replicates=300, seed=4)
    pooled = [guess for run in runs.guesses for guess in run]
    expected = speaker_bootstrap(
        [*runs.truth, *runs.truth], pooled, [*runs.speakers, *runs.speakers], CLASSES, replicates=300, seed=4
    )
    assert found.value == pytest.approx(np.mean([plain_uar(runs.truth, run) for run in runs.guesses]))
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))


def test_the_mean_over_corpora_varies_less_than_each_and_independently():
    one, other = runs_of(12, 0.6, 1, "emodb"), runs_of(12, 0.6, 50, "casia")
    found = mean_uar([one, other], replicates=4000)
    assert found.value == pytest.approx((mean_uar([one]).value + mean_uar([other]).value) / 2)
    apart = np.hypot(width(mean_uar([one], 4000)), width(mean_uar([other], 4000))) / 2  # variances add
    assert width(found) == pytest.approx(apart, rel=0.1)


def test_two_test_sets_of_the_same_speakers_are_no_more_evidence_than_one():
    runs = runs_of(8, 0.6, 1, "ravdess")
    assert mean_uar([runs, runs]).interval == mean_uar([runs]).interval
    worse = runs_of(8, 0.3, 2, "ravdess")
    one, two = mean_uar_difference([runs], [worse]), mean_uar_difference([runs] * 2, [worse] * 2)
    assert two.speakers == one.speakers == 8
    assert two.p == one.p
    assert (two.interval.low, two.interval.high) == pytest.approx((one.interval.low, one.interval.high))


def test_speakers_of_one_name_in_two_corpora_are_two():
    better, worse = ([runs_of(3, share, 1, corpus) for corpus in ("emodb", "casia")] for share in (1.0, 0.0))
    found = mean_uar_difference(better, worse)
    assert found.speakers == 6
    assert found.p == 2 / 2**6


def test_a_corpus_of_one_speaker_leaves_the_mean_without_interval_and_p_value():
    better, worse = ([runs_of(4, share, 1, "emodb"), runs_of(1, share, 2, "own")] for share in (0.9, 0.2))
    found = mean_uar_difference(better, worse)
    assert (found.interval, found.p, found.smallest_p, found.speakers) == (None, None, None, 5)
    assert found.value > 0
    assert mean_uar(better).interval is None


def test_draws_that_lack_a_class_are_left_out_and_too_many_leave_no_interval():
    many = list("abcd")  # each class hangs on its own speaker: all four are drawn in 9 % of the draws
    found = paired_speaker_test(many, [many], [["a"] * 4], list("1234"))
    assert found.interval is None
    assert found.value == 0.75
    assert found.p == 4 / 16  # speaker 1 adds nothing to the difference; swapped or not


def test_what_does_not_fit_together_is_refused():
    runs = runs_of(3, 0.5, 1, "emodb")
    with pytest.raises(ValueError, match="expected the same test sets"):
        mean_uar_difference([runs], [runs_of(4, 0.5, 1, "emodb")])
    with pytest.raises(ValueError, match="expected the same test sets"):
        mean_uar_difference([runs], [runs, runs])
    with pytest.raises(ValueError, match="at least one test set"):
        mean_uar([])
    with pytest.raises(ValueError, match="at least one seed"):
        paired_speaker_test(["a", "b"], [], [["a", "b"]], ["1", "2"])
    with pytest.raises(ValueError, match="got 2 and 1"):
        paired_speaker_test(["a", "b"], [["a"]], [["a", "b"]], ["1", "2"])
    with pytest.raises(ValueError, match="1 speakers for 2 utterances"):
        paired_speaker_test(["a", "b"], [["a", "b"]], [["a", "b"]], ["1"])
    with pytest.raises(ValueError, match=r"no utterance of \['c'\] in truth"):
        paired_speaker_test(["a", "b"], [["a", "b"]], [["a", "b"]], ["1", "2"], ["a", "b", "c"])

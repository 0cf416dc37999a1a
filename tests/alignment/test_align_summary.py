"""Flags of one utterance, and emotions that align worse, by hand calculation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import median_abs_deviation

from layersim.alignment.aligned import Alignment
from layersim.alignment.flags import low_score, shape_flags, speech_share
from layersim.alignment.outcome import Outcome, outcome_table, summarise_emotions, worse_emotions
from layersim.alignment.preparation import Utterance
from layersim.alignment.segments import Segment


def alignment(*lengths: float, gap: float = 0.0, label: str = "AH") -> Alignment:
    phones, time = [], 0.5
    for length in lengths:
        phones.append(Segment(time, time + length, label))
        time += length + gap
    return Alignment("u", time + 1, (Segment(0.5, time, "word"),), tuple(phones), None)


def outcome(emotion: str, score: float | None = None, failed: bool = False, flagged: bool = False) -> Outcome:
    utterance = Utterance("u", "s", emotion, "en", "u.wav", Path("u.wav"), None, None, "ah", False, 1.0, None)
    return Outcome(
        utterance, "why" if failed else None, log_likelihood=score, speech_share=None if failed else 0.5,
        flags=("score",) if flagged else (),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "unknown", "flags"),
    [
        (alignment(0.1, 0.1, 0.08), 0, []),
        (alignment(0.1, 0.51, 0.08), 0, ["durations"]),  # a phone over half a second
        (alignment(0.1, 0.5, 0.08), 0, []),
        (alignment(0.03, 0.03, 0.08, 0.08), 0, ["durations"]),  # 2 of 4 as short as three states
        (alignment(0.03, 0.08, 0.08), 0, []),  # 1 of 3 is not more than a third
        (alignment(0.1, 0.1, 0.1, gap=0.16), 0, ["silence"]),  # 0.3 of 0.62 s
        (alignment(0.1, 0.1, 0.1, gap=0.14), 0, []),  # 0.3 of 0.58 s
        (alignment(0.1, 0.1, label="spn"), 0, ["spn"]),
        (alignment(0.1, 0.1), 2, ["unknown words"]),
    ],
)
def test_flags_are_raised_just_beyond_their_thresholds(
    found: Alignment, unknown: int, flags: list[str]
) -> None:
    assert shape_flags(found, unknown) == flags


def test_leading_and_trailing_silence_say_nothing_of_the_share_of_speech() -> None:
    assert speech_share(alignment(0.1, 0.2).phones) == pytest.approx(1.0)


def test_the_lowest_score_that_is_not_flagged_is_scipys() -> None:
    scores = np.random.default_rng(0).normal(-60, 3, 200)
    wanted = np.median(scores) - 3.5 * median_abs_deviation(scores, scale="normal")
    assert low_score(list(scores)) == pytest.approx(wanted, rel=1e-4)
    assert low_score([-60.0] * 19 + [-90.0]) is None  # no spread: nothing to measure by
    assert low_score(list(scores[:19])) is None


def test_an_emotion_that_fails_more_is_named_and_chance_is_not() -> None:
    # 10 of 40 against 5 of 100: 25 % against 5 %; one-sided Fisher p = 0.0014
    worse = [outcome("fear", failed=n < 6, flagged=6 <= n < 10) for n in range(40)]
    others = [outcome("neutral", failed=n < 5) for n in range(100)]
    (said,) = worse_emotions([*worse, *others])
    assert said.startswith(
        "fear aligns worse: 25.0% of its utterances failed or are flagged, of the others 5.0%"
    )
    # 1 of 4 against 5 of 100 is 20 points more as well, and chance: p = 0.21
    assert worse_emotions([worse[0], *[outcome("fear")] * 3, *others]) == []


def test_an_emotion_whose_speech_fits_the_model_worse_is_named() -> None:
    low = [outcome("fear", score=-65.0 - n % 3) for n in range(12)]
    others = [outcome(("neutral", "anger")[n % 2], score=-60.0 - n // 2 % 5 - n % 2) for n in range(40)]
    (said,) = worse_emotions([*low, *others])
    assert said.startswith("fear fits the acoustic model worse: median log-likelihood -66.00 a frame")
    assert "(-64.00 and more)" in said  # anger: 4 times each of -61 .. -65; neutral: -60 .. -64
    near = [
        outcome("sadness", score=-67.5 - n % 2) for n in range(10)
    ]  # median -68, of fear -67 is the first quartile
    assert [line.split()[0] for line in worse_emotions([*low, *others, *near])] == ["sadness"]
    assert worse_emotions([*low[:9], *others]) == []  # too few to say


def test_the_summary_counts_by_hand() -> None:
    outcomes = [
        outcome("anger", -60.0),
        outcome("anger", -62.0, flagged=True),
        outcome("anger", failed=True),
        outcome("sadness", -61.0),
    ]
    anger, sadness = summarise_emotions(outcomes)
    assert (anger.utterances, anger.aligned, anger.failed, anger.flagged) == (3, 2, 1, 1)
    assert (anger.share_failed, anger.share_flagged) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert (anger.log_likelihood_median, anger.speech_share_mean) == (-61.0, 0.5)
    assert sadness.log_likelihood_median == -61.0
    frame = outcome_table(outcomes)
    assert frame["failure"].tolist() == ["", "", "why", ""]
    assert frame["flags"].tolist() == ["", "score", "", ""]

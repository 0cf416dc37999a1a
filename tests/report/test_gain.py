from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from layersim.errors import LayersimError
from layersim.metrics import Interval
from layersim.report.gain import Gain, read_runs, uar_gain

CLASSES = ["anger", "neutral", "sadness"]


def predictions(seed: int, share_right: float, speakers: int = 12, each: int = 6) -> pd.DataFrame:
    """Test predictions of which about this share is right; the truths do not depend on the seed."""
    rng = np.random.default_rng(seed)
    truth = np.tile(np.repeat(CLASSES, each), speakers)
    guess = np.where(rng.random(len(truth)) < share_right, truth, rng.choice(CLASSES, len(truth)))
    names = np.repeat([f"s{number}" for number in range(speakers)], each * len(CLASSES))
    return pd.DataFrame({"speaker": names, "emotion": truth, "predicted": guess})


def mean_uar(runs: list[pd.DataFrame]) -> float:
    return float(np.mean([balanced_accuracy_score(run["emotion"], run["predicted"]) for run in runs]))


def test_the_gain_is_the_difference_of_the_runs_mean_uars_as_scikit_learn_has_them():
    first, second = [predictions(seed, 0.6) for seed in range(5)], [predictions(9, 0.3)]
    assert uar_gain(first, second, CLASSES).value == pytest.approx(mean_uar(first) - mean_uar(second))


def test_its_interval_is_that_of_a_plain_loop_over_draws_of_speakers():
    first, second = [predictions(seed, 0.6) for seed in (1, 2)], [predictions(seed, 0.5) for seed in (3, 4)]
    names = first[0]["speaker"].unique()
    right = [  # per table and speaker: the share of each class that is right; each has as many of all classes
        np.array([
            [(part["predicted"] == part["emotion"])[part["emotion"] == label].mean() for label in CLASSES]
            for part in (run[run["speaker"] == name] for name in names)
        ])
        for run in (*first, *second)
    ]  # fmt: skip
    rng = np.random.default_rng(5)
    differences = []
    for _ in range(4000):
        drawn = rng.choice(len(names), len(names))
        one, two, three, four = (table[drawn].mean() for table in right)
        differences.append((one + two) / 2 - (three + four) / 2)
    interval = uar_gain(first, second, CLASSES).interval
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=0.012)


def test_what_makes_a_speaker_hard_for_both_does_not_widen_the_interval():
    run = predictions(0, 0.5)
    hard = run["speaker"].isin(["s0", "s1", "s2"])
    run.loc[hard, "predicted"] = "anger"
    better = run.copy()
    better.loc[~hard, "predicted"] = run.loc[~hard, "predicted"]
    gain = uar_gain([better], [run], CLASSES)
    assert gain == Gain(0.0, Interval(0.0, 0.0), 12)
    assert not gain.is_apart_from_zero


def test_one_speaker_gives_no_interval():
    one = predictions(0, 0.5, speakers=1)
    gain = uar_gain([one], [one.assign(predicted="anger")], CLASSES)
    assert gain.interval is None
    assert not gain.is_apart_from_zero


def test_a_class_that_few_draws_have_gives_no_interval():
    table = predictions(0, 0.5, speakers=4)
    table = table[(table["emotion"] != "sadness") | (table["speaker"] == "s3")]
    assert uar_gain([table], [table], CLASSES).interval is not None
    many = predictions(0, 0.5, speakers=12).assign(emotion="anger")
    many.loc[many.index[0], "emotion"] = "sadness"
    many.loc[many.index[-1], "emotion"] = "neutral"
    assert uar_gain([many], [many], CLASSES).interval is None


def test_methods_tested_on_other_speakers_or_without_a_class_are_refused():
    one = predictions(0, 0.5)
    with pytest.raises(ValueError, match="expected the same test speakers"):
        uar_gain([one], [one.assign(speaker="another")], CLASSES)
    with pytest.raises(ValueError, match="expected an utterance of each"):
        uar_gain([one], [one], [*CLASSES, "boredom"])


def test_predictions_that_are_gone_are_named(tmp_path):
    predictions(0, 0.5).to_csv(tmp_path / "predictions.csv", index=False)
    assert read_runs([tmp_path])[0]["speaker"].nunique() == 12
    with pytest.raises(LayersimError, match=r"gone/predictions\.csv: cannot be read: .* layersim train"):
        read_runs([tmp_path / "gone"])

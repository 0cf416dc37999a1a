from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from layersim.metrics import Interval
from layersim.report.gain import Gain
from layersim.report.outputs import PairOutputs, RankingOutputs, TrainingOutputs
from layersim.report.story import describe_gain, tell


def layer(
    name: str, score: float, low: float | None, high: float | None, share: float | None
) -> dict[str, Any]:
    return {"layer": name, "score": score, "low": low, "high": high, "null_high": 0.01, "in_group": share}


def ranking(layers: list[dict[str, Any]], **changes: Any) -> RankingOutputs:
    found = {
        "compared": "emotions", "layers": layers, "group": ["2", "3"], "best": "2", "worst": ["1", "4"],
        "resolved": False, "probe": {"spearman": {"rho": 0.8, "p": 0.01}},
    }  # fmt: skip
    return RankingOutputs(Path("rank/e/a-to-b/utterance"), {**found, **changes}, {})


@pytest.fixture
def ranked() -> RankingOutputs:
    return ranking([
        layer("0", 0.9, 0.8, 1.0, None), layer("1", 0.005, -0.01, 0.02, 0.0),
        layer("2", 0.3, 0.2, 0.4, 0.995), layer("3", 0.2, 0.1, 0.3, 0.6), layer("4", 0.1, 0.05, 0.15, 0.4),
    ])  # fmt: skip


def method(name: str, folder: str, uar: float) -> dict[str, Any]:
    return {
        "name": name, "folder": folder, "layers": ["4"] if name != "la" else ["2", "3"], "seeds": [0, 1],
        "uar": {"mean": uar}, "uar_interval": {"low": uar - 0.1, "high": uar + 0.1},
    }  # fmt: skip


@pytest.fixture
def trained(tmp_path: Path) -> TrainingOutputs:
    """La is always right, cc-std half of the time, cc for one class; twelve speakers, two seeds."""
    truth = ["anger", "sadness"] * 24
    guesses = {
        "la-auto": truth,
        "cc-std": ["anger", "sadness", "sadness", "anger"] * 12,
        "cc": ["anger"] * 48,
    }
    speakers = [f"s{number}" for number in range(12) for _ in range(4)]
    for folder, guess in guesses.items():
        for seed in (0, 1):
            run = tmp_path / folder / f"seed-{seed}"
            run.mkdir(parents=True)
            table = pd.DataFrame({"speaker": speakers, "emotion": truth, "predicted": guess})
            table.to_csv(run / "predictions.csv", index=False)
    methods = [method("cc", "cc", 0.5), method("cc-std", "cc-std", 0.5), method("la", "la-auto", 1.0)]
    summary = {
        "emotions": ["anger", "sadness"],
        "methods": methods,
        "test_speakers": 12,
        "chance": {"uar": 0.5},
    }
    return TrainingOutputs(tmp_path, summary)


def test_the_story_names_the_layers_and_their_scores(ranked):
    which, _ = tell(PairOutputs("a", "b", [ranked], None))
    assert which.title == "Which layers"
    assert which.sentences == (
        "Utterance level: the emotions of the two corpora are most alike in layers 2, 3 (Group), most of "
        "all in layer 2 (0.300, 95 % over speakers 0.200 to 0.400), and least alike in 1, 4 (Worst; the "
        "lowest score is 0.005, 95 % over speakers -0.010 to 0.020).",
    )


def test_it_says_how_sure_that_is_and_leaves_layer_0_out(ranked):
    _, sure = tell(PairOutputs("a", "b", [ranked], None))
    assert sure.sentences == (
        "Utterance level: 3 of 4 layers score above the 95 % range of permuted emotion labels, 3 with their "
        "whole interval over speakers; the intervals of the highest and the lowest layer lie apart; the "
        "Group's cut is not resolved; with the speakers drawn anew, the Group has layer 2 in 100 %, layer 3 "
        "in 60 %, layer 4 in 40 % of the draws. Against a linear probe trained on the one corpus and tried "
        "on the other, layer by layer, Spearman's rho is +0.80 (p 0.010 if layers were independent): the "
        "more alike a layer, the better it transfers.",
    )


@pytest.mark.parametrize(
    ("spearman", "said"),
    [
        ({"rho": 0.5, "p": 0.3}, "no relation of the ranking to transfer is shown"),
        ({"rho": -0.8, "p": 0.01}, "the more alike a layer, the worse it transfers"),
    ],
)
def test_a_probe_that_disagrees_is_said_to(ranked, spearman, said):
    outputs = ranking(ranked.ranking["layers"], probe={"spearman": spearman})
    assert tell(PairOutputs("a", "b", [outputs], None))[1].sentences[0].endswith(f"{said}.")


def test_without_intervals_null_and_probe_nothing_is_claimed_of_them():
    bare = [{**layer(str(number), number / 10, None, None, None), "null_high": None} for number in range(5)]
    outputs = ranking(bare, probe={"reason": "probe_limit = 0."})
    which, sure = tell(PairOutputs("a", "b", [outputs], None))
    assert "95 %" not in which.sentences[0]
    assert sure.sentences == ("Utterance level: the Group's cut is not resolved.",)


def test_what_anchoring_bought_is_a_difference_on_the_same_speakers(trained):
    (bought,) = tell(PairOutputs("a", "b", [], trained))
    first, *gains, last = bought.sentences
    assert "how results vary over seeds is not in them" in last
    assert "on 12 test speakers" in first
    assert "mean of 2 seeds" in first
    assert "guessing gives 50 %" in first
    assert "la-auto, layers 2, 3, 100.0 % (90.0 to 110.0)" in first
    assert gains == [
        "la-auto against cc-std (the top layer, each corpus standardised by itself): +50.0 points (+50.0 to "
        "+50.0), a gain.",
        "la-auto against cc (the top layer, both standardised by the source): +50.0 points (+50.0 to +50.0), "
        "a gain.",
        "Standardising alone, cc-std against cc: +0.0 points (+0.0 to +0.0), not told from zero with "
        "these speakers.",
    ]


def test_baselines_that_were_not_trained_are_left_out(trained):
    summary = {**trained.summary, "methods": trained.summary["methods"][2:]}
    (bought,) = tell(PairOutputs("a", "b", [], TrainingOutputs(trained.folder, summary)))
    methods, last = bought.sentences
    assert "cc" not in methods
    assert last.startswith("The intervals are over test speakers")


def test_a_loss_is_called_one_and_few_speakers_give_no_verdict():
    assert describe_gain(Gain(-0.1, Interval(-0.2, -0.05), 10)) == "-10.0 points (-20.0 to -5.0), a loss"
    assert describe_gain(Gain(-0.1, Interval(-0.2, -0.05), 9)).endswith("the interval is too narrow")
    assert "the test speakers are too few" in describe_gain(Gain(0.1, None, 1))

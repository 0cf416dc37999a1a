from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures
from layersim.adaptation.evaluate import domain_statistics, score, uar_interval
from layersim.adaptation.network import AnchoredClassifier
from layersim.adaptation.pair import PairData
from layersim.adaptation.standardise import Statistics


def predictions(truth: list[str], guess: list[str], speakers: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"emotion": truth, "predicted": guess, "speaker": speakers})


def test_scores_of_a_hand_counted_table() -> None:
    table = predictions(["sad", "sad", "sad", "angry"], ["sad", "sad", "angry", "angry"], list("aabb"))
    found = score(table, ["angry", "sad"], 100)
    assert found["uar"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["wa"] == 0.75
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["confusion"] == [[1, 0], [1, 2]]
    assert found["counts"] == {"angry": 1, "sad": 3}
    assert found["chance"] == {"uar": 0.5, "wa": 0.75}
    assert (found["utterances"], found["speakers"]) == (4, 2)


def test_the_interval_over_runs_is_that_of_their_mean_by_a_plain_loop() -> None:
    """Speakers that always or never guess right: the mean over two runs, drawn speaker by speaker."""
    speakers = [f"s{number}" for number in range(12) for _ in range(2)]
    truth = ["angry", "sad"] * 12
    right = np.repeat(np.arange(12) < 8, 2)
    runs = []
    for flip in (0, 1):
        hit = right if not flip else ~right
        wrong = {"angry": "sad", "sad": "angry"}
        runs.append(
            predictions(truth, [t if h else wrong[t] for t, h in zip(truth, hit, strict=True)], speakers)
        )
    both = uar_interval(runs, ["angry", "sad"], 400)
    one = uar_interval(runs[:1], ["angry", "sad"], 2000)
    # Every speaker is right in exactly one of the two runs, so the mean is 1/2 in every draw.
    assert both == {"low": 0.5, "high": 0.5}
    rng = np.random.default_rng(1)
    draws = [np.mean(rng.choice(np.arange(12) < 8, 12)) for _ in range(2000)]
    assert one is not None
    assert one["low"] == pytest.approx(np.quantile(draws, 0.025), abs=0.05)
    assert one["high"] == pytest.approx(np.quantile(draws, 0.975), abs=0.05)


@pytest.mark.parametrize(("offset", "low", "high"), [(0.0, 0.3, 0.7), (20.0, 0.99, 1.0)])
def test_a_domain_probe_is_at_chance_for_one_corpus_halved_and_perfect_across_an_offset(
    offset: float, low: float, high: float
) -> None:
    features = torch.randn(200, 2, 4, generator=torch.Generator().manual_seed(0))
    keys = tuple(f"c/{number}" for number in range(100))
    labelled = LabelledFeatures(keys, features[:100], ("angry",) * 100, ("s",) * 100)
    unlabelled = UnlabelledFeatures(keys, features[100:] + offset)
    zeros = torch.zeros(2, 4)
    data = PairData(labelled, labelled, unlabelled, labelled, Statistics(zeros, zeros + 1))
    torch.manual_seed(0)
    network = AnchoredClassifier(2, 4, 2, 3, 0.0)
    found = domain_statistics(network, data, ("5", "6"), "frobenius")
    assert low <= found["domain_accuracy"] <= high
    assert [row["layer"] for row in found["layers"]] == ["5", "6"]
    projected = network.project(features).detach().numpy()
    for place, row in enumerate(found["layers"]):
        one, other = projected[:100, place], projected[100:, place]
        expected = np.linalg.norm(np.cov(one, rowvar=False) - np.cov(other, rowvar=False))
        assert row["coral"] == pytest.approx(expected, rel=1e-3)  # an offset changes no covariance
        if offset:
            assert row["mean_distance"] > 3

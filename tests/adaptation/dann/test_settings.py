from __future__ import annotations

from typing import Any

import pytest

from layersim.adaptation.dann.schedules import rate_factor, reversal_weight
from layersim.adaptation.dann.settings import POSTER, DannConfig
from layersim.errors import LayersimError
from layersim.settings import resolve_settings

STATED = {"adversarial", "resnet_depths", "resnet_widths"}


def test_only_what_the_poster_states_is_said_to_be_its_own() -> None:
    """It names ResNet-50, a 1-D CNN and gradient reversal; the numbers that it tuned it does not give."""
    origins = resolve_settings(DannConfig).origins
    assert {name for name, origin in origins.items() if origin == f"paper: {POSTER}"} == STATED
    assert {origins[name] for name in origins.keys() - STATED} == {"default (not in source)"}
    assert set(DannConfig.presets["paper"]) == STATED


def test_the_paper_preset_is_a_resnet_50() -> None:
    config = resolve_settings(DannConfig, preset=("preset paper", DannConfig.presets["paper"])).config
    assert config.adversarial
    assert config.resnet_depths == (3, 4, 6, 3)
    assert config.resnet_widths == (256, 512, 1024, 2048)


def test_lambda_is_ganin_s_schedule_times_its_end() -> None:
    assert reversal_weight("ganin", 0.0, 1.0) == 0.0
    assert reversal_weight("ganin", 0.2, 1.0) == pytest.approx(0.761594, abs=1e-6)  # tanh(1), the same curve
    assert reversal_weight("ganin", 0.2, 0.5) == pytest.approx(0.380797, abs=1e-6)
    assert [reversal_weight("constant", share, 0.5) for share in (0.0, 0.7)] == [0.5, 0.5]


def test_learning_rates_fall_from_1() -> None:
    for schedule in ("annealing", "cosine", "step"):
        factors = [rate_factor(schedule, share / 100) for share in range(100)]
        assert factors[0] == 1.0
        assert factors == sorted(factors, reverse=True)
        assert factors[-1] < 0.2
    assert rate_factor("constant", 0.9) == 1.0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"resnet_depths": [1, 1]}, "resnet_depths has 2 stages, resnet_widths 4"),
        ({"resnet_widths": [256, 512, 1024, 2050]}, "a bottleneck has a quarter of them, got 2050"),
        ({"encoder": "resnet18"}, r"table \[train.dann\]: setting 'encoder'"),
        ({"lambda": 1.0}, r"table \[train.dann\]: unknown key 'lambda'. Did you mean 'lambda_end'\?"),
        ({"choose_from": 1.0}, "setting 'choose_from': .* less than 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(LayersimError, match=message):
        resolve_settings(DannConfig, table=table)

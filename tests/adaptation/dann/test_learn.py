from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score

from layersim.adaptation.dann.encoders import SequenceEncoder
from layersim.adaptation.dann.learn import AT_CHANCE, CURVES, LEARNS, learn_dann
from layersim.adaptation.dann.settings import DannConfig
from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures
from layersim.adaptation.task import Learned, Task, guesses
from layersim.errors import LayersimError

CLASSES = ("anger", "sadness")


def misleading(seed: int, rows: int, target: bool, far: float = 6) -> LabelledFeatures:
    """Two classes, s = ±1. Dimension 0 is 4 s + noise in both corpora: by it alone 99.997 % are told apart.

    Dimension 1 is 5 s + noise in the source, so that it is the stronger clue there, and -far + noise in the
    target, where it says "anger" of everything, and "target" to a domain head. Six more are noise.
    """
    rng = np.random.default_rng(seed)
    truth = np.arange(rows) % 2
    sign = 2 * truth - 1
    values = rng.standard_normal((rows, 8))
    values[:, 0] += 4 * sign
    values[:, 1] += -far if target else 5 * sign
    return labelled(torch.from_numpy(values.astype(np.float32)).unsqueeze(1), truth)


def labelled(features: torch.Tensor, truth: np.ndarray) -> LabelledFeatures:
    keys = tuple(f"corpus/{number:04d}" for number in range(len(truth)))
    return LabelledFeatures(keys, features, tuple(CLASSES[one] for one in truth), ("one",) * len(truth))


def without_labels(part: LabelledFeatures) -> UnlabelledFeatures:
    return UnlabelledFeatures(part.keys, part.features)


def task_of(**parts: Any) -> Task:
    asked = {
        "source": misleading(1, 300, target=False),
        "validation": misleading(2, 100, target=False),
        "target": without_labels(misleading(3, 300, target=True)),
    }
    return Task(**{**asked, **parts}, classes=CLASSES)


def config_of(**asked: Any) -> DannConfig:
    quick: dict[str, Any] = {
        "epochs": 40, "patience": 40, "batch": 32, "learning_rate": 3e-3, "projection": 16,
        "domain_hidden": 16,
    }  # fmt: skip
    return DannConfig(**{**quick, **asked})


def target_uar(learned: Learned) -> float:
    test = misleading(4, 400, target=True)
    guess = guesses(learned.probabilities(test.features), CLASSES)
    return float(recall_score(test.emotions, guess, average="macro"))


def weights(learned: Learned) -> dict[str, bytes]:
    assert learned.network is not None
    return {name: value.numpy().tobytes() for name, value in learned.network.state_dict().items()}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_clue_that_only_the_source_has_is_given_up_for_the_one_that_both_have(seed: int) -> None:
    alone = learn_dann(task_of(), config_of(adversarial=False), seed)
    adversarial = learn_dann(task_of(), config_of(), seed)
    assert target_uar(alone) < 0.6
    assert target_uar(adversarial) > 0.95
    assert adversarial.details["domain_head"] == LEARNS


def test_without_reversal_the_domain_head_learns_and_the_encoder_does_not_follow() -> None:
    far = without_labels(misleading(3, 300, target=True, far=12))
    config = config_of(lambda_end=0.0, rate_schedule="constant", dropout=0.0)
    learned = learn_dann(task_of(target=far), config, 0)
    assert learned.curves is not None
    assert learned.details["domain_accuracy"] > 0.9
    assert learned.curves["domain_accuracy"].iloc[-1] > 0.9
    assert learned.curves["domain_cross_entropy"].iloc[-1] < 0.2 < math.log(2)
    assert (learned.curves["lambda"] == 0).all()
    assert target_uar(learned) < 0.6


def test_without_lambda_the_encoder_is_the_one_that_the_source_alone_gives() -> None:
    """Equal batches, the same order and weights; the domain loss reaches its own head only."""
    quick = {"epochs": 3, "choose_from": 0.0, "dropout": 0.0}  # dropout draws for both sides
    with_head = weights(learn_dann(task_of(), config_of(lambda_end=0.0, **quick), 0))
    alone = weights(learn_dann(task_of(), config_of(adversarial=False, **quick), 0))
    assert len(alone) == 6
    for name, values in alone.items():
        np.testing.assert_allclose(
            np.frombuffer(with_head[name], np.float32), np.frombuffer(values, np.float32), atol=1e-5
        )


def test_without_the_adversary_the_target_plays_no_role() -> None:
    config = config_of(adversarial=False, epochs=4)
    others = (
        without_labels(misleading(9, 40, target=True)),
        UnlabelledFeatures(("a/1",), torch.full((1, 5), math.nan)),
    )
    first = learn_dann(task_of(), config, 0)
    assert first.curves is not None
    for other in others:
        second = learn_dann(task_of(target=other), config, 0)
        assert second.curves is not None
        assert weights(first) == weights(second)
        assert first.curves.to_csv() == second.curves.to_csv()
        assert first.details == second.details == {"adversarial": False}
    assert first.curves[["domain_cross_entropy", "domain_accuracy", "lambda"]].isna().all(axis=None)
    assert first.curves["cross_entropy"].notna().all()


@pytest.mark.parametrize("encoder", ["features", "conv1d", "resnet50"])
def test_the_same_seed_gives_the_same_bytes_and_the_caller_s_random_numbers_stay(encoder: str) -> None:
    task = spectral_task() if encoder != "features" else task_of()
    config = small(encoder, epochs=2)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = (learn_dann(task, config, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert weights(first) == weights(second)
    assert weights(first) != weights(other)
    assert first.curves is not None
    assert second.curves is not None
    assert first.curves.to_csv() == second.curves.to_csv()
    rows = task.validation.features[:5]
    assert first.probabilities(rows).tobytes() == second.probabilities(rows).tobytes()
    np.testing.assert_allclose(first.probabilities(rows).sum(axis=1), 1.0)
    assert first.probabilities(rows).dtype == np.float64


def test_curves_have_lambda_and_learning_rate_of_each_epoch_s_last_step() -> None:
    shown = []
    config = config_of(epochs=4, learning_rate=0.02)
    learned = learn_dann(task_of(), config, 0, lambda *given: shown.append(given))
    curves = learned.curves
    assert curves is not None
    assert tuple(curves.columns) == CURVES
    assert curves["epoch"].tolist() == [1, 2, 3, 4]
    progress = np.array([8, 17, 26, 35]) / 36  # 300 rows fill 9 batches of 32 an epoch, 36 in all
    np.testing.assert_allclose(curves["lambda"], np.tanh(5 * progress))  # 2 / (1 + exp(-10 p)) - 1
    np.testing.assert_allclose(curves["learning_rate"], 0.02 / (1 + 10 * progress) ** 0.75)
    assert shown == [("training", epoch, 4) for epoch in (1, 2, 3, 4)]
    assert learned.details["lambda_end"] == pytest.approx(np.tanh(5 * 35 / 36))
    assert learned.best_epoch is not None
    assert learned.details["lambda_kept"] == curves["lambda"].iloc[learned.best_epoch - 1]


@pytest.mark.parametrize(("choose_from", "first"), [(0.0, 1), (0.5, 6), (0.79, 8), (0.99, 10)])
def test_no_epoch_before_the_chosen_share_is_kept(choose_from: float, first: int) -> None:
    """Validation labels turned around: the less is learnt, the better the score, so the first one is best."""
    validation = misleading(2, 100, target=False)
    turned = replace(
        validation, emotions=tuple(CLASSES[1 - CLASSES.index(one)] for one in validation.emotions)
    )
    config = config_of(epochs=10, choose_from=choose_from, patience=1, lambda_schedule="constant")
    learned = learn_dann(task_of(validation=turned), config, 0)
    assert learned.best_epoch == first
    assert learned.curves is not None
    assert learned.curves["epoch"].tolist() == list(range(1, min(first + 1, 10) + 1))
    alone = learn_dann(task_of(validation=turned), config.model_copy(update={"adversarial": False}), 0)
    assert alone.best_epoch == 1


def test_both_sides_give_as_many_rows_and_a_dead_head_is_called_dead() -> None:
    """Features that are all alike: whatever the head says, it is right for exactly half of the rows."""
    source = misleading(1, 60, target=False)
    task = task_of(
        source=replace(source, features=torch.zeros_like(source.features)),
        target=without_labels(labelled(torch.zeros(500, 1, 8), np.zeros(500, dtype=int))),
    )
    learned = learn_dann(task, config_of(epochs=4, dropout=0.0), 0)
    assert learned.curves is not None
    assert learned.curves["domain_accuracy"].tolist() == [0.5] * 4
    assert learned.details["domain_accuracy"] == 0.5
    assert learned.details["domain_head"] == AT_CHANCE


def test_batches_are_as_large_as_the_smaller_side_allows() -> None:
    small_target = without_labels(misleading(3, 10, target=True))
    curves = learn_dann(task_of(target=small_target), config_of(epochs=2), 0).curves
    assert curves is not None
    assert curves["lambda"].iloc[0] == pytest.approx(np.tanh(5 * 29 / 60))  # 300 / 10 = 30 steps an epoch


@pytest.mark.parametrize(
    "asked",
    [
        {"optimiser": "sgd", "learning_rate": 0.03},
        {"rate_schedule": "cosine"},
        {"rate_schedule": "step"},
        {"class_weights": "none"},
    ],
)
def test_the_other_options_learn_the_source_too(asked: dict[str, Any]) -> None:
    curves = learn_dann(task_of(), config_of(epochs=8, **asked), 0).curves
    assert curves is not None
    assert curves["source_validation_uar"].iloc[-1] > 0.95
    falls = curves["learning_rate"].iloc[-1] / curves["learning_rate"].iloc[0]
    assert falls < 0.5


def spectral_task() -> Task:
    """Sequences with louder mel bins 10-20 in one class, and 40-60 in the target."""

    def part(seed: int, rows: int, offset: float) -> LabelledFeatures:
        rng = np.random.default_rng(seed)
        truth = np.arange(rows) % 2
        values = rng.standard_normal((rows, 92, 24))
        values[:, 10:20] += 2 * truth[:, None, None]
        values[:, 40:60] += offset
        return labelled(torch.from_numpy(values.astype(np.float32)), truth)

    return Task(part(1, 48, 0), part(2, 24, 0), without_labels(part(3, 48, 3)), CLASSES)


def small(encoder: str, **asked: Any) -> DannConfig:
    tiny: dict[str, Any] = {
        "encoder": encoder, "conv_channels": (8, 8), "resnet_depths": (1, 1), "resnet_widths": (16, 32),
        "plane_bins": 16, "plane_frames": 16, "batch": 8, "epochs": 12, "rate_schedule": "constant",
    }  # fmt: skip
    return config_of(**{**tiny, **asked})


@pytest.mark.parametrize("encoder", ["conv1d", "resnet50"])
def test_spectral_encoders_learn_both_tasks(encoder: str) -> None:
    task = spectral_task()
    learned = learn_dann(task, small(encoder), 0)
    assert learned.curves is not None
    guess = guesses(learned.probabilities(task.validation.features), CLASSES)
    assert recall_score(task.validation.emotions, guess, average="macro") > 0.9
    unreversed = learn_dann(task, small(encoder, lambda_end=0.0), 0)
    assert unreversed.details["domain_accuracy"] > 0.9


def test_batch_normalisation_sees_both_corpora_in_one_batch() -> None:
    """In two passes, the variance remembered would be that within the corpora, without their offset."""
    task = spectral_task()
    config = small("conv1d", epochs=1, choose_from=0.0, batch=48, learning_rate=1e-12, weight_decay=0.0)
    learned = learn_dann(task, config, 0)
    encoder = learned.network.encoder  # type: ignore[union-attr]
    assert isinstance(encoder, SequenceEncoder)
    convolution, normalisation = encoder.convolutions[0], encoder.convolutions[1]
    with torch.no_grad():  # all rows of both sides, in the one step that there is
        given = convolution(torch.cat([task.source.features, task.target.features])).numpy()
    np.testing.assert_allclose(normalisation.running_mean, given.mean(axis=(0, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(normalisation.running_var, given.var(axis=(0, 2), ddof=1), rtol=1e-4)


def test_a_loss_that_is_not_finite_stops_training() -> None:
    broken = UnlabelledFeatures(task_of().target.keys, torch.full((300, 1, 8), math.nan))
    with pytest.raises(LayersimError, match=r"epoch 1: the loss is nan.*table \[train.dann\]"):
        learn_dann(task_of(target=broken), config_of(), 0)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (UnlabelledFeatures(("a/1",), torch.zeros(1, 1, 8)), "target must have 2 utterances or more, got 1"),
        (UnlabelledFeatures(("a/1", "a/2"), torch.zeros(2, 1, 9)), r"of one shape, got .* and \(2, 1, 9\)"),
    ],
)
def test_a_target_that_does_not_fit_is_refused(target: UnlabelledFeatures, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learn_dann(task_of(target=target), config_of(), 0)


def test_an_emotion_that_is_no_class_is_refused() -> None:
    source = misleading(1, 300, target=False)
    strange = replace(source, emotions=("joy", *source.emotions[1:]))
    with pytest.raises(ValueError, match=r"emotions \['joy'\] are not in classes"):
        learn_dann(task_of(source=strange), config_of(), 0)

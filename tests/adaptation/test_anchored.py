from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score
from sklearn.utils.class_weight import compute_class_weight

from layersim.adaptation.anchored import CURVES, learn_anchored
from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures
from layersim.adaptation.pair import PairData, read_pair
from layersim.adaptation.task import Learned, Task
from layersim.errors import LayersimError
from layersim.features.dataset import CorpusFeatures

CLASSES = ("anger", "happiness", "neutral", "sadness")


@pytest.fixture
def data(source: CorpusFeatures, target: CorpusFeatures) -> PairData:
    return read_pair(source, target, ("2", "3"), CLASSES, "corpus")


def fit(
    source: LabelledFeatures,
    validation: LabelledFeatures,
    target: UnlabelledFeatures | None,
    classes: tuple[str, ...],
    batch: int,
    config: Any,
    seed: int,
) -> Learned:
    """Train with batches of a size, without the target where there is none."""
    unused = UnlabelledFeatures(source.keys, source.features)
    task = Task(source, validation, unused if target is None else target, classes)
    asked = config.model_copy(update={"batch": batch})
    return learn_anchored(task, asked, seed, with_target=target is not None)


def run(data: PairData, config: Any, with_target: bool = True, seed: int = 0, batch: int = 16) -> Learned:
    target = data.target_train if with_target else None
    return fit(data.source_train, data.source_validation, target, CLASSES, batch, config, seed)


def weights(fitted: Learned) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in fitted.network.state_dict().items()}


def test_gamma_0_gives_the_network_that_training_without_the_target_gives(
    data: PairData, settings_of: Callable[..., Any]
) -> None:
    config = settings_of(gamma=0.0, epochs=6).config
    with_target, without = run(data, config), run(data, config, with_target=False)
    assert weights(with_target) == weights(without)
    assert with_target.curves["coral"].gt(0).all()  # measured all the same
    assert without.curves["coral"].isna().all()
    assert weights(run(data, settings_of(gamma=0.1, epochs=6).config)) != weights(without)


@pytest.mark.parametrize("form", ["frobenius", "squared"])
def test_coral_brings_the_corpora_together(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any], form: str
) -> None:
    data = read_pair(source, target, ("2", "3"), CLASSES, "source")  # the offset and the stretch stay
    gamma = 1.0 if form == "frobenius" else 20.0
    asked = {"epochs": 30, "patience": 30, "coral": form}
    without, anchored = (run(data, settings_of(gamma=weight, **asked).config) for weight in (0.0, gamma))
    assert anchored.curves["coral"].iloc[-1] < 0.3 * without.curves["coral"].iloc[-1]


def test_curves_have_the_losses_of_each_epoch_and_gamma_times_coral(
    data: PairData, settings_of: Callable[..., Any]
) -> None:
    curves = run(data, settings_of(gamma=0.25, epochs=3).config).curves
    assert tuple(curves.columns) == CURVES
    assert curves["epoch"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(curves["gamma_coral"], 0.25 * curves["coral"])
    assert (curves["coral_floor"] > 0).all()
    assert curves["source_validation_uar"].between(0, 1).all()


def test_the_floor_does_not_know_the_target(data: PairData, settings_of: Callable[..., Any]) -> None:
    config = settings_of(gamma=0.0, epochs=2).config
    near = run(data, config).curves
    far_target = UnlabelledFeatures(data.target_train.keys, 100 * data.target_train.features)
    far = fit(data.source_train, data.source_validation, far_target, CLASSES, 16, config, 0).curves
    assert far["coral"].min() > 100 * near["coral"].max()
    assert near["coral_floor"].tolist() == far["coral_floor"].tolist()


def test_the_kept_weights_are_those_of_the_best_source_validation_epoch(
    corpus_of: Callable[..., CorpusFeatures], settings_of: Callable[..., Any]
) -> None:
    learnable = corpus_of("german", seed=1, signal=1.0)
    data = read_pair(learnable, corpus_of("english", seed=2), ("2", "3"), CLASSES, "corpus")
    fitted = run(data, settings_of(epochs=40, patience=40, learning_rate=0.01, projection=16).config)
    best = fitted.curves[
        fitted.curves["source_validation_uar"] == fitted.curves["source_validation_uar"].max()
    ]
    assert best["epoch"].iloc[0] < fitted.best_epoch < best["epoch"].iloc[-1]  # tied: neither first nor last
    order = fitted.curves.sort_values(
        ["source_validation_uar", "source_validation_cross_entropy"], ascending=[False, True]
    )
    assert fitted.best_epoch == order["epoch"].iloc[0]
    with torch.no_grad():
        guess = fitted.network(data.source_validation.features).argmax(dim=1)
    truth = [CLASSES.index(emotion) for emotion in data.source_validation.emotions]
    kept = recall_score(truth, guess.numpy(), average="macro")
    assert kept == pytest.approx(fitted.curves["source_validation_uar"].max())


def test_a_run_ends_after_so_many_epochs_without_a_better_one(
    data: PairData, settings_of: Callable[..., Any]
) -> None:
    noise = torch.randn(data.source_validation.features.shape, generator=torch.Generator().manual_seed(0))
    unlearnable = LabelledFeatures(
        data.source_validation.keys, noise, data.source_validation.emotions, data.source_validation.speakers
    )
    config = settings_of(epochs=500, patience=5, learning_rate=0.01).config
    fitted = fit(data.source_train, unlearnable, None, CLASSES, 16, config, 0)
    assert len(fitted.curves) == fitted.best_epoch + 5 < 500


def test_the_first_epochs_cross_entropy_is_weighted_by_source_train_counts(
    data: PairData, settings_of: Callable[..., Any]
) -> None:
    """With a step size of nearly zero the loss of a whole-corpus batch can be worked out apart."""
    keep = [
        row for row, emotion in enumerate(data.source_train.emotions) if emotion != "neutral" or row % 3 == 0
    ]
    part = data.source_train
    uneven = LabelledFeatures(
        tuple(part.keys[row] for row in keep), part.features[keep],
        tuple(part.emotions[row] for row in keep), tuple(part.speakers[row] for row in keep),
    )  # fmt: skip
    config = settings_of(epochs=1, learning_rate=1e-30, weight_decay=0.0, dropout=0.0).config
    fitted = fit(uneven, data.source_validation, None, CLASSES, len(keep), config, 0)
    with torch.no_grad():
        shares = torch.log_softmax(fitted.network(uneven.features).double(), dim=1).numpy()
    truth = np.array([CLASSES.index(emotion) for emotion in uneven.emotions])
    balance = compute_class_weight("balanced", classes=np.arange(4), y=truth)[truth]
    expected = -(balance * shares[np.arange(len(truth)), truth]).sum() / balance.sum()
    assert len(set(balance)) > 1
    assert fitted.curves["cross_entropy"].iloc[0] == pytest.approx(expected, rel=1e-5)


def test_a_learnable_source_is_learnt(data: PairData, settings_of: Callable[..., Any]) -> None:
    config = settings_of(epochs=60, learning_rate=0.01, projection=16).config
    assert run(data, config).curves["source_validation_uar"].max() > 0.8  # chance .25


def test_a_loss_that_explodes_stops_the_run_and_names_the_settings(
    data: PairData, settings_of: Callable[..., Any]
) -> None:
    with pytest.raises(LayersimError, match=r"the loss is (nan|inf). Lower learning_rate .* table \[train\]"):
        run(data, settings_of(gamma=1e38, learning_rate=1e30).config)


def test_too_few_rows_or_an_unknown_label_are_the_callers_mistake(
    data: PairData, settings_of: Callable[..., Any]
) -> None:
    config = settings_of().config
    alone = UnlabelledFeatures(data.target_train.keys[:1], data.target_train.features[:1])
    with pytest.raises(ValueError, match="at least 4 rows and the target 2, got 48 and 1"):
        fit(data.source_train, data.source_validation, alone, CLASSES, 8, config, 0)
    with pytest.raises(ValueError, match=r"emotions \['sadness'\] are not in classes"):
        fit(data.source_train, data.source_validation, None, CLASSES[:3], 8, config, 0)


def test_validation_may_lack_a_class(data: PairData, settings_of: Callable[..., Any]) -> None:
    keep = [row for row, emotion in enumerate(data.source_validation.emotions) if emotion != "sadness"]
    part = data.source_validation
    fewer = LabelledFeatures(
        tuple(part.keys[row] for row in keep), part.features[keep],
        tuple(part.emotions[row] for row in keep), tuple(part.speakers[row] for row in keep),
    )  # fmt: skip
    fitted = fit(data.source_train, fewer, None, CLASSES, 8, settings_of().config, 0)
    assert not any(math.isnan(value) for value in fitted.curves["source_validation_uar"])


@pytest.mark.parametrize("form", ["frobenius", "squared"])
def test_one_step_descends_cross_entropy_plus_gamma_times_the_sum_of_coral_over_layers(
    data: PairData, settings_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Against plain gradient descent written out with torch.cov, on batches that hold each side whole."""

    def descend(weights: Any, lr: float, weight_decay: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(weights, lr=lr, weight_decay=weight_decay)

    monkeypatch.setattr(torch.optim, "AdamW", descend)
    rows = len(data.source_train)
    target = UnlabelledFeatures(data.target_train.keys[:rows], data.target_train.features[:rows])
    asked = {"epochs": 1, "dropout": 0.0, "coral": form, "gamma": 0.7, "class_weights": "none",
             "weight_decay": 0.0}  # fmt: skip
    start, end = (
        fit(
            data.source_train, data.source_validation, target, CLASSES, rows,
            settings_of(learning_rate=rate, **asked).config, 3,
        ).network
        for rate in (1e-30, 0.1)
    )  # fmt: skip
    truth = torch.tensor([CLASSES.index(emotion) for emotion in data.source_train.emotions])
    loss = torch.nn.functional.cross_entropy(start(data.source_train.features), truth)
    for layer, part in enumerate(start.projections):
        one, other = part(data.source_train.features[:, layer]), part(target.features[:, layer])
        difference = torch.cov(one.T) - torch.cov(other.T)
        norm = torch.linalg.norm(difference)
        loss = loss + 0.7 * (norm if form == "frobenius" else norm**2 / (4 * one.shape[1] ** 2))
    start.zero_grad()
    loss.backward()
    for before, after in zip(start.parameters(), end.parameters(), strict=True):
        assert before.grad is not None
        torch.testing.assert_close(after, before.detach() - 0.1 * before.grad, rtol=1e-4, atol=1e-6)

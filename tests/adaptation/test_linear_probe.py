from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, recall_score
from torch import Tensor

from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures
from layersim.adaptation.linear_probe import ProbeConfig, learn_probe
from layersim.adaptation.task import Task, guesses
from layersim.errors import LayersimError
from layersim.settings import resolve_settings

CLASSES = ("anger", "happiness", "neutral", "sadness")
LAYERS, WIDTH = 2, 6


def draw(rows: int, seed: int, signal: float, uneven: bool = False) -> LabelledFeatures:
    """Emotions are directions in the last layer; the first is noise. Uneven: eight times as much anger."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).standard_normal((len(CLASSES), WIDTH))
    number = rng.integers(0, len(CLASSES), rows)
    if uneven:
        number = np.where(rng.random(rows) < 0.7, 0, number)
    features = rng.standard_normal((rows, LAYERS, WIDTH))
    features[:, 1] += signal * directions[number]
    return LabelledFeatures(
        tuple(f"c/{seed}-{row}" for row in range(rows)),
        torch.tensor(features, dtype=torch.float32),
        tuple(CLASSES[which] for which in number),
        ("s",) * rows,
    )


def make_task(signal: float = 1.0, uneven: bool = False) -> Task:
    target = draw(50, 3, signal)
    return Task(
        draw(200, 1, signal, uneven),
        draw(80, 2, signal),
        UnlabelledFeatures(target.keys, target.features),
        CLASSES,
    )


def flat(features: Tensor) -> np.ndarray:
    return features.numpy().reshape(len(features), -1).astype(float)


@pytest.mark.parametrize("balance", ["balanced", "none"])
def test_one_penalty_gives_scikit_learns_own_probabilities(balance: str) -> None:
    task = make_task(uneven=True)
    config = ProbeConfig(inverse_penalties=(0.05,), class_weights=balance)
    learned = learn_probe(task, config, seed=0)
    weight = "balanced" if balance == "balanced" else None
    model = LogisticRegression(C=0.05, class_weight=weight, max_iter=1000)
    model.fit(flat(task.source.features), [CLASSES.index(name) for name in task.source.emotions])
    expected = model.predict_proba(flat(task.target.features))
    np.testing.assert_allclose(learned.probabilities(task.target.features), expected, atol=1e-6)
    assert learned.details["inverse_penalty"] == 0.05
    assert learned.details["converged"] is True


def test_the_sources_validation_chooses_the_penalty() -> None:
    task = make_task(signal=0.7)
    grid = (0.0001, 0.01, 0.1, 1.0, 100.0)
    learned = learn_probe(task, ProbeConfig(inverse_penalties=grid), seed=0)
    truth = [CLASSES.index(name) for name in task.source.emotions]
    validation = [CLASSES.index(name) for name in task.validation.emotions]
    weight = len(truth) / (4 * np.bincount(truth))
    scores = []
    for inverse_penalty in grid:
        model = LogisticRegression(C=inverse_penalty, class_weight="balanced", max_iter=1000)
        model.fit(flat(task.source.features), truth)
        values = model.predict_proba(flat(task.validation.features))
        uar = recall_score(validation, values.argmax(axis=1), average="macro")
        scores.append((uar, -log_loss(validation, values, sample_weight=weight[validation])))
    best = grid[max(range(len(grid)), key=lambda number: scores[number])]
    assert learned.details["inverse_penalty"] == best
    assert grid[0] < best < grid[-1]  # neither the first nor the last: something was chosen
    found = [
        (entry["source_validation_uar"], -entry["source_validation_cross_entropy"])
        for entry in learned.details["penalties"]
    ]
    np.testing.assert_allclose(found, scores, rtol=1e-4)


def test_penalties_are_tried_from_the_strongest_which_wins_a_tie() -> None:
    assert ProbeConfig(inverse_penalties=(1.0, 0.01, 1.0)).inverse_penalties == (0.01, 1.0)
    task = make_task()
    constant = replace(task, validation=replace(task.validation, features=torch.zeros(80, LAYERS, WIDTH)))
    nothing = replace(constant.source, features=torch.zeros(200, LAYERS, WIDTH))
    learned = learn_probe(replace(constant, source=nothing), ProbeConfig(), seed=0)
    assert learned.details["inverse_penalty"] == 0.001  # with nothing to learn from, all are alike


def test_a_probe_learns_the_layer_that_has_emotion_and_not_the_one_without() -> None:
    task, test = make_task(signal=2.0), draw(400, 4, 2.0)

    def score(layer: int) -> float:
        def only(part: LabelledFeatures) -> LabelledFeatures:
            return replace(part, features=part.features[:, [layer]])

        one = replace(
            task,
            source=only(task.source),
            validation=only(task.validation),
            target=replace(task.target, features=task.target.features[:, [layer]]),
        )
        learned = learn_probe(one, ProbeConfig(), seed=0)
        guess = guesses(learned.probabilities(test.features[:, [layer]]), CLASSES)
        return float(recall_score(test.emotions, guess, average="macro"))

    assert score(1) > 0.95
    assert score(0) == pytest.approx(0.25, abs=0.1)


def test_the_same_bytes_whatever_the_seed_and_the_target() -> None:
    task = make_task()
    other = replace(task, target=UnlabelledFeatures(task.target.keys[:9], 100 * task.target.features[:9]))
    values = [
        learn_probe(given, ProbeConfig(), seed).probabilities(task.target.features).tobytes()
        for given, seed in ((task, 0), (task, 1), (other, 0))
    ]
    assert values[0] == values[1] == values[2]


def test_a_class_without_a_source_utterance_keeps_its_column() -> None:
    task = make_task(signal=2.0)
    rows = [row for row, name in enumerate(task.source.emotions) if name != "happiness"]
    source = LabelledFeatures(
        tuple(task.source.keys[row] for row in rows),
        task.source.features[rows],
        tuple(task.source.emotions[row] for row in rows),
        ("s",) * len(rows),
    )
    values = learn_probe(replace(task, source=source), ProbeConfig(), 0).probabilities(task.target.features)
    assert values.shape == (50, 4)
    assert (values[:, 1] == 0).all()
    np.testing.assert_allclose(values.sum(axis=1), 1)


def test_a_probe_of_one_class_is_refused() -> None:
    task = make_task()
    source = replace(task.source, emotions=("anger",) * 200)
    with pytest.raises(ValueError, match=r"two classes or more, got \['anger'\]"):
        learn_probe(replace(task, source=source), ProbeConfig(), 0)


def test_a_penalty_must_be_above_0() -> None:
    with pytest.raises(LayersimError, match=r"\[train.probe\]: setting 'inverse_penalties': each must be"):
        resolve_settings(ProbeConfig, table={"inverse_penalties": [0.1, 0.0]})


def test_progress_counts_the_penalties() -> None:
    seen: list[tuple[str, float, float]] = []
    learn_probe(make_task(), ProbeConfig(inverse_penalties=(0.1, 1.0)), 0, lambda *call: seen.append(call))
    assert seen == [("training", 1, 2), ("training", 2, 2)]

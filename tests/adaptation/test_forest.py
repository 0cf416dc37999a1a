"""A forest on separable features, and on features that only WCCN makes separable for shallow trees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures
from layersim.adaptation.forest import ForestConfig, learn_forest
from layersim.adaptation.task import Task, guesses
from layersim.metrics import uar
from layersim.settings import resolve_settings

CLASSES = ("anger", "happiness", "neutral", "sadness")
DIRECTIONS = np.random.default_rng(3).standard_normal((4, 1, 12))


def part(seed: int, counts: Sequence[int], signal: float = 3.0) -> LabelledFeatures:
    """Utterances (N, 1, 12); an emotion is a direction of its own."""
    rng = np.random.default_rng(seed)
    emotions = [name for name, count in zip(CLASSES, counts, strict=True) for _ in range(count)]
    means = np.stack([DIRECTIONS[CLASSES.index(name)] for name in emotions])
    values = signal * means + rng.standard_normal(means.shape)
    keys = tuple(f"a/{seed}-{number}" for number in range(len(emotions)))
    return LabelledFeatures(keys, torch.from_numpy(values).float(), tuple(emotions), ("s",) * len(emotions))


def task_of(source: LabelledFeatures, validation: LabelledFeatures, classes: Sequence[str] = CLASSES) -> Task:
    target = UnlabelledFeatures(("b/0", "b/1"), torch.full((2, *source.features.shape[1:]), 1e6))
    return Task(source, validation, target, tuple(classes))


def config(**values: object) -> ForestConfig:
    return ForestConfig(**values)  # type: ignore[arg-type]


def test_separable_emotions_are_told_apart_on_utterances_it_has_not_seen():
    source, validation, test = part(1, (30, 30, 30, 30)), part(2, (10,) * 4), part(3, (25,) * 4)
    learned = learn_forest(task_of(source, validation), config(), seed=0)
    probabilities = learned.probabilities(test.features)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert uar(test.emotions, guesses(probabilities, CLASSES)) > 0.95
    assert learned.details["source_validation_uar"] == uar(
        validation.emotions, guesses(learned.probabilities(validation.features), CLASSES)
    )
    assert learned.curves is None
    assert learned.network is None


def test_the_forest_is_the_paper_s():
    assert ForestConfig.presets == {"paper": {"trees": 100, "depth": 5}}
    settings = resolve_settings(ForestConfig, {})
    assert (settings.config.trees, settings.config.depth) == (100, 5)
    assert settings.origins["trees"] == settings.origins["depth"] == "paper: Tang et al., arXiv 2311.13678"
    assert settings.origins["wccn"] == settings.origins["smoothing"] == "default (not in source)"


def test_the_same_seed_gives_the_same_bytes_and_no_one_else_s_random_numbers_are_used():
    task, rows = task_of(part(1, (9, 9, 9, 9), 0.5), part(2, (3,) * 4)), part(3, (5,) * 4).features
    np.random.seed(1)  # noqa: NPY002 - the generator that scikit-learn would take without a seed
    before = (np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes())  # noqa: NPY002
    first, again, other = (learn_forest(task, config(), seed).probabilities(rows) for seed in (5, 5, 6))
    after = (np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes())  # noqa: NPY002
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert before == after


def test_balanced_weights_find_a_rare_emotion_that_a_plain_forest_overlooks():
    source, test = part(1, (100, 10, 100, 100), 1.0), part(3, (60,) * 4, 1.0)
    recall = {}
    for weights in ("balanced", "none"):
        learned = learn_forest(task_of(source, part(2, (5,) * 4)), config(class_weights=weights), seed=0)
        found = guesses(learned.probabilities(test.features), CLASSES)
        rare = [guess for truth, guess in zip(test.emotions, found, strict=True) if truth == "happiness"]
        recall[weights] = rare.count("happiness") / len(rare)
    assert recall["balanced"] > recall["none"] + 0.2


def test_an_emotion_that_the_source_lacks_has_a_column_and_no_probability():
    source = part(1, (20, 0, 20, 20))
    learned = learn_forest(task_of(source, part(2, (5, 0, 5, 5))), config(), seed=0)
    probabilities = learned.probabilities(part(3, (4,) * 4).features)
    assert probabilities.shape == (16, 4)
    assert (probabilities[:, 1] == 0).all()
    assert (probabilities[:, [0, 2, 3]].max(axis=0) > 0.5).all()


def hidden_part(seed: int, count: int) -> LabelledFeatures:
    """Two emotions differ by ±0.5 along one of 12 rotated axes; along the others speech varies by 20.

    Each measured feature is a mixture of all axes, so no single one tells the emotions apart.
    """
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(11).standard_normal((12, 12)))
    emotions = ["anger"] * count + ["sadness"] * count
    values = rng.standard_normal((2 * count, 12)) * np.array([0.1] + [20.0] * 11)
    values[:, 0] += np.repeat([0.5, -0.5], count)
    keys = tuple(f"a/{seed}-{number}" for number in range(2 * count))
    return LabelledFeatures(
        keys, torch.from_numpy(values @ rotation.T).float()[:, None], tuple(emotions), ("s",) * 2 * count
    )


def within_class(rows: np.ndarray, emotions: Sequence[str], smoothing: float) -> np.ndarray:
    """Independent WCCN: eigenvectors over the root of their eigenvalues, so that B Bᵀ is the inverse."""
    names = np.asarray(emotions)
    covariance = np.mean([np.cov(rows[names == name].T, bias=True) for name in set(emotions)], axis=0)
    values, vectors = np.linalg.eigh((1 - smoothing) * covariance + smoothing * np.eye(len(covariance)))
    return np.asarray(vectors / np.sqrt(values))


def test_whitening_within_classes_shows_the_forest_what_no_single_feature_does():
    source, validation, test = hidden_part(1, 200), hidden_part(2, 20), hidden_part(3, 200)
    task = task_of(source, validation, ("anger", "sadness"))
    given = []

    def whiten(rows: np.ndarray, emotions: Sequence[str], smoothing: float) -> np.ndarray:
        given.append((rows.shape, tuple(emotions), smoothing))
        return within_class(rows, emotions, smoothing)

    score = {}
    for wccn in (False, True):
        learned = learn_forest(task, config(wccn=wccn, smoothing=0.001), seed=0, whiten=whiten)
        found = guesses(learned.probabilities(test.features), task.classes)
        score[wccn] = uar(test.emotions, found)
        assert learned.details["wccn"] is wccn
    assert given == [((400, 12), source.emotions, 0.001)]  # once, of the source's train split only
    assert score[False] < 0.7
    assert score[True] > 0.95


def test_progress_is_told_once():
    told = []
    task = task_of(part(1, (9,) * 4), part(2, (3,) * 4))
    learn_forest(task, config(trees=3), 0, lambda *words: told.append(words))
    assert told == [("training", 1, 1)]


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="depth"):
        config(depth=0)

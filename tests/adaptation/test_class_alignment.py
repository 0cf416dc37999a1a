from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from layersim.adaptation.class_alignment import (
    ClassAlignmentConfig,
    balanced,
    estimate,
    learn_class_aligned,
    principal_axes,
)
from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures
from layersim.adaptation.task import Task

CLASSES = ("anger", "neutral", "sadness")


def labelled(features: np.ndarray, truth: np.ndarray) -> LabelledFeatures:
    keys = tuple(f"german/{number}" for number in range(len(truth)))
    emotions = tuple(CLASSES[number] for number in truth)
    values = torch.tensor(features, dtype=torch.float32)[:, None]
    return LabelledFeatures(keys, values, emotions, ("s",) * len(keys))


def task_of(source: LabelledFeatures, target: np.ndarray) -> Task:
    keys = tuple(f"english/{number}" for number in range(len(target)))
    part = UnlabelledFeatures(keys, torch.tensor(target, dtype=torch.float32)[:, None])
    return Task(source, source, part, CLASSES)


def clusters(shift: float, counts: tuple[int, int, int], seed: int, turn: float = 0.0) -> tuple[Any, Any]:
    """Three clusters on a circle in 6 dimensions, turned by an angle and moved along a third axis."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(3), counts)
    angles = 2 * np.pi * truth / 3 + turn
    centres = np.zeros((len(truth), 6))
    centres[:, 0], centres[:, 1], centres[:, 2] = 3 * np.cos(angles), 3 * np.sin(angles), shift
    return centres + 0.6 * rng.standard_normal(centres.shape), truth


def accuracy(task: Task, truth: np.ndarray, **asked: Any) -> float:
    learned = learn_class_aligned(task, ClassAlignmentConfig(**asked), 0)
    return float((learned.probabilities(task.target.features).argmax(axis=1) == truth).mean())


def test_without_rounds_it_is_scikit_learns_linear_discriminant_analysis_with_shrinkage() -> None:
    source, truth = clusters(0.0, (20, 20, 20), seed=0)
    target, _ = clusters(1.0, (10, 15, 5), seed=1)
    task = task_of(labelled(source, truth), target)
    learned = learn_class_aligned(task, ClassAlignmentConfig(iterations=0, shrinkage=0.3), 0)
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3, priors=[1 / 3] * 3)
    expected = reference.fit(source, truth).predict_proba(target)
    np.testing.assert_allclose(learned.probabilities(task.target.features), expected, atol=1e-5)


def test_a_turned_target_is_found_by_its_clusters() -> None:
    """Turned by 55 of the 120 degrees between classes: by the source alone nearly half are wrong."""
    source, truth = clusters(0.0, (40, 40, 40), seed=0)
    target, target_truth = clusters(0.0, (40, 40, 40), seed=1, turn=np.deg2rad(55))
    task = task_of(labelled(source, truth), target)
    assert accuracy(task, target_truth, iterations=0, shrinkage=0.1) < 0.75
    assert accuracy(task, target_truth, iterations=20, shrinkage=0.1, weight=3.0) > 0.97


def test_what_the_target_weighs_and_its_rows_change_the_means_as_written() -> None:
    """One M step against a plain loop."""
    rng = np.random.default_rng(3)
    rows, weights = rng.standard_normal((12, 4)), rng.random((12, 3))
    means = np.array(
        [sum(weights[n, c] * rows[n] for n in range(12)) / weights[:, c].sum() for c in range(3)]
    )
    within = (
        sum(
            weights[n, c] * np.outer(rows[n] - means[c], rows[n] - means[c])
            for n in range(12)
            for c in range(3)
        )
        / weights.sum()
    )
    shrunk = 0.75 * within + 0.25 * np.trace(within) / 4 * np.eye(4)
    found = estimate(rows, weights, 0.25)
    np.testing.assert_allclose(found.weights, np.linalg.inv(shrunk) @ means.T)
    np.testing.assert_allclose(found.offsets, [-0.5 * mean @ np.linalg.inv(shrunk) @ mean for mean in means])


def test_balance_says_how_far_the_shares_go_to_equal_and_leaves_rows_as_probabilities() -> None:
    shares = np.random.default_rng(0).dirichlet((4, 1, 1), size=200)
    for balance, low, high in ((0.0, 0.3, 0.35), (0.5, 0.0, 0.02), (1.0, 0.0, 0.01)):
        found = balanced(shares, balance)
        np.testing.assert_allclose(found.sum(axis=1), 1)
        assert low <= abs(found.mean(axis=0) - 1 / 3).max() <= high
    np.testing.assert_array_equal(balanced(shares, 0.0), shares)


def test_source_classes_weigh_the_same_however_frequent() -> None:
    source, truth = clusters(0.0, (90, 10, 10), seed=0)
    target, _ = clusters(0.0, (5, 5, 5), seed=1)
    repeated = np.concatenate([np.flatnonzero(truth == 0), np.repeat(np.flatnonzero(truth > 0), 9)])
    config = ClassAlignmentConfig(iterations=0)
    one, other = (
        learn_class_aligned(task_of(labelled(source[rows], truth[rows]), target), config, 0)
        for rows in (np.arange(len(truth)), repeated)
    )
    features = torch.tensor(target, dtype=torch.float32)[:, None]
    np.testing.assert_allclose(one.probabilities(features), other.probabilities(features), atol=1e-4)


def test_principal_axes_are_numpys_eigenvectors_and_no_more_than_the_rows_span() -> None:
    rows = np.random.default_rng(0).standard_normal((30, 5)) * [5, 4, 3, 2, 1]
    centre, axes = principal_axes(rows, 2)
    _, vectors = np.linalg.eigh(np.cov(rows.T))
    np.testing.assert_allclose(np.abs(axes.T @ vectors[:, ::-1][:, :2]), np.eye(2), atol=1e-6)
    np.testing.assert_allclose(centre, rows.mean(axis=0))
    assert principal_axes(rows[:3], 5)[1].shape == (5, 2)  # three rows span a plane


def test_nothing_is_random_and_a_prediction_does_not_depend_on_its_neighbours() -> None:
    source, truth = clusters(0.0, (20, 20, 20), seed=0)
    target, _ = clusters(0.5, (20, 20, 20), seed=1)
    task = task_of(labelled(source, truth), target)
    one, other = (learn_class_aligned(task, ClassAlignmentConfig(), seed) for seed in (0, 1))
    features = task.target.features
    np.testing.assert_array_equal(one.probabilities(features), other.probabilities(features))
    np.testing.assert_allclose(one.probabilities(features[:1]), one.probabilities(features)[:1])
    assert sum(one.details["class_shares"].values()) == pytest.approx(1)

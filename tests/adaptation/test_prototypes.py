from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestCentroid

from layersim.adaptation.prototypes import (
    Distance,
    class_means,
    draw_episode,
    episode_loss,
    prototype_logits,
    refine,
)


def test_the_loss_of_a_small_episode_is_the_one_worked_out_by_hand() -> None:
    """Prototypes (1, 0) and (0, 3); three queries, their squared distances written out."""
    support = torch.tensor([[[0.0, 0.0], [2.0, 0.0]], [[0.0, 2.0], [0.0, 4.0]]])
    query = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 1.5]], [[0.0, 3.0], [0.0, 1.0], [1.0, 3.0]]])
    # To (1, 0) and (0, 3): (0, 10), (1, 5), (3.25, 2.25) of the first; (10, 0), (2, 4), (9, 1) of the second.
    right, wrong = [0, 1, 3.25, 0, 4, 1], [10, 5, 2.25, 10, 2, 9]
    for temperature in (1.0, 2.5):
        expected = [
            math.log(1 + math.exp((near - far) / temperature)) for near, far in zip(right, wrong, strict=True)
        ]
        found = episode_loss(support, query, "euclidean", temperature)
        assert float(found) == pytest.approx(sum(expected) / 6, rel=1e-6)


@pytest.mark.parametrize(("distance", "other"), [("euclidean", "sqeuclidean"), ("cosine", "cosine")])
def test_distances_are_those_of_scipy(distance: Distance, other: str) -> None:
    rng = np.random.default_rng(0)
    points, prototypes = rng.standard_normal((7, 5)), rng.standard_normal((3, 5))
    found = prototype_logits(torch.tensor(points), torch.tensor(prototypes), distance, 0.5)
    np.testing.assert_allclose(found.numpy(), -cdist(points, prototypes, other) / 0.5)


def test_distances_between_close_points_far_from_the_origin_keep_their_digits() -> None:
    points = torch.tensor([[1000.0, 1000.0]])
    prototypes = torch.tensor([[1000.25, 1000.0], [1000.0, 1000.5]])
    assert prototype_logits(points, prototypes, "euclidean", 1.0).tolist() == [[-0.0625, -0.25]]


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_the_gradient_of_the_episode_loss_is_that_of_finite_differences(distance: Distance) -> None:
    generator = torch.Generator().manual_seed(0)
    sides = [torch.randn(3, rows, 4, generator=generator, dtype=torch.float64, requires_grad=True)
             for rows in (2, 3)]  # fmt: skip
    assert torch.autograd.gradcheck(lambda s, q: episode_loss(s, q, distance, 0.7), sides)


def test_prototypes_are_scikit_learns_centroids() -> None:
    rng = np.random.default_rng(1)
    points, truth = rng.standard_normal((20, 3)), np.arange(20) % 3
    means = class_means(torch.tensor(points), torch.tensor(truth), 3)
    model = NearestCentroid().fit(points, truth)
    np.testing.assert_allclose(means.numpy(), model.centroids_)
    fresh = rng.standard_normal((50, 3))
    guess = prototype_logits(torch.tensor(fresh), means, "euclidean", 1.0).argmax(dim=1)
    assert guess.tolist() == model.predict(fresh).tolist()


def test_a_class_without_rows_has_no_prototype() -> None:
    with pytest.raises(ValueError, match=r"every class needs a row, got \[2, 0, 1\] rows"):
        class_means(torch.zeros(3, 2), torch.tensor([0, 0, 2]), 3)


def test_refined_prototypes_are_the_ones_worked_out_by_hand() -> None:
    """One dimension; the unlabelled point 2 lies midway and counts half, the far one counts for one class."""
    embeddings, truth = torch.tensor([[0.0], [1.0], [3.5]]), torch.tensor([0, 0, 1])  # means 0.5 and 3.5
    unlabelled = torch.tensor([[2.0], [100.0]])
    found, share = refine(torch.tensor([[0.5], [3.5]]), embeddings, truth, unlabelled, "euclidean", 1.0)
    assert found.flatten().tolist() == pytest.approx([(1 + 1) / 2.5, (3.5 + 1 + 100) / 2.5])
    assert share.tolist() == pytest.approx([0.5, 1.5])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(5, 9), min_size=2, max_size=5),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 2**31),
    st.data(),
)
def test_an_episode_has_each_class_with_disjoint_rows_of_its_own(
    sizes: list[int], shots: int, queries: int, seed: int, data: st.DataObject
) -> None:
    ways = data.draw(st.integers(2, len(sizes)))
    shuffled = torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(1))
    members = list(shuffled.split(sizes))
    episode = draw_episode(members, ways, shots, queries, torch.Generator().manual_seed(seed))
    assert episode.support.shape == (ways, shots)
    assert episode.query.shape == (ways, queries)
    assert episode.classes.tolist() == sorted(set(episode.classes.tolist()))
    rows = torch.cat([episode.support, episode.query], dim=1)
    assert len(set(rows.flatten().tolist())) == ways * (shots + queries)
    for number, own in zip(episode.classes.tolist(), rows, strict=True):
        assert set(own.tolist()) <= set(members[number].tolist())


def test_every_class_and_every_row_is_drawn_equally_often() -> None:
    members = [torch.arange(4), torch.arange(4, 12), torch.arange(12, 18)]
    generator = torch.Generator().manual_seed(0)
    episodes = [draw_episode(members, 2, 1, 2, generator) for _ in range(3000)]
    classes = torch.cat([episode.classes for episode in episodes]).bincount()
    support = torch.cat([episode.support.flatten() for episode in episodes]).bincount(minlength=18)
    assert (classes.float() / 2000 - 1).abs().max() < 0.05  # 2 of 3 classes in each
    expected = torch.cat([torch.full((len(rows),), 2000 / len(rows)) for rows in members])
    assert (support / expected - 1).abs().max() < 0.25  # 250 of the rarest: 4 standard deviations are 0.25


@pytest.mark.parametrize(
    ("ways", "shots", "queries"), [(3, 1, 1), (1, 1, 1), (2, 2, 2), (2, 0, 1), (2, 1, 0)]
)
def test_an_episode_that_cannot_be_drawn_is_refused(ways: int, shots: int, queries: int) -> None:
    members = [torch.arange(3), torch.arange(3, 9)]
    with pytest.raises(ValueError, match="cannot be drawn from 2 classes of 3 rows or more"):
        draw_episode(members, ways, shots, queries, torch.Generator())

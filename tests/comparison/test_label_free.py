from __future__ import annotations

import math

import numpy as np
import pytest

from layersim.comparison import label_free
from layersim.comparison.label_free import prediction_entropy, soft_neighbourhood_density


def looped_density(probabilities: np.ndarray, temperature: float) -> float:
    """The source's equations, pair by pair."""
    count, entropies = len(probabilities), []
    for one in range(count):
        others = [other for other in range(count) if other != one]
        first = probabilities[one] / math.hypot(*probabilities[one])
        weights = [
            math.exp(float(first @ (probabilities[other] / math.hypot(*probabilities[other]))) / temperature)
            for other in others
        ]
        shares = [weight / sum(weights) for weight in weights]
        entropies.append(-sum(share * math.log(share) for share in shares if share))
    return sum(entropies) / count


def test_entropy_of_sure_and_of_undecided_predictions() -> None:
    assert prediction_entropy(np.eye(4)) == 0
    assert prediction_entropy(np.full((3, 4), 0.25)) == pytest.approx(math.log(4))
    mixed = np.array([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25]])  # ln 2, and 1.5 ln 2
    assert prediction_entropy(mixed) == pytest.approx(1.25 * math.log(2))


def test_density_by_hand() -> None:
    # Two alike and one apart: each of the two has one near neighbour (similarity 1) and a far one (0), so
    # e^20 : 1 at temperature 0.05; the third has two that are equally far, so ln 2.
    predictions = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    far = 1 / (1 + math.exp(20))
    near = -(1 - far) * math.log(1 - far) - far * math.log(far)
    assert soft_neighbourhood_density(predictions) == pytest.approx((2 * near + math.log(2)) / 3, rel=1e-12)
    half = 1 / (1 + math.exp(1))  # at temperature 1
    entropy = -(1 - half) * math.log(1 - half) - half * math.log(half)
    assert soft_neighbourhood_density(predictions, 1.0) == pytest.approx((2 * entropy + math.log(2)) / 3)


def test_density_is_that_of_a_plain_loop_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = np.random.default_rng(0).dirichlet([0.5] * 4, size=23)
    expected = looped_density(predictions, 0.05)
    assert soft_neighbourhood_density(predictions) == pytest.approx(expected)
    monkeypatch.setattr(label_free, "BLOCK", 5)  # the last block has 3 rows
    assert soft_neighbourhood_density(predictions) == pytest.approx(expected)
    order = np.random.default_rng(1).permutation(23)
    assert soft_neighbourhood_density(predictions[order]) == pytest.approx(expected)


def test_tight_groups_are_denser_than_scattered_ones() -> None:
    rng = np.random.default_rng(2)
    classes = np.eye(3)[np.arange(30) % 3]
    tight = 0.98 * classes + 0.02 * rng.dirichlet([1.0] * 3, size=30)
    scattered = rng.dirichlet([0.3] * 3, size=30)
    assert soft_neighbourhood_density(tight) > soft_neighbourhood_density(scattered)
    assert soft_neighbourhood_density(tight) == pytest.approx(math.log(9), abs=0.02)  # 9 others of its group


def test_one_class_for_all_has_the_best_value_of_either() -> None:
    collapsed, right = np.tile([1.0, 0.0, 0.0], (30, 1)), np.eye(3)[np.arange(30) % 3]
    assert prediction_entropy(collapsed) == prediction_entropy(right) == 0
    assert soft_neighbourhood_density(collapsed) == pytest.approx(math.log(29))
    assert soft_neighbourhood_density(collapsed) > soft_neighbourhood_density(right)


def test_predictions_that_are_alike_are_dense_even_if_they_are_undecided() -> None:
    assert soft_neighbourhood_density(np.full((30, 3), 1 / 3)) == pytest.approx(math.log(29))


def test_what_is_no_distribution_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected shape \(N, C\), N >= 2, got \(1, 2\)"):
        soft_neighbourhood_density(np.array([[0.5, 0.5]]))
    for rows in ([[1.0, 2.0]] * 2, [[-0.5, 1.5]] * 2, [[np.nan, 1.0]] * 2):
        with pytest.raises(ValueError, match="sum to 1"):
            prediction_entropy(np.array(rows))
    with pytest.raises(ValueError, match="temperature: expected above 0, got 0"):
        soft_neighbourhood_density(np.eye(2), 0)

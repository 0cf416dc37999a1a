from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from layersim.adaptation.coral import coral_loss
from layersim.adaptation.network import AnchoredClassifier
from layersim.adaptation.standardise import measure_statistics


def test_statistics_are_those_of_scikit_learn_per_layer() -> None:
    features = 3 * np.random.default_rng(0).standard_normal((20, 2, 5)).astype(np.float32) + 7
    statistics = measure_statistics(torch.tensor(features))
    for layer in range(2):
        expected = StandardScaler().fit_transform(features[:, layer])
        found = statistics.apply(torch.tensor(features))[:, layer].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_dimension_without_variance_becomes_zero_and_not_nan_or_noise() -> None:
    features = torch.randn(10, 1, 3, generator=torch.Generator().manual_seed(0))
    features[:, 0, 1] = 0.1  # not a round number in binary: its spread in float32 sums need not be zero
    features[:, 0, 2] = 0.0
    standardised = measure_statistics(features).apply(features)
    assert torch.isfinite(standardised).all()
    assert standardised[:, 0, 1:].abs().max() < 1e-6


def test_statistics_do_not_fit_other_features() -> None:
    statistics = measure_statistics(torch.zeros(3, 2, 4))
    with pytest.raises(ValueError, match=r"\(3, 1, 4\), the statistics \(layers, width\) \(2, 4\)"):
        statistics.apply(torch.zeros(3, 1, 4))


def test_each_layer_has_its_own_projection_and_the_classifier_reads_all() -> None:
    network = AnchoredClassifier(layers=2, width=4, classes=3, projection=5, dropout=0.5).eval()
    features = torch.randn(6, 2, 4)
    by_hand = [features[:, k] @ part.weight.T + part.bias for k, part in enumerate(network.projections)]
    projected = network.project(features)
    torch.testing.assert_close(projected, torch.stack(by_hand, dim=1))
    joined = torch.relu(torch.cat(by_hand, dim=1))
    expected = joined @ network.classifier.weight.T + network.classifier.bias
    torch.testing.assert_close(network(features), expected)


@pytest.mark.parametrize("form", ["frobenius", "squared"])
def test_corals_gradient_reaches_every_projection_as_finite_differences_say(form: str) -> None:
    generator = torch.Generator().manual_seed(4)
    network = AnchoredClassifier(layers=2, width=3, classes=2, projection=2, dropout=0.0).double()
    source, target = (torch.randn(8, 2, 3, generator=generator).double() * scale for scale in (1.0, 2.0))

    def loss() -> torch.Tensor:
        one, other = network.project(source), network.project(target)
        return sum(coral_loss(one[:, k], other[:, k], form) for k in range(2))  # type: ignore

    loss().backward()
    step = 1e-6
    for part in network.projections:
        weight = part.weight
        for place in np.ndindex(*weight.shape):
            with torch.no_grad():
                weight[place] += step
                above = float(loss())
                weight[place] -= 2 * step
                below = float(loss())
                weight[place] += step
            assert float(weight.grad[place]) == pytest.approx(
                (above - below) / (2 * step), rel=1e-4, abs=1e-8
            )
        assert float(weight.grad.abs().max()) > 1e-3  # not vacuous
    assert network.classifier.weight.grad is None  # CORAL says nothing to the classifier


def test_projecting_the_target_draws_no_random_number() -> None:
    network = AnchoredClassifier(layers=1, width=3, classes=2, projection=2, dropout=0.9).train()
    before = torch.random.get_rng_state()
    network.project(torch.zeros(4, 1, 3))
    assert torch.equal(torch.random.get_rng_state(), before)

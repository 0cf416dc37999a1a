from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from layersim.adaptation.dann.encoders import PlaneEncoder, make_encoder, restart_statistics
from layersim.adaptation.dann.network import DomainAdversarialNetwork, in_parts
from layersim.adaptation.dann.settings import DannConfig

TINY: dict[str, Any] = {
    "projection": 6, "domain_hidden": 5, "dropout": 0.0, "conv_channels": (4, 8), "conv_kernel": 3,
    "resnet_depths": (1, 1), "resnet_widths": (16, 32), "plane_bins": 16, "plane_frames": 24,
}  # fmt: skip
SHAPES = {"features": (3, 4), "conv1d": (7, 20), "resnet50": (92, 20)}


def network_of(encoder: str, shape: Sequence[int] | None = None, **asked: Any) -> DomainAdversarialNetwork:
    torch.manual_seed(0)
    config = DannConfig(encoder=encoder, **{**TINY, **asked})
    return DomainAdversarialNetwork(config, shape or SHAPES[encoder], classes=3)


def slope(
    loss: Callable[[], Tensor], module: nn.Module, seed: int, step: float = 1e-6
) -> tuple[float, Tensor]:
    """Finite-difference slope of a loss along a random direction of a module's weights, and the direction."""
    parameters = list(module.parameters())
    flat = nn.utils.parameters_to_vector(parameters).detach().clone()
    way = torch.randn(len(flat), generator=torch.Generator().manual_seed(seed), dtype=flat.dtype)
    values = []
    with torch.no_grad():
        for sign in (1, -1):
            nn.utils.vector_to_parameters(flat + sign * step * way, parameters)
            values.append(float(loss()))
        nn.utils.vector_to_parameters(flat, parameters)
    return (values[0] - values[1]) / (2 * step), way


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_only_the_encoder_s_domain_gradient_is_reversed(weight: float) -> None:
    """By finite differences: label loss - lambda · domain loss below the reversal, plain losses above it."""
    network = network_of("features").double()
    draws = torch.Generator().manual_seed(1)
    features = torch.randn(10, 3, 4, generator=draws, dtype=torch.float64)
    emotions, domains = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([0] * 5 + [1] * 5)

    def label() -> Tensor:
        return cross_entropy(network(features[:5]), emotions)

    def domain() -> Tensor:
        return cross_entropy(network.tell_domains(network.encoder(features), weight), domains)

    assert network.domain_head is not None
    (label() + domain()).backward()
    expected = {
        network.encoder: lambda seed: (
            slope(label, network.encoder, seed)[0] - weight * slope(domain, network.encoder, seed)[0]
        ),
        network.label_head: lambda seed: slope(label, network.label_head, seed)[0],
        network.domain_head: lambda seed: slope(domain, network.domain_head, seed)[0],
    }
    for module, finite in expected.items():
        gradients = [parameter.grad for parameter in module.parameters()]
        gradient = nn.utils.parameters_to_vector([one for one in gradients if one is not None])
        for seed in range(3):
            way = slope(label, module, seed)[1]
            assert float(gradient @ way) == pytest.approx(finite(seed), rel=1e-5, abs=1e-8)
    assert abs(slope(domain, network.encoder, 0)[0]) > 1e-3  # there is something to reverse


def test_the_domain_head_has_two_logits_and_a_gradient() -> None:
    """A softmax over one unit would have one, and a gradient of exactly zero."""
    network = network_of("features")
    logits = network.tell_domains(network.encoder(torch.randn(8, 3, 4)), 1.0)
    assert logits.shape == (8, 2)
    cross_entropy(logits, torch.tensor([0, 1] * 4)).backward()
    assert network.domain_head is not None
    for part in (network.domain_head, network.encoder):
        assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in part.parameters())


def test_without_the_adversary_encoder_and_label_head_start_from_the_same_weights() -> None:
    first, second = network_of("conv1d"), network_of("conv1d", adversarial=False)
    assert second.domain_head is None
    kept = second.state_dict()
    assert len(kept) > 5
    assert all(torch.equal(first.state_dict()[name], weights) for name, weights in kept.items())
    with pytest.raises(ValueError, match="has no domain head"):
        second.tell_domains(torch.zeros(1, 6), 1.0)


@pytest.mark.parametrize("encoder", ["features", "conv1d", "resnet50"])
def test_in_evaluation_a_row_does_not_depend_on_the_others(encoder: str) -> None:
    network = network_of(encoder)
    with torch.no_grad():
        network(torch.randn(16, *SHAPES[encoder]))  # statistics other than the initial ones
    network.eval()
    features = torch.randn(70, *SHAPES[encoder])  # more than go through at once
    together = in_parts(network, features)
    assert together.shape == (70, 3)
    assert not together.requires_grad
    torch.testing.assert_close(in_parts(network, features[66:67]), together[66:67], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 9, 50])
def test_the_1d_cnn_takes_any_number_of_frames(frames: int) -> None:
    network = network_of("conv1d").eval()
    assert network(torch.randn(2, 7, frames)).shape == (2, 3)


def test_a_resnet_50_has_the_weights_that_it_is_known_for() -> None:
    """25,557,032 with three planes, of which the classifier for 1,000 classes has 2,049,000."""
    with torch.device("meta"):
        encoder, width = make_encoder(DannConfig(encoder="resnet50"), (3, 64, 128))
    assert width == 2048
    assert sum(one.numel() for one in encoder.parameters()) == 25_557_032 - 2_049_000
    four, _ = make_encoder(DannConfig(encoder="resnet50", **TINY), (92, 50))
    assert isinstance(four, PlaneEncoder)
    assert four.resnet.config.num_channels == 4


def test_resnet_reads_sequences_and_planes_alike() -> None:
    from layersim.adaptation.dann.planes import planes_from_sequences

    network = network_of("resnet50").eval()
    sequences = torch.randn(2, 92, 20)
    torch.testing.assert_close(network(sequences), network(planes_from_sequences(sequences, 16, 24)))


@pytest.mark.parametrize(
    ("encoder", "shape", "message"),
    [
        ("conv1d", (1, 92, 30), r"conv1d reads features \(N, channels, frames\), got \(N, 1, 92, 30\)"),
        ("resnet50", (30,), r"resnet50 reads features .* got \(N, 30\)"),
    ],
)
def test_features_that_an_encoder_cannot_read_are_refused(
    encoder: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        network_of(encoder, shape)


def test_restarted_statistics_are_the_plain_mean_over_the_batches_since() -> None:
    layer = nn.BatchNorm1d(1)
    layer(torch.full((4, 1), 100.0))
    restart_statistics(nn.Sequential(layer))
    for values in ([0.0, 2.0], [3.0, 5.0], [5.0, 7.0]):  # means 1, 4, 6; variances 2 (over n - 1)
        layer(torch.tensor(values).unsqueeze(1))
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.running_mean.item() == pytest.approx(11 / 3)
    assert layer.running_var.item() == pytest.approx(2.0)


def test_transformers_is_loaded_for_the_resnet_alone() -> None:
    code = (
        "import sys, layersim.adaptation.dann.learn as learn\n"
        "from layersim.adaptation.dann.network import DomainAdversarialNetwork\n"
        "DomainAdversarialNetwork(learn.DannConfig(encoder='conv1d'), (92, 20), 4)\n"
        "print('transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

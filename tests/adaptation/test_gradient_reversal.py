from __future__ import annotations

import pytest
import torch
from torch import Tensor

from layersim.adaptation.gradient_reversal import reverse_gradient


def slopes(values: Tensor, step: float = 1e-6) -> Tensor:
    """Central differences of the sum of x^3 · (1, 2, ...)."""
    factors = torch.arange(1.0, len(values) + 1, dtype=values.dtype)
    found = torch.empty_like(values)
    for place in range(len(values)):
        moved = torch.zeros_like(values)
        moved[place] = step
        found[place] = ((values + moved) ** 3 * factors - (values - moved) ** 3 * factors).sum() / (2 * step)
    return found


@pytest.mark.parametrize("weight", [0.25, 1.0, 3.0])
def test_the_gradient_is_minus_lambda_times_that_of_finite_differences(weight: float) -> None:
    values = torch.tensor([0.5, -1.5, 2.0], dtype=torch.float64)
    leaf = values.clone().requires_grad_()
    (
        reverse_gradient(leaf, weight) ** 3 * torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    ).sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, -weight * slopes(values), rtol=1e-6, atol=0)


def test_what_lies_above_it_learns_with_its_own_sign() -> None:
    above = torch.tensor([2.0, 3.0], requires_grad=True)
    below = torch.tensor([5.0, 7.0], requires_grad=True)
    (above * reverse_gradient(below, 0.5)).sum().backward()
    assert above.grad is not None
    assert below.grad is not None
    assert above.grad.tolist() == [5.0, 7.0]
    assert below.grad.tolist() == [-1.0, -1.5]


def test_weight_0_stops_the_gradient_and_leaves_the_values() -> None:
    leaf = torch.tensor([1.0, -2.0], requires_grad=True)
    passed = reverse_gradient(leaf, 0.0)
    (passed**2).sum().backward()
    assert passed.tolist() == [1.0, -2.0]
    assert leaf.grad is not None
    assert leaf.grad.abs().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_and_shape_stay(dtype: torch.dtype) -> None:
    leaf = torch.ones(2, 3, 4, dtype=dtype, requires_grad=True)
    passed = reverse_gradient(leaf, 0.5)
    passed.sum().backward()
    assert leaf.grad is not None
    assert (passed.dtype, passed.shape) == (dtype, (2, 3, 4))
    assert (leaf.grad.dtype, leaf.grad.unique().tolist()) == (dtype, [-0.5])


def test_the_device_stays() -> None:
    leaf = torch.ones(3, device="meta", requires_grad=True)
    passed = reverse_gradient(leaf, 0.5)
    passed.sum().backward()
    assert leaf.grad is not None
    assert (passed.device.type, leaf.grad.device.type) == ("meta", "meta")


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_weight_that_would_not_reverse_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight must be a finite number of 0 or more, got"):
        reverse_gradient(torch.zeros(1), weight)

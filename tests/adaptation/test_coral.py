from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from layersim.adaptation.coral import Form, coral_loss, coral_noise_floor

FORMS: tuple[Form, ...] = ("frobenius", "squared")


def batches(seed: int, rows: int = 9, other: int = 7, width: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, width)), 2 * rng.standard_normal((other, width)) + 3


def reference(source: np.ndarray, target: np.ndarray, form: Form) -> float:
    """The same by numpy's own covariance and norm."""
    difference = np.cov(source, rowvar=False) - np.cov(target, rowvar=False)
    norm = float(np.linalg.norm(difference, "fro"))
    return norm if form == "frobenius" else norm**2 / (4 * source.shape[1] ** 2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(5))
def test_coral_equals_numpys_covariances_and_norm(form: Form, seed: int) -> None:
    source, target = batches(seed)
    found = coral_loss(torch.tensor(source), torch.tensor(target), form)
    assert float(found) == pytest.approx(reference(source, target, form), rel=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_coral_of_equal_batches_is_zero_with_a_finite_zero_gradient(form: Form) -> None:
    source = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = coral_loss(source, source.detach().clone(), form)
    loss.backward()
    assert loss.item() == 0
    assert source.grad is not None
    assert torch.equal(source.grad, torch.zeros_like(source))


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float64, (5, 3), elements=st.floats(-100, 100)),
    arrays(np.float64, (6, 3), elements=st.floats(-100, 100)),
    st.floats(-100, 100),
    st.sampled_from(FORMS),
)
def test_coral_is_symmetric_never_negative_and_blind_to_a_shift(
    source: np.ndarray, target: np.ndarray, shift: float, form: Form
) -> None:
    one, other = torch.tensor(source), torch.tensor(target)
    value = float(coral_loss(one, other, form))
    scale = 1e-9 * (1 + float(one.abs().max()) ** 4 + float(other.abs().max()) ** 4)
    assert value >= 0
    assert float(coral_loss(other, one, form)) == pytest.approx(value, abs=scale)
    if form == "squared":  # the root of a rounding error is no small number
        assert float(coral_loss(one + shift, other, form)) == pytest.approx(value, rel=1e-6, abs=scale)


@pytest.mark.parametrize("form", FORMS)
def test_corals_gradient_is_that_of_finite_differences(form: Form) -> None:
    source, target = (torch.tensor(side, requires_grad=True) for side in batches(3, rows=5, other=6, width=3))
    assert torch.autograd.gradcheck(lambda s, t: coral_loss(s, t, form), (source, target))


@pytest.mark.parametrize("form", FORMS)
def test_coral_stays_float32_inside_autocast(form: Form) -> None:
    source, target = (torch.tensor(side, dtype=torch.float32) for side in batches(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = coral_loss(source, target, form)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, coral_loss(source, target, form))


def test_coral_of_half_precision_features_does_not_overflow() -> None:
    source = torch.tensor([[0.0, 300.0], [600.0, 0.0]], dtype=torch.float16)  # 600^2 is beyond fp16's 65,504
    target = torch.zeros(2, 2, dtype=torch.float16)
    found = coral_loss(source, target)
    # covariance [[180000, -90000], [-90000, 45000]]
    assert float(found) == pytest.approx(np.sqrt(180000**2 + 2 * 90000**2 + 45000**2), rel=1e-6)


def test_coral_refuses_sides_that_have_no_covariance_or_do_not_fit() -> None:
    with pytest.raises(ValueError, match="at least 2 rows on each side, got 1 and 3"):
        coral_loss(torch.zeros(1, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"\(n, D\) and \(m, D\), got \(3, 2\) and \(3, 4\)"):
        coral_loss(torch.zeros(3, 2), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="'frobenius' or 'squared', got 'cubic'"):
        coral_loss(torch.zeros(3, 2), torch.zeros(3, 2), "cubic")  # type: ignore[arg-type]


@pytest.mark.parametrize(("rows", "batch"), [(4000, 32), (40, 32)])
def test_the_squared_floor_of_white_noise_is_the_known_one_also_where_batches_must_be_smaller(
    rows: int, batch: int
) -> None:
    width = 64
    features = torch.randn(rows, width, generator=torch.Generator().manual_seed(5))
    found = coral_noise_floor(features, batch, "squared", torch.Generator().manual_seed(6), draws=60)
    expected = (1 + 1 / width) / (2 * (batch - 1))  # E||C - I||_F^2 = (D^2 + D) / (B - 1), two batches, 4 D^2
    assert found == pytest.approx(expected, rel=0.15)


def test_the_frobenius_floor_is_the_root_of_the_squared_one() -> None:
    width, batch = 64, 32
    features = torch.randn(4000, width, generator=torch.Generator().manual_seed(5))
    found = coral_noise_floor(features, batch, "frobenius", torch.Generator().manual_seed(6), draws=60)
    assert found == pytest.approx(np.sqrt(2 * (width**2 + width) / (batch - 1)), rel=0.1)


def test_the_floor_needs_two_batches_of_two() -> None:
    with pytest.raises(ValueError, match="got 3 rows, batch 2"):
        coral_noise_floor(torch.zeros(3, 2), 2, "squared", torch.Generator())

"""The group norm of a padded batch: what each row would get alone, and nothing left behind."""

from __future__ import annotations

import pytest
import torch

from layersim.encoders.exact import _over_own_frames

COUNTS = (7, 3, 5)


@pytest.fixture
def norm():
    made = torch.nn.GroupNorm(4, 4)
    with torch.no_grad():
        made.weight.copy_(torch.tensor([1.0, -2.0, 0.5, 3.0]))
        made.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 2.0]))
    return made


def by_hand(norm, batch, row, count):
    """(x - mean) / sqrt(var + eps) * weight + bias over the row's own frames, in double precision."""
    own = batch[row, :, :count].double()
    spread = own.var(dim=1, correction=0, keepdim=True) + norm.eps
    scaled = (own - own.mean(dim=1, keepdim=True)) / spread.sqrt()
    return scaled * norm.weight.double()[:, None] + norm.bias.double()[:, None]


@pytest.mark.parametrize("gradients", [False, True])
def test_each_row_is_normed_over_its_own_frames(norm, gradients):
    batch = torch.randn(3, 4, 7, generator=torch.Generator().manual_seed(0)) + 5
    given = batch.clone()
    with torch.set_grad_enabled(gradients), _over_own_frames(norm, COUNTS):
        normed = norm(given)
    for row, count in enumerate(COUNTS):
        expected = by_hand(norm, batch, row, count)
        torch.testing.assert_close(normed[row, :, :count].double(), expected, rtol=1e-5, atol=1e-5)
    assert normed.isfinite().all()
    # without gradients the largest array of the model is not doubled
    assert (normed.data_ptr() == given.data_ptr()) is not gradients


def test_gradients_are_those_of_the_rows_alone(norm):
    batch = torch.randn(3, 4, 7, generator=torch.Generator().manual_seed(1)).requires_grad_()
    with _over_own_frames(norm, COUNTS):
        normed = norm(batch)
    weights = torch.randn(normed.shape, generator=torch.Generator().manual_seed(2))
    loss = sum((normed * weights)[row, :, :count].sum() for row, count in enumerate(COUNTS))
    found, of_weight = torch.autograd.grad(loss, [batch, norm.weight])
    alone = sum(
        (norm(batch[row : row + 1, :, :count]) * weights[row : row + 1, :, :count]).sum()
        for row, count in enumerate(COUNTS)
    )
    expected, of_weight_alone = torch.autograd.grad(alone, [batch, norm.weight])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(of_weight, of_weight_alone)


def test_another_precision_of_the_norm_is_kept(norm):
    """Under autocast a GPU's norm answers in float32 whatever comes: a row alone would get that too."""
    batch = torch.randn(3, 4, 7, generator=torch.Generator().manual_seed(3)).bfloat16()
    plain = torch.nn.functional.group_norm

    def in_float32(values, groups, weight, bias, eps):
        return plain(values.float(), groups, weight, bias, eps)

    with torch.no_grad(), pytest.MonkeyPatch.context() as patch, _over_own_frames(norm, COUNTS):
        patch.setattr(torch.nn.functional, "group_norm", in_float32)
        normed = norm(batch)
    assert normed.dtype == torch.float32
    torch.testing.assert_close(normed[1, :, :3], by_hand(norm, batch, 1, 3).float(), rtol=1e-5, atol=1e-5)


def test_the_norm_is_itself_again_afterwards_also_after_an_error(norm):
    batch = torch.randn(3, 4, 7)
    expected = norm(batch)
    with pytest.raises(RuntimeError, match="stop"), _over_own_frames(norm, COUNTS):
        raise RuntimeError("stop")
    torch.testing.assert_close(norm(batch), expected, rtol=0, atol=0)

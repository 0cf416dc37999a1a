"""Gradient reversal: the identity on the way forward, a factor of -lambda on the way back.

What lies above it learns to tell the domains apart; what lies below is pushed, by the same loss and with the
same optimiser, to make that impossible.

References
----------
Ganin & Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", ICML 2015, eq. 7-8.
Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17, 2016.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class _Reversal(torch.autograd.Function):
    """``R(x) = x`` and ``dR/dx = -lambda I``: no function has both, so it is declared."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: float) -> Tensor:
        """Pass the features on; a view, so that autograd sees a new tensor."""
        ctx.weight = weight
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        """Turn the gradient around; the weight has none."""
        return -ctx.weight * gradients[0], None


def reverse_gradient(features: Tensor, weight: float) -> Tensor:
    """Return the features; their gradient comes back multiplied by ``-weight``.

    Parameters
    ----------
    features : Tensor, any shape, float
    weight : float, >= 0
        lambda. 0 stops the gradient.

    Returns
    -------
    Tensor
        The same values, dtype and device.

    Raises
    ------
    ValueError
        If the weight is negative (nothing would be reversed) or not finite.

    >>> features = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> reversed_ = reverse_gradient(features, 0.5)
    >>> (3 * reversed_).sum().backward()
    >>> reversed_.tolist(), features.grad.tolist()
    ([1.0, 2.0], [-1.5, -1.5])
    """
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"weight must be a finite number of 0 or more, got {weight}")
    reversed_features: Tensor = _Reversal.apply(features, weight)
    return reversed_features

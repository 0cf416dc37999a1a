"""Bring every feature dimension to zero mean and unit spread, by statistics that read no label."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Below this share of its mean (or this value, near zero) a spread is float32 rounding, not information.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Statistics:
    """Mean and scale of each dimension of each layer.

    Attributes
    ----------
    mean, scale : Tensor, shape (K, 2D), float32, in the features' units
        ``scale`` is the standard deviation (over n), and 1 for a dimension that never changes.
    """

    mean: Tensor
    scale: Tensor

    def apply(self, features: Tensor) -> Tensor:
        """Standardise: ``(x - mean) / scale``, shape (N, K, 2D) kept; a new tensor.

        Raises
        ------
        ValueError
            If layers or width differ from the statistics'.
        """
        if features.shape[1:] != self.mean.shape:
            raise ValueError(
                f"features have shape {tuple(features.shape)}, the statistics (layers, width) "
                f"{tuple(self.mean.shape)}"
            )
        return (features - self.mean).div_(self.scale)


def measure_statistics(features: Tensor) -> Statistics:
    """Measure one corpus's statistics over its rows.

    Parameters
    ----------
    features : Tensor, shape (N, K, 2D), N >= 1
        The rows of a *train* split, whatever their emotion.

    Returns
    -------
    Statistics
        Computed in float64, so that the row count does not matter.

    >>> statistics = measure_statistics(torch.tensor([[[1., 5.]], [[3., 5.]]]))  # one layer, two dimensions
    >>> statistics.mean.tolist(), statistics.scale.tolist()
    ([[2.0, 5.0]], [[1.0, 1.0]])
    """
    if features.ndim != 3 or not len(features):
        raise ValueError(f"features must have shape (N, K, 2D) with N >= 1, got {tuple(features.shape)}")
    means, scales = [], []
    for layer in range(features.shape[1]):  # one layer at a time: float64 copies of all would be large
        spread, mean = torch.std_mean(features[:, layer].double(), dim=0, correction=0)
        constant = spread <= ROUNDING * mean.abs().clamp(min=ROUNDING)
        means.append(mean)
        scales.append(torch.where(constant, torch.ones_like(spread), spread))
    return Statistics(torch.stack(means).float(), torch.stack(scales).float())

"""Bring every feature dimension to zero mean and unit spread, by statistics that read no label.

Statistics belong to a *group* of utterances: a corpus, or one speaker of it. A speaker with fewer than
`MINIMUM_SPEAKER` utterances has none of their own and takes the corpus's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Below this share of its mean (or this value, near zero) a spread is float32 rounding, not information.
ROUNDING = 1e-6
MINIMUM_SPEAKER = 8  # utterances: two of each of four emotions; a spread over fewer is mostly chance


@dataclass(frozen=True)
class Statistics:
    """Mean and scale of each dimension of each layer.

    Attributes
    ----------
    mean, scale : Tensor, shape (K, 2D), or (K, 1) for all columns alike, float32, in the features' units
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
        layers, width = self.mean.shape
        if features.ndim != 3 or features.shape[1] != layers or width not in (1, features.shape[2]):
            raise ValueError(
                f"features have shape {tuple(features.shape)}, the statistics (layers, width) "
                f"{tuple(self.mean.shape)}"
            )
        return (features - self.mean).div_(self.scale)


def measure_statistics(features: Tensor, whole_rows: bool = False) -> Statistics:
    """Measure one group's statistics over its rows.

    Parameters
    ----------
    features : Tensor, shape (N, K, 2D), N >= 1
        The rows of a *train* split, or of one speaker, whatever their emotion.
    whole_rows : bool
        One mean and scale for all columns of a row: for sequences, (N, channels, frames).

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
        values = features[:, layer].double()
        values = values.reshape(-1, 1) if whole_rows else values
        spread, mean = torch.std_mean(values, dim=0, correction=0)
        constant = spread <= ROUNDING * mean.abs().clamp(min=ROUNDING)
        means.append(mean)
        scales.append(torch.where(constant, torch.ones_like(spread), spread))
    return Statistics(torch.stack(means).float(), torch.stack(scales).float())


def measure_groups(
    features: Tensor, groups: Sequence[str], minimum: int = 1, whole_rows: bool = False
) -> dict[str, Statistics]:
    """Measure the statistics of every group that has ``minimum`` rows or more.

    Parameters
    ----------
    features : Tensor, shape (N, K, 2D)
    groups : sequence of str, length N
        Each row's group.
    """
    names = np.asarray(groups, dtype=object)
    found = {}
    for name in sorted(set(groups)):
        rows = np.flatnonzero(names == name)
        if len(rows) >= minimum:
            found[name] = measure_statistics(features[torch.from_numpy(rows)], whole_rows)
    return found


def apply_groups(features: Tensor, statistics: Mapping[str, Statistics], *choices: Sequence[str]) -> Tensor:
    """Standardise every row by its group's statistics; a new tensor.

    Parameters
    ----------
    choices : sequences of str, each of length N
        Each row's group, the first choice first: the first that has statistics is taken.

    Raises
    ------
    ValueError
        If none of a row's groups has statistics.
    """
    chosen = []
    for row in zip(*choices, strict=True):
        known = [name for name in row if name in statistics]
        if not known:
            raise ValueError(f"no statistics of {' or '.join(row)}; there are {', '.join(statistics)}")
        chosen.append(known[0])
    if len(set(chosen)) == 1:  # all rows alike: no copies of them
        return statistics[chosen[0]].apply(features)
    names, result = np.asarray(chosen, dtype=object), torch.empty_like(features)
    for name in sorted(set(chosen)):
        rows = torch.from_numpy(np.flatnonzero(names == name))
        result[rows] = statistics[name].apply(features[rows])
    return result

"""CORAL: how far apart the covariances of two corpora's features are, and what batch noise alone gives.

Conventions
-----------
- One row per utterance, one column per feature dimension; both sides have the same D, the row counts may
  differ (training gives equal ones).
- Covariances are unbiased (divided by n - 1) and centred, so a shift of one side changes nothing.
- Everything is computed in float32 at least, also inside autocast: squares of half-precision features
  overflow. float64 input stays float64.
- ``frobenius`` is ``||C_s - C_t||_F``, as the layer-anchoring paper writes it. Its derivative at equality
  does not exist; here it is zero there, so that two equal batches give no NaN.
- ``squared`` is ``||C_s - C_t||_F^2 / (4 D^2)``, as Deep CORAL has it.

References
----------
Sun & Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV Workshops 2016, eq. 1-3.
Upadhyay, Busso & Lee, "A Layer-Anchoring Strategy for Enhancing Cross-Lingual Speech Emotion Recognition",
Interspeech 2024.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from layersim.adaptation.distributed import ALONE, Processes

Form = Literal["frobenius", "squared"]


def coral_loss(source: Tensor, target: Tensor, form: Form = "frobenius") -> Tensor:
    """Distance between two corpora's feature covariances.

    Parameters
    ----------
    source, target : Tensor, shape (n, D) and (m, D), float
        Same layer and pooling. n, m >= 2.
    form : "frobenius" or "squared"
        See the module.

    Returns
    -------
    Tensor, shape (), >= 0
        Differentiable; ignores the means.

    Raises
    ------
    ValueError
        If D differs, a side has fewer than 2 rows, or the form is unknown.

    >>> source = torch.tensor([[0., 0.], [2., 0.]])  # covariance [[2, 0], [0, 0]]
    >>> target = torch.tensor([[0., 0.], [0., 2.]])  # covariance [[0, 0], [0, 2]]
    >>> coral_loss(source, target)  # sqrt(2^2 + 2^2)
    tensor(2.8284)
    >>> coral_loss(source, target, "squared")  # 8 / (4 * 2^2)
    tensor(0.5000)
    """
    if source.ndim != 2 or target.ndim != 2 or source.shape[1] != target.shape[1]:
        raise ValueError(
            f"source and target must have shapes (n, D) and (m, D), got {tuple(source.shape)} and "
            f"{tuple(target.shape)}"
        )
    if len(source) < 2 or len(target) < 2:
        raise ValueError(
            f"a covariance needs at least 2 rows on each side, got {len(source)} and {len(target)}"
        )
    if form not in ("frobenius", "squared"):
        raise ValueError(f"form must be 'frobenius' or 'squared', got {form!r}")
    with torch.autocast(device_type=source.device.type, enabled=False):
        return _distance(_covariance(source), _covariance(target), form)


def summed_coral(
    source: Tensor, target: Tensor, form: Form = "frobenius", processes: Processes = ALONE
) -> Tensor:
    """Sum over layers of the CORAL losses of two batches, which several processes may share.

    Parameters
    ----------
    source, target : Tensor, shape (n, K, D) and (m, K, D), float
        This process's share of each batch. Over all processes 2 rows at least.
    form : "frobenius" or "squared"
        See the module.

    Returns
    -------
    Tensor, shape (), >= 0
        Of the whole batches, on every process. What processes send each other are sums over rows, and no
        features: K (D + 1) numbers for the means, K D^2 for the covariances, a side.
    """
    layers = range(source.shape[1])
    if processes.size == 1:
        return torch.stack([coral_loss(source[:, k], target[:, k], form) for k in layers]).sum()
    with torch.autocast(device_type=source.device.type, enabled=False):
        ours, theirs = _shared_covariances(source, processes), _shared_covariances(target, processes)
        return torch.stack([_distance(ours[k], theirs[k], form) for k in layers]).sum()


def coral_noise_floor(
    features: Tensor, batch: int, form: Form, generator: torch.Generator, draws: int = 4
) -> float:
    """Measure the CORAL loss that two random batches of *one* corpus have, where the true distance is zero.

    A CORAL value near its floor is noise: adaptation can go no further with batches of this size. For
    independent unit-variance features the squared form's floor is (1 + 1/D) / (2 (batch - 1)).

    Parameters
    ----------
    features : Tensor, shape (n, D), n >= 4
        One corpus.
    batch : int, >= 2
        Rows per side in training. The two batches share no row; with fewer than ``2 * batch`` rows they
        are smaller, and the value is scaled to ``batch`` (squared: 1/(batch - 1); frobenius: its root).
    draws : int, >= 1
        Pairs of batches to average over.

    Returns
    -------
    float, >= 0

    Raises
    ------
    ValueError
        If there are fewer than 4 rows or ``batch`` is under 2.
    """
    if len(features) < 4 or batch < 2:
        raise ValueError(f"two batches of 2 rows or more are needed, got {len(features)} rows, batch {batch}")
    rows = min(batch, len(features) // 2)
    scale = (rows - 1) / (batch - 1)
    values = []
    with torch.no_grad():
        for _ in range(draws):
            order = torch.randperm(len(features), generator=generator)
            values.append(float(coral_loss(features[order[:rows]], features[order[rows : 2 * rows]], form)))
    return sum(values) / draws * (scale if form == "squared" else math.sqrt(scale))


def _distance(one: Tensor, other: Tensor, form: Form) -> Tensor:
    """Compare two covariances, (D, D)."""
    squared = (one - other).square().sum()
    if form == "squared":
        return squared / (4 * len(one) ** 2)
    apart = squared > 0
    # The root is taken of 1 at equality, and that branch is not the one chosen: no 0/0 in its gradient.
    return torch.where(apart, torch.where(apart, squared, torch.ones_like(squared)).sqrt(), squared)


def _shared_covariances(features: Tensor, processes: Processes) -> Tensor:
    """Return the covariances of a batch of which each process has a share, (n, K, D) to (K, D, D).

    First the means are added up, then products of what is left without them: products of raw features would
    lose digits where means are large. The mean needs no gradient: the sum of deviations from it, which it
    would multiply, is zero over all rows.
    """
    precise = features if features.dtype == torch.float64 else features.float()
    with torch.no_grad():
        own = torch.cat([precise.double().sum(dim=0).flatten(), precise.new_tensor([len(precise)]).double()])
        *sums, count = processes.total(own).split([len(own) - 1, 1])
        if count < 2:
            raise ValueError(f"a covariance needs at least 2 rows on each side, got {int(count)}")
        mean = (sums[0] / count).view(precise.shape[1:]).to(precise.dtype)  # (K, D)
    centred = (precise - mean).transpose(0, 1)  # (K, n, D)
    scatter = processes.total(centred.transpose(1, 2) @ centred)  # (K, D, D)
    return scatter / float(count - 1)


def _covariance(features: Tensor) -> Tensor:
    precise = features if features.dtype == torch.float64 else features.float()
    centred = precise - precise.mean(dim=0)
    return centred.T @ centred / (len(centred) - 1)  # (D, D)

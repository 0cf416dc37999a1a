"""Spectral sequences, and the image-like planes that a ResNet reads.

A sequence has one row per frame and `CHANNELS` channels, in the order of `PLANES`. Each kind becomes one
plane: stretched to the same number of bins and frames, so that they lie on one another in time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

PLANES = {"log_mel": 64, "mfcc": 20, "spectral_contrast": 7, "zero_crossing_rate": 1}
"""Kind of feature to its number of channels, in the order in which a sequence has them."""

CHANNELS = sum(PLANES.values())  # 92


def planes_from_sequences(sequences: Tensor, bins: int, frames: int) -> Tensor:
    """Make one plane of each kind of feature.

    Linear interpolation along both axes; where a plane has fewer frames than the sequence, every frame still
    counts (a triangle as wide as the ratio), instead of some being skipped.

    Parameters
    ----------
    sequences : Tensor, shape (N, 92, T), float
        64 log-mel bins, 20 MFCC, 7 spectral-contrast bands and the zero-crossing rate, standardised.
    bins, frames : int, >= 1

    Returns
    -------
    Tensor, shape (N, 4, bins, frames)
        In the order of `PLANES`. The zero-crossing rate is the same in all bins.

    Raises
    ------
    ValueError
        If the sequences do not have these channels.

    >>> planes_from_sequences(torch.zeros(2, 92, 50), bins=32, frames=40).shape
    torch.Size([2, 4, 32, 40])
    """
    if sequences.ndim != 3 or sequences.shape[1] != CHANNELS:
        raise ValueError(
            f"sequences must have shape (N, {CHANNELS}, T), channels in the order "
            f"{', '.join(f'{count} {kind}' for kind, count in PLANES.items())}; got {tuple(sequences.shape)}"
        )
    kinds = sequences.unsqueeze(1).split(tuple(PLANES.values()), dim=2)  # each (N, 1, channels, T)
    stretched = [interpolate(kind, size=(bins, frames), mode="bilinear", antialias=True) for kind in kinds]
    return torch.cat(stretched, dim=1)

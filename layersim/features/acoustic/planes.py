"""The same spectra as pictures, one plane per quantity, for a two-dimensional network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from layersim.features.acoustic.sequences import CHANNELS, WIDTH

BINS = 64
PLANES = tuple(CHANNELS)


def as_planes(sequences: Tensor) -> Tensor:
    """Stretch every quantity of the channels over 64 bins, linearly.

    Lowest and highest channel of a quantity become the lowest and the highest bin; the mel bands, 64
    already, stay as they are, and zero crossings, one channel, are the same in all bins. Frames stay. Being
    linear in the channels, it may come before or after they are standardised.

    Parameters
    ----------
    sequences : Tensor, shape (N, 92, frames), float

    Returns
    -------
    Tensor, shape (N, 4, 64, frames)
        In the order of `PLANES`: mel, MFCC, spectral contrast, zero crossings.

    Raises
    ------
    ValueError
        If the shape is another.

    >>> as_planes(torch.zeros(2, 92, 128)).shape
    torch.Size([2, 4, 64, 128])
    """
    if sequences.ndim != 3 or sequences.shape[1] != WIDTH:
        raise ValueError(f"sequences must have shape (N, {WIDTH}, frames), got {tuple(sequences.shape)}")
    planes = [
        # interpolate() stretches the last axis
        interpolate(sequences[:, channels].transpose(1, 2), size=BINS, mode="linear", align_corners=True)
        for channels in CHANNELS.values()
    ]  # each (N, frames, 64)
    return torch.stack(planes, dim=1).transpose(2, 3)

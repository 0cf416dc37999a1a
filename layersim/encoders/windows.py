"""The frame grid of an encoder, and windows cut on it so that long audio is encoded whole.

Conventions
-----------
- Audio is 16 kHz; positions in audio are samples, half-open ``[start, stop)``.
- Frame i covers samples ``[i * hop, i * hop + span)``; its centre is the middle of that stretch.
- wav2vec 2.0 and its relatives: hop 320, span 400 (the receptive field of the convolutions), and a frame
  exists only where its whole span does: 16,000 samples give 49 frames, 399 give none.
- Whisper: hop 320, span 320, and the last frame counts although audio covers only a part of it:
  n samples own ceil(n / 320) frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from layersim.corpus.audio import SAMPLE_RATE


@dataclass(frozen=True)
class FrameGrid:
    """Where the frames of an encoder lie on the time axis.

    >>> FrameGrid(hop=320, span=400, partial=False).count(16_000)
    49
    >>> FrameGrid(hop=320, span=320, partial=True).count(16_001)
    51
    """

    hop: int  # samples from one frame to the next
    span: int  # samples that one frame covers
    partial: bool  # whether a last frame counts that audio covers only in part

    @classmethod
    def of_convolutions(cls, kernels: Sequence[int], strides: Sequence[int]) -> FrameGrid:
        """Return the grid of unpadded convolutions in a row.

        The receptive field grows by ``(kernel - 1) * product of the strides before``; the hop is the
        product of all strides.

        >>> FrameGrid.of_convolutions((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
        FrameGrid(hop=320, span=400, partial=False)
        """
        hop, span = 1, 1
        for kernel, stride in zip(kernels, strides, strict=True):
            span += (kernel - 1) * hop
            hop *= stride
        return cls(hop, span, partial=False)

    def count(self, samples: int) -> int:
        """How many frames ``samples`` samples own; 0 where they do not cover one."""
        if self.partial:
            return -(-samples // self.hop)
        return max(0, (samples - self.span) // self.hop + 1)

    def centres(self, frames: int) -> npt.NDArray[np.float64]:
        """Return the centres of the first ``frames`` frames, in seconds, shape (frames,).

        >>> FrameGrid(hop=320, span=400, partial=False).centres(2)
        array([0.0125, 0.0325])
        >>> FrameGrid(hop=320, span=320, partial=True).centres(2)
        array([0.01, 0.03])
        """
        return (self.span / 2 + self.hop * np.arange(frames)) / SAMPLE_RATE


@dataclass(frozen=True)
class Window:
    """A stretch of audio that is encoded by itself, and how many frames it owns."""

    start: int
    stop: int
    frames: int


def cut_windows(samples: int, grid: FrameGrid, max_frames: int) -> list[Window]:
    """Cut audio into as few windows of at most ``max_frames`` frames as cover it, as equal as can be.

    Balanced windows leave no short last one with next to no context. Neighbours own neighbouring frames;
    where a frame's span is longer than the hop, their audio overlaps by the difference, so that no frame
    at a boundary is lost. The last window keeps the samples after the last whole frame.

    Parameters
    ----------
    samples : int
        Length of the audio.
    grid : FrameGrid
    max_frames : int, >= 1

    Returns
    -------
    list of Window
        Their frame counts differ by at most one and add up to ``grid.count(samples)``.

    >>> cut_windows(1_680, FrameGrid(hop=320, span=400, partial=False), max_frames=3)
    [Window(start=0, stop=720, frames=2), Window(start=640, stop=1680, frames=3)]
    """
    if max_frames < 1:
        raise ValueError(f"max_frames must be at least 1, got {max_frames}")
    total = grid.count(samples)
    number = -(-total // max_frames)
    edges = [total * index // number for index in range(number + 1)] if number else []
    windows = []
    for first, beyond in pairwise(edges):
        stop = samples if beyond == total else (beyond - 1) * grid.hop + grid.span
        windows.append(Window(first * grid.hop, stop, beyond - first))
    return windows

"""Statistics over the real frames of utterances and of phones.

Conventions
-----------
- ``frames`` holds the valid frames of B utterances one after the other, shape (K, F, D): K layers, width D,
  F = sum of ``counts``. Padding never gets here.
- Everything is computed in float32 on the device that holds the frames: hidden states of speech models have
  outlier dimensions whose squares overflow in half precision.
- The standard deviation is the population's (divided by the number of frames, not by one less): it
  describes this utterance, and is 0, not undefined, for a single frame.
- Phone times are seconds from the start of their own utterance, half-open ``[start, end)``, and are compared
  with frame centres to the microsecond, so that 0.0325 s means the same from a table and from a frame number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from layersim.encoders.waveform import to_device

Segments = npt.NDArray[np.float64]
"""Start and end of the phones of one utterance, seconds, shape (P, 2)."""


class PhonePooling(NamedTuple):
    """What `pool_phones` returns, P phones in the order of the utterances and of their segments."""

    mean: Tensor  # (P, K, D), float32
    frames: npt.NDArray[np.int64]  # (P,) frames whose centre lies in the phone; 0 where the nearest stood in
    nearest: npt.NDArray[np.bool_]  # (P,) whether the nearest frame stood in


def pool_utterances(frames: Tensor, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each utterance over its own frames.

    Parameters
    ----------
    frames : Tensor, shape (K, F, D), float of any precision
    counts : sequence of int, length B, each >= 1
        Frames per utterance; they add up to F.

    Returns
    -------
    mean, std : Tensor, shape (B, K, D), float32
        The standard deviation divides by the number of frames.

    Raises
    ------
    ValueError
        If the counts do not add up to F, or one is below 1.

    >>> mean, std = pool_utterances(torch.tensor([[[1.0], [3.0], [7.0]]]), [2, 1])
    >>> mean.flatten().tolist(), std.flatten().tolist()
    ([2.0, 7.0], [1.0, 0.0])
    """
    _check_counts(frames, counts)
    if frames.device.type != "cpu":
        return pool_in_bags(frames, counts)
    means, deviations = [], []
    for part in torch.split(frames, list(counts), dim=1):
        own = part.float()  # (K, T, D)
        mean = own.mean(dim=1)
        means.append(mean)
        deviations.append((own - mean[:, None]).square_().mean(dim=1).sqrt_())
    return torch.stack(means), torch.stack(deviations)


def pool_in_bags(frames: Tensor, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """As `pool_utterances`, in a few calls a layer instead of a few an utterance: what a GPU is fast at."""
    lengths = torch.tensor(counts)
    positions, begins, owners = (
        to_device(frames.device, index)
        for index in (
            torch.arange(frames.shape[1]), lengths.cumsum(0) - lengths,
            torch.arange(len(counts)).repeat_interleave(lengths),
        )
    )  # fmt: skip
    shape = len(counts), frames.shape[0], frames.shape[2]
    means, deviations = (torch.empty(shape, device=frames.device) for _ in range(2))
    for place, layer in enumerate(frames):  # one at a time, so that no copy of all of them is made
        own = layer.float()  # (F, D)
        mean = embedding_bag(positions, own, begins, mode="mean")  # (B, D)
        squares = (own - mean[owners]).square_()
        means[:, place] = mean
        deviations[:, place] = embedding_bag(positions, squares, begins, mode="mean").sqrt_()
    return means, deviations


def pool_layers(frames: Tensor, counts: Sequence[int], prompt: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each utterance in all layers, those of a decoder last.

    Parameters
    ----------
    frames : Tensor, shape (K, F, D), float of any precision
    counts : sequence of int, length B, each >= 1
    prompt : Tensor, shape (M, B, D), or None
        A decoder's layers: one vector an utterance, which is its own mean and deviates by 0.

    Returns
    -------
    mean, std : Tensor, shape (B, K + M, D), float32

    >>> mean, std = pool_layers(torch.tensor([[[1.0], [3.0]]]), [2], torch.tensor([[[5.0]]]))
    >>> mean.flatten().tolist(), std.flatten().tolist()
    ([2.0, 5.0], [1.0, 0.0])
    """
    mean, std = pool_utterances(frames, counts)  # (B, K, D)
    if prompt is None:
        return mean, std
    vectors = prompt.float().transpose(0, 1)  # (B, M, D)
    return torch.cat([mean, vectors], dim=1), torch.cat([std, torch.zeros_like(vectors)], dim=1)


def pool_phones(
    frames: Tensor,
    counts: Sequence[int],
    segments: Sequence[Segments],
    centres: npt.NDArray[np.float64],
) -> PhonePooling:
    """Mean of each phone over the frames whose centre lies in it; without one, the nearest frame.

    Parameters
    ----------
    frames : Tensor, shape (K, F, D), float of any precision
        Sliced from the whole utterance's context: the audio is never cut at phone boundaries.
    counts : sequence of int, length B, each >= 1
    segments : sequence of ndarray, length B, each of shape (P_b, 2), seconds
        P_b may be 0.
    centres : ndarray, shape (>= max(counts),), seconds, ascending
        Frame i of every utterance is centred at ``centres[i]``.

    Raises
    ------
    ValueError
        If the counts do not add up to F, one is below 1, or the lengths do not agree.

    >>> frames = torch.tensor([[[1.0], [3.0], [7.0]]])
    >>> times = np.array([[0.0, 0.04], [0.042, 0.048]])
    >>> pooled = pool_phones(frames, [3], [times], np.array([0.01, 0.03, 0.05]))
    >>> pooled.mean.flatten().tolist(), pooled.frames.tolist(), pooled.nearest.tolist()
    ([2.0, 7.0], [2, 0], [False, True])
    """
    _check_counts(frames, counts)
    if len(segments) != len(counts):
        raise ValueError(f"segments: expected one array per utterance, {len(counts)}, got {len(segments)}")
    if len(centres) < max(counts, default=0):
        raise ValueError(f"centres: expected at least {max(counts)}, got {len(centres)}")
    firsts, stops, covered = [], [], []
    offset = 0
    for count, times in zip(counts, segments, strict=True):
        first, stop = phone_frames(times, centres[:count])
        covered.append(stop - first)
        nearest = nearest_frames(times, centres[:count])
        first = np.where(stop > first, first, nearest)
        firsts.append(first + offset)
        stops.append(np.maximum(stop, first + 1) + offset)
        offset += count
    first, stop = np.concatenate(firsts), np.concatenate(stops)  # (P,), positions among the F frames
    lengths = stop - first
    begins = np.cumsum(lengths) - lengths  # where each phone's frames begin in the list of all of them
    positions = np.arange(lengths.sum()) + np.repeat(first - begins, lengths)
    index = to_device(frames.device, torch.from_numpy(positions))
    bags = to_device(frames.device, torch.from_numpy(begins))
    # One bag of frames per phone, averaged in a fixed order: the same on every run, also on a GPU, where
    # an index_add would not be.
    layers = [embedding_bag(index, layer.float(), bags, mode="mean") for layer in frames]  # K of (P, D)
    mean = torch.stack(layers, dim=1) if layers else frames.new_zeros((len(first), 0, frames.shape[2]))
    frame_counts = np.concatenate(covered).astype(np.int64)
    return PhonePooling(mean, frame_counts, frame_counts == 0)


def middle_thirds(segments: Segments) -> Segments:
    """Return the middle third of each segment: ``[start + d/3, end - d/3)`` for one that lasts d.

    Of a vowel it is the part where the formants are steady, away from the neighbours' influence. Its middle
    is the segment's, to the microsecond, so that the nearest frame of both is the same.

    >>> middle_thirds(np.array([[0.03, 0.09]]))
    array([[0.05, 0.07]])
    """
    times = _microseconds(segments)  # as `phone_frames` compares them
    third = (times[:, 1] - times[:, 0]) / 3
    return np.stack([times[:, 0] + third, times[:, 1] - third], axis=1) / 1e6


def phone_frames(
    segments: Segments, centres: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the frames whose centres lie in each segment, as half-open ranges; empty where there is none.

    >>> phone_frames(np.array([[0.01, 0.03], [0.02, 0.03]]), np.array([0.01, 0.03, 0.05]))
    (array([0, 1]), array([1, 1]))
    """
    ticks, times = _microseconds(centres), _microseconds(segments)
    first = np.searchsorted(ticks, times[:, 0], side="left")
    stop = np.searchsorted(ticks, times[:, 1], side="left")
    return first.astype(np.int64), stop.astype(np.int64)


def nearest_frames(segments: Segments, centres: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the frame whose centre is nearest to the middle of each segment; of two, the earlier.

    >>> nearest_frames(np.array([[0.015, 0.025], [0.9, 1.0]]), np.array([0.01, 0.03, 0.05]))
    array([0, 2])
    """
    ticks = 2 * _microseconds(centres)
    middles = _microseconds(segments).sum(axis=1)  # twice the middle, so that it stays whole
    right = np.clip(np.searchsorted(ticks, middles, side="left"), 0, len(ticks) - 1)
    left = np.maximum(right - 1, 0)
    frames: npt.NDArray[np.int64] = np.where(middles - ticks[left] <= ticks[right] - middles, left, right)
    return frames


def _microseconds(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    ticks: npt.NDArray[np.int64] = np.rint(np.asarray(seconds, dtype=np.float64) * 1e6).astype(np.int64)
    return ticks


def _check_counts(frames: Tensor, counts: Sequence[int]) -> None:
    if frames.ndim != 3:
        raise ValueError(f"frames: expected shape (K, F, D), got {tuple(frames.shape)}")
    if sum(counts) != frames.shape[1] or min(counts, default=0) < 1:
        raise ValueError(
            f"counts: expected numbers >= 1 that add up to {frames.shape[1]} frames, got {list(counts)}"
        )

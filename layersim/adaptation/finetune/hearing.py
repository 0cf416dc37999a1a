"""Sound in, pooled layers out, with gradients: the layer contract for an encoder in training.

Layer k is what block k outputs, taken by a hook, before any final norm (`layersim.encoders.encoder`); it is
pooled over valid frames only, in float32, as `layersim.features.pooling` does, whose values these equal. What
differs is the gradient: the standard deviation's is defined at zero spread too (a single frame, silence),
where a plain square root would give NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from layersim.adaptation.finetune.audio import Wave
from layersim.encoders.families import Body
from layersim.encoders.listening import on_input, on_output
from layersim.encoders.windows import cut_windows


def hear(body: Body, waves: Sequence[Wave], layers: Sequence[int] | None, max_frames: int) -> Tensor:
    """Run a batch of utterances through the model and pool its layers.

    Parameters
    ----------
    waves : sequence of ndarray, shape (samples,), float32
        Prepared as the model wants them (`Body.prepare`, or normalised otherwise).
    layers : sequence of int, length K, 0..L; or None
        None: the model's own output, which is the last block's after a final norm, if it has one; K = 1.
    max_frames : int, >= 1
        Longer utterances are encoded in windows and pooled over all of them.

    Returns
    -------
    Tensor, shape (B, K, 2D), float32, on the model's device
        Mean and standard deviation side by side.
    """
    windows: list[Wave] = []
    counts: list[int] = []
    for wave in waves:
        cut = cut_windows(len(wave), body.grid, max_frames)
        windows += [wave[window.start : window.stop] for window in cut]
        counts.append(sum(window.frames for window in cut))
    at_once = len(waves) if body.exact_batching else 1
    passes = [_frames(body, windows[first : first + at_once], layers)
              for first in range(0, len(windows), at_once)]  # fmt: skip
    return pool(torch.cat(passes, dim=1), counts)


def pool(frames: Tensor, counts: Sequence[int]) -> Tensor:
    """Mean and standard deviation of each utterance over its own frames.

    Parameters
    ----------
    frames : Tensor, shape (K, F, D), float of any precision
        Utterances one after the other.
    counts : sequence of int, length B, each >= 1, adding up to F

    Returns
    -------
    Tensor, shape (B, K, 2D), float32
        Differentiable everywhere: the deviation's gradient is zero where there is no spread.

    >>> pool(torch.tensor([[[1.0], [3.0], [7.0]]]), [2, 1]).tolist()
    [[[2.0, 1.0]], [[7.0, 0.0]]]
    """
    if sum(counts) != frames.shape[1] or min(counts, default=0) < 1:
        raise ValueError(
            f"counts: expected numbers >= 1 that add up to {frames.shape[1]} frames, got {list(counts)}"
        )
    pooled = []
    with torch.autocast(frames.device.type, enabled=False):
        for own in torch.split(frames.float(), list(counts), dim=1):  # (K, T, D)
            mean = own.mean(dim=1)
            variance = (own - mean[:, None]).square().mean(dim=1)
            spread = variance > 0
            # The root is taken of 1 where there is none, and is not chosen there: no 0/0 in its gradient.
            root = torch.where(spread, variance, torch.ones_like(variance)).sqrt()
            pooled.append(torch.cat([mean, torch.where(spread, root, variance)], dim=1))
    return torch.stack(pooled)


def _frames(body: Body, windows: Sequence[Wave], layers: Sequence[int] | None) -> Tensor:
    """Return the valid frames of one batch of windows end to end, (K, F, D)."""
    heard: dict[int, list[Tensor]] = {layer: [] for layer in layers or ()}
    with ExitStack() as hooks:
        for layer, kept in heard.items():
            listen, block = (on_output, body.blocks[layer - 1]) if layer else (on_input, body.blocks[0])
            hooks.enter_context(listen(block, kept.append))
        last, _ = body.run(windows)
    states = [last] if layers is None else [heard[layer][0] for layer in layers]
    counts = [body.grid.count(len(window)) for window in windows]
    length = body.padded_frames or max(counts)
    valid = torch.cat([torch.arange(count) + row * length for row, count in enumerate(counts)])
    return torch.stack([state.flatten(0, 1)[valid.to(state.device)] for state in states])

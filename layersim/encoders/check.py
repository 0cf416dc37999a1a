"""The self-check at load: does this model do what the layer, frame and exactness contracts say?

It runs a fixed wave once, in float32, and refuses a model whose answer does not follow from its layers:
a changed library, a changed forward method, another order of blocks, a final norm that is not one.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from layersim.corpus.audio import SAMPLE_RATE
from layersim.encoders.encoder import Encoder
from layersim.encoders.waveform import Wave
from layersim.errors import LayersimError

TOLERANCE = 1e-4  # relative, DESIGN's bound for "batched equals alone" too


def check_wave(samples: int) -> Wave:
    """A fixed wave: two tones and a little noise, the same on every machine."""
    times = np.arange(samples) / SAMPLE_RATE
    noise = np.random.default_rng(0).uniform(-0.05, 0.05, samples)
    wave = 0.2 * np.sin(2 * np.pi * 220 * times) + 0.1 * np.sin(2 * np.pi * 1_300 * times**2) + noise
    return wave.astype(np.float32)


def relative_difference(one: Tensor, other: Tensor) -> float:
    """Largest difference relative to the largest value of ``other``."""
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-12))


def self_check(encoder: Encoder) -> None:
    """Refuse an encoder that does not keep the contracts.

    - Every layer is finite on a second of fixed sound, and has the frames that the grid says.
    - The final norm (where there is one) of the last block's output is the model's last hidden state.
    - Where utterances may share a batch: a shorter one beside a longer one equals itself alone.

    Raises
    ------
    LayersimError
        Naming the check that failed.
    """
    body, name = encoder.body, encoder.checkpoint
    wave = body.prepare(check_wave(SAMPLE_RATE))
    whole = encoder.run_windows([wave])
    count = body.grid.count(len(wave))
    for layer, values in zip(encoder.layers, [*whole.frames, *whole.prompt], strict=True):
        if not torch.isfinite(values).all():
            raise LayersimError(f"{name}: layer {layer} holds NaN or infinite values on a second of sound.")
    if body.blocks:
        own = whole.last_hidden_state[0, :count]
        _compare_last(whole.frames[-1], body.final_norm, own, f"{name}: block {encoder.frame_layers[-1]}")
    if body.decoder_blocks and whole.decoder_last_hidden_state is not None:
        own = whole.decoder_last_hidden_state[:, 0]
        _compare_last(whole.prompt[-1], body.decoder_norm, own, f"{name}: decoder block {encoder.layers[-1]}")
    if body.exact_batching and body.padded_frames is None:
        short = wave[: SAMPLE_RATE // 2]
        alone, together = encoder.run_windows([short]), encoder.run_windows([short, wave])
        pairs = [
            *zip(together.frames[:, : alone.frames.shape[1]], alone.frames, strict=True),
            *zip(together.prompt[:, :1], alone.prompt, strict=True),
        ]
        difference = max(relative_difference(*pair) for pair in pairs)
        if difference > TOLERANCE:
            raise LayersimError(
                f"{name}: padding reaches real frames: half a second of sound beside a longer one differs "
                f"from itself alone by {difference:.1e} (relative; allowed {TOLERANCE:.0e}). This version of "
                "transformers computes the family differently; install one that layersim is tested with."
            )


def _compare_last(last_block: Tensor, norm: nn.Module | None, own: Tensor, where: str) -> None:
    with torch.inference_mode():
        expected = last_block if norm is None else norm(last_block)
        difference = relative_difference(expected, own)
    if not difference <= TOLERANCE:
        rule = "its final layer norm" if norm is not None else "nothing (no final layer norm)"
        raise LayersimError(
            f"{where}: its output after {rule} differs from the model's own last hidden state by "
            f"{difference:.1e} (relative; allowed {TOLERANCE:.0e}), so its layers are not what they are "
            "taken for. Take another checkpoint, or a version of transformers that layersim is tested with."
        )

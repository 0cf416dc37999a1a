"""Keep padding out of waveform models, so that an utterance's features do not depend on its batch.

An attention mask alone is not enough. Padding reaches the real frames at three other places:

- the group norm after the first convolution of models with ``feat_extract_norm = "group"`` (wav2vec2-base,
  hubert-base, wavlm-base and -base-plus) takes its mean and variance over the padded length;
- the stacked positional convolutions of data2vec-audio: padded positions are zero before the first, and
  no longer after it (normalisation, bias), so the next one reads them;
- the batch norm before HuBERT's positional convolution (``conv_pos_batch_norm``), which turns the zeros of
  padded positions into its bias.

`PaddingGuard` mends these on one model instance, by hooks that exist only while a batch runs. What an
utterance gets is what it would get alone, where the zeros at its edges are the convolution's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from layersim.encoders.windows import FrameGrid


class PaddingGuard:
    """The places in one waveform model through which padding would leak.

    Parameters
    ----------
    model : transformers wav2vec 2.0, WavLM, HuBERT or data2vec-audio model
        With ``feature_extractor.conv_layers`` and ``encoder.pos_conv_embed``.
    grid : FrameGrid
        Of the whole convolutional front.
    """

    def __init__(self, model: Any, grid: FrameGrid) -> None:
        first = model.feature_extractor.conv_layers[0]
        norm = getattr(first, "layer_norm", None)
        self._group_norm = norm if isinstance(norm, nn.GroupNorm) else None
        self._first_grid = FrameGrid.of_convolutions(first.conv.kernel_size, first.conv.stride)
        self._grid = grid
        positional = model.encoder.pos_conv_embed
        self._to_mask: list[nn.Module] = list(getattr(positional, "layers", ()))
        if getattr(positional, "batch_norm", None) is not None:
            self._to_mask.append(positional.batch_norm)

    @contextmanager
    def over(self, samples: Sequence[int]) -> Iterator[None]:
        """Guard one forward pass over waves of these lengths, padded at the end to the longest."""
        with ExitStack() as hooks:
            if len(set(samples)) > 1:
                if self._group_norm is not None:
                    counts = [self._first_grid.count(length) for length in samples]
                    hook = _normalise_valid_frames(counts)
                    hooks.callback(self._group_norm.register_forward_hook(hook).remove)
                counts = [self._grid.count(length) for length in samples]
                for module in self._to_mask:
                    hooks.callback(module.register_forward_hook(_clear_padded_frames(counts)).remove)
            yield


def _normalise_valid_frames(counts: Sequence[int]) -> Any:
    """A hook that redoes a group norm's shorter rows over their own frames; (B, channels, T)."""

    def hook(module: nn.GroupNorm, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        for row, count in enumerate(counts):
            if count < output.shape[2]:
                output[row, :, :count] = nn.functional.group_norm(
                    inputs[0][row : row + 1, :, :count],
                    module.num_groups, module.weight, module.bias, module.eps,
                )[0]  # fmt: skip
        return output

    return hook


def _clear_padded_frames(counts: Sequence[int]) -> Any:
    """A hook that sets a module's output to zero beyond each row's own frames; (B, channels, T)."""

    def hook(_module: nn.Module, _inputs: tuple[Tensor], output: Tensor) -> Tensor:
        positions = torch.arange(output.shape[2], device=output.device)
        padded = positions[None, :] >= torch.tensor(counts, device=output.device)[:, None]  # (B, T)
        return output.masked_fill(padded[:, None, :], 0.0)

    return hook

"""Keep padding out of waveform models, so that an utterance's features do not depend on its batch.

An attention mask alone is not enough. Padding reaches the real frames at three other places:

- the group norm after the first convolution of models with ``feat_extract_norm = "group"`` (wav2vec2-base,
  hubert-base, wavlm-base and -base-plus) takes its mean and variance over the padded length;
- the stacked positional convolutions of data2vec-audio: padded positions are zero before the first, and
  no longer after it (normalisation, bias), so the next one reads them;
- the batch norm before HuBERT's positional convolution (``conv_pos_batch_norm``), which turns the zeros of
  padded positions into its bias.

`PaddingGuard` mends these on one model instance, in ways that exist only while a batch runs. What an
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
                    hooks.enter_context(_over_own_frames(self._group_norm, counts))
                counts = [self._grid.count(length) for length in samples]
                for module in self._to_mask:
                    hooks.callback(module.register_forward_hook(_clear_padded_frames(counts)).remove)
            yield


@contextmanager
def _over_own_frames(norm: nn.GroupNorm, counts: Sequence[int]) -> Iterator[None]:
    """Make a group norm take each row's statistics over its own frames, by its own kernel: (B, channels, T).

    What lies beyond a row's frames reaches none of them and is left as it comes. Rows go one by one into the
    place that they came from, the largest array of the whole model, which is so neither copied nor doubled;
    that is faster than one norm over the padded batch. Where gradients are wanted, or autocast has the norm
    answer in another precision, they go into a new one.
    """

    def forward(batch: Tensor) -> Tensor:
        normed: Tensor | None = None
        for row, count in enumerate(counts):
            own = nn.functional.group_norm(
                batch[row : row + 1, :, :count], norm.num_groups, norm.weight, norm.bias, norm.eps
            )[0]
            if normed is None:
                in_place = own.dtype == batch.dtype and not own.requires_grad
                normed = batch if in_place else own.new_zeros(batch.shape)
            normed[row, :, :count] = own
        return batch if normed is None else normed

    vars(norm)["forward"] = forward  # on this one module, before the class's
    try:
        yield
    finally:
        del vars(norm)["forward"]


def _clear_padded_frames(counts: Sequence[int]) -> Any:
    """A hook that sets a module's output to zero beyond each row's own frames; (B, channels, T)."""

    def hook(_module: nn.Module, _inputs: tuple[Tensor], output: Tensor) -> Tensor:
        positions = torch.arange(output.shape[2], device=output.device)
        padded = positions[None, :] >= torch.tensor(counts, device=output.device)[:, None]  # (B, T)
        return output.masked_fill(padded[:, None, :], 0.0)

    return hook

"""Let Whisper read windows as long as their audio, where its own are 30 s whatever the audio.

Whisper was trained on windows padded to 30 s and its padding reaches the real frames through attention, so
trimmed windows give *other features*: several times faster on short clips, named, and never a default. What
is done to the model exists only while a pass runs: its positional embeddings are cut to the longest window
of the batch, and the frames of shorter ones that are padding are kept out of attention. The convolutions need
no more than spectrograms that are zero there, which is what they see beyond the end of a window alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from layersim.encoders.waveform import to_device

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@contextmanager
def trimmed(model: Any, counts: Sequence[int]) -> Iterator[None]:
    """Run a Whisper model on windows of these lengths.

    Parameters
    ----------
    model : transformers WhisperModel
        Its decoder may be None.
    counts : sequence of int, length B, each >= 1
        Frames of each window; the spectrograms have twice as many columns as the longest has frames.
    """
    encoder, longest = model.encoder, max(counts)
    positions, held = encoder.embed_positions, encoder.config.max_source_positions
    with ExitStack() as undo:
        undo.callback(setattr, encoder, "embed_positions", positions)
        undo.callback(setattr, encoder.config, "max_source_positions", held)
        encoder.embed_positions = nn.Embedding.from_pretrained(positions.weight[:longest])
        encoder.config.max_source_positions = longest
        if len(set(counts)) > 1:
            mask = padding_mask(counts, model.device)
            for block in encoder.layers:  # at the block: an activation checkpoint inside it keeps the mask
                hook = block.register_forward_pre_hook(_mask_keys(mask), with_kwargs=True)
                undo.callback(hook.remove)
            for block in model.decoder.layers if model.decoder is not None else ():
                hook = block.register_forward_pre_hook(_mask_heard(mask), with_kwargs=True)
                undo.callback(hook.remove)
        yield


def clear_padding(spectrograms: Tensor, counts: Sequence[int]) -> Tensor:
    """Return the windows' spectrograms, (B, mel bins, 2 frames), with zero beyond each one's own frames."""
    if len(set(counts)) == 1:
        return spectrograms
    columns = torch.arange(spectrograms.shape[2], device=spectrograms.device)
    own = columns < 2 * to_device(spectrograms.device, torch.tensor(counts))[:, None]  # (B, columns)
    return spectrograms * own[:, None]


def padding_mask(counts: Sequence[int], device: torch.device) -> Tensor:
    """Return what is added to attention's scores: -inf at padding, else 0; (B, 1, 1, T).

    >>> padding_mask([1, 2], torch.device("cpu"))[:, 0, 0].tolist()
    [[0.0, -inf], [0.0, 0.0]]
    """
    places = torch.arange(max(counts), device=device)
    padded = places[None, :] >= to_device(device, torch.tensor(counts))[:, None]  # (B, T)
    return torch.zeros(padded.shape, device=device).masked_fill(padded, float("-inf"))[:, None, None, :]


def _mask_keys(mask: Tensor) -> Callable[..., Arguments]:
    """A hook that gives an encoder block its attention mask, which transformers leaves out."""

    def hook(_module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Arguments:
        if len(args) > 1:
            return (args[0], mask, *args[2:]), named
        return args, {**named, "attention_mask": mask}

    return hook


def _mask_heard(mask: Tensor) -> Callable[..., Arguments]:
    """A hook that gives a decoder block the mask of the encoder's frames."""

    def hook(_module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Arguments:
        return args, {**named, "encoder_attention_mask": mask}

    return hook

"""wav2vec 2.0 and its relatives: models that read the waveform through unpadded convolutions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from layersim.corpus.audio import SAMPLE_RATE, scaled
from layersim.encoders.exact import PaddingGuard
from layersim.encoders.windows import FrameGrid
from layersim.errors import LayersimError

Wave = npt.NDArray[np.float32]


class WaveformBody:
    """A waveform model as the encoder sees it: its blocks, its grid, how a batch goes through it.

    Parameters
    ----------
    model, extractor : transformers model and its feature extractor
    blocks : tuple of modules
        The transformer blocks, in order.
    final_norm : module or None
        What the model applies to the last block's output, if anything.
    exact_batching : bool
        Whether padding is known to be kept out of this architecture; if not, batches hold one window.
    """

    decoder_blocks: tuple[nn.Module, ...] = ()
    decoder_norm: nn.Module | None = None
    padded_frames: int | None = None
    held_frames: int | None = None

    def __init__(
        self,
        model: Any,
        extractor: Any,
        blocks: tuple[nn.Module, ...],
        final_norm: nn.Module | None,
        exact_batching: bool,
    ) -> None:
        self.model = model
        self.extractor = extractor
        self.blocks = blocks
        self.final_norm = final_norm
        self.exact_batching = exact_batching
        self.scales = bool(getattr(extractor, "do_normalize", False))
        self._refuse_other_preparation(model.config.name_or_path)
        self.width: int = model.config.hidden_size
        self.grid = FrameGrid.of_convolutions(model.config.conv_kernel, model.config.conv_stride)
        self._guard = PaddingGuard(model, self.grid) if exact_batching else None
        # An adapter (wav2vec 2.0 for translation) stands behind the last block: it is no layer of ours.
        if getattr(model, "adapter", None) is not None:
            model.adapter = None

    def prepare(self, wave: Wave) -> Wave:
        """Apply what the checkpoint asks for (``do_normalize``), over the whole utterance."""
        return scaled(wave) if self.scales else wave

    def _refuse_other_preparation(self, name: str) -> None:
        """Refuse a checkpoint whose extractor does more to a wave than to scale it."""
        sound = np.linspace(-0.5, 0.7, SAMPLE_RATE // 10, dtype=np.float32)
        asked = self.extractor(sound, sampling_rate=SAMPLE_RATE, return_tensors="np")["input_values"][0]
        if asked.shape != sound.shape or not np.allclose(asked, self.prepare(sound), atol=1e-5):
            raise LayersimError(
                f"{name}: its feature extractor changes waves otherwise than by scaling them, which is not "
                "known here. Take an encoder of a known family."
            )

    def run(self, windows: Sequence[Wave]) -> tuple[Tensor, None]:
        """Pad and run one batch; returns the model's last hidden state, (B, T, D)."""
        lengths = [len(window) for window in windows]
        device = self.model.device
        inputs = to_device(device, pad(windows, max(lengths), self.extractor.padding_value, device))
        # Where there is padding the mask is given, even if a checkpoint's extractor would leave it out
        # (group-norm models): it is part of keeping padding out. Without padding it says nothing.
        attention_mask = None
        if len(set(lengths)) > 1:
            places = torch.arange(max(lengths), device=device)
            attention_mask = (places < to_device(device, torch.tensor(lengths))[:, None]).long()
        guard = self._guard.over(lengths) if self._guard is not None else nullcontext()
        with guard, warnings.catch_warnings():
            # transformers' WavLM hands torch a float and a boolean mask, which it may and which are right.
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
            return self.model(inputs, attention_mask=attention_mask).last_hidden_state, None


def pad(waves: Sequence[Wave], samples: int, value: float, device: torch.device) -> Tensor:
    """Lay waves under each other, (B, samples), in memory from which a GPU copies while others compute."""
    padded = torch.empty((len(waves), samples), pin_memory=device.type == "cuda")
    rows = padded.numpy()
    for row, wave in zip(rows, waves, strict=True):
        row[: len(wave)] = wave
        row[len(wave) :] = value
    return padded


def to_device(device: torch.device, tensor: Tensor) -> Tensor:
    """Copy to a device; to a GPU from pinned memory, so that nothing waits for the copy."""
    if device.type != "cuda":
        return tensor.to(device)
    return (tensor if tensor.is_pinned() else tensor.pin_memory()).to(device, non_blocking=True)


def to_host(tensor: Tensor) -> Tensor:
    """Copy to the CPU; from a GPU without waiting: the values are there when its stream has got so far."""
    if tensor.device.type != "cuda":
        return tensor
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)

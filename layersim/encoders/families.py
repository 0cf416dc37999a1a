"""Which speech transformers can be read, and where each keeps what the encoder needs.

A new family is one function and one line in `FAMILIES`, keyed by ``config.model_type``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from layersim.corpus.audio import SAMPLE_RATE
from layersim.encoders.listening import on_output
from layersim.encoders.waveform import Wave, WaveformBody
from layersim.encoders.wavlm import fuse_attention
from layersim.encoders.whisper import WhisperBody
from layersim.encoders.windows import FrameGrid
from layersim.errors import LayersimError


class Body(Protocol):
    """What the encoder needs of a model."""

    @property
    def model(self) -> Any:
        """The model itself, of transformers; for training, which changes its weights."""

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """Blocks whose outputs are frame layers 1..L (their first input is layer 0); may be empty."""

    @property
    def final_norm(self) -> nn.Module | None:
        """What the model applies to the last block's output before returning it."""

    @property
    def decoder_blocks(self) -> tuple[nn.Module, ...]:
        """Blocks whose outputs are layers d1..dM."""

    @property
    def decoder_norm(self) -> nn.Module | None:
        """What the model applies to the last decoder block's output before returning it."""

    @property
    def width(self) -> int:
        """Features per frame."""

    @property
    def grid(self) -> FrameGrid:
        """Where frames lie in time."""

    @property
    def padded_frames(self) -> int | None:
        """Frames of every window, whatever its audio (Whisper); None where windows are as long as audio."""

    @property
    def held_frames(self) -> int | None:
        """Most frames that the model can hold in one window; None where there is no limit."""

    @property
    def exact_batching(self) -> bool:
        """Whether windows may share a batch without changing each other."""

    @property
    def scales(self) -> bool:
        """Whether `prepare` scales utterances to mean 0 and variance 1."""

    def prepare(self, wave: Wave) -> Wave:
        """What is done to a whole utterance before it is cut into windows."""

    def run(self, windows: Sequence[Wave]) -> tuple[Tensor, Tensor | None]:
        """Run one batch; the last hidden states of encoder and, where asked for, decoder."""


Family = Callable[[Any, Any, str], Body]


def _wav2vec2_like(model: Any, extractor: Any, _stack: str) -> Body:
    """wav2vec 2.0, XLSR-53, XLS-R, WavLM, HuBERT: only "stable layer norm" models norm after the blocks."""
    encoder = model.encoder
    norm = encoder.layer_norm if getattr(model.config, "do_stable_layer_norm", False) else None
    return WaveformBody(model, extractor, tuple(encoder.layers), norm, exact_batching=True)


def _wavlm(model: Any, extractor: Any, stack: str) -> Body:
    fuse_attention(model)
    return _wav2vec2_like(model, extractor, stack)


def _unknown_waveform(model: Any, extractor: Any, _stack: str) -> Body:
    """Any other model behind wav2vec 2.0's kind of front; one window at a time, so exact by construction.

    Whether it norms after its blocks is seen from a short run: if what the last block returns is not what
    the model returns, the norm beside the blocks is taken for the difference, which the self-check tests.
    """
    parent, blocks = _find_blocks(model)
    returned: list[Tensor] = []
    with torch.inference_mode(), on_output(blocks[-1], returned.append):
        last = model(torch.linspace(-1, 1, SAMPLE_RATE // 10)[None]).last_hidden_state
    normed = not (returned and torch.equal(returned[0], last))
    norm = getattr(parent, "layer_norm", None) if normed else None
    return WaveformBody(model, extractor, tuple(blocks), norm, exact_batching=False)


def _find_blocks(model: Any) -> tuple[nn.Module, nn.ModuleList]:
    """The one list of ``num_hidden_layers`` blocks in a model, and the module that holds it."""
    number = model.config.num_hidden_layers
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        and len(module) == number
        and name.rpartition(".")[2] in ("layers", "layer", "blocks")
    ]
    if len(found) != 1:
        raise LayersimError(
            f"{model.config.name_or_path}: the {number} blocks of this {model.config.model_type!r} model "
            f"cannot be told apart (candidates: {', '.join(found) or 'none'}). Known families: "
            f"{', '.join(FAMILIES)}."
        )
    return model.get_submodule(found[0].rpartition(".")[0]), model.get_submodule(found[0])


FAMILIES: dict[str, Family] = {
    "wav2vec2": _wav2vec2_like,
    "wavlm": _wavlm,
    "hubert": _wav2vec2_like,
    "data2vec-audio": _wav2vec2_like,
    "whisper": WhisperBody,
}


def find_family(config: Any, checkpoint: str, stack: str, whisper_window: str = "full") -> Family:
    """Return how to read a model of this configuration, before its weights are loaded.

    Raises
    ------
    LayersimError
        If it is no speech encoder whose frames have known times, or has no such stack or window.
    """
    if stack != "encoder" and config.model_type != "whisper":
        raise LayersimError(
            f"{checkpoint}: stack {stack!r} was asked for, and a {config.model_type!r} model has no decoder. "
            "Use stack 'encoder'."
        )
    if whisper_window == "trim":
        if config.model_type != "whisper":
            raise LayersimError(
                f"{checkpoint}: whisper_window 'trim' was asked for, and this is a {config.model_type!r} "
                "model, whose windows are as long as their audio anyway. Leave it out, or ask for 'full'."
            )
        return partial(WhisperBody, trim=True)
    if config.model_type in FAMILIES:
        return FAMILIES[config.model_type]
    if getattr(config, "conv_kernel", None) and getattr(config, "conv_stride", None):
        return _unknown_waveform
    raise LayersimError(
        f"{checkpoint}: a {config.model_type!r} model is not a speech encoder that can be read here: it has "
        f"no waveform convolutions from which frame times follow. Known families: {', '.join(FAMILIES)}."
    )

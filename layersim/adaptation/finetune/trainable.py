"""An encoder made ready for training: a copy of its own, whose weights may move and whose layers stay put.

Conventions
-----------
- The caller's encoder is never touched: training works on a copy.
- Nothing random decides which blocks run: layerdrop is 0 (dropped blocks would shift layers), and the
  models' own masking of frames and features, which draws from numpy's global random numbers, is off.
- The checkpoint's dropout acts in training, as its makers set it.
- Batch norms (HuBERT with ``conv_pos_batch_norm``) stay in evaluation mode: in training mode their
  statistics would depend on the batch and its padding.
- What gets no gradient is not trained: blocks above the highest layer in use, and the final norm behind
  them, stay as they came.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from layersim.adaptation.finetune.audio import Wave
from layersim.adaptation.finetune.hearing import hear
from layersim.corpus.audio import SAMPLE_RATE
from layersim.encoders.encoder import Encoder
from layersim.encoders.families import Body
from layersim.errors import LayersimError

# Modules that read the sound before anything looks at several frames: what the field freezes.
_FRONT = ("feature_extractor", "encoder.conv1", "encoder.conv2")
# Fixed by the family (Whisper's sinusoids), or read by masking alone.
_NEVER = ("embed_positions", "masked_spec_embed", "decoder")


class TrainableEncoder(nn.Module):
    """A copy of an encoder with gradients; nothing is set to be trained yet.

    Parameters
    ----------
    encoder : Encoder
        Stays as it is.
    layers : sequence of str, or None
        Frame layers to hear, in this order; None: the model's own output.
    precision : "fp32" or "bf16"
        Of the blocks' arithmetic.
    checkpointing : bool
        Compute what is inside a block again in the backward pass instead of keeping it.
    body : Body, optional
        A copy of the encoder's that the caller has made.

    Raises
    ------
    LayersimError
        If the encoder has no such frame layer, or bf16 is asked for on a CPU.
    """

    def __init__(
        self,
        encoder: Encoder,
        layers: Sequence[str] | None,
        precision: str = "fp32",
        checkpointing: bool = False,
        body: Body | None = None,
    ) -> None:
        super().__init__()
        _require_layers(encoder, layers)
        if precision != "fp32" and encoder.device.type != "cuda":
            raise LayersimError(
                f"precision {precision} on {encoder.device.type}: mixed precision is for training on a GPU. "
                "Use fp32, in layersim.toml, table [train.finetune]."
            )
        self.body = copy.deepcopy(encoder.body) if body is None else body
        self.model: nn.Module = self.body.model
        self.layers = None if layers is None else [int(layer) for layer in layers]
        self.top = len(self.body.blocks) if self.layers is None else max(self.layers)
        self.device = encoder.device
        self._precision = precision
        self._max_frames = self.body.grid.count(round(encoder.max_seconds * SAMPLE_RATE))
        _settle(self.model)
        if checkpointing:
            for block in self.body.blocks[: self.top]:
                # Around forward alone, so that hooks are outside and do not run a second time.
                block.forward = partial(checkpoint, _quiet(block.forward), use_reentrant=False)
        self.model.requires_grad_(False)
        self.model.eval()

    @property
    def width(self) -> int:
        """Features per layer: mean and standard deviation, 2D."""
        return 2 * self.body.width

    def train(self, mode: bool = True) -> TrainableEncoder:
        """Set training or evaluation mode; batch norms stay in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, waves: Sequence[Wave]) -> Tensor:
        """Pool the layers of prepared waves: (B, K, 2D), float32."""
        with self.arithmetic():
            return hear(self.body, waves, self.layers, self._max_frames)

    def arithmetic(self) -> AbstractContextManager[Any]:
        """The precision asked for."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._precision == "bf16")

    def release(self, freeze_feature_extractor: bool) -> None:
        """Let all weights be trained that the layers in use depend on.

        Parameters
        ----------
        freeze_feature_extractor : bool
            Leave the convolutions that read the sound (Whisper: the spectrogram) as they are.
        """
        self.model.requires_grad_(True)
        kept: list[nn.Module | None] = list(self.body.blocks[self.top :])
        if self.layers is not None:  # hooks are before the final norm
            kept.append(self.body.final_norm)
        for module in kept:
            if module is not None:
                module.requires_grad_(False)
        front = _FRONT if freeze_feature_extractor else ()
        for name, weight in self.model.named_parameters():
            inside = f".{name}."
            if any(f".{part}." in inside for part in (*front, *_NEVER)):
                weight.requires_grad_(False)

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the weights that training moves, by their names in the model."""
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}


def _settle(model: nn.Module) -> None:
    """Take the random omissions out of a model in training, except dropout."""
    for module in model.modules():
        for owner in (module, getattr(module, "config", None)):
            for name in ("layerdrop", "encoder_layerdrop", "mask_time_prob", "mask_feature_prob"):
                if isinstance(getattr(owner, name, None), float):
                    setattr(owner, name, 0.0)


def _quiet(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Keep torch's words about WavLM's masks down in the backward pass too, as the encoder does forward."""

    def run(*args: Any, **named: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
            return forward(*args, **named)

    return run


def _require_layers(encoder: Encoder, layers: Sequence[str] | None) -> None:
    if encoder.stack != "encoder":
        raise LayersimError(
            f"{encoder.checkpoint}: stack {encoder.stack!r} was asked for, and training is on the encoder's "
            "blocks. Use stack 'encoder'."
        )
    if layers is not None and not layers:
        raise ValueError("layers: expected at least one, got none")
    if strange := [layer for layer in layers or () if layer not in encoder.frame_layers]:
        raise LayersimError(
            f"{encoder.checkpoint}: has no layer {', '.join(strange)}; its layers are "
            f"{encoder.frame_layers[0]} to {encoder.frame_layers[-1]}. Choose other anchors."
        )

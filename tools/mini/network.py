"""The network: HuBERT as transformers has it, small, with predictions of units on top of its last block."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from layersim.corpus.audio import SAMPLE_RATE

BLOCKS, WIDTH = 12, 160
_ATTENTION_HEADS = 4
# 25 ms windows every 20 ms, as HuBERT's, by a filterbank every 5 ms and two layers on it. HuBERT's seven
# layers would cost a fifth of the training, and learn to hear a spectrum over thousands of steps.
_KERNELS, _STRIDES, _CHANNELS = (160, 4, 1), (80, 4, 1), (208, 256, WIDTH)
_PHASES = np.arange(4) * np.pi / 2


def configure() -> HubertConfig:
    """Describe the network: a front end with a group norm, as HuBERT base, and blocks as HuBERT large.

    Large's blocks normalise first, which trains in far fewer steps.
    """
    return HubertConfig(
        hidden_size=WIDTH,
        num_hidden_layers=BLOCKS,
        num_attention_heads=_ATTENTION_HEADS,
        intermediate_size=3 * WIDTH,
        conv_dim=_CHANNELS,
        conv_kernel=_KERNELS,
        conv_stride=_STRIDES,
        num_feat_extract_layers=len(_CHANNELS),
        feat_extract_norm="group",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=64,
        num_conv_pos_embedding_groups=8,
        hidden_dropout=0.0,  # no clip comes twice, so there is nothing to overfit
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        layerdrop=0.0,
    )


@dataclass(frozen=True)
class Kind:
    """A kind of units: how many there are, and the block that predicts them."""

    units: int
    block: int = BLOCKS


class Predictor(nn.Module):
    """An encoder, and a linear layer for each kind of unit on the block that is to predict it.

    The encoder's last norm stands between them, whichever block it is.
    """

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        super().__init__()
        self.encoder = HubertModel(configure())
        with torch.no_grad():
            self.encoder.feature_extractor.conv_layers[0].conv.weight.copy_(gabor_filters())
        self.kinds = dict(kinds)
        self.heads = nn.ModuleDict({name: nn.Linear(WIDTH, kind.units) for name, kind in kinds.items()})

    def forward(self, waves: torch.Tensor, hidden: torch.Tensor) -> dict[str, torch.Tensor]:
        """Predict all frames' units: waves (B, n) and which frames are hidden (B, T) to (B, T, K) each."""
        norm = self.encoder.encoder.layer_norm
        blocks = {kind.block for kind in self.kinds.values()}
        with self._kept(blocks) as outputs:
            self.encoder(waves, mask_time_indices=hidden)
        return {name: self.heads[name](norm(outputs[kind.block])) for name, kind in self.kinds.items()}

    def keep_blocks(self, number: int) -> None:
        """Do without the blocks above the given one."""
        self.encoder.encoder.layers = self.encoder.encoder.layers[:number]

    @torch.no_grad()
    def layer(self, waves: torch.Tensor, number: int) -> torch.Tensor:
        """Return what block ``number`` puts out, (B, T, D), with nothing hidden."""
        self.eval()
        with self._kept({number}) as outputs:
            self.encoder(waves)
        return outputs[number]

    @contextmanager
    def _kept(self, blocks: Collection[int]) -> Iterator[dict[int, torch.Tensor]]:
        """Keep what some blocks put out while the encoder runs."""
        outputs: dict[int, torch.Tensor] = {}

        def keep(_module: nn.Module, _inputs: Any, output: Any, *, block: int) -> None:
            outputs[block] = output[0] if isinstance(output, tuple) else output

        hooks = [
            self.encoder.encoder.layers[block - 1].register_forward_hook(partial(keep, block=block))
            for block in blocks
        ]
        try:
            yield outputs
        finally:
            for hook in hooks:
                hook.remove()


def gabor_filters() -> torch.Tensor:
    """Return what the first layer begins as, (208, 1, 160): sinusoids under bells, four phases of each.

    40 bands on the mel scale, and 12 narrower ones up to 900 Hz. Rectified, a band's phases add up to its
    loudness: a spectrogram, from which learning goes on (the idea of Zeghidour et al., "LEAF", ICLR 2021).
    """
    times = (np.arange(_KERNELS[0]) - (_KERNELS[0] - 1) / 2) / SAMPLE_RATE
    centres = 700.0 * (10.0 ** (np.linspace(_mel(80.0), _mel(7600.0), 40) / 2595.0) - 1.0)
    spreads = (1.0 / (np.pi * np.gradient(centres))).clip(0.0012, 0.002)  # seconds
    bands = [
        (centre, np.exp(-0.5 * (times / spread) ** 2))
        for centre, spread in zip(centres, spreads, strict=True)
    ]
    bands += [(centre, np.hanning(len(times))) for centre in np.linspace(60.0, 900.0, 12)]
    filters = np.stack(
        [bell * np.cos(2 * np.pi * centre * times + phase) for centre, bell in bands for phase in _PHASES]
    )
    filters /= np.linalg.norm(filters, axis=1, keepdims=True)
    return torch.from_numpy(filters[:, None].astype(np.float32))


def _mel(frequency: float) -> float:
    return float(2595.0 * np.log10(1.0 + frequency / 700.0))


def hide(shape: tuple[int, int], span: int, generator: torch.Generator) -> torch.Tensor:
    """Choose frames to hide, (B, T): each begins a span with probability 0.8 / span (HuBERT: span 10)."""
    starts = torch.rand(shape, generator=generator) < 0.8 / span
    hidden = starts.clone()
    for step in range(1, span):
        hidden[:, step:] |= starts[:, :-step]
    hidden[:, 0] |= ~hidden.any(1)  # something to predict in every clip
    return hidden


def save_encoder(encoder: HubertModel, folder: Path) -> None:
    """Save an encoder for shipping: float16 safetensors, configuration, feature extractor."""
    folder.mkdir(parents=True, exist_ok=True)
    config = encoder.config.to_dict() | {"architectures": ["HubertModel"], "dtype": "float16"}
    config.pop("transformers_version", None)
    HubertConfig.from_dict(config).save_pretrained(folder)
    weights = {name: values.half().contiguous().cpu() for name, values in encoder.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    Wav2Vec2FeatureExtractor(
        feature_size=1,
        sampling_rate=SAMPLE_RATE,
        padding_value=0.0,
        do_normalize=False,
        return_attention_mask=True,
    ).save_pretrained(folder)


def load_weights(encoder: HubertModel, folder: Path) -> None:
    """Put saved weights into an encoder."""
    encoder.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})

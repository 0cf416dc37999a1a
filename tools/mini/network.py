"""The network: HuBERT as transformers has it, small, with predictions of units on top of its last block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

BLOCKS, WIDTH = 12, 160
_ATTENTION_HEADS = 4
# Few channels where frames are many: seven equal layers would cost more than the blocks.
_CHANNELS = (32, 64, 96, 128, 160, 160, 160)


def configure() -> HubertConfig:
    """Describe the network: HuBERT base's front end (group norm) before blocks that normalise first.

    HuBERT large's order within a block, which trains in far fewer steps, with base's front end.
    """
    return HubertConfig(
        hidden_size=WIDTH,
        num_hidden_layers=BLOCKS,
        num_attention_heads=_ATTENTION_HEADS,
        intermediate_size=3 * WIDTH,
        conv_dim=_CHANNELS,
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


class Predictor(nn.Module):
    """An encoder, and one linear layer for each kind of unit on top of its last block."""

    def __init__(self, sizes: dict[str, int]) -> None:
        super().__init__()
        self.encoder = HubertModel(configure())
        self.heads = nn.ModuleDict({kind: nn.Linear(WIDTH, size) for kind, size in sizes.items()})

    def forward(self, waves: torch.Tensor, hidden: torch.Tensor) -> dict[str, torch.Tensor]:
        """Predict all frames' units: waves (B, n) and which frames are hidden (B, T) to (B, T, K) each."""
        frames = self.encoder(waves, mask_time_indices=hidden).last_hidden_state
        return {kind: head(frames) for kind, head in self.heads.items()}

    @torch.no_grad()
    def layer(self, waves: torch.Tensor, number: int) -> torch.Tensor:
        """Return what block ``number`` puts out, (B, T, D), with nothing hidden and nothing dropped."""
        was_training = self.training
        self.eval()
        kept: list[torch.Tensor] = []

        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            kept.append(output[0] if isinstance(output, tuple) else output)

        hook = self.encoder.encoder.layers[number - 1].register_forward_hook(keep)
        try:
            self.encoder(waves)
        finally:
            hook.remove()
            self.train(was_training)
        return kept[0]


def hide(shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    """Choose frames to hide, shape (B, T): each frame begins a span of 10 with probability 0.08 (HuBERT)."""
    starts = torch.rand(shape, generator=generator) < 0.08
    hidden = starts.clone()
    for step in range(1, 10):
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
        sampling_rate=16_000,
        padding_value=0.0,
        do_normalize=False,
        return_attention_mask=True,
    ).save_pretrained(folder)


def load_weights(encoder: HubertModel, folder: Path) -> None:
    """Put saved weights into an encoder."""
    encoder.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})

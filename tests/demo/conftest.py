"""A tiny encoder with random weights: WavLM's architecture, three blocks."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def random_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder that goes through exactly the code that a trained WavLM goes through."""
    import torch
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMModel

    config = WavLMConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, conv_dim=(8,) * 7,
        feat_extract_norm="layer", conv_bias=True, initializer_range=0.05, num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("encoders") / "three-random-blocks"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        WavLMModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True).save_pretrained(folder)
    return folder

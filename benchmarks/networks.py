"""Encoders of well-known shapes with random weights: a network's speed does not depend on what they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
         "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}  # fmt: skip
# hub id -> (family, configuration); what is not named is the family's default, which is the base size
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "microsoft/wavlm-base-plus": ("WavLM", {}),
    "microsoft/wavlm-large": ("WavLM", LARGE),
    "facebook/wav2vec2-base": ("Wav2Vec2", {}),
    "facebook/wav2vec2-large-xlsr-53": ("Wav2Vec2", LARGE),
    "openai/whisper-base": ("Whisper", {"d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8,
                                        "encoder_ffn_dim": 2048, "decoder_layers": 1,
                                        "decoder_attention_heads": 8}),
    "openai/whisper-small": ("Whisper", {"d_model": 768, "encoder_layers": 12, "encoder_attention_heads": 12,
                                         "encoder_ffn_dim": 3072, "decoder_layers": 1,
                                         "decoder_attention_heads": 12}),
}  # fmt: skip


@contextmanager
def checkpoint(name: str) -> Iterator[Path]:
    """Give a folder with a checkpoint of that shape; it is gone afterwards."""
    family, settings = SHAPES[name]
    transformers.utils.logging.disable_progress_bar()
    with TemporaryDirectory() as folder:
        torch.manual_seed(0)
        config = getattr(transformers, f"{family}Config")(**settings)
        getattr(transformers, f"{family}Model")(config).save_pretrained(folder)
        if family == "Whisper":
            transformers.WhisperFeatureExtractor().save_pretrained(folder)
        else:
            transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
        yield Path(folder)


def noise(seconds: float, seed: int = 0) -> npt.NDArray[np.float32]:
    """Make a clip of noise at 16 kHz, shape (samples,)."""
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)

"""Tiny random-weight checkpoints of every family, written as transformers writes real ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

CONVOLUTIONS = {"conv_dim": (8,) * 7, "num_feat_extract_layers": 7, "conv_bias": False}
SMALL = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, **CONVOLUTIONS,
}  # fmt: skip
GROUP = {"feat_extract_norm": "group", "do_stable_layer_norm": False}
LAYER = {"feat_extract_norm": "layer", "do_stable_layer_norm": False}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}

KERNELS = {"conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2)}

# name -> (model class, configuration class, settings, do_normalize of the checkpoint)
WAVEFORM: dict[str, tuple[str, str, dict[str, Any], bool]] = {
    "wavlm-group": ("WavLMModel", "WavLMConfig", GROUP, False),
    "wavlm-stable": ("WavLMModel", "WavLMConfig", STABLE, True),
    "wav2vec2-group": ("Wav2Vec2Model", "Wav2Vec2Config", GROUP, True),
    "wav2vec2-layer": ("Wav2Vec2Model", "Wav2Vec2Config", LAYER, True),
    "wav2vec2-stable": ("Wav2Vec2Model", "Wav2Vec2Config", STABLE, True),
    "hubert-group": ("HubertModel", "HubertConfig", GROUP, True),
    "hubert-stable": ("HubertModel", "HubertConfig", STABLE, True),
    "hubert-batch-norm": ("HubertModel", "HubertConfig", {**GROUP, "conv_pos_batch_norm": True}, True),
    "data2vec-audio": (
        "Data2VecAudioModel",
        "Data2VecAudioConfig",
        {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 7},
        True,
    ),
}
OTHER: dict[str, tuple[str, str, dict[str, Any], bool]] = {
    "unispeech": ("UniSpeechModel", "UniSpeechConfig", GROUP, True),
    "unispeech-sat-stable": ("UniSpeechSatModel", "UniSpeechSatConfig", STABLE, True),
    "wav2vec2-conformer": ("Wav2Vec2ConformerModel", "Wav2Vec2ConformerConfig", LAYER, True),
    "wav2vec2-adapter": (
        "Wav2Vec2Model",
        "Wav2Vec2Config",
        {**STABLE, "add_adapter": True, "num_adapter_layers": 1},
        True,
    ),
    "sew": ("SEWModel", "SEWConfig", {"squeeze_factor": 2, **KERNELS}, True),
}
# A Whisper of two seconds: 200 mel frames, 100 encoder frames, so that windows are cheap.
WHISPER = {
    "d_model": 16, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "num_mel_bins": 20,
    "max_source_positions": 100, "max_target_positions": 8, "vocab_size": 12, "decoder_start_token_id": 3,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "suppress_tokens": None,
    "begin_suppress_tokens": None,
}  # fmt: skip
FAMILIES = [*WAVEFORM, "whisper"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``family`` once per family, and so on."""
    readable = ["unispeech", "unispeech-sat-stable", "wav2vec2-conformer"]
    for name, families in (("family", FAMILIES), ("waveform_family", WAVEFORM), ("unknown_family", readable)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, list(families))


def _scramble(model: torch.nn.Module, seed: int) -> None:
    """Give every weight and statistic a value of its own: zero biases would hide what padding does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in [*model.named_parameters(), *model.named_buffers()]:
            if not values.is_floating_point():
                continue
            noise = torch.randn(values.shape, generator=generator)
            if name.endswith(("running_var", "original0")):
                values.copy_(0.5 + noise.abs())
            elif values.ndim < 2:
                values.add_(0.3 * noise)
            else:
                values.copy_(0.3 * noise if values.numel() < 2_000 else 0.1 * noise)


def save_tiny(family: str, folder: Path) -> Path:
    """Write a tiny checkpoint of a family, feature extractor included."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        if family == "whisper":
            model = transformers.WhisperModel(transformers.WhisperConfig(**WHISPER))
            extractor = transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=2)
        else:
            model_class, config_class, settings, normalise = {**WAVEFORM, **OTHER}[family]
            config = getattr(transformers, config_class)(**{**SMALL, **settings})
            model = getattr(transformers, model_class)(config)
            extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise)
        _scramble(model, seed=len(family))
        model.save_pretrained(folder)
        extractor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny checkpoint's folder, by family; written once."""
    written: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in written:
            written[family] = save_tiny(family, tmp_path_factory.mktemp("tiny") / family)
        return written[family]

    return folder


@pytest.fixture
def tiny_copy(tmp_path: Path) -> Callable[[str], Path]:
    """A tiny checkpoint of one's own, to spoil."""
    return lambda family: save_tiny(family, tmp_path / family)


@pytest.fixture(scope="session")
def speech() -> Callable[[int, int], np.ndarray]:
    """Something like speech, ``speech(samples, seed)``: a swept tone that comes and goes, with an offset."""

    def make(samples: int, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        times = np.arange(samples) / 16_000
        loud = 0.5 + 0.5 * np.sin(2 * np.pi * (1 + seed % 3) * times + seed)
        tone = np.sin(2 * np.pi * (150 + 50 * seed + 300 * times) * times)
        return (0.2 * loud * tone + 0.02 * rng.standard_normal(samples) + 0.01).astype("float32")

    return make

"""The contracts with real weights and real speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import transformers

from layersim.encoders.load import load_encoder


@pytest.fixture(scope="module")
def clips(shared: Path) -> list[np.ndarray]:
    """The two shortest files of Emo-DB, as mono 16 kHz (which they are)."""
    files = sorted((shared / "data" / "emodb" / "flac").glob("*.flac"), key=lambda file: file.stat().st_size)
    waves = []
    for file in files[:2]:
        wave, rate = soundfile.read(file, dtype="float32")
        assert rate == 16_000
        waves.append(wave)
    return waves


@pytest.fixture(scope="module")
def whisper(shared: Path):
    return load_encoder(str(shared / "models" / "whisper-base"), stack="both")


def test_whisper_base_has_its_six_and_six_blocks(whisper):
    assert whisper.frame_layers == ("0", "1", "2", "3", "4", "5", "6")
    assert whisper.layers[7:] == ("d1", "d2", "d3", "d4", "d5", "d6")
    assert (whisper.width, whisper.checkpoint, whisper.max_seconds) == (512, "whisper-base", 30)


def test_real_speech_batched_equals_alone_and_the_library(whisper, clips, shared):
    together = whisper.encode(clips)
    assert together.counts == [-(-len(wave) // 320) for wave in clips]
    count = together.counts[0]
    batched = together.frames[:, :count]
    folder = shared / "models" / "whisper-base"
    model = transformers.WhisperModel.from_pretrained(folder, dtype=torch.float32).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    mel = extractor(clips[0], sampling_rate=16_000, return_tensors="pt")["input_features"]
    start = torch.tensor([[50_258]])  # <|startoftranscript|>
    with torch.no_grad():
        alone = model(mel, decoder_input_ids=start, output_hidden_states=True)
    for layer in range(6):
        own = alone.encoder_hidden_states[layer][0, :count]
        assert (batched[layer] - own).abs().max() / own.abs().max() < 1e-4
    with torch.no_grad():
        normed = model.encoder.layer_norm(batched[6])
    own = alone.encoder_last_hidden_state[0, :count]
    assert (normed - own).abs().max() / own.abs().max() < 1e-4
    for layer in range(1, 6):
        own = alone.decoder_hidden_states[layer][0, 0]
        assert (together.prompt[layer - 1, 0] - own).abs().max() / own.abs().max() < 1e-4

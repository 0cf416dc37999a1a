"""Half precision only where asked for; full precision really full."""

from __future__ import annotations

import logging

import pytest
import torch

from layersim.encoders.load import load_encoder


@pytest.mark.parametrize(("precision", "bound"), [("bf16", 0.1), ("fp16", 0.02)])
@pytest.mark.parametrize("name", ["wavlm-group", "wav2vec2-stable", "data2vec-audio", "whisper"])
def test_half_precision_on_a_cpu_is_noted_and_near(precision, bound, name, tiny, speech, caplog):
    waves = [speech(16_000, 1), speech(6_000, 2)]
    with caplog.at_level(logging.WARNING, logger="layersim"):
        encoder = load_encoder(str(tiny(name)), precision=precision)
    assert f"precision {precision} on a CPU: 10 to 30 times slower" in caplog.text
    assert encoder.precision == encoder.describe()["precision"] == precision
    frames, full = encoder.encode(waves).frames, load_encoder(str(tiny(name))).encode(waves).frames
    assert frames.dtype == torch.float32
    assert 0 < (frames - full).abs().max() / full.abs().max() < bound


def test_full_precision_is_kept_inside_someone_elses_autocast(tiny, speech):
    encoder = load_encoder(str(tiny("wav2vec2-stable")))
    plain = encoder.encode([speech(8_000)]).frames
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(encoder.encode([speech(8_000)]).frames, plain, rtol=0, atol=0)

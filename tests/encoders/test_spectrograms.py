"""What stands before the model: spectrograms and scaled waves, as transformers' extractors make them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import transformers

from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError


@pytest.mark.parametrize("lengths", [(400,), (15_999,), (31_990,), (32_000,), (31_700, 500, 16_000)])
def test_whispers_spectrograms_are_those_of_its_extractor(tiny, speech, lengths):
    body = load_encoder(str(tiny("whisper"))).body
    waves = [speech(samples, seed) for seed, samples in enumerate(lengths)]
    expected = body.extractor(waves, sampling_rate=16_000, return_tensors="np")["input_features"]
    found = body._spectrograms(waves, [body.grid.count(samples) for samples in lengths])
    assert found.shape == expected.shape
    assert np.abs(found.numpy() - expected).max() <= 2e-5


@pytest.mark.parametrize("setting", [{"dither": 0.1}, {"n_fft": 320}])
def test_an_extractor_that_does_otherwise_is_noticed(tiny_copy, speech, setting):
    folder = tiny_copy("whisper")
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **setting}))
    if "dither" in setting:
        with pytest.raises(LayersimError, match=r"other spectrograms than Whisper's .*preprocessor_config"):
            load_encoder(str(folder))
        return
    body = load_encoder(str(folder)).body  # another FFT is no other rule
    wave = speech(9_000, 0)
    expected = body.extractor(wave, sampling_rate=16_000, return_tensors="np")["input_features"]
    found = body._spectrograms([wave], [body.grid.count(len(wave))])
    assert np.abs(found.numpy() - expected).max() <= 2e-5


@pytest.mark.parametrize(("name", "scales"), [("wav2vec2-group", True), ("wavlm-group", False)])
def test_waves_are_scaled_as_by_the_extractor(tiny, speech, name, scales):
    encoder = load_encoder(str(tiny(name)))
    wave = speech(9_000, 0)
    asked = encoder.body.extractor(wave, sampling_rate=16_000, return_tensors="np")["input_values"][0]
    assert encoder.scales == scales == (not np.array_equal(asked, wave))
    np.testing.assert_array_equal(encoder.body.prepare(wave), asked)


def test_an_extractor_that_does_more_than_scale_is_refused(tiny, monkeypatch):
    extractor = transformers.Wav2Vec2FeatureExtractor
    scale = extractor.zero_mean_unit_var_norm
    monkeypatch.setattr(
        extractor, "zero_mean_unit_var_norm",
        staticmethod(lambda waves, **more: [wave * 1.01 for wave in scale(waves, **more)]),
    )  # fmt: skip
    with pytest.raises(LayersimError, match="changes waves otherwise than by scaling"):
        load_encoder(str(tiny("wav2vec2-group")))

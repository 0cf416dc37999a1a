"""Audio over the encoder's limit is windowed, never cut, and comes out as one utterance."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from layersim.encoders.load import load_encoder
from layersim.errors import AudioError, LayersimError


def test_wav2vec2_windows_are_encoded_like_their_stretch_of_the_normalised_wave(tiny, speech):
    folder = str(tiny("wav2vec2-layer"))  # do_normalize is on
    wave = speech(16_000 * 5 // 2, 3)
    windowed = load_encoder(folder, max_seconds=1)
    states = windowed.encode([wave])
    assert states.counts == [124]  # (40,000 - 400) // 320 + 1: as many as in one piece
    assert windowed.window_count(len(wave)) == 3
    normalised = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
    whole = load_encoder(folder)
    edges = [0, 41, 82, 124]  # 124 frames in three
    for first, beyond in pairwise(edges):
        stop = len(wave) if beyond == 124 else (beyond - 1) * 320 + 400
        with torch.inference_mode():
            values = torch.from_numpy(normalised[first * 320 : stop])[None]
            own = whole.body.model(values).last_hidden_state[0]
        torch.testing.assert_close(states.frames[-1, first:beyond], own, rtol=1e-4, atol=1e-5)


def test_long_audio_in_a_batch_equals_itself_alone(family, tiny, speech):
    encoder = load_encoder(str(tiny(family)), max_seconds=1)
    waves = [speech(50_000, 1), speech(9_000, 2), speech(16_000, 3)]
    states = encoder.encode(waves)
    assert states.counts == [encoder.frame_count(len(wave)) for wave in waves]
    for wave, frames in zip(waves, torch.split(states.frames, states.counts, dim=1), strict=True):
        alone = encoder.encode([wave]).frames
        assert float((frames - alone).abs().max() / alone.abs().max()) < 1e-5


def test_whisper_takes_what_is_over_its_window_in_more_of_them(tiny, speech):
    encoder = load_encoder(str(tiny("whisper")), stack="both")  # this one's window is two seconds
    wave = speech(32_000 + 1, 4)
    assert encoder.max_seconds == 2
    states = encoder.encode([wave])
    assert states.counts == [101]
    assert (encoder.window_count(len(wave)), encoder.cost(len(wave))) == (2, 200)
    first, second = encoder.encode([wave[: 50 * 320]]), encoder.encode([wave[50 * 320 :]])
    joined = torch.cat([first.frames, second.frames], dim=1)
    torch.testing.assert_close(states.frames, joined, rtol=1e-4, atol=1e-5)
    mean = (first.prompt + second.prompt) / 2
    torch.testing.assert_close(states.prompt, mean, rtol=1e-4, atol=1e-5)


def test_each_utterances_prompt_is_the_mean_of_its_own_windows(tiny, speech):
    encoder = load_encoder(str(tiny("whisper")), stack="decoder")
    waves = [speech(9_000, 1), speech(70_000, 2), speech(20_000, 3)]
    together = encoder.encode(waves).prompt
    for place, wave in enumerate(waves):
        alone = encoder.encode([wave]).prompt
        torch.testing.assert_close(together[:, place : place + 1], alone, rtol=1e-4, atol=1e-5)


def test_the_default_window_is_thirty_seconds(tiny):
    encoder = load_encoder(str(tiny("hubert-group")))
    assert encoder.max_seconds == 30
    assert [encoder.window_count(30 * 16_000), encoder.window_count(30 * 16_000 + 640)] == [1, 2]


def test_a_window_that_whisper_cannot_hold_is_refused(tiny):
    with pytest.raises(LayersimError, match=r"max_seconds is 3 and the model holds 2. Lower it"):
        load_encoder(str(tiny("whisper")), max_seconds=3)


@pytest.mark.parametrize("seconds", [0.5, 0, -1, float("nan")])
def test_a_window_of_under_a_second_is_refused(seconds, tiny):
    with pytest.raises(LayersimError, match=r"at least 1 is needed"):
        load_encoder(str(tiny("hubert-group")), max_seconds=seconds)


def test_a_wave_under_25_milliseconds_is_named(family, tiny, speech):
    encoder = load_encoder(str(tiny(family)))
    with pytest.raises(AudioError, match=r"wave 1 of the batch: 399 samples are under the 400 \(25 ms"):
        encoder.encode([speech(400), speech(399)])


def test_a_wave_that_is_not_finite_is_named(tiny, speech):
    wave = speech(4_000)
    wave[7] = np.inf
    with pytest.raises(AudioError, match=r"wave 0 of the batch: holds NaN or infinite samples"):
        load_encoder(str(tiny("hubert-group"))).encode([wave])


@pytest.mark.parametrize(
    ("waves", "message"),
    [
        ([], "expected at least one wave, got none"),
        (
            [np.zeros((2, 800), dtype="float32")],
            r"waves\[0\]: expected a vector of floats, got shape \(2, 800\)",
        ),
        ([np.zeros(800, dtype="int16")], r"waves\[0\]: expected a vector of floats, got .* of int16"),
    ],
)
def test_what_is_no_wave_is_the_callers_error(waves, message, tiny):
    with pytest.raises(ValueError, match=message):
        load_encoder(str(tiny("hubert-group"))).encode(waves)

"""Waves whose spectra are known: a sine's mel band, a square wave's crossings, silence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from layersim.corpus.audio import SAMPLE_RATE
from layersim.features.acoustic.sequences import (
    CHANNELS,
    FLOOR,
    FRAMES,
    SILENCE,
    SPAN,
    middle,
    recorded_frames,
    sequences,
)

TIMES = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE


def sine(hertz: float, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * TIMES)).astype(np.float32)


def channel(values: np.ndarray, name: str) -> np.ndarray:
    return values[CHANNELS[name]]


def mel_centre(band: int) -> float:
    """Slaney's scale: 200/3 Hz a mel up to 1 kHz, then a factor of 6.4 in 27; 66 edges from 0 to 8 kHz."""
    top = 15 + 27 * math.log(8) / math.log(6.4)
    mel = top * (band + 1) / 65
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


@pytest.mark.parametrize("band", [4, 20, 45, 60])
def test_a_sine_is_loudest_in_the_mel_band_that_has_its_frequency(band):
    mel = channel(sequences(sine(mel_centre(band))), "mel")
    assert mel.shape == (64, 128)
    assert (mel.argmax(axis=0) == band).all()


def test_half_the_amplitude_is_six_decibels_less_in_the_sine_s_band():
    loud, soft = (channel(sequences(sine(mel_centre(20), level)), "mel")[20] for level in (0.5, 0.25))
    np.testing.assert_allclose(loud - soft, 20 * math.log10(2), atol=1e-3)


def test_a_square_wave_of_32_samples_crosses_zero_64_times_in_1024():
    square = np.where(np.arange(SPAN) % 32 < 16, 0.4, -0.4).astype(np.float32)
    crossings = channel(sequences(square), "zero_crossings")
    assert crossings.shape == (1, 128)
    np.testing.assert_allclose(crossings, 2 / 32, atol=1.01 / 1024)  # the first sample of a frame may be one


def test_mfcc_are_the_cosine_coefficients_of_the_mel_decibels():
    noise = np.random.default_rng(0).standard_normal(SPAN).astype(np.float32) * 0.1
    values = sequences(noise)
    mel, mfcc = channel(values, "mel").astype(np.float64), channel(values, "mfcc")
    assert mfcc.shape == (20, 128)
    for number in range(20):
        cosine = np.cos(math.pi * number * (2 * np.arange(64) + 1) / 128)
        expected = math.sqrt((1 if number == 0 else 2) / 64) * (cosine[:, None] * mel).sum(axis=0)
        np.testing.assert_allclose(mfcc[number], expected, atol=1e-3)


def test_contrast_is_highest_in_the_octave_that_holds_a_sine():
    noise = np.random.default_rng(0).standard_normal(len(TIMES)).astype(np.float32) * 0.01
    contrast = channel(sequences(sine(1100) + noise), "contrast")
    assert contrast.shape == (7, 128)
    assert (contrast.argmax(axis=0) == 3).all()  # 0..200, 200..400, 400..800, 800..1600 Hz


@pytest.mark.parametrize("samples", [400, 16_000, 16_001, SPAN - 1])
def test_padding_has_the_value_of_silence_in_every_channel_and_the_recording_has_not(samples):
    wave = np.random.default_rng(0).standard_normal(samples).astype(np.float32) * 0.1
    values = sequences(wave)
    silent = np.abs(values - SILENCE[:, None]).max(axis=0) < 1e-3
    recorded = recorded_frames(samples)
    assert silent[~recorded].all()
    inside = np.flatnonzero(recorded)[
        1:-1
    ]  # of the outer two, little more than the window's end may be sound
    assert not silent[inside].any()
    assert abs(int((~recorded[:64]).sum()) - int((~recorded[64:]).sum())) <= 1  # in the middle


def test_the_rounding_noise_of_16_bits_is_louder_than_padding():
    steps = np.random.default_rng(0).integers(-1, 2, SPAN)
    quiet = (steps / 32768).astype(np.float32)
    assert channel(sequences(quiet), "mel").min() > FLOOR
    assert channel(sequences(quiet), "mel").mean() > FLOOR + 10


def test_of_a_long_recording_the_middle_counts():
    outside = (5 * SAMPLE_RATE - SPAN) // 2
    wave = np.zeros(5 * SAMPLE_RATE, dtype=np.float32)
    wave[:outside] = wave[-outside:] = 0.5
    np.testing.assert_allclose(sequences(wave), np.repeat(SILENCE[:, None], FRAMES, axis=1), atol=1e-3)
    assert recorded_frames(len(wave)).all()
    assert len(middle(wave)) == SPAN

from __future__ import annotations

import numpy as np
import pytest

from layersim.alignment.builtin.cepstra import SHIFT, Normaliser, cepstra, with_derivatives


def test_frames_lie_every_5_ms_and_begin_half_a_shift_after_the_start():
    wave = np.zeros(16_000, dtype=np.float32)
    click = 8_000
    wave[click] = 0.5
    frames = cepstra(wave)
    assert frames.shape == (200, 13)
    # The click is in the windows (20 ms) of frames centred within 10 ms of it, and loudest in none but these.
    centres = (np.arange(200) + 0.5) * SHIFT
    loud = np.flatnonzero(frames[:, 0] > frames[:, 0].min() + 1)
    assert np.abs(centres[loud] - click / 16_000).max() <= 0.0101
    assert len(loud) == 4


def test_the_first_column_is_the_log_energy_of_the_frame():
    rng = np.random.default_rng(0)
    wave = rng.normal(0, 0.1, 16_000).astype(np.float32)
    place = 100
    middle = round((place + 0.5) * SHIFT * 16_000)
    window = wave[middle - 160 : middle + 160].astype(np.float64) * 32768
    window -= window.mean()
    assert cepstra(wave)[place, 0] == pytest.approx(np.log((window**2).sum()), abs=1e-3)


def test_derivatives_equal_a_least_squares_slope():
    frames = np.random.default_rng(1).normal(size=(12, 2)).astype(np.float32)
    slopes = with_derivatives(frames)[:, 2:4]
    for row in range(2, 10):
        window = frames[row - 2 : row + 3]
        expected = [np.polyfit(np.arange(5), window[:, column], 1)[0] for column in range(2)]
        assert slopes[row].tolist() == pytest.approx(expected, abs=1e-5)


def test_a_voice_has_mean_0_and_deviation_1_over_its_utterances_together():
    rng = np.random.default_rng(2)
    utterances = [rng.normal(3, 5, size=(length, 4)).astype(np.float32) for length in (30, 70)]
    voice = Normaliser.of(utterances)
    together = np.concatenate([voice(frames) for frames in utterances])
    assert np.abs(together.mean(axis=0)).max() < 1e-5
    assert np.abs(together.std(axis=0) - 1).max() < 1e-5


def test_a_column_that_does_not_vary_stays_finite():
    voice = Normaliser.of([np.ones((5, 1), dtype=np.float32)])
    assert voice(np.ones((5, 1), dtype=np.float32)).tolist() == [[0.0]] * 5


def test_the_same_wave_gives_the_same_frames():
    wave = np.random.default_rng(3).normal(0, 0.1, 4_000).astype(np.float32)
    assert np.array_equal(cepstra(wave), cepstra(wave))

"""openSMILE's functionals of waves whose pitch, level and crossings are known."""

from __future__ import annotations

import math
import sys
import warnings

import numpy as np
import pytest

from layersim.corpus.audio import SAMPLE_RATE
from layersim.errors import LayersimError
from layersim.features.acoustic import functionals as module
from layersim.features.acoustic.functionals import functional_names, functionals

TIMES = np.arange(SAMPLE_RATE) / SAMPLE_RATE
installed = pytest.mark.usefixtures("_opensmile")


@pytest.fixture
def _opensmile():
    pytest.importorskip("opensmile", reason="openSMILE is an extra: pip install 'layersim[opensmile]'")


def voice(hertz: float, level: float = 0.2) -> np.ndarray:
    """Ten harmonics, each half an octave's share softer."""
    return (level * sum(np.sin(2 * np.pi * hertz * k * TIMES) / k for k in range(1, 11))).astype(np.float32)


def named(wave: np.ndarray, feature_set: str) -> dict[str, float]:
    values = functionals(wave, feature_set)
    assert values.shape == (1, module.WIDTHS[feature_set])
    assert values.dtype == np.float32
    return dict(zip(functional_names(feature_set), values[0].tolist(), strict=True))


@installed
@pytest.mark.parametrize("hertz", [110.0, 220.0])
def test_egemaps_has_the_pitch_of_a_voice(hertz):
    found = named(voice(hertz), "eGeMAPSv02")
    semitones = 12 * math.log2(hertz / 27.5)  # 24 and 36
    assert found["F0semitoneFrom27.5Hz_sma3nz_amean"] == pytest.approx(semitones, abs=0.2)


@installed
def test_twice_the_amplitude_is_six_decibels_of_sound_level():
    loud, soft = (named(voice(150, level), "eGeMAPSv02")["equivalentSoundLevel_dBp"] for level in (0.2, 0.1))
    assert loud - soft == pytest.approx(20 * math.log10(2), abs=0.05)


@installed
def test_emobase_counts_the_zero_crossings_of_a_square_wave():
    square = np.where(np.arange(SAMPLE_RATE) % 32 < 16, 0.4, -0.4).astype(np.float32)
    assert named(square, "emobase")["pcm_zcr_sma_amean"] == pytest.approx(2 / 32, abs=0.003)


@installed
def test_samples_beyond_full_scale_are_clipped_and_do_not_wrap_round():
    over = 4 * voice(150)
    assert np.abs(over).max() > 1.2
    clipped = np.clip(over, -0.99, 0.99)
    level = "equivalentSoundLevel_dBp"
    assert named(over, "eGeMAPSv02")[level] == pytest.approx(named(clipped, "eGeMAPSv02")[level], abs=0.1)


@installed
@pytest.mark.parametrize(("feature_set", "long_enough"), [("eGeMAPSv02", 0.06), ("emobase", 0.04)])
def test_a_wave_shorter_than_a_window_is_nan_throughout_without_a_warning(feature_set, long_enough):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        short = functionals(voice(200)[:480], feature_set)  # 30 ms
    assert np.isnan(short).all()
    assert short.shape == (1, module.WIDTHS[feature_set])
    assert np.isfinite(functionals(voice(200)[: round(long_enough * SAMPLE_RATE)], feature_set)).all()


@installed
def test_silence_has_functionals():
    for feature_set in module.WIDTHS:
        assert np.isfinite(functionals(np.zeros(SAMPLE_RATE, dtype=np.float32), feature_set)).all()


def test_without_opensmile_the_error_names_the_extra(monkeypatch):
    module._smile.cache_clear()
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(LayersimError, match=r"pip install 'layersim\[opensmile\]'"):
        functionals(voice(200), "eGeMAPSv02")
    module._smile.cache_clear()

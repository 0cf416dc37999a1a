from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import cross_val_predict

from layersim.demo.emotions import EMOTIONS, brighten, draw_prosody


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    rows = {name: [draw_prosody(name, rng) for _ in range(400)] for name in EMOTIONS}
    return {name: np.array([astuple(p) for p in found]) for name, found in rows.items()}


def test_emotions_move_the_way_the_literature_says(drawn):
    """Rate, pitch, range, loudness, brightness: Scherer 2003; Juslin & Laukka 2003."""
    neutral = drawn["neutral"].mean(axis=0)
    assert (drawn["anger"].mean(axis=0) > neutral).all()
    assert (drawn["happiness"].mean(axis=0) > neutral).all()
    assert (drawn["sadness"].mean(axis=0) < neutral).all()
    assert (drawn["anger"].mean(axis=0) > drawn["happiness"].mean(axis=0))[3:].all()  # loudness, brightness


def test_emotions_overlap_but_can_nearly_always_be_told_from_the_settings(drawn):
    features = np.concatenate(list(drawn.values()))
    labels = np.repeat(list(drawn), 400)
    guess = cross_val_predict(LinearDiscriminantAnalysis(), features, labels, cv=5)
    recalls = np.diag(confusion_matrix(labels, guess, labels=list(drawn), normalize="true"))
    assert (recalls > 0.9).all()
    assert recalls.mean() == pytest.approx(0.96, abs=0.015)


def test_every_draw_stays_within_the_limits(drawn):
    rows = np.concatenate(list(drawn.values()))
    assert (rows.min(axis=0) >= [0.7, 20, 5, 30, -15]).all()
    assert (rows.max(axis=0) <= [1.4, 90, 99, 95, 15]).all()


def test_the_same_seed_draws_the_same_prosody():
    first, second = (draw_prosody("anger", np.random.default_rng(3)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("decibels", [-10.0, 0.0, 6.0])
def test_brightness_moves_high_against_low_frequencies_and_nothing_else(decibels):
    rate, times = 22_050, np.arange(22_050) / 22_050
    low, high = (np.sin(2 * np.pi * hertz * times) for hertz in (60, 9000))
    spectrum = np.abs(np.fft.rfft(brighten(low + high, rate, decibels)))
    ratio = 20 * np.log10(spectrum[9000] / spectrum[60])
    assert ratio == pytest.approx(decibels, abs=0.3)
    found = brighten(low + high, rate, decibels)
    assert np.mean(found**2) == pytest.approx(np.mean((low + high) ** 2))


def test_brightness_keeps_silence_silent_and_moves_nothing_in_time():
    click = np.zeros(1000)
    assert not brighten(click, 22_050, 6.0).any()
    click[500] = 1.0
    found = brighten(click, 22_050, 6.0)
    assert not found[:500].any()
    assert np.abs(found).argmax() == 500

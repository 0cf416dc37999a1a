from __future__ import annotations

import numpy as np
import pytest

from layersim.figures.spectrograms import mel_spectrograms

# 2595 log10(1 + f / 700): O'Shaughnessy 1987
MEL = 2595 * np.log10(1 + np.array([60.0, 8000.0]) / 700)
CENTRES = 700 * (10 ** (np.linspace(*MEL, 40) / 2595) - 1)


def draw(cells, emotions=("anger", "sadness"), corpora=("a", "b"), **keywords):
    return mel_spectrograms(cells, emotions, corpora, CENTRES, 0.01, **keywords)


def panels(figure, emotions=2, corpora=2):
    return np.array(figure.axes[: emotions * corpora], dtype=object).reshape(emotions, corpora)


def test_every_cell_shows_its_own_levels_the_lowest_bin_below_over_its_seconds():
    rng = np.random.default_rng(0)
    cells = {("anger", "a"): rng.uniform(-60, 0, (40, 50)), ("sadness", "b"): rng.uniform(-60, 0, (40, 120))}
    grid = panels(draw(cells))
    for place, key in (((0, 0), ("anger", "a")), ((1, 1), ("sadness", "b"))):
        image = grid[place].images[0]
        np.testing.assert_array_equal(image.get_array(), cells[key])
        assert image.origin == "lower"
        assert image.get_extent() == [0, pytest.approx(0.01 * cells[key].shape[1]), -0.5, 39.5]
    assert [axes.get_xlim() for axes in grid.ravel()] == [(0, pytest.approx(1.2))] * 4
    assert [axes.get_title() for axes in grid[0]] == ["a", "b"]


def test_cells_without_an_utterance_say_so():
    grid = panels(draw({("anger", "a"): np.zeros((40, 5))}))
    words = [[text.get_text() for text in axes.texts] for axes in grid.ravel()]
    assert words == [[], ["no utterance"], ["no utterance"], ["no utterance"]]


def test_all_cells_have_one_colour_scale_that_ends_the_dynamic_range_below_the_loudest():
    cells = {("anger", "a"): np.full((40, 3), -10.0), ("sadness", "a"): np.full((40, 3), -200.0)}
    grid = panels(draw(cells, dynamic_range=60))
    limits = {axes.images[0].get_clim() for axes in grid[:, 0]}
    assert limits == {(-70, -10)}


def test_a_quiet_range_is_used_in_full():
    levels = np.linspace(-30, -20, 80).reshape(40, 2)
    assert panels(draw({("anger", "a"): levels}))[0, 0].images[0].get_clim() == (-30, -20)


def test_ticks_stand_where_the_bins_have_their_frequency():
    axes = panels(draw({("anger", "a"): np.zeros((40, 5))}))[0, 0]
    hertz = np.array([float(text.get_text()) for text in axes.get_yticklabels()])
    mel = 2595 * np.log10(1 + hertz / 700)
    expected = (mel - MEL[0]) / (MEL[1] - MEL[0]) * 39
    np.testing.assert_allclose(axes.get_yticks(), expected, atol=0.02)  # straight between two bins
    assert {1000, 4000, 8000} <= set(hertz)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({}, "cells: expected at least one"),
        ({("joy", "a"): np.zeros((40, 5))}, r"got \[\('joy', 'a'\)\]"),
        (
            {("anger", "a"): np.zeros((5, 40))},
            r"shape \(40, frames\), one row per bin; got \(5, 40\)",
        ),
        ({("anger", "a"): np.full((40, 5), -np.inf)}, "log of 0"),
    ],
)
def test_cells_that_do_not_fit_are_refused_by_name(cells, message):
    with pytest.raises(ValueError, match=message):
        draw(cells)


@pytest.mark.parametrize(
    ("frequencies", "frame_seconds", "message"),
    [([100.0, 50.0], 0.01, "frequencies: expected rising"), ([50.0, 100.0], 0, "frame_seconds: expected")],
)
def test_axes_that_do_not_fit_are_refused_by_name(frequencies, frame_seconds, message):
    with pytest.raises(ValueError, match=message):
        mel_spectrograms({("x", "a"): np.zeros((2, 2))}, ["x"], ["a"], frequencies, frame_seconds)

from __future__ import annotations

import numpy as np
import pytest

from layersim.figures.lines import layer_lines

LAYERS = ["0", "1", "2"]


def line(value, margin=0.1):
    value = np.asarray(value, dtype=float)
    return value, value - margin, value + margin


def test_every_line_is_drawn_with_its_values_its_interval_and_its_name():
    figure = layer_lines(LAYERS, {"anger": line([0.1, 0.2, np.nan]), "fear": line([0.3, 0.1, 0.2])})
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["anger", "fear"]
    for drawn, expected in zip(axes.lines, ([0.1, 0.2, np.nan], [0.3, 0.1, 0.2]), strict=True):
        np.testing.assert_allclose(drawn.get_ydata(), expected)
    bars = axes.collections[1].get_segments()
    assert [float(bar[1, 1] - bar[0, 1]) for bar in bars] == pytest.approx([0.2] * 3)


def test_lines_stand_a_little_beside_each_other_and_differ_by_shape_too():
    names = ["anger", "fear", "joy", "sadness", "calm"]
    axes = layer_lines(LAYERS, {name: line([0.1, 0.2, 0.3]) for name in names}).axes[0]
    starts = [float(drawn.get_xdata()[0]) for drawn in axes.lines]
    assert len(set(starts)) == 5
    assert np.mean(starts) == pytest.approx(0)
    assert len({(drawn.get_marker(), drawn.get_color()) for drawn in axes.lines}) == 5


def test_the_sets_stand_under_the_layers():
    strip = layer_lines(LAYERS, {"anger": line([0.1, 0.2, 0.3])}, {"Best": ["2"]}).axes[1]
    assert np.asarray(strip.collections[0].get_offsets()).tolist() == [[2.0, 0.0]]


@pytest.mark.parametrize(
    ("lines", "marked", "message"),
    [
        ({}, None, "lines: expected at least one"),
        ({"a": ([0.1, 0.2], None, None)}, None, r"a: expected shape \(3,\)"),
        ({"a": ([0.1, 0.2, 0.3], [0, 0, 0], None)}, None, "low and high: give both or neither"),
        ({"a": ([0.1, 0.2, 0.3], None, None)}, {"Best": ["9"]}, r"Best names \['9'\]"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(lines, marked, message):
    with pytest.raises(ValueError, match=message):
        layer_lines(LAYERS, lines, marked)

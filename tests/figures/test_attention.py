from __future__ import annotations

import statistics

import numpy as np
import pytest

from layersim.figures.attention import attention_weights

WEIGHTS = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.75, 0.125, 0.125]]


def test_bars_are_means_and_whiskers_sample_deviations_over_the_seeds():
    axes = attention_weights(["1", "2", "d1"], {"a → b": WEIGHTS}).axes[0]
    columns = list(zip(*WEIGHTS, strict=True))
    means = [statistics.mean(column) for column in columns]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx(means)
    for segment, mean, column in zip(axes.collections[0].get_segments(), means, columns, strict=True):
        spread = statistics.stdev(column)
        assert segment[:, 1].tolist() == pytest.approx([mean - spread, mean + spread])
    assert axes.lines[0].get_ydata() == [1 / 3, 1 / 3]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "d1"]


def test_a_whisker_never_goes_below_zero():
    axes = attention_weights(["1", "2"], {"a": [[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]]}).axes[0]
    assert axes.collections[0].get_segments()[1][0, 1] == 0


def test_one_seed_has_no_deviation_and_the_legend_says_so():
    figure = attention_weights(["1", "2"], {"a": [[0.5, 0.5]]})
    assert not any(len(segment) for segment in figure.axes[0].collections[0].get_segments())
    assert [text.get_text() for text in figure.legends[0].texts] == ["one seed", "uniform, 1/2"]


def test_six_directions_stand_in_order_on_one_scale():
    layers = [str(k) for k in range(13)]
    directions = [f"{k} → b" for k in range(6)]
    figure = attention_weights(layers, {name: np.full((2, 13), 1 / 13) for name in directions})
    assert [axes.get_title(loc="left") for axes in figure.axes] == directions
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    tops = [round(axes.get_position().y1, 6) for axes in figure.axes]
    assert tops[0] == tops[1] == tops[2] > tops[3] == tops[4] == tops[5]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "weights: expected at least one direction"),
        ({"a": [0.5, 0.5]}, r"weights: a: expected shape \(seeds, 2\); got \(2,\)"),
        ({"a": [[0.5, 0.25, 0.25]]}, r"expected shape \(seeds, 2\)"),
        ({"a": [[2.0, -1.0]]}, "weights >= 0 with sum 1"),
        ({"a": [[0.5, 0.6]]}, "take their softmax"),
        ({"a": [[np.nan, 1.0]]}, "weights >= 0 with sum 1"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(weights, message):
    with pytest.raises(ValueError, match=message):
        attention_weights(["1", "2"], weights)

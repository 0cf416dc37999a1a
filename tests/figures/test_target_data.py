from __future__ import annotations

import numpy as np
import pytest

from layersim.figures.target_data import target_data_curves

CLIPS = [0, 30, 80, 150]


def line(value):
    value = np.asarray(value, dtype=float)
    return value, value - 0.0625, value + 0.125


def curves(axes):
    return [drawn for drawn in axes.lines if drawn.get_marker() not in ("None", "")]


def test_lines_run_through_their_values_over_the_number_of_clips_to_scale():
    lines = {"wccn": line([0.3, 0.5, 0.6, 0.7]), "la": line([0.4, np.nan, 0.5, 0.6])}
    figure = target_data_curves(CLIPS, lines, chance=0.25)
    axes = figure.axes[0]
    assert [drawn.get_xdata().tolist() for drawn in curves(axes)] == [CLIPS, CLIPS]
    for drawn, (value, _, _) in zip(curves(axes), lines.values(), strict=True):
        np.testing.assert_array_equal(drawn.get_ydata(), value)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "30", "80", "150"]
    assert [text.get_text() for text in figure.legends[0].texts] == ["wccn", "la", "chance"]
    assert axes.get_ylim()[0] < 0.25


def test_up_to_four_intervals_are_bands_with_the_given_ends():
    axes = target_data_curves(CLIPS, {"wccn": line([0.3, 0.5, 0.6, 0.7])}).axes[0]
    corners = {tuple(corner) for corner in axes.collections[0].get_paths()[0].vertices}
    expected = {
        (c, v + d) for c, v in zip(CLIPS, [0.3, 0.5, 0.6, 0.7], strict=True) for d in (-0.0625, 0.125)
    }
    assert corners == expected


def test_more_intervals_are_upright_bars_beside_each_other():
    axes = target_data_curves(CLIPS, {name: line([0.3, 0.5, 0.6, 0.7]) for name in "abcde"}).axes[0]
    starts = [bars.get_segments()[0] for bars in axes.collections]
    assert len({segment[0, 0] for segment in starts}) == 5
    assert {tuple(segment[:, 1]) for segment in starts} == {(0.3 - 0.0625, 0.3 + 0.125)}
    assert np.mean([segment[0, 0] for segment in starts]) == pytest.approx(0)
    for drawn, segment in zip(curves(axes), starts, strict=True):
        assert drawn.get_xdata()[0] == segment[0, 0]


def test_seven_methods_differ_by_colour_and_by_shape():
    axes = target_data_curves(CLIPS, {name: line([0.3, 0.5, 0.6, 0.7]) for name in "abcdefg"}).axes[0]
    assert len({drawn.get_color() for drawn in curves(axes)}) == 7
    assert len({drawn.get_marker() for drawn in curves(axes)}) == 7


def test_one_number_of_clips_is_drawn_too():
    low, high = target_data_curves([0], {"a": ([0.5], None, None)}, percent=False).axes[0].get_xlim()
    assert low < 0 < high


@pytest.mark.parametrize(
    ("clips", "lines", "message"),
    [
        (CLIPS, {}, "lines: expected at least one"),
        (
            [0, 30, 30],
            {"a": ([0, 0, 0], None, None)},
            r"clips: expected rising .* got \[0, 30, 30\]",
        ),
        ([-1, 30], {"a": ([0, 0], None, None)}, "clips: expected rising numbers"),
        ([0, 30], {"a": ([0.5], None, None)}, r"a: expected shape \(2,\)"),
        ([0, 30], {"a": ([0.5, 0.6], [0.4, 0.5], None)}, "low and high: give both or neither"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(clips, lines, message):
    with pytest.raises(ValueError, match=message):
        target_data_curves(clips, lines)

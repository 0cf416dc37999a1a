from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from layersim.figures.methods import method_intervals

DIRECTIONS = ["a → b", "b → a"]
METHODS = ["cc", "cc-std", "la"]
VALUES = np.array([[0.3, 0.5, 0.6], [0.4, 0.7, np.nan]])


def points(axes):
    """Where the dots are, by row."""
    drawn = [line for line in axes.lines if line.get_linestyle() == "None"]
    found = [pair for line in drawn for pair in zip(line.get_ydata(), line.get_xdata(), strict=True)]
    return {int(row): float(value) for row, value in found if np.isfinite(value)}


def whiskers(axes):
    segments = [segment for lines in axes.collections for segment in lines.get_segments()]
    return {int(s[0, 1]): s[:, 0].tolist() for s in segments if len(s)}


def test_every_dot_and_whisker_stands_in_its_methods_row_of_its_directions_panel():
    figure = method_intervals(
        VALUES, VALUES - 0.125, VALUES + 0.25, DIRECTIONS, METHODS, baselines=["cc-std"]
    )
    assert [axes.get_title(loc="left") for axes in figure.axes] == DIRECTIONS
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == METHODS
    assert [points(axes) for axes in figure.axes] == [{0: 0.3, 1: 0.5, 2: 0.6}, {0: 0.4, 1: 0.7}]
    assert whiskers(figure.axes[0]) == {0: [0.175, 0.55], 1: [0.375, 0.75], 2: [0.475, 0.85]}
    assert sorted(whiskers(figure.axes[1])) == [0, 1]
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    assert [axes.get_ylim() for axes in figure.axes] == [(2.5, -0.5)] * 2  # the first method is at the top


def test_numbers_are_printed_and_the_best_of_a_panel_is_bold():
    figure = method_intervals(VALUES, None, None, DIRECTIONS, METHODS)
    weights = [
        {text.get_text(): text.get_fontweight() for text in axes.texts} for axes in figure.axes
    ]  # fmt: skip
    assert weights == [
        {"30.0": "normal", "50.0": "normal", "60.0": "bold"},
        {"40.0": "normal", "70.0": "bold"},
    ]


def test_baselines_differ_by_colour_shape_ground_and_word():
    figure = method_intervals(
        VALUES, None, None, DIRECTIONS, METHODS, baselines=["cc", "cc-std"], chance=0.25
    )
    assert [text.get_text() for text in figure.legends[0].texts] == ["method", "baseline", "chance"]
    axes = figure.axes[0]
    looks = {tuple(line.get_ydata()): (line.get_marker(), line.get_color()) for line in axes.lines
             if line.get_linestyle() == "None"}  # fmt: skip
    assert set(looks) == {(2,), (0, 1)}
    assert len({shape for shape, _ in looks.values()}) == len({colour for _, colour in looks.values()}) == 2
    assert [patch.get_y() for patch in axes.patches] == [-0.5, 0.5]


def test_each_direction_has_its_own_chance():
    figure = method_intervals(VALUES, None, None, DIRECTIONS, METHODS, chance=[0.25, 0.2])
    lines = [
        line.get_xdata()[0] for axes in figure.axes for line in axes.lines if line.get_linestyle() == "--"
    ]
    assert lines == [0.25, 0.2]
    assert [text.get_text() for text in figure.legends[0].texts] == ["chance"]
    assert not method_intervals(VALUES, None, None, DIRECTIONS, METHODS).legends


def test_twenty_five_methods_in_six_directions_do_not_run_into_each_other():
    directions = ["Emo-DB → RAVDESS", "Emo-DB → CASIA", "RAVDESS → Emo-DB", "RAVDESS → CASIA",
                  "CASIA → Emo-DB", "CASIA → RAVDESS"]  # fmt: skip
    values = np.random.default_rng(0).uniform(0.15, 0.95, (6, 25))
    figure = method_intervals(
        values, values - 0.1, values + 0.04, directions, [f"method {k}" for k in range(25)]
    )
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    boxes = [axes._left_title.get_window_extent(renderer) for axes in figure.axes]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    for axes in figure.axes:
        inside = [tick.label1.get_window_extent(renderer) for tick in axes.xaxis.get_major_ticks()
                  if axes.get_xlim()[0] <= tick.get_loc() <= axes.get_xlim()[1]]  # fmt: skip
        assert len(inside) >= 2
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(inside))
        numbers = [text.get_window_extent(renderer) for text in axes.texts]
        assert min(box.x0 for box in numbers) > axes.get_window_extent(renderer).x1
        assert all(above.y0 >= below.y1 - 1 for above, below in itertools.pairwise(numbers))


def test_a_direction_without_any_value_is_left_empty():
    figure = method_intervals([[np.nan, np.nan]], None, None, ["a → b"], ["cc", "la"], percent=False)
    assert list(figure.axes[0].texts) == []


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        (([0.3], None, None, ["g"], ["s"]), {}, r"values: expected shape \(directions, methods\)"),
        (([[0.3]], [[0.2]], None, ["g"], ["s"]), {}, "low and high: give both or neither"),
        (([[0.3]], [[0.4]], [[0.2]], ["g"], ["s"]), {}, "low <= high"),
        (([[0.3]], None, None, ["g", "h"], ["s"]), {}, "direction_labels: expected 1 labels"),
        (([[0.3]], None, None, ["g"], ["s", "t"]), {}, "method_labels: expected 1 labels"),
        (([[0.3]], None, None, ["g"], ["s"]), {"baselines": ["cc"]}, r"baselines: \['cc'\] are no methods"),
        (([[0.3]], None, None, ["g"], ["s"]), {"chance": [0.1, 0.2]}, "chance: expected one number or 1"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(arguments, keywords, message):
    with pytest.raises(ValueError, match=message):
        method_intervals(*arguments, **keywords)

from __future__ import annotations

import matplotlib.colors
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from layersim.figures.heatmap import heatmap, ink_on, short_number
from layersim.figures.style import DIVERGING, SEQUENTIAL


def cells(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance as WCAG 2.1 defines it, written again from the standard."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return float(np.dot(parts, [0.2126, 0.7152, 0.0722]))


def test_zero_has_the_neutral_colour_when_values_straddle_it():
    figure = heatmap([[0.5, 0.0, -0.1]], ["anger"], ["1", "2", "3"])
    neutral = cells(figure.axes[0])[1].get_facecolor()
    assert max(neutral[:3]) - min(neutral[:3]) < 0.02
    assert figure.axes[-1].get_ylim() == (-0.5, 0.5)


def test_values_of_one_sign_use_the_range_that_is_there():
    figure = heatmap([[0.85, 0.95]], ["anger"], ["1", "2"])
    assert figure.axes[-1].get_ylim() == pytest.approx((0.85, 0.95))
    low, high = (cell.get_facecolor() for cell in cells(figure.axes[0]))
    assert luminance(low) > 0.8 > 0.1 > luminance(high)


def test_heatmaps_given_the_same_limits_give_the_same_value_the_same_colour():
    first = heatmap([[0.2, 0.9]], ["a"], ["1", "2"], limits=(0, 1))
    second = heatmap([[0.2, 0.3]], ["a"], ["1", "2"], limits=(0, 1))
    assert cells(first.axes[0])[0].get_facecolor() == cells(second.axes[0])[0].get_facecolor()


def test_refused_and_missing_cells_are_hatched_unprinted_and_explained():
    figure = heatmap(
        [[0.1, np.nan], [0.3, 0.4]], ["a", "e"], ["1", "2"], refused=[[False, False], [True, False]]
    )
    assert [bool(cell.get_hatch()) for cell in cells(figure.axes[0])] == [False, True, True, False]
    assert texts(figure) == [".10", ".40"]
    assert [text.get_text() for text in figure.legends[0].texts] == [
        "no value: too few utterances or segments"
    ]


def test_a_full_heatmap_has_no_legend_of_refused_cells():
    assert not heatmap([[0.1]], ["a"], ["1"]).legends


def test_a_heatmap_without_any_value_is_still_drawn():
    figure = heatmap([[np.nan, np.nan]], ["a"], ["1", "2"])
    assert texts(figure) == []


def test_values_that_lie_close_get_a_third_decimal():
    assert texts(heatmap([[0.975, 0.974]], ["anger"], ["1", "2"])) == [".975", ".974"]


def test_numbers_are_left_out_where_they_do_not_fit():
    figure = heatmap(np.full((1, 60), -0.25), ["anger"], [str(k) for k in range(60)])
    wide = heatmap(np.full((1, 12), -123456.25), ["anger"], [str(k) for k in range(12)])
    assert len(texts(figure)) == 60
    assert texts(wide) == []


def test_marks_stand_under_their_columns():
    figure = heatmap(
        np.zeros((2, 4)), ["a", "b"], ["0", "1", "2", "d1"],
        marked_columns={"Group": ["1", "d1"], "Best": ["d1"], "Worst": []},
    )  # fmt: skip
    strip = figure.axes[1]
    assert [text.get_text() for text in strip.texts] == ["Group", "Best"]
    places = [np.asarray(marks.get_offsets()).tolist() for marks in strip.collections]
    assert places == [[[1.0, 0.0], [3.0, 0.0]], [[3.0, 1.0]]]
    assert strip.get_xlim() == figure.axes[0].get_xlim()
    above, below = figure.axes[0].get_position(), strip.get_position()
    assert (above.x0, above.x1) == pytest.approx((below.x0, below.x1))
    assert below.y1 < above.y0


def test_sets_are_told_apart_by_shape_not_only_by_colour():
    marked = {"Group": ["0"], "Best": ["1"], "Worst": ["2"], "Chosen": ["3"]}
    strip = heatmap([[0.1, 0.2, 0.3, 0.4]], ["a"], ["0", "1", "2", "3"], marked_columns=marked).axes[1]
    shapes = {marks.get_paths()[0].vertices.tobytes() for marks in strip.collections}
    assert len(shapes) == 4


def test_a_line_sets_summary_rows_apart():
    plain, summed = (heatmap([[0.1], [0.2]], ["a", "mean"], ["1"], summary_rows=rows) for rows in (0, 1))
    assert len(plain.axes[0].lines) == 0
    assert list(summed.axes[0].lines[0].get_ydata()) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.1], ["a"], ["1"], {}), r"values: expected shape \(rows, columns\)"),
        (([[0.1]], ["a", "b"], ["1"], {}), "row_labels: expected 1 labels, one per row"),
        (([[0.1, 0.2]], ["a"], ["1", "1"], {}), r"column_labels: .*\['1'\] stand more"),
        (([[0.1]], ["a"], ["1"], {"refused": [True]}), "refused: expected the shape"),
        (([[0.1]], ["a"], ["1"], {"marked_columns": {"Best": ["7"]}}), r"Best names \['7'\]"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(arguments, message):
    *positional, keywords = arguments
    with pytest.raises(ValueError, match=message):
        heatmap(*positional, **keywords)


@given(st.floats(-0.99, 0.99), st.integers(1, 4))
def test_short_numbers_read_back_as_the_rounded_value(value, decimals):
    text = short_number(value, decimals)
    assert float(text.replace("−", "-")) == float(f"{value:.{decimals}f}")
    assert not text.startswith(("0.", "−0."))


@given(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)))
def test_letters_have_contrast_three_to_one_on_every_background(colour):
    letters = luminance(matplotlib.colors.to_rgb(ink_on((*colour, 1.0))))
    high, low = sorted((letters, luminance(colour)), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 3.0


def test_the_one_sided_scale_darkens_steadily_so_that_it_survives_grey_print():
    steps = [luminance(SEQUENTIAL(x)) for x in np.linspace(0, 1, 50)]
    assert (np.diff(steps) < 0).all()


def test_the_two_sided_scale_darkens_from_the_middle_and_keeps_its_ends_apart_for_the_colour_blind():
    middle_out = [luminance(DIVERGING(0.5 + x)) for x in np.linspace(0, 0.5, 25)]
    assert (np.diff(middle_out) < 1e-3).all()
    # Viénot, Brettel & Mollon 1999: linear RGB as a deuteranope sees it
    deuteranope = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
    for x in (0.1, 0.25):
        cold, warm = (deuteranope @ np.power(DIVERGING(end)[:3], 2.2) for end in (x, 1 - x))
        assert np.abs(cold - warm).max() > 0.1


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.integers(1, 13), st.data())
def test_every_cell_is_either_coloured_or_hatched(rows, columns, data):
    value = st.one_of(st.floats(-1, 1), st.just(np.nan))
    drawn = data.draw(st.lists(value, min_size=rows * columns, max_size=rows * columns))
    values = np.array(drawn).reshape(rows, columns)
    figure = heatmap(values, [f"r{k}" for k in range(rows)], [f"c{k}" for k in range(columns)])
    drawn = cells(figure.axes[0])
    assert len(drawn) == values.size
    assert [bool(cell.get_hatch()) for cell in drawn] == np.isnan(values).ravel().tolist()

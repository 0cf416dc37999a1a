from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as sklearn_confusion

from layersim.figures.bars import bars_with_intervals
from layersim.figures.confusion import confusion_matrices, confusion_matrix


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=40))
def test_cells_show_the_row_shares_that_scikit_learn_finds(pairs):
    truth, guess = zip(*pairs, strict=True)
    counts = sklearn_confusion(truth, guess, labels=list("abc"))
    totals = counts.sum(axis=1, keepdims=True)
    expected = [
        f"{100 * count / total:.0f} %\n{count}"
        for row, total in zip(counts, totals[:, 0], strict=True) if total for count in row
    ]  # fmt: skip
    axes = confusion_matrix(counts, list("abc")).axes[0]
    assert [text.get_text() for text in axes.texts] == expected
    hatched = [bool(patch.get_hatch()) for patch in axes.patches]
    assert hatched == [not total for total in totals[:, 0] for _ in range(3)]


def test_the_first_row_is_at_the_top_and_the_right_cells_are_bold():
    figure = confusion_matrix([[5, 0], [1, 4]], ["anger", "sadness"], "Title")
    axes = figure.axes[0]
    assert axes.get_ylim() == (1.5, -0.5)
    assert [text.get_fontweight() for text in axes.texts] == ["bold", "normal", "normal", "bold"]


@pytest.mark.parametrize(
    ("counts", "labels", "message"),
    [
        ([[1, 2]], ["a"], r"counts: expected shape \(classes, classes\); got \(1, 2\)"),
        ([[0.5]], ["a"], "whole numbers"),
        ([[-1]], ["a"], "whole numbers"),
        ([[1]], ["a", "b"], "labels: expected 1 labels, one per class; got 2"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(counts, labels, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(counts, labels)


def test_several_matrices_stand_side_by_side_with_the_truth_named_once():
    counts = {"cc": [[3, 1], [0, 4]], "la": [[4, 0], [0, 0]]}
    figure = confusion_matrices(counts, ["anger", "sadness"], "Title")
    first, second = figure.axes
    assert [text.get_text() for text in first.texts] == ["75 %\n3", "25 %\n1", "0 %\n0", "100 %\n4"]
    assert [text.get_text() for text in second.texts] == ["100 %\n4", "0 %\n0"]
    assert [bool(patch.get_hatch()) for patch in second.patches] == [False, False, True, True]
    assert first.get_position().x1 < second.get_position().x0
    assert first.get_position().y0 == second.get_position().y0
    assert [axes.yaxis.get_tick_params()["labelleft"] for axes in (first, second)] == [True, False]
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["cc", "la"]


def test_matrices_that_do_not_fit_beside_each_other_stand_below():
    labels = [f"emotion {number}" for number in range(7)]
    figure = confusion_matrices(dict.fromkeys("abc", np.eye(7, dtype=int)), labels)
    places = [axes.get_position() for axes in figure.axes]
    assert places[0].y0 == places[1].y0 > places[2].y1
    assert places[0].x0 == places[2].x0


def test_no_matrices_and_a_wrong_one_among_several_are_refused():
    with pytest.raises(ValueError, match="expected at least one panel, got none"):
        confusion_matrices({}, ["a"])
    with pytest.raises(ValueError, match="counts: la: expected whole numbers"):
        confusion_matrices({"cc": [[1]], "la": [[-1]]}, ["a"])


def test_bars_have_the_heights_and_intervals_they_were_given():
    values, low, high = [[0.3, 0.5], [0.4, 0.6]], [[0.2, 0.4], [0.3, 0.5]], [[0.4, 0.6], [0.5, 0.7]]
    figure = bars_with_intervals(values, low, high, ["a → b", "b → a"], ["CC", "LA"], chance=0.25)
    axes = figure.axes[0]
    assert [patch.get_height() for patch in axes.patches] == [0.3, 0.4, 0.5, 0.6]  # series by series
    segments = [s[:, 1].tolist() for lines in axes.collections for s in lines.get_segments()]
    assert segments == [[0.2, 0.4], [0.3, 0.5], [0.4, 0.6], [0.5, 0.7]]
    assert [text.get_text() for text in axes.texts] == ["30.0", "40.0", "50.0", "60.0"]
    assert [text.get_text() for text in axes.get_legend().texts] == ["CC", "LA", "chance"]
    assert axes.get_ylim()[1] > 0.7


def test_an_empty_place_has_no_number():
    figure = bars_with_intervals([[0.3, np.nan]], None, None, ["a → b"], ["CC", "LA"], percent=False)
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.30"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.3], None, None, ["g"], ["s"]), r"values: expected shape \(groups, series\)"),
        (([[0.3]], [[0.2]], None, ["g"], ["s"]), "low and high: give both or neither"),
        (([[0.3]], [[0.4]], [[0.2]], ["g"], ["s"]), "low <= high"),
        (([[0.3]], [0.2], [0.4], ["g"], ["s"]), "low, high: expected the shape of values"),
        (([[0.3]], None, None, ["g"], ["s", "t"]), "series_labels: expected 1 labels"),
    ],
)
def test_bars_that_do_not_fit_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        bars_with_intervals(*arguments)

from __future__ import annotations

import numpy as np
import pytest

from layersim.figures.anchors import anchor_ablation

SETS = ["Group", "All", "Best", "Worst", "Random 1", "Random 2"]
VALUES = np.array([[0.6, 0.55, 0.5, 0.3, 0.4, 0.45], [0.7, 0.65, 0.6, 0.35, np.nan, 0.5]])


def marks(axes):
    return [line for line in axes.lines if line.get_linestyle() == "None"]


def test_marks_whiskers_and_numbers_are_those_that_were_given():
    figure = anchor_ablation(VALUES, VALUES - 0.125, VALUES + 0.0625, ["a → b", "b → a"], SETS, chance=0.25)
    axes = figure.axes[0]
    np.testing.assert_array_equal([line.get_ydata() for line in marks(axes)], VALUES.T)
    for number, bars in enumerate(axes.collections):
        ends = [segment[:, 1].tolist() for segment in bars.get_segments() if len(segment)]
        given = VALUES[np.isfinite(VALUES[:, number]), number]
        assert ends == [[value - 0.125, value + 0.0625] for value in given]
    assert sorted(text.get_text() for text in axes.texts) == sorted(
        f"{100 * value:.1f}" for value in VALUES.ravel() if np.isfinite(value)
    )
    assert [text.get_text() for text in figure.legends[0].texts] == [*SETS, "chance"]


def test_directions_are_named_at_the_middle_of_their_marks():
    axes = anchor_ablation(VALUES, None, None, ["a → b", "b → a"], SETS).axes[0]
    places = np.array([line.get_xdata() for line in marks(axes)])  # (sets, directions)
    np.testing.assert_allclose(axes.get_xticks(), places.mean(axis=0))
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a → b", "b → a"]
    assert places[:, 0].max() < places[:, 1].min()


def test_every_set_has_a_shape_and_a_colour_of_its_own_whatever_stands_beside_it():
    looks = [(line.get_marker(), line.get_color())
             for line in marks(anchor_ablation(VALUES, None, None, ["a", "b"], SETS).axes[0])]  # fmt: skip
    assert len({shape for shape, _ in looks}) == len({colour for _, colour in looks}) == len(SETS)
    alone = marks(anchor_ablation([[0.5]], None, None, ["a"], ["Worst"]).axes[0])[0]
    assert (alone.get_marker(), alone.get_color()) == looks[SETS.index("Worst")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.3], None, None, ["g"], ["s"]), r"values: expected shape \(directions, sets\)"),
        (([[0.3]], None, [[0.2]], ["g"], ["s"]), "low and high: give both or neither"),
        (([[0.3]], [[0.4]], [[0.2]], ["g"], ["s"]), "low <= high"),
        (([[0.3, 0.2]], None, None, ["g"], ["All", "All"]), r"set_labels: .*\['All'\] stand more than once"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        anchor_ablation(*arguments)

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from layersim.figures.curves import default_panels, layer_curve, training_curves


def legend(axes):
    return [text.get_text() for text in axes.get_legend().texts]


def test_the_curve_runs_through_the_scores_inside_its_interval():
    figure = layer_curve(["1", "2", "3"], [0.1, 0.3, 0.2], [0.0, 0.2, 0.1], [0.2, 0.4, 0.3])
    axes = figure.axes[0]
    assert axes.lines[0].get_ydata().tolist() == [0.1, 0.3, 0.2]
    segments = [segment[:, 1].tolist() for segment in axes.collections[-1].get_segments()]
    assert segments == [[0.0, 0.2], [0.2, 0.4], [0.1, 0.3]]
    assert legend(axes) == ["mean over emotions, 95 % interval"]


def test_null_band_and_other_scores_are_named_and_within_the_axis():
    figure = layer_curve(
        ["1", "2"],
        [0.5, 0.6],
        null_low=[-0.2, -0.1],
        null_high=[0.1, 0.1],
        others={"different emotions": [0.0, 0.9]},
    )
    axes = figure.axes[0]
    low, high = axes.get_ylim()
    assert low < -0.2
    assert high > 0.9
    assert sorted(legend(axes)) == [
        "different emotions",
        "emotion labels permuted (null), 95 %",
        "mean over emotions",
    ]


def test_all_layers_are_named_and_marked_ones_stand_below():
    figure = layer_curve(["1", "2", "d1"], [0.1, 0.2, 0.3], marked={"Group": ["2", "d1"], "Best": ["d1"]})
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["1", "2", "d1"]
    marks = figure.axes[1].collections
    assert [np.asarray(mark.get_offsets())[:, 0].tolist() for mark in marks] == [[1.0, 2.0], [2.0]]


@pytest.mark.parametrize("score", [[0.0, 0.0], [np.nan, np.nan], [1e-7, 2e-7], [5000.0, -5000.0]])
def test_flat_missing_tiny_and_huge_scores_are_drawn(score):
    low, high = layer_curve(["1", "2"], score).axes[0].get_ylim()
    assert low < high


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score": [0.1, 0.2]}, "layers: expected 2 labels"),
        ({"low": [0.0]}, "low and high: give both or neither"),
        ({"null_low": [0.0, 1.0], "null_high": [1.0]}, r"null_low: expected shape \(1,\)"),
        ({"marked": {"Worst": ["2"]}}, r"Worst names \['2'\]"),
    ],
)
def test_what_does_not_fit_a_layer_curve_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        layer_curve(**{"layers": ["1"], "score": [0.1], **arguments})


def test_quantities_of_one_kind_share_a_panel():
    table = pd.DataFrame(
        {"epoch": [1, 2], "cross_entropy": [1.0, 0.5], "coral": [3.0, 2.0], "target_coral_floor": [1.0, 1.0],
         "validation_uar": [0.3, 0.6]}
    )  # fmt: skip
    figure = training_curves(table, "seed 0", chosen_epoch=2)
    names = [axes.get_legend().get_title().get_text() for axes in figure.axes]
    assert names == ["Score", "Distance of the corpora (CORAL)", "Loss"]
    assert legend(figure.axes[1]) == ["coral", "target coral floor", "kept epoch"]
    assert figure.axes[0].lines[0].get_ydata().tolist() == [0.3, 0.6]
    assert figure.axes[0].yaxis.get_major_formatter()(0.6) == "60 %"
    assert figure.axes[2].lines[-1].get_xdata() == [2, 2]


def test_columns_without_any_number_are_left_out():
    table = pd.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5], "coral": [np.nan, np.nan], "note": ["a", "b"]})
    assert [legend(axes) for axes in training_curves(table).axes] == [["loss"]]


def test_panels_may_be_given():
    table = pd.DataFrame({"epoch": [1], "loss": [1.0], "uar": [0.5]})
    figure = training_curves(table, panels={"Both": ["loss", "uar"]})
    assert [legend(axes) for axes in figure.axes] == [["loss", "uar"]]


def test_a_wa_inside_a_word_is_no_accuracy():
    assert default_panels(["warmup", "wa"]) == {"Score": ["wa"], "Loss": ["warmup"]}


def test_schedules_and_the_domain_classifier_have_panels_of_their_own_and_rows_hold_three():
    table = pd.DataFrame(
        {"epoch": [1, 2], "cross_entropy": [1.0, 0.5], "domain_cross_entropy": [0.7, 0.7],
         "domain_accuracy": [0.9, 0.6], "lambda": [0.0, 1.0], "learning_rate": [0.01, 0.001],
         "source_validation_uar": [0.3, 0.6]}
    )  # fmt: skip
    figure = training_curves(table)
    panels = {axes.get_legend().get_title().get_text(): axes for axes in figure.axes}
    assert list(panels) == ["Score", "Loss", "Domain classifier", "Gradient reversal", "Learning rate"]
    domain = panels["Domain classifier"]
    assert legend(domain) == ["domain accuracy", "chance"]
    assert domain.lines[1].get_ydata() == [0.5, 0.5]
    assert domain.get_ylim()[0] < 0.5
    assert domain.yaxis.get_major_formatter()(0.5) == "50 %"
    assert panels["Gradient reversal"].lines[0].get_ydata().tolist() == [0.0, 1.0]
    assert panels["Learning rate"].lines[0].get_ydata().tolist() == [0.01, 0.001]
    assert all(len(axes.lines) == len(legend(axes)) for axes in figure.axes)
    tops = [round(axes.get_position().y1, 6) for axes in figure.axes]
    assert tops[0] == tops[1] == tops[2] > tops[3] == tops[4]


def test_a_score_beside_the_domain_accuracy_takes_its_chance_line_away():
    table = pd.DataFrame({"epoch": [1], "domain_accuracy": [0.9], "uar": [0.5]})
    figure = training_curves(table, panels={"Both": ["domain_accuracy", "uar"]})
    assert legend(figure.axes[0]) == ["domain accuracy", "uar"]


@pytest.mark.parametrize(
    ("table", "panels", "message"),
    [
        (pd.DataFrame({"step": [1], "loss": [1.0]}), None, "a column 'epoch'"),
        (pd.DataFrame({"epoch": [1], "note": ["a"]}), None, "no numeric column besides 'epoch'"),
        (pd.DataFrame({"epoch": [1], "loss": [1.0]}), {"All": ["los"]}, r"no columns \['los'\]"),
    ],
)
def test_tables_that_cannot_be_drawn_are_refused(table, panels, message):
    with pytest.raises(ValueError, match=message):
        training_curves(table, panels=panels)

from __future__ import annotations

import numpy as np
import pytest

from layersim.figures.transfer import rank_correlation, similarity_and_transfer

LAYERS = ["1", "2", "3", "d1"]


def measured(values):
    values = np.asarray(values, dtype=float)
    return values, values - 0.125, values + 0.25


def test_both_curves_and_the_points_are_those_that_were_given():
    similarity, uar = measured([0.1, 0.3, 0.2, np.nan]), measured([0.25, 0.5, 0.625, 0.75])
    figure = similarity_and_transfer(LAYERS, similarity, uar, {"Best": ["2"]}, chance=0.25)
    below, above, points, strip = figure.axes
    np.testing.assert_array_equal(above.lines[0].get_ydata(), similarity[0])
    np.testing.assert_array_equal(below.lines[0].get_ydata(), uar[0])
    assert above.get_xlim() == below.get_xlim() == strip.get_xlim()
    assert above.get_position().x0 == below.get_position().x0
    assert above.get_position().y0 > below.get_position().y1
    ends = [segment[:, 1].tolist() for segment in below.collections[1].get_segments()]
    assert ends == [[value - 0.125, value + 0.25] for value in uar[0]]
    names = {text.get_text(): text.get_position() for text in points.texts}
    assert names == {"1": (0.1, 0.25), "2": (0.3, 0.5), "3": (0.2, 0.625)}
    assert below.get_ylim()[0] < 0.125


def test_rho_stands_in_the_title():
    # ranks 1 3 2 4 against 1 2 3 4: 1 - 6 * 2 / (4 * 15) = 0.8
    figure = similarity_and_transfer(
        LAYERS, ([0.1, 0.3, 0.2, 0.9], None, None), ([0.2, 0.3, 0.4, 0.5], None, None), title="a → b"
    )
    assert figure.texts[-1].get_text() == "a → b: Spearman's ρ = 0.80 (4 layers)"
    turned = similarity_and_transfer(LAYERS, ([4, 3, 2, 1], None, None), ([0.2, 0.3, 0.4, 0.5], None, None))
    assert turned.texts[-1].get_text() == "Spearman's ρ = −1.00 (4 layers)"


def test_rho_is_undefined_without_three_layers_or_without_a_difference():
    for first, second in (([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, np.nan], [1, 2, 3])):
        rho, _ = rank_correlation(np.array(first, dtype=float), np.array(second, dtype=float))
        assert np.isnan(rho)
    figure = similarity_and_transfer(LAYERS, ([1] * 4, None, None), ([1, 2, 3, 4], None, None))
    assert figure.texts[-1].get_text() == "Spearman's ρ = undefined (4 layers)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"similarity": ([0.1], None, None)}, r"similarity: expected shape \(2,\)"),
        ({"uar": ([0.1], None, None)}, r"uar: expected shape \(2,\)"),
        ({"uar": ([0.1, 0.2], [0, 0], None)}, "low and high: give both or neither"),
        ({"marked": {"Worst": ["7"]}}, r"Worst names \['7'\]"),
        ({"layers": ["1", "1"]}, r"layers: .*\['1'\] stand more than once"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(arguments, message):
    given = {"layers": ["1", "2"], "similarity": ([1, 2], None, None), "uar": ([1, 2], None, None)}
    with pytest.raises(ValueError, match=message):
        similarity_and_transfer(**{**given, **arguments})

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layersim.metrics import Interval
from layersim.similarity.ranking import cut_is_resolved, group_shares, pick_layers, selectable, set_size

NAMES = [str(layer) for layer in range(1, 13)]


def test_the_papers_wavlm_sets_come_out_of_scores_in_their_order():
    scores = [0.50, 0.49, 0.48, 0.47, 0.10, 0.12, 0.11, 0.80, 0.82, 0.46, 0.90, 0.45]
    sets = pick_layers(NAMES, scores)
    assert (sets.group, sets.best, sets.worst) == (("8", "9", "11"), "11", ("5", "6", "7"))
    assert sets.cut == ("8", "1")


def test_ties_go_to_the_lower_layer_also_where_they_differ_by_rounding():
    sets = pick_layers(NAMES, [0.3 + 1e-15 * layer for layer in range(12)])
    assert (sets.group, sets.best, sets.worst) == (("1", "2", "3"), "1", ("4", "5", "6"))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=12))
def test_group_holds_the_highest_and_worst_the_lowest_and_they_never_meet(scores):
    names = NAMES[: len(scores)]
    sets = pick_layers(names, scores)
    by_name = dict(zip(names, scores, strict=True))
    assert len(sets.group) == set_size(len(names))
    assert len(sets.worst) == min(set_size(len(names)), len(names) - len(sets.group))
    assert not set(sets.group) & set(sets.worst)
    assert sets.best in sets.group
    assert by_name[sets.best] >= max(scores) - 1e-11
    outside = [by_name[name] for name in names if name not in sets.group]
    inside = [by_name[name] for name in names if name not in sets.worst]
    assert all(by_name[name] >= max(outside, default=-1) - 1e-11 for name in sets.group)
    assert all(by_name[name] <= min(inside) + 1e-11 for name in sets.worst)


@pytest.mark.parametrize(("layers", "size"), [(12, 3), (6, 3), (5, 2), (4, 2), (3, 1), (2, 1), (1, 1)])
def test_small_encoders_get_sets_of_half_their_layers(layers, size):
    sets = pick_layers(NAMES[:layers], list(range(layers)))
    assert len(sets.group) == size
    assert len(sets.worst) == (size if layers > 1 else 0)
    assert (sets.cut is None) == (layers == 1)


@pytest.mark.parametrize("scores", [[], [0.1], [0.1, float("nan")]])
def test_picking_refuses_missing_scores(scores):
    with pytest.raises(ValueError, match="one finite score"):
        pick_layers(NAMES[:2] if scores else [], scores)


def test_layer_zero_is_picked_only_when_asked_for():
    assert selectable(["0", "1", "2", "d1"], include_layer_zero=False) == ["1", "2", "d1"]
    assert selectable(["0", "1"], include_layer_zero=True) == ["0", "1"]


def test_overlapping_or_missing_intervals_resolve_nothing():
    assert cut_is_resolved(Interval(0.5, 0.6), Interval(0.3, 0.4))
    assert not cut_is_resolved(Interval(0.4, 0.6), Interval(0.3, 0.4))
    assert not cut_is_resolved(Interval(0.5, 0.6), None)
    assert not cut_is_resolved(None, Interval(0.3, 0.4))


def test_group_shares_count_how_often_a_layer_is_among_the_highest():
    replicates = np.array([[3.0, 1.0, np.nan, 3.0], [2.0, 2.0, 9.0, 3.0], [1.0, 0.0, 9.0, 0.0]])
    # three layers: a Group of one. Draws: layer 0, layer 1, (no score), a tie that the lower layer takes.
    np.testing.assert_allclose(group_shares(replicates), [2 / 3, 1 / 3, 0])
    assert group_shares(np.empty((3, 0))) is None

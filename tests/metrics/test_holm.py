from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layersim.metrics import holm

SHARES = st.lists(st.floats(0, 1), max_size=12)


@pytest.mark.parametrize(
    ("given_", "adjusted"),
    [
        ([], []),
        ([0.2], [0.2]),
        (
            [0.01, 0.04, 0.03, 0.005],
            [0.03, 0.06, 0.06, 0.02],
        ),  # 4 · .005, 3 · .01, 2 · .03, then 1 · .04 < .06
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),  # 3 · .02; 2 · .02 and 1 · .02 may not come below
        ([0.6, 0.9], [1.0, 1.0]),  # 2 · .6 is no probability
    ],
)
def test_holm_by_hand(given_, adjusted):
    assert holm(given_) == pytest.approx(adjusted)


@given(SHARES)
def test_adjusting_keeps_the_order_and_lies_between_the_value_and_bonferroni(values):
    adjusted = holm(values)
    for value, found in zip(values, adjusted, strict=True):
        assert value <= found <= min(1.0, len(values) * value) + 1e-12
    pairs = sorted(zip(values, adjusted, strict=True))
    assert all(one[1] <= other[1] for one, other in itertools.pairwise(pairs))


@given(SHARES, st.randoms())
def test_the_order_given_does_not_matter(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    assert holm([values[place] for place in order]) == [holm(values)[place] for place in order]


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, wrong])

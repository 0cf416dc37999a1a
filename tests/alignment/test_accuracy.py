from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layersim.alignment.accuracy import accuracy, match_vowels, together
from layersim.alignment.segments import Segment


def vowels(*times: tuple[float, float]) -> list[Segment]:
    return [Segment(start, end, "a") for start, end in times]


def best_overlap(reference: list[Segment], found: list[Segment]) -> float:
    """Largest overlap of any matching in order, by trying them all."""
    best = 0.0
    for size in range(1, min(len(reference), len(found)) + 1):
        for ours in combinations(reference, size):
            for theirs in combinations(found, size):
                shared = [
                    min(a.end, b.end) - max(a.start, b.start) for a, b in zip(ours, theirs, strict=True)
                ]
                if min(shared) > 0:
                    best = max(best, sum(shared))
    return best


@st.composite
def sequences(draw: st.DrawFn) -> list[Segment]:
    times = draw(st.lists(st.integers(0, 60), max_size=10, unique=True))
    edges = sorted(times)[: len(times) // 2 * 2]
    return vowels(*((edges[i] / 100, edges[i + 1] / 100) for i in range(0, len(edges), 2)))


@given(sequences(), sequences())
def test_the_matching_has_the_largest_overlap_of_all_matchings_in_order(reference, found):
    match = match_vowels(reference, found)
    shared = 0.0
    for errors, overlap in zip(match.errors, match.overlaps, strict=True):
        # IoU and the two errors give the shared time back: union = shared + |errors| for overlapping spans
        shared += overlap / (1 - overlap) * np.abs(errors).sum() if overlap < 1 else 0.0
    same = sum(1 for overlap in match.overlaps if overlap == 1)
    if not same:
        assert shared == pytest.approx(best_overlap(reference, found), abs=1e-9)


@given(sequences())
def test_the_same_vowels_match_without_error(reference):
    match = match_vowels(reference, reference)
    assert match.errors.tolist() == [[0.0, 0.0]] * len(reference)
    assert (match.overlaps == 1).all()


def test_figures_by_hand():
    reference = vowels((0.0, 0.1), (0.2, 0.3), (0.4, 0.5))
    found = vowels((0.01, 0.1), (0.2, 0.36), (0.8, 0.9))
    result = accuracy(match_vowels(reference, found))  # errors 10, 0, 0, 60 ms
    assert (result.vowels, result.missed, result.extra) == (3, pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert result.within == {0.01: 0.75, 0.02: 0.75, 0.025: 0.75, 0.05: 0.75}
    assert result.median_error == pytest.approx(0.005)
    assert (result.bias_start, result.bias_end) == (pytest.approx(0.005), pytest.approx(0.03))
    assert result.overlap == pytest.approx((0.9 + 0.1 / 0.16) / 2)


def test_touching_vowels_do_not_overlap():
    match = match_vowels(vowels((0.0, 0.1)), vowels((0.1, 0.2)))
    assert len(match.errors) == 0
    with pytest.raises(ValueError, match="none of 1 is"):
        accuracy(match)


def test_utterances_together_count_every_vowel():
    one = match_vowels(vowels((0.0, 0.1)), vowels((0.0, 0.1)))
    two = match_vowels(vowels((0.0, 0.1), (0.2, 0.3)), [])
    result = accuracy(together([one, two]))
    assert (result.vowels, result.missed) == (3, pytest.approx(2 / 3))

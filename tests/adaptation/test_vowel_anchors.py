from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from layersim.adaptation.data import VowelSegments
from layersim.adaptation.vowel_anchors import AnchorVowels, choose_anchors
from layersim.errors import LayersimError

NAMES = ("german", "english")


def segments(
    counts: dict[str, int], centres: dict[str, list[float]] | None = None, seed: int = 0
) -> VowelSegments:
    """Segments of each vowel, two layers, about their centre."""
    vowels = [vowel for vowel, count in counts.items() for _ in range(count)]
    rng = np.random.default_rng(seed)
    rng.shuffle(vowels)
    middle = np.array([(centres or {}).get(vowel, [0.0, 0.0]) for vowel in vowels])
    features = middle[:, None, :] + 0.01 * rng.standard_normal((len(vowels), 2, 2))
    return VowelSegments(
        torch.tensor(features, dtype=torch.float32),
        torch.zeros(len(vowels), dtype=torch.int64),
        tuple(vowels),
    )


def choose(
    source: VowelSegments, target: VowelSegments, minimum: int = 3, share: float = 1.0
) -> AnchorVowels:
    return choose_anchors(source, target, minimum, share, NAMES)


def test_anchors_are_the_vowels_that_both_sides_have_often_enough() -> None:
    source = segments({"u": 9, "a": 3, "e": 2, "y": 8, "i": 3})
    target = segments({"a": 4, "u": 3, "e": 9, "i": 2, "o": 7})
    found = choose(source, target)
    assert found.vowels == ("a", "u")
    assert found.counts() == {"a": {"source": 3, "target": 4}, "u": {"source": 9, "target": 3}}
    for vowel, rows in zip(found.vowels, found.target_rows, strict=True):
        assert [target.vowels[row] for row in rows] == [vowel] * len(rows)


def test_too_few_vowels_are_listed_with_their_counts_and_what_to_do() -> None:
    source, target = segments({"a": 9, "e": 2, "y": 9}), segments({"a": 5, "e": 9, "o": 9})
    with pytest.raises(
        LayersimError,
        match=r"german and english: .*at least two with 3 or more.*; 1 have\. Shared vowels \(segments in "
        r"german/english\): a 9/5, e 2/9\. Check the phone_set.*layersim align.*minimum_segments",
    ):
        choose(source, target)
    with pytest.raises(LayersimError, match=r"0 have\. Shared vowels \(segments in german/english\): none\."):
        choose(segments({"y": 9}), segments({"o": 9}))


def test_alike_keeps_the_vowels_that_stand_alike_among_the_others() -> None:
    """Of four vowels at the corners of a square, the target has i and u exchanged and everything moved."""
    corners = {"a": [1.0, 1.0], "e": [-1.0, -1.0], "i": [1.0, -1.0], "u": [-1.0, 1.0]}
    moved = {vowel: [3 * x + 7, 3 * y - 5] for vowel, (x, y) in corners.items()}
    moved["i"], moved["u"] = moved["u"], moved["i"]
    counts = {"i": 30, "a": 4, "u": 5, "e": 6}  # unequal: a centre is over vowels, not over segments
    found = choose(
        segments(counts, corners), segments({"u": 40, "i": 4, "e": 5, "a": 6}, moved, 1), share=0.5
    )
    assert found.vowels == ("a", "e")
    expected = {"a": 1.0, "e": 1.0, "i": -1.0, "u": -1.0}
    assert found.similarity == {vowel: pytest.approx(value, abs=0.01) for vowel, value in expected.items()}
    assert choose(segments(counts, corners), segments(counts, moved), share=0.01).vowels == ("a", "e")
    assert len(choose(segments(counts, corners), segments(counts, moved), share=0.51).vowels) == 3


def test_every_drawn_vowel_counts_the_same_however_frequent() -> None:
    source, target = segments({"a": 200, "e": 3, "i": 20}), segments({"a": 5, "e": 90, "i": 20}, seed=1)
    anchors = choose(source, target)
    generator = torch.Generator().manual_seed(0)
    drawn: Counter[str] = Counter()
    for _ in range(60):
        source_rows, target_rows, classes = anchors.draw(2, 7, generator)
        names = [anchors.vowels[number] for number in classes.tolist()]
        assert [source.vowels[row] for row in source_rows.tolist()] == names
        assert [target.vowels[row] for row in target_rows.tolist()] == names
        assert sorted(Counter(names).values()) == [7, 7]
        for vowel in set(names):  # the rare one repeated evenly: 3 + 3 + 1
            times = Counter(row for row in source_rows.tolist() if source.vowels[row] == vowel)
            assert max(times.values()) == (3 if vowel == "e" else 1)
        drawn.update(set(names))
    assert set(drawn) == {"a", "e", "i"}
    assert min(drawn.values()) > 25  # 40 expected of 60, also of e with its 3 segments


def test_all_vowels_are_drawn_where_a_step_asks_for_more() -> None:
    anchors = choose(segments({"a": 9, "e": 3}), segments({"a": 4, "e": 9}))
    _, _, classes = anchors.draw(8, 2, torch.Generator().manual_seed(1))
    assert sorted(classes.tolist()) == [0, 0, 1, 1]

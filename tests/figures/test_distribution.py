from __future__ import annotations

import numpy as np
import pytest

from layersim.figures.distribution import class_distribution

EMOTIONS = ["anger", "sadness", "joy"]


def test_bars_are_made_up_of_the_splits_and_end_at_the_total():
    counts = np.array([[[5, 2, 1], [0, 0, 0], [10, 1, 1]], [[1, 0, 0], [2, 0, 0], [0, 0, 1]]])
    figure = class_distribution(counts, ["a", "b"], EMOTIONS, ["train", "validation", "test"])
    for axes, corpus in zip(figure.axes, counts, strict=True):
        widths = np.array([bar.get_width() for bar in axes.patches]).reshape(3, 3).T  # (emotions, splits)
        starts = np.array([bar.get_x() for bar in axes.patches]).reshape(3, 3).T
        np.testing.assert_array_equal(widths, corpus)
        np.testing.assert_array_equal(starts, corpus.cumsum(axis=1) - corpus)
        assert axes.get_xlim()[0] == 0
        assert axes.get_xlim()[1] > corpus.sum(axis=1).max()
    assert [text.get_text() for text in figure.axes[0].texts] == ["8 · 40 %", "0", "12 · 60 %"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a (20)", "b (4)"]
    assert [text.get_text() for text in figure.legends[0].texts] == ["train", "validation", "test"]
    looks = {(bar.get_facecolor(), bar.get_hatch()) for bar in figure.axes[0].patches}
    assert len(looks) == len({hatch for _, hatch in looks}) == 3


def test_the_first_emotion_is_at_the_top_and_named_at_the_left_only():
    figure = class_distribution([[3, 1, 2]] * 4, ["a", "b", "c", "d"], EMOTIONS)
    assert figure.axes[0].get_ylim() == (2.5, -0.5)
    assert [bar.get_y() + bar.get_height() / 2 for bar in figure.axes[0].patches] == pytest.approx([0, 1, 2])
    named = [axes.yaxis.get_tick_params()["labelleft"] for axes in figure.axes]
    assert named == [True, False, False, True]  # three panels in a row
    assert not figure.legends


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([3, 1], ["a"], EMOTIONS), r"counts: expected shape \(corpora, emotions\); got \(2,\)"),
        (([[3, 1, 1]], ["a"], EMOTIONS, ["train"]), r"counts: expected shape \(corpora, emotions, splits\)"),
        (([[0.5, 1, 1]], ["a"], EMOTIONS), "whole numbers"),
        (([[-1, 1, 1]], ["a"], EMOTIONS), "whole numbers"),
        (([[3, 1]], ["a"], EMOTIONS), "emotion_labels: expected 2 labels"),
        (([[3, 1, 1]], ["a", "b"], EMOTIONS), "corpus_labels: expected 1 labels"),
        (([[[3], [1], [1]]], ["a"], EMOTIONS, ["train", "test"]), "split_labels: expected 1 labels"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        class_distribution(*arguments)

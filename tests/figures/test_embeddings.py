from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn.decomposition import PCA

from layersim.figures.embeddings import embedding_scatter, principal_components

EMOTIONS = ["anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness"]


@pytest.fixture
def train():
    rng = np.random.default_rng(3)
    return rng.normal(size=(70, 9)) * np.arange(9, 0, -1), [EMOTIONS[k % 7] for k in range(70)]


@pytest.fixture
def validation():
    rng = np.random.default_rng(4)
    return 5 + rng.normal(size=(21, 9)) * np.arange(1, 10), [EMOTIONS[k % 7] for k in range(21)]


def drawn(axes):
    return [np.asarray(marks.get_offsets()) for marks in axes.collections]


def shares(axes):
    return [
        int(re.search(r"\((\d+) % of variance\)", label)[1])
        for label in (axes.get_xlabel(), axes.get_ylabel())
    ]


def test_components_are_scikit_learns_up_to_their_sign(train):
    mean, components = principal_components(train[0])
    other = PCA(2, svd_solver="full").fit(train[0])
    np.testing.assert_allclose(mean, other.mean_)
    signs = np.sign((components * other.components_).sum(axis=1))
    np.testing.assert_allclose(components, other.components_ * signs[:, None], atol=1e-10)
    assert (components[[0, 1], np.abs(components).argmax(axis=1)] > 0).all()


def test_validation_is_projected_on_the_components_of_train(train, validation):
    figure = embedding_scatter({"plain": {"train": train, "validation": validation}})
    other = PCA(2, svd_solver="full").fit(train[0])
    _, components = principal_components(train[0])
    signs = np.sign((components * other.components_).sum(axis=1))
    for axes, (rows, labels) in zip(figure.axes, (train, validation), strict=True):
        expected = other.transform(rows) * signs
        for emotion, found in zip(EMOTIONS, drawn(axes), strict=True):
            np.testing.assert_allclose(found, expected[np.array(labels) == emotion], atol=1e-9)
    assert shares(figure.axes[0]) == np.round(100 * other.explained_variance_ratio_).astype(int).tolist()
    own = other.transform(validation[0]).var(axis=0) / validation[0].var(axis=0).sum()
    assert shares(figure.axes[1]) == np.round(100 * own).astype(int).tolist()


def test_each_variant_has_its_own_components_and_its_panels_share_true_scaled_axes(train, validation):
    scaled = (train[0] * 100, train[1]), (validation[0] * 100, validation[1])
    figure = embedding_scatter(
        {
            "without": {"train": train, "validation": validation},
            "with": {"train": scaled[0], "validation": scaled[1]},
        }
    )
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["without, train", "without, validation", "with, train", "with, validation"]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    assert np.diff(figure.axes[0].get_xlim()) == pytest.approx(np.diff(figure.axes[0].get_ylim()))
    np.testing.assert_allclose(figure.axes[2].get_xlim(), 100 * np.array(figure.axes[0].get_xlim()))
    left, below = figure.axes[0].get_position(), figure.axes[1].get_position()
    assert left.x0 == below.x0
    assert left.y0 > below.y1


def test_seven_emotions_differ_by_shape_and_by_colour_in_the_asked_order(train):
    order = EMOTIONS[::-1]
    figure = embedding_scatter({"plain": {"train": train}}, emotions=order)
    marks = figure.axes[0].collections
    assert len({mark.get_paths()[0].vertices.tobytes() for mark in marks}) == 7
    assert len({tuple(mark.get_facecolor()[0]) for mark in marks}) == 7
    assert [text.get_text() for text in figure.legends[0].texts] == order
    np.testing.assert_array_equal(drawn(figure.axes[0])[0].shape, (10, 2))


def test_embeddings_that_are_all_the_same_are_still_drawn():
    figure = embedding_scatter({"plain": {"train": (np.ones((4, 3)), ["a", "b", "a", "b"])}})
    assert shares(figure.axes[0]) == [0, 0]


@pytest.mark.parametrize(
    ("variants", "emotions", "message"),
    [
        ({}, None, "variants: expected at least one"),
        ({"x": {}}, None, "variants: expected at least one"),
        ({"x": {"train": ([[1, 2, 3]], ["a"])}}, None, r"embeddings: expected shape \(N, D\), both 2"),
        ({"x": {"train": ([[1, 2], [2, np.nan]], ["a", "b"])}}, None, "embeddings: expected finite"),
        ({"x": {"train": (np.eye(2), ["a"])}}, None, r"x, train: expected embeddings \(N, 2\)"),
        (
            {"x": {"train": (np.eye(2), ["a", "b"]), "validation": (np.eye(3), ["a"] * 3)}},
            None,
            r"x, validation: expected embeddings \(N, 2\) and N emotions; got \(3, 3\)",
        ),
        (
            {"x": {"train": (np.eye(2), ["a", "b"])}, "y": {"test": (np.eye(2), ["a", "b"])}},
            None,
            "the parts",
        ),
        ({"x": {"train": (np.eye(2), ["a", "b"])}}, ["a"], r"emotions: \['b'\] stand in the labels"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(variants, emotions, message):
    with pytest.raises(ValueError, match=message):
        embedding_scatter(variants, emotions=emotions)

"""Votes counted by hand, and members that are wrong while the vote is right."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures
from layersim.adaptation.ensemble import MEMBERS, EnsembleConfig, learn_ensemble, majority
from layersim.adaptation.task import Task, guesses
from layersim.metrics import uar
from layersim.settings import resolve_settings

CLASSES = ("anger", "neutral", "sadness")
QUICK = EnsembleConfig(trees=20)


def labelled(values: np.ndarray, emotions: list[str]) -> LabelledFeatures:
    keys = tuple(f"a/{number}" for number in range(len(emotions)))
    return LabelledFeatures(keys, torch.from_numpy(values).float(), tuple(emotions), ("s",) * len(emotions))


def blobs(seed: int, count: int, signal: float = 4.0) -> LabelledFeatures:
    """(N, 2, 5): three emotions, each in its own place."""
    places = np.random.default_rng(8).standard_normal((3, 2, 5))
    truth = np.repeat(np.arange(3), count)
    noise = np.random.default_rng(seed).standard_normal((3 * count, 2, 5))
    return labelled(signal * places[truth] + noise, [CLASSES[number] for number in truth])


def inside_out(seed: int, count: int) -> LabelledFeatures:
    """(N, 1, 2): sadness lies between two halves of anger, where no straight line parts them."""
    rng = np.random.default_rng(seed)
    inner = rng.uniform(-1, 1, count)
    outer = rng.uniform(1.5, 2.5, count) * np.where(np.arange(count) % 2, 1, -1)
    values = np.stack([np.concatenate([outer, inner]), 0.1 * rng.standard_normal(2 * count)], axis=1)
    return labelled(values[:, None], ["anger"] * count + ["sadness"] * count)


def task_of(source: LabelledFeatures, validation: LabelledFeatures, classes=CLASSES) -> Task:
    target = UnlabelledFeatures(("b/0",), torch.full((1, *source.features.shape[1:]), 1e6))
    return Task(source, validation, target, classes)


def test_separable_emotions_are_told_apart_by_every_member_and_the_vote():
    source, validation, test = blobs(1, 40), blobs(2, 15), blobs(3, 40)
    learned = learn_ensemble(task_of(source, validation), QUICK, seed=0)
    probabilities = learned.probabilities(test.features)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert uar(test.emotions, guesses(probabilities, CLASSES)) > 0.95
    assert list(learned.details["members"]) == list(MEMBERS)
    assert min(learned.details["members"].values()) > 0.85


def test_one_member_is_wrong_and_the_vote_still_right():
    source, validation, test = inside_out(1, 60), inside_out(2, 30), inside_out(3, 60)
    learned = learn_ensemble(task_of(source, validation, ("anger", "sadness")), QUICK, seed=0)
    members = learned.details["members"]
    assert members["svm"] < 0.8  # a line parts one half of anger from the rest at best: 0.75
    assert members["forest"] == members["tree"] == learned.details["source_validation_uar"] == 1.0
    found = guesses(learned.probabilities(test.features), ("anger", "sadness"))
    assert uar(test.emotions, found) == 1.0


def test_another_kernel_mends_the_member_that_was_wrong():
    source, validation = inside_out(1, 60), inside_out(2, 30)
    config = EnsembleConfig(kernel="rbf", members=("svm",))
    learned = learn_ensemble(task_of(source, validation, ("anger", "sadness")), config, seed=0)
    assert learned.details["members"] == {"svm": 1.0}
    assert learned.details["ties"] == 0.0


def test_most_votes_win_however_sure_the_others_are():
    sure, unsure = [0.98, 0.01, 0.01], [0.3, 0.36, 0.34]
    shares = majority(np.array([[sure], [unsure], [unsure]]))  # votes 1, 2, 0
    # share of votes 1/3, 2/3, 0; mean scores 1.58/3, 0.73/3, 0.69/3
    expected = [[0.99 / 3 + 0.0158 / 3, 1.98 / 3 + 0.0073 / 3, 0.0069 / 3]]
    np.testing.assert_allclose(shares, expected)
    assert shares.argmax() == 1


def test_equal_votes_go_to_the_highest_mean_score_among_those_that_have_votes():
    # votes 1, 1, 1 of three; the second's voter is surest
    three = majority(np.array([[[0.4, 0.3, 0.3]], [[0.1, 0.8, 0.1]], [[0.3, 0.3, 0.4]]]))
    assert three.argmax() == 1
    # votes 1, 1, 0; the third class has the highest mean score, 0.46, and no vote
    two = majority(np.array([[[0.5, 0.04, 0.46]], [[0.02, 0.52, 0.46]]]))
    assert two.argmax() == 1  # 0.28 against 0.26
    equal = majority(np.array([[[0.6, 0.4]], [[0.4, 0.6]]]))
    assert equal.argmax() == 0


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(2, 5))
def test_the_vote_is_that_of_a_plain_count(seed, members, classes):
    scores = np.random.default_rng(seed).dirichlet(np.ones(classes), size=(members, 4))  # (M, 4, C)
    found = majority(scores)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    for row in range(4):
        counts = Counter(int(scores[member, row].argmax()) for member in range(members))
        most = max(counts.values())
        tied = [number for number in range(classes) if counts[number] == most]
        assert found[row].argmax() == max(tied, key=lambda number: scores[:, row, number].sum())


def test_the_same_seed_gives_the_same_bytes():
    task, rows = task_of(blobs(1, 12, 0.5), blobs(2, 5, 0.5)), blobs(3, 9, 0.5).features
    before = torch.get_rng_state().numpy().tobytes()
    first, again, other = (
        learn_ensemble(task, QUICK, seed).probabilities(rows).tobytes() for seed in (5, 5, 6)
    )
    assert first == again != other
    assert torch.get_rng_state().numpy().tobytes() == before


def test_members_draw_the_same_whoever_else_votes():
    task = task_of(blobs(1, 12, 0.5), blobs(2, 20, 0.5))
    all_of_them = learn_ensemble(task, QUICK, 5).details["members"]
    for name in MEMBERS:
        alone = learn_ensemble(task, EnsembleConfig(members=(name,), trees=20), 5).details
        assert alone["members"] == {name: all_of_them[name]}
        assert alone["source_validation_uar"] == all_of_them[name]


@pytest.mark.parametrize("classes", [("anger", "absent", "neutral", "sadness"), ("absent", *CLASSES)])
def test_an_emotion_that_the_source_lacks_is_never_guessed(classes):
    learned = learn_ensemble(task_of(blobs(1, 20), blobs(2, 5), classes), QUICK, seed=0)
    test = blobs(3, 20)
    probabilities = learned.probabilities(test.features)
    assert (probabilities[:, classes.index("absent")] == 0).all()
    assert uar(test.emotions, guesses(probabilities, classes)) > 0.95


def test_nothing_but_the_paper_field_claims_a_source():
    settings = resolve_settings(EnsembleConfig, {})
    assert set(settings.origins.values()) == {"default (not in source)"}
    assert EnsembleConfig.presets == {"paper": {}}


def test_a_member_votes_once():
    with pytest.raises(ValueError, match="each may stand once, got svm, svm"):
        EnsembleConfig(members=("svm", "svm"))


def test_progress_is_told_after_every_member():
    told = []
    learn_ensemble(
        task_of(blobs(1, 9), blobs(2, 3)), EnsembleConfig(trees=3), 0, lambda *words: told.append(words)
    )
    assert told == [("training", 1, 3), ("training", 2, 3), ("training", 3, 3)]

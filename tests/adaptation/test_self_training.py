from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor, nn

from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures, VowelSegments
from layersim.adaptation.linear_probe import ProbeConfig, learn_probe
from layersim.adaptation.self_training import (
    UNKNOWN_SPEAKER,
    SelfTrainingConfig,
    most_confident,
    self_train,
    with_pseudo_labels,
)
from layersim.adaptation.task import Learned, Task
from layersim.settings import resolve_settings
from layersim.workspace import Progress, no_progress

CLASSES = ("anger", "neutral", "sadness")


def labelled(name: str, features: Tensor, emotions: list[str]) -> LabelledFeatures:
    keys = tuple(f"{name}/{row}" for row in range(len(emotions)))
    return LabelledFeatures(keys, features, tuple(emotions), ("s1",) * len(emotions))


def stub_task(target_rows: int, vowels: bool = False) -> Task:
    """Two source rows per class, features that say which row of which side they are."""
    emotions = [name for name in CLASSES for _ in range(2)]
    source = labelled("german", torch.arange(6.0).reshape(6, 1, 1), emotions)
    target = UnlabelledFeatures(
        tuple(f"english/{row}" for row in range(target_rows)),
        100 + torch.arange(float(target_rows)).reshape(target_rows, 1, 1),
    )
    task = Task(source, source, target, CLASSES)
    if not vowels:
        return task
    return replace(
        task,
        source_vowels=VowelSegments(torch.zeros(3, 1, 2), torch.tensor([0, 0, 5]), ("a", "i", "a")),
        target_vowels=VowelSegments(
            torch.arange(10.0).reshape(5, 1, 2), torch.tensor([3, 1, 0, 1, 2]), ("e", "a", "o", "i", "u")
        ),
    )


class Stub:
    """Gives the next of fixed probabilities to the target, and remembers what it was given to learn from."""

    def __init__(self, *answers: np.ndarray) -> None:
        self.answers = answers
        self.tasks: list[Task] = []
        self.seeds: list[int] = []

    def __call__(self, task: Task, seed: int, progress: Progress) -> Learned:
        answer = self.answers[min(len(self.tasks), len(self.answers) - 1)]
        self.tasks.append(task)
        self.seeds.append(seed)
        progress("training", 1, 1)
        curves = pd.DataFrame({"epoch": [len(self.tasks)]})
        return Learned(lambda _: answer, curves, len(self.tasks), {"own": len(self.tasks)}, nn.Identity())


FIRST = np.array(
    [
        [0.50, 0.30, 0.20],  # anger, third
        [0.90, 0.05, 0.05],  # anger, first
        [0.20, 0.60, 0.20],  # neutral, alone
        [0.70, 0.20, 0.10],  # anger, second: of equals the earlier
        [0.70, 0.10, 0.20],  # anger, second: of equals the later
        [0.40, 0.30, 0.30],  # anger, last
    ]
)
SECOND = FIRST.copy()
SECOND[[0, 5]] = [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]  # two rows change to sadness


def test_the_rows_counts_and_confidences_are_those_worked_out_by_hand() -> None:
    stub, task = Stub(FIRST, SECOND), stub_task(6)
    learned = self_train(stub, task, 7, SelfTrainingConfig(rounds=2), no_progress)
    assert len(stub.tasks) == 3
    assert stub.tasks[0] is task
    assert stub.seeds == [7, 7, 7]
    # Five rows are guessed anger: floor(2.5) = 2 of them, rows 1 and 3; of one neutral row that one.
    assert stub.tasks[1].source.keys[6:] == ("english/1", "english/2", "english/3")
    assert stub.tasks[1].source.emotions[6:] == ("anger", "neutral", "anger")
    assert stub.tasks[1].source.features[6:].flatten().tolist() == [101, 102, 103]
    # Then three rows anger (1 of them), one neutral, two sadness (1): each round adds to the original source.
    assert stub.tasks[2].source.keys[6:] == ("english/0", "english/1", "english/2")
    assert stub.tasks[2].source.emotions[6:] == ("sadness", "anger", "neutral")
    for later in stub.tasks[1:]:
        assert later.source.keys[:6] == task.source.keys
        assert later.source.emotions[:6] == task.source.emotions
        assert set(later.source.speakers[6:]) == {UNKNOWN_SPEAKER}
        assert later.validation is task.validation
        assert later.target is task.target
    assert learned.details["self_training"] == [
        {
            "round": 1,
            "pseudo_labels": {"anger": 2, "neutral": 1, "sadness": 0},
            "guessed": {"anger": 5, "neutral": 1, "sadness": 0},
            "confidence": pytest.approx((0.9 + 0.7 + 0.6) / 3),
            "changed": None,
        },
        {
            "round": 2,
            "pseudo_labels": {"anger": 1, "neutral": 1, "sadness": 1},
            "guessed": {"anger": 3, "neutral": 1, "sadness": 2},
            "confidence": pytest.approx((0.8 + 0.9 + 0.6) / 3),
            "changed": 2,
        },
    ]


def test_what_the_method_itself_says_is_kept_from_the_last_round() -> None:
    learned = self_train(Stub(FIRST), stub_task(6), 0, SelfTrainingConfig(rounds=1), no_progress)
    assert learned.details["own"] == 2
    assert learned.best_epoch == 2
    assert learned.curves is not None
    assert learned.curves["epoch"].tolist() == [2]
    assert isinstance(learned.network, nn.Identity)


def test_progress_says_which_training_runs() -> None:
    seen: list[tuple[str, float, float]] = []
    self_train(Stub(FIRST), stub_task(6), 0, SelfTrainingConfig(rounds=1), lambda *call: seen.append(call))
    assert seen == [("training (1 of 2)", 1, 1), ("training (2 of 2)", 1, 1)]


@pytest.mark.parametrize(("share", "kept"), [(0.01, 1), (0.29, 29), (0.5, 50), (1.0, 100)])
def test_the_share_is_rounded_down_and_never_to_nothing(share: float, kept: int) -> None:
    confidence = np.random.default_rng(0).permutation(np.linspace(0.51, 1, 100))
    found = most_confident(np.column_stack([confidence, 1 - confidence]), share)
    assert found.tolist() == sorted(np.argsort(-confidence)[:kept].tolist())


def test_of_equally_confident_rows_the_earlier_are_kept() -> None:
    assert most_confident(np.full((6, 2), 0.5), 0.5).tolist() == [0, 1, 2]


def test_vowel_segments_follow_the_rows_that_were_chosen() -> None:
    task = stub_task(4, vowels=True)
    found = with_pseudo_labels(task, np.array([1, 3]), ["anger", "sadness"]).source_vowels
    assert found is not None
    # Segments 0 (of row 3, now 6 + 1), 1 and 3 (of row 1, now 6 + 0) in their own order; no others.
    assert found.vowels == ("a", "i", "a", "e", "a", "i")
    assert found.utterance.tolist() == [0, 0, 5, 7, 6, 6]
    assert found.utterance.dtype == torch.int64
    assert found.features[3:].flatten().tolist() == [0, 1, 2, 3, 6, 7]
    assert len(found) == len(found.features) == 6


def test_vowel_segments_of_the_source_stay_where_the_target_has_none() -> None:
    task = replace(stub_task(4, vowels=True), target_vowels=None)
    assert with_pseudo_labels(task, np.array([1]), ["anger"]).source_vowels is task.source_vowels


def test_self_training_works_on_features_of_any_shape_and_with_vowels() -> None:
    task = stub_task(6, vowels=True)
    planes = replace(
        task,
        source=replace(task.source, features=torch.zeros(6, 3, 4, 5)),
        target=replace(task.target, features=torch.ones(6, 3, 4, 5)),
    )
    stub = Stub(FIRST)
    self_train(stub, planes, 0, SelfTrainingConfig(rounds=1), no_progress)
    assert stub.tasks[1].source.features.shape == (9, 3, 4, 5)
    vowels = stub.tasks[1].source_vowels
    assert vowels is not None
    assert vowels.utterance.tolist() == [0, 0, 5, 8, 6, 6, 7]  # of rows 3, 1, 1, 2; that of row 0 is left


@pytest.mark.parametrize("answer", [np.full((6, 2), 0.5), np.full((6, 3), np.nan), np.full((5, 3), 1 / 3)])
def test_probabilities_that_are_none_are_refused(answer: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"finite, of shape \(6, 3\), got \([56], [23]\)"):
        self_train(Stub(answer), stub_task(6), 0, SelfTrainingConfig(), no_progress)


def test_rows_without_order_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rows must ascend, one per label, got \[2, 1\] for 2 labels"):
        with_pseudo_labels(stub_task(4), np.array([2, 1]), ["anger", "anger"])


@pytest.fixture
def shifted() -> tuple[Task, LabelledFeatures]:
    """Three clusters on a circle of radius 3, the target's turned by 50 degrees.

    The source's borders lie 60 degrees from its clusters, so the target's are 10 degrees off them: 0.52, or
    0.74 of the noise's 0.7. The share that stays on the right side is the normal distribution's at 0.74,
    77 %. Borders between the target's own clusters would be 2.6 away: 99.99 %. The test set is a second draw.
    """
    rng = np.random.default_rng(0)

    def draw(rows: int, turn: float) -> tuple[Tensor, list[str]]:
        number = np.arange(rows) % 3
        angle = np.deg2rad(120 * number + turn)
        points = 3 * np.column_stack([np.cos(angle), np.sin(angle)]) + 0.7 * rng.standard_normal((rows, 2))
        return torch.tensor(points, dtype=torch.float32)[:, None, :], [CLASSES[which] for which in number]

    source, validation = labelled("german", *draw(60, 0)), labelled("german", *draw(60, 0))
    target = UnlabelledFeatures(tuple(f"english/{row}" for row in range(900)), draw(900, 50)[0])
    return Task(source, validation, target, CLASSES), labelled("english-test", *draw(600, 50))


def probe(task: Task, seed: int, progress: Progress) -> Learned:
    return learn_probe(task, ProbeConfig(inverse_penalties=(0.1,)), seed, progress)


def recall(learned: Learned, test: LabelledFeatures) -> float:
    truth = [CLASSES.index(emotion) for emotion in test.emotions]
    return float(balanced_accuracy_score(truth, learned.probabilities(test.features).argmax(axis=1)))


def test_self_training_follows_clusters_that_the_source_alone_cuts_through(
    shifted: tuple[Task, LabelledFeatures],
) -> None:
    task, test = shifted
    alone = recall(probe(task, 0, no_progress), test)
    assert 0.7 < alone < 0.8  # 0.77 but for the probe's own sampling noise
    learned = self_train(probe, task, 0, SelfTrainingConfig(), no_progress)
    assert recall(learned, test) > 0.95
    assert [entry["round"] for entry in learned.details["self_training"]] == [1, 2, 3]


def test_self_training_agrees_with_a_loop_of_scikit_learn(shifted: tuple[Task, LabelledFeatures]) -> None:
    """Written apart: the three rounds in plain numpy and scikit-learn."""
    task, test = shifted
    source, target = task.source.features.flatten(1).numpy(), task.target.features.flatten(1).numpy()
    truth = np.array([CLASSES.index(emotion) for emotion in task.source.emotions])

    def train(x: np.ndarray, y: np.ndarray) -> LogisticRegression:
        return LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000).fit(x.astype(float), y)

    model = train(source, truth)
    for _ in range(3):
        probabilities = model.predict_proba(target.astype(float))
        rows = []
        for number in range(3):
            ranked = sorted(
                (row for row in range(900) if probabilities[row].argmax() == number),
                key=lambda row: -probabilities[row].max(),
            )
            rows += ranked[: len(ranked) // 2]
        guess = probabilities[rows].argmax(axis=1)
        model = train(np.vstack([source, target[rows]]), np.concatenate([truth, guess]))
    found = self_train(probe, task, 0, SelfTrainingConfig(), no_progress).probabilities(test.features)
    expected = model.predict_proba(test.features.flatten(1).numpy().astype(float))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_self_training_is_the_same_every_time(shifted: tuple[Task, LabelledFeatures]) -> None:
    task, test = shifted
    one, other = (self_train(probe, task, 0, SelfTrainingConfig(), no_progress) for _ in range(2))
    assert one.details == other.details
    assert one.probabilities(test.features).tobytes() == other.probabilities(test.features).tobytes()


def test_no_label_of_the_target_reaches_the_method(
    shifted: tuple[Task, LabelledFeatures],
) -> None:
    """The labels that are learnt are those that the method of the round before gave."""
    task, _ = shifted
    given: list[Task] = []

    def spy(current: Task, seed: int, progress: Progress) -> Learned:
        given.append(current)
        return probe(current, seed, progress)

    self_train(spy, task, 0, SelfTrainingConfig(rounds=2), no_progress)
    size = len(task.source)
    for before, current in itertools.pairwise(given):
        guess = probe(before, 0, no_progress).probabilities(task.target.features).argmax(axis=1)
        place = {key: row for row, key in enumerate(task.target.keys)}
        rows = [place[key] for key in current.source.keys[size:]]
        assert current.source.emotions[size:] == tuple(CLASSES[guess[row]] for row in rows)
        assert torch.equal(current.source.features[size:], task.target.features[rows])


def test_the_defaults_are_three_rounds_of_the_most_confident_half_and_of_no_paper() -> None:
    settings = resolve_settings(SelfTrainingConfig)
    assert (settings.config.rounds, settings.config.share, settings.config.section) == (
        3,
        0.5,
        "train.self-train",
    )
    assert set(settings.origins.values()) == {"default (not in source)"}

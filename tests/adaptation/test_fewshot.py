from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.metrics import recall_score
from sklearn.neighbors import NearestCentroid

from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures
from layersim.adaptation.fewshot import FewshotConfig, PrototypeNetwork, learn_fewshot
from layersim.adaptation.task import Learned, Task, guesses
from layersim.errors import LayersimError
from layersim.settings import resolve_settings

CLASSES = ("anger", "happiness", "neutral", "sadness")
QUICK = {"epochs": 3, "episodes": 4, "projection": 8, "embedding": 6, "learning_rate": 0.01}


def part(name: str, features: np.ndarray, number: np.ndarray) -> LabelledFeatures:
    return LabelledFeatures(
        tuple(f"{name}/{row}" for row in range(len(number))),
        torch.tensor(features, dtype=torch.float32),
        tuple(CLASSES[which] for which in number),
        ("s",) * len(number),
    )


def unlabelled(labelled: LabelledFeatures) -> UnlabelledFeatures:
    return UnlabelledFeatures(labelled.keys, labelled.features)


def draw(rows: int, seed: int) -> LabelledFeatures:
    """Two layers; emotions are directions in the second."""
    rng, number = np.random.default_rng(seed), np.arange(rows) % 4
    features = rng.standard_normal((rows, 2, 5))
    features[:, 1] += 2.5 * np.random.default_rng(9).standard_normal((4, 5))[number]
    return part(f"c{seed}", features, number)


def draw_with_false_friend(rows: int, seed: int, friend: bool) -> LabelledFeatures:
    """Six dimensions carry emotion everywhere, two more in the source alone: there the target has loud noise.

    What the corpora share suffices. Nothing but the covariance says which dimensions that is.
    """
    rng, number = np.random.default_rng(seed), np.arange(rows) % 4
    features = rng.standard_normal((rows, 1, 8))
    features[:, 0, :6] += 3 * np.random.default_rng(99).standard_normal((4, 6))[number]
    if friend:
        corners = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
        features[:, 0, 6:] = 0.3 * features[:, 0, 6:] + 8 / 3 * corners[number]
    else:
        features[:, 0, 6:] *= 8
    return part(f"f{seed}", features, number)


@pytest.fixture
def task() -> Task:
    return Task(draw(80, 1), draw(40, 2), unlabelled(draw(60, 3)), CLASSES)


def score(learned: Learned, test: LabelledFeatures) -> float:
    guess = guesses(learned.probabilities(test.features), CLASSES)
    return float(recall_score(test.emotions, guess, average="macro"))


def weights(learned: Learned) -> dict[str, bytes]:
    assert learned.network is not None
    return {name: value.numpy().tobytes() for name, value in learned.network.state_dict().items()}


@pytest.mark.parametrize("extra", [{}, {"distance": "cosine", "temperature": 0.1}, {"refinement": True}])
def test_a_new_corpus_with_the_same_emotions_is_learnt(task: Task, extra: dict[str, Any]) -> None:
    config = FewshotConfig(**{**QUICK, "epochs": 10, "episodes": 10, **extra})
    assert score(learn_fewshot(task, config, 0), draw(200, 4)) > 0.9


def test_emotions_that_no_feature_carries_stay_at_chance(task: Task) -> None:
    shuffled = np.random.default_rng(0).permutation(task.source.emotions)
    blind = replace(task, source=replace(task.source, emotions=tuple(str(name) for name in shuffled)))
    assert score(learn_fewshot(blind, FewshotConfig(**QUICK), 0), draw(200, 4)) < 0.5


def test_adaptation_finds_the_dimensions_that_both_corpora_share() -> None:
    plain, adapted = [], []
    for seed in (0, 1):
        task = Task(
            draw_with_false_friend(160, 10 * seed + 1, True),
            draw_with_false_friend(80, 10 * seed + 2, True),
            unlabelled(draw_with_false_friend(160, 10 * seed + 3, False)),
            CLASSES,
        )
        test = draw_with_false_friend(400, 10 * seed + 4, False)
        for scores, gamma in ((plain, 0.0), (adapted, 1.0)):
            config = FewshotConfig(
                epochs=12, episodes=10, projection=16, embedding=8, learning_rate=0.005, dropout=0.1,
                gamma=gamma,
            )  # fmt: skip
            learned = learn_fewshot(task, config, seed)
            scores.append(score(learned, test))
            assert score(learned, task.validation) > 0.95  # the source is learnt either way
    assert max(plain) < 0.6
    assert min(adapted) > 0.7


@pytest.mark.parametrize("rows", [60, 7])
def test_without_weight_another_target_changes_no_byte(task: Task, rows: int) -> None:
    """Nor one with fewer rows than an episode: the target draws from a stream of its own."""
    other = replace(
        task, target=UnlabelledFeatures(task.target.keys[:rows], 50 + 9 * task.target.features[:rows])
    )
    config = FewshotConfig(**QUICK, gamma=0.0)
    one, two = learn_fewshot(task, config, 0), learn_fewshot(other, config, 0)
    assert weights(one) == weights(two)
    assert one.best_epoch == two.best_epoch
    assert one.curves is not None
    assert two.curves is not None
    assert (one.curves["coral"] != two.curves["coral"]).all()  # measured all the same
    assert (one.curves["gamma_coral"] == 0).all()
    adapting = FewshotConfig(**QUICK, gamma=0.1)
    assert weights(learn_fewshot(task, adapting, 0)) != weights(learn_fewshot(other, adapting, 0))


def test_the_same_seed_gives_the_same_bytes_and_leaves_the_callers_random_numbers(task: Task) -> None:
    config = FewshotConfig(**QUICK, refinement=True)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    one = learn_fewshot(task, config, 5)
    assert torch.equal(torch.rand(2), expected)
    torch.rand(100)
    two, three = learn_fewshot(task, config, 5), learn_fewshot(task, config, 6)
    assert weights(one) == weights(two) != weights(three)
    assert one.curves is not None
    assert one.curves.equals(two.curves)
    assert one.details == two.details


def test_prototypes_are_the_class_means_of_all_source_embeddings(task: Task) -> None:
    """Against scikit-learn's nearest centroid on the embeddings; the prototypes are the best epoch's."""
    learned = learn_fewshot(task, FewshotConfig(**{**QUICK, "epochs": 6, "temperature": 2.0}), 0)
    network = learned.network
    assert isinstance(network, PrototypeNetwork)
    assert not network.training
    with torch.no_grad():
        source, target = (network.embed(side.features).numpy() for side in (task.source, task.target))
    numbers = [CLASSES.index(name) for name in task.source.emotions]
    model = NearestCentroid().fit(source, numbers)
    np.testing.assert_allclose(network.prototypes.numpy(), model.centroids_, atol=1e-5)
    found = learned.probabilities(task.target.features)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=1), 1)
    apart = np.exp(-cdist(target, model.centroids_, "sqeuclidean") / 2.0)
    np.testing.assert_allclose(found, apart / apart.sum(axis=1, keepdims=True), atol=1e-4)


def test_refinement_moves_the_prototypes_to_the_target_and_says_by_how_much(task: Task) -> None:
    moved = replace(task, target=replace(task.target, features=task.target.features + 1.5))
    config = FewshotConfig(**QUICK, gamma=0.0)
    plain = learn_fewshot(moved, config, 0)
    refined = learn_fewshot(moved, config.model_copy(update={"refinement": True}), 0)
    assert isinstance(plain.network, PrototypeNetwork)
    assert isinstance(refined.network, PrototypeNetwork)
    assert weights(plain).keys() == weights(refined).keys()
    changed = {name for name, value in weights(plain).items() if weights(refined)[name] != value}
    assert changed == {"prototypes"}
    with torch.no_grad():
        source, target = (plain.network.embed(side.features) for side in (moved.source, moved.target))
    soft = plain.probabilities(moved.target.features)
    numbers = np.array([CLASSES.index(name) for name in moved.source.emotions])
    for which, name in enumerate(CLASSES):  # written out as a weighted mean over both corpora
        weight = np.concatenate([numbers == which, soft[:, which]])
        expected = np.average(np.concatenate([source.numpy(), target.numpy()]), axis=0, weights=weight)
        np.testing.assert_allclose(refined.network.prototypes[which].numpy(), expected, atol=1e-4)
        share = refined.details["target_share"][name]
        assert share == pytest.approx(soft[:, which].sum(), abs=1e-3)
    assert "target_share" not in plain.details


def test_the_kept_epoch_is_the_sources_best(task: Task) -> None:
    learned = learn_fewshot(task, FewshotConfig(**{**QUICK, "epochs": 8, "patience": 8}), 0)
    assert learned.curves is not None
    assert learned.curves.columns.tolist() == [
        "epoch",
        "episode_loss",
        "coral",
        "gamma_coral",
        "coral_floor",
        "source_validation_cross_entropy",
        "source_validation_uar",
    ]
    order = learned.curves.sort_values(
        ["source_validation_uar", "source_validation_cross_entropy"], ascending=[False, True]
    )
    assert learned.best_epoch == order["epoch"].iloc[0]
    assert score(learned, task.validation) == pytest.approx(order["source_validation_uar"].iloc[0])
    np.testing.assert_allclose(learned.curves["gamma_coral"], 0.1 * learned.curves["coral"])
    assert (learned.curves["coral_floor"] > 0).all()


@pytest.mark.parametrize(
    ("sizes", "shots", "queries", "drawn"),
    [
        ((20, 20, 20, 20), 5, 5, (5, 5)),
        ((20, 20, 20, 10), 5, 5, (5, 5)),
        ((20, 20, 20, 7), 5, 5, (3, 4)),  # 7 * 5 // 10 = 3 for support
        ((20, 20, 20, 8), 1, 15, (1, 7)),  # never none for support
        ((20, 20, 20, 4), 15, 1, (3, 1)),  # nor for query
        ((20, 20, 20, 2), 5, 5, (1, 1)),
    ],
)
def test_an_episode_shrinks_to_the_rarest_class(
    task: Task, sizes: tuple[int, ...], shots: int, queries: int, drawn: tuple[int, int]
) -> None:
    rows = np.concatenate([np.arange(number, 80, 4)[:size] for number, size in enumerate(sizes)])
    few = LabelledFeatures(
        tuple(task.source.keys[row] for row in rows),
        task.source.features[rows],
        tuple(task.source.emotions[row] for row in rows),
        ("s",) * len(rows),
    )
    config = FewshotConfig(**{**QUICK, "epochs": 1, "shots": shots, "queries": queries})
    episode = learn_fewshot(replace(task, source=few), config, 0).details["episode"]
    assert episode == {"ways": 4, "shots": drawn[0], "queries": drawn[1]}


def test_a_class_with_one_source_utterance_is_refused(task: Task) -> None:
    emotions = ("anger", *(name if name != "anger" else "neutral" for name in task.source.emotions[1:]))
    with pytest.raises(LayersimError, match="has 1 train utterance of anger; an episode needs 2"):
        learn_fewshot(replace(task, source=replace(task.source, emotions=emotions)), FewshotConfig(), 0)


def test_more_ways_than_classes_are_refused_and_fewer_are_learnt(task: Task) -> None:
    with pytest.raises(LayersimError, match=r"\[train.fewshot\]: ways is 5, and there are 4 classes \(anger"):
        learn_fewshot(task, FewshotConfig(ways=5), 0)
    learned = learn_fewshot(task, FewshotConfig(**{**QUICK, "epochs": 10, "episodes": 10, "ways": 2}), 0)
    assert learned.details["episode"]["ways"] == 2
    assert score(learned, draw(200, 4)) > 0.9


def test_features_without_layers_are_refused(task: Task) -> None:
    flat = replace(task, source=replace(task.source, features=task.source.features.flatten(1)))
    with pytest.raises(ValueError, match=r"shape \(N, K, 2D\), got \(80, 10\)"):
        learn_fewshot(flat, FewshotConfig(), 0)


def test_a_loss_that_is_not_finite_names_the_settings(task: Task) -> None:
    endless = replace(task, source=replace(task.source, features=task.source.features * 1e30))
    with pytest.raises(LayersimError, match=r"stopped in epoch 1: the loss is .*table \[train.fewshot\]"):
        learn_fewshot(endless, FewshotConfig(**QUICK), 0)


def test_no_number_is_said_to_be_the_papers() -> None:
    assert FewshotConfig.presets == {"paper": {}}
    assert set(resolve_settings(FewshotConfig).origins.values()) == {"default (not in source)"}

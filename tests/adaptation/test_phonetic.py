"""Phonetic anchoring on two made languages, in which what the vowels tell is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch

from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures, VowelSegments
from layersim.adaptation.phonetic import PHONETIC_ANCHORING, PhoneticConfig, learn_phonetic
from layersim.adaptation.phonetic_network import PhoneticClassifier
from layersim.adaptation.settings import LAYER_ANCHORING
from layersim.adaptation.task import Learned, Task, guesses
from layersim.errors import LayersimError
from layersim.metrics import uar
from layersim.settings import resolve_settings

CLASSES = ("anger", "happiness", "neutral", "sadness")
VOWELS = ("a", "e", "i", "o")
CORNERS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)  # of a tetrahedron
TURN = np.linalg.pinv(CORNERS) @ np.roll(CORNERS, -1, axis=0)  # takes each corner to the next
WIDTH = 9


def speak(name: str, turned: bool, utterances: int, seed: int) -> tuple[LabelledFeatures, VowelSegments]:
    """Utterances and four segments of each.

    Three dimensions have the emotion in both languages alike, three the vowel. The last three have both
    again, more strongly, and there the target is turned: an emotion or vowel looks like the source's next
    one. No label of the target tells that, its vowels do. The standard deviations are noise.
    """
    rng = np.random.default_rng(seed)
    emotion, turn = np.arange(utterances) % 4, TURN if turned else np.eye(3)
    said = np.hstack([1.2 * CORNERS[emotion], np.zeros((utterances, 3)), 1.5 * CORNERS[emotion] @ turn])
    mean, spread = said + 0.4 * rng.standard_normal(said.shape), rng.standard_normal(said.shape)
    of, vowel = np.repeat(np.arange(utterances), 4), rng.integers(0, 4, 4 * utterances)
    spoken = np.hstack([np.zeros((len(of), 3)), 2 * CORNERS[vowel], 3 * CORNERS[vowel] @ turn])
    segments = 0.5 * said[of] + spoken + 0.4 * rng.standard_normal(spoken.shape)
    part = LabelledFeatures(
        tuple(f"{name}/u{number:03d}" for number in range(utterances)),
        torch.tensor(np.hstack([mean, spread])[:, None], dtype=torch.float32),
        tuple(CLASSES[number] for number in emotion),
        ("s",) * utterances,
    )
    vowels = VowelSegments(
        torch.tensor(segments[:, None], dtype=torch.float32),
        torch.tensor(of),
        tuple(VOWELS[number] for number in vowel),
    )
    return part, vowels


def make_task(seed: int = 0) -> tuple[Task, LabelledFeatures]:
    """The two languages, and the target's test set."""
    source, source_vowels = speak("german", False, 160, 10 * seed)
    target, target_vowels = speak("english", True, 160, 10 * seed + 1)
    validation, _ = speak("german", False, 80, 10 * seed + 2)
    test, _ = speak("english", True, 200, 10 * seed + 3)
    unlabelled = UnlabelledFeatures(target.keys, target.features)
    return Task(source, validation, unlabelled, CLASSES, source_vowels, target_vowels), test


def config_of(**changes: Any) -> PhoneticConfig:
    quick = {"epochs": 15, "patience": 15, "batch": 32, "projection": 16, "learning_rate": 0.01}
    return PhoneticConfig(**{**quick, **changes})


def score(learned: Learned, test: LabelledFeatures) -> float:
    return uar(test.emotions, guesses(learned.probabilities(test.features), CLASSES))


def weights(learned: Learned) -> dict[str, bytes]:
    assert learned.network is not None
    return {name: value.numpy().tobytes() for name, value in learned.network.state_dict().items()}


def with_more_layers(task: Task, informative: int, layers: int = 4) -> Task:
    """The task's features in one layer among layers of noise."""
    generator = torch.Generator().manual_seed(7)

    def hide(features: torch.Tensor) -> torch.Tensor:
        among = 2 * torch.randn(len(features), layers, features.shape[2], generator=generator)
        among[:, informative] = features[:, 0]
        return among

    changed = {
        name: replace(getattr(task, name), features=hide(getattr(task, name).features))
        for name in ("source", "validation", "target", "source_vowels", "target_vowels")
    }
    return replace(task, **changed)


@pytest.mark.parametrize("loss", ["triplet", "contrastive"])
def test_anchored_vowels_turn_the_classifier_to_what_the_languages_share(loss: str) -> None:
    """Wrong classes do not: with each vowel called the next one, it is the turned dimensions that fit."""
    task, test = make_task()
    target_vowels = cast("VowelSegments", task.target_vowels)
    shown_as = dict(zip(VOWELS, VOWELS[1:] + VOWELS[:1], strict=True))
    wrong = replace(target_vowels, vowels=tuple(shown_as[vowel] for vowel in target_vowels.vowels))
    asked: dict[str, Any] = {"loss": loss, "vowel_cross_entropy": False}  # the metric loss on its own
    without = learn_phonetic(task, config_of(weight=0.0, **asked), 0)
    anchored = learn_phonetic(task, config_of(**asked), 0)
    misled = learn_phonetic(replace(task, target_vowels=wrong), config_of(**asked), 0)
    assert score(without, task.validation) > 0.95
    assert score(without, test) < 0.4  # misled by what is strong in the source
    assert score(anchored, test) > score(without, test) + 0.3
    assert score(anchored, task.validation) > 0.8
    assert score(misled, test) < 0.4


def test_segments_that_learn_their_utterances_emotion_help_too() -> None:
    """They have the emotion among vowels that are strong where the emotion misleads."""
    task, test = make_task()
    without, with_segments = (
        learn_phonetic(task, config_of(weight=0.0, vowel_cross_entropy=asked), 0) for asked in (False, True)
    )
    assert score(with_segments, test) > score(without, test) + 0.3
    assert score(learn_phonetic(task, config_of(), 0), test) > score(with_segments, test) + 0.05


def test_attention_finds_the_layer_that_says_something() -> None:
    task = with_more_layers(make_task()[0], informative=2)
    learned = learn_phonetic(task, config_of(layers_use="attention"), 0)
    found = learned.details["layer_weights"]
    assert sum(found) == pytest.approx(1)
    assert int(np.argmax(found)) == 2
    assert found[2] > 0.8


def test_the_average_of_layers_stays_one_and_equals_a_layer_of_means() -> None:
    task = with_more_layers(make_task()[0], informative=1)
    learned = learn_phonetic(task, config_of(layers_use="average", epochs=3), 0)
    assert learned.details["layer_weights"] == [0.25] * 4
    averaged = {
        name: replace(getattr(task, name), features=getattr(task, name).features.mean(dim=1, keepdim=True))
        for name in ("source", "validation", "target", "source_vowels", "target_vowels")
    }
    top = learn_phonetic(replace(task, **averaged), config_of(epochs=3), 0)
    rows = task.validation.features
    np.testing.assert_allclose(
        learned.probabilities(rows), top.probabilities(rows.mean(dim=1, keepdim=True)), atol=1e-3
    )


def test_one_step_descends_the_three_losses_that_the_module_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against plain gradient descent written out, on a step that holds every row once."""

    def descend(groups: Any, lr: float, weight_decay: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=lr, weight_decay=weight_decay)

    monkeypatch.setattr(torch.optim, "AdamW", descend)
    task = with_more_layers(make_task()[0], informative=0, layers=2)
    rows = {"source": _two_of_each(task.source_vowels), "target": _two_of_each(task.target_vowels)}
    task = replace(
        task,
        source_vowels=_only(task.source_vowels, rows["source"]),
        target_vowels=_only(task.target_vowels, rows["target"]),
    )
    asked: dict[str, Any] = {
        "layers_use": "attention", "epochs": 1, "batch": 160, "dropout": 0.0, "class_weights": "none",
        "weight": 0.7, "minimum_segments": 2, "segments_per_vowel": 2, "loss": "contrastive",
        "attention_rate": 3.0, "weight_decay": 0.0, "temperature": 0.5,
    }  # fmt: skip
    start, end = (
        cast("PhoneticClassifier", learn_phonetic(task, config_of(learning_rate=rate, **asked), 3).network)
        for rate in (1e-30, 0.1)
    )
    source, target = cast("VowelSegments", task.source_vowels), cast("VowelSegments", task.target_vowels)
    truth = torch.tensor([CLASSES.index(emotion) for emotion in task.source.emotions])

    def mix(features: torch.Tensor) -> torch.Tensor:
        first, second = torch.exp(start.layer_logits) / torch.exp(start.layer_logits).sum()
        return first * features[:, 0] + second * features[:, 1]

    def embed(mean: torch.Tensor) -> torch.Tensor:
        return mean @ start.mean_projection.weight.T + start.mean_projection.bias

    def entropy(embedding: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        logits = embedding.clamp(min=0) @ start.classifier.weight.T + start.classifier.bias
        return -torch.log_softmax(logits, 1)[torch.arange(len(classes)), classes].mean()

    mixed = mix(task.source.features)
    utterances = embed(mixed[:, :WIDTH]) + mixed[:, WIDTH:] @ start.spread_projection.weight.T
    one, other = embed(mix(source.features)), embed(mix(target.features))
    cosines = (one / one.norm(dim=1, keepdim=True)) @ (other / other.norm(dim=1, keepdim=True)).T / 0.5
    same = torch.tensor([[a == b for b in target.vowels] for a in source.vowels])
    metric = -(torch.log_softmax(cosines, 1)[same].mean() + torch.log_softmax(cosines, 0)[same].mean()) / 2
    loss = entropy(utterances, truth) + entropy(one, truth[source.utterance]) + 0.7 * metric
    start.zero_grad()
    loss.backward()
    for name, before in start.named_parameters():
        assert before.grad is not None
        rate = 0.3 if name == "layer_logits" else 0.1
        after = dict(end.named_parameters())[name]
        torch.testing.assert_close(after, before.detach() - rate * before.grad, rtol=1e-4, atol=1e-6)
        assert not torch.equal(after, before)


def _two_of_each(vowels: VowelSegments | None) -> list[int]:
    assert vowels is not None
    return [row for vowel in VOWELS for row in [r for r, v in enumerate(vowels.vowels) if v == vowel][:2]]


def _only(vowels: VowelSegments | None, rows: list[int]) -> VowelSegments:
    assert vowels is not None
    return VowelSegments(
        vowels.features[rows], vowels.utterance[rows], tuple(vowels.vowels[row] for row in rows)
    )


def test_with_weight_0_the_target_bears_on_nothing_but_is_measured() -> None:
    task, _ = make_task()
    assert task.target_vowels is not None
    config = config_of(weight=0.0, epochs=3)
    far = replace(task.target_vowels, features=torch.flip(task.target_vowels.features, [2]))
    first, other = (
        learn_phonetic(task, config, 0),
        learn_phonetic(replace(task, target_vowels=far), config, 0),
    )
    assert weights(first) == weights(other)
    assert first.curves is not None
    assert other.curves is not None
    assert first.curves["metric_loss"].tolist() != other.curves["metric_loss"].tolist()
    assert first.curves["weighted_metric_loss"].tolist() == [0, 0, 0]


def test_the_targets_utterances_are_not_read_its_vowels_are() -> None:
    task, _ = make_task()
    config = config_of(epochs=2)
    elsewhere = replace(task.target, features=task.target.features + 100)
    assert weights(learn_phonetic(task, config, 0)) == weights(
        learn_phonetic(replace(task, target=elsewhere), config, 0)
    )


def test_the_same_seed_gives_the_same_bytes_and_leaves_the_callers_random_numbers() -> None:
    task, test = make_task()
    config = config_of(epochs=3)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first = learn_phonetic(task, config, 5)
    assert torch.equal(torch.rand(1), expected)
    torch.manual_seed(2)
    again = learn_phonetic(task, config, 5)
    assert weights(first) == weights(again)
    assert first.probabilities(test.features).tobytes() == again.probabilities(test.features).tobytes()
    assert weights(first) != weights(learn_phonetic(task, config, 6))


def test_curves_and_details_say_how_it_went() -> None:
    task, test = make_task()
    shown: list[tuple[str, float, float]] = []
    config = config_of(epochs=3, weight=0.5, vowel_cross_entropy=False)
    learned = learn_phonetic(task, config, 0, lambda *step: shown.append(step))
    assert learned.curves is not None
    assert learned.curves.columns.tolist() == [
        "epoch", "cross_entropy", "vowel_cross_entropy", "metric_loss", "weighted_metric_loss",
        "source_validation_cross_entropy", "source_validation_uar",
    ]  # fmt: skip
    np.testing.assert_allclose(learned.curves["weighted_metric_loss"], 0.5 * learned.curves["metric_loss"])
    assert learned.curves["vowel_cross_entropy"].isna().all()
    with_segments = learn_phonetic(task, config_of(epochs=2), 0).curves
    assert with_segments is not None
    assert with_segments["vowel_cross_entropy"].gt(0).all()
    assert shown == [("training", epoch, 3) for epoch in (1, 2, 3)]
    assert task.source_vowels is not None
    assert learned.details["anchor_vowels"]["a"]["source"] == task.source_vowels.vowels.count("a")
    assert set(learned.details["vowel_similarity"]) == set(VOWELS)
    found = learned.probabilities(test.features)
    assert found.shape == (200, 4)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_alike_anchors_fewer_vowels() -> None:
    task, _ = make_task()
    learned = learn_phonetic(task, config_of(epochs=1, anchor_vowels="alike", alike_share=0.5), 0)
    similarity = learned.details["vowel_similarity"]
    kept = sorted(sorted(VOWELS, key=lambda vowel: -similarity[vowel])[:2])
    assert list(learned.details["anchor_vowels"]) == kept


@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize(("side", "name"), [("source_vowels", "german"), ("target_vowels", "english")])
def test_a_corpus_without_vowel_segments_is_named_with_what_to_do(side: str, name: str, empty: bool) -> None:
    none = VowelSegments(torch.zeros(0, 1, WIDTH), torch.zeros(0, dtype=torch.int64), ())
    task = replace(make_task()[0], **{side: none if empty else None})
    with pytest.raises(
        LayersimError,
        match=rf"{name}: its train split has no vowel segments.*layersim align.*extract --force",
    ):
        learn_phonetic(task, config_of(), 0)


def test_vowels_too_rare_on_one_side_are_an_error_that_names_the_corpora() -> None:
    task, _ = make_task()
    assert task.target_vowels is not None
    few = _only(task.target_vowels, _two_of_each(task.target_vowels))
    with pytest.raises(LayersimError, match=r"german and english: .* 0 have\. .*a \d+/2, e \d+/2"):
        learn_phonetic(replace(task, target_vowels=few), config_of(), 0)


def test_a_loss_that_explodes_names_the_settings() -> None:
    task, _ = make_task()
    with pytest.raises(LayersimError, match=r"the loss is (nan|inf).*table \[train\.pa\]"):
        learn_phonetic(task, config_of(learning_rate=1e30), 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda task: with_more_layers(task, 0, 3), "layers_use 'top' takes one layer, got 3"),
        (
            lambda task: _with_vowels(task, features=torch.zeros(640, 1, 5)),
            r"\(640, 1, 9\), got \(640, 1, 5\)",
        ),
        (
            lambda task: _with_vowels(task, utterance=torch.full((640,), 160)),
            "name utterances 160 to 160, the part has 160",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_the_callers_mistake(change: Callable[[Task], Task], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        learn_phonetic(change(make_task()[0]), config_of(), 0)


def _with_vowels(task: Task, **changes: Any) -> Task:
    assert task.target_vowels is not None
    return replace(task, target_vowels=replace(task.target_vowels, **changes))


def test_settings_say_what_a_source_states_and_what_it_does_not() -> None:
    """PAPERS.md: PA is in the top-layer group; its vowels behave alike under emotion; no constants."""
    origins = resolve_settings(PhoneticConfig).origins
    assert origins.pop("layers_use") == f"paper: {LAYER_ANCHORING}"
    assert set(origins.values()) == {"default (not in source)"}
    assert PhoneticConfig.presets == {"paper": {}}
    assert (PhoneticConfig.section, PhoneticConfig.paper) == ("train.pa", PHONETIC_ANCHORING)

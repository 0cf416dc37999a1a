from __future__ import annotations

import numpy as np
import pytest

from layersim.alignment.aligned import Word
from layersim.alignment.builtin.acoustic_model import SILENCE, STATES, UNNAMED, AcousticModel, Span

SOUNDS = {SILENCE: (0.0, 0.0, 0.0), "a": (6.0, 0.0, 0.0), "b": (0.0, 6.0, 0.0), "c": (0.0, 0.0, 6.0)}
AB = Word("ab", (("a", "b"),))
C = Word("c", (("c",),))


def utterance(*parts: tuple[str, int], seed: int = 0) -> tuple[np.ndarray, list[Span]]:
    """Frames of planted sounds, a unit of noise around each sound's own place, and where each is."""
    rng = np.random.default_rng(seed)
    frames = np.concatenate(
        [rng.normal(SOUNDS[label], 1.0, size=(length, 3)) for label, length in parts]
    ).astype(np.float32)
    edges = np.cumsum([0, *(length for _, length in parts)]).tolist()
    spans = [
        Span(first, stop, label, False)
        for (label, _), first, stop in zip(parts, edges[:-1], edges[1:], strict=True)
    ]
    return frames, spans


@pytest.fixture(scope="module")
def model() -> AcousticModel:
    trained = AcousticModel("abc", columns=3)
    examples = [
        utterance((SILENCE, 20), ("a", 20), ("b", 20), ("c", 20), (SILENCE, 20), seed=n) for n in range(5)
    ]
    trained.start(examples, {UNNAMED: ["a", "b", "c"]})
    return trained


def shown(path, quiet=True):
    return [(span.label, span.first, span.stop) for span in path.spans if span.label != SILENCE or not quiet]


def test_planted_phones_are_found_where_they_are(model):
    frames, _ = utterance((SILENCE, 11), ("a", 13), ("b", 17), (SILENCE, 9), ("c", 25), (SILENCE, 12), seed=9)
    path = model.align([AB, C], frames)
    assert shown(path) == [("a", 11, 24), ("b", 24, 41), ("c", 50, 75)]


def test_spans_cover_all_frames_and_say_where_words_begin(model):
    frames, _ = utterance(("a", 10), ("b", 10), (SILENCE, 10), ("c", 10), ("a", 10), ("b", 10), seed=3)
    path = model.align([AB, C, AB], frames)
    assert [span.first for span in path.spans] == [0, *(span.stop for span in path.spans[:-1])]
    assert path.spans[-1].stop == len(frames) == len(path.transitions)
    spoken = [(span.label, span.begins_word) for span in path.spans if span.label != SILENCE]
    assert spoken == [("a", True), ("b", False), ("c", True), ("a", True), ("b", False)]


def test_no_silence_is_put_where_there_is_none(model):
    frames, _ = utterance(("a", 10), ("b", 10), ("c", 10), seed=4)
    assert shown(model.align([AB, C], frames), quiet=False) == [("a", 0, 10), ("b", 10, 20), ("c", 20, 30)]


def test_the_pronunciation_that_was_said_is_taken(model):
    word = Word("ab", (("a", "b"), ("a", "c"), ("b",)))
    for said in word.pronunciations:
        frames, _ = utterance((SILENCE, 8), *((label, 12) for label in said), (SILENCE, 8), seed=5)
        assert [label for label, _, _ in shown(model.align([word], frames))] == list(said)


def test_a_word_that_nobody_knows_is_one_unnamed_phone_and_its_neighbours_stay(model):
    frames, _ = utterance(("a", 15), ("b", 15), ("c", 15), ("b", 15), ("c", 20), seed=6)
    path = model.align([AB, Word("?", ()), C], frames)
    assert [label for label, _, _ in shown(path)] == ["a", "b", UNNAMED, "c"]
    assert shown(path)[0] == ("a", 0, 15)


def test_an_utterance_with_fewer_frames_than_states_has_no_path(model):
    frames, _ = utterance(("a", 5), ("b", 4))
    assert model.fewest_frames([AB]) == 2 * STATES
    assert model.align([AB], frames) is None
    assert model.align([AB], utterance(("a", 5), ("b", 5))[0]) is not None


def test_the_shortest_pronunciation_decides_what_is_too_short(model):
    assert model.fewest_frames([Word("x", (("a", "b"), ("c",))), Word("?", ())]) == 2 * STATES


def test_learning_raises_the_likelihood_of_what_was_heard(model):
    other = AcousticModel("abc", columns=3)
    other.load(model.to_arrays())
    heard = [utterance(("a", 14), ("b", 9), (SILENCE, 7), ("c", 11), seed=n)[0] + 0.7 for n in range(20)]
    before = [other.align([AB, C], frames) for frames in heard]
    other.learn(zip(heard, before, strict=True), other.gaussians)
    after = [other.align([AB, C], frames) for frames in heard]
    assert (
        np.mean([path.log_likelihood for path in after]) > np.mean([p.log_likelihood for p in before]) + 0.1
    )


def test_one_gaussian_learns_the_mean_of_its_frames(model):
    other = AcousticModel("abc", columns=3)
    other.load(model.to_arrays())
    heard = [utterance(("c", 30), seed=n)[0] + 1.5 for n in range(10)]
    paths = [other.align([C], frames) for frames in heard]
    other.learn(zip(heard, paths, strict=True), other.gaussians)
    states = [np.concatenate([f[p.transitions == t] for f, p in zip(heard, paths, strict=True)])
              for t in np.unique(np.concatenate([p.transitions for p in paths]))]  # fmt: skip
    own = np.concatenate([part for part in states if len(part)]).mean(axis=0)
    means = other.to_arrays()["means"]
    moved = np.flatnonzero(np.abs(means - model.to_arrays()["means"]).max(axis=1) > 1e-6)
    assert means[moved].mean(axis=0) == pytest.approx(own, abs=0.2)


def test_gaussians_grow_to_the_number_asked_for_and_alike_each_time(model):
    grown = []
    for _ in range(2):
        other = AcousticModel("abc", columns=3)
        other.load(model.to_arrays())
        heard = [utterance(("a", 40), ("b", 40), ("c", 40), seed=n)[0] for n in range(20)]
        paths = [other.align([AB, C], frames) for frames in heard]
        other.learn(zip(heard, paths, strict=True), other.states + 9)
        assert other.gaussians == other.states + 9
        assert other.align([AB, C], heard[0]) is not None
        grown.append(other.to_arrays())
    assert all(np.array_equal(grown[0][name], grown[1][name]) for name in grown[0])


def test_a_state_with_few_frames_is_not_split(model):
    other = AcousticModel("abc", columns=3)
    other.load(model.to_arrays())
    frames = utterance(("a", 6), ("b", 6), ("c", 6))[0]
    other.learn([(frames, other.align([AB, C], frames))], 10_000)
    assert other.gaussians == other.states


def test_a_loaded_model_aligns_as_the_one_that_was_saved(model):
    trained = AcousticModel("abc", columns=3)
    trained.load(model.to_arrays())
    heard = [utterance(("a", 40), ("b", 20), ("c", 30), seed=n)[0] for n in range(20)]
    trained.learn(((f, trained.align([AB, C], f)) for f in heard), trained.states + 5)
    copy = AcousticModel("cba", columns=3)  # the order in which labels come does not matter
    copy.load(trained.to_arrays())
    frames = utterance((SILENCE, 30), ("a", 10), ("b", 30), ("c", 9), seed=77)[0]
    one, other = trained.align([AB, C], frames), copy.align([AB, C], frames)
    assert one.spans == other.spans
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-5)


def test_a_phone_that_was_not_heard_begins_as_its_stand_in():
    model = AcousticModel("abcd", columns=3)
    examples = [utterance(("a", 20), ("b", 20), ("c", 20), (SILENCE, 10), seed=n) for n in range(5)]
    model.start(examples, {"d": ["c"], UNNAMED: ["a"]})
    frames, _ = utterance(("a", 15), ("c", 20), seed=50)
    assert shown(model.align([Word("ad", (("a", "d"),))], frames)) == [("a", 0, 15), ("d", 15, 35)]

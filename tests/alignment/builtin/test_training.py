from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from layersim.alignment.aligned import Recording, Word
from layersim.alignment.builtin import training
from layersim.alignment.builtin.acoustic_model import SILENCE, UNNAMED, AcousticModel, Span
from layersim.alignment.builtin.training import (
    ROUNDS,
    Heard,
    by_speaker,
    hear,
    new_model,
    stand_ins,
    start_model,
    train_rounds,
    training_set,
    voice_of,
    with_own_silence,
)
from layersim.alignment.phone_set import load_phone_set
from layersim.errors import LayersimError

IPA = load_phone_set("mfa-ipa")
TAS = Word("tas", (("t", "a", "s"),))
SOUNDS = {SILENCE: (0.0, 0.0, 0.0), "t": (9.0, 0.0, 0.0), "a": (0.0, 9.0, 0.0), "s": (0.0, 0.0, 9.0)}


def recording(name: str, speaker: str = "s", path: Path = Path("none.wav"), words=(TAS,)) -> Recording:
    return Recording(name, speaker, path, None, None, " ".join(word.text for word in words), tuple(words))


def planted(*parts: tuple[str, int], seed: int = 0, words=(TAS,), name: str = "planted") -> Heard:
    """A recording in which each sound is a unit of noise around a place of its own, and silence is quiet."""
    rng = np.random.default_rng(seed)
    frames = np.concatenate([rng.normal(SOUNDS[label], 1.0, size=(length, 3)) for label, length in parts])
    energy = np.concatenate([np.full(length, 1.0 if label == SILENCE else 15.0) for label, length in parts])
    nothing = np.zeros((0, 3), dtype=np.float32)
    return Heard(
        recording(name, words=words), frames.astype(np.float32), energy.astype(np.float32), (nothing, nothing)
    )


def test_a_phone_that_was_not_heard_is_stood_in_for_by_its_class_then_its_kind_then_all():
    known = ["iː", "a", "t", "s", SILENCE, UNNAMED]
    found = stand_ins(["i", "u", "k", "?!"], known, load_phone_set("espeak-ipa"))
    assert found == {"i": ["iː"], "u": ["a", "iː"], "k": ["s", "t"], "?!": ["a", "iː", "s", "t"]}


def test_recordings_are_grouped_by_speaker_in_the_order_of_names():
    given = [recording("1", "b"), recording("2", "a"), recording("3", "b")]
    groups = by_speaker(given)
    assert list(groups) == ["a", "b"]
    assert [one.utterance_id for one in groups["b"]] == ["1", "3"]


@pytest.fixture
def corpus(tmp_path, write_tone) -> list[Recording]:
    """Six recordings of speaker a, two of b, one of c, of a second each."""
    found = []
    for speaker, count in (("a", 6), ("b", 2), ("c", 1)):
        for number in range(count):
            name = f"{speaker}{number}"
            found.append(recording(name, speaker, write_tone(tmp_path / f"{name}.wav", 1.0, seed=len(found))))
    return found


def speakers(heard) -> Counter[str]:
    return Counter(one.recording.speaker for one in heard)


def test_training_takes_all_recordings_where_there_is_less_than_an_hour(corpus):
    heard = training_set(corpus, seed=0)
    assert {one.recording.utterance_id for one in heard} == {one.utterance_id for one in corpus}


def test_training_is_on_all_speakers_alike_and_stops_at_its_limit(corpus, monkeypatch):
    monkeypatch.setattr(training, "_SECONDS", 4.0)
    told = []
    heard = training_set(corpus, seed=0, progress=lambda *news: told.append(news))
    assert speakers(heard) == {"a": 2, "b": 1, "c": 1}
    assert told[-1][0] == "reading recordings"
    assert told[-1][1] == len(heard)
    assert ("measuring voices", 3, 3) in told
    monkeypatch.setattr(training, "_SECONDS", 5.5)
    assert speakers(training_set(corpus, seed=0)) == {"a": 3, "b": 2, "c": 1}


def test_the_seed_decides_which_recordings_are_taken(corpus, monkeypatch):
    monkeypatch.setattr(training, "_SECONDS", 3.0)
    chosen = [[one.recording.utterance_id for one in training_set(corpus, seed=n)] for n in (0, 0, 1, 2, 3)]
    assert chosen[0] == chosen[1]
    assert len(set(map(tuple, chosen))) > 1


def test_of_many_speakers_only_some_are_trained_on(corpus, monkeypatch):
    monkeypatch.setattr(training, "_SPEAKERS", 2)
    assert len(speakers(training_set(corpus, seed=0))) == 2


def test_recordings_that_cannot_be_read_are_not_trained_on(corpus, tmp_path):
    (tmp_path / "a0.wav").unlink()
    (tmp_path / "a1.wav").write_bytes(b"no sound")
    (tmp_path / "c0.wav").unlink()  # all that speaker c has
    assert speakers(training_set(corpus, seed=0)) == {"a": 4, "b": 2}


def test_a_recording_is_parted_from_the_silence_at_its_ends_and_normalised(tmp_path):
    import soundfile

    rng = np.random.default_rng(0)
    quiet, loud = 1e-4 * rng.standard_normal(16_000), 0.3 * rng.standard_normal(16_000)
    soundfile.write(tmp_path / "one.wav", np.concatenate([quiet, loud, quiet]), 16_000)
    one = recording("one", path=tmp_path / "one.wav")
    (heard,) = training_set([one], seed=0)
    # loud from 1 s to 2 s, with 0.2 s (40 frames) to each side; the 20 ms window hears it 2 frames too far
    assert [len(part) for part in (heard.silence[0], heard.frames, heard.silence[1])] == [158, 284, 158]
    whole = np.concatenate([heard.silence[0], heard.frames, heard.silence[1]])
    assert np.array_equal(whole, voice_of([one])(hear(one)))
    assert heard.log_energy.tolist() == hear(one)[158 : 158 + len(heard.frames), 0].tolist()
    assert np.abs(heard.frames.mean(axis=0)).max() < 1e-4


def test_a_voice_is_measured_on_forty_recordings_and_others_stand_in_for_unreadable_ones(
    tmp_path, write_tone, monkeypatch
):
    monkeypatch.setattr(training, "_OF_A_VOICE", 2)
    good = [recording(str(n), path=write_tone(tmp_path / f"{n}.wav", 0.5, seed=n)) for n in range(5)]
    evenly = voice_of([good[0], good[4]])
    assert np.array_equal(voice_of(good).mean, evenly.mean)
    gone = recording("gone", path=tmp_path / "gone.wav")
    assert np.array_equal(voice_of([gone, good[0], good[4], gone]).mean, evenly.mean)
    assert voice_of([gone, gone, gone]) is None


def test_a_new_model_has_the_phones_of_all_pronunciations():
    words = (Word("x", (("t", "a"), ("s",))), Word("?", ()))
    assert new_model([recording("1", words=words), recording("2")]).labels == (
        SILENCE, UNNAMED, "a", "s", "t",
    )  # fmt: skip


def silent(length: int, speech: int) -> Heard:
    frames = np.zeros((speech, 3), dtype=np.float32)
    quiet = np.full((length, 3), 7.0, dtype=np.float32)
    return Heard(recording("quiet"), frames, frames[:, 0], (quiet[: length // 2], quiet[length // 2 :]))


def test_the_recordings_own_silence_takes_the_place_of_synthetic_silence():
    frames = np.zeros((30, 3), dtype=np.float32)
    spans = [Span(0, 10, SILENCE, False), Span(10, 20, "a", False), Span(20, 30, SILENCE, False)]
    found = with_own_silence([(frames, spans)], [silent(20, 100)])
    assert found[0][1] == [Span(10, 20, "a", False)]
    assert [(part.shape, own) for part, own in found[1:]] == [((10, 3), [Span(0, 10, SILENCE, False)])] * 2
    assert all((part == 7.0).all() for part, _ in found[1:])


def test_recordings_that_are_cut_close_keep_the_synthetic_silence():
    spoken = [(np.zeros((10, 3), dtype=np.float32), [Span(0, 10, SILENCE, False)])]
    assert with_own_silence(spoken, [silent(9, 100)]) == spoken


def test_without_a_voice_the_start_is_even_and_the_rounds_find_the_phones():
    rng = np.random.default_rng(1)
    heard = [
        planted(
            *((label, int(rng.integers(8, 30))) for label in (SILENCE, "t", "a", "s", SILENCE)),
            seed=n, name=str(n),
        )
        for n in range(20)
    ]  # fmt: skip
    model = AcousticModel("tas", columns=3)
    start_model(model, heard, None, "mfa-ipa", seed=0)
    told = []
    turns = list(train_rounds(model, heard, 0, lambda *news: told.append(news)))
    assert turns == list(range(1, ROUNDS + 1))
    assert told[-1] == ("training the aligner", ROUNDS, ROUNDS)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    new = planted((SILENCE, 17), ("t", 12), ("a", 25), ("s", 9), (SILENCE, 11), seed=99)
    spans = model.align([TAS], new.frames).spans
    assert [span.label for span in spans] == [SILENCE, "t", "a", "s", SILENCE]
    assert [span.first for span in spans] == pytest.approx([0, 17, 29, 54, 63], abs=1)


def test_training_goes_on_with_the_round_after_the_last():
    heard = [planted(("t", 20), ("a", 20), ("s", 20), seed=n) for n in range(3)]
    model = AcousticModel("tas", columns=3)
    start_model(model, heard, None, "mfa-ipa", seed=0)
    assert list(train_rounds(model, heard, ROUNDS - 2)) == [ROUNDS - 1, ROUNDS]
    assert list(train_rounds(model, heard, ROUNDS)) == []


def test_a_recording_that_does_not_fit_its_text_is_left_out_of_training():
    heard = [planted(("t", 20), ("a", 20), ("s", 20), seed=n) for n in range(3)]
    short = planted(("t", 4), ("a", 4), ("s", 4))
    models = []
    for given in (heard, [short, *heard]):
        model = AcousticModel("tas", columns=3)
        start_model(model, given, None, "mfa-ipa", seed=0)
        next(train_rounds(model, given, ROUNDS - 1))
        models.append(model.to_arrays())
    assert all(np.array_equal(models[0][name], models[1][name]) for name in models[0])


TOO_SHORT = r"none of 2 recordings can be aligned to its text: each is too short.*texts of other recordings"


def test_where_nothing_fits_its_text_training_says_so():
    heard = [planted(("a", 14)), planted(("t", 3))]
    with pytest.raises(LayersimError, match=TOO_SHORT):
        start_model(AcousticModel("tas", columns=3), heard, None, "mfa-ipa", seed=0)
    with pytest.raises(LayersimError, match=TOO_SHORT):
        list(train_rounds(AcousticModel("tas", columns=3), heard, 0))


def test_where_each_text_has_an_unknown_word_the_start_is_even():
    words = (TAS, Word("?", ()))
    heard = [
        replace(planted((SILENCE, 20), ("t", 20), ("a", 20), ("s", 20), ("a", 20), (SILENCE, 20), seed=n),
                recording=recording(str(n), words=words))
        for n in range(5)
    ]  # fmt: skip
    started = []
    for voice in ("en-us", None):
        model = AcousticModel("tas", columns=3)
        start_model(model, heard, voice, "mfa-ipa", seed=0)
        started.append(model.to_arrays())
    assert all(np.array_equal(started[0][name], started[1][name]) for name in started[0])


def test_with_a_voice_a_model_knows_the_phones_of_another_voice_before_any_training(tmp_path):
    import soundfile
    import soxr

    from layersim.alignment.pronunciation.espeak import SAMPLE_RATE, Line, synthesise
    from layersim.alignment.pronunciation.pronounce import pronounce

    text = "Fifty six."
    (words,) = pronounce([text], "en", variants=False).words
    (speech,) = synthesise([Line(text, "en-us+m4", rate=140)])
    wave = soxr.resample(speech.wave.astype(np.float32) / 32768, SAMPLE_RATE, 16_000)
    soundfile.write(tmp_path / "one.wav", wave, 16_000)
    one = Recording("one", "s", tmp_path / "one.wav", None, None, text, words)
    heard = training_set([one], seed=0)
    model = new_model([one])
    start_model(model, heard, "en-us", "espeak-ipa", seed=0)
    path = model.align(words, heard[0].frames, first_time=True)
    found = [span for span in path.spans if span.label != SILENCE]
    assert [span.label for span in found] == [phone.label for phone in speech.phones]
    offset = len(heard[0].silence[0])
    starts = np.array([(offset + span.first) * 0.005 for span in found])
    assert np.median(np.abs(starts - [phone.start for phone in speech.phones])) < 0.015

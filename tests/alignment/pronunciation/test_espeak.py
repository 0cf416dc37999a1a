from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import espeakng_loader
import numpy as np
import pytest

from layersim.alignment.pronunciation.espeak import SAMPLE_RATE, Line, Speech, phones_from_events, synthesise
from layersim.alignment.pronunciation.espeak_engine import reachable
from layersim.errors import LayersimError

ENGLISH = Line("Take the better boat back to the city.", "en-us+m3")
MANDARIN = Line("蓝色的杯子放在桌子上。", "cmn+f3")
VOWEL = re.compile(r"[aeiouɑɐɒæɔəɚɛɜɪʊʌy]")


def speak(line: Line) -> Speech:
    return next(synthesise([line]))


def loudness(speech: Speech, start: float, end: float) -> float:
    part = speech.wave[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)].astype(np.float64)
    return float(np.sqrt(np.mean(part**2)))


@pytest.fixture(scope="module")
def spoken() -> dict[str, Speech]:
    return {"en": speak(ENGLISH), "zh": speak(MANDARIN)}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_phones_stand_in_order_without_overlap_inside_the_sound(spoken, language):
    speech = spoken[language]
    assert all(phone.start < phone.end for phone in speech.phones)
    assert all(first.end <= second.start for first, second in itertools.pairwise(speech.phones))
    assert speech.phones[0].start >= 0
    assert speech.phones[-1].end <= speech.seconds


@pytest.mark.parametrize("language", ["en", "zh"])
def test_labels_are_bare_phones(spoken, language):
    for phone in spoken[language].phones:
        assert phone.label
        assert not set(phone.label) & set("ˈˌ() _")


def test_the_phones_of_a_known_sentence_are_all_there(spoken):
    labels = " ".join(phone.label for phone in spoken["en"].phones)
    assert labels == "t eɪ k ð ə b ɛ ɾ ɚ b oʊ t b æ k t ə ð ə s ɪ ɾ i"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_vowels_are_louder_than_closures_and_than_consonants(spoken, language):
    speech = spoken[language]
    vowels = [loudness(speech, p.start, p.end) for p in speech.phones if VOWEL.match(p.label)]
    closures = [loudness(speech, p.start, p.start + 0.012) for p in speech.phones if p.label[0] in "ptk"]
    consonants = [loudness(speech, p.start, p.end) for p in speech.phones if not VOWEL.match(p.label)]
    assert min(vowels) > 3 * max(closures)
    assert np.median(vowels) > 2 * np.median(consonants)


def test_every_vowel_is_loud_from_its_first_to_its_last_ten_milliseconds(spoken):
    """A boundary that was wrong by a closure's length would leave silence in a vowel."""
    speech = spoken["en"]
    for phone in speech.phones:
        if VOWEL.match(phone.label):
            assert loudness(speech, phone.start, phone.start + 0.01) > 300, phone
            assert loudness(speech, phone.end - 0.01, phone.end) > 50, phone


def test_sibilants_have_their_energy_high_and_vowels_low():
    speech = speak(Line("Sue sees the sea.", "en-us+m3"))
    centres = {}
    for phone in speech.phones:
        part = speech.wave[round(phone.start * SAMPLE_RATE) : round(phone.end * SAMPLE_RATE)].astype(float)
        power = np.abs(np.fft.rfft(part * np.hanning(len(part)))) ** 2
        centre = float((power * np.fft.rfftfreq(len(part), 1 / SAMPLE_RATE)).sum() / power.sum())
        centres.setdefault(phone.label, []).append(centre)
    assert min(centres["s"]) > 4000
    assert max(centres["iː"] + centres["uː"]) < 1500


def test_the_same_lines_give_the_same_samples():
    first, second = (list(synthesise([ENGLISH, MANDARIN])) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.wave.tobytes() == other.wave.tobytes()
        assert one.phones == other.phones


def test_rate_volume_and_pitch_do_what_they_say():
    plain, fast, soft, high = synthesise(
        [
            Line(ENGLISH.text, "en-us+m3", **change)
            for change in ({}, {"rate": 250}, {"volume": 30}, {"pitch": 90})
        ]
    )
    assert fast.seconds < 0.8 * plain.seconds
    assert np.abs(soft.wave).max() < 0.5 * np.abs(plain.wave).max()

    def period(speech: Speech) -> int:
        vowel = max(speech.phones, key=lambda p: (VOWEL.match(p.label) is not None) * (p.end - p.start))
        part = speech.wave[round(vowel.start * SAMPLE_RATE) : round(vowel.end * SAMPLE_RATE)].astype(float)
        correlation = np.correlate(part, part, "full")[len(part) :]
        return 80 + int(correlation[80:400].argmax())

    assert period(high) < 0.85 * period(plain)


def test_the_caller_may_stop_listening_early():
    lines = synthesise([ENGLISH] * 500)
    assert next(lines).seconds > 1
    lines.close()


def test_silence_goes_to_the_plosive_after_it_and_to_no_other_phone():
    wave = np.array([5] * 10 + [0] * 10 + [5] * 10 + [0] * 10 + [5] * 10, dtype=np.int16)
    phones = phones_from_events([(0, None), (0, "a"), (20, "k"), (30, None), (40, "s")], wave)
    samples = [(round(p.start * SAMPLE_RATE), round(p.end * SAMPLE_RATE), p.label) for p in phones]
    assert samples == [(0, 10, "a"), (10, 30, "k"), (40, 50, "s")]


def test_a_closure_never_reaches_back_over_a_pause():
    wave = np.array([5] * 10 + [0] * 30 + [5] * 10, dtype=np.int16)
    phones = phones_from_events([(0, "ˈa"), (12, None), (35, None), (40, "tʃ")], wave)
    assert round(phones[1].start * SAMPLE_RATE) == 35


def test_switch_marks_and_phones_without_time_are_no_phones():
    wave = np.full(20, 5, dtype=np.int16)
    phones = phones_from_events([(0, "(en)"), (0, "a"), (10, "ə"), (10, "n")], wave)
    assert [phone.label for phone in phones] == ["a", "n"]


@pytest.mark.parametrize("voice", ["xx-nowhere", "en-us+nobody"])
def test_an_unknown_voice_is_named(voice):
    with pytest.raises(LayersimError, match=re.escape(f"espeak-ng has no voice {voice!r}")):
        speak(Line("Hello.", voice))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 20}, r"rate: expected 80\.\.450; got 20"),
        ({"pitch": 100}, "pitch: expected"),
        ({"text": " "}, "text:"),
    ],
)
def test_settings_that_espeak_does_not_have_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Line(**{"text": "Hello.", "voice": "en-us", **change})


def test_an_engine_that_dies_is_reported(monkeypatch, tmp_path):
    dying = tmp_path / "dying"
    dying.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dying))
    with pytest.raises(
        LayersimError, match=r"ended before it had spoken .* Reinstall the package espeakng-loader"
    ):
        speak(ENGLISH)


def test_a_library_that_cannot_be_loaded_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(tmp_path / "missing.so"))
    with pytest.raises(LayersimError, match=r"cannot be loaded: .*missing\.so.* Reinstall"):
        speak(ENGLISH)


def test_a_long_path_to_the_data_is_shortened_by_a_link(tmp_path):
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    (deep / "espeak-ng-data").symlink_to(espeakng_loader.get_data_path(), target_is_directory=True)
    scratch = tmp_path / "s"
    scratch.mkdir()
    short = reachable(deep / "espeak-ng-data", scratch)
    assert short.parent == scratch
    assert (short / "phontab").is_file()
    assert reachable(short, scratch) == short or len(os.fsencode(short)) > 100


def test_the_engine_speaks_with_data_behind_a_long_path(monkeypatch, tmp_path):
    deep = tmp_path / ("d" * 180)
    deep.mkdir()
    (deep / "espeak-ng-data").symlink_to(espeakng_loader.get_data_path(), target_is_directory=True)
    plain = speak(ENGLISH)
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(deep / "espeak-ng-data"))
    assert speak(ENGLISH).wave.tobytes() == plain.wave.tobytes()


def test_the_library_itself_never_loads_the_engine():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, layersim.demo.guide; print(sorted(sys.modules))"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    for heavy in ("'torch'", "'transformers'", "'layersim.alignment.pronunciation.espeak_engine'"):
        assert heavy not in done.stdout


def test_one_engine_speaks_line_after_line_in_one_process():
    program = (
        "import espeakng_loader as e; from layersim.alignment.pronunciation.espeak_engine import Engine\n"
        "engine = Engine(e.get_library_path(), e.get_data_path())\n"
        "print([len(engine.speak('Hello there.', 'en-us+m3', 175, 50, 50, 80)[0]) > 20000 for _ in range(3)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[True, True, True]"

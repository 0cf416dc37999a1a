from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layersim.alignment.pronunciation.espeak import Line, synthesise
from layersim.alignment.pronunciation.espeak_words import part, speak_words
from layersim.alignment.pronunciation.transcript import compose, tokens


def spoken(text: str, voice: str) -> dict[str, list[str]]:
    composed, _ = compose(text)
    words = tokens(composed)
    [forms] = speak_words([(composed, words)], voice)
    return {token.text: [" ".join(form) for form in found] for token, found in zip(words, forms, strict=True)}


def test_words_are_as_spoken_in_the_sentence_then_alone():
    found = spoken("Take the better boat back to the city.", "en-us")
    assert found["boat"] == ["b oʊ t"]
    assert found["better"] == ["b ɛ ɾ ɚ"]
    assert found["to"] == ["t ə", "t uː"]


def test_german_words():
    found = spoken("Der Lappen liegt auf dem Eisschrank.", "de")
    assert found == {
        "Der": ["d ɛ ɾ"], "Lappen": ["l a p ə n"], "liegt": ["l iː k t"], "auf": ["aʊ f"], "dem": ["d eː m"],
        "Eisschrank": ["aɪ s ç r a ŋ k"],
    }  # fmt: skip


def test_words_that_espeak_runs_together_are_parted():
    """espeak-ng speaks ``of the`` and ``I've been`` as one word each."""
    found = spoken("At the end of the day I've been on a well-known hill.", "en-us")
    assert found["of"][0] == "ʌ v"
    assert found["a"][0] == "ɐ"
    assert found["I've"][0] == "aɪ v"
    assert found["been"][0] == "b ɪ n"
    assert found["well-known"][0] == "w ɛ l n oʊ n"


def test_numbers_and_abbreviations_are_one_word_of_the_transcript():
    found = spoken("He paid $20 in 1999, e.g. 50% of it.", "en-us")
    assert found["$20"][0] == "d ɑː l ɚ t w ɛ n t i"
    assert found["1999"][0] == "n aɪ n t iː n h ʌ n d ɹ ɪ d n aɪ n t i n aɪ n"
    assert found["50%"][0] == "f ɪ f t i p ɚ s ɛ n t"
    assert found["e.g"][0] == "iː dʒ iː"
    assert found["it"][0] == "ɪ t"


@pytest.mark.parametrize(
    ("text", "voice"),
    [
        ("Kids are talking by the door, dogs are sitting by the door.", "en-us"),
        ("An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.", "de"),
        ("Les amis sont là et l'homme est parti.", "fr"),
    ],
)
def test_no_phone_of_the_sentence_is_lost_or_doubled(text, voice):
    words = tokens(text)
    [forms] = speak_words([(text, words)], voice)
    speech = next(synthesise([Line(text, voice)]))
    parted = list(itertools.chain.from_iterable(form[0] for form in forms))
    assert parted == [label for _, label in speech.labels]
    timed = iter(parted)
    assert all(phone.label in timed for phone in speech.phones), (
        "phones with times are some of them, in order"
    )


def test_a_long_text_keeps_words_and_phones_together():
    text = "The quick brown fox jumps over the lazy dog. " * 60
    words = tokens(text)
    [forms] = speak_words([(text, words)], "en-us")
    said = {(token.text, " ".join(form[0])) for token, form in zip(words, forms, strict=True)}
    assert len(said) == 9  # no word has two pronunciations


def test_words_alone_are_as_in_a_dictionary_made_by_another_program(shared):
    rows = (shared / "mfa_run" / "en.dict").read_text(encoding="utf-8").splitlines()
    words = [row.split("\t") for row in rows]
    found = speak_words([(word, tokens(word)) for word, _ in words], "en-us")
    expected = [phones.replace("oːɹ", "ɔːɹ") for _, phones in words]  # another version's vowel of door
    assert [" ".join(form[-1]) for [form] in found] == expected


def test_sentences_are_as_another_program_recorded_them(shared):
    recorded = json.loads((shared / "mfa_run" / "en.ref.json").read_text(encoding="utf-8"))
    names = sorted(recorded)[:12]
    texts = [(shared / "mfa_run" / "en" / f"{name}.lab").read_text(encoding="utf-8") for name in names]
    found = speak_words([(text, tokens(text)) for text in texts], "en-us")
    for name, forms in zip(names, found, strict=True):
        expected = [label.replace("oːɹ", "ɔːɹ") for label, _, _ in recorded[name] if label]
        assert list(itertools.chain.from_iterable(form[0] for form in forms)) == expected, name


phones = st.lists(st.sampled_from("ptkaiu"), max_size=4).map(tuple)


@given(st.lists(phones, min_size=1, max_size=4))
def test_words_spoken_in_full_are_parted_between_them(words):
    run = tuple(itertools.chain.from_iterable(words))
    parted = part(run, words)
    assert tuple(itertools.chain.from_iterable(parted)) == run
    assert len(parted) == len(words)


def test_a_word_that_was_reduced_still_gets_its_phones():
    assert part(("n", "ɪ"), [("ɪ", "n"), ("ð", "ɪ")]) == [("n",), ("ɪ",)]
    assert part(("a", "b"), [("a",), ("b", "c"), ()]) == [("a",), ("b",), ()]

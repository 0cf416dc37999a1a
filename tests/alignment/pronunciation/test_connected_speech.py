from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layersim.alignment.phone_set import load_phone_set
from layersim.alignment.pronunciation import connected_speech
from layersim.alignment.pronunciation.connected_speech import MOST_VARIANTS, is_vowel, variants


def spoken(phones: str, word: str = "word", voice: str = "de", after: str = "") -> list[str]:
    return [" ".join(form) for form in variants([tuple(phones.split())], word, voice, after)]


@pytest.mark.parametrize(
    ("phones", "elided"),
    [
        ("h ɑː b ə n", "h ɑː b m"),  # haben
        ("l a p ə n", "l a p m"),  # Lappen
        ("z ɑː ɡ ə n", "z ɑː ɡ ŋ"),  # sagen
        ("t yː t ə n", "t yː t n"),  # Tüten
        ("ʃ t eː ə n", "ʃ t eː n"),  # stehen
        ("ɑː b ə n t", "ɑː b m t"),  # Abend
        ("h a n d ə l", "h a n d l"),  # Handel
        ("z ɪ ŋ ə n", "z ɪ ŋ"),  # singen
        ("ʃ v ɪ m ə n", "ʃ v ɪ m"),  # schwimmen
        ("n eː b ə n", "n eː b m"),  # neben
    ],
)
def test_german_endings_lose_their_schwa(phones, elided):
    found = spoken(phones)
    assert found[0] == elided
    assert phones in found


@pytest.mark.parametrize("phones", ["h ɔø t ə", "ə n", "b ə n ɪ m t", "ɡ ə l a t"])
def test_other_schwas_stay(phones):
    assert connected_speech.elided_schwa(tuple(phones.split())) == tuple(phones.split())


@pytest.mark.parametrize(
    ("phones", "first", "second"),
    [
        ("v ɪ ɾ t", "v ɪ ɜ t", "v ɪ t"),
        ("p a p iː ɾ", "p a p iː ɜ", "p a p iː"),
        ("ɡ ə f ɑː r ə n", "ɡ ə f ɑː n", "ɡ ə f ɑː r ə n"),
    ],
)
def test_german_coda_r_is_a_vowel_or_part_of_one(phones, first, second):
    assert spoken(phones)[:2] == [first, second]


def test_german_onset_r_stays():
    assert spoken("r ʊ n t ɜ") == ["r ʊ n t ɜ"]
    assert spoken("ɡ ə r ɑː d ə") == ["ɡ ə r ɑː d ə"]


def test_german_final_ig_may_have_a_stop():
    assert spoken("v ɪ ç t ɪ ç", "wichtig") == ["v ɪ ç t ɪ ç", "v ɪ ç t ɪ k"]
    assert spoken("z ɪ ç", "sich") == ["z ɪ ç"]


def test_german_function_words_have_weak_forms():
    assert spoken("ʊ n t", "und")[:2] == ["ʊ n t", "ʊ n"]
    assert "d ə m" in spoken("d eː m", "Dem")


def test_english_function_words_have_weak_forms():
    assert spoken("æ n d", "and", "en-US") == ["æ n d", "ə n d", "ə n", "æ n"]
    assert spoken("f ɔːɹ", "for", "en-us+f1")[1] == "f ɚ"
    assert spoken("f ɔː", "for", "en")[1] == "f ə"


def test_english_final_stops_may_be_lost_or_flapped():
    assert spoken("l æ s t", "last", "en-US") == ["l æ s t", "l æ s"]
    assert spoken("k oʊ l d", "cold", "en-US") == ["k oʊ l d"]
    assert spoken("s ɪ t", "sit", "en-US", after="ɔ") == ["s ɪ t", "s ɪ ɾ"]
    assert spoken("s ɪ t", "sit", "en-US", after="b") == ["s ɪ t"]
    assert spoken("s ɪ t", "sit", "en", after="ɔ") == ["s ɪ t"]
    assert spoken("t ɔː k ɪ ŋ", "talking", "en-US") == ["t ɔː k ɪ ŋ", "t ɔː k ɪ n"]


def test_other_languages_have_no_rules():
    forms = [("a", "b", "ə", "n"), ("a", "r")]
    assert variants(forms, "aben", "nl") == tuple(forms)


def test_a_word_nobody_knows_has_no_variants():
    assert variants([], "word", "de") == ()


def test_every_weak_form_is_known_phones_with_a_vowel():
    phone_set = load_phone_set("espeak-ipa")
    for word, voice in [("und", "de"), ("and", "en-US")]:
        table = connected_speech._GERMAN_WEAK_FORMS if voice == "de" else connected_speech._ENGLISH_WEAK_FORMS
        assert word in table
        for forms in table.values():
            for form in forms.split(", "):
                assert all(phone_set.find(phone) is not None for phone in form.split()), form
                assert any(is_vowel(phone) for phone in form.split()) or form.endswith("əl"), form


phones = st.lists(
    st.sampled_from(["ə", "a", "iː", "ɪ", "r", "ɾ", "n", "m", "l", "t", "d", "b", "ɡ", "ŋ", "ç", "s"]),
    min_size=1, max_size=8,
).map(tuple)  # fmt: skip


@given(st.lists(phones, min_size=1, max_size=2, unique=True), st.sampled_from(["de", "en-US", "en"]))
def test_variants_are_few_different_and_never_empty(forms, voice):
    found = variants(forms, "und", voice, "a")
    assert 1 <= len(found) <= MOST_VARIANTS
    assert len(set(found)) == len(found)
    assert all(found)


def test_hand_labels_have_the_elided_form(shared):
    """Phoneticians who labelled acted German heard Lappen without its schwa, with a labial nasal."""
    import pandas as pd

    folder = shared / "data" / "emodb"
    text = pd.read_csv(folder / "metadata.csv", dtype=str).set_index("utt_id")["text"]
    phones = pd.read_csv(folder / "phones_merged.csv", dtype=str).groupby("utt_id")["phone"].agg(" ".join)
    lappen = phones[text.reindex(phones.index) == "Der Lappen liegt auf dem Eisschrank."]
    assert len(lappen) > 20
    assert lappen.str.contains(r"p m\b").mean() > 0.8
    assert "l a p m" in spoken("l a p ə n", "Lappen")

from __future__ import annotations

import itertools

import pandas as pd
import pytest

from layersim.alignment.phone_set import load_phone_set
from layersim.alignment.pronunciation import espeak_words
from layersim.alignment.pronunciation.pronounce import Pronounced, pronounce
from layersim.errors import LayersimError


def said(result: Pronounced, text: int = 0) -> dict[str, list[str]]:
    return {word.text: [" ".join(form) for form in word.pronunciations] for word in result.words[text]}


def test_german_is_pronounced_by_espeak():
    result = pronounce(["Der Lappen liegt auf dem Eisschrank."], "de", variants=False)
    assert said(result) == {
        "Der": ["d ɛ ɾ"], "Lappen": ["l a p ə n"], "liegt": ["l iː k t"], "auf": ["aʊ f"], "dem": ["d eː m"],
        "Eisschrank": ["aɪ s ç r a ŋ k"],
    }  # fmt: skip
    assert (result.phone_set, result.source) == ("espeak-ipa", "espeak-ng, voice de")
    assert (result.unknown, result.notes) == ({}, [])


def test_variants_add_forms_of_connected_speech():
    result = pronounce(["Der Lappen liegt auf dem Eisschrank."], "de")
    assert said(result)["Lappen"] == ["l a p m", "l a p ə n"]
    assert max(len(word.pronunciations) for word in result.words[0]) <= 4


def test_flaps_depend_on_the_next_word():
    assert "ɪ ɾ" in said(pronounce(["Put it on."], "en"))["it"]
    assert "ɪ ɾ" not in said(pronounce(["Put it back."], "en"))["it"]


def test_mandarin_is_pronounced_by_its_readings():
    result = pronounce(["就是下雨也去。"], "zh")
    assert said(result) == {
        "就": ["tɕ j ow"], "是": ["ʂ ʐ̩"], "下": ["ɕ j a"], "雨": ["y"], "也": ["j e"], "去": ["tɕʰ y"],
    }  # fmt: skip
    assert (result.phone_set, result.source) == ("mfa-ipa", "pypinyin")


@pytest.mark.parametrize(("corpus", "language"), [("emodb", "de"), ("ravdess", "en"), ("casia", "zh")])
def test_every_word_of_real_corpora_has_known_phones(shared, corpus, language):
    texts = pd.read_csv(shared / "data" / corpus / "metadata.csv", dtype=str)["text"].tolist()
    result = pronounce(texts, language)
    assert len(result.words) == len(texts)
    assert (result.unknown, result.notes) == ({}, [])
    phone_set = load_phone_set(result.phone_set or "")
    different = {word for words in result.words for word in words}
    phones = {phone for word in different for form in word.pronunciations for phone in form}
    assert all(phone_set.find(phone) is not None for phone in phones)
    for text, words in dict(zip(texts, result.words, strict=True)).items():
        letters = "".join(sign for sign in text if sign.isalpha())
        assert "".join(sign for word in words for sign in word.text if sign.isalpha()) == letters


def test_repeated_texts_are_worked_on_once(monkeypatch):
    asked = []
    real = espeak_words.speak_words

    def counting(texts, voice):
        asked.extend(texts)
        return real(texts, voice)

    monkeypatch.setattr(espeak_words, "speak_words", counting)
    result = pronounce(["Ja.", "Nein.", "Ja."] * 500, "de")
    assert len(asked) == 2
    assert [words[0].text for words in result.words[:4]] == ["Ja", "Nein", "Ja", "Ja"]


@pytest.mark.parametrize("text", ["", "   ", "...", "— !?", "[laughter]"])
def test_texts_without_words_are_empty(text):
    result = pronounce([text, "Ja."], "de")
    assert result.words[0] == ()
    assert len(result.words[1]) == 1


def test_remarks_are_counted():
    result = pronounce(["So [laughter] yes", "So [laughter] yes", "No."], "en")
    assert result.notes == ["remarks in brackets, such as [laughter], that are not taken for words: 2"]


def test_no_texts_are_no_words():
    assert pronounce([], "en").words == []


@pytest.mark.parametrize(
    ("texts", "language", "message"),
    [
        (
            ["你好世界", "就是", "Hello"],
            "en",
            r"6 of 7 words .* script of English \(Latin\):\n  你好世界\n  就是",
        ),
        (["Hello there"], "zh", r"2 of 2 words are not in the script of Chinese \(Han\):\n  Hello there"),
        (["Привет мир"], "de", "language 'de': 2 of 2 words are not in the script of German"),
        (["Guten Tag"], "ru", r"script of Russian \(Cyrillic\)"),
    ],
)
def test_texts_in_another_script_are_named(texts, language, message):
    with pytest.raises(LayersimError, match=message) as caught:
        pronounce(texts, language)
    assert "Write into the manifest which language they are in" in str(caught.value)


def test_single_words_in_another_script_are_counted():
    result = pronounce(["Das Wort 你好 ist мир fremd."] * 3, "de")
    assert said(result)["你"] == []
    assert result.unknown == {"你": 3, "好": 3, "мир": 3}
    assert result.notes == [
        "9 of 21 words are not in the script of German and have no pronunciation: 你, 好, мир"
    ]
    assert said(result)["fremd"] == ["f r ɛ m t", "f r ɛ m"]


def test_latin_words_in_mandarin_are_counted():
    result = pronounce(["我说OK了,买3个。"], "zh")
    assert result.unknown == {"OK": 1}
    assert said(result)["3"] == ["s a n"]


def test_an_unknown_language_is_an_error():
    with pytest.raises(LayersimError, match="language 'xx': no pronunciations are known for it"):
        pronounce(["Hello."], "xx")


def test_any_language_of_espeak_is_pronounced():
    french = said(pronounce(["L'homme mange là."], "fr"))
    assert french == {"L'homme": ["l ɔ m"], "mange": ["m ɑ̃ ʒ"], "là": ["l a"]}
    russian = pronounce(["Привет, мир"], "ru")
    assert all(word.pronunciations for word in russian.words[0])


def test_phones_outside_the_set_are_noted(monkeypatch):
    monkeypatch.setattr(espeak_words, "speak_words", lambda texts, _: [[(("q!", "a"),)] for _ in texts])
    result = pronounce(["Ja."], "fi")
    assert result.notes == ["phones of espeak-ng that are not in the phone set espeak-ipa: q!"]


def test_a_dictionary_stands_before_all_else(tmp_path):
    file = tmp_path / "own.dict"
    file.write_text("ja\tj a\nna\tn a\n", encoding="utf-8")
    result = pronounce(["Ja, ja: gewiss!", "Na ja."], "de", file)
    assert said(result) == {"Ja": ["j a"], "ja": ["j a"], "gewiss": []}
    assert result.unknown == {"gewiss": 1}
    assert result.source == str(file)


def test_a_dictionary_needs_no_known_language(tmp_path):
    file = tmp_path / "own.dict"
    file.write_text("ja\tj a\n", encoding="utf-8")
    assert pronounce(["ja"], "", file).phone_set is not None


def test_a_dictionary_without_any_of_the_words_is_an_error(tmp_path):
    file = tmp_path / "own.dict"
    file.write_text("ja\tj a\n", encoding="utf-8")
    with pytest.raises(
        LayersimError, match=r"own\.dict: has none of the 2 words of the transcripts, such as"
    ):
        pronounce(["Hello there"], "en", file)


def test_a_dictionary_of_unknown_phones_has_no_set_and_a_note(tmp_path):
    file = tmp_path / "own.dict"
    file.write_text("ja\tqx1 qx2\n", encoding="utf-8")
    result = pronounce(["ja"], "de", file)
    assert result.phone_set is None
    assert "no built-in phone set knows its phones, such as qx1, qx2" in result.notes[0]


def test_one_string_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="texts: expected a sequence of transcripts"):
        pronounce("Hello", "en")


def test_the_same_texts_give_the_same_words():
    texts = ["Kids are talking by the door.", "Dogs are sitting by the door."]
    first, second = pronounce(texts, "en"), pronounce(texts, "en")
    assert first == second
    assert list(itertools.chain.from_iterable(first.words))

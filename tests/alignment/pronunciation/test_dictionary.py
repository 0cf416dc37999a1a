from __future__ import annotations

from pathlib import Path

import pytest

from layersim.alignment.pronunciation.dictionary import Dictionary, read_dictionary
from layersim.alignment.pronunciation.transcript import tokens
from layersim.errors import LayersimError


@pytest.fixture
def write(tmp_path):
    def written(text: str) -> Dictionary:
        file = tmp_path / "words.dict"
        file.write_text(text, encoding="utf-8")
        return read_dictionary(file)

    return written


def said(dictionary: Dictionary, text: str) -> list[tuple[str, list[str]]]:
    return [
        (word.text, [" ".join(form) for form in word.pronunciations])
        for word in dictionary.pronounce(tokens(text))
    ]


@pytest.mark.parametrize(
    ("name", "entries", "phone_set"),
    [
        ("dictionaries/english_us_mfa.dict", 60_000, "mfa-ipa"),
        ("dictionaries/mandarin_china_mfa.dict", 75_000, "mfa-ipa"),
        ("dictionaries/mandarin_taiwan_mfa.dict", 15_000, "mfa-ipa"),
        ("dictionaries/mandarin_pinyin.dict", 2_000, "pinyin"),
        ("mfa_run/en.dict", 40, "espeak-ipa"),
        ("mfa_run/zh.dict", 25, "espeak-ipa"),
    ],
)
def test_published_dictionaries_are_read_whole(shared, name, entries, phone_set):
    dictionary = read_dictionary(shared / name)
    words = {
        line.split()[0]
        for line in (shared / name).read_text(encoding="utf-8").splitlines()
        if line.split() and line.split()[1:] != ["spn"]
    }
    assert len(words) >= entries
    assert set(dictionary.entries) == words
    assert dictionary.phone_set == phone_set
    assert dictionary.unknown_phones == ()
    assert not any(
        sign in "˥˦˧˨˩" for forms in dictionary.entries.values() for form in forms for sign in "".join(form)
    )


def test_a_word_has_all_its_pronunciations_the_likeliest_first(write):
    dictionary = write("the\t0.3\td iː\nthe\t0.9\td ə\nthe\t1.0\t0.5\t0.2\t1.4\tθ ə\nbe\tb iː\n")
    assert said(dictionary, "the be") == [("the", ["θ ə", "d ə", "d iː"]), ("be", ["b iː"])]


def test_digits_that_are_phones_are_no_probabilities(write):
    dictionary = write("schön S 2: n\nösen 2 z @ n\n")
    assert dictionary.find("ösen") == (("2", "z", "@", "n"),)
    assert dictionary.phone_set == "sampa-de"


def test_counted_words_and_comments_of_the_cmu_dictionary(write):
    dictionary = write(";;; comment\nREAD  R EH1 D\nREAD(2)  R IY1 D\n")
    assert said(dictionary, "read") == [("read", ["R EH1 D", "R IY1 D"])]
    assert dictionary.phone_set == "arpabet"


def test_case_and_composition_do_not_matter(write):
    dictionary = write("scho\u0308n\tʃ øː n\nMai\tm aj\n")
    assert dictionary.find("SCH\u00d6N") == (("ʃ", "øː", "n"),)
    assert dictionary.find("mai") == (("m", "aj"),)


def test_a_word_as_written_stands_before_other_case(write):
    dictionary = write("Polish\tp ow l ɪ ʃ\npolish\tp ɒ l ɪ ʃ\n")
    assert dictionary.find("Polish") == (("p", "ow", "l", "ɪ", "ʃ"),)
    assert set(dictionary.find("POLISH")) == {("p", "ow", "l", "ɪ", "ʃ"), ("p", "ɒ", "l", "ɪ", "ʃ")}


def test_words_are_put_together_from_parts(write):
    dictionary = write("well\tw ɛ l\nknown\tn ow n\nkid\tk ɪ d\n's\tz\nl'\tl\nhomme\tɔ m\n")
    assert said(dictionary, "Well-known kid's l'homme well-kept") == [
        ("Well-known", ["w ɛ l n ow n"]), ("kid's", ["k ɪ d z"]), ("l'homme", ["l ɔ m"]), ("well-kept", []),
    ]  # fmt: skip


def test_tones_are_taken_off_and_what_is_then_the_same_is_one(write):
    dictionary = write("马\tm a˨˩˦\n马\tm a˧˥\n衣\ti˥\n")
    assert dictionary.find("马") == (("m", "a"),)


def test_noises_are_no_words(write):
    assert list(write("<unk>\tspn\n[laughter]\tspn\nma\tm a\n").entries) == ["ma"]


def test_han_text_is_parted_into_the_longest_words(write):
    dictionary = write("中\tʈʂ u ŋ\n中国\tʈʂ u ŋ k w o\n中国人\tʈʂ u ŋ k w o ʐ ə n\n国\tk w o\n好\tx aw\n")
    assert [word for word, _ in said(dictionary, "中国人好。中国们好")] == [
        "中国人",
        "好",
        "中国",
        "们",
        "好",
    ]
    assert said(dictionary, "们") == [("们", [])]
    assert [word for word, _ in said(dictionary, "中,国")] == ["中", "国"]


def test_a_dictionary_of_syllables_reads_han_text_by_its_readings(shared):
    dictionary = read_dictionary(shared / "dictionaries" / "mandarin_pinyin.dict")
    assert said(dictionary, "女银行的OK") == [
        ("女", ["n v"]), ("银", ["i n"]), ("行", ["h a ng"]), ("的", ["d e"]), ("OK", []),
    ]  # fmt: skip


def test_corpora_are_covered_by_the_published_dictionaries(shared):
    for name in ("mandarin_china_mfa", "mandarin_pinyin"):
        dictionary = read_dictionary(shared / "dictionaries" / f"{name}.dict")
        assert all(forms for _, forms in said(dictionary, "就是下雨也去。国华来完成。四万四块四。")), name
    english = read_dictionary(shared / "dictionaries" / "english_us_mfa.dict")
    assert all(forms for _, forms in said(english, "Kids are talking by the door."))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ma\tm a\nlonely\n", r"words\.dict: 1 bad rows:\n  row 2: word 'lonely' has no phones"),
        ("ma\tm a\nlonely\t0.5\n", "row 2: word 'lonely' has no phones"),
        ("\tm a\n", "row 1: 'm a' has no word before its phones"),
        ("ma\t7.5\tm a\n", r"row 1: word 'ma' has the probability 7\.5"),
        ("ma\tm sil a\n", "row 1: word 'ma' has 'sil' among its phones, which is silence"),
        ("", "no word with phones in it"),
        ("<unk>\tspn\n", "no word with phones in it"),
    ],
)
def test_bad_rows_are_named(write, text, message):
    with pytest.raises(LayersimError, match=message):
        write(text)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(LayersimError, match=r"nowhere\.dict"):
        read_dictionary(Path("nowhere.dict"))


def test_phones_that_no_set_knows_leave_the_set_open(write):
    dictionary = write("one\tqx1 qx2\ntwo\tqx3\n")
    assert dictionary.phone_set is None
    assert set(dictionary.unknown_phones) == {"qx1", "qx2", "qx3"}

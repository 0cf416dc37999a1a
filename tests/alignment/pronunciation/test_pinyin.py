from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict

import pytest

from layersim.alignment.phone_set import load_phone_set
from layersim.alignment.pronunciation.mandarin import count, pronounce_mandarin, readings, without_coda
from layersim.alignment.pronunciation.pinyin import PHONE_SET, syllable_phones
from layersim.alignment.pronunciation.transcript import tokens

NASALS = {"m", "n", "ng", "hm", "hng"}
# How MFA's dictionary of Mandarin writes what the table writes otherwise (its docstring says so), and the
# secondary articulations and lost glides that it writes and the table does not.
TO_MFA = {"ɤ": "o", "ɚ": "o ɻ", "ɛ": "e", "ʊ": "u", "ɑ": "a"}


def all_syllables() -> list[str]:
    from pypinyin.contrib.tone_convert import to_normal
    from pypinyin.pinyin_dict import pinyin_dict

    return sorted({to_normal(one, v_to_u=True) for every in pinyin_dict.values() for one in every.split(",")})


def test_every_syllable_of_pinyin_is_known_phones_with_exactly_one_vowel():
    phone_set = load_phone_set(PHONE_SET)
    syllables = all_syllables()
    assert len(syllables) > 400
    for syllable in syllables:
        phones = syllable_phones(syllable)
        assert phones is not None, syllable
        classes = [phone_set.find(phone) for phone in phones]
        assert None not in classes, (syllable, phones)
        assert sum(bool(found) for found in classes) == (syllable not in NASALS), (syllable, phones)


def test_syllables_that_sound_different_have_different_phones():
    by_phones = defaultdict(set)
    for syllable in all_syllables():
        by_phones[syllable_phones(syllable)].add(syllable)
    same = [sorted(syllables) for syllables in by_phones.values() if len(syllables) > 1]
    assert same == []


@pytest.mark.parametrize(
    ("syllable", "phones"),
    [
        ("liang", "l j ɑ ŋ"), ("shi", "ʂ ʐ̩"), ("si", "s z̩"), ("xi", "ɕ i"), ("ju", "tɕ y"), ("zhu", "ʈʂ u"),
        ("er", "ɚ"), ("yuan", "ɥ ɛ n"), ("quan", "tɕʰ ɥ ɛ n"), ("xue", "ɕ ɥ e"), ("lüe", "l ɥ e"),
        ("nü", "n y"), ("nv", "n y"), ("bo", "p w o"), ("wo", "w o"), ("o", "o"), ("ge", "k ɤ"),
        ("hen", "x ə n"), ("deng", "t ə ŋ"),
        ("weng", "w ə ŋ"), ("zhong", "ʈʂ ʊ ŋ"), ("yong", "j ʊ ŋ"), ("xiong", "ɕ j ʊ ŋ"), ("liu", "l j ow"),
        ("gui", "k w ej"), ("lun", "l w ə n"), ("jun", "tɕ y n"), ("yi", "i"), ("wu", "u"), ("yu", "y"),
        ("ri", "ʐ ʐ̩"), ("ye", "j e"), ("yan", "j ɛ n"), ("kuai", "kʰ w aj"), ("hao", "x aw"),
    ],
)  # fmt: skip
def test_syllables_split_as_phonetics_does(syllable, phones):
    assert syllable_phones(syllable) == tuple(phones.split())


@pytest.mark.parametrize("text", ["hello", "zhx", "", "x", "ma1", "Ma", "iang2"])
def test_what_is_no_syllable_has_no_phones(text):
    assert syllable_phones(text) is None


def broad(phones: str) -> str:
    """Reduce MFA's phones to what both write: no tones, secondary articulation, glottal onset or glides."""
    bare = re.sub("[˥˦˧˨˩ʷʲ]", "", unicodedata.normalize("NFC", phones)).replace("ʎ", "l").replace("ɲ", "n")
    bare = bare.replace("ə ŋ", "o ŋ")  # written o before ŋ, except after a glide
    return " ".join(phone.removesuffix("ʰ") for phone in bare.split() if phone not in ("ʔ", "j", "w", "ɥ"))


def test_phones_of_characters_are_those_of_the_mfa_dictionary(shared):
    """Of what MFA's dictionary has for the characters of a syllable, ours is the commonest."""
    by_syllable: dict[str, Counter[str]] = defaultdict(Counter)
    file = shared / "dictionaries" / "mandarin_china_mfa.dict"
    for line in file.read_text(encoding="utf-8").splitlines():
        word, _, phones = line.partition("\t")
        if len(word) == 1 and "\u4e00" <= word <= "\u9fff":
            by_syllable[readings(word)[0].rstrip("12345")][broad(phones)] += 1
    frequent = {syllable: forms for syllable, forms in by_syllable.items() if forms.total() >= 5}
    assert len(frequent) > 300
    wrong = {}
    for syllable, forms in frequent.items():
        phones = syllable_phones(syllable)
        ours = broad(" ".join(TO_MFA.get(phone, phone) for phone in phones))
        if ours != forms.most_common(1)[0][0]:
            wrong[syllable] = (ours, forms.most_common(2))
    assert len(wrong) <= 0.02 * len(frequent), wrong


def said(text: str, variants: bool = True) -> dict[str, str]:
    words = pronounce_mandarin(tokens(text), variants)
    return {word.text: " / ".join(" ".join(form) for form in word.pronunciations) for word in words}


def test_characters_are_read_in_context():
    assert said("银行")["行"] == "x ɑ ŋ"
    assert said("行人")["行"] == "ɕ i ŋ"
    assert said("你的")["的"] == "t ə"
    assert said("目的")["的"] == "t i"


def test_readings_agree_with_a_corpus_transcribed_by_others(shared):
    import pandas as pd

    folder = shared / "data" / "casia"
    metadata = pd.read_csv(folder / "metadata.csv", dtype=str)
    metadata = metadata[metadata["align_ok"] == "1"].drop_duplicates("text")
    table = pd.read_csv(folder / "syllables.csv", dtype=str)
    table = table[table["syllable"] != "SIL"]
    agreed = total = 0
    for name, text in zip(metadata["utt_id"], metadata["text"], strict=True):
        theirs = table.loc[table["utt_id"] == name, "syllable"].tolist()
        ours = readings("".join(token.text for token in tokens(text)))
        assert len(ours) == len(theirs), text
        agreed += sum(a.rstrip("12345") == b.rstrip("12345") for a, b in zip(ours, theirs, strict=True))
        total += len(ours)
    assert total > 250
    assert agreed >= 0.99 * total


def test_erhua_is_a_vowel_of_its_own_or_a_coda():
    assert said("我们去玩儿吧") == {
        "我": "w o", "们": "m ə n", "去": "tɕʰ y", "玩": "w a n / w a", "儿": "ɚ / ɻ", "吧": "p a",
    }  # fmt: skip
    assert said("事儿") == {"事": "ʂ ʐ̩ / ʂ", "儿": "ɚ"}
    assert said("玩儿", variants=False) == {"玩": "w a n", "儿": "ɚ"}


@pytest.mark.parametrize("text", ["儿子", "女儿", "婴儿", "儿童"])
def test_a_child_is_no_erhua(text):
    assert all(" / " not in forms for forms in said(text).values())


def test_the_suffix_displaces_codas():
    assert without_coda(("k", "ə", "n")) == ("k",)
    assert without_coda(("n", "j", "aw")) == ("n", "j", "aw")


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0, "零"), (10, "十"), (15, "十五"), (20, "二十"), (101, "一百零一"), (110, "一百一十"),
        (1001, "一千零一"), (16_000, "一万六千"), (110_000, "十一万"), (100_010, "十万零一十"),
        (1010, "一千零一十"), (10_000, "一万"), (10_010, "一万零一十"), (100_000, "十万"),
        (12_345_678, "一千二百三十四万五千六百七十八"),
    ],
)  # fmt: skip
def test_numbers_are_counted(number, written):
    assert count(number) == written


def phones_of(text: str) -> str:
    return " ".join(" ".join(syllable_phones(one.rstrip("12345")) or ()) for one in readings(text))


def test_figures_are_read():
    assert said("25个")["25"] == phones_of("二十五")
    assert said("1999年")["1999"] == f"{phones_of('一千九百九十九')} / {phones_of('一九九九')}"
    assert said("3.5%")["3.5%"] == phones_of("百分之三点五")
    assert said("007")["007"] == phones_of("零零七")
    assert said("1,000")["1,000"].split(" / ")[0] == phones_of("一千")


def test_latin_words_stay_without_a_pronunciation():
    assert said("我OK啊") == {"我": "w o", "OK": "", "啊": "a"}

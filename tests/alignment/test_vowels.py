from __future__ import annotations

import csv
import json
import unicodedata
from pathlib import Path

import pandas as pd
import panphon
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layersim.alignment.vowels import (
    UnknownPhoneError,
    detect_phone_set,
    known_phone_sets,
    load_phone_set,
    map_vowels,
)
from layersim.errors import LayersimError


@pytest.mark.parametrize(
    ("phone_set", "phone", "vowel"),
    [
        ("arpabet", "AA1", "a"),
        ("arpabet", "ER0", "ɚ"),
        ("arpabet", "AY2", "aj"),
        ("arpabet", "ZH", ""),
        ("mfa-ipa", "ʉː", "u"),
        ("mfa-ipa", "a˨˩˦", "a"),
        ("mfa-ipa", "ɐ", "ʌ"),  # strut in English (US) MFA
        ("mfa-ipa", "tʲ", ""),
        ("mfa-ipa", "n̩", ""),
        ("mfa-ipa", "z̩˥˩", "ɿ"),  # syllabic: a vowel, where z is none
        ("mfa-ipa", "z", ""),
        ("espeak-ipa", "iː", "i"),
        ("espeak-ipa", "ɜː", "ɚ"),  # nurse, en-us
        ("espeak-ipa", "ɜ", "ɐ"),  # vocalised r, de
        ("espeak-ipa", "ˈeɪ", "ej"),
        ("espeak-ipa", "ɑ̃", "a"),
        ("espeak-ipa", "ɑu", "aw"),
        ("espeak-ipa", "ts.h", ""),
        ("espeak-ipa", "onɡ", ""),
        ("sampa-de", "E6", "ɛɐ"),
        ("sampa-de", "I+nas", "ɪ"),
        ("sampa-de", "_t", ""),
        ("sampa-de", "NN", ""),
        ("sampa-de", "V", ""),  # Emo-DB's label of a weak v, not strut
        ("sampa-de", "aI", "aj"),
        ("pinyin", "a4", "a"),
        ("pinyin", "ii1", "ʅ"),
        ("pinyin", "v3", "y"),
        ("pinyin", "e2", "ɤ"),
        ("pinyin", "ng", ""),
        ("pinyin", "iou5", "jow"),
    ],
)
def test_phones_map_to_the_vowel_that_a_phonetician_would_name(
    phone_set: str, phone: str, vowel: str
) -> None:
    assert load_phone_set(phone_set).vowel(phone) == vowel


@pytest.mark.parametrize("name", ["mfa-ipa", "espeak-ipa"])
def test_an_ipa_phone_is_a_vowel_exactly_where_panphon_says_it_is_syllabic(name: str) -> None:
    """Panphon's features are the oracle: syllabic and not a consonant.

    Left to the table above: spellings that are no IPA, a vowel and a consonant in one segment, and the two
    apical vowels, which IPA writes as syllabic consonants.
    """
    table = panphon.FeatureTable()
    checked = 0
    for phone, vowel in load_phone_set(name).classes.items():
        segments = [table.fts(segment) for segment in table.ipa_segs(phone)]
        spelt = "".join(table.ipa_segs(phone)) == unicodedata.normalize("NFD", phone)
        vocalic = [segment["syl"] > 0 and segment["cons"] < 0 for segment in segments]
        mixed = any(vocalic) and any(segment["cons"] > 0 for segment in segments)
        if not spelt or mixed or phone in ("z̩", "ʐ̩"):
            continue
        assert bool(vowel) == any(vocalic), f"{name}: {phone!r} is {vowel!r}, panphon says {vocalic}"
        checked += 1
    assert checked > 70


def test_every_row_of_every_set_has_a_source() -> None:
    folder = Path(__file__).parents[2] / "layersim/alignment/phone_sets"
    for name in known_phone_sets():
        lines = (folder / f"{name}.csv").read_text("utf-8").splitlines()
        assert lines[0].startswith("# version ")
        assert all(row["source"] for row in csv.DictReader(lines[1:]))


def test_english_and_mandarin_mfa_dictionaries_meet_on_vowels_and_know_every_phone(shared: Path) -> None:
    vowels = {}
    for name in ("english_us_mfa", "mandarin_china_mfa", "mandarin_taiwan_mfa"):
        lines = (shared / "dictionaries" / f"{name}.dict").read_text("utf-8").splitlines()
        phones = pd.DataFrame({"phone": [phone for line in lines for phone in line.split("\t")[-1].split()]})
        table, unknown = map_vowels(phones, load_phone_set("mfa-ipa"))
        assert set(unknown) <= {"spn"}
        vowels[name] = set(table["vowel"]) - {""}
        assert detect_phone_set(phones["phone"])[0] == "mfa-ipa"
    for mandarin in ("mandarin_china_mfa", "mandarin_taiwan_mfa"):
        assert {"a", "i", "u", "ə", "aj", "aw", "ej", "ow"} <= vowels["english_us_mfa"] & vowels[mandarin]


def test_pinyin_dictionary_phones_are_all_known(shared: Path) -> None:
    lines = (shared / "dictionaries/mandarin_pinyin.dict").read_text("utf-8").splitlines()
    phones = pd.DataFrame({"phone": [phone for line in lines for phone in line.split("\t")[-1].split()]})
    assert set(map_vowels(phones, load_phone_set("pinyin"))[1]) <= {"spn"}


def test_the_hand_labels_of_emodb_are_known_but_for_two_strange_ones(shared: Path) -> None:
    table = pd.read_csv(shared / "data/emodb/phones_merged.csv", dtype=str, keep_default_na=False)
    mapped, unknown = map_vowels(table, load_phone_set("sampa-de"))
    assert unknown == {"PAUSE": 60, "PAUSE_GEF": 44, "8": 1, "hoe": 1}  # the reader drops the pauses
    assert mapped.index.equals(table.index)
    assert (mapped["vowel"] == "a").sum() == (table["phone"] == "a").sum() == 1048
    assert detect_phone_set(table["phone"])[0] == "sampa-de"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_espeak_phone_events_are_all_known(shared: Path, language: str) -> None:
    reference = json.loads((shared / f"mfa_run/{language}.ref.json").read_text("utf-8"))
    labels = [phone[0] for phones in reference.values() for phone in phones if phone[0]]
    assert detect_phone_set(labels) == ("espeak-ipa", 1.0)


def test_an_unknown_phone_is_listed_and_never_guessed() -> None:
    table, unknown = map_vowels(pd.DataFrame({"phone": ["AA1", "⊙", "⊙"]}), load_phone_set("arpabet"))
    assert table["vowel"].tolist() == ["a", "", ""]
    assert unknown == {"⊙": 2}
    with pytest.raises(UnknownPhoneError, match="'⊙' is not in the phone set arpabet"):
        load_phone_set("arpabet").vowel("⊙")


def test_a_users_file_stands_over_the_set_that_it_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "# based on arpabet\nphone,vowel,source\nAO,a,cot-caught merger\nTS,,mine\n", encoding="utf-8"
    )
    mine = load_phone_set(str(file))
    assert [mine.find(phone) for phone in ("AO1", "AE0", "TS", "⊙")] == ["a", "æ", "", None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "expected the columns phone, vowel, source"),
        ("phone,vowel\nAA,a\nAA,b\n", "row 3: phone 'AA' stands there twice"),
        ("phone,vowel\n,a\n", "row 2: phone is empty"),
    ],
)
def test_a_wrong_phone_set_file_is_a_named_error(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "wrong.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(LayersimError, match=message):
        load_phone_set(str(file))


def test_an_unknown_phone_set_names_the_known_ones() -> None:
    with pytest.raises(LayersimError, match="Built in: arpabet, espeak-ipa, mfa-ipa, pinyin, sampa-de"):
        load_phone_set("timit")


@given(st.text(max_size=6))
def test_any_label_is_a_vowel_no_vowel_or_unknown_and_never_an_error(label: str) -> None:
    for name in known_phone_sets():
        found = load_phone_set(name).find(label)
        assert found is None or isinstance(found, str)


@given(st.sampled_from(["a", "iː", "ej", "ʊ"]), st.sampled_from(["", "˥", "˨˩˦", "ː", "̃"]))
def test_prosodic_marks_do_not_make_a_class(phone: str, mark: str) -> None:
    phones = load_phone_set("mfa-ipa")
    assert phones.vowel(phone + mark) == phones.vowel(phone)

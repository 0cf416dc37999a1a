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

from layersim.alignment.phone_set import Kind, UnknownPhoneError, known_phone_sets, load_phone_set
from layersim.alignment.vowels import detect_phone_set, map_classes
from layersim.errors import LayersimError

KINDS: tuple[Kind, ...] = ("vowel", "consonant")


@pytest.mark.parametrize(
    ("phone_set", "phone", "vowel"),
    [
        ("arpabet", "AA1", "a"),
        ("arpabet", "AH1", "ʌ"),  # strut
        ("arpabet", "AH0", "ə"),  # CMUdict has no other sign for schwa
        ("arpabet", "iy", "i"),  # TIMIT writes small letters
        ("arpabet", "ax-h", "ə"),
        ("arpabet", "tcl", ""),
        ("arpabet", "ER0", "ɚ"),
        ("arpabet", "AY2", "aj"),
        ("arpabet", "ZH", ""),
        ("mfa-ipa", "ʉː", "u"),
        ("mfa-ipa", "a˨˩˦", "a"),
        ("mfa-ipa", "ɐ", "ʌ"),  # strut in English MFA, vocalised r in German MFA
        ("mfa-ipa", "ɒː", "ɔ"),  # thought
        ("mfa-ipa", "əw", "ow"),  # goat, UK
        ("mfa-ipa", "ɔʏ", "ɔj"),  # German MFA
        ("mfa-ipa", "ai˥˩", "aj"),  # Mandarin MFA 2.0
        ("mfa-ipa", "a͡ɪ", "aj"),
        ("mfa-ipa", "ə˞", "ɚ"),
        ("mfa-ipa", "ã", "a"),
        ("mfa-ipa", "i̯", ""),  # nonsyllabic: a glide, where i is a vowel
        ("mfa-ipa", "tʲ", ""),
        ("mfa-ipa", "n̩", ""),
        ("mfa-ipa", "z̩˥˩", "ɿ"),  # syllabic: a vowel, where z is none
        ("mfa-ipa", "z", ""),
        ("espeak-ipa", "iː", "i"),
        ("espeak-ipa", "ɜː", "ɚ"),  # nurse, en-us
        ("espeak-ipa", "ɜ", "ʌ"),  # vocalised r, de
        ("espeak-ipa", "ˈeɪ", "ej"),
        ("espeak-ipa", "ɑ̃", "a"),
        ("espeak-ipa", "ɑu", "aw"),
        ("espeak-ipa", "o-", "ɤ"),
        ("espeak-ipa", "i.", "ɿ"),
        ("espeak-ipa", "ts.h", ""),
        ("espeak-ipa", "onɡ", ""),
        ("sampa-de", "E6", "ɛɐ"),
        ("sampa-de", "6", "ʌ"),
        ("sampa-de", "a:", "a"),
        ("sampa-de", "I+nas", "ɪ"),
        ("sampa-de", "_t", ""),
        ("sampa-de", "NN", ""),
        ("sampa-de", "V", ""),  # Emo-DB's label of a weak v, not strut
        ("sampa-de", "aI", "aj"),
        ("pinyin", "a4", "a"),
        ("pinyin", "ii1", "ɿ"),
        ("pinyin", "v3", "y"),
        ("pinyin", "ü3", "y"),
        ("pinyin", "u\u03083", "y"),  # decomposed
        ("pinyin", "ǚ", "y"),  # the tone is a mark on ü, the dots are not one on u
        ("pinyin", "ǎ", "a"),
        ("pinyin", "üa2", "ɥæ"),
        ("pinyin", "ue2", "wə"),  # wen2 is ue2 n in the dictionary; yue is ve
        ("pinyin", "ang1", ""),
        ("pinyin", "e2", "ə"),  # mostly en, eng, er
        ("pinyin", "ng", ""),
        ("pinyin", "iou5", "jow"),
    ],
)
def test_phones_map_to_the_vowel_that_a_phonetician_would_name(
    phone_set: str, phone: str, vowel: str
) -> None:
    assert load_phone_set(phone_set).vowel(phone) == vowel


@pytest.mark.parametrize(
    ("phone_set", "phone", "consonant"),
    [
        ("arpabet", "NG", "ŋ"),
        ("arpabet", "jh", "dʒ"),
        ("arpabet", "R", "ɹ"),
        ("arpabet", "DX", "ɾ"),
        ("arpabet", "EN", "n"),  # syllabic n, as in button
        ("arpabet", "TCL", ""),  # the closure of t alone
        ("arpabet", "ER0", ""),
        ("mfa-ipa", "pʰ", "p"),
        ("mfa-ipa", "kʷ", "k"),
        ("mfa-ipa", "tʲ", "t"),
        ("mfa-ipa", "t̪", "t"),
        ("mfa-ipa", "t͡ʃ", "tʃ"),
        ("mfa-ipa", "tɕʰ", "tɕ"),
        ("mfa-ipa", "sː", "s"),
        ("mfa-ipa", "ɫ", "l"),
        ("mfa-ipa", "g", "ɡ"),  # the letter of the keyboard for that of the IPA
        ("mfa-ipa", "cʰ", "c"),  # MFA's k before a front vowel: what its author wrote
        ("mfa-ipa", "ɾ̃", "ɾ"),
        ("mfa-ipa", "n̩˧˥", "n"),
        ("mfa-ipa", "i̯", "j"),
        ("mfa-ipa", "ɐ̯", ""),  # vocalised r: a glide, and no consonant
        ("mfa-ipa", "z̩˥˩", ""),  # the apical vowel
        ("espeak-ipa", "ts.h", "ʈʂ"),
        ("espeak-ipa", "th", "t"),
        ("espeak-ipa", "χ", "x"),
        ("espeak-ipa", "əl", ""),  # a vowel too
        ("sampa-de", "tS", "tʃ"),
        ("sampa-de", "_t", "t"),
        ("sampa-de", "b+na", "b"),
        ("sampa-de", "C", "ç"),
        ("sampa-de", "X", "x"),
        ("sampa-de", "H", "h"),  # Emo-DB's voiced h, not the glide that X-SAMPA writes so
        ("sampa-de", "V", "v"),
        ("sampa-de", "tasp", ""),
        ("pinyin", "b", "p"),
        ("pinyin", "p", "p"),
        ("pinyin", "q", "tɕ"),
        ("pinyin", "zh", "ʈʂ"),
        ("pinyin", "h", "x"),
        ("pinyin", "x", "ɕ"),
        ("pinyin", "ang1", ""),
    ],
)
def test_phones_map_to_the_consonant_that_a_phonetician_would_name(
    phone_set: str, phone: str, consonant: str
) -> None:
    assert load_phone_set(phone_set).consonant(phone) == consonant


# Spellings that are no IPA, or that panphon's tables lack.
UNSPELT = {
    "ɚ",
    "ɝ",
    "ɿ",
    "ʅ",
    "ŋ̍",
    "g",
    "ⱱ",
    "ᵻ",
    "aɪɚ",
    "aʊɚ",
    "o-",
    "i̪",
    "i.",
    "s.",
    "ts.",
    "ts.h",
    "z.",
    "ŋ-",
}
# Two apical vowels, which IPA writes as syllabic consonants; a vowel and a consonant in one segment.
DECIDED_OTHERWISE = {"z̩", "ʐ̩", "əl", "onɡ"}


@pytest.mark.parametrize("name", ["mfa-ipa", "espeak-ipa"])
def test_an_ipa_phone_is_a_vowel_exactly_where_panphon_says_it_is_syllabic_and_no_consonant(
    name: str,
) -> None:
    table = panphon.FeatureTable()
    otherwise, unspelt = set(), set()
    for phone, vowel in load_phone_set(name).classes["vowel"].items():
        segments = table.ipa_segs(phone)
        if "".join(segments) != unicodedata.normalize("NFD", phone):
            unspelt.add(phone)
            continue
        features = [table.fts(segment) for segment in segments]
        if bool(vowel) != any(segment["syl"] > 0 and segment["cons"] < 0 for segment in features):
            otherwise.add(phone)
    assert unspelt <= UNSPELT
    assert otherwise <= DECIDED_OTHERWISE


def test_every_class_of_every_set_is_a_vowel_to_panphon() -> None:
    table = panphon.FeatureTable()
    for name in known_phone_sets():
        for vowel in set(load_phone_set(name).classes["vowel"].values()) - {"", "ɿ"}:
            segments = table.ipa_segs(vowel.replace("ɚ", "ə"))  # panphon has no sign for an r-coloured schwa
            assert "".join(segments) == vowel.replace("ɚ", "ə")
            assert any(table.fts(segment)["syl"] > 0 for segment in segments)


# Glides, but of vowels that no consonant is written for.
VOWEL_GLIDES = {"ɐ̯", "e̯", "o̯"}
# The classes that are wider than one sign of the IPA, and what panphon says the sign has otherwise.
MERGED = {"ʀ": {"son"}, "ɦ": {"voi"}, "χ": set(), "ɱ": set(), "ɫ": set()}


@pytest.mark.parametrize("name", ["mfa-ipa", "espeak-ipa"])
def test_an_ipa_phone_is_a_consonant_where_panphon_says_so_and_its_class_has_its_features(name: str) -> None:
    table = panphon.FeatureTable()
    otherwise = set()
    for phone, consonant in load_phone_set(name).classes["consonant"].items():
        segments = table.ipa_segs(phone)
        if "".join(segments) != unicodedata.normalize("NFD", phone):
            continue  # as in the test of vowels
        features = [table.fts(segment) for segment in segments]
        if bool(consonant) != all(segment["syl"] < 0 or segment["cons"] > 0 for segment in features):
            otherwise.add(phone)
        wanted = [table.fts(segment) for segment in table.ipa_segs(consonant)]
        # One sign more than the class has: the h of espeak's aspiration.
        for segment, other in zip(features, wanted, strict=False):
            names = ("son", "cont", "nas", "lat", "voi", "cor")
            differing = {name for name in names if segment[name] != other[name]}
            assert differing == MERGED.get(phone, set()), phone
        assert not consonant or len(features) - len(wanted) == (phone != "h" and phone.endswith("h"))
    assert otherwise <= DECIDED_OTHERWISE | VOWEL_GLIDES


def test_every_consonant_class_of_every_set_is_a_consonant_to_panphon_and_no_phone_is_both_kinds() -> None:
    table = panphon.FeatureTable()
    for name in known_phone_sets():
        classes = load_phone_set(name).classes
        assert classes["vowel"].keys() == classes["consonant"].keys()
        assert not [
            phone for phone in classes["vowel"] if classes["vowel"][phone] and classes["consonant"][phone]
        ]
        for consonant in set(classes["consonant"].values()) - {"", "ⱱ"}:
            segments = table.ipa_segs(consonant)
            assert "".join(segments) == unicodedata.normalize("NFD", consonant)
            assert all(table.fts(segment)["syl"] < 0 for segment in segments)


def test_what_is_neither_vowel_nor_consonant_is_little_and_named() -> None:
    neither = {}
    for name in known_phone_sets():
        classes = load_phone_set(name).classes
        neither[name] = {
            phone for phone in classes["vowel"] if not classes["vowel"][phone] + classes["consonant"][phone]
        }
    nasal_finals = "an en in un vn ün ang eng ing ong ian iang iong uan uang uen ueng van üan"
    assert neither == {
        "arpabet": {"BCL", "DCL", "GCL", "KCL", "PCL", "TCL"},
        "espeak-ipa": {"əl", "onɡ"},
        "mfa-ipa": VOWEL_GLIDES,
        "pinyin": set(nasal_finals.split()),
        "sampa-de": {"!", "pasp", "tasp", "dasp", "kasp", "dsap", "8", "hoe"},
    }


def test_every_row_of_every_set_has_a_source() -> None:
    folder = Path(__file__).parents[2] / "layersim/alignment/phone_sets"
    for name in known_phone_sets():
        lines = (folder / f"{name}.csv").read_text("utf-8").splitlines()
        assert lines[0].startswith("# version ")
        assert all(row["source"] for row in csv.DictReader(line for line in lines if line[0] != "#"))


# The vowels and glides among the phones of all dialects, as the documentation of MFA's English dictionary
# v3.1.0 lists them.
ENGLISH_MFA = "a aj aw aː e ej eː i iː j o ow oː u uː w æ ɐ ɑ ɑː ɒ ɒː ɔ ɔj ə əw ɚ ɛ ɛː ɜ ɜː ɝ ɪ ʉ ʉː ʊ"


def dictionary_phones(file: Path) -> pd.DataFrame:
    lines = file.read_text("utf-8").splitlines()
    return pd.DataFrame({"phone": [phone for line in lines for phone in line.split("\t")[-1].split()]})


def test_english_and_mandarin_mfa_dictionaries_meet_on_vowels_and_know_every_phone(shared: Path) -> None:
    vowels = {}
    for name in ("english_us_mfa", "mandarin_china_mfa", "mandarin_taiwan_mfa"):
        phones = dictionary_phones(shared / "dictionaries" / f"{name}.dict")
        table, unknown = map_classes(phones, load_phone_set("mfa-ipa"))
        assert (
            set(unknown) == set(map_classes(phones, load_phone_set("mfa-ipa"), "consonant")[1]) == {"spn"}
        )  # what MFA could not name; the readers drop it
        vowels[name] = set(table["vowel"]) - {""}
        assert detect_phone_set(phones["phone"])[0] == "mfa-ipa"
    english = {load_phone_set("mfa-ipa").vowel(phone) for phone in ENGLISH_MFA.split()} - {""}
    for mandarin in ("mandarin_china_mfa", "mandarin_taiwan_mfa"):
        assert vowels["english_us_mfa"] & vowels[mandarin] == {"a", "i", "u", "ə", "aj", "aw", "ej", "ow"}
        assert english & vowels[mandarin] == {"a", "e", "i", "o", "u", "ə", "aj", "aw", "ej", "ow"}


@pytest.mark.parametrize(
    ("phone_sets", "spellings"),
    [
        (
            "arpabet mfa-ipa espeak-ipa",  # English: fleece kit dress trap strut comma palm foot thought ...
            """IY1 iː iː, IH1 ɪ ɪ, EH1 ɛ ɛ, AE1 æ æ, AH1 ɐ ʌ, AH0 ə ə, AA1 ɑː ɑː, UH1 ʊ ʊ, AO1 ɒː ɔː,
            UW1 ʉː uː, ER1 ɝ ɜː, ER0 ɚ ɚ, EY1 ej eɪ, AY1 aj aɪ, OW1 ow oʊ, AW1 aw aʊ, OY1 ɔj ɔɪ""",
        ),
        (
            "pinyin mfa-ipa espeak-ipa",
            """a1 a˥ a, i1 i˥ i, ii4 z̩˥˩ i̪, ii4 ʐ̩˥˩ i., u3 u˨˩˦ u, v3 y˨˩˦ y, ai4 aj˥˩ ai, ao3 aw˨˩˦ ɑu,
            ei1 ej˥ ei, ou3 ow˨˩˦ ou, o1 o˥ o, e2 ə˧˥ ə""",
        ),
        (
            "sampa-de mfa-ipa espeak-ipa",
            """i iː iː, I ɪ ɪ, e eː eː, E ɛ ɛ, a aː ɑː, o oː oː, O ɔ ɔ, u uː uː, U ʊ ʊ, y yː yː, Y ʏ ʏ,
            2 øː øː, 9 œ œ, @ ə ə, 6 ɐ ɜ, aI aj aɪ, aU aw aʊ, OY ɔʏ ɔø""",
        ),
    ],
)
def test_a_vowel_has_the_same_class_however_its_language_is_spelt(phone_sets: str, spellings: str) -> None:
    sets = [load_phone_set(name) for name in phone_sets.split()]
    for spelling in spellings.split(","):
        found = {phones.vowel(phone) for phones, phone in zip(sets, spelling.split(), strict=True)}
        assert len(found - {""}) == 1, spelling
        assert "" not in found, spelling


@pytest.mark.parametrize(
    ("phone_sets", "spellings"),
    [
        (
            "arpabet mfa-ipa espeak-ipa",
            """P pʰ p, B b b, T tʰ t, D d d, K k k, G ɡ ɡ, CH tʃ tʃ, JH dʒ dʒ, F f f, V v v, TH θ θ,
            DH ð ð, S s s, Z z z, SH ʃ ʃ, ZH ʒ ʒ, HH h h, M m m, N n n, NG ŋ ŋ, L ɫ l, R ɹ ɹ, Y j j, W w w,
            DX ɾ ɾ, EL ɫ̩ l̩""",
        ),
        (
            "pinyin mfa-ipa espeak-ipa",
            """b p p, p pʰ ph, d t t, t tʰ th, g k k, k kʰ kh, j tɕ tɕ, q tɕʰ tɕh, x ɕ ɕ, zh ʈʂ ts.,
            ch ʈʂʰ ts.h, sh ʂ s., r ʐ z., z ts ts, c tsʰ tsh, s s s, h xʷ χ, m m m, n n n, ng ŋ ŋ, l l l,
            f f f""",
        ),
        (
            "sampa-de mfa-ipa espeak-ipa",
            """p pʰ p, pf pf pf, ts ts ts, C ç ç, x x x, X χ χ, S ʃ ʃ, N ŋ ŋ, R ʁ ʁ, j j j, ? ʔ ʔ, z z z,
            v v v""",
        ),
    ],
)
def test_a_consonant_has_the_same_class_however_its_language_is_spelt(
    phone_sets: str, spellings: str
) -> None:
    sets = [load_phone_set(name) for name in phone_sets.split()]
    for spelling in spellings.split(","):
        found = {phones.consonant(phone) for phones, phone in zip(sets, spelling.split(), strict=True)}
        assert len(found) == 1, spelling
        assert "" not in found, spelling


def test_english_and_mandarin_consonants_meet_where_the_convention_says() -> None:
    arpabet, pinyin = (
        set(load_phone_set(name).classes["consonant"].values()) for name in ("arpabet", "pinyin")
    )
    assert arpabet & pinyin - {""} == set("ptkfsmnŋljw")
    assert "b" in arpabet - pinyin


def test_german_english_and_mandarin_really_meet(shared: Path) -> None:
    hand = pd.read_csv(shared / "data/emodb/phones_merged.csv", dtype=str, keep_default_na=False)
    german = set(map_classes(hand, load_phone_set("sampa-de"))[0]["vowel"])
    phones = dictionary_phones(shared / "dictionaries/english_us_mfa.dict")
    english = set(map_classes(phones, load_phone_set("mfa-ipa"))[0]["vowel"])
    phones = dictionary_phones(shared / "dictionaries/mandarin_pinyin.dict")
    mandarin = set(map_classes(phones, load_phone_set("pinyin"))[0]["vowel"])
    assert {"a", "i", "u", "ɪ", "ɛ", "ɔ", "ʊ", "ə", "ʌ", "aj", "aw", "ɔj"} <= german & english
    assert {"a", "i", "u", "y", "o", "ə", "aj", "aw"} <= german & mandarin


def test_pinyin_dictionary_phones_are_all_known(shared: Path) -> None:
    phones = dictionary_phones(shared / "dictionaries/mandarin_pinyin.dict")
    for kind in KINDS:
        assert set(map_classes(phones, load_phone_set("pinyin"), kind)[1]) == {"spn"}
    assert detect_phone_set(phones["phone"])[0] == "pinyin"


def test_whole_syllables_are_no_segments_of_any_set(shared: Path) -> None:
    table = pd.read_csv(shared / "data/casia/syllables.csv", dtype=str)
    assert detect_phone_set(table["syllable"])[1] < 0.1
    assert load_phone_set("pinyin").find("jiu4") is None


def test_the_hand_labels_of_emodb_are_all_known(shared: Path) -> None:
    table = pd.read_csv(shared / "data/emodb/phones_merged.csv", dtype=str, keep_default_na=False)
    mapped, unknown = map_classes(table, load_phone_set("sampa-de"))
    assert unknown == {"PAUSE": 60, "PAUSE_GEF": 44}  # the reader drops the pauses
    assert mapped.index.equals(table.index)
    mapped, unknown = map_classes(mapped, load_phone_set("sampa-de"), "consonant")
    assert unknown == {"PAUSE": 60, "PAUSE_GEF": 44}
    assert (mapped["consonant"] == "m").sum() == mapped["phone"].isin(["m", "mm"]).sum() == 661
    assert (mapped["vowel"] == "a").sum() == (table["phone"] == "a").sum() == 1048
    assert detect_phone_set(table["phone"])[0] == "sampa-de"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_espeak_phone_events_are_all_known(shared: Path, language: str) -> None:
    reference = json.loads((shared / f"mfa_run/{language}.ref.json").read_text("utf-8"))
    labels = [phone[0] for phones in reference.values() for phone in phones if phone[0]]
    assert detect_phone_set(labels) == ("espeak-ipa", 1.0)
    words = dictionary_phones(shared / f"mfa_run/{language}.dict")["phone"]
    assert detect_phone_set(words) == ("espeak-ipa", 1.0)


def test_an_unknown_phone_is_listed_and_never_guessed() -> None:
    table, unknown = map_classes(pd.DataFrame({"phone": ["AA1", "⊙", "⊙"]}), load_phone_set("arpabet"))
    assert table["vowel"].tolist() == ["a", "", ""]
    assert unknown == {"⊙": 2}
    assert load_phone_set("sampa-de").find("a2") is None  # in SAMPA a digit is a vowel, not a tone
    assert load_phone_set("mfa-ipa").find("ɹ̩") is None  # what is syllabic is not what it is without the mark
    assert load_phone_set("pinyin").find("üo") is None  # and not uo
    assert load_phone_set("arpabet").find("XX") is None
    assert load_phone_set("arpabet").find("XX", "consonant") is None
    with pytest.raises(UnknownPhoneError, match="vowel class of phone '⊙' is not in the phone set arpabet"):
        load_phone_set("arpabet").vowel("⊙")
    with pytest.raises(UnknownPhoneError, match="consonant class of phone '⊙' is not in the phone set"):
        load_phone_set("arpabet").consonant("⊙")


def test_stress_and_tone_go_before_marks_that_matter() -> None:
    espeak = load_phone_set("espeak-ipa")
    assert espeak.vowel("ˈɔːɹ") == espeak.vowel("ɔːɹ") == "ɔɹ"  # the row is found by its length
    assert espeak.vowel("ˈɜː") == "ɚ"  # and not ʌ, which ɜ is
    assert espeak.vowel("i.5") == espeak.vowel("ˈi̪5") == "ɿ"  # and not i
    assert espeak.vowel("o-5") == "ɤ"
    assert load_phone_set("sampa-de").vowel('"a~') == "a"  # nasal, as in Restaurant


def test_a_users_file_stands_over_the_set_that_it_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "# based on arpabet\nphone,vowel,source\nAO,a,cot-caught merger\nTS,,mine\n", encoding="utf-8"
    )
    mine = load_phone_set(str(file))
    assert [mine.find(phone) for phone in ("AO1", "AE0", "TS", "⊙")] == ["a", "æ", "", None]
    assert load_phone_set("arpabet").find("AO1") == "ɔ"
    file.write_text("phone,vowel\nAO,ɔ\n", encoding="utf-8")
    alone = load_phone_set(str(file))  # read anew, and without a set below it
    assert [alone.find(phone) for phone in ("AO", "AE0")] == ["ɔ", None]


def test_a_users_file_without_consonants_says_of_none_what_it_does_not_know(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("# based on arpabet\nphone,vowel\nW,u\nER,\nB,\nT2,\n", encoding="utf-8")
    mine = load_phone_set(str(file))
    assert mine.consonant("W") == ""  # a vowel now, so no consonant
    assert mine.consonant("B") == "b"  # as the set below has it
    assert mine.consonant("K") == "k"
    assert mine.find("ER", "consonant") is None  # a vowel below, which is no longer so
    assert mine.find("T2", "consonant") is None  # and not that of T
    table, unknown = map_classes(pd.DataFrame({"phone": ["T2", "W", "B1", "ER"]}), mine, "consonant")
    assert table["consonant"].tolist() == ["", "", "b", ""]
    assert unknown == {"T2": 1, "ER": 1}
    with pytest.raises(UnknownPhoneError, match="consonant class of phone 'T2' is not in the phone set"):
        mine.consonant("T2")


def test_a_users_file_with_consonants_stands_over_the_set_below(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("# based on pinyin\nphone,vowel,consonant\nb,,b\ng,,g\nan,a,\n", encoding="utf-8")
    mine = load_phone_set(str(file))
    assert [mine.consonant(phone) for phone in ("b", "g", "p", "an")] == ["b", "ɡ", "p", ""]
    assert mine.vowel("an4") == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "expected the columns phone, vowel, consonant, source"),
        ("phone,vowel\nAA,a\nAA,ə\n", "row 3: phone 'AA' stands there twice"),
        ("phone,vowel\n,a\n", "row 2: phone is empty"),
        ("# mine\n\nphone,vowel\nAA\n", "row 4: 'AA' has no cell for its vowel"),
        ("phone,vowel\nAA,consonant\n", "row 2: 'consonant' of 'AA' is no IPA vowel; leave it empty"),
        (
            "phone,vowel,consonant\nB,,bilabial\n",
            "row 2: 'bilabial' of 'B' is no IPA consonant; leave it empty",
        ),
        ("phone,vowel,consonant\nB,\n", "row 2: 'B' has no cell for its consonant"),
        ("phone,vowel,consonant\nB,a,b\n", "row 2: 'B' is given as a vowel and as a consonant"),
        (
            "# based on arpabeet\nphone,vowel\n",
            "wrong.csv, row 1: based on 'arpabeet', which is not built in",
        ),
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
        phones = load_phone_set(name)
        vowel, consonant = phones.find(label), phones.find(label, "consonant")
        assert (vowel is None) == (consonant is None)
        assert not (vowel and consonant)


@given(st.sampled_from(["a", "iː", "ej", "ʊ"]), st.sampled_from(["", "˥", "˨˩˦", "ː", "̃"]))
def test_prosodic_marks_do_not_make_a_class(phone: str, mark: str) -> None:
    phones = load_phone_set("mfa-ipa")
    assert phones.vowel(phone + mark) == phones.vowel(phone)

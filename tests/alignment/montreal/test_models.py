"""Which models of MFA are taken for which language."""

from __future__ import annotations

from pathlib import Path

import pytest

from layersim.alignment.montreal.models import Models, choose_models
from layersim.alignment.vowels import load_phone_set
from layersim.errors import LayersimError


@pytest.mark.parametrize(
    ("language", "dictionary", "acoustic_model", "expected", "phone_set"),
    [
        ("en", None, None, ("english_us_mfa", "english_mfa"), "mfa-ipa"),
        ("en-GB", "english_uk_mfa", None, ("english_uk_mfa", "english_mfa"), "mfa-ipa"),
        ("en", "english_us_arpa", None, ("english_us_arpa", "english_us_arpa"), "arpabet"),
        ("en", None, "english_us_arpa", ("english_us_arpa", "english_us_arpa"), "arpabet"),
        ("de", None, None, ("german_mfa", "german_mfa"), "mfa-ipa"),
        ("zh", None, None, ("mandarin_china_mfa", "mandarin_mfa"), "mfa-ipa"),
        ("zh", "mandarin_taiwan_mfa", None, ("mandarin_taiwan_mfa", "mandarin_mfa"), "mfa-ipa"),
        ("zh", "mandarin_pinyin", None, ("mandarin_pinyin", None), "pinyin"),
        ("it", None, None, ("italian_cv", "italian_cv"), None),
        ("deu", None, None, ("german_mfa", "german_mfa"), "mfa-ipa"),
        ("English", None, None, ("english_us_mfa", "english_mfa"), "mfa-ipa"),
        ("zh_CN", None, None, ("mandarin_china_mfa", "mandarin_mfa"), "mfa-ipa"),
    ],
)
def test_models_are_completed(
    language: str,
    dictionary: str | None,
    acoustic_model: str | None,
    expected: tuple[str, str | None],
    phone_set: str | None,
) -> None:
    models = choose_models(language, dictionary, acoustic_model)
    assert (models.dictionary, models.acoustic_model) == expected
    assert models.phone_set == phone_set
    if phone_set is not None:
        load_phone_set(phone_set)  # we have it


def test_files_are_taken_by_their_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.dict").write_text("one\tw a n\n", "utf-8")
    (tmp_path / "my.zip").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    here = tmp_path.resolve()
    own = choose_models("xx", "my.dict", None)
    assert own == Models(str(here / "my.dict"), None)
    assert (own.own_dictionary, own.phone_set) == (here / "my.dict", None)
    assert choose_models("en", "my.dict", "english_us_arpa").phone_set == "arpabet"
    assert choose_models("en", "english_us_mfa", "my.zip").acoustic_model == str(here / "my.zip")


@pytest.mark.parametrize(
    ("language", "dictionary", "acoustic_model", "message"),
    [
        ("tlh", None, None, r"is known for the language 'tlh'; known: en, de, zh, .*Name a dictionary file"),
        ("zh-HK", None, None, r"is known for the language 'zh-HK'"),  # Cantonese is not Mandarin
        ("en", None, "my_model", r"acoustic model 'my_model': its dictionary is not known\. Name"),
        ("en", "gone/my.dict", None, r"^gone/my\.dict: no such dictionary file.* mfa model list dictionary"),
        ("en", "english_us_mfa", "gone.zip", r"^gone\.zip: no such acoustic .* mfa model list acoustic"),
    ],
)  # fmt: skip
def test_what_cannot_be_completed_is_an_error(
    language: str, dictionary: str | None, acoustic_model: str | None, message: str
) -> None:
    with pytest.raises(LayersimError, match=message):
        choose_models(language, dictionary, acoustic_model)


def test_files_that_mfa_would_not_open_are_refused(tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text("", "utf-8")
    with pytest.raises(
        LayersimError, match=r"only if its name ends in \.dict, \.txt, \.yaml, \.yml\. Rename it"
    ):
        choose_models("en", str(tmp_path / "words.csv"), None)


@pytest.mark.parametrize(
    "language", ["en", "de", "zh", "cmn", "fr", "es", "pt", "it", "ru", "cs", "bg", "hr", "ha", "ja", "ko"]
)
def test_every_language_of_the_table_is_found_by_its_code(language: str) -> None:
    assert choose_models(language, None, None).acoustic_model

from __future__ import annotations

import re
from pathlib import Path

import espeakng_loader
import pytest

from layersim.alignment.pronunciation.espeak import Line, synthesise
from layersim.alignment.pronunciation.languages import find_language
from layersim.errors import LayersimError


@pytest.mark.parametrize(
    ("code", "voice"),
    [
        ("de", "de"), ("deu", "de"), ("German", "de"), ("de-AT", "de"), ("en", "en-US"), ("en_GB", "en"),
        ("eng", "en-US"), ("English", "en-US"), ("zh", "cmn"), ("zh-CN", "cmn"), ("cmn", "cmn"),
        ("Mandarin", "cmn"),
        ("yue", "yue"), ("zh-HK", "yue"), ("fr", "fr"), ("fr-CH", "fr-CH"), ("pt-BR", "pt-BR"), ("no", "nb"),
    ],
)  # fmt: skip
def test_codes_and_names_find_their_voice(code, voice):
    assert find_language(code).voice == voice


def test_espeak_speaks_with_every_voice_that_it_lists():
    files = [file for file in Path(espeakng_loader.get_data_path(), "lang").rglob("*") if file.is_file()]
    assert len(files) > 100
    for file in files[::7]:
        voice = find_language(file.name).voice
        assert voice == file.name
        assert next(synthesise([Line("1", voice)])).seconds > 0


@pytest.mark.parametrize(("code", "close"), [("germn", "german"), ("englsh", "english")])
def test_an_unknown_language_is_an_error_that_names_close_ones(code, close):
    with pytest.raises(LayersimError, match=re.escape(f"language {code!r}: ") + f".*Close to it: .*{close}"):
        find_language(code)


def test_an_empty_code_is_an_error_that_says_what_to_write():
    with pytest.raises(LayersimError, match="Write a code such as de, en, en-GB or zh"):
        find_language("")


@pytest.mark.parametrize(
    ("code", "scripts"),
    [
        ("de", ("LATIN",)), ("ru", ("CYRILLIC",)), ("sr", ("CYRILLIC", "LATIN")), ("zh", ("CJK",)),
        ("ja", ("HIRAGANA", "KATAKANA")), ("fa", ("ARABIC",)), ("fa-Latn", ("LATIN",)),
        ("cmn-Latn-pinyin", ("LATIN",)), ("en-Shaw", ("SHAVIAN",)), ("hi", ("DEVANAGARI",)),
    ],
)  # fmt: skip
def test_a_language_knows_its_scripts(code, scripts):
    assert find_language(code).scripts == scripts

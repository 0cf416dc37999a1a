"""Which language a manifest's code means: espeak-ng's voice for it, and the scripts that it is written in."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import espeakng_loader

from layersim.errors import LayersimError

MANDARIN = "cmn"

# Codes that espeak-ng does not list, or lists for several voices: ISO 639-2 and 639-3, and what people write.
_CODES = {
    "en": "en-US", "eng": "en-US", "english": "en-US", "american": "en-US", "british": "en",
    "deu": "de", "ger": "de", "deutsch": "de", "zh": MANDARIN, "zho": MANDARIN, "chi": MANDARIN,
    "chinese": MANDARIN, "mandarin": MANDARIN, "cantonese": "yue", "zh-hk": "yue",
    "zh-yue": "yue", "zh-mo": "yue",
    "fra": "fr", "fre": "fr", "spa": "es", "spanish": "es", "por": "pt", "ita": "it",
    "nld": "nl", "dut": "nl",
    "rus": "ru", "pol": "pl", "tur": "tr", "jpn": "ja", "kor": "ko", "ara": "ar", "hin": "hi", "fas": "fa",
    "per": "fa", "farsi": "fa", "ell": "el", "gre": "el", "swe": "sv", "dan": "da", "nor": "nb", "fin": "fi",
    "est": "et", "ces": "cs", "cze": "cs", "hun": "hu", "ron": "ro", "rum": "ro", "ukr": "uk", "urd": "ur",
    "ben": "bn", "tam": "ta", "tel": "te", "vie": "vi", "ind": "id", "heb": "he", "cat": "ca", "eus": "eu",
}  # fmt: skip

# Voices whose language is not written in Latin letters (by the first part of the voice's name).
_SCRIPTS = {
    "CYRILLIC": "ru uk bg mk be ba cv kk ky tt nog kaa uz sr", "GREEK": "el grc", "ARMENIAN": "hy hyw",
    "GEORGIAN": "ka", "HEBREW": "he", "ARABIC": "ar fa ur sd ug", "DEVANAGARI": "hi mr ne kok",
    "BENGALI": "bn as bpy", "GURMUKHI": "pa", "GUJARATI": "gu", "ORIYA": "or", "TAMIL": "ta", "TELUGU": "te",
    "KANNADA": "kn", "MALAYALAM": "ml", "SINHALA": "si", "THAI": "th", "MYANMAR": "my shn",
    "ETHIOPIC": "am ti", "HANGUL": "ko", "HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "cmn yue hak",
    "CHEROKEE": "chr",
}  # fmt: skip
_LATIN_TOO = "kaa uz sr hak"


@dataclass(frozen=True)
class Language:
    """A language that can be pronounced."""

    name: str  # in English
    voice: str  # of espeak-ng
    scripts: tuple[str, ...]  # that its letters are of, as `transcript.scripts` names them


def find_language(code: str) -> Language:
    """Find a language by its code or its English name.

    Parameters
    ----------
    code : str
        As manifests have it: ``de``, ``en-US``, ``zh``, ``deu``, ``German``. A region that espeak-ng has no
        voice for is left out (``de-AT`` is ``de``).

    Raises
    ------
    LayersimError
        If espeak-ng has no voice for it; close names are listed.

    >>> find_language("de-AT").voice, find_language("zh-CN").voice, find_language("German").voice
    ('de', 'cmn', 'de')
    """
    voices = _voices()
    wanted = code.strip().casefold().replace("_", "-")
    parts = wanted.split("-")
    for shorter in range(len(parts), 0, -1):
        name = "-".join(parts[:shorter])
        if name in _CODES:
            return voices[_CODES[name].casefold()]
        if name in voices:
            return voices[name]
    close = difflib.get_close_matches(wanted, [*_CODES, *voices], n=5, cutoff=0.6)
    raise LayersimError(
        f"language {code!r}: no pronunciations are known for it. "
        f"{'Close to it: ' + ', '.join(close) + '. ' if close else ''}"
        "Write a code such as de, en, en-GB or zh in the manifest (espeak-ng's own names are known), or give "
        "a pronunciation dictionary."
    )


@lru_cache
def _voices() -> dict[str, Language]:
    """Read espeak-ng's list of voices: by file name, language codes and English name, in small letters."""
    files = [file for file in Path(espeakng_loader.get_data_path(), "lang").rglob("*") if file.is_file()]
    by_code: dict[str, Language] = {}
    later: list[tuple[str, Language]] = []
    for file in sorted(files):
        lines = [line.split() for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
        name = next((" ".join(line[1:]) for line in lines if line[:1] == ["name"]), file.name)
        language = Language(name.partition(" (")[0], file.name, _scripts_of(file.name))
        by_code[file.name.casefold()] = language
        later += [(line[1].casefold(), language) for line in lines if line[:1] == ["language"]]
        later += [(name.casefold(), language), (language.name.casefold(), language)]
    for code, language in later:
        by_code.setdefault(code, language)
    return by_code


def _scripts_of(voice: str) -> tuple[str, ...]:
    base, *rest = voice.casefold().split("-")
    if "shaw" in rest:
        return ("SHAVIAN",)
    found = [script for script, voices in _SCRIPTS.items() if base in voices.split() and "latn" not in rest]
    return (*found, "LATIN") if not found or base in _LATIN_TOO.split() else tuple(found)

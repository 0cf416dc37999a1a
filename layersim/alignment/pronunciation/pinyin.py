"""Mandarin syllables in pinyin and their phones.

Conventions
-----------
- Phones are labels of the phone set ``mfa-ipa``, without tones.
- A final is split as phonetics does: glide (j, w, ɥ), vowel or falling diphthong (aj, aw, ej, ow), nasal
  coda. Every syllable has exactly one vowel, except the interjections that are a nasal (m, n, ng).
- The vowels are those of the narrow transcriptions in the references: open ``e`` is ɤ and, before a nasal, ə;
  ``ian`` and ``üan`` have ɛ, ``ie`` and ``üe`` e; ``ong`` has ʊ; ``er`` is one r-coloured ɚ; the ``i`` of
  ``zi ci si`` is z̩ and that of ``zhi chi shi ri`` ʐ̩, which the phone set knows as apical vowels. (MFA's
  dictionary of Mandarin writes e for ɛ, o for ɤ and for ə before ŋ, o ɻ for ɚ, and u for ʊ.)

References
----------
Lee & Zee, "Standard Chinese (Beijing)", Journal of the International Phonetic Association 33(1), 2003.
Duanmu, "The Phonology of Standard Chinese", 2nd edition, Oxford University Press, 2007.
"""

from __future__ import annotations

import re

PHONE_SET = "mfa-ipa"

_INITIALS = {
    "b": "p", "p": "pʰ", "m": "m", "f": "f", "d": "t", "t": "tʰ", "n": "n", "l": "l", "g": "k", "k": "kʰ",
    "h": "x", "j": "tɕ", "q": "tɕʰ", "x": "ɕ", "zh": "ʈʂ", "ch": "ʈʂʰ", "sh": "ʂ", "r": "ʐ", "z": "ts",
    "c": "tsʰ", "s": "s",
}  # fmt: skip

_FINALS = {
    "a": "a", "ai": "aj", "an": "a n", "ang": "ɑ ŋ", "ao": "aw", "e": "ɤ", "ê": "ɛ", "ei": "ej", "en": "ə n",
    "eng": "ə ŋ", "er": "ɚ", "i": "i", "ia": "j a", "ian": "j ɛ n", "iang": "j ɑ ŋ", "iao": "j aw",
    "ie": "j e", "in": "i n", "ing": "i ŋ", "io": "j o", "iong": "j ʊ ŋ", "iu": "j ow", "o": "o",
    "ong": "ʊ ŋ", "ou": "ow", "u": "u", "ua": "w a", "uai": "w aj", "uan": "w a n", "uang": "w ɑ ŋ",
    "ueng": "w ə ŋ", "ui": "w ej", "un": "w ə n", "uo": "w o", "ü": "y", "üan": "ɥ ɛ n", "üe": "ɥ e",
    "ün": "y n", "m": "m̩", "n": "n̩", "ng": "ŋ̩",
}  # fmt: skip

# Syllables without an initial are written with y or w.
_WITHOUT_INITIAL = {
    "yi": "i", "ya": "ia", "yan": "ian", "yang": "iang", "yao": "iao", "ye": "ie", "yin": "in", "ying": "ing",
    "yo": "io", "yong": "iong", "you": "iu", "yu": "ü", "yuan": "üan", "yue": "üe", "yun": "ün", "wu": "u",
    "wa": "ua", "wai": "uai", "wan": "uan", "wang": "uang", "wei": "ui", "wen": "un", "weng": "ueng",
    "wong": "ong", "wo": "uo",
}  # fmt: skip
_SYLLABLE = re.compile(r"(?P<initial>[zcs]h|[bpmfdtnlgkhjqxrzcs])(?P<final>[aeiouüê]\w*)")


def syllable_phones(syllable: str) -> tuple[str, ...] | None:
    """Return the phones of a pinyin syllable without tone, None if it is not an initial and a final.

    >>> " ".join(syllable_phones("liang")), " ".join(syllable_phones("shi")), " ".join(syllable_phones("ju"))
    ('l j ɑ ŋ', 'ʂ ʐ̩', 'tɕ y')
    >>> syllable_phones("hello")
    """
    syllable = syllable.replace("v", "ü")
    if syllable in ("hm", "hng"):  # interjections: a breathed nasal
        return ("x", _FINALS[syllable[1:]])
    initial, final = "", _WITHOUT_INITIAL.get(syllable, syllable)
    if final not in _FINALS:
        parts = _SYLLABLE.fullmatch(syllable)
        if parts is None:
            return None
        initial, final = parts["initial"], parts["final"]
    if (final.startswith("u") and initial in ("j", "q", "x")) or final == "ue":  # ü is written u there
        final = "ü" + final[1:]
    if final == "o" and initial in ("b", "p", "m", "f"):  # uo is written o there
        final = "uo"
    if final not in _FINALS:
        return None
    onset = (_INITIALS[initial],) if initial else ()
    if final == "i" and initial in ("z", "c", "s"):
        return (*onset, "z̩")
    if final == "i" and initial in ("zh", "ch", "sh", "r"):
        return (*onset, "ʐ̩")
    return (*onset, *_FINALS[final].split())

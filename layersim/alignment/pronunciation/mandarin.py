"""Mandarin texts: Han characters by their reading in context, numbers as they are read, erhua.

Conventions
-----------
- One word per Han character, one per number. Words in other scripts have no pronunciation here.
- Readings are pypinyin's, whose phrase dictionary tells apart characters with several. A neutral tone makes
  the final e a schwa (的, 了, 呢). Tones are otherwise no part of the phones.
- 儿 behind a syllable that it may colour (花儿, not 女儿 or 儿子) is a rhotic coda or a vowel of its own, and
  the syllable before it may lose its coda: the variants of both words together hold the fused syllable.

References
----------
Lee & Zee, "Standard Chinese (Beijing)", Journal of the International Phonetic Association 33(1), 2003.
Duanmu, "The Phonology of Standard Chinese", 2nd edition, Oxford University Press, 2007: the suffix -r.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from layersim.alignment.aligned import Word
from layersim.alignment.pronunciation.pinyin import syllable_phones
from layersim.alignment.pronunciation.transcript import Token, is_han

_DIGITS = "零一二三四五六七八九"
_NUMBER = re.compile(r"(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<part>\d+))?(?P<percent>%)?")
_LONGEST_COUNT = 8  # figures; a longer number is read figure by figure, as is one that starts with 0
_SUFFIX = "儿兒"
_OF_CHILDREN = "女婴嬰幼孤少胎健男宠寵"  # 女儿, 婴儿 …: here 儿 means a child and keeps its syllable
_AFTER_CHILD = "子女童孙孫媳戏戲科歌时時"  # 儿子, 儿女 …: here it begins a word
_COLOURABLE = ("a", "ɑ", "o", "ɤ", "u", "ʊ", "ə", "aw", "ow", "e", "ɛ")

Phones = tuple[str, ...]


def readings(text: str) -> list[str]:
    """Read Han characters in context: a syllable each with a tone digit, 5 for the neutral tone.

    >>> readings("银行的")
    ['yin2', 'hang2', 'de5']
    """
    from pypinyin import Style, lazy_pinyin  # here: its dictionaries take a moment to load

    unread: Any = _one_each  # pypinyin's annotation knows functions to a string only, its manual lists too
    return lazy_pinyin(text, style=Style.TONE3, neutral_tone_with_five=True, v_to_u=True, errors=unread)


def _one_each(characters: str) -> list[str]:
    return ["?"] * len(characters)  # no syllable: the characters stay without a pronunciation


def pronounce_mandarin(words: Sequence[Token], variants: bool = True) -> tuple[Word, ...]:
    """Pronounce the words of one text in phones of the set ``mfa-ipa``.

    Parameters
    ----------
    words : sequence of Token
    variants : bool
        False: one pronunciation a word.
    """
    syllables: dict[int, str] = {}
    for run in _han_runs(words):
        text = "".join(words[n].text for n in run)
        syllables.update(zip(run, readings(text), strict=True))
    found = []
    for n, token in enumerate(words):
        if n in syllables:
            forms = _forms(syllables[n])
            if forms and _is_suffix(words, n, syllables):
                forms = _suffix_forms(syllables[n - 1])
            elif forms and n + 1 < len(words) and _is_suffix(words, n + 1, syllables):
                forms = tuple(dict.fromkeys((*forms, *map(without_coda, forms))))
        else:
            forms = _number_forms(token.text)
        found.append(Word(token.text, forms if variants else forms[:1]))
    return tuple(found)


def _han_runs(words: Sequence[Token]) -> list[list[int]]:
    """Number the Han characters that stand side by side: what a reading may depend on."""
    runs: list[list[int]] = []
    for n, token in enumerate(words):
        if not is_han(token.text):
            continue
        if runs and runs[-1][-1] == n - 1 and words[n - 1].end == token.start:
            runs[-1].append(n)
        else:
            runs.append([n])
    return runs


def _forms(syllable: str) -> tuple[Phones, ...]:
    phones = syllable_phones(syllable.rstrip("12345"))
    if phones is None:
        return ()
    if syllable.endswith("5") and phones[-1] == "ɤ":
        phones = (*phones[:-1], "ə")
    return (phones,)


def _is_suffix(words: Sequence[Token], n: int, syllables: dict[int, str]) -> bool:
    if words[n].text not in _SUFFIX or n - 1 not in syllables or words[n - 1].end != words[n].start:
        return False
    after = words[n + 1].text if n + 1 < len(words) and words[n + 1].start == words[n].end else "。"
    return words[n - 1].text not in _OF_CHILDREN and after not in _AFTER_CHILD


def _suffix_forms(before: str) -> tuple[Phones, ...]:
    """A vowel of its own; behind a vowel that can take r-colour also ɻ alone."""
    forms = _forms(before)
    colourable = forms and without_coda(forms[0])[-1] in _COLOURABLE
    return (("ɚ",), ("ɻ",)) if colourable else (("ɚ",),)


def without_coda(phones: Phones) -> Phones:
    """Take from a syllable what the suffix -r displaces: a nasal, the end of aj, ej, ə, the apical vowel.

    >>> without_coda(("w", "a", "n")), without_coda(("x", "aj")), without_coda(("ʂ", "ʐ̩"))
    (('w', 'a'), ('x', 'a'), ('ʂ',))
    """
    bare = phones[:-1] if phones[-1] in ("n", "ŋ") and len(phones) > 1 else phones
    if bare[-1] == "aj":
        return (*bare[:-1], "a")
    displaced = bare[-1] in ("ej", "z̩", "ʐ̩") or (bare[-1] == "ə" and phones[-1] == "n")
    return bare[:-1] if displaced and len(bare) > 1 else bare


def _number_forms(text: str) -> tuple[Phones, ...]:
    number = _NUMBER.fullmatch(text)
    if number is None:
        return ()
    whole = number["whole"].replace(",", "")
    figures = "".join(_DIGITS[int(figure)] for figure in whole)
    by_figure = len(whole) > _LONGEST_COUNT or (whole[0] == "0" and whole != "0")
    spoken = [figures if by_figure else count(int(whole))]
    if len(whole) == 4 and number["part"] is None and figures not in spoken:
        spoken.append(figures)  # a year
    if number["part"]:
        decimals = "".join(_DIGITS[int(figure)] for figure in number["part"])
        spoken = [f"{form}点{decimals}" for form in spoken]
    if number["percent"]:
        spoken = [f"百分之{form}" for form in spoken]
    return tuple(
        tuple(phone for syllable in readings(form) for phones in _forms(syllable)[:1] for phone in phones)
        for form in spoken
    )


def count(number: int) -> str:
    """Write a number under 10^8 as it is read.

    >>> count(25), count(10), count(1999), count(20_006), count(1_050_000)
    ('二十五', '十', '一千九百九十九', '二万零六', '一百零五万')
    """
    high, low = divmod(number, 10_000)
    written = f"{_count_group(high)}万" if high else ""
    if high and 0 < low < 1000:
        written += "零"
    written += _count_group(low)
    return written.removeprefix("一") if written.startswith("一十") else written or "零"


def _count_group(number: int) -> str:
    """Write a number under 10,000 inside a larger one; nothing for 0."""
    written = ""
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        figure = number // unit % 10
        if figure:
            written += _DIGITS[figure] + name
        elif written and number % unit and not written.endswith("零"):
            written += "零"
    return written

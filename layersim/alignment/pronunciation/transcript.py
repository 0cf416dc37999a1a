"""The words of a transcript: text as people write it in, bare words with their places out.

Conventions
-----------
- Text is brought to Unicode's composed form (NFC) first; places count its characters.
- A word is a run of letters, digits and signs that are read aloud (``50%``). Apostrophes and hyphens between
  letters belong to it (``don't``, ``well-known``), and so do the points of abbreviations and numbers
  (``z.B``, ``3.5``, ``15:30``). All else parts words and is no part of them.
- Each Han character is a word of its own.
- Remarks in square, angle or curly brackets (``[laughter]``) were not said as words and are left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

_REMARK = re.compile(r"\[[^\[\]]*\]|<[^<>]*>|\{[^{}]*\}")
_APOSTROPHES = str.maketrans("’‘ʼ＇", "''''")
_SPOKEN_SIGNS = "%&@§°+=€$£¥"
_PAUSES = ".,;:?!…。，、；：？！।؟،؛"  # what tells a speaker how to read on
# Each character of a text is first turned into its kind (`_kind`): h Han, a letter or mark, 0 digit, % spoken
# sign, itself for the four below, a space for the rest. A word is then a matter of kinds alone.
_JOINING = "'-.,:"
_WORD = re.compile(r"h|(?<!a)(?:a\.)+a(?!a)|[a0%]+(?:['-]+[a0%]+|(?<=0)[.,:](?=0)[a0%]+)*")


@dataclass(frozen=True)
class Token:
    """A word of a transcript and where it stands."""

    text: str
    start: int  # its first character in the text, counted from 0
    end: int  # behind its last character


@lru_cache(maxsize=65_536)
def _kind(sign: str) -> str:
    category = unicodedata.category(sign)
    if sign == "〇" or (category == "Lo" and unicodedata.name(sign, "").startswith("CJK ")):
        return "h"
    if category[0] in "LM":
        return "a"
    if category[0] == "N":
        return "0"
    if sign in _SPOKEN_SIGNS:
        return "%"
    if sign in "‐‑":  # typographic hyphens
        return "-"
    return sign if sign in _JOINING else " "


def is_han(text: str) -> bool:
    """Say whether a text is made of Han characters alone.

    >>> is_han("中国"), is_han("中x"), is_han("")
    (True, False, False)
    """
    return bool(text) and all(_kind(sign) == "h" for sign in text)


def compose(text: str) -> tuple[str, int]:
    """Bring a text to NFC, straighten its apostrophes and blank out bracketed remarks.

    Returns
    -------
    text : str
        Remarks are replaced by as many spaces.
    remarks : int
        How many there were.

    >>> compose("I don’t [ha] know.")
    ("I don't      know.", 1)
    """
    text = unicodedata.normalize("NFC", text).translate(_APOSTROPHES)
    return _REMARK.subn(lambda remark: " " * len(remark[0]), text)


def tokens(text: str) -> list[Token]:
    """List the words of a composed text in order.

    >>> [token.text for token in tokens("Well-known, isn't it? 他说:好的。 — 3.5%, z.B. and/or 'so'!")]
    ['Well-known', "isn't", 'it', '他', '说', '好', '的', '3.5%', 'z.B', 'and', 'or', 'so']
    """
    found = _WORD.finditer("".join(map(_kind, text)))
    return [
        Token(text[match.start() : match.end()], *match.span())
        for match in found
        if match[0] != "%" or text[match.start()] in "%&@+="  # the others say nothing by themselves
    ]


def readable(text: str, words: Iterable[Token]) -> str:
    """Keep only the given words of a text and the punctuation that guides reading, each at its place.

    >>> text = "# Say *this*, now."
    >>> readable(text, tokens(text))
    '  Say  this , now.'
    """
    kept = [sign if sign in _PAUSES else " " for sign in text]
    for token in words:
        kept[token.start : token.end] = token.text
    return "".join(kept)


@lru_cache(maxsize=65_536)
def _script(letter: str) -> str:
    words = unicodedata.name(letter, "").split()
    if len(words) < 2 or words[0] in ("FEMININE", "MASCULINE", "MICRO"):  # ª, º, µ: signs of every script
        return ""
    return words[words[0] in ("FULLWIDTH", "HALFWIDTH")].split("-")[0]


def scripts(text: str) -> Counter[str]:
    """Count the letters of a text by script, named by the first word of the characters' Unicode names.

    >>> scripts("Да, yes: 好。") == {"CYRILLIC": 2, "LATIN": 3, "CJK": 1}
    True
    """
    letters = (sign for sign in text if unicodedata.category(sign) in ("Ll", "Lu", "Lo", "Lt"))
    return Counter(script for script in map(_script, letters) if script)

"""The words of a transcript: text as people write it in, bare words with their places out.

Conventions
-----------
- Text is brought to Unicode's composed form (NFC) first; places count its characters.
- White space, slashes, dashes and the punctuation of East Asian scripts part words. Punctuation around a word
  is no part of it; apostrophes, hyphens and points within it are (``don't``, ``well-known``, ``3.5``).
- Each Han character is a word of its own. So is a run of others beside it.
- Remarks in square, angle or curly brackets (``[laughter]``, ``<noise>``) were not said as words and are left out.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# CJK Unified Ideographs with extension A, compatibility and the supplementary planes; the zero 〇.
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff〇"
_REMARK = re.compile(r"\[[^\[\]]*\]|<[^<>]*>|\{[^{}]*\}")
_PIECE = re.compile(rf"[{_HAN}]|[^\s{_HAN}/\\|–—―…·、。，．！？；：（）「」『』《》〈〉【】〔〕～]+")
_SPOKEN_SIGNS = "%&@§°+=€$£¥"  # signs that are read aloud
_DOUBLED_DASH = re.compile(r"--+|\.\.+")


@dataclass(frozen=True)
class Token:
    """A word of a transcript."""

    text: str
    start: int  # first character in the text, counted from 0
    end: int  # behind its last character


def is_han(text: str) -> bool:
    """Say whether a text is made of Han characters alone.

    >>> is_han("中国"), is_han("中x"), is_han("")
    (True, False, False)
    """
    return re.fullmatch(rf"[{_HAN}]+", text) is not None


def compose(text: str) -> tuple[str, int]:
    """Bring a text to NFC, straighten its apostrophes and blank out bracketed remarks.

    Returns
    -------
    text : str
        Remarks are replaced by as many spaces.
    remarks : int
        How many there were.

    >>> compose("I don’t [laughs] know.")
    ("I don't          know.", 1)
    """
    text = unicodedata.normalize("NFC", text).replace("’", "'").replace("‘", "'")
    return _REMARK.subn(lambda remark: " " * len(remark[0]), text)


def tokens(text: str) -> list[Token]:
    """List the words of a composed text in order.

    >>> [token.text for token in tokens("Well-known, isn't it? 他说:好的。 — 3.5%!")]
    ['Well-known', "isn't", 'it', '他', '说', '好', '的', '3.5%']
    """
    text = _DOUBLED_DASH.sub(lambda dashes: " " * len(dashes[0]), text)
    found = []
    for piece in _PIECE.finditer(text):
        start, end = piece.span()
        while start < end and not _belongs(text[start], leading=True):
            start += 1
        while end > start and not _belongs(text[end - 1]):
            end -= 1
        if start < end:
            found.append(Token(text[start:end], start, end))
    return found


def _belongs(sign: str, leading: bool = False) -> bool:
    """Say whether a word may begin or end with this sign: a letter, a mark on one, a digit, a spoken sign."""
    return unicodedata.category(sign)[0] in ("LN" if leading else "LNM") or sign in _SPOKEN_SIGNS

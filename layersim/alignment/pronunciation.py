"""What phones the words of a corpus's transcripts are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from layersim.alignment import espeak_words, pinyin
from layersim.alignment.aligned import Word
from layersim.alignment.transcript import Token, compose, is_han, tokens
from layersim.errors import LayersimError


@dataclass(frozen=True)
class Pronounced:
    """Transcripts as words with their pronunciations."""

    words: list[tuple[Word, ...]]  # per text, in order; () for a text without words
    phone_set: str | None  # of the pronunciations; None if no built-in set knows them
    source: str  # where the pronunciations are from
    unknown: dict[str, int]  # how often each word without a pronunciation occurs, the most frequent first
    notes: list[str]


def pronounce(
    texts: Sequence[str], language: str, dictionary: Path | None = None, variants: bool = True
) -> Pronounced:
    """Look up how every word of some transcripts may be pronounced."""
    unique = list(dict.fromkeys(texts))
    prepared = []
    for text in unique:
        composed, _ = compose(text)
        prepared.append((composed, tokens(composed)))
    if language.split("-")[0].casefold() in ("zh", "cmn"):
        phone_set, source = pinyin.PHONE_SET, "pypinyin"
        words = [_mandarin(found) for _, found in prepared]
    else:
        phone_set, source = espeak_words.PHONE_SET, f"espeak-ng, voice {language}"
        spoken = espeak_words.speak_words(prepared, {"en": "en-us"}.get(language, language))
        words = [
            tuple(Word(token.text, forms) for token, forms in zip(found, said, strict=True))
            for (_, found), said in zip(prepared, spoken, strict=True)
        ]
    by_text = dict(zip(unique, words, strict=True))
    unknown = Counter(word.text for text in texts for word in by_text[text] if not word.pronunciations)
    return Pronounced([by_text[text] for text in texts], phone_set, source, dict(unknown.most_common()), [])


def _mandarin(found: Sequence[Token]) -> tuple[Word, ...]:
    try:
        from pypinyin import lazy_pinyin
    except ImportError:
        raise LayersimError("Mandarin needs pypinyin: pip install 'layersim[align]'.") from None
    words: list[Word] = []
    for syllable, token in zip(
        lazy_pinyin("".join(t.text for t in found if is_han(t.text))),
        [t for t in found if is_han(t.text)],
        strict=True,
    ):
        phones = pinyin.syllable_phones(syllable)
        words.append(Word(token.text, (phones,) if phones else ()))
    return tuple(words)

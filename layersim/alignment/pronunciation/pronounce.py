"""What phones the words of a corpus's transcripts are made of.

Pronunciations come from a dictionary if one is given, for Mandarin from pypinyin's readings, else from
espeak-ng. A word that nobody can pronounce, or that is in a script its language is not written in, stays in
its place with no pronunciation and is counted; it is never guessed and never left out.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from layersim.alignment.aligned import Word
from layersim.alignment.phone_set import load_phone_set
from layersim.alignment.pronunciation import espeak_words, pinyin
from layersim.alignment.pronunciation.connected_speech import variants as spoken_variants
from layersim.alignment.pronunciation.dictionary import Dictionary, read_dictionary
from layersim.alignment.pronunciation.frequent_words import likelier_language
from layersim.alignment.pronunciation.languages import MANDARIN, Language, find_language
from layersim.alignment.pronunciation.mandarin import pronounce_mandarin
from layersim.alignment.pronunciation.transcript import Token, compose, scripts, tokens
from layersim.errors import LayersimError, summarise_faults

logger = logging.getLogger(__name__)

_SHOWN = 8  # labels or words that a note lists


@dataclass(frozen=True)
class Pronounced:
    """Transcripts as words with their pronunciations."""

    words: list[tuple[Word, ...]]  # per text, in order; () for a text without words
    phone_set: str | None  # of the pronunciations; None if no built-in set knows them
    source: str  # where the pronunciations are from
    unknown: dict[str, int]  # how often each word without a pronunciation occurs, the most frequent first
    notes: list[str]


@dataclass(frozen=True)
class _Text:
    composed: str
    words: list[Token]


def pronounce(
    texts: Sequence[str], language: str, dictionary: Path | None = None, variants: bool = True
) -> Pronounced:
    """Look up how every word of some transcripts may be pronounced.

    Parameters
    ----------
    texts : sequence of str
        Transcripts, all in one language. Each different text is worked on once.
    language : str
        As manifests have it (`languages.find_language`). With a dictionary it is not
        looked at: the dictionary decides.
    dictionary : Path, optional
        In MFA's format (`dictionary`).
    variants : bool
        Whether a word may have forms of connected speech beside its first pronunciation
        (`connected_speech`, erhua). A dictionary's own pronunciations are always kept.

    Raises
    ------
    LayersimError
        If the language is not known, the texts are in another script than it, the dictionary cannot be
        read or has none of the words, or a package that is needed is not installed.
    ValueError
        If ``texts`` is one string.
    """
    if isinstance(texts, str):
        raise ValueError("texts: expected a sequence of transcripts, got one string")
    different = list(dict.fromkeys(texts))
    composed = [compose(text) for text in different]
    prepared = [_Text(text, tokens(text)) for text, _ in composed]
    if dictionary is not None:
        read = read_dictionary(dictionary)
        words, phone_set, source = (
            [read.pronounce(text.words) for text in prepared],
            read.phone_set,
            str(read.file),
        )
        notes = _dictionary_notes(read)
    else:
        spoken = find_language(language)
        occurrences = Counter(texts)
        notes = _foreign_notes(
            different, prepared, [occurrences[text] for text in different], language, spoken
        )
        notes += _language_note(prepared, [occurrences[text] for text in different], language, spoken)
        if spoken.voice == MANDARIN:
            words = [pronounce_mandarin(text.words, variants) for text in prepared]
            phone_set, source = pinyin.PHONE_SET, "pypinyin"
        else:
            words = _by_espeak(prepared, spoken, variants)
            phone_set, source = espeak_words.PHONE_SET, f"espeak-ng, voice {spoken.voice}"
            notes += _label_notes(words, phone_set)
    by_text = dict(zip(different, words, strict=True))
    remarks = dict(zip(different, (number for _, number in composed), strict=True))
    if left_out := sum(remarks[text] for text in texts):
        notes.append(f"remarks in brackets, such as [laughter], that are not taken for words: {left_out}")
    everything = [word for text in texts for word in by_text[text]]
    unknown = Counter(word.text for word in everything if not word.pronunciations)
    if dictionary is not None and everything and unknown.total() == len(everything):
        raise LayersimError(
            f"{dictionary}: has none of the {len(unknown)} words of the transcripts, such as "
            f"{', '.join(list(unknown)[:_SHOWN])}. Give a dictionary of their language."
        )
    return Pronounced(
        [by_text[text] for text in texts], phone_set, source, dict(unknown.most_common()), notes
    )


def _by_espeak(prepared: Sequence[_Text], language: Language, variants: bool) -> list[tuple[Word, ...]]:
    """Pronounce by espeak-ng; words in another script are not given to it."""
    own = [[token for token in text.words if _is_of(token, language.scripts)] for text in prepared]
    forms = espeak_words.speak_words(
        [(text.composed, words) for text, words in zip(prepared, own, strict=True)], language.voice
    )
    found = []
    for text, words, said in zip(prepared, own, forms, strict=True):
        following = [*(form[0][0] if form else "" for form in said[1:]), ""]
        listed = {
            token: spoken_variants(here, token.text, language.voice, after) if variants else here[:1]
            for token, here, after in zip(words, said, following, strict=False)
        }
        found.append(tuple(Word(token.text, listed.get(token, ())) for token in text.words))
    return found


def _is_of(token: Token, allowed: Collection[str]) -> bool:
    return all(script in allowed for script in scripts(token.text))


def _foreign_notes(
    texts: Sequence[str], prepared: Sequence[_Text], occurrences: Sequence[int], code: str, language: Language
) -> list[str]:
    """Count words in a script that is not the language's; refuse texts that are mostly so."""
    foreign, total = Counter[str](), 0
    strangers = []
    for text, shown, times in zip(prepared, texts, occurrences, strict=True):
        here = [token.text for token in text.words if not _is_of(token, language.scripts)]
        foreign.update({word: here.count(word) * times for word in here})
        total += len(text.words) * times
        if here:
            strangers.append(shown)
    if 2 * foreign.total() > total:
        raise LayersimError(
            summarise_faults(
                f"language {code!r}: {foreign.total()} of {total} words are not in the script of "
                f"{language.name} ({', '.join(map(_script_name, language.scripts))})",
                strangers,
                "Write into the manifest which language they are in, or give a pronunciation dictionary.",
                shown=3,
            )
        )
    if not foreign:
        return []
    return [
        f"{foreign.total()} of {total} words are not in the script of {language.name} and have no "
        f"pronunciation: {_listed(foreign)}"
    ]


def _language_note(
    prepared: Sequence[_Text], occurrences: Sequence[int], code: str, language: Language
) -> list[str]:
    """Say so where the texts look like another language in the same script."""
    words = Counter[str]()
    for text, times in zip(prepared, occurrences, strict=True):
        for token in text.words:
            words[token.text] += times
    other = likelier_language(words, language.voice)
    if other is None:
        return []
    note = (
        f"the texts look like {find_language(other).name}, and the manifest says {code!r}: if so, every "
        "phone is a guess. Check the column language"
    )
    logger.warning(note)
    return [note]


def _script_name(script: str) -> str:
    return "Han" if script == "CJK" else script.capitalize()


def _label_notes(words: Sequence[tuple[Word, ...]], phone_set: str) -> list[str]:
    known = load_phone_set(phone_set)
    labels = Counter(
        phone for text in words for word in text for form in word.pronunciations for phone in form
    )
    strange = [label for label in labels if known.find(label) is None]
    if not strange:
        return []
    return [f"phones of espeak-ng that are not in the phone set {phone_set}: {_listed(strange)}"]


def _dictionary_notes(dictionary: Dictionary) -> list[str]:
    if dictionary.phone_set is None:
        return [
            f"{dictionary.file}: no built-in phone set knows its phones, such as "
            f"{_listed(dictionary.unknown_phones)}; add one of your own for the vowel level"
        ]
    if dictionary.unknown_phones:
        return [
            f"{dictionary.file}: the phone set {dictionary.phone_set} does not know "
            f"{len(dictionary.unknown_phones)} of its phones: {_listed(dictionary.unknown_phones)}"
        ]
    return []


def _listed(names: Collection[str]) -> str:
    return ", ".join(list(names)[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")

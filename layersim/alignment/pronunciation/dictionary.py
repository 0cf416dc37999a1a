"""Pronunciation dictionaries in the format of the Montreal Forced Aligner.

Format
------
One pronunciation a line: a word, then its phones, parted by a tab or spaces. MFA may write up to four
probabilities between them, numbers with a point; the first, the pronunciation's own, orders a word's
pronunciations. A word has as many lines as pronunciations. ``;;;`` begins a comment, and a number in brackets
behind a word (``READ(2)``) counts its pronunciations, as in the CMU dictionary.

Conventions
-----------
- Words are in Unicode's composed form (NFC). A word that is not there as written is looked for in other case,
  then in parts at its hyphens and apostrophes.
- Tones are taken off the phones (tone letters; digits in pinyin): an aligner by spectrum does not hear them,
  and pronunciations that differ in nothing else are one. Stress digits of ARPAbet stay.
- Entries whose only phone is ``spn`` or ``sil`` stand for noises; they are no words.
- Words of Han characters have no spaces between them: the longest word of the dictionary is taken, from the
  left. A dictionary of pinyin syllables is read by their readings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice, product
from pathlib import Path

from layersim.alignment.aligned import Word
from layersim.alignment.phone_set import load_phone_set
from layersim.alignment.pronunciation.mandarin import readings
from layersim.alignment.pronunciation.pinyin import syllable_phones
from layersim.alignment.pronunciation.transcript import Token, is_han
from layersim.alignment.segments import phone_kind
from layersim.alignment.text import read_text
from layersim.alignment.vowels import detect_phone_set
from layersim.errors import LayersimError, summarise_faults

_PROBABILITY = re.compile(r"\d*\.\d+(?:[eE][-+]?\d+)?|\d+(?:\.\d*)?[eE][-+]?\d+")
_COUNTED = re.compile(r"(?<=.)\(\d+\)$")
_NOISES = ("spn", "sil", "sp", "nsn")
_TONE_LETTERS = re.compile(r"[˥˦˧˨˩]+")
_TONE_DIGITS = re.compile(r"(?<=[^\W\d_])[1-5]$")
_PARTS = (re.compile(r"'?[^'-]+"), re.compile(r"[^'-]+'?"))  # kid 's; l' homme
_KNOWN_ENOUGH = 0.9  # share of the phones that a phone set must know to be the dictionary's
_LONGEST_LINE = 10_000  # characters; composing them can take as many steps as their square
_MOST_IN_PARTS = 8  # pronunciations of a word put together from parts

Phones = tuple[str, ...]


@dataclass(frozen=True)
class Dictionary:
    """Words and their pronunciations."""

    file: Path
    entries: Mapping[str, tuple[Phones, ...]]  # the likeliest pronunciation first
    phone_set: str | None  # the built-in set that knows its phones, None if none does
    unknown_phones: tuple[str, ...]  # those that this set does not know

    @cached_property
    def _in_small_letters(self) -> dict[str, tuple[Phones, ...]]:
        merged: dict[str, tuple[Phones, ...]] = {}
        for word, forms in self.entries.items():
            small = word.casefold()
            merged[small] = tuple(dict.fromkeys((*merged.get(small, ()), *forms)))
        return merged

    @cached_property
    def _longest_han(self) -> int:
        return max((len(word) for word in self.entries if is_han(word)), default=0)

    @cached_property
    def _is_of_syllables(self) -> bool:
        syllables = sum(syllable_phones(word.rstrip("12345")) is not None for word in self.entries)
        return 2 * syllables > len(self.entries)

    def find(self, word: str) -> tuple[Phones, ...]:
        """Return the pronunciations of a word, () if it is not there, nor its parts."""
        word = unicodedata.normalize("NFC", word)
        if found := self._find_whole(word):
            return found
        for pattern in _PARTS:
            parts = pattern.findall(word)
            choices = [
                self.entries.get(part) or self._in_small_letters.get(part.casefold()) for part in parts
            ]
            known = [forms for forms in choices if forms]
            if len(parts) == len(known) > 1:
                whole = islice(product(*known), _MOST_IN_PARTS)
                return tuple(dict.fromkeys(tuple(chain.from_iterable(forms)) for forms in whole))
        return ()

    def _find_whole(self, word: str) -> tuple[Phones, ...]:
        return self.entries.get(word) or self._in_small_letters.get(word.casefold(), ())

    def pronounce(self, words: Sequence[Token]) -> tuple[Word, ...]:
        """Pronounce the words of one text; Han characters side by side become the dictionary's words."""
        found: list[Word] = []
        n = 0
        while n < len(words):
            if not is_han(words[n].text):
                found.append(Word(words[n].text, self.find(words[n].text)))
                n += 1
                continue
            end = n + 1
            while end < len(words) and is_han(words[end].text) and words[end].start == words[end - 1].end:
                end += 1
            run = "".join(token.text for token in words[n:end])
            found += self._segment(run) if not self._is_of_syllables else self._by_syllable(run)
            n = end
        return tuple(found)

    def _segment(self, run: str) -> Iterator[Word]:
        """Part Han characters into the longest words that the dictionary has, from the left."""
        start = 0
        while start < len(run):
            lengths = range(min(self._longest_han, len(run) - start), 1, -1)
            length = next((n for n in lengths if run[start : start + n] in self.entries), 1)
            text = run[start : start + length]
            yield Word(text, self.entries.get(text, ()))
            start += length

    def _by_syllable(self, run: str) -> Iterator[Word]:
        for character, syllable in zip(run, readings(run), strict=True):
            bare = syllable.rstrip("12345")
            spellings = (syllable, syllable.replace("ü", "v"), bare, bare.replace("ü", "v"))
            found = next((self.entries[spelling] for spelling in spellings if spelling in self.entries), ())
            yield Word(character, found)


def read_dictionary(file: Path) -> Dictionary:
    """Read a pronunciation dictionary.

    Raises
    ------
    LayersimError
        If the file cannot be read, has no words, or has rows without phones or with silence among them; the
        first ten are named.
    """
    rows: dict[str, list[tuple[float, Phones]]] = {}
    faults = []
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if not line.strip() or line.startswith(";;;"):
            continue
        if len(line) > _LONGEST_LINE:
            faults.append(f"row {number}: has {len(line)} characters, which are no word and its phones")
            continue
        if line[0].isspace():
            faults.append(f"row {number}: {line.strip()!r} has no word before its phones")
            continue
        first, *rest = unicodedata.normalize("NFC", line).split()
        numbers = 0
        while numbers < min(4, len(rest)) and _PROBABILITY.fullmatch(rest[numbers]):
            numbers += 1
        probability = float(rest[0]) if numbers else 1.0
        phones = tuple(rest[numbers:])
        if not phones:
            faults.append(f"row {number}: word {first!r} has no phones")
        elif not 0 <= probability <= 1:
            faults.append(f"row {number}: word {first!r} has the probability {probability}, not within 0..1")
        elif len(phones) == 1 and phones[0].casefold() in _NOISES:
            continue
        elif silent := next((phone for phone in phones if phone_kind(phone) == "silence"), None):
            faults.append(f"row {number}: word {first!r} has {silent!r} among its phones, which is silence")
        else:
            rows.setdefault(_COUNTED.sub("", first), []).append((probability, phones))
    if faults:
        raise LayersimError(
            summarise_faults(
                f"{file}: {len(faults)} bad rows",
                faults,
                "Write a word, a tab and its phones with spaces between them in each row.",
            )
        )
    if not rows:
        raise LayersimError(
            f"{file}: no word with phones in it. Give a pronunciation dictionary in MFA's format: a word, a "
            "tab and its phones in each row."
        )
    return _finish(file, rows)


def _finish(file: Path, rows: Mapping[str, list[tuple[float, Phones]]]) -> Dictionary:
    spelt = [phone for forms in rows.values() for _, phones in forms for phone in phones]
    name, share = detect_phone_set(spelt)
    toneless = {phone: _without_tone(phone, name) for phone in dict.fromkeys(spelt)}
    entries = {}
    for word, forms in rows.items():
        ordered = sorted(forms, key=lambda form: -form[0])  # stable: of equals, as in the file
        entries[word] = tuple(dict.fromkeys(tuple(toneless[p] for p in phones) for _, phones in ordered))
    phone_set = load_phone_set(name) if share >= _KNOWN_ENOUGH else None
    unknown = [phone for phone in toneless if phone_set is None or phone_set.find(phone) is None]
    return Dictionary(file, entries, phone_set.name if phone_set else None, tuple(dict.fromkeys(unknown)))


def _without_tone(phone: str, phone_set: str) -> str:
    bare = _TONE_LETTERS.sub("", phone)
    if phone_set == "pinyin":
        bare = _TONE_DIGITS.sub("", bare)
    return bare or phone

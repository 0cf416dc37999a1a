"""How espeak-ng pronounces the words of a text: in the sentence, and alone.

Labels are those of its phone events, the phone set ``espeak-ipa``: exactly what `espeak`
gives with times. A pronunciation is read off those events, so that what connected speech does to a word
(weak forms, flaps, linking) is in it.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from layersim.alignment.pronunciation.espeak import Line, Speech, synthesise
from layersim.alignment.pronunciation.transcript import Token, readable

PHONE_SET = "espeak-ipa"

Phones = tuple[str, ...]


def speak_words(texts: Sequence[tuple[str, Sequence[Token]]], voice: str) -> list[list[tuple[Phones, ...]]]:
    """Return for each word of each text its pronunciations: in its sentence, then alone where that differs.

    Parameters
    ----------
    texts : sequence of (text, its words)
        Only these words are spoken, in one breath with each other.
    voice : str
        Of espeak-ng.

    Raises
    ------
    LayersimError
        If espeak-ng cannot be started, has no such voice, or ends early.
    """
    forms = list(dict.fromkeys(token.text for _, words in texts for token in words))
    alone = {
        form: _whole(label for _, label in speech.labels)
        for form, speech in zip(forms, synthesise([Line(form, voice) for form in forms]), strict=True)
    }
    spoken = synthesise([Line(readable(text, words), voice) for text, words in texts if words])
    return [
        [
            tuple(dict.fromkeys(form for form in (here, alone[token.text]) if form))
            for token, here in zip(words, _by_word(words, next(spoken), alone) if words else (), strict=True)
        ]
        for _, words in texts
    ]


def _by_word(words: Sequence[Token], speech: Speech, alone: dict[str, Phones]) -> list[Phones]:
    """Give each word the phones that espeak-ng spoke for it; words that it ran together are parted."""
    starts = [token.start for token in words]
    spoken: list[list[str]] = [[] for _ in words]
    for character, label in speech.labels:
        spoken[max(bisect_right(starts, character) - 1, 0)].append(label)
    firsts = [n for n, labels in enumerate(spoken) if labels or n == 0]
    result: list[Phones] = []
    for first, following in pairwise((*firsts, len(words))):
        result += part(_whole(spoken[first]), [alone[token.text] for token in words[first:following]])
    return result


def _whole(labels: Iterable[str]) -> Phones:
    """Join what is only a mark, such as the ʲ of Russian, to the phone before it."""
    phones: list[str] = []
    for label in labels:
        if phones and all(unicodedata.category(sign) == "Lm" for sign in label):
            phones[-1] += label
        else:
            phones.append(label)
    return tuple(phones)


def part(spoken: Phones, words: Sequence[Phones]) -> list[Phones]:
    """Part the phones of words that were spoken as one, where they match the words' own forms best.

    The cost of a match is the least number of phones put in, left out or replaced (Levenshtein, 1966), and a
    half for a word left without a phone; of equals, the earliest parting.

    >>> part(("ʌ", "v", "ð", "ɪ"), [("ʌ", "v"), ("ð", "ə")])
    [('ʌ', 'v'), ('ð', 'ɪ')]
    """
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}  # end -> cost, ends of the words so far
    for number, word in enumerate(words, start=1):
        ends: Iterable[int] = range(len(spoken) + 1) if number < len(words) else (len(spoken),)
        best = {
            end: min(
                (cost + _distance(spoken[start:end], word) + 0.5 * (start == end), (*cuts, end))
                for start, (cost, cuts) in best.items()
                if start <= end
            )
            for end in ends
        }
    return [spoken[start:end] for start, end in pairwise((0, *best[len(spoken)][1]))]


def _distance(one: Sequence[str], other: Sequence[str]) -> int:
    row = list(range(len(other) + 1))
    for n, left in enumerate(one, start=1):
        diagonal, row[0] = row[0], n
        for m, right in enumerate(other, start=1):
            diagonal, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, diagonal + (left != right))
    return row[-1]

"""How espeak-ng pronounces the words of a text: in the sentence, and alone.

Labels are those of its phone events, the phone set ``espeak-ipa``: exactly what `layersim.alignment.espeak`
gives with times. A pronunciation is read off those events, so that what connected speech does to a word
(weak forms, linking) is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from layersim.alignment.espeak import Line, Phone, synthesise
from layersim.alignment.transcript import Token

PHONE_SET = "espeak-ipa"

Phones = tuple[str, ...]


def speak_words(texts: Sequence[tuple[str, list[Token]]], voice: str) -> list[list[tuple[Phones, ...]]]:
    """Return for each word of each text its pronunciations: in its sentence, then alone where that differs.

    Parameters
    ----------
    texts : sequence of (text, its words)
    voice : str
        Of espeak-ng.

    Raises
    ------
    LayersimError
        If espeak-ng cannot be started, has no such voice, or ends early.
    """
    forms = list(dict.fromkeys(token.text for _, tokens in texts for token in tokens))
    alone = {
        form: tuple(phone.label for phone in speech.phones)
        for form, speech in zip(forms, synthesise([Line(form, voice) for form in forms]), strict=True)
    }
    sentences = [Line(text, voice) for text, tokens in texts if tokens]
    spoken = synthesise(sentences)
    found: list[list[tuple[Phones, ...]]] = []
    for _, tokens in texts:
        phones = _by_word(tokens, next(spoken).phones, alone) if tokens else []
        pairs = ((here, alone[token.text]) for token, here in zip(tokens, phones, strict=True))
        found.append([tuple(dict.fromkeys(form for form in pair if form)) for pair in pairs])
    spoken.close()
    return found


def _by_word(tokens: Sequence[Token], phones: Sequence[Phone], alone: dict[str, Phones]) -> list[Phones]:
    """Give each word the phones that espeak-ng spoke for it; words that it ran together are parted."""
    starts = [token.start for token in tokens]
    spoken: list[list[str]] = [[] for _ in tokens]
    for phone in phones:
        word = max(sum(start <= phone.character for start in starts) - 1, 0)
        spoken[word].append(phone.label)
    result: list[Phones] = []
    silent_from = [n for n, labels in enumerate(spoken) if labels or n == 0] + [len(tokens)]
    for first, following in pairwise(silent_from):
        together = [alone[token.text] for token in tokens[first:following]]
        result += part(tuple(spoken[first]), together)
    return result


def part(spoken: Phones, words: Sequence[Phones]) -> list[Phones]:
    """Part the phones of words that were spoken as one, where they match the words' own forms best.

    The cost of a match is the least number of phones put in, left out or replaced (Levenshtein 1966); of
    equals, the parting that leaves no word without a phone, then the earliest.

    >>> part(("ʌ", "v", "ð", "ɪ"), [("ʌ", "v"), ("ð", "ə")])
    [('ʌ', 'v'), ('ð', 'ɪ')]
    """
    if len(words) == 1:
        return [spoken]
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for word in words:
        following: dict[int, tuple[float, tuple[int, ...]]] = {}
        for start, (cost, cuts) in best.items():
            for end in range(start, len(spoken) + 1):
                total = cost + _distance(spoken[start:end], word) + (0.5 if end == start else 0.0)
                if end not in following or total < following[end][0]:
                    following[end] = (total, (*cuts, end))
        best = following
    _, cuts = best[len(spoken)]
    return [spoken[start:end] for start, end in pairwise((0, *cuts))]


def _distance(one: Sequence[str], other: Sequence[str]) -> int:
    row = list(range(len(other) + 1))
    for n, left in enumerate(one, start=1):
        diagonal, row[0] = row[0], n
        for m, right in enumerate(other, start=1):
            diagonal, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, diagonal + (left != right))
    return row[-1]

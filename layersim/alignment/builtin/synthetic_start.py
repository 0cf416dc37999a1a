"""How phones sound before a corpus has been heard: synthetic speech, whose phones' times are exact.

A GMM-HMM that starts from an even division of each utterance settles where phones begin and end by itself,
and settles late: its vowels begin 14 ms after hand-set boundaries (median, Emo-DB). Started from synthetic
speech of the same sentences, it keeps to where phones really change; reports/benchmarks.md has the figures.

espeak-ng speaks some of the corpus's own texts with several voices. Where pronunciations are not espeak-ng's
(a dictionary, pypinyin), the times go over to the other phones by matching the two sequences
(`match_phones`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import soxr

from layersim.alignment.aligned import Word
from layersim.alignment.builtin.acoustic_model import SILENCE, Span
from layersim.alignment.builtin.cepstra import SHIFT, Frames, Normaliser, cepstra, with_derivatives
from layersim.alignment.phone_set import Kind, PhoneSet, load_phone_set
from layersim.alignment.pronunciation.espeak import SAMPLE_RATE as ESPEAK_RATE
from layersim.alignment.pronunciation.espeak import Line, Phone, synthesise
from layersim.alignment.pronunciation.espeak_words import PHONE_SET as ESPEAK_SET
from layersim.alignment.pronunciation.transcript import compose, readable, tokens
from layersim.corpus.audio import SAMPLE_RATE
from layersim.workspace import Progress, no_progress

# espeak-ng's voice variants and words a minute: four low and four high voices, slow to fast.
_SPEAKERS = (
    ("m1", 150), ("f1", 165), ("m3", 175), ("f2", 190), ("m7", 200), ("f4", 180), ("m5", 160), ("f5", 170),
)  # fmt: skip
_LINES = 160  # spoken at most: about five minutes of speech
_NOISE = 3e-4  # of full scale: digital silence has no spectrum

_OTHER_SOUND, _OTHER_KIND, _LEFT_OUT = 0.6, 1.5, 1.0  # costs of matching; the same sound costs nothing


Cost = Callable[[str, str], float]
"""What it costs to say that one phone stands for another; 0 for the same sound."""


def sound_cost(ours: PhoneSet, theirs: PhoneSet) -> Cost:
    """Compare phones of two sets by their shared classes.

    >>> cost = sound_cost(load_phone_set("arpabet"), load_phone_set("espeak-ipa"))
    >>> cost("IY1", "iː"), cost("IY1", "a"), cost("IY1", "t")
    (0.0, 0.6, 1.5)
    """
    kinds: tuple[Kind, ...] = ("vowel", "consonant")

    @cache
    def cost(our: str, their: str) -> float:
        for kind in kinds:
            one, other = ours.find(our, kind), theirs.find(their, kind)
            if one and other:
                return 0.0 if one == other else _OTHER_SOUND
        return _OTHER_KIND

    return cost


def synthetic_utterances(
    transcripts: Sequence[tuple[str, tuple[Word, ...]]],
    voice: str,
    phone_set: str,
    seed: int,
    progress: Progress = no_progress,
) -> list[tuple[Frames, list[Span]]]:
    """Speak some transcripts and say when each of their phones is heard.

    Parameters
    ----------
    transcripts : sequence of (text, words)
        Those that are spoken are chosen so that every phone is heard often.
    voice : str
        espeak-ng's, of the transcripts' language.
    phone_set : str
        Of the words' pronunciations, of which the first is taken.
    seed : int
        Of the noise laid under the speech.

    Returns
    -------
    list of (frames, spans)
        Frames are normalised per voice; spans cover all of them, silence included.
    """
    chosen = choose_transcripts(transcripts, _LINES)
    every = max(1, min(len(_SPEAKERS), _LINES // max(1, len(chosen))))  # voices that speak one text
    lines: dict[int, list[tuple[str, list[str]]]] = defaultdict(list)
    for place, (text, words) in enumerate(chosen):
        phones = [label for word in words for label in word.pronunciations[0]]
        plain, _ = compose(text)
        for turn in range(every):
            lines[(place + turn) % len(_SPEAKERS)].append((readable(plain, tokens(plain)), phones))
    cost = sound_cost(load_phone_set(phone_set), load_phone_set(ESPEAK_SET))
    found: list[tuple[Frames, list[Span]]] = []
    total, done = sum(map(len, lines.values())), 0
    rng = np.random.default_rng(seed)
    for number, spoken in sorted(lines.items()):
        variant, rate = _SPEAKERS[number]
        requests = [Line(text, f"{voice}+{variant}", rate=rate, pitch_range=60) for text, _ in spoken]
        heard, timed = [], []
        for (_, phones), speech in zip(spoken, synthesise(requests), strict=True):
            progress("hearing synthetic speech", done, total)
            done += 1
            wave = soxr.resample(speech.wave.astype(np.float32) / 32768, ESPEAK_RATE, SAMPLE_RATE)
            noise = rng.normal(0.0, _NOISE, len(wave))
            heard.append(with_derivatives(cepstra((wave + noise).astype(np.float32))))
            timed.append(spans_of(match_phones(phones, speech.phones, cost), len(heard[-1])))
        normalise = Normaliser.of(heard)
        found += [(normalise(frames), spans) for frames, spans in zip(heard, timed, strict=True)]
    progress("hearing synthetic speech", total, total)
    return found


def choose_transcripts(
    transcripts: Sequence[tuple[str, tuple[Word, ...]]], count: int
) -> list[tuple[str, tuple[Word, ...]]]:
    """Choose different transcripts in which every phone is heard, the rare ones as often as can be.

    Always next is the one whose phones have been heard least so far, for its length. Of equals, the first.
    A transcript with a word that nobody knows is not spoken: it would be heard in the wrong place.
    """
    waiting = {
        transcript: Counter(label for word in transcript[1] for label in word.pronunciations[0])
        for transcript in transcripts
        if transcript[1] and all(word.pronunciations for word in transcript[1])
    }
    chosen: list[tuple[str, tuple[Word, ...]]] = []
    heard: Counter[str] = Counter()
    # A corpus may have 100,000 texts; the first few thousand hold every phone of a language.
    pool = dict(list(waiting.items())[:2000])
    while pool and len(chosen) < count:
        best = max(pool, key=lambda transcript: _news(pool[transcript], heard))
        heard += pool.pop(best)
        chosen.append(best)
    return chosen


def _news(phones: Mapping[str, int], heard: Mapping[str, int]) -> float:
    return sum(number / (1 + heard[label]) for label, number in phones.items()) / sum(phones.values())


def match_phones(ours: Sequence[str], theirs: Sequence[Phone], cost: Cost) -> list[Phone]:
    """Give the times of one sequence of phones to another of the same words.

    The two are matched in order at the least cost; leaving a phone out costs 1. Ours that match nothing share
    the time of the one before them (at the beginning: after them); theirs that match nothing lengthen the one
    before them (at the beginning: after them).

    Returns
    -------
    list of Phone
        One per phone of ours, in order; none if ``theirs`` is empty.

    >>> cost = sound_cost(load_phone_set("mfa-ipa"), load_phone_set("espeak-ipa"))
    >>> theirs = [Phone(0.0, 0.1, "l"), Phone(0.1, 0.3, "iɑ"), Phone(0.3, 0.4, "ŋ")]
    >>> [(round(p.start, 2), p.label) for p in match_phones(["l", "j", "a", "ŋ"], theirs, cost)]
    [(0.0, 'l'), (0.05, 'j'), (0.1, 'a'), (0.3, 'ŋ')]
    """
    if not ours or not theirs:
        return []
    partner = _partners(ours, theirs, cost)
    matched = [place for place, match in enumerate(partner) if match is not None] or [0]
    begins = [0, *matched[1:], len(ours)]  # ours that share one time
    taken = [0, *(partner[place] or 0 for place in matched[1:]), len(theirs)]  # theirs that give it
    timed: list[Phone] = []
    for group, (first, stop) in zip(pairwise(begins), pairwise(taken), strict=True):
        labels = ours[group[0] : group[1]]
        edges = np.linspace(theirs[first].start, theirs[stop - 1].end, len(labels) + 1).tolist()
        timed += [Phone(*times, label) for times, label in zip(pairwise(edges), labels, strict=True)]
    return timed


def _partners(ours: Sequence[str], theirs: Sequence[Phone], cost: Cost) -> list[int | None]:
    """For each of ours the place of its match, by dynamic programming (Needleman & Wunsch 1970)."""
    rows, columns = len(ours), len(theirs)
    price = np.array([[cost(our, their.label) for their in theirs] for our in ours])
    best = np.zeros((rows + 1, columns + 1))
    best[:, 0], best[0] = _LEFT_OUT * np.arange(rows + 1), _LEFT_OUT * np.arange(columns + 1)
    for row in range(rows):
        for column in range(columns):
            best[row + 1, column + 1] = min(
                best[row, column] + price[row, column],
                best[row, column + 1] + _LEFT_OUT,
                best[row + 1, column] + _LEFT_OUT,
            )
    partner: list[int | None] = [None] * rows
    row, column = rows, columns
    while row and column:
        if np.isclose(best[row, column], best[row - 1, column - 1] + price[row - 1, column - 1]):
            row, column = row - 1, column - 1
            partner[row] = column
        elif np.isclose(best[row, column], best[row - 1, column] + _LEFT_OUT):
            row -= 1
        else:
            column -= 1
    return partner


def spans_of(phones: Sequence[Phone], frames: int) -> list[Span]:
    """Turn times into spans that cover all frames, silence between them.

    >>> spans_of([Phone(0.005, 0.02, "a")], 5)
    [Span(first=0, stop=1, label='sil', begins_word=False),
     Span(first=1, stop=4, label='a', begins_word=False),
     Span(first=4, stop=5, label='sil', begins_word=False)]
    """
    centres = (np.arange(frames) + 0.5) * SHIFT
    spans: list[Span] = []
    here = 0
    for phone in phones:
        first, stop = (int(place) for place in np.searchsorted(centres, (phone.start, phone.end)))
        if first > here:
            spans.append(Span(here, first, SILENCE, False))
        if stop > first:
            spans.append(Span(first, stop, phone.label, False))
        here = max(here, stop)
    if here < frames:
        spans.append(Span(here, frames, SILENCE, False))
    return spans

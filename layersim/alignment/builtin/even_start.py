"""Where the phones of an utterance may be, for all that its loudness tells: a start without synthetic speech.

An even division of the whole utterance lets the first phone swallow the leading silence, and the model never
finds out. Speech is therefore taken to begin and end where the utterance becomes loud, and a vowel gets a
longer share of it than a consonant. For languages that espeak-ng does not speak.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from layersim.alignment.aligned import Word
from layersim.alignment.builtin.acoustic_model import SILENCE, STATES, UNNAMED, Span
from layersim.alignment.builtin.cepstra import loud_frames
from layersim.alignment.phone_set import PhoneSet

VOWEL_SHARE = 1.6  # of a consonant's length


def even_spans(words: Sequence[Word], log_energy: NDArray[np.float32], phone_set: PhoneSet) -> list[Span]:
    """Divide an utterance among the phones of some words.

    Parameters
    ----------
    log_energy : ndarray, shape (T,)

    Returns
    -------
    list of Span
        Covering all frames; none if the utterance is too short for the phones.

    >>> from layersim.alignment.phone_set import load_phone_set
    >>> ipa = load_phone_set("mfa-ipa")
    >>> loudness = np.array([0] * 10 + [9] * 26 + [0] * 10, dtype=np.float32)
    >>> [tuple(span[:3]) for span in even_spans([Word("ba", (("b", "a"),))], loudness, ipa)]
    [(0, 10, 'sil'), (10, 20, 'b'), (20, 36, 'a'), (36, 46, 'sil')]
    """
    labels = [label for word in words for label in (word.pronunciations or ((UNNAMED,),))[0]]
    loud = loud_frames(log_energy)
    first, stop = int(loud[0]), int(loud[-1]) + 1
    if stop - first < STATES * len(labels):
        first, stop = 0, len(log_energy)
    if stop - first < STATES * len(labels) or not labels:
        return []
    shares = np.array([VOWEL_SHARE if phone_set.find(label) else 1.0 for label in labels])
    edges = first + np.rint(np.concatenate([[0.0], np.cumsum(shares)]) / shares.sum() * (stop - first))
    marks = [0, *edges.astype(int).tolist(), len(log_energy)]
    named = [SILENCE, *labels, SILENCE]
    return [
        Span(begin, end, label, False)
        for begin, end, label in zip(marks[:-1], marks[1:], named, strict=True)
        if end > begin
    ]

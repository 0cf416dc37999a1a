"""What makes an alignment suspicious. A flag is a reason to look, and changes nothing.

======================  ======================================================================================
``durations``           A phone longer than 0.5 s, or more than a third of the phones at 30 ms or less, which
                        is the shortest that a model of three states can say: the words are not what is said,
                        or lie on silence. In Emo-DB's hand labels (acted, seven emotions, 12,372 phones) the
                        longest phone has 0.36 s, and no utterance has more than 27 % of so short phones.
``silence``             Less than half of the time from the first phone's start to the last one's end is
                        speech. In the same labels the lowest share is 0.53.
``score``               Log-likelihood per frame more than 3.5 robust standard deviations (1.4826 times the
                        median absolute deviation) below the median of the corpus's utterances in that
                        language: the usual cut for outliers (Iglewicz & Hoaglin 1993). Not looked at below
                        20 utterances.
``spn``                 The aligner heard speech that it could not name.
``unknown words``       Some of its words have no pronunciation.
======================  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layersim.alignment.aligned import Alignment
from layersim.alignment.segments import UNNAMED, Segment

FLAGS = ("durations", "silence", "score", "spn", "unknown words")

LONGEST_PHONE = 0.5  # seconds
SHORTEST_PHONE = 0.03  # seconds: three states of 10 ms
SHORT_SHARE = 1 / 3
SPEECH_SHARE = 0.5
DEVIATIONS = 3.5
_ROBUST = 1.4826  # makes the median absolute deviation of normal values their standard deviation
_FEWEST_SCORES = 20
_NOISE = 1e-6  # seconds: times are sums of floats


def speech_share(phones: Sequence[Segment]) -> float:
    """Share of the time between the first phone's start and the last one's end that phones cover, 0..1.

    >>> speech_share([Segment(1.0, 1.5, "a"), Segment(2.0, 3.0, "b")])
    0.75
    """
    spoken = sum(phone.end - phone.start for phone in phones)
    return min(1.0, spoken / (phones[-1].end - phones[0].start))


def shape_flags(alignment: Alignment, unknown_words: int) -> list[str]:
    """Return the flags that an alignment shows by itself: all but ``score``.

    Parameters
    ----------
    alignment : Alignment
        With at least one phone.
    """
    lengths = [phone.end - phone.start for phone in alignment.phones]
    short = sum(length <= SHORTEST_PHONE + _NOISE for length in lengths)
    found = []
    if max(lengths) > LONGEST_PHONE + _NOISE or short > SHORT_SHARE * len(lengths):
        found.append("durations")
    if speech_share(alignment.phones) < SPEECH_SHARE:
        found.append("silence")
    if any(phone.label.casefold() in UNNAMED for phone in alignment.phones):
        found.append("spn")
    if unknown_words:
        found.append("unknown words")
    return found


def low_score(scores: Sequence[float]) -> float | None:
    """Return the log-likelihood per frame below which an utterance is flagged; None if too few are known.

    >>> low_score([0.0, -1.0, 1.0] * 10)  # median 0, median absolute deviation 1
    -5.1891
    """
    if len(scores) < _FEWEST_SCORES:
        return None
    values = np.array(scores, dtype=np.float64)
    middle = float(np.median(values))
    deviation = float(np.median(np.abs(values - middle)))
    return middle - DEVIATIONS * _ROBUST * deviation if deviation > 0 else None

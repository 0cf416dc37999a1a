"""What goes into an aligner and what comes out of it, whichever aligner it is.

Conventions
-----------
- Times are seconds from the start of the utterance, half-open ``[start, end)``.
- Segments of silence are left out: what no segment covers is silence.
- An utterance that could not be aligned is a `Failure` with its reason, never left out silently.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from layersim.alignment.segments import Segment


@dataclass(frozen=True)
class Word:
    """A word of a transcript and how it may be spoken."""

    text: str  # as it stands in the transcript, without punctuation
    pronunciations: tuple[tuple[str, ...], ...]  # phones, the likeliest first; () if nobody knows the word


@dataclass(frozen=True)
class Recording:
    """One utterance to align."""

    utterance_id: str
    speaker: str
    path: Path
    start: float | None  # seconds in the file; None: from its beginning
    end: float | None  # None: to its end
    text: str
    words: tuple[Word, ...] = ()  # for aligners that take pronunciations


@dataclass(frozen=True)
class Alignment:
    """One aligned utterance."""

    utterance_id: str
    seconds: float  # length of the utterance
    words: tuple[Segment, ...]
    phones: tuple[Segment, ...]
    log_likelihood: float | None  # mean per frame under the acoustic model; None if the aligner says none


@dataclass(frozen=True)
class Failure:
    """One utterance that could not be aligned."""

    utterance_id: str
    reason: str  # one sentence: what, and what to do

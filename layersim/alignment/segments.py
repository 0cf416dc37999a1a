"""One labelled stretch of time, and the rules that all readers share.

Conventions
-----------
- Times are seconds from the start of the utterance's recording, half-open ``[start, end)``, rounded to
  microseconds.
- Labels of silence are dropped and counted, and so are those of what the aligner could not name (``spn``) and
  remarks in brackets (``[laughter]``, espeak-ng's ``(en)``). Of words only silence is dropped: ``<unk>`` is a
  word, and so is ``noise``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from layersim.errors import LayersimError

SILENCE = frozenset(
    {"", "sil", "sp", "silence", "pau", "pause", "pause_gef", "<eps>", "<p:>", "<p>", "<sil>", "[sil]",
     "(sil)", "_", "#", "h#", "epi"}
)  # fmt: skip
UNNAMED = frozenset({"spn", "unk", "oov", "nsn", "noise", "lau"})  # a sound, but not which
WORD_SILENCE = frozenset({"", "<eps>", "<sil>"})
_REMARK = re.compile(r"<.+>|\[.+\]|\(.+\)")

# Tier names seen for phones: MFA, WebMAUS, Praat users, Charsiu and others; compared without case.
PHONE_TIERS = ("phones", "phone", "phonemes", "phoneme", "segments", "segment", "mau", "phn", "lab")
WORD_TIERS = ("words", "word")

BEYOND_AUDIO = 0.02  # seconds that times may pass a recording's end: rounding. More is another recording

LONGEST_LABEL = 1000  # characters of a phone or word: more is another kind of text, and slow to compare

_NOISE = 1e-3  # seconds by which neighbours may overlap: rounding to milliseconds, not an error
_DIGITS = 6


class Segment(NamedTuple):
    """A labelled stretch."""

    start: float
    end: float
    label: str


class PhoneFile(NamedTuple):
    """What a file of one utterance holds."""

    segments: list[Segment]  # of its phone tier
    end: float | None  # seconds; where it says that its recording ends, None if it does not


def cut_at(segments: Iterable[Segment], seconds: float) -> tuple[Segment, ...]:
    """Cut off what rounding put behind the end of a recording.

    >>> cut_at([Segment(0.0, 0.5, "a"), Segment(0.5, 1.01, "b"), Segment(1.0, 1.01, "c")], 1.0)
    (Segment(start=0.0, end=0.5, label='a'), Segment(start=0.5, end=1.0, label='b'))
    """
    return tuple(Segment(s.start, min(s.end, seconds), s.label) for s in segments if s.start < seconds)


def choose_tier(
    tiers: Iterable[tuple[str, Sequence[Segment]]], where: str, names: Sequence[str] = PHONE_TIERS
) -> list[Segment]:
    """Return the segments of the phone tier; of several speakers' tiers (``name - phones``) all.

    Parameters
    ----------
    names : sequence of str
        What the tier may be called, the likeliest first: `PHONE_TIERS` or `WORD_TIERS`.

    Raises
    ------
    LayersimError
        If no tier is named like that.
    """
    named = [(name, name.rpartition(" - ")[2].strip().casefold(), segments) for name, segments in tiers]
    for wanted in names:
        matching = [segments for _, plain, segments in named if plain == wanted]
        if matching:
            return sorted(segment for segments in matching for segment in segments)
    raise LayersimError(
        f"{where}: no {names[0].removesuffix('s')} tier. Tiers: "
        f"{', '.join(name for name, _, _ in named) or 'none'}; looked for {', '.join(names)}. "
        "Rename the tier."
    )


def phone_kind(label: str) -> str:
    """Say whether a label of a phone tier is ``silence``, ``unnamed``, or a phone (``""``)."""
    plain = label.casefold()
    if plain in SILENCE:
        return "silence"
    return "unnamed" if plain in UNNAMED or _REMARK.fullmatch(label) else ""


def word_kind(label: str) -> str:
    """Say whether a label of a word tier is ``silence`` or a word (``""``)."""
    return "silence" if label.casefold() in WORD_SILENCE else ""


def clean_segments(
    segments: Sequence[Segment], where: str, kind: Callable[[str], str] = phone_kind
) -> tuple[list[Segment], Counter[str], list[str]]:
    """Check and sort one utterance's segments.

    Parameters
    ----------
    kind : callable
        What a label is: `phone_kind` or `word_kind`.

    Returns
    -------
    kept : list of Segment
        In order of time, without silence and unnamed sounds.
    dropped : Counter
        How many were ``silence`` and ``unnamed``.
    faults : list of str
        Times that are not finite, negative, reversed, without length, or overlap by more than a millisecond;
        labels that no phone or word can be.
    """
    faults: list[str] = []
    kept: list[Segment] = []
    dropped: Counter[str] = Counter()
    for start, end, label in sorted(Segment(round(s, _DIGITS), round(e, _DIGITS), n) for s, e, n in segments):
        name = label.strip()
        if len(name) > LONGEST_LABEL or "\0" in name:
            faults.append(f"{where}: {name[:40]!r}... ({len(name)} characters) is no label")
        elif not (math.isfinite(start) and math.isfinite(end)):
            faults.append(f"{where}: {name!r} has times {start} and {end}, which are no times")
        elif start < -_NOISE:
            faults.append(f"{where}: {name!r} starts at {start:g} s, before the recording")
        elif end < max(start, 0.0):
            faults.append(f"{where}: {name!r} ends at {end:g} s, before its start at {start:g} s")
        elif end == max(start, 0.0):
            faults.append(f"{where}: {name!r} at {start:g} s has no length")
        elif what := kind(name):
            dropped[what] += 1
        elif kept and start < kept[-1].end and (kept[-1].end - start > _NOISE or kept[-1].end >= end):
            faults.append(
                f"{where}: {name!r} starts at {start:g} s, inside {kept[-1].label!r}, which ends at "
                f"{kept[-1].end:g} s"
            )
        else:
            kept.append(Segment(max(start, kept[-1].end if kept else 0.0), end, name))
    return kept, dropped, faults

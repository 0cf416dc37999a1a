"""One labelled stretch of time, and the rules that all readers share.

Conventions
-----------
- Times are seconds, half-open ``[start, end)``, rounded to microseconds.
- Labels of silence are dropped and counted, and so are those of what the aligner could not name (``spn``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from layersim.errors import LayersimError

SILENCE = frozenset(
    {
        "",
        "sil",
        "sp",
        "<eps>",
        "<p:>",
        "<p>",
        "_",
        "#",
        "pau",
        "pause",
        "pause_gef",
        "silence",
        "<sil>",
        "[sil]",
    }
)
UNNAMED = frozenset({"spn", "<unk>", "unk", "nsn", "noise", "[noise]"})  # speech, but not which

# Tier names seen for phones: MFA, WebMAUS, Praat users, Charsiu and others; compared without case.
PHONE_TIERS = ("phones", "phone", "phonemes", "phoneme", "segments", "segment", "mau", "phn", "lab")

_NOISE = 1e-3  # seconds by which neighbours may overlap: rounding, not an error


class Segment(NamedTuple):
    """A labelled stretch."""

    start: float
    end: float
    label: str


def choose_tier(tiers: Mapping[str, Sequence[Segment]], where: str) -> list[Segment]:
    """Return the segments of the phone tier; of several speakers' tiers (``name - phones``) all.

    Raises
    ------
    LayersimError
        If no tier is named like a phone tier.
    """
    own = {name: name.rpartition(" - ")[2].strip().casefold() for name in tiers}
    for wanted in PHONE_TIERS:
        matching = [name for name, plain in own.items() if plain == wanted]
        if matching:
            return sorted(segment for name in matching for segment in tiers[name])
    raise LayersimError(
        f"{where}: no phone tier. Tiers: {', '.join(tiers) or 'none'}; looked for {', '.join(PHONE_TIERS)}. "
        "Rename the tier."
    )


def clean_segments(
    segments: Sequence[Segment], where: str
) -> tuple[list[Segment], dict[str, int], list[str]]:
    """Check and sort one utterance's segments.

    Returns
    -------
    kept : list of Segment
        In order of time, without silence and unnamed sounds.
    dropped : dict
        How many were ``silence`` and ``unnamed``.
    faults : list of str
        Times that are not finite, negative, reversed, or overlap by more than a millisecond.
    """
    faults: list[str] = []
    kept: list[Segment] = []
    dropped = {"silence": 0, "unnamed": 0}
    for start, end, label in sorted(segments):
        name = label.strip()
        if not (math.isfinite(start) and math.isfinite(end)):
            faults.append(f"{where}: {name!r} has times {start} and {end}, which are no times")
        elif start < -_NOISE:
            faults.append(f"{where}: {name!r} starts at {start:g} s, before the recording")
        elif end <= start:
            if end < start:
                faults.append(f"{where}: {name!r} ends at {end:g} s, before its start at {start:g} s")
            else:
                faults.append(f"{where}: {name!r} at {start:g} s has no length")
        elif name.casefold() in SILENCE:
            dropped["silence"] += 1
        elif name.casefold() in UNNAMED:
            dropped["unnamed"] += 1
        else:
            start = max(0.0, start)
            if kept and start < kept[-1].end:
                if kept[-1].end - start > _NOISE or kept[-1].end >= end:
                    faults.append(
                        f"{where}: {name!r} starts at {start:g} s, inside {kept[-1].label!r}, which ends at "
                        f"{kept[-1].end:g} s"
                    )
                    continue
                start = kept[-1].end
            kept.append(Segment(round(start, 6), round(end, 6), name))
    return kept, dropped, faults

"""How far an alignment's vowels are from reference times, set by hand or known exactly.

Conventions
-----------
- A reference vowel and a found vowel are matched if they overlap at all: one to one, in order, such that the
  overlap in all is largest. Whether they are of the same class does not matter: phone sets differ. A
  reference vowel without a match is *missed*; an *extra* vowel is one that was found and matches nothing.
- An error is found minus reference, of both boundaries of every matched vowel; a *share within* counts
  absolute errors. So it is blind to missed vowels: read the two together.
- Overlap is intersection over union (IoU), 0..1, of the matched vowels' times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layersim.alignment.phone_set import PhoneSet
from layersim.alignment.segments import Segment

TOLERANCES = (0.010, 0.020, 0.025, 0.050)  # seconds; the field's usual ones
_ROUNDING = 1e-6  # seconds: times are exact to that


@dataclass(frozen=True)
class VowelMatch:
    """The vowels of one utterance, or of several."""

    reference: int
    found: int
    errors: NDArray[np.float64]  # (matched, 2) of start and end, seconds
    overlaps: NDArray[np.float64]  # (matched,) IoU


@dataclass(frozen=True)
class Accuracy:
    """What `VowelMatch` comes to."""

    vowels: int  # of the reference
    missed: float  # share of them, 0..1
    extra: float  # found vowels that match nothing, as a share of the reference's
    median_error: float  # absolute, seconds
    bias_start: float  # median of the signed errors, seconds; positive: found too late
    bias_end: float
    within: dict[float, float]  # tolerance in seconds -> share of boundaries, 0..1
    overlap: float  # mean IoU of the matched


def vowels_of(phones: pd.DataFrame, phone_set: PhoneSet) -> dict[str, list[Segment]]:
    """Pick the vowels of a table ``utterance_id, start, end, phone``; every utterance of it has an entry."""
    found: dict[str, list[Segment]] = {name: [] for name in phones["utterance_id"].unique()}
    columns = (phones[name].tolist() for name in ("utterance_id", "start", "end", "phone"))
    for name, start, end, label in zip(*columns, strict=True):
        if phone_set.find(label):
            found[name].append(Segment(start, end, label))
    return found


def match_vowels(reference: Sequence[Segment], found: Sequence[Segment]) -> VowelMatch:
    """Match the vowels of one utterance.

    Parameters
    ----------
    reference, found : sequence of Segment
        Vowels only, each sequence in order and without overlap.

    >>> reference = [Segment(0.1, 0.2, "a"), Segment(0.5, 0.6, "i")]
    >>> found = match_vowels(reference, [Segment(0.12, 0.2, "a"), Segment(0.7, 0.8, "i")])
    >>> found.reference - len(found.errors), found.errors.round(3).tolist(), found.overlaps.round(2).tolist()
    (1, [[0.02, 0.0]], [0.8])
    """
    rows, columns = len(reference), len(found)
    shared = np.zeros((rows, columns))
    for row, vowel in enumerate(reference):
        for column, other in enumerate(found):
            shared[row, column] = min(vowel.end, other.end) - max(vowel.start, other.start)
    best = np.zeros((rows + 1, columns + 1))
    for row in range(rows):
        for column in range(columns):
            matched = best[row, column] + shared[row, column] if shared[row, column] > _ROUNDING else 0.0
            best[row + 1, column + 1] = max(best[row, column + 1], best[row + 1, column], matched)
    pairs: list[tuple[int, int]] = []
    row, column = rows, columns
    while row and column:
        if best[row, column] == best[row - 1, column]:
            row -= 1
        elif best[row, column] == best[row, column - 1]:
            column -= 1
        else:
            row, column = row - 1, column - 1
            pairs.append((row, column))
    errors, overlaps = np.zeros((len(pairs), 2)), np.zeros(len(pairs))
    for place, (row, column) in enumerate(reversed(pairs)):
        vowel, hit = reference[row], found[column]
        errors[place] = hit.start - vowel.start, hit.end - vowel.end
        overlaps[place] = shared[row, column] / (max(vowel.end, hit.end) - min(vowel.start, hit.start))
    return VowelMatch(rows, columns, errors, overlaps)


def together(matches: Iterable[VowelMatch]) -> VowelMatch:
    """Put the vowels of several utterances together."""
    listed = list(matches)
    return VowelMatch(
        sum(match.reference for match in listed),
        sum(match.found for match in listed),
        np.concatenate([np.zeros((0, 2)), *(match.errors for match in listed)]),
        np.concatenate([np.zeros(0), *(match.overlaps for match in listed)]),
    )


def accuracy(match: VowelMatch) -> Accuracy:
    """Summarise matched vowels.

    Raises
    ------
    ValueError
        If no vowel is matched.
    """
    matched = len(match.errors)
    if not matched:
        raise ValueError(f"match: expected a matched vowel; none of {match.reference} is")
    distances = np.abs(match.errors).ravel()
    return Accuracy(
        vowels=match.reference,
        missed=1 - matched / match.reference,
        extra=(match.found - matched) / match.reference,
        median_error=float(np.median(distances)),
        bias_start=float(np.median(match.errors[:, 0])),
        bias_end=float(np.median(match.errors[:, 1])),
        within={limit: float((distances <= limit + _ROUNDING).mean()) for limit in TOLERANCES},
        overlap=float(match.overlaps.mean()),
    )

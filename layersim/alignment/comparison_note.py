"""How new alignments compare with those that the corpus has already, in one sentence."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from layersim.alignment.accuracy import accuracy, match_vowels, together, vowels_of
from layersim.alignment.phone_set import load_phone_set
from layersim.alignment.readers import read_alignments


def comparison_note(
    found: Path, found_set: str, reference: Path, reference_set: str, utterance_ids: Collection[str]
) -> str:
    """Measure a table of phones against the alignments that layersim.toml names.

    Parameters
    ----------
    found, reference : Path
        As `layersim.alignment.readers.read_alignments` takes them.
    found_set, reference_set : str
        Their phone sets.

    Raises
    ------
    LayersimError
        If either cannot be read.
    """
    ours = vowels_of(read_alignments(found, utterance_ids).phones, load_phone_set(found_set))
    theirs = vowels_of(read_alignments(reference, utterance_ids).phones, load_phone_set(reference_set))
    both = sorted(ours.keys() & theirs.keys())
    match = together(match_vowels(theirs[name], ours[name]) for name in both)
    if not len(match.errors):
        return f"no vowel of these alignments overlaps one of {reference.name}: of other recordings?"
    result = accuracy(match)
    return (
        f"against {reference.name}, {result.vowels:,} vowels in {len(both):,} utterances: "
        f"{result.within[0.02]:.1%} of boundaries within 20 ms, {result.within[0.05]:.1%} within 50 ms, "
        f"{result.missed:.1%} of the vowels missed"
    )

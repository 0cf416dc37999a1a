"""What the Montreal Forced Aligner writes: TextGrids, likelihoods, the words that a dictionary lacks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from layersim.alignment.aligned import Alignment, Failure, Recording
from layersim.alignment.montreal.corpus import Entry
from layersim.alignment.pronunciation.transcript import compose, is_han, tokens
from layersim.alignment.segments import WORD_TIERS, choose_tier, clean_segments, cut_at, phone_kind, word_kind
from layersim.alignment.text import read_text, table_rows
from layersim.alignment.textgrid import read_tiers
from layersim.errors import LayersimError

ANALYSIS = "alignment_analysis.csv"  # written by MFA 3.0 and later, in the folder of TextGrids
_LIKELIHOOD = "overall_log_likelihood"  # column: mean per frame over the whole utterance, silence included
_TOLERANCE = 0.01  # seconds: MFA rounds a file's length, and we count samples at 16 kHz
_SHOWN = 10  # words


def read_alignment(
    entry: Entry, output: Path, likelihoods: Mapping[str, float], unknown: Mapping[str, int]
) -> tuple[Alignment | Failure, int]:
    """Read one alignment, and how many stretches MFA left unnamed in it."""
    name, file = entry.recording.utterance_id, output / entry.textgrid
    if not file.is_file():
        return Failure(name, _dropped(entry.recording, unknown)), 0
    try:
        tiers = read_tiers(file)
        phones, left_out, faults = clean_segments(choose_tier(tiers, str(file)), name, phone_kind)
        words, _, more = clean_segments(choose_tier(tiers, str(file), WORD_TIERS), name, word_kind)
    except LayersimError as error:
        return Failure(name, str(error)), 0
    faults += more
    end = max((segment.end for segment in (*phones, *words)), default=0.0)
    if end > entry.seconds + _TOLERANCE:
        faults.append(f"{file}: reaches to {end:g} s, and the audio only to {entry.seconds:g} s")
    if faults:
        return Failure(name, "; ".join(faults[:3])), 0
    unnamed = left_out["unnamed"]
    if not phones:
        return Failure(name, "the dictionary has none of its words. Add them to the dictionary."), unnamed
    return Alignment(
        name, entry.seconds, cut_at(words, entry.seconds), cut_at(phones, entry.seconds),
        likelihoods.get(entry.name),
    ), unnamed  # fmt: skip


def _dropped(recording: Recording, unknown: Mapping[str, int]) -> str:
    """Say what may be why MFA dropped an utterance; MFA itself does not say."""
    text = compose(recording.text)[0].casefold()
    said = {token.text for token in tokens(text)}
    missing = [word for word in unknown if word in said or (is_han(word) and word in text)]
    if missing:
        return (
            f"MFA wrote no alignment of it. The dictionary lacks {len(missing)} of its words: "
            f"{', '.join(missing[:_SHOWN])}. Add them, and check that the transcript is what is said."
        )
    said_to_be = recording.text.strip()
    return f"MFA wrote no alignment of it. Check that the transcript is what is said: {said_to_be!r}."


def read_unknown_words(validation: Path) -> dict[str, int]:
    """Read which words the dictionary lacks, from what ``mfa validate`` lists."""
    counts: Counter[str] = Counter()
    for file in sorted(validation.glob("oov_counts_*.txt")):
        for line in read_text(file).splitlines():
            word, _, count = line.rpartition("\t")
            if word and re.fullmatch("[0-9]{1,18}", count):
                counts[word] += int(count)
    return dict(counts.most_common())


def read_likelihoods(file: Path) -> dict[str, float]:
    """Read each utterance's log-likelihood per frame; none where MFA wrote none.

    Raises
    ------
    LayersimError
        If the file is no table, or has what is no number.
    """
    if not file.is_file():
        return {}
    rows = table_rows(read_text(file), str(file))
    header = next(rows, [])
    if "file" not in header or _LIKELIHOOD not in header:
        return {}
    name, value = header.index("file"), header.index(_LIKELIHOOD)
    found = {}
    for number, row in enumerate(rows, start=2):
        if len(row) > max(name, value) and row[name] and row[value]:
            try:
                found[row[name]] = float(row[value])
            except ValueError:
                raise LayersimError(
                    f"{file}, row {number}: {row[value][:40]!r} is no log-likelihood. Delete the file."
                ) from None
    return found

"""What a corpus holds and what is wrong with it: the numbers to know before anything is computed.

Sentences that stand in both train and test leak what was said into the score; their share is shown. Case,
punctuation and spaces do not make two sentences. The same samples under two names are the same recording,
whatever the file's format: across splits it leaks the answer, under two emotions one of the labels is wrong.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from layersim.corpus.audio import SAMPLE_RATE, read_audio
from layersim.corpus.manifest import check_manifest, utterance_keys
from layersim.corpus.recordings import audio_file
from layersim.errors import AudioError
from layersim.workspace import Progress, no_progress

SHOWN = 10
THREADS = 4  # decoding releases the interpreter


@dataclass(frozen=True)
class CorpusReport:
    """A corpus in numbers, and its faults."""

    corpus: str
    utterances: int
    speakers: int
    hours: float
    counts: dict[str, dict[str, int]]  # emotion -> split ("" = none) -> utterances
    split_speakers: dict[str, int]
    sentences: int  # different texts
    without_text: int  # utterances
    overlap: dict[str, float]  # "validation" and "test": share of utterances whose text is also in train
    duplicates: list[list[str]]  # groups of utterances with the same samples
    faults: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        return dict(vars(self))

    def to_table(self) -> str:
        """Return totals, emotions by split, sentence overlap, first duplicates, all faults."""
        splits = [split for split in ("train", "validation", "test", "") if split in self.split_speakers]
        head = ["emotion", *(split or "(none)" for split in splits), "all"]
        rows = [
            [emotion, *(str(by_split.get(split, 0)) for split in splits), str(sum(by_split.values()))]
            for emotion, by_split in sorted(self.counts.items())
        ]
        rows.append(["speakers", *(str(self.split_speakers[split]) for split in splits), str(self.speakers)])
        widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
        lines = [
            f"{self.corpus}: {self.utterances:,} utterances, {self.speakers} speakers, {self.hours:.2f} h, "
            f"{self.sentences:,} different sentences"
            + (f" ({self.without_text:,} utterances without text)" if self.without_text else "")
        ]
        for row in (head, *rows):
            first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            lines.append("  ".join(["  " + first.strip().ljust(widths[0]), *others]))
        for split, share in self.overlap.items():
            lines.append(
                f"  sentences of {split} also in train: {100 * share:.0f} % of its utterances with text"
            )
        if self.duplicates:
            lines.append(f"  {len(self.duplicates)} groups of utterances with the same samples:")
            lines += [f"    {', '.join(group)}" for group in self.duplicates[:SHOWN]]
            if len(self.duplicates) > SHOWN:
                lines.append(f"    ... and {len(self.duplicates) - SHOWN} more")
        lines.append(f"  {len(self.faults)} faults" if self.faults else "  no faults")
        lines += [f"    {fault}" for fault in self.faults]
        return "\n".join(lines)


def check_corpus(
    manifest: pd.DataFrame,
    audio_root: Path,
    progress: Progress = no_progress,
    outside_audio_root: bool = False,
) -> CorpusReport:
    """Look at every row and decode every recording.

    Parameters
    ----------
    manifest : DataFrame
        Of one corpus, as `layersim.corpus.manifest.read_manifest` returns it.
    outside_audio_root : bool
        Let its paths leave the audio root.

    Raises
    ------
    ManifestError
        If a row is wrong.
    """
    check_manifest(manifest, "manifest", outside_audio_root)
    texts = manifest["text"].map(_plain_sentence)
    corpus = str(manifest["corpus"].iloc[0])
    keys = utterance_keys(manifest)
    seconds, digests, faults = 0.0, defaultdict(list), []
    columns = (manifest[name].tolist() for name in ("path", "start", "end"))
    jobs = [(audio_file(audio_root, path), start, end) for path, start, end in zip(*columns, strict=True)]
    with ThreadPoolExecutor(THREADS) as pool:
        for done, (key, (length, digest, fault)) in enumerate(
            zip(keys, pool.map(_listen, jobs), strict=True)
        ):
            progress(f"{corpus}: checking audio", done + 1, len(jobs))
            seconds += length
            if fault:
                faults.append(f"{key}: {fault}")
            else:
                digests[digest].append(key)
    duplicates = [group for group in digests.values() if len(group) > 1]
    columns = (manifest[name].tolist() for name in ("split", "emotion"))
    split_of, emotion_of = (dict(zip(keys, column, strict=True)) for column in columns)
    faults += _conflicts(duplicates, split_of, emotion_of)
    for split in ("train", "validation", "test"):
        if not (manifest["split"] == split).any():
            faults.append(f"no utterance is in {split}: this corpus cannot be used where {split} is needed")
    return CorpusReport(
        corpus=corpus,
        utterances=len(manifest),
        speakers=int(manifest["speaker"].nunique()),
        hours=seconds / 3600,
        counts={
            str(emotion): {str(split): int(count) for split, count in part["split"].value_counts().items()}
            for emotion, part in manifest.groupby("emotion")
        },
        split_speakers={
            str(split): int(part["speaker"].nunique()) for split, part in manifest.groupby("split")
        },
        sentences=len(set(texts) - {""}),
        without_text=int((texts == "").sum()),
        overlap=_sentence_overlap(texts, manifest["split"]),
        duplicates=duplicates,
        faults=faults,
    )


def _listen(job: tuple[Path, float, float]) -> tuple[float, str, str]:
    """Return seconds, a hash of the samples, and a fault ("" if there is none)."""
    path, start, end = job
    try:
        wave = read_audio(path, *((None, None) if np.isnan(start) else (start, end)))
    except AudioError as error:
        return 0.0, "", str(error)
    return len(wave) / SAMPLE_RATE, hashlib.sha256(wave.tobytes()).hexdigest(), ""


def _conflicts(
    duplicates: Iterable[list[str]], split_of: Mapping[str, str], emotion_of: Mapping[str, str]
) -> list[str]:
    conflicts = []
    for group in duplicates:
        for what, value_of in (("splits", split_of), ("emotions", emotion_of)):
            if len({value_of[key] for key in group} - {""}) > 1:
                named = ", ".join(f"{key} ({value_of[key] or 'in no split'})" for key in group)
                conflicts.append(f"the same recording is in several {what}: {named}. Keep one of them.")
    return conflicts


def _plain_sentence(text: str) -> str:
    """Reduce a text to its letters and digits, so that the same sentence is the same.

    >>> _plain_sentence("  Hello, YOU!") == _plain_sentence("hello you."), _plain_sentence("他来了。")
    (True, '他来了')
    """
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()


def _sentence_overlap(texts: pd.Series, split: pd.Series) -> dict[str, float]:
    """Share of validation's and test's utterances (of those with a text) whose text train has too."""
    in_train = set(texts[(split == "train") & (texts != "")])
    shares = {}
    for part in ("validation", "test"):
        said = texts[(split == part) & (texts != "")]
        if len(said):
            shares[part] = float(said.isin(in_train).mean())
    return shares

"""What extracting one corpus gave: counts that a person should see, by emotion where it matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from layersim.corpus.audio import SAMPLE_RATE
from layersim.corpus.manifest import utterance_keys
from layersim.features.cache import FeatureCache
from layersim.features.failures import SHOWN, Failure, failure_lines, failure_note, list_failures
from layersim.features.preparation import CorpusJob
from layersim.features.provenance import ALL_UTTERANCES
from layersim.features.trimming import Trimming


@dataclass(frozen=True)
class PhoneCounts:
    """The phones of the utterances of one emotion (or of all)."""

    utterances: int
    without_alignment: int  # utterances that have no phone at all
    phones: int  # aligned
    vowels: int  # of them
    pooled: int  # of them: the vowels, unless all phones were asked for
    nearest_frame: int  # of those pooled: too short to hold a frame's centre
    nearest_in_middle: int  # of those pooled: the middle third is too short for one; 0 if not asked for


@dataclass(frozen=True)
class ExtractResult:
    """What stands in one corpus's cache, and how long this run took."""

    corpus: str
    folder: Path
    utterances: int
    of: int  # utterances of the whole manifest
    limit: int | None
    hours: float
    layers: tuple[str, ...]
    width: int
    store: str
    phone_set: str | None
    phones: PhoneCounts | None  # None: the corpus has no alignments
    by_emotion: dict[str, PhoneCounts]  # empty: as above
    unknown_phones: dict[str, int]
    computed_hours: float  # audio that this run encoded; 0 where everything was there
    elapsed_seconds: float
    trimming: Trimming | None = None  # None: windows are not trimmed, or nothing was computed
    notes: list[str] = field(default_factory=list)
    failed: int = 0  # utterances that have no features; all are listed in ``failed.csv`` beside the cache
    failures: list[Failure] = field(default_factory=list)  # the first of them

    @property
    def real_time(self) -> float | None:
        """Seconds of audio encoded per second; None if there was nothing to do."""
        if self.computed_hours == 0 or self.elapsed_seconds == 0:
            return None
        return self.computed_hours * 3600 / self.elapsed_seconds

    def to_json(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        document = asdict(self)
        document["folder"] = str(self.folder)
        document["layers"] = list(self.layers)
        document["failures"] = [failure._asdict() for failure in self.failures]
        document["real_time"] = self.real_time
        return document

    def to_table(self) -> str:
        """Return one line, and a line per thing to know."""
        whole = self.limit is None and not self.failed
        count = f"{self.utterances:,}" if whole else f"{self.utterances:,} of {self.of:,}"
        parts = [
            f"{self.corpus}: {count} utterances ({self.hours:.2f} h)",
            f"{len(self.layers)} layers x {self.width}",
        ]
        if self.phones is not None:
            parts.append(f"{self.phones.phones:,} phones ({self.phones.vowels:,} vowels)")
        speed = f"{self.real_time:.1f}x real time" if self.real_time else "already complete"
        folder = (
            self.folder.relative_to(Path.cwd()) if self.folder.is_relative_to(Path.cwd()) else self.folder
        )
        line = f"{', '.join(parts)} -> {folder}, {speed}"
        lines = [line, *(f"  {note}" for note in self.notes)]
        return "\n".join([*lines, *failure_lines(self.failures, self.failed)])


def describe_result(
    job: CorpusJob,
    cache: FeatureCache,
    computed_samples: int,
    elapsed_seconds: float,
    trimming: Trimming | None = None,
) -> ExtractResult:
    """Count what a finished cache holds.

    Parameters
    ----------
    computed_samples : int
        Of audio that this run encoded.
    trimming : Trimming, optional
        How far trimmed windows were measured to be from full ones.
    """
    by_emotion = _count_phones(job, cache)
    total = None
    notes = list(job.notes)
    if (note := failure_note(job.manifest, cache)) is not None:
        notes.append(note)
    if kept := set(utterance_keys(job.manifest.iloc[list(job.unusable)])) - cache.failed.keys():
        notes.append(
            f"{len(kept)} recordings cannot be used any more and keep the features that they have "
            f"(first: {min(kept)}); layersim corpus check lists them"
        )
    if job.aligned is not None:
        total = PhoneCounts(*(
            sum(getattr(counts, name) for counts in by_emotion.values())
            for name in PhoneCounts.__dataclass_fields__
        ))  # fmt: skip
        notes += _phone_notes(total, by_emotion)
    if trimming is not None:
        notes.append(trimming.note())
    selection = job.provenance["selection"]
    limit = None if selection == ALL_UTTERANCES else int(selection["limit"])
    if limit is not None:
        notes.append("a quick try; for the full run: layersim extract --force")
    return ExtractResult(
        corpus=job.corpus,
        folder=cache.folder,
        utterances=len(cache),
        of=job.whole,
        limit=limit,
        hours=cache.provenance["samples"] / SAMPLE_RATE / 3600,
        layers=cache.layers,
        width=cache.width,
        store=job.provenance["store"],
        phone_set=cache.phone_set,
        phones=total,
        by_emotion=by_emotion,
        unknown_phones=job.unknown_phones,
        computed_hours=computed_samples / SAMPLE_RATE / 3600,
        elapsed_seconds=elapsed_seconds,
        trimming=trimming,
        notes=notes,
        failed=len(cache.failed),
        failures=list_failures(job.manifest, cache)[:SHOWN],
    )


def _count_phones(job: CorpusJob, cache: FeatureCache) -> dict[str, PhoneCounts]:
    if job.aligned is None:
        return {}
    held = job.manifest[np.isin(utterance_keys(job.manifest), cache.keys)]
    names, emotions = held["utterance_id"].tolist(), held["emotion"].tolist()
    emotion_of = dict(zip(names, emotions, strict=True))
    emotion_of_key = dict(zip(utterance_keys(held), emotions, strict=True))
    of_held = job.aligned[job.aligned["utterance_id"].isin(names)]
    aligned = of_held["utterance_id"].tolist()
    vowels = zip(aligned, of_held["vowel"].tolist(), strict=True)
    owners = [emotion_of_key[key] for key in cache.phones["utterance"].tolist()]
    with_phones = set(aligned)
    utterances = Counter(emotions)
    phones = Counter(emotion_of[name] for name in aligned)
    vowel_counts = Counter(emotion_of[name] for name, vowel in vowels if vowel != "")
    pooled = Counter(owners)
    nearest = _count_zeros(owners, cache.phones["frames"])
    in_middle = _count_zeros(owners, cache.phones["middle_frames"]) if cache.has_middle else Counter()
    missing = Counter(emotion_of[name] for name in names if name not in with_phones)
    return {
        emotion: PhoneCounts(
            utterances[emotion], missing[emotion], phones[emotion], vowel_counts[emotion],
            pooled[emotion], nearest[emotion], in_middle[emotion],
        )
        for emotion in sorted(utterances)
    }  # fmt: skip


def _count_zeros(emotions: list[str], frames: pd.Series) -> Counter[str]:
    """How many phones of each emotion hold no frame."""
    return Counter(emotion for emotion, count in zip(emotions, frames.tolist(), strict=True) if count == 0)


def _by_emotion(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{emotion} {count}" for emotion, count in counts.items() if count)


def _phone_notes(total: PhoneCounts, by_emotion: dict[str, PhoneCounts]) -> list[str]:
    """Say, by emotion, what is not there: an emotion that aligns worse than others is a confound."""
    notes = []
    if total.without_alignment:
        shares = ", ".join(
            f"{emotion} {counts.without_alignment} of {counts.utterances}"
            for emotion, counts in by_emotion.items()
            if counts.without_alignment
        )
        notes.append(f"{total.without_alignment} utterances have no phones: {shares}")
    if total.nearest_frame:
        shares = _by_emotion({name: counts.nearest_frame for name, counts in by_emotion.items()})
        notes.append(
            f"{total.nearest_frame:,} of {total.pooled:,} pooled phones hold no frame's centre and take the "
            f"nearest frame: {shares}"
        )
    if total.nearest_in_middle:
        shares = _by_emotion({name: counts.nearest_in_middle for name, counts in by_emotion.items()})
        notes.append(
            f"the middle thirds of {total.nearest_in_middle:,} of {total.pooled:,} pooled phones hold no "
            f"frame's centre and take the nearest frame: {shares}"
        )
    return notes

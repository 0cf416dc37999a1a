"""What aligning one corpus gave, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from layersim.alignment.aligners import Aligned
from layersim.alignment.flags import FLAGS
from layersim.alignment.outcome import EmotionSummary, Outcome, summarise_emotions
from layersim.alignment.preparation import CorpusJob
from layersim.errors import LayersimError
from layersim.settings import FILE_NAME

_SHOWN = 10  # reasons and words
_REASONS = 3  # among the notes


class AlignResult(BaseModel):
    """One corpus's alignments in numbers; ``run.json`` keeps it, so that it can be said again."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    corpus: str
    folder: str
    aligner: str
    aligner_version: str
    phone_set: str
    pronunciations: dict[str, str]  # language -> where they are from
    utterances: int
    aligned: int
    failed: int
    flagged: int
    machine_texts: int  # utterances whose text a model wrote
    hours: float  # of the aligned utterances
    phones: int
    words: int
    words_unknown: int  # in all texts, each occurrence counted
    unknown: dict[str, int]  # the most frequent of these, with how often they occur
    log_likelihood_median: float | None  # per frame
    flags: dict[str, int]  # name -> utterances
    failures: dict[str, int]  # reason -> utterances, the most frequent ones
    by_emotion: list[EmotionSummary]
    elapsed_seconds: float
    notes: list[str]
    done_already: bool = False

    @property
    def real_time(self) -> float | None:
        """Seconds of audio aligned per second, with training and all; None if nothing was to do."""
        if self.done_already or self.elapsed_seconds == 0:
            return None
        return 3600 * self.hours / self.elapsed_seconds

    def to_json(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        return {**self.model_dump(mode="json"), "real_time": self.real_time}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> AlignResult:
        """Return what `to_json` was made of, as done already.

        Raises
        ------
        LayersimError
            If it is of another version.
        """
        fields = {name: value for name, value in document.items() if name != "real_time"}
        try:
            return cls.model_validate({**fields, "done_already": True})
        except ValidationError:
            raise LayersimError(
                f"{document.get('folder', 'these alignments')}: run.json was written by another version of "
                "layersim. Align again: layersim align --force."
            ) from None

    def to_table(self) -> str:
        """Return a line on the corpus, one per emotion, and one per thing to know."""
        folder = Path(self.folder)
        shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
        speed = f"{self.real_time:.1f}x real time" if self.real_time else "done already"
        score = self.log_likelihood_median
        lines = [
            f"{self.corpus}: {self.aligned:,} of {self.utterances:,} utterances ({self.hours:.2f} h), "
            f"{self.phones:,} phones ({self.phone_set}) by {self.aligner} -> {shown}, {speed}",
            f"  failed {self.failed:,}, flagged {self.flagged:,}{_counts(self.flags)}; "
            f"unknown words {self.words_unknown:,}"
            + (f"; median log-likelihood {score:.2f} a frame" if score is not None else ""),
            *_emotion_lines(self.by_emotion),
        ]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


class LeftAlone(BaseModel):
    """A corpus that has alignments of its own and was not named: nothing was done."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    corpus: str
    alignments: str

    def to_json(self) -> dict[str, Any]:
        """Return it, JSON-ready."""
        return {**self.model_dump(), "left_alone": True}

    def to_table(self) -> str:
        """Return what there is, and how to align all the same."""
        return (
            f"{self.corpus}: left alone, layersim.toml names its alignments ({self.alignments}). "
            f"To align it all the same: layersim align --corpus {self.corpus}"
        )


def _counts(counts: dict[str, int]) -> str:
    return f" ({', '.join(f'{name} {count:,}' for name, count in counts.items())})" if counts else ""


def _emotion_lines(emotions: list[EmotionSummary]) -> list[str]:
    head = ("emotion", "utterances", "aligned", "failed", "flagged", "log-likelihood", "speech")
    rows = [
        (
            row.emotion,
            f"{row.utterances:,}",
            f"{row.aligned:,}",
            f"{row.share_failed:.1%}",
            f"{row.share_flagged:.1%}",
            "-" if row.log_likelihood_median is None else f"{row.log_likelihood_median:.2f}",
            "-" if row.speech_share_mean is None else f"{row.speech_share_mean:.1%}",
        )
        for row in emotions
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        "  " + "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (head, *rows)
    ]  # fmt: skip


def alignment_notes(
    job: CorpusJob, outcomes: Sequence[Outcome], used: Mapping[str, Aligned], checkpoint: str | None
) -> list[str]:
    """Say what was not aligned, what was not known, and what was not written by a person.

    Parameters
    ----------
    used : mapping
        By language.
    checkpoint : str, optional
        What wrote missing texts.
    """
    notes = []
    failures = _failures(outcomes)
    if failures:
        shares = ", ".join(
            f"{row.emotion} {row.failed} of {row.utterances}"
            for row in summarise_emotions(outcomes)
            if row.failed
        )
        notes.append(f"{failures.total()} utterances have no alignment: {shares}")
        notes += [f"{count} x {reason}" for reason, count in failures.most_common(_REASONS)]
        if len(failures) > _REASONS:
            notes.append(f"and {len(failures) - _REASONS} more reasons: see utterances.csv")
    machine = sum(outcome.utterance.machine_text for outcome in outcomes)
    if machine:
        notes.append(f"{machine} texts were written by {checkpoint}, not by a person; look at some")
    for aligned in used.values():
        notes += aligned.notes
    if job.alignments is not None:
        notes.append(
            f"{FILE_NAME} names other alignments, and extract goes on reading those ({job.alignments}); to "
            f"have these read, remove alignments and phone_set from [corpora.{job.corpus}]"
        )
    return notes


def describe_alignment(
    job: CorpusJob,
    aligner: str,
    phone_set: str,
    outcomes: Sequence[Outcome],
    used: Mapping[str, Aligned],
    notes: list[str],
    elapsed_seconds: float,
) -> AlignResult:
    """Count what one corpus's alignment gave."""
    aligned = [outcome for outcome in outcomes if outcome.failure is None]
    scores = [outcome.log_likelihood for outcome in aligned if outcome.log_likelihood is not None]
    unknown: Counter[str] = Counter()
    for group in used.values():
        unknown.update(group.unknown)
    flags = Counter(flag for outcome in aligned for flag in outcome.flags)
    return AlignResult(
        corpus=job.corpus,
        folder=str(job.folder),
        aligner=aligner,
        aligner_version=", ".join(dict.fromkeys(group.version for group in used.values())),
        phone_set=phone_set,
        pronunciations={language: group.pronunciations for language, group in used.items()},
        utterances=len(outcomes),
        aligned=len(aligned),
        failed=len(outcomes) - len(aligned),
        flagged=sum(bool(outcome.flags) for outcome in aligned),
        machine_texts=sum(outcome.utterance.machine_text for outcome in outcomes),
        hours=sum(outcome.utterance.seconds or 0.0 for outcome in aligned) / 3600,
        phones=sum(outcome.phones for outcome in aligned),
        words=sum(outcome.words for outcome in aligned),
        words_unknown=sum(unknown.values()),
        unknown=dict(unknown.most_common(_SHOWN)),
        log_likelihood_median=float(np.median(scores)) if scores else None,
        flags={name: flags[name] for name in FLAGS if flags[name]},
        failures=dict(_failures(outcomes).most_common(_SHOWN)),
        by_emotion=summarise_emotions(outcomes),
        elapsed_seconds=elapsed_seconds,
        notes=notes,
    )


def _failures(outcomes: Sequence[Outcome]) -> Counter[str]:
    return Counter(outcome.failure for outcome in outcomes if outcome.failure is not None)

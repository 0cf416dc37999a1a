"""The aligners as the stage sees them: recordings of one language in, alignments and what was used out."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Literal, Protocol

from layersim.alignment.aligned import Alignment, Failure, Recording
from layersim.errors import LayersimError
from layersim.workspace import Progress

_SHOWN = 10  # words in a note

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Aligned:
    """What an aligner gives for the recordings of one language."""

    results: Iterable[Alignment | Failure]  # in any order; may be made while they are read
    phone_set: str | None  # None: no built-in set knows the phones
    pronunciations: str  # where they are from
    version: str  # of the aligner
    unknown: dict[str, int] = field(default_factory=dict)  # words without a pronunciation, how often
    unknown_in: dict[str, int] = field(default_factory=dict)  # utterance id -> how many of its words
    notes: Sequence[str] = ()


class Aligner(Protocol):
    """An aligner that is set up and ready."""

    @property
    def name(self) -> str:
        """What it is called in settings and results."""

    def align(
        self, recordings: Sequence[Recording], folder: Path, language: str, progress: Progress
    ) -> Aligned:
        """Align the recordings of one language; ``folder`` is its own, to go on from after a kill."""


@dataclass(frozen=True)
class Builtin:
    """The built-in aligner, with pronunciations from a dictionary's file or from text alone."""

    dictionary: Path | None
    phone_set: str | None  # None: the one that the pronunciations are in
    seed: int
    jobs: int
    name: str = "builtin"

    def align(
        self, recordings: Sequence[Recording], folder: Path, language: str, progress: Progress
    ) -> Aligned:
        """Pronounce the texts, train on all recordings, and align each."""
        from layersim.alignment.builtin.kaldi import hmm_gmm
        from layersim.alignment.pronunciation.pronounce import pronounce

        hmm_gmm()  # if it cannot be imported, that is said before anything is pronounced
        said = pronounce([recording.text for recording in recordings], language, self.dictionary)
        spoken = [replace(r, words=words) for r, words in zip(recordings, said.words, strict=True)]
        unknown_in = {
            recording.utterance_id: sum(not word.pronunciations for word in recording.words)
            for recording in spoken
        }
        phone_set = self.phone_set or said.phone_set
        results = (
            self._results(spoken, folder, language, phone_set, progress) if phone_set is not None else ()
        )
        version = f"kaldi-hmm-gmm {metadata.version('kaldi-hmm-gmm')}"
        notes = [*said.notes, *_unknown_notes(said.unknown)]
        return Aligned(results, phone_set, said.source, version, said.unknown, unknown_in, notes)

    def _results(
        self, recordings: Sequence[Recording], folder: Path, language: str, phone_set: str, progress: Progress
    ) -> Iterator[Alignment | Failure]:
        from layersim.alignment.builtin.aligner import align_builtin

        able = []
        for recording in recordings:
            if any(word.pronunciations for word in recording.words):
                able.append(recording)
            else:
                yield Failure(recording.utterance_id, _unspoken(recording))
        if able:
            yield from align_builtin(
                able, folder, language=language, phone_set=phone_set, seed=self.seed, jobs=self.jobs,
                progress=progress,
            )  # fmt: skip


def _unknown_notes(unknown: Mapping[str, int]) -> list[str]:
    if not unknown:
        return []
    shown = ", ".join(f"{word} ({count})" for word, count in list(unknown.items())[:_SHOWN])
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    return [f"{len(unknown)} words have no pronunciation: {shown}{more}"]


def _unspoken(recording: Recording) -> str:
    if not recording.words:
        return f"its text has no words: {recording.text!r}"
    words = ", ".join(word.text for word in recording.words[:5])
    return f"none of its words has a pronunciation: {words}. Add them to a dictionary (--dictionary FILE)"


@dataclass(frozen=True)
class Montreal:
    """The Montreal Forced Aligner, with its own pretrained models or the user's dictionary."""

    dictionary: str | None
    acoustic_model: str | None
    jobs: int
    name: str = "mfa"

    def align(
        self, recordings: Sequence[Recording], folder: Path, language: str, progress: Progress
    ) -> Aligned:
        """Run the program on all recordings."""
        from layersim.alignment.montreal.aligner import align_with_mfa
        from layersim.alignment.montreal.models import choose_models

        models = choose_models(language, self.dictionary, self.acoustic_model)
        found = align_with_mfa(
            recordings, folder, language=language, dictionary=self.dictionary,
            acoustic_model=self.acoustic_model, jobs=self.jobs, progress=progress,
        )  # fmt: skip
        return Aligned(
            found.results, found.phone_set, models.dictionary, f"MFA {found.version}", found.unknown,
            found.unknown_in, found.notes,
        )  # fmt: skip


def choose_aligner(
    aligner: Literal["auto", "mfa", "builtin"],
    languages: Iterable[str],
    *,
    dictionary: Path | str | None,
    acoustic_model: str | None,
    phone_set: str | None,
    seed: int,
    jobs: int,
) -> Aligner:
    """Set up the aligner of one corpus.

    ``auto`` is MFA where its program is found and runs and it has pretrained models of all the languages, or
    where the user names what only MFA has; else the built-in one.

    Raises
    ------
    LayersimError
        If the built-in aligner is asked for with what only MFA has.
    """
    only_mfa = acoustic_model is not None or isinstance(dictionary, str)
    if aligner == "auto":
        aligner = "mfa" if only_mfa or _mfa_serves(languages) else "builtin"
    if aligner == "mfa":
        return Montreal(None if dictionary is None else str(dictionary), acoustic_model, jobs or _cores())
    if acoustic_model is not None:
        raise LayersimError(
            "acoustic_model: the built-in aligner trains its own on your corpus. Leave it out, or take "
            "--aligner mfa."
        )
    if isinstance(dictionary, str):
        raise LayersimError(
            f"dictionary {dictionary!r}: no such file, and the built-in aligner has no dictionaries by name. "
            "Name a file in MFA's format, leave it out (espeak-ng or pypinyin then pronounce), or take "
            "--aligner mfa."
        )
    return Builtin(dictionary, phone_set, seed, jobs or _cores())


def _mfa_serves(languages: Iterable[str]) -> bool:
    from layersim.alignment.montreal.models import choose_models
    from layersim.alignment.montreal.program import Program

    if shutil.which("mfa") is None:
        return False
    try:
        for language in languages:
            choose_models(language, None, None)
    except LayersimError:
        return False
    try:
        Program.find()
    except LayersimError as error:  # pip installs an mfa that does not run
        logger.warning("the built-in aligner is taken, since MFA cannot be: %s", error)
        return False
    return True


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

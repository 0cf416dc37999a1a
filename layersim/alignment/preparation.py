"""What is to be aligned of one corpus, and what of it cannot be: looked at before an aligner starts.

All utterances take part, of every split and every emotion: alignment sees texts and sounds, no label.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from layersim.corpus.audio import SAMPLE_RATE, audio_samples
from layersim.corpus.recordings import audio_file, map_files, read_corpus_manifest
from layersim.errors import AudioError
from layersim.workspace import CorpusEntry, Progress

_PROGRESS_EVERY = 100  # files

NO_TEXT = (
    "no text: fill the manifest's column text, or let a model write it: layersim align --transcribe MODEL"
)
NO_LANGUAGE = "no language: fill the manifest's column language (en, de, zh, ...)"


@dataclass(frozen=True)
class Utterance:
    """One row of a manifest as an aligner's input."""

    utterance_id: str
    speaker: str
    emotion: str  # for the summary alone
    language: str
    file: str  # as the manifest names it
    path: Path
    start: float | None  # seconds in the file; None: from its beginning
    end: float | None
    text: str
    machine_text: bool  # written by a model
    seconds: float | None  # None if the recording cannot be read
    failure: str | None  # why it cannot be aligned; None if nothing is known against it


@dataclass(frozen=True)
class CorpusJob:
    """One corpus, looked through."""

    corpus: str
    folder: Path  # where its alignments go
    utterances: list[Utterance]  # in the manifest's order
    inputs: dict[str, str]  # names and hashes for run.json
    alignments: Path | None  # those that layersim.toml names, if any
    phone_set: str | None  # that layersim.toml names, if any

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the languages of what can be aligned, in the order of their names."""
        return tuple(sorted({utterance.language for utterance in self.utterances if not utterance.failure}))


def read_utterances(
    name: str, entry: CorpusEntry, progress: Progress
) -> tuple[list[Utterance], dict[str, str]]:
    """Read a corpus's manifest and the header of every recording; a faulty one becomes a failure.

    Returns
    -------
    utterances : list of Utterance
        In the manifest's order.
    fingerprints : dict
        As `manifest_fingerprints`, and ``samples``: how long all recordings are together.

    Raises
    ------
    LayersimError
        If the manifest is wrong or holds another corpus's rows.
    """
    manifest = read_corpus_manifest(name, entry)
    utterances = list(_rows(manifest, entry.audio_root))
    found = []
    for place, checked in enumerate(map_files(_check, utterances)):
        found.append(checked)
        if place % _PROGRESS_EVERY == 0:
            progress(f"checking {name}", place, len(utterances))
    progress(f"checking {name}", len(utterances), len(utterances))
    samples = sum(round(SAMPLE_RATE * utterance.seconds) for utterance in found if utterance.seconds)
    return found, {**manifest_fingerprints(manifest), "samples": str(samples)}


def _rows(manifest: pd.DataFrame, audio_root: Path) -> Iterator[Utterance]:
    names = ("utterance_id", "speaker", "emotion", "language", "path", "start", "end", "text")
    columns = (manifest[column].tolist() for column in names)
    for identity, speaker, emotion, language, path, start, end, text in zip(*columns, strict=True):
        yield Utterance(
            utterance_id=identity,
            speaker=speaker,
            emotion=emotion,
            language=language.strip(),
            file=path,
            path=audio_file(audio_root, path),
            start=None if np.isnan(start) else float(start),
            end=None if np.isnan(end) else float(end),
            text=text.strip(),
            machine_text=False,
            seconds=None,
            failure=None,
        )


def _check(utterance: Utterance) -> Utterance:
    try:
        samples = audio_samples(utterance.path, utterance.start, utterance.end)
    except AudioError as error:
        return replace(utterance, failure=str(error))
    failure = None if utterance.language else NO_LANGUAGE
    return replace(utterance, seconds=samples / SAMPLE_RATE, failure=failure)


def manifest_fingerprints(manifest: pd.DataFrame) -> dict[str, str]:
    """Hash what an alignment takes from a manifest, whatever the rows' order.

    Returns
    -------
    dict
        ``recordings``: ids, files, times and speakers; ``texts``: with languages; ``emotions``, which only
        the summary needs.
    """
    parts = {
        "recordings": ["path", "start", "end", "speaker"],
        "texts": ["language", "text"],
        "emotions": ["emotion"],
    }
    found = {}
    for name, names in parts.items():
        columns = (map(str, manifest[column].tolist()) for column in ("utterance_id", *names))
        cells = sorted(zip(*columns, strict=True))
        found[name] = hashlib.sha256(json.dumps(cells, ensure_ascii=False).encode()).hexdigest()
    return found

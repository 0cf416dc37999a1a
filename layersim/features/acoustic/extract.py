"""Extract the acoustic features of whole corpora, shard by shard, on all processor cores.

As with hidden states, what can be wrong is looked for first, and a run that was stopped, however hard, goes
on with the shards that are missing and ends with the bytes that it would have had.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from joblib import Parallel, delayed

from layersim.corpus.audio import SAMPLE_RATE, read_audio
from layersim.corpus.recordings import read_corpus_manifest
from layersim.errors import AudioError, ClaimedError, LayersimError, summarise_faults
from layersim.features.acoustic.sets import AcousticSet, SetName, acoustic_set
from layersim.features.acoustic.store import (
    AcousticCache,
    acoustic_folder,
    describe_request,
    name_command,
    naming_command,
)
from layersim.features.cache import Vectors
from layersim.features.decoding import Clip
from layersim.features.failures import (
    SHOWN,
    Failure,
    failure_lines,
    failure_note,
    list_failures,
    refuse_empty,
    write_failures,
)
from layersim.features.preparation import CorpusJob, prepare_corpus
from layersim.features.shard_heads import refuse_other_shards
from layersim.features.shard_writer import ShardWriter
from layersim.features.shards import AcousticRows, FailedRows, shard_ranges
from layersim.features.standing import is_finished, refuse_exchanged
from layersim.features.workers import at_work
from layersim.provenance import write_run
from layersim.settings import StageConfig, resolve_settings, setting
from layersim.workspace import Progress, Workspace, no_progress


class AcousticConfig(StageConfig):
    """What ``run.json`` says of an extraction."""

    section: ClassVar[str] = "acoustic"

    acoustic: SetName = setting("egemaps", "Which acoustic features.")
    shard_size: int = setting(256, "Utterances per HDF5 file: what a killed run loses at most.", ge=1)


@dataclass(frozen=True)
class AcousticResult:
    """What stands in one corpus's store, and how long this run took."""

    corpus: str
    set_name: SetName
    folder: Path
    utterances: int
    hours: float
    shape: tuple[int, int]
    computed: int  # utterances that this run computed; 0 where everything was there
    elapsed_seconds: float
    notes: list[str] = field(default_factory=list)
    failed: int = 0  # utterances that have no features; all are listed in ``failed.csv`` beside the store
    failures: list[Failure] = field(default_factory=list)  # the first of them

    def to_json(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        failures = [failure._asdict() for failure in self.failures]
        return {
            **vars(self), "folder": str(self.folder), "shape": list(self.shape), "failures": failures,
        }  # fmt: skip

    def to_table(self) -> str:
        """Return one line, and a line per thing to know."""
        size = " x ".join(str(length) for length in self.shape if length > 1)
        speed = f"{self.elapsed_seconds:.0f} s" if self.computed else "already complete"
        line = (
            f"{self.corpus}: {self.utterances:,} utterances ({self.hours:.2f} h), {self.set_name} ({size}) "
            f"-> {self.folder}, {speed}"
        )
        return "\n".join(
            [line, *(f"  {note}" for note in self.notes), *failure_lines(self.failures, self.failed)]
        )


def extract_acoustic(
    workspace: Workspace,
    set_name: str,
    corpora: Sequence[str] | None = None,
    progress: Progress = no_progress,
    force: bool = False,
    keep_going: bool = False,
    *,
    n_jobs: int = -1,
    shard_size: int | None = None,
) -> list[AcousticResult]:
    """Extract one set of acoustic features of a workspace's corpora.

    Parameters
    ----------
    set_name : str
        ``egemaps``, ``emobase`` or ``sequences``.
    corpora : sequence of str, optional
        Their names; None: all of the workspace.
    progress : callable
        Gets seconds of audio, done and in all, as ``extracting SET of NAME``; files as ``checking NAME``.
    force : bool
        Replace features that were made otherwise; those of the same provenance are kept.
    keep_going : bool
        Leave out recordings that cannot be used, as `layersim.features.extract.extract` does.
    n_jobs : int
        Processes; -1: as many as cores. The numbers and their order do not depend on it.
    shard_size : int, optional
        Utterances per file; None: 256.

    Returns
    -------
    list of AcousticResult
        In the order of the corpora; each is also written beside its shards, in ``run.json``.

    Raises
    ------
    LayersimError
        If the set or a corpus is unknown, openSMILE is missing, or recordings cannot be used or are too
        short for the set (all of them are named; what could be finished is kept).
    ProvenanceError
        If features there were made otherwise, and ``force`` is not set.
    """
    features = acoustic_set(set_name)
    settings = resolve_settings(AcousticConfig, {"acoustic": features.name, "shard_size": shard_size})
    names = list(workspace.corpora) if corpora is None else list(corpora)
    if not names:
        raise LayersimError(f"{workspace.root}: the workspace has no corpus. Add one: layersim init.")
    features.versions()  # a missing library is said before recordings are read
    jobs = {
        name: _prepare(workspace, name, settings.config.shard_size, keep_going, progress) for name in names
    }
    provenances = {
        name: describe_request(job, features, settings.config.shard_size) for name, job in jobs.items()
    }
    folders = {name: acoustic_folder(workspace, name, set_name) for name in names}
    for name in names:
        with naming_command(set_name):
            if not force:
                refuse_other_shards(folders[name], provenances[name])
                refuse_exchanged(jobs[name], folders[name])
    results = []
    for name in names:
        job, folder, provenance = jobs[name], folders[name], provenances[name]
        began = time.monotonic()
        with naming_command(set_name), at_work(folder, provenance, force) as others:
            if others:  # one takes all cores: two would not be faster
                raise ClaimedError(
                    f"{folder}: these features are being made by {others[0]}. Wait until it has ended, or "
                    "stop it."
                )
            computed = _make_missing(job, features, folder, provenance, progress, n_jobs)
        with naming_command(set_name):
            cache = AcousticCache.open(folder, provenance)
        failures = list_failures(job.manifest, cache)
        write_failures(folder, failures)
        refuse_empty(name, cache, failures)
        notes = [*job.notes, *filter(None, [failure_note(job.manifest, cache)])]
        result = AcousticResult(
            name, features.name, folder, len(cache), cache.provenance["samples"] / SAMPLE_RATE / 3600,
            cache.shape, computed, time.monotonic() - began,
            [name_command(note, set_name) for note in notes], len(failures), failures[:SHOWN],
        )  # fmt: skip
        if computed or not (folder / "run.json").exists():
            write_run(
                folder, "extract", {"corpus": name}, settings, job.inputs, result.to_json(), result.notes
            )
        results.append(result)
    return results


def _prepare(
    workspace: Workspace, name: str, shard_size: int, keep_going: bool, progress: Progress
) -> CorpusJob:
    """Read one corpus's manifest and the headers of its recordings."""
    entry = workspace.corpus(name)
    manifest = read_corpus_manifest(name, entry)
    job, faults = prepare_corpus(
        manifest, entry.audio_root, None, limit=None, seed=0, store="pooled", shard_size=shard_size,
        keep_going=keep_going, progress=progress,
    )  # fmt: skip
    if job is None:
        _refuse(name, faults, "Nothing was computed.")
        raise ValueError("a corpus without faults has a job")
    return job


def _make_missing(
    job: CorpusJob,
    features: AcousticSet,
    folder: Path,
    provenance: dict[str, Any],
    progress: Progress,
    n_jobs: int,
) -> int:
    """Compute every shard that is not finished; return the number of utterances that this took."""
    shards = shard_ranges(len(job.clips), provenance["shard_size"])
    pending = [index for index in range(len(shards)) if not is_finished(job, folder, index)]
    todo = [job.clips[row] for index in pending for row in shards[index] if row not in job.unusable]
    done, label = job.seconds - sum(clip.samples for clip in todo) / SAMPLE_RATE, "extracting"
    faults: list[str] = []
    computed = _compute_all(features, todo, n_jobs)
    for index in pending:
        clips = [job.clips[row] for row in shards[index]]
        values = np.empty((len(clips), *features.shape), dtype=np.float32)
        own: dict[int, str] = {}
        with ShardWriter(folder, index, len(shards), provenance) as writer:
            for place, clip in enumerate(clips):
                progress(f"{label} {features.name} of {job.corpus}", done, job.seconds)
                fault = job.unusable.get(shards[index].start + place)
                found = next(computed) if fault is None else fault
                if isinstance(found, str):
                    own[place] = found
                else:
                    values[place] = found
                done += clip.samples / SAMPLE_RATE
            if job.keep_going or not own:
                writer.finish(_rows(features, clips, values, own))
        if not job.keep_going:
            faults += own.values()
    progress(f"{label} {features.name} of {job.corpus}", job.seconds, job.seconds)
    _refuse(job.corpus, faults, "The shards without such recordings are kept.")
    return len(todo)


def _rows(
    features: AcousticSet, clips: Sequence[Clip], values: Vectors, failed: Mapping[int, str]
) -> AcousticRows:
    kept = [place for place in range(len(clips)) if place not in failed]
    return AcousticRows(
        utterance=[clips[place].key for place in kept],
        samples=np.array([clips[place].samples for place in kept], dtype=np.int64),
        frames=np.array([features.frames(clips[place].samples) for place in kept], dtype=np.int64),
        values=values[kept],
        failed=FailedRows.of({place: (clips[place].key, reason) for place, reason in failed.items()}),
    )


def _compute_all(features: AcousticSet, clips: Sequence[Clip], n_jobs: int) -> Iterator[Vectors | str]:
    """Compute clip after clip, ahead of whoever takes them; in order."""
    tasks = (delayed(_compute)(features.name, clip) for clip in clips)
    return iter(Parallel(n_jobs=n_jobs, return_as="generator")(tasks))


def _compute(set_name: str, clip: Clip) -> Vectors | str:
    """Return one clip's features, or what is wrong with it."""
    features = acoustic_set(set_name)
    try:
        values = features.compute(read_audio(clip.path, clip.start, clip.end))
    except AudioError as error:
        return str(error)
    missing = int((~np.isfinite(values)).sum())
    if missing:
        return (
            f"{clip.key} ({clip.path.name}): {features.checkpoint} gives no number for {missing} of "
            f"{values.size} values; its {1000 * clip.samples / SAMPLE_RATE:.0f} ms are too short for it."
        )
    return values


def _refuse(corpus: str, faults: Sequence[str], kept: str) -> None:
    if faults:
        raise LayersimError(
            summarise_faults(
                f"{corpus}: {len(faults)} recordings cannot be used",
                faults,
                f"{kept} Mend them, or remove them from the manifest; layersim corpus check lists what is "
                "wrong with a corpus.",
            )
        )

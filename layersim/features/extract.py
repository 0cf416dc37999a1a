"""The extract stage: every layer's features of whole corpora, in one pass, into HDF5 caches.

What can be wrong is looked for first: all manifests, the headers of all recordings, all phone times, what
stands in the caches already, and the free disk; only then does the encoder work. A run that was stopped,
however hard, goes on with the shards that are missing and ends with the bytes that it would have had.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pandas as pd

from layersim.alignment.outputs import find_outputs
from layersim.alignment.phone_set import known_phone_sets
from layersim.alignment.readers import read_alignments
from layersim.corpus.recordings import read_corpus_manifest
from layersim.errors import LayersimError, summarise_faults
from layersim.features.cache import FeatureCache
from layersim.features.disk import PlannedCache, refuse_full_disk
from layersim.features.failures import list_failures, refuse_empty, write_failures
from layersim.features.memory import BatchLimit
from layersim.features.preparation import CorpusJob, Phones, prepare_corpus
from layersim.features.result import ExtractResult, describe_result
from layersim.features.resume import is_otherwise, make_missing_shards, refuse_other_shards
from layersim.features.shards import clear, remove_left_overs
from layersim.features.standing import refuse_exchanged
from layersim.features.trimming import measure_trimming
from layersim.provenance import write_run
from layersim.settings import FILE_NAME, Settings, StageConfig, setting
from layersim.workspace import Progress, Workspace, no_progress

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder


logger = logging.getLogger(__name__)


class ExtractConfig(StageConfig):
    """Settings of the extract stage."""

    section: ClassVar[str] = "extract"

    limit: int | None = setting(
        None, "Take so many utterances per corpus, balanced over emotions and speakers (none: all).", ge=1
    )
    store: Literal["pooled", "frames"] = setting(
        "pooled", "Keep pooled vectors only, or every frame in half precision too (gigabytes per hour)."
    )
    phones: Literal["vowels", "all"] = setting("vowels", "Which aligned phones to pool.")
    middle: bool = setting(False, "Pool the middle third of each phone too, where its formants are steady.")
    stack: Literal["encoder", "decoder", "both"] = setting(
        "encoder", "Which blocks of an encoder-decoder model (Whisper); others have an encoder only."
    )
    whisper_window: Literal["full", "trim"] = setting(
        "full",
        "Whisper's windows: full (30 s, as trained), or trim (as long as the audio: much faster on short "
        "clips, and other features).",
    )
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "Where the encoder runs (auto: a GPU if any).")
    precision: Literal["fp32", "bf16", "fp16"] = setting(
        "fp32", "Arithmetic of the encoder; pooling is always fp32."
    )
    batch_seconds: float = setting(
        0.0, "Seconds of audio in a batch (0: by the GPU's memory; one utterance at a time on a CPU).", ge=0
    )
    shard_size: int = setting(256, "Utterances per HDF5 file: what a killed run loses at most.", ge=1)
    seed: int = setting(0, "Seed of the utterances that --limit takes.", ge=0)


def extract(
    workspace: Workspace,
    settings: Settings[ExtractConfig],
    corpora: Sequence[str] | None = None,
    progress: Progress = no_progress,
    force: bool = False,
    encoder: Encoder | None = None,
    keep_going: bool = False,
) -> list[ExtractResult]:
    """Extract the features of a workspace's corpora.

    Parameters
    ----------
    corpora : sequence of str, optional
        Their names; None: all of the workspace.
    progress : callable
        Gets seconds of audio, done and in all, as ``extracting NAME``; files as ``checking NAME``.
    force : bool
        Replace caches that were made otherwise, and shards whose recordings were exchanged since. What is of
        the same provenance is kept: making it again gives the same bytes, unless a file was exchanged for
        another of the same length, which is not noticed; then delete the cache's folder.
    encoder : Encoder, optional
        Loaded already; None: the workspace's is loaded, after everything else has been checked.
    keep_going : bool
        Leave out utterances that cannot be used and finish all others. The results say how many failed, the
        file ``failed.csv`` beside each cache lists them, and the next run tries them again.

    Returns
    -------
    list of ExtractResult
        In the order of the corpora; each is also written beside its cache, in ``run.json``.

    Raises
    ------
    LayersimError
        If a corpus, recording, alignment or setting is wrong (all faults of all corpora are collected), or
        the disk is too small; with ``keep_going``, if none of a corpus's recordings can be used.
    ProvenanceError
        If a cache was made otherwise, or of other recordings, and ``force`` is not set.
    """
    config = settings.config
    names = list(workspace.corpora) if corpora is None else list(corpora)
    if not names:
        raise LayersimError(f"{workspace.root}: the workspace has no corpus. Add one: layersim init.")
    if encoder is None and not workspace.encoder:
        raise LayersimError(f"{workspace.root}: no encoder. Set encoder in layersim.toml, or give --encoder.")
    jobs: dict[str, CorpusJob] = {}
    faults: list[str] = []
    for name in names:
        job, found = _prepare(workspace, name, config, keep_going, progress)
        faults += [f"{name}: {fault}" for fault in found]
        if job is not None:
            jobs[name] = job
    _refuse_faults(faults)
    folders = {name: workspace.cache_folder(name) for name in names}
    if not force:
        for name, job in jobs.items():
            refuse_other_shards(folders[name], job.provenance)
            refuse_exchanged(job, folders[name])
    if encoder is None:
        from layersim.encoders.load import load_encoder

        encoder = load_encoder(
            workspace.encoder, device=_device(config.device), precision=config.precision,
            stack=config.stack, whisper_window=config.whisper_window,
        )  # fmt: skip
    provenances = {name: {**job.provenance, **_encoder_provenance(encoder)} for name, job in jobs.items()}
    if not force:
        for name, provenance in provenances.items():
            refuse_other_shards(folders[name], provenance)
    refuse_full_disk([PlannedCache(folders[name], jobs[name], provenances[name]) for name in names], encoder)
    limit = BatchLimit()
    return [
        _extract_job(jobs[name], encoder, folders[name], provenances[name], settings, progress, force, limit)
        for name in names
    ]


def extract_corpus(
    manifest: pd.DataFrame,
    audio_root: Path,
    encoder: Encoder,
    folder: Path,
    settings: Settings[ExtractConfig],
    phones: pd.DataFrame | None = None,
    phone_set: str | None = None,
    progress: Progress = no_progress,
    force: bool = False,
    keep_going: bool = False,
) -> ExtractResult:
    """Extract the features of one corpus, without a workspace.

    Parameters
    ----------
    manifest : DataFrame
        As `layersim.corpus.manifest.read_manifest` gives it, which refuses paths that leave the audio root.
    folder : Path
        Where the cache goes.
    settings : Settings of ExtractConfig
        ``device``, ``precision``, ``stack`` and ``whisper_window`` are the given encoder's, not read here.
    phones : DataFrame, optional
        Columns ``utterance_id, start, end, phone``, seconds from the start of the utterance. Utterances
        without a row count as not aligned.
    phone_set : str, optional
        Needed with ``phones``.
    force, keep_going : bool
        As in `extract`.

    Raises
    ------
    LayersimError, ProvenanceError
        As `extract`.
    ValueError
        If ``phones`` come without ``phone_set``.
    """
    if phones is not None and phone_set is None:
        raise ValueError("phone_set: expected a name with phones, got None")
    given = None
    if phones is not None and phone_set is not None:
        given = Phones(phones, phone_set, settings.config.phones)
    job, faults = _prepare_with(settings.config, manifest, audio_root, given, keep_going, progress)
    _refuse_faults(faults)
    if job is None:
        raise ValueError("a corpus without faults has a job")
    provenance = {**job.provenance, **_encoder_provenance(encoder)}
    if not force:
        refuse_other_shards(folder, provenance)
        refuse_exchanged(job, folder)
    refuse_full_disk([PlannedCache(folder, job, provenance)], encoder)
    return _extract_job(job, encoder, folder, provenance, settings, progress, force, BatchLimit())


def _prepare(
    workspace: Workspace, name: str, config: ExtractConfig, keep_going: bool, progress: Progress
) -> tuple[CorpusJob | None, list[str]]:
    """Read one corpus's files; its entry says where they are."""
    entry = workspace.corpus(name)
    manifest = read_corpus_manifest(name, entry)
    phones = _find_phones(workspace, name, manifest, config)
    return _prepare_with(config, manifest, entry.audio_root, phones, keep_going, progress)


def _find_phones(
    workspace: Workspace, name: str, manifest: pd.DataFrame, config: ExtractConfig
) -> Phones | None:
    """Read the alignments that a corpus's entry names, else those of ``layersim align``, if there are any."""
    entry, names = workspace.corpus(name), manifest["utterance_id"].tolist()
    if entry.alignments is not None:
        if entry.phone_set is None:
            raise LayersimError(
                f"{workspace.root / FILE_NAME}, table [corpora.{name}]: alignments need a phone_set. "
                f"Add one of {', '.join(known_phone_sets())}, or a file of your own."
            )
        found = read_alignments(entry.alignments, names)
        return Phones(found.phones, entry.phone_set, config.phones, tuple(found.notes), found.durations)
    stored = find_outputs(workspace.align_folder(name))
    if stored is None:
        if workspace.align_folder(name).is_dir():
            logger.warning(
                "%s: its alignment was begun and not finished, so no phones are pooled. To have them: "
                "layersim align, then layersim extract --force", name,
            )  # fmt: skip
        return None
    stored.refuse_if_stale(name, manifest)
    found = read_alignments(stored.phones, names)
    notes = (f"phones from layersim align, by {stored.run['results']['aligner']}", *found.notes)
    return Phones(found.phones, entry.phone_set or stored.phone_set, config.phones, notes, found.durations)


def _prepare_with(
    config: ExtractConfig,
    manifest: pd.DataFrame,
    audio_root: Path,
    phones: Phones | None,
    keep_going: bool,
    progress: Progress,
) -> tuple[CorpusJob | None, list[str]]:
    return prepare_corpus(
        manifest, audio_root, phones, limit=config.limit, seed=config.seed, store=config.store,
        shard_size=config.shard_size, middle=config.middle, keep_going=keep_going, progress=progress,
    )  # fmt: skip


def _refuse_faults(faults: Sequence[str]) -> None:
    if faults:
        raise LayersimError(
            summarise_faults(
                f"{len(faults)} faults, found before anything was computed",
                faults,
                "Mend or remove them; layersim corpus check lists what is wrong with a corpus.",
            )
        )


def _device(name: str) -> str:
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _encoder_provenance(encoder: Encoder) -> dict[str, Any]:
    """What a cache says of its encoder."""
    return {
        "encoder": encoder.describe(),
        "layers": list(encoder.layers),
        "frame_layers": list(encoder.frame_layers),
        "width": encoder.width,
    }


def _extract_job(
    job: CorpusJob,
    encoder: Encoder,
    folder: Path,
    provenance: dict[str, Any],
    settings: Settings[ExtractConfig],
    progress: Progress,
    force: bool,
    limit: BatchLimit,
) -> ExtractResult:
    """Make the shards that are missing, then count what is there."""
    remove_left_overs(folder)
    if force and is_otherwise(folder, provenance):
        clear(folder)
    began = time.monotonic()
    computed = make_missing_shards(
        job, encoder, folder, provenance, settings.config.batch_seconds, progress, limit
    )
    elapsed = time.monotonic() - began
    cache = FeatureCache.open(folder, provenance)
    failures = list_failures(job.manifest, cache)
    write_failures(folder, failures)
    refuse_empty(job.corpus, cache, failures)
    trimming = None
    if computed and provenance["encoder"].get("whisper_window") == "trim":
        clips = [clip for clip in job.clips if clip.key not in cache.failed]
        trimming = measure_trimming(clips, encoder, settings.config.seed)
    result = describe_result(job, cache, computed, elapsed, trimming)
    result.notes.extend([*encoder.notes, *filter(None, [limit.note(encoder)])])
    if computed or not (folder / "run.json").exists():
        inputs = {**job.inputs, "encoder": str(provenance["encoder"].get("weights_sha256"))}
        study = {"corpus": job.corpus, "encoder": str(provenance["encoder"]["checkpoint"])}
        write_run(folder, "extract", study, settings, inputs, result.to_json(), result.notes)
    return result

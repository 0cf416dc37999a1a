"""The extract stage: every layer's features of whole corpora, in one pass, into HDF5 caches.

What can be wrong is looked for first: all manifests, the headers of all recordings, all phone times, what
stands in the caches already, and the free disk; only then does the encoder work. A run that was stopped,
however hard, goes on with the shards that are missing and ends with the bytes that it would have had.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import pandas as pd

from layersim.alignment.outputs import find_outputs
from layersim.alignment.phone_set import known_phone_sets
from layersim.alignment.readers import read_alignments
from layersim.corpus.recordings import read_corpus_manifest
from layersim.errors import LayersimError, summarise_faults
from layersim.features.disk import PlannedCache, refuse_full_disk
from layersim.features.making import make_cache, make_share
from layersim.features.memory import BatchLimit
from layersim.features.preparation import CorpusJob, Phones, prepare_corpus
from layersim.features.result import ExtractResult
from layersim.features.shard_heads import refuse_other_shards
from layersim.features.share import Share, ShareResult
from layersim.features.standing import refuse_exchanged
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
    ClaimedError
        If another extract is making a cache with other settings, or ``force`` would remove what it makes.
    """
    prepared = _prepare_all(workspace, settings.config, corpora, progress, force, encoder, keep_going)
    limit = BatchLimit()
    return [
        make_cache(planned, prepared.encoder, settings, progress, force, limit)
        for planned in prepared.planned
    ]


def extract_share(
    workspace: Workspace,
    settings: Settings[ExtractConfig],
    share: Share,
    corpora: Sequence[str] | None = None,
    progress: Progress = no_progress,
    force: bool = False,
    encoder: Encoder | None = None,
    keep_going: bool = False,
) -> list[ShareResult]:
    """Extract one process's share of the shards of a workspace's corpora.

    The processes need not know of each other, nor run at the same time. ``run.json`` is written by the one
    that finds every shard there in the end.

    Parameters
    ----------
    share : Share
        Process I of K.
    corpora, progress, force, encoder, keep_going
        As `extract` takes them.

    Returns
    -------
    list of ShareResult
        In the order of the corpora.

    Raises
    ------
    LayersimError, ProvenanceError
        As `extract`.
    """
    prepared = _prepare_all(workspace, settings.config, corpora, progress, force, encoder, keep_going)
    limit = BatchLimit()
    return [
        make_share(planned, share, prepared.encoder, settings, progress, force, limit)
        for planned in prepared.planned
    ]


class _Prepared(NamedTuple):
    """All corpora, checked, and the encoder, loaded."""

    planned: list[PlannedCache]
    encoder: Encoder


def _prepare_all(
    workspace: Workspace,
    config: ExtractConfig,
    corpora: Sequence[str] | None,
    progress: Progress,
    force: bool,
    encoder: Encoder | None,
    keep_going: bool,
) -> _Prepared:
    """Check everything that can be checked before the encoder works."""
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
    planned = [PlannedCache(folders[name], jobs[name], provenances[name]) for name in names]
    refuse_full_disk(planned, encoder)
    return _Prepared(planned, encoder)


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
    planned = PlannedCache(folder, job, provenance)
    refuse_full_disk([planned], encoder)
    return make_cache(planned, encoder, settings, progress, force, BatchLimit())


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

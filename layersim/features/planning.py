"""What an extraction is to make, with everything looked at that can be wrong before the encoder works."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from layersim.alignment.outputs import find_outputs
from layersim.alignment.phone_set import known_phone_sets
from layersim.alignment.readers import read_alignments
from layersim.corpus.recordings import read_corpus_manifest
from layersim.errors import LayersimError, UsageError, summarise_faults
from layersim.features.ahead import alive_decoders, decoding_processes
from layersim.features.disk import PlannedCache, refuse_full_disk
from layersim.features.preparation import CorpusJob, Phones, prepare_corpus
from layersim.features.settings import ExtractConfig
from layersim.features.shard_heads import refuse_other_shards
from layersim.features.standing import refuse_exchanged
from layersim.settings import FILE_NAME, FLAG, Settings
from layersim.workspace import Progress, Workspace

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder

logger = logging.getLogger(__name__)


class Plan(NamedTuple):
    """All corpora, checked, and the encoder, loaded."""

    caches: list[PlannedCache]
    encoder: Encoder


def plan_corpora(
    workspace: Workspace,
    settings: Settings[ExtractConfig],
    corpora: Sequence[str] | None,
    progress: Progress,
    force: bool,
    encoder: Encoder | None,
    keep_going: bool,
) -> Plan:
    """Check everything that can be checked before the encoder works, and load it.

    Raises
    ------
    LayersimError, ProvenanceError
        As `layersim.features.extract.extract`.
    """
    config = settings.config
    names = list(workspace.corpora) if corpora is None else list(corpora)
    if not names:
        raise LayersimError(f"{workspace.root}: the workspace has no corpus. Add one: layersim init.")
    if config.engine == "ray":
        if encoder is not None:
            raise ValueError("encoder: expected None with engine 'ray', whose workers load their own")
        from layersim.features.ray_cluster import refuse_unreachable

        refuse_unreachable(config.address)
    elif config.address is not None and settings.origins["address"] == FLAG:
        raise UsageError("--address says which Ray cluster: give --engine ray too, or leave it out.")
    if encoder is None and not workspace.encoder:
        raise LayersimError(f"{workspace.root}: no encoder. Set encoder in layersim.toml, or give --encoder.")
    jobs: dict[str, CorpusJob] = {}
    faults: list[str] = []
    processes = _processes(config.device if encoder is None else encoder.device.type)
    for name in names:
        with alive_decoders():
            job, found = _prepare(workspace, name, config, keep_going, progress, processes)
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

        with _unsaid() if config.engine == "ray" else nullcontext():
            encoder = load_encoder(
                workspace.encoder, device=_device(config), precision=config.precision, stack=config.stack,
                whisper_window=config.whisper_window,
            )  # fmt: skip
    provenances = {name: {**job.provenance, **_encoder_provenance(encoder)} for name, job in jobs.items()}
    if not force:
        for name, provenance in provenances.items():
            refuse_other_shards(folders[name], provenance)
    planned = [PlannedCache(folders[name], jobs[name], provenances[name]) for name in names]
    refuse_full_disk(planned, encoder)
    return Plan(planned, encoder)


def plan_corpus(
    manifest: pd.DataFrame,
    audio_root: Path,
    encoder: Encoder,
    folder: Path,
    config: ExtractConfig,
    phones: Phones | None,
    progress: Progress,
    force: bool,
    keep_going: bool,
) -> PlannedCache:
    """Check one corpus without a workspace.

    Raises
    ------
    LayersimError, ProvenanceError
        As `layersim.features.extract.extract`.
    """
    processes = _processes(encoder.device.type)
    with alive_decoders():
        job, faults = _prepare_with(config, manifest, audio_root, phones, keep_going, progress, processes)
    _refuse_faults(faults)
    if job is None:
        raise ValueError("a corpus without faults has a job")
    provenance = {**job.provenance, **_encoder_provenance(encoder)}
    if not force:
        refuse_other_shards(folder, provenance)
        refuse_exchanged(job, folder)
    planned = PlannedCache(folder, job, provenance)
    refuse_full_disk([planned], encoder)
    return planned


def _prepare(
    workspace: Workspace,
    name: str,
    config: ExtractConfig,
    keep_going: bool,
    progress: Progress,
    processes: Executor | None,
) -> tuple[CorpusJob | None, list[str]]:
    """Read one corpus's files; its entry says where they are."""
    entry = workspace.corpus(name)
    manifest = read_corpus_manifest(name, entry)
    phones = _find_phones(workspace, name, manifest, config)
    return _prepare_with(config, manifest, entry.audio_root, phones, keep_going, progress, processes)


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
    processes: Executor | None,
) -> tuple[CorpusJob | None, list[str]]:
    return prepare_corpus(
        manifest, audio_root, phones, limit=config.limit, seed=config.seed, store=config.store,
        shard_size=config.shard_size, middle=config.middle, keep_going=keep_going, progress=progress,
        processes=processes,
    )  # fmt: skip


def _processes(device: str) -> Executor | None:
    """Where a GPU is known to be fed, the processes that will decode for it: they may read headers too."""
    return decoding_processes() if device.startswith("cuda") else None


def _refuse_faults(faults: Sequence[str]) -> None:
    if faults:
        raise LayersimError(
            summarise_faults(
                f"{len(faults)} faults, found before anything was computed",
                faults,
                "Mend or remove them; layersim corpus check lists what is wrong with a corpus.",
            )
        )


@contextmanager
def _unsaid() -> Iterator[None]:
    """Load an encoder that only describes itself: what is to be known of it, the workers' own say."""
    speaker = logging.getLogger("layersim.encoders.load")
    before = speaker.level
    speaker.setLevel(logging.ERROR)
    try:
        yield
    finally:
        speaker.setLevel(before)


def _device(config: ExtractConfig) -> str:
    """Where this process's encoder goes; one that works for Ray's workers leaves them the GPU."""
    if config.engine == "ray":
        return "cpu"
    if config.device != "auto":
        return config.device
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

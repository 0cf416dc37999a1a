"""The extract stage: every layer's features of whole corpora, in one pass, into HDF5 caches.

What can be wrong is looked for first: all manifests, the headers of all recordings, all phone times, what
stands in the caches already, and the free disk; only then does the encoder work. A run that was stopped,
however hard, goes on with the shards that are missing and ends with the bytes that it would have had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from layersim.errors import UsageError
from layersim.features.making import make_cache, make_share
from layersim.features.memory import BatchLimit
from layersim.features.planning import Plan, plan_corpora, plan_corpus
from layersim.features.preparation import Phones
from layersim.features.result import ExtractResult
from layersim.features.settings import ExtractConfig
from layersim.features.share import Share, ShareResult
from layersim.settings import Settings
from layersim.workspace import Progress, Workspace, no_progress

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder
    from layersim.features.ray_pool import RayWorkers

__all__ = ["ExtractConfig", "extract", "extract_corpus", "extract_share"]


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
    plan = plan_corpora(workspace, settings, corpora, progress, force, encoder, keep_going)
    limit = BatchLimit()
    with _workers(workspace, settings.config, plan) as hired:
        return [
            make_cache(planned, plan.encoder, settings, progress, force, limit, hired)
            for planned in plan.caches
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
    UsageError
        If the engine is Ray, which divides the work itself.
    LayersimError, ProvenanceError
        As `extract`.
    """
    if settings.config.engine == "ray":
        raise UsageError("--num-shards and --shard are for processes without Ray: --engine local.")
    plan = plan_corpora(workspace, settings, corpora, progress, force, encoder, keep_going)
    limit = BatchLimit()
    return [
        make_share(planned, share, plan.encoder, settings, progress, force, limit) for planned in plan.caches
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
        ``device``, ``precision``, ``stack``, ``whisper_window`` and ``engine`` are not read here: the encoder
        is given, and works in this process.
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
    planned = plan_corpus(
        manifest, audio_root, encoder, folder, settings.config, given, progress, force, keep_going
    )
    return make_cache(planned, encoder, settings, progress, force, BatchLimit())


@contextmanager
def _workers(workspace: Workspace, config: ExtractConfig, plan: Plan) -> Iterator[RayWorkers | None]:
    """Hire the workers of a Ray cluster; None where this process does the work."""
    if config.engine == "local":
        yield None
        return
    from layersim.features.on_ray import ray_workers

    by_folder = {planned.folder: planned.job for planned in plan.caches}
    with ray_workers(config, workspace.encoder, plan.encoder, by_folder) as hired:
        yield hired

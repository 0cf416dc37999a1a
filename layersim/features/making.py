"""Make one corpus's cache, whole or one process's share of it, and say what stands there then."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from layersim.corpus.audio import SAMPLE_RATE
from layersim.features.cache import FeatureCache
from layersim.features.disk import PlannedCache
from layersim.features.failures import list_failures, refuse_empty, write_failures
from layersim.features.maker import ShardMaker
from layersim.features.memory import BatchLimit
from layersim.features.result import ExtractResult, describe_result
from layersim.features.resume import make_missing_shards, missing_shards
from layersim.features.shard_file import writing_to
from layersim.features.shard_heads import read_head
from layersim.features.shards import part_file
from layersim.features.share import Share, ShareResult
from layersim.features.standing import is_stale
from layersim.features.trimming import Trimming, measure_trimming
from layersim.features.workers import at_work
from layersim.provenance import RUN, write_run
from layersim.settings import Settings
from layersim.workspace import Progress

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder
    from layersim.features.ray_pool import RayWorkers
    from layersim.features.settings import ExtractConfig

logger = logging.getLogger(__name__)


def make_cache(
    planned: PlannedCache,
    encoder: Encoder,
    settings: Settings[ExtractConfig],
    progress: Progress,
    force: bool,
    limit: BatchLimit,
    hired: RayWorkers | None = None,
) -> ExtractResult:
    """Make the shards that are missing, then count what is there.

    Parameters
    ----------
    hired : RayWorkers, optional
        Those that make the shards; None: this process does.

    Raises
    ------
    LayersimError, ProvenanceError, ClaimedError
        As `layersim.features.extract.extract`.
    """
    with at_work(planned.folder, planned.provenance, force) as others:
        if others:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            logger.warning(
                "%s: another extract is at work on this cache: %s%s. This one makes the shards that it "
                "leaves, then waits for the rest.", planned.folder, others[0], more,
            )  # fmt: skip
        began = time.monotonic()
        if hired is not None:
            try:
                computed = hired.make_missing_shards(*planned, progress)
            except BaseException:
                hired.end()  # while others can still see that someone is at work
                raise
            notes = hired.notes
        else:
            with ShardMaker(encoder, settings.config.batch_seconds, limit) as maker:
                computed = make_missing_shards(*planned, maker, progress)
            notes = maker.notes
        return finish_cache(planned, encoder, settings, computed, time.monotonic() - began, notes)


def make_share(
    planned: PlannedCache,
    share: Share,
    encoder: Encoder,
    settings: Settings[ExtractConfig],
    progress: Progress,
    force: bool,
    limit: BatchLimit,
) -> ShareResult:
    """Make the missing shards of one share; count the cache if that completes it.

    Raises
    ------
    LayersimError, ProvenanceError, ClaimedError
        As `layersim.features.extract.extract`.
    """
    folder, job, _ = planned
    own = share.shards(job.shards)
    with at_work(folder, planned.provenance, force):
        began = time.monotonic()
        before = missing_shards(job, folder)
        with ShardMaker(encoder, settings.config.batch_seconds, limit) as maker:
            computed = make_missing_shards(*planned, maker, progress, own)
        elapsed = time.monotonic() - began
        notes = maker.notes
        left = [index for index in range(job.shards) if is_stale(job, folder, index)]
        if not left:
            notes = finish_cache(planned, encoder, settings, computed, elapsed, notes).notes
        else:
            notes = [*job.notes, *notes]
            if computed and (trimming := _trimming(planned, own, encoder, settings)):
                notes.append(trimming.note())
    return ShareResult(
        corpus=job.corpus,
        folder=folder,
        share=share,
        shards=len(own),
        utterances=sum(len(job.rows(index)) for index in own),
        made=len(set(before) & set(own)),
        there=job.shards - len(left),
        shards_in_all=job.shards,
        left=dict(sorted(Counter(index % share.of for index in left).items())),
        computed_hours=computed / SAMPLE_RATE / 3600,
        elapsed_seconds=elapsed,
        failed=sum(len(read_head(part_file(folder, index)).failed) for index in own),
        notes=notes,
    )


def _trimming(
    planned: PlannedCache, shards: Sequence[int], encoder: Encoder, settings: Settings[ExtractConfig]
) -> Trimming | None:
    """Measure what trimming has changed in some shards; None where nothing is trimmed."""
    folder, job, provenance = planned
    if provenance["encoder"].get("whisper_window") != "trim":
        return None
    failed = {key for index in shards for key, _, _ in read_head(part_file(folder, index)).failed}
    clips = [job.clips[row] for index in shards for row in job.rows(index)]
    usable = [clip for clip in clips if clip.key not in failed]
    return measure_trimming(usable, encoder, settings.config.seed) if usable else None


def finish_cache(
    planned: PlannedCache,
    encoder: Encoder,
    settings: Settings[ExtractConfig],
    computed_samples: int,
    elapsed_seconds: float,
    notes: Sequence[str],
) -> ExtractResult:
    """Count what a complete cache holds, and say in ``run.json`` how it was made.

    Parameters
    ----------
    computed_samples : int
        Of audio that this run encoded; if 0, a ``run.json`` that is there stays.
    notes : sequence of str
        What the user should know of the encoder at work.
    """
    folder, job, provenance = planned
    cache = FeatureCache.open(folder, provenance)
    failures = list_failures(job.manifest, cache)
    with writing_to(folder):
        write_failures(folder, failures)
    refuse_empty(job.corpus, cache, failures)
    trimming = _trimming(planned, range(job.shards), encoder, settings) if computed_samples else None
    result = describe_result(job, cache, computed_samples, elapsed_seconds, trimming)
    result.notes.extend(notes)
    if computed_samples or not (folder / RUN).exists():
        inputs = {**job.inputs, "encoder": str(provenance["encoder"].get("weights_sha256"))}
        study = {"corpus": job.corpus, "encoder": str(provenance["encoder"]["checkpoint"])}
        with writing_to(folder):
            write_run(folder, "extract", study, settings, inputs, result.to_json(), result.notes)
    return result

"""Go on with a cache where a run has left it: what is there stays, what is missing is made."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersim.corpus.audio import SAMPLE_RATE
from layersim.errors import ClaimedError
from layersim.features import claims, workers
from layersim.features.batches import batch_frames
from layersim.features.memory import BatchLimit
from layersim.features.shards import ShardWriter, part_file
from layersim.features.standing import is_finished
from layersim.workspace import Progress

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder
    from layersim.features.preparation import CorpusJob

logger = logging.getLogger(__name__)


def missing_shards(job: CorpusJob, folder: Path) -> list[int]:
    """Return the shards that are not there or to be made anew, in order."""
    return [index for index in range(job.shards) if not is_finished(job, folder, index)]


def make_shard(
    job: CorpusJob,
    index: int,
    encoder: Encoder,
    folder: Path,
    provenance: Mapping[str, Any],
    max_frames: int,
    decoders: Executor,
    advance: Callable[[int], None],
    limit: BatchLimit | None = None,
) -> int:
    """Make one shard, unless it is finished: for any number of processes at once, on any number of machines.

    Parameters
    ----------
    max_frames : int
        Most frames of a batch, see `layersim.features.batches.batch_frames`.
    advance : callable
        Called with the samples done since its last call.
    limit : BatchLimit, optional
        What is known of the GPU's memory; it learns.

    Returns
    -------
    int
        Samples of audio that were encoded; 0 if the shard was there.

    Raises
    ------
    ClaimedError
        If another living process is making it.
    LayersimError
        If it cannot be computed or written.
    """
    from layersim.features.shard_rows import compute_shard

    samples = job.samples(index)
    if is_finished(job, folder, index):
        advance(samples)
        return 0
    with ShardWriter(folder, index, job.shards, provenance) as writer:
        if is_finished(job, folder, index):  # between the look and the claim
            advance(samples)
            return 0
        rows = job.rows(index)
        writer.finish(compute_shard(job, rows, encoder, max_frames, decoders, writer, advance, limit))
    return samples


def make_missing_shards(
    folder: Path,
    job: CorpusJob,
    provenance: Mapping[str, Any],
    encoder: Encoder,
    batch_seconds: float,
    progress: Progress,
    wanted: Sequence[int] | None = None,
    limit: BatchLimit | None = None,
) -> int:
    """Compute every shard that is not there, or in which utterances failed or were exchanged.

    Shards that other living processes are making are left to them; at the end they are waited for, and made
    here if their process dies.

    Parameters
    ----------
    wanted : sequence of int, optional
        The shards to look at; None: all.
    limit : BatchLimit, optional
        What is known of the GPU's memory; it learns.

    Returns
    -------
    int
        Samples of audio that were encoded for it.
    """
    wanted = range(job.shards) if wanted is None else wanted
    lengths = {index: job.samples(index) for index in wanted}
    pending = [index for index in wanted if not is_finished(job, folder, index)]
    done = sum(lengths.values()) - sum(lengths[index] for index in pending)
    total = sum(lengths.values()) / SAMPLE_RATE
    computed = 0

    def advance(samples: int) -> None:
        nonlocal done
        done += samples
        progress(f"extracting {job.corpus}", done / SAMPLE_RATE, total)

    advance(0)
    limit = BatchLimit() if limit is None else limit
    max_frames = batch_frames(encoder, batch_seconds)
    said = False
    with decoding_threads(max_frames) as decoders:
        while pending:
            left = []
            for index in pending:
                before = done
                try:
                    computed += make_shard(
                        job, index, encoder, folder, provenance, max_frames, decoders, advance, limit
                    )
                except ClaimedError:
                    advance(before - done)
                    left.append(index)
            if left == pending:  # all that is left is in the hands of others
                if not said:
                    logger.warning("%s: waiting for %s", folder, _who(folder, left))
                    said = True
                time.sleep(workers.LOOK_EVERY)
                advance(0)
            pending = left
    return computed


def decoding_threads(max_frames: int) -> ThreadPoolExecutor:
    """Return the threads that decode recordings while an encoder works on batches of this size."""
    threads = 1 if max_frames == 1 else min(8, os.cpu_count() or 1)  # a CPU that encodes has better to do
    return ThreadPoolExecutor(threads)


def _who(folder: Path, shards: Sequence[int]) -> str:
    """Name the processes that are making some shards."""
    found = {claims.worker_on(part_file(folder, index)) for index in shards}
    names = sorted(str(worker or "a process that has yet to say its name") for worker in found)
    shown = "; ".join(names[:3]) + (f"; and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{len(shards)} shards that others are making: {shown}"

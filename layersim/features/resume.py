"""Go on with a cache where a run has left it: what is there stays, what is missing is made."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersim.corpus.audio import SAMPLE_RATE
from layersim.errors import LayersimError
from layersim.features.ahead import BackgroundWriting, Decoders
from layersim.features.batches import batch_frames, plan_batches
from layersim.features.decoding import decode
from layersim.features.memory import BatchLimit
from layersim.features.provenance import differences, refuse_other
from layersim.features.shards import (
    ShardWriter,
    claimed_elsewhere,
    open_shard,
    part_files,
    provenance_of,
    shard_ranges,
)
from layersim.features.standing import is_finished
from layersim.workspace import Progress

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder
    from layersim.features.preparation import Clip, CorpusJob


def refuse_other_shards(folder: Path, expected: Mapping[str, Any]) -> None:
    """Refuse a folder any shard of which was made otherwise.

    Raises
    ------
    ProvenanceError
        Naming every difference with both values.
    LayersimError
        If a file there is not a shard.
    """
    for file in part_files(folder):
        with open_shard(file) as shard:
            refuse_other(folder, provenance_of(shard), expected)


def is_otherwise(folder: Path, expected: Mapping[str, Any]) -> bool:
    """Whether any shard of a folder was made otherwise, or cannot be read."""
    for file in part_files(folder):
        try:
            with open_shard(file) as shard:
                if differences(provenance_of(shard), expected):
                    return True
        except LayersimError:
            return True
    return False


def make_missing_shards(
    job: CorpusJob,
    encoder: Encoder,
    folder: Path,
    provenance: Mapping[str, Any],
    batch_seconds: float,
    progress: Progress,
    limit: BatchLimit | None = None,
) -> int:
    """Compute every shard that is not there, or in which utterances failed or were exchanged.

    Shards that another worker is on are left for last: by then they are there, or its worker is gone. If
    neither, they are made twice, to the same bytes. A shard is written while the next one is computed, whose
    first batch has been decoded by then.

    Parameters
    ----------
    limit : BatchLimit, optional
        What is known of the GPU's memory; it learns.

    Returns
    -------
    int
        Samples of audio that were encoded for it.
    """
    from layersim.features.shard_rows import compute_shard

    shards = shard_ranges(len(job.clips), job.provenance["shard_size"])
    lengths = [sum(clip.samples for clip in job.clips[rows.start : rows.stop]) for rows in shards]
    pending = [index for index in range(len(shards)) if not is_finished(job, folder, index)]
    done = sum(lengths) - sum(lengths[index] for index in pending)
    total = sum(lengths) / SAMPLE_RATE
    computed = 0

    def advance(samples: int) -> None:
        nonlocal done
        done += samples
        progress(f"extracting {job.corpus}", done / SAMPLE_RATE, total)

    advance(0)
    limit = BatchLimit() if limit is None else limit
    max_frames = batch_frames(encoder, batch_seconds)

    def first_batch(rows: range) -> list[Clip]:
        clips = [job.clips[row] for row in rows if row not in job.unusable]
        planned = plan_batches([encoder.cost(clip.samples) for clip in clips], limit.bounded(max_frames))
        return [clips[place] for place in planned[0]] if planned else []

    threads = 1 if max_frames == 1 else min(8, os.cpu_count() or 1)  # a CPU that encodes has better to do
    order = deque(pending)
    with Decoders(threads) as decoders, BackgroundWriting() as writing:
        while order:
            index = _next_unclaimed(folder, order)
            order.remove(index)
            if is_finished(job, folder, index):  # another worker was faster
                advance(lengths[index])
                continue
            if order:
                decoders.begin(decode, first_batch(shards[_next_unclaimed(folder, order)]))
            with ExitStack() as claim:
                writer = claim.enter_context(ShardWriter(folder, index, len(shards), provenance))
                rows = compute_shard(
                    job, shards[index], encoder, max_frames, decoders, writer, advance, limit
                )
                writing.finish(claim, writer, rows)
            computed += lengths[index]
    return computed


def _next_unclaimed(folder: Path, indices: Sequence[int]) -> int:
    """The first shard that no other worker is on, else the first."""
    return next((index for index in indices if not claimed_elsewhere(folder, index)), indices[0])

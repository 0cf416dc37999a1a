"""Go on with a cache where a run has left it: what is there stays, what is missing is made."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersim.corpus.audio import SAMPLE_RATE
from layersim.errors import LayersimError
from layersim.features.batches import batch_frames
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
    from layersim.features.preparation import CorpusJob


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
    neither, they are made twice, to the same bytes.

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
    threads = 1 if max_frames == 1 else min(8, os.cpu_count() or 1)  # a CPU that encodes has better to do
    with ThreadPoolExecutor(threads) as decoders:
        for index in _unclaimed_first(folder, pending):
            if is_finished(job, folder, index):  # another worker was faster
                advance(lengths[index])
                continue
            with ShardWriter(folder, index, len(shards), provenance) as writer:
                rows = compute_shard(
                    job, shards[index], encoder, max_frames, decoders, writer, advance, limit
                )
                writer.finish(rows)
            computed += lengths[index]
    return computed


def _unclaimed_first(folder: Path, indices: Iterable[int]) -> Iterator[int]:
    postponed = []
    for index in indices:
        if claimed_elsewhere(folder, index):
            postponed.append(index)
        else:
            yield index
    yield from postponed

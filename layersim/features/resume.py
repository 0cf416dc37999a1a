"""Go on with a cache where a run has left it: what is there stays, what is missing is made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersim.corpus.audio import SAMPLE_RATE
from layersim.errors import LayersimError
from layersim.features.batches import batch_frames
from layersim.features.provenance import differences, refuse_other
from layersim.features.shards import (
    ShardWriter,
    claimed_elsewhere,
    open_shard,
    part_file,
    part_files,
    provenance_of,
)
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
) -> int:
    """Compute every shard that is not there.

    Shards that another worker is on are left for last: by then they are there, or its worker is gone. If
    neither, they are made twice, to the same bytes.

    Returns
    -------
    int
        Samples of audio that were encoded for it.
    """
    lengths = [job.samples(index) for index in range(job.shards)]
    pending = [index for index in range(job.shards) if not part_file(folder, index).exists()]
    done = sum(lengths) - sum(lengths[index] for index in pending)
    total = sum(lengths) / SAMPLE_RATE

    def advance(samples: int) -> None:
        nonlocal done
        done += samples
        progress(f"extracting {job.corpus}", done / SAMPLE_RATE, total)

    advance(0)
    max_frames = batch_frames(encoder, batch_seconds)
    with decoding_threads(max_frames) as decoders:
        return sum(
            make_shard(job, index, encoder, folder, provenance, max_frames, decoders, advance)
            for index in _unclaimed_first(folder, pending)
        )


def decoding_threads(max_frames: int) -> ThreadPoolExecutor:
    """Return the threads that decode recordings while an encoder works on batches of this size."""
    threads = 1 if max_frames == 1 else min(8, os.cpu_count() or 1)  # a CPU that encodes has better to do
    return ThreadPoolExecutor(threads)


def make_shard(
    job: CorpusJob,
    index: int,
    encoder: Encoder,
    folder: Path,
    provenance: Mapping[str, Any],
    max_frames: int,
    decoders: Executor,
    advance: Callable[[int], None],
) -> int:
    """Compute one shard, unless it is there by now.

    Parameters
    ----------
    max_frames : int
        Most frames of a batch, see `layersim.features.batches.batch_frames`.
    advance : callable
        Called with the samples done since its last call.

    Returns
    -------
    int
        Samples of audio that were encoded; 0 if another worker was faster.

    Raises
    ------
    LayersimError
        As `layersim.features.shard_rows.compute_shard`.
    """
    from layersim.features.shard_rows import compute_shard

    samples = job.samples(index)
    if part_file(folder, index).exists():
        advance(samples)
        return 0
    with ShardWriter(folder, index, job.shards, provenance) as writer:
        writer.finish(compute_shard(job, job.rows(index), encoder, max_frames, decoders, writer, advance))
    return samples


def _unclaimed_first(folder: Path, indices: Iterable[int]) -> Iterator[int]:
    postponed = []
    for index in indices:
        if claimed_elsewhere(folder, index):
            postponed.append(index)
        else:
            yield index
    yield from postponed

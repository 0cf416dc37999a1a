"""Extraction on a Ray cluster: the same shards, each made by one of many workers with an encoder of its own.

A worker has one GPU where the cluster has any (and a CPU was not asked for), else as many CPUs as torch has
threads in the starting process. Workers write their shards into the cache's folder, which all nodes share;
over the network go a shard's rows and counts. A worker that dies, with or without its node, is replaced
wherever there is room, and its shard is tried again; what the work itself raises ends the run, as it does
in one process.

Sums of float32 depend on how many threads share them and on the processor's instructions. So every worker
has the starting process's number of threads (``OMP_NUM_THREADS`` sets it), which makes the bytes those of a
run in one process there; nodes with another kind of processor are named in the notes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from layersim.features.ray_cluster import connected
from layersim.features.ray_pool import RayWorkers
from layersim.features.ray_worker import NodeNeeds, WorkerOrder
from layersim.features.shard_file import writing_to

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder
    from layersim.features.preparation import CorpusJob
    from layersim.features.settings import ExtractConfig


@contextmanager
def ray_workers(
    config: ExtractConfig, checkpoint: str, encoder: Encoder, jobs: Mapping[Path, CorpusJob]
) -> Iterator[RayWorkers]:
    """Connect to the cluster and check its nodes; in the end, whatever the end, no worker is left.

    Parameters
    ----------
    checkpoint : str
        As `layersim.encoders.load.load_encoder` takes it.
    encoder : Encoder
        That checkpoint, loaded here: what every worker must find too.
    jobs : mapping of Path to CorpusJob
        By the folder of its cache.

    Raises
    ------
    LayersimError
        If there is no connection or no room, or a node does not see the workspace, the audio or the encoder.
    """
    import torch

    threads = torch.get_num_threads()
    with connected(config.address, config.device, threads) as cluster, _marked(jobs) as marker:
        needs = NodeNeeds(
            folders=list(jobs),
            marker=marker,
            recordings=dict(filter(None, map(_first_recording, jobs.values()))),
            checkpoint=Path(checkpoint) if Path(checkpoint).is_absolute() else None,
            versions=next(iter(jobs.values())).provenance["versions"],
        )
        cluster.refuse_blind_nodes(needs)
        order = WorkerOrder(
            checkpoint, cluster.device, config.precision, config.stack, config.whisper_window,
            config.batch_seconds, threads, cluster.cpus, encoder.describe(), needs,
        )  # fmt: skip
        workers = RayWorkers(cluster, order)
        try:
            yield workers
        finally:
            workers.end()


def _first_recording(job: CorpusJob) -> tuple[Path, int] | None:
    """Return the first recording that can be used, and its size in bytes."""
    usable = (clip.path for row, clip in enumerate(job.clips) if row not in job.unusable)
    path = next(usable, None)
    return None if path is None else (path, path.stat().st_size)


@contextmanager
def _marked(folders: Iterable[Path]) -> Iterator[str]:
    """Put a file into every folder, by whose name another machine can tell that it sees the same one."""
    marker = f".{uuid.uuid4().hex}.seen"  # no name that is swept up while the run lasts
    places = [folder / marker for folder in folders]
    try:
        for place in places:
            with writing_to(place.parent):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
        yield marker
    finally:
        for place in places:
            place.unlink(missing_ok=True)

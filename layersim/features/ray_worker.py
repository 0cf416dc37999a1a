"""What runs on a cluster's nodes: a look at what a node sees, and the worker that makes shards there.

Bytes are those of a run in one process because all that decides them is the same: the shard's rows, the
encoder's weights (compared after loading), the versions of the libraries (compared before), and the number
of threads that torch adds up sums with, which is the starting process's own on every node.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from layersim.errors import LayersimError
from layersim.features.claims import Worker
from layersim.provenance import library_versions

if TYPE_CHECKING:
    from layersim.encoders.load import Precision, Stack, WhisperWindow
    from layersim.features.preparation import CorpusJob


@dataclass(frozen=True)
class NodeNeeds:
    """What every node that works must have, as the starting process sees it."""

    folders: Sequence[Path]  # of the caches; each must be there and writable
    marker: str  # a file in each of them that the starting process has written
    recordings: Mapping[Path, int]  # one per corpus, and its size in bytes
    checkpoint: Path | None  # a folder; None: the encoder is on the hub
    versions: Mapping[str, str]  # of the libraries that decide the numbers


@dataclass(frozen=True)
class WorkerOrder:
    """How a worker loads its encoder."""

    checkpoint: str
    device: str
    precision: Precision
    stack: Stack
    whisper_window: WhisperWindow
    batch_seconds: float
    threads: int  # of torch, for sums in the order of the starting process
    cpus: int  # that are the worker's own, for decoding beside a GPU
    description: Mapping[str, Any]  # what `Encoder.describe` said there
    needs: NodeNeeds


class WorkerFacts(NamedTuple):
    """What a worker says when its encoder is loaded."""

    process: Worker  # as its claims name it
    node: str
    notes: tuple[str, ...]  # of its encoder
    processor: str  # what torch compiles for, such as AVX2


class Made(NamedTuple):
    """What a worker says when a shard is there: all that goes back over the network."""

    samples: int  # of audio that were encoded for it; 0 if another had made it
    notes: tuple[str, ...]  # of its GPU's memory


class WorkerStopped(Exception):
    """The run has ended, and this worker's shard is not wanted any more."""


def find_faults(needs: NodeNeeds) -> list[str]:
    """Say what this machine does not see or have, one sentence each."""
    faults = []
    for folder in needs.folders:
        if not (folder / needs.marker).is_file():
            faults.append(f"does not see the cache folder {folder}")
        elif not os.access(folder, os.W_OK):
            faults.append(f"may not write into the cache folder {folder}")
    for path, size in needs.recordings.items():
        if not path.is_file():
            faults.append(f"does not see the recording {path}")
        elif path.stat().st_size != size:
            faults.append(f"sees another recording under the name {path}")
    if needs.checkpoint is not None and not needs.checkpoint.is_dir():
        faults.append(f"does not see the encoder {needs.checkpoint}")
    found = library_versions()
    faults += [
        f"has {name} {found.get(name, 'not installed')}, and {version} is needed"
        for name, version in needs.versions.items()
        if found.get(name) != version
    ]
    return faults


class ShardWorker:
    """One process with one loaded encoder; its methods may be called from two threads.

    `load` first, then `make` for shard after shard; `done` and `stop` while a shard is being made.
    """

    def __init__(self, order: WorkerOrder) -> None:
        self._order = order
        self._done = (-1, 0)  # the shard in work, and the samples done of it
        self._stopped = False
        self._idle = threading.Event()
        self._idle.set()

    def load(self) -> WorkerFacts:
        """Load the encoder.

        Raises
        ------
        LayersimError
            If this node lacks something, or its encoder is another.
        """
        import torch

        from layersim.encoders.load import load_encoder
        from layersim.features.maker import ShardMaker

        order, node = self._order, platform.node()
        if faults := find_faults(order.needs):  # a node that came after the start
            raise LayersimError(f"node {node} {'; '.join(faults)}.")
        torch.set_num_threads(order.threads)
        os.environ["LOKY_MAX_CPU_COUNT"] = str(order.cpus)
        try:
            self._encoder = load_encoder(
                order.checkpoint, device=order.device, precision=order.precision, stack=order.stack,
                whisper_window=order.whisper_window,
            )  # fmt: skip
        except LayersimError as error:
            raise LayersimError(f"node {node}: {error}") from None
        if self._encoder.describe() != order.description:
            raise LayersimError(
                f"node {node}: finds another encoder under the name {order.checkpoint} than the machine that "
                "started the run. Give every node the same files, or name a revision: OWNER/NAME@REVISION."
            )
        self._maker = ShardMaker(self._encoder, order.batch_seconds)
        capability = torch.backends.cpu.get_cpu_capability()
        return WorkerFacts(Worker.this(), node, self._encoder.notes, capability)

    def make(self, job: CorpusJob, index: int, folder: Path, provenance: Mapping[str, Any]) -> Made:
        """Make one shard, as `layersim.features.maker.ShardMaker.make`."""
        import torch

        torch.set_num_threads(self._order.threads)  # it counts per thread, and Ray chooses the thread
        self._done = index, 0
        self._idle.clear()
        try:
            self._advance(0)
            samples = self._maker.make(job, index, folder, provenance, self._advance)
            self._maker.settle()
            return Made(samples, tuple(self._maker.notes))
        finally:
            self._done = -1, 0
            self._idle.set()

    def done(self) -> tuple[int, int]:
        """Return the shard in work and the samples done of it."""
        return self._done

    def stop(self) -> None:
        """Leave the shard in work at its next batch, with nothing of it on the disk; return after that."""
        self._stopped = True
        self._idle.wait()

    def _advance(self, samples: int) -> None:
        if self._stopped:
            raise WorkerStopped
        index, before = self._done
        self._done = index, before + samples

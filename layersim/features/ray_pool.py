"""The workers of one extraction on Ray: hired as there is room, given shards, replaced when they die."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersim.corpus.audio import SAMPLE_RATE
from layersim.errors import ClaimedError, LayersimError
from layersim.features import claims
from layersim.features.ray_cluster import Cluster, gist
from layersim.features.ray_worker import Made, WorkerFacts, WorkerOrder
from layersim.features.resume import missing_shards
from layersim.features.shards import part_file
from layersim.workspace import Progress

if TYPE_CHECKING:
    from layersim.features.preparation import CorpusJob

logger = logging.getLogger(__name__)

TRIES = 4  # of one shard: more than bad luck with nodes, and no endless loop where a shard kills its worker

_LOOK_EVERY = 0.5  # seconds between two looks at what the workers have done
_PATIENCE = 60.0  # seconds without any worker, after which the user is told
_GRACE = 10.0  # seconds for workers to leave their shards, on a CPU about a batch


@dataclass
class _Worker:
    """A worker as seen from here."""

    actor: Any
    awaited: Any  # reference to what it does now; None: it waits for work
    index: int | None = None  # of the shard that it makes; None: it makes none
    facts: WorkerFacts | None = None  # None: it is still loading
    asked: Any = None  # reference to the answer how far it is
    samples: int = 0  # done of its shard

    def begin(self, index: int, job: CorpusJob, folder: Path, provenance: Mapping[str, Any]) -> None:
        """Have a shard made."""
        self.index, self.asked, self.samples = index, None, 0
        self.awaited = self.actor.make.remote(job.alone(index), index, folder, dict(provenance))

    def leave(self) -> int:
        """Have it wait for work again; return the shard that it was on."""
        if self.index is None:
            raise ValueError("the worker is on no shard")
        index, self.awaited, self.index, self.asked, self.samples = self.index, None, None, None, 0
        return index

    def drop_claim(self, folder: Path) -> None:
        """Remove what it has left of its shard."""
        if self.facts is not None and self.index is not None:
            claims.drop(part_file(folder, self.index), self.facts.process)


class RayWorkers:
    """The workers of one run; see `layersim.features.on_ray.ray_workers`.

    Attributes
    ----------
    notes : list of str
        What the user should know of the workers' encoders and processors.
    """

    def __init__(self, cluster: Cluster, order: WorkerOrder) -> None:
        import torch

        self.notes: list[str] = []
        self._cluster = cluster
        self._order = order
        self._workers: list[_Worker] = []
        self._folder = Path()  # of the cache in work
        self._failed_starts = 0  # in a row
        self._seen_ready = 0.0  # when a worker was last known to be ready
        self._processor = torch.backends.cpu.get_cpu_capability()

    def make_missing_shards(
        self, folder: Path, job: CorpusJob, provenance: Mapping[str, Any], progress: Progress
    ) -> int:
        """Compute every shard that is not there, as `layersim.features.resume.make_missing_shards`.

        Returns
        -------
        int
            Samples of audio that were encoded for it.

        Raises
        ------
        LayersimError
            If the work itself fails as it would in one process; if the worker of one shard died `TRIES`
            times; if workers die before they are ready.
        """
        lengths = [job.samples(index) for index in range(job.shards)]
        pending = deque(missing_shards(job, folder))
        unfinished = set(pending)
        tries: Counter[int] = Counter()
        computed, looked = 0, 0.0

        def show() -> None:
            done = sum(lengths) - sum(lengths[index] for index in unfinished)
            done += sum(worker.samples for worker in self._workers)
            progress(f"extracting {job.corpus}", done / SAMPLE_RATE, sum(lengths) / SAMPLE_RATE)

        show()
        self._folder, self._seen_ready = folder, time.monotonic()
        while unfinished:
            if time.monotonic() - looked > _LOOK_EVERY:
                self._hire(len(unfinished))
                self._look()
                show()
                looked = time.monotonic()
            for worker in self._workers:
                if worker.awaited is None and pending:
                    index = pending.popleft()
                    tries[index] += 1
                    worker.begin(index, job, folder, provenance)
            if (worker_done := self._next_done()) is None:
                continue
            made = worker_done.index
            try:
                samples = self._result(worker_done)
            except ClaimedError:  # of a process outside this run; what it leaves is for later
                pending.append(worker_done.leave())
                tries[pending[-1]] -= 1
                time.sleep(_LOOK_EVERY)
                continue
            if made is None:
                continue  # it has loaded its encoder
            if samples is not None:
                computed += samples
                unfinished.remove(made)
            elif tries[made] < TRIES:
                pending.append(made)
            else:
                raise LayersimError(
                    f"{part_file(folder, made)}: {TRIES} workers died while they made this shard. What was "
                    "finished is kept. Ray's logs on their nodes say why; where memory ran out, give each "
                    "worker more (a larger OMP_NUM_THREADS makes fewer workers on a CPU)."
                )
        show()
        return computed

    def end(self) -> None:
        """Let busy workers leave their shards, then end all."""
        import ray
        from ray.exceptions import RayError

        busy = [worker for worker in self._workers if worker.index is not None]
        with suppress(RayError):
            left = [worker.actor.stop.remote() for worker in busy]
            ray.wait(left, num_returns=len(left), timeout=_GRACE)
        for worker in self._workers:
            with suppress(RayError):
                ray.kill(worker.actor)
        for worker in busy:
            worker.drop_claim(self._folder)  # of those that did not leave in time
        self._workers.clear()

    def _hire(self, wanted: int) -> None:
        """Have as many workers as there are shards to make, or as the cluster has room for."""
        for _ in range(min(wanted, self._cluster.room()) - len(self._workers)):
            actor = self._cluster.start_worker(self._order)
            self._workers.append(_Worker(actor, actor.load.remote()))

    def _look(self) -> None:
        """Take in how far the workers are, without waiting for any."""
        import ray
        from ray.exceptions import RayError

        busy = [worker for worker in self._workers if worker.index is not None]
        for worker in busy:
            worker.asked = worker.asked or worker.actor.done.remote()
        asked = [worker.asked for worker in busy]
        answered = set(ray.wait(asked, num_returns=len(asked), timeout=0)[0]) if asked else set()
        for worker in busy:
            if worker.asked in answered:
                with suppress(RayError):  # a dead worker is found where its shard is awaited
                    index, samples = ray.get(worker.asked)
                    worker.samples = samples if index == worker.index else 0
                worker.asked = None
        if any(worker.facts for worker in self._workers):
            self._seen_ready = time.monotonic()
        elif time.monotonic() - self._seen_ready > _PATIENCE:
            self._seen_ready = float("inf")  # say it once
            logger.warning(
                "no worker is ready after %.0f s: the cluster has no room for one (%s), or its encoder loads "
                "slowly. Waiting; Ctrl-C ends the run, and what is finished is kept.",
                _PATIENCE, self._cluster.describe_worker(),
            )  # fmt: skip

    def _next_done(self) -> _Worker | None:
        """Wait a little for any worker to have something to say."""
        import ray

        working = {worker.awaited: worker for worker in self._workers if worker.awaited is not None}
        if not working:
            time.sleep(_LOOK_EVERY)
            return None
        done, _ = ray.wait(list(working), num_returns=1, timeout=_LOOK_EVERY)
        return working[done[0]] if done else None

    def _result(self, worker: _Worker) -> int | None:
        """Take what a worker has done: samples that it encoded; None if it died, or has only loaded."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            answer = ray.get(worker.awaited)
        except RayTaskError as error:
            if not isinstance(error.cause, LayersimError):
                raise
            if worker.facts is None and any(other.facts for other in self._workers):
                self._bury(worker, str(error.cause))  # a node that came late and lacks something
                return None
            raise error.cause from None
        except RayError as error:
            self._bury(worker, gist(error))
            return None
        if worker.facts is not None:
            worker.leave()
            made: Made = answer
            self._add_notes(made.notes)
            return made.samples
        worker.awaited = None
        worker.facts = answer
        self._failed_starts = 0
        self._note(answer)
        return None

    def _bury(self, worker: _Worker, reason: str) -> None:
        """Take leave of a dead worker; the next look hires another."""
        import ray

        self._workers.remove(worker)
        ray.kill(worker.actor)  # one that is only out of reach must not come back
        if worker.facts is None:
            self._failed_starts += 1
            if self._failed_starts == TRIES:
                raise LayersimError(
                    f"{TRIES} workers in a row died before their encoder was loaded; the last: {reason} What "
                    "was finished is kept. Ray's logs on their nodes say more; is there memory enough?"
                )
            logger.warning("a worker died while it loaded its encoder; another is started. Ray: %s", reason)
            return
        worker.drop_claim(self._folder)
        if worker.index is not None:
            logger.warning(
                "the worker on node %s died while it made shard %d. Ray: %s",
                worker.facts.node, worker.index, reason,
            )  # fmt: skip

    def _note(self, facts: WorkerFacts) -> None:
        """Keep what the user should know of a new worker, once."""
        notes = list(facts.notes)
        if self._cluster.device == "cpu" and facts.processor != self._processor:
            notes.append(
                f"node {facts.node} computes with {facts.processor} instructions, this machine with "
                f"{self._processor}: features may differ in their last digits from a run here alone"
            )
        self._add_notes(notes)

    def _add_notes(self, notes: Iterable[str]) -> None:
        for note in notes:
            if note not in self.notes:
                self.notes.append(note)
                logger.warning(note)

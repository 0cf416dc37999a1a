"""A real Ray cluster of two nodes on this machine, in a process of its own.

Run as ``python ray_cluster.py``: prints the cluster's address. For each folder that it then reads from its
standard input, it waits until a worker of the second node is writing a shard there, kills that node (worker
first, as a power cut would), and prints which files were being written. The cluster ends with the input.

Run as ``python ray_cluster.py ADDRESS FOLDER``: makes four shards in FOLDER by workers of which whoever gets
shard 2 dies, and prints what the run says.

Run as ``python ray_cluster.py ADDRESS FOLDER interrupt``: as before, with workers of which none dies, and is
interrupted at the moment at which the first shard has been handed out but nobody knows of it yet.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

STORE = 80_000_000  # bytes
SEE_DEATHS_SOON = {
    "health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 6,
}  # fmt: skip


def hold() -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    size: dict[str, Any] = {"num_cpus": 1, "object_store_memory": STORE}
    head = {**size, "include_dashboard": False, "_system_config": SEE_DEATHS_SOON}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        second = cluster.add_node(**size)
        print(cluster.address, flush=True)
        for line in sys.stdin:
            print(json.dumps(kill(cluster.head_node, second, Path(line.strip()))), flush=True)
    finally:
        cluster.shutdown()


def kill(first: Any, second: Any, folder: Path) -> list[str]:
    """Kill the second node at work; until then the first waits with a shard of its own."""
    import psutil  # comes with ray

    nodes = [psutil.Process(node.all_processes["raylet"][0].process.pid) for node in (first, second)]
    waiting = {}
    try:
        for _ in range(3_000):
            for node in nodes:
                for worker in node.children(recursive=True):
                    if worker.pid in waiting or not (torn := stop_at_work(worker, folder)):
                        continue
                    if node is nodes[0]:
                        waiting[worker.pid] = worker
                        continue
                    worker.kill()
                    node.kill()
                    return torn
            time.sleep(0.02)
        return []
    finally:
        for worker in waiting.values():
            worker.resume()


def stop_at_work(worker: Any, folder: Path) -> list[str]:
    """Suspend a process if it is writing a shard; returns which."""
    import psutil

    try:
        worker.suspend()  # first, so that the shard is not finished between the look and what follows
        files = [Path(file.path) for file in worker.open_files()]
        torn = sorted(file.name for file in files if file.parent == folder and file.suffix == ".tmp")
        if not torn:
            worker.resume()
    except psutil.Error:  # it has ended
        return []
    return torn


def run(address: str, folder: Path, interrupted: bool) -> None:
    """The real hiring, handing out and burying; only the work itself is another."""
    from types import SimpleNamespace

    from layersim.errors import LayersimError
    from layersim.features import claims, ray_cluster, ray_pool, ray_worker

    class Mortal(ray_worker.ShardWorker):
        def load(self) -> ray_worker.WorkerFacts:
            self._maker = SimpleNamespace(make=self.work, settle=lambda: None, notes=[])
            return ray_worker.WorkerFacts(claims.Worker.this(), "test", (), "any")

        def work(self, job: Any, index: int, folder: Path, provenance: Any, advance: Any) -> int:
            if index == 2 and not interrupted:
                os._exit(1)
            shard = folder / f"part-{index:05d}.h5"
            claim = claims.take(shard)
            assert claim is not None
            with claim:
                while interrupted:
                    advance(0)
                    time.sleep(0.01)
                shard.touch()
            return 16_000

    class Job(SimpleNamespace):
        def samples(self, index: int) -> int:
            return 16_000

        def alone(self, index: int) -> None:
            return None

    def begin_interrupted(worker: Any, *work: Any) -> None:
        begin(worker, *work)
        worker.awaited = None
        while not list(folder.iterdir()):
            time.sleep(0.01)
        raise KeyboardInterrupt

    ray_cluster.ShardWorker, begin = Mortal, ray_pool._Worker.begin
    if interrupted:
        ray_pool._Worker.begin = begin_interrupted
    seen: list[float] = []
    said = ""
    order = ray_worker.WorkerOrder("", "cpu", "fp32", "encoder", "full", 0.0, 1, 1, {}, None)
    with ray_cluster.connected(address, "cpu", 1) as cluster:
        workers = ray_pool.RayWorkers(cluster, order)
        try:
            workers.make_missing_shards(
                folder, Job(corpus="tones", shards=4), {}, lambda *shown: seen.append(shown[1])
            )
        except (LayersimError, KeyboardInterrupt) as error:
            said = str(error) or type(error).__name__
        finally:
            workers.end()
    print(json.dumps({"error": said, "done": max(seen)}))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        hold()
    else:
        run(sys.argv[1], Path(sys.argv[2]), sys.argv[3:] == ["interrupt"])

"""A real Ray cluster of two nodes on this machine, in a process of its own.

Run as ``python ray_cluster.py``: prints the cluster's address. For each folder that it then reads from its
standard input, it waits until a worker of the second node is writing a shard there, kills that node (worker
first, as a power cut would), and prints which files were being written. The cluster ends with the input.

Run as ``python ray_cluster.py ADDRESS FOLDER``: makes four shards in FOLDER by workers of which whoever gets
shard 2 dies, and prints what the run says.
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


def poison(address: str, folder: Path) -> None:
    """The real hiring, handing out and burying; only the work itself is another."""
    from types import SimpleNamespace

    from layersim.errors import LayersimError
    from layersim.features import ray_cluster, ray_pool, ray_worker
    from layersim.features.claims import Worker

    class Mortal(ray_worker.ShardWorker):
        def load(self) -> ray_worker.WorkerFacts:
            return ray_worker.WorkerFacts(Worker.this(), "test", (), "any")

        def make(self, job: Any, index: int, folder: Path, provenance: Any) -> ray_worker.Made:
            if index == 2:
                os._exit(1)
            (folder / f"part-{index:05d}.h5").touch()
            return ray_worker.Made(16_000, ())

    class Job(SimpleNamespace):
        def samples(self, index: int) -> int:
            return 16_000

        def alone(self, index: int) -> None:
            return None

    ray_cluster.ShardWorker = Mortal
    seen: list[float] = []
    said = ""
    with ray_cluster.connected(address, "cpu", 1) as cluster:
        workers = ray_pool.RayWorkers(cluster, None)
        try:
            workers.make_missing_shards(
                folder, Job(corpus="tones", shards=4), {}, lambda *shown: seen.append(shown[1])
            )
        except LayersimError as error:
            said = str(error)
        finally:
            workers.end()
    print(json.dumps({"error": said, "done": max(seen)}))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        hold()
    else:
        poison(sys.argv[1], Path(sys.argv[2]))

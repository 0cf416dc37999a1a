"""A Ray cluster as extraction sees it: how many workers it has room for, and what its nodes lack."""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, TextIO

from layersim.errors import LayersimError, UsageError, summarise_faults
from layersim.features.ray_worker import NodeNeeds, ShardWorker, WorkerOrder, find_faults

_MOST_BESIDE_A_GPU = 16  # CPUs
_ANSWER_WITHIN = 120.0  # seconds for a node to start a process and import this package
_OBJECT_STORE = 80_000_000  # bytes, about Ray's least: nothing large passes through it


def refuse_unreachable(address: str | None) -> None:
    """Refuse at once what Ray would try for minutes.

    Raises
    ------
    LayersimError
        If Ray is not installed, or nothing listens at ``HOST:PORT``.
    UsageError
        If the address has another form.
    """
    if importlib.util.find_spec("ray") is None:
        raise LayersimError("--engine ray needs Ray. Install it: pip install 'layersim[ray]'.")
    if address is None or address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "://" in address:
        raise UsageError(
            f"--address {address}: expected HOST:PORT of the cluster's head (as ray start --head prints it), "
            "or auto for the cluster that this machine is part of."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise LayersimError(
            f"--address {address}: nothing answers there ({error}). Start the cluster (ray start --head "
            f"--port {port}), and run this on one of its machines."
        ) from None


@dataclass(frozen=True)
class _Node:
    """A living node that can hold a worker."""

    identity: str
    name: str
    cpus: int
    gpus: int


@contextmanager
def connected(address: str | None, device: str, threads: int) -> Iterator[Cluster]:
    """Connect to a Ray cluster, and let go of it in the end.

    Parameters
    ----------
    address : str or None
        ``HOST:PORT``, ``auto``, or None: a cluster of this machine alone, which ends with the connection.
    device : {"auto", "cpu", "cuda"}
        ``auto``: GPUs if any node has one.
    threads : int
        Of torch in a worker, and the CPUs that a worker without a GPU takes.

    Raises
    ------
    LayersimError
        If there is no connection, or no room for a single worker.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody agreed to be counted
    import ray
    from ray.exceptions import RayError

    if ray.is_initialized():  # by the caller, who ends it too
        yield Cluster(_choose_device(device, threads), threads)
        return
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        options |= {"num_cpus": max(os.cpu_count() or 1, threads), "include_dashboard": False,
                    "object_store_memory": _OBJECT_STORE}  # fmt: skip
    with redirect_stdout(_WithoutRay(sys.stdout)):
        try:
            ray.init(address=address or "local", **options)
        except (RayError, OSError, RuntimeError, ValueError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            where = f"--address {address}: no connection to Ray" if address else "Ray does not start here"
            raise LayersimError(f"{where}: {first}") from None
        try:
            yield Cluster(_choose_device(device, threads), threads)
        finally:
            with redirect_stdout(io.StringIO()):  # it prints once more what it has printed
                ray.shutdown()


class _WithoutRay(io.TextIOBase):
    """Standard output without what Ray's threads print there of dead workers, though asked to be quiet.

    What is worth knowing of it, our log says.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.current_thread().name.startswith("ray_"):
            return len(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()


def _choose_device(asked: str, threads: int) -> str:
    """``cpu`` or ``cuda``, for all workers: their features would differ in the last digits."""
    nodes = list(_living_nodes())
    if asked != "cpu" and any(node.gpus for node in nodes):
        return "cuda"
    if asked == "cuda":
        raise LayersimError("device 'cuda': no node of the cluster has a GPU. Use --device cpu.")
    most = max((node.cpus for node in nodes), default=0)
    if most < threads:
        raise LayersimError(
            f"a worker computes with {threads} threads, as one process on this machine would, so that the "
            f"numbers are the same; the CPUs of the cluster's largest node are {most}. Set "
            f"OMP_NUM_THREADS={max(1, most)} in the environment of this command."
        )
    return "cpu"


class Cluster:
    """A Ray cluster that this process is connected to.

    Attributes
    ----------
    device : {"cpu", "cuda"}
        What workers compute on.
    cpus : int
        How many CPUs a worker takes: beside a GPU, where they decode, its share of its node's.
    """

    def __init__(self, device: str, threads: int) -> None:
        self.device = device
        self.cpus = _beside_a_gpu() if device == "cuda" else threads

    def describe_worker(self) -> str:
        """Say what a worker takes of a node."""
        cpus = "1 CPU" if self.cpus == 1 else f"{self.cpus} CPUs"
        return f"1 GPU and {cpus}" if self.device == "cuda" else cpus

    def room(self) -> int:
        """How many workers the living nodes hold, were they all ours."""
        return sum(self._room_of(node) for node in _living_nodes())

    def _room_of(self, node: _Node) -> int:
        room = node.cpus // self.cpus
        return min(room, node.gpus) if self.device == "cuda" else room

    def refuse_blind_nodes(self, needs: NodeNeeds) -> None:
        """Refuse nodes that have room for a worker and do not have what one needs.

        Raises
        ------
        LayersimError
            Naming every such node and what it lacks.
        """
        import ray
        from ray.exceptions import GetTimeoutError, RayError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        look: Any = ray.remote(find_faults)
        nodes = [node for node in _living_nodes() if self._room_of(node)]
        answers = [
            look.options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node.identity, soft=False)
            ).remote(needs)
            for node in nodes
        ]
        ray.wait(answers, num_returns=len(answers), timeout=_ANSWER_WITHIN)
        faults = []
        for node, answer in zip(nodes, answers, strict=True):
            try:
                found = ray.get(answer, timeout=0)
            except GetTimeoutError:
                found = [f"did not answer within {_ANSWER_WITHIN:.0f} s"]
            except RayError as error:
                found = [f"cannot run layersim: {gist(error)}"]
            faults += [f"node {node.name} {fault}" for fault in found]
        if faults:
            raise LayersimError(
                summarise_faults(
                    f"{len(faults)} faults of the cluster's nodes",
                    faults,
                    "All nodes need the same layersim and libraries, and the workspace and its audio under "
                    "the same paths, on a disk that they share.",
                )
            )

    def start_worker(self, order: WorkerOrder) -> Any:
        """Ask for one more worker, wherever there is room by then; returns its handle."""
        import ray

        return (
            ray.remote(ShardWorker)
            .options(
                num_cpus=self.cpus,
                num_gpus=1 if self.device == "cuda" else 0,
                max_restarts=0,  # the one who hands out shards replaces the dead, and knows what they had
                max_concurrency=2,  # while one call makes a shard, another asks how far it is
                scheduling_strategy="SPREAD",
            )
            .remote(order)
        )


def _beside_a_gpu() -> int:
    """How many CPUs there are for each GPU, on the node that has the fewest."""
    shares = [node.cpus // node.gpus for node in _living_nodes() if node.gpus]
    return max(1, min([_MOST_BESIDE_A_GPU, *shares]))


def _living_nodes() -> Iterator[_Node]:
    import ray

    for node in ray.nodes():
        if node["Alive"]:
            resources: Mapping[str, float] = node["Resources"]
            name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            yield _Node(node["NodeID"], name, int(resources.get("CPU", 0)), int(resources.get("GPU", 0)))


def gist(error: BaseException) -> str:
    """Return one sentence of what an error of Ray says: a trace stands above it, and advice below.

    >>> gist(ValueError("ray::find_faults()\\n  File ..\\nThe actor is dead. Common causes are: (1) .."))
    'The actor is dead.'
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip().partition(". ")[0].rstrip(".") + "."

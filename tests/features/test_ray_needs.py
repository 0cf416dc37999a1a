"""What is refused before a Ray cluster works, and how much it holds; no cluster is needed to say so."""

from __future__ import annotations

import pickle
import socket

import numpy as np
import pytest

from layersim.errors import LayersimError, UsageError
from layersim.features import ray_cluster
from layersim.features.extract import extract, extract_corpus
from layersim.features.preparation import Phones, prepare_corpus
from layersim.features.ray_cluster import Cluster, _choose_device, _Node, refuse_unreachable
from layersim.features.ray_worker import NodeNeeds, find_faults
from layersim.provenance import library_versions
from layersim.workspace import Workspace


@pytest.fixture
def with_ray(monkeypatch):
    monkeypatch.setattr(ray_cluster.importlib.util, "find_spec", lambda name: name)


@pytest.fixture
def nodes(monkeypatch):
    """Pretend a cluster: ``nodes((cpus, gpus), ..)``."""

    def pretend(*sizes):
        found = [_Node(str(place), f"n{place}", *size) for place, size in enumerate(sizes)]
        monkeypatch.setattr(ray_cluster, "_living_nodes", lambda: iter(found))

    return pretend


def needs(tmp_path, **changed):
    (tmp_path / "cache").mkdir(exist_ok=True)
    (tmp_path / "cache/marker").touch()
    (tmp_path / "a.wav").write_bytes(b"12345")
    given = {
        "folders": [tmp_path / "cache"], "marker": "marker", "recordings": {tmp_path / "a.wav": 5},
        "checkpoint": tmp_path, "versions": {"torch": library_versions()["torch"]},
    }  # fmt: skip
    return NodeNeeds(**{**given, **changed})


def test_a_node_that_sees_everything_has_no_faults(tmp_path):
    assert find_faults(needs(tmp_path)) == []


def test_what_a_node_lacks_is_named(tmp_path):
    found = find_faults(
        needs(
            tmp_path,
            marker="of another folder of that name",
            recordings={tmp_path / "a.wav": 6, tmp_path / "b.wav": 5},
            checkpoint=tmp_path / "encoder",
            versions={"torch": "1.0"},
        )
    )
    assert found == [
        f"does not see the cache folder {tmp_path / 'cache'}",
        f"sees another recording under the name {tmp_path / 'a.wav'}",
        f"does not see the recording {tmp_path / 'b.wav'}",
        f"does not see the encoder {tmp_path / 'encoder'}",
        f"has torch {library_versions()['torch']}, and 1.0 is needed",
    ]


def test_workers_take_a_gpu_each_where_there_is_one_and_else_as_many_cpus_as_threads(nodes):
    nodes((16, 2), (1, 4), (8, 0))
    assert _choose_device("auto", 4) == _choose_device("cuda", 4) == "cuda"
    assert Cluster("cuda", 4).room() == 2 + 1 + 0  # the second node has a CPU for one only
    assert Cluster("cuda", 4).cpus == 1
    assert _choose_device("cpu", 4) == "cpu"
    assert Cluster("cpu", 4).room() == 4 + 0 + 2
    nodes((16, 2), (48, 4), (8, 0))
    assert Cluster("cuda", 4).cpus == 8  # a node's share of one GPU, for decoding
    assert Cluster("cuda", 4).room() == 2 + 4
    nodes((8, 0), (0, 0))
    assert _choose_device("auto", 8) == "cpu"
    assert Cluster("cpu", 3).room() == 2


def test_a_cluster_without_room_for_a_worker_is_refused(nodes):
    nodes((4, 0), (2, 0))
    with pytest.raises(LayersimError, match="device 'cuda': no node of the cluster has a GPU"):
        _choose_device("cuda", 1)
    with pytest.raises(LayersimError, match=r"8 threads.*largest node are 4\. Set OMP_NUM_THREADS=4"):
        _choose_device("auto", 8)


def test_an_address_where_nothing_answers_is_refused_at_once(with_ray):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(LayersimError, match=rf"--address 127.0.0.1:{port}: nothing answers there"):
        refuse_unreachable(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:", ":6379", ""])
def test_an_address_of_another_form_is_a_usage_error(with_ray, address):
    with pytest.raises(UsageError, match="expected HOST:PORT of the cluster's head"):
        refuse_unreachable(address)


def test_without_ray_the_extra_is_named(monkeypatch, settings, tmp_path):
    monkeypatch.setattr(ray_cluster.importlib.util, "find_spec", {}.get)
    workspace = Workspace(tmp_path, "x", None, None, {"tones": None}, {})
    with pytest.raises(LayersimError, match=r"pip install 'layersim\[ray\]'"):
        extract(workspace, settings(engine="ray"))


def test_an_address_without_the_engine_and_an_encoder_with_it_are_refused(settings, tmp_path, small):
    workspace = Workspace(tmp_path, "x", None, None, {"tones": None}, {})
    with pytest.raises(UsageError, match="give --engine ray too"):
        extract(workspace, settings(address="auto"))
    with pytest.raises(ValueError, match="expected None with engine 'ray'"):
        extract(workspace, settings(engine="ray"), encoder=small.SmallEncoder())


def test_the_job_of_one_shard_makes_the_bytes_that_the_whole_job_makes(tmp_path, corpus, settings, small):
    from layersim.features.maker import ShardMaker

    encoder = small.SmallEncoder()
    extract_corpus(
        corpus.manifest,
        corpus.folder,
        encoder,
        tmp_path / "whole",
        settings(middle=True),
        corpus.phones,
        "arpabet",
    )
    job, _ = prepare_corpus(
        corpus.manifest, corpus.folder, Phones(corpus.phones, "arpabet", "vowels"), limit=None, seed=0,
        store="pooled", shard_size=3, middle=True,
    )  # fmt: skip
    provenance = {
        **job.provenance, "encoder": encoder.describe(), "layers": list(encoder.layers),
        "frame_layers": list(encoder.frame_layers), "width": encoder.width,
    }  # fmt: skip
    with ShardMaker(encoder, 0) as maker:
        for index in (3, 1):
            part = pickle.loads(pickle.dumps(job.alone(index)))
            assert len(part.clips) == len(part.manifest) == (2 if index == 3 else 3)
            assert part.offsets[0] == 0
            assert len(part.pooled) == part.offsets[-1]
            done = []
            made = maker.make(part, index, tmp_path / "alone", provenance, done.append)
            assert made == sum(done) == job.samples(index) == sum(clip.samples for clip in part.clips)
            maker.settle()
            name = f"part-{index:05d}.h5"
            assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
            again = maker.make(part, index, tmp_path / "alone", provenance, done.append)
            assert (again, np.sum(done)) == (0, 2 * made)
            with pytest.raises(ValueError, match=f"expected {index}, the only shard here, got 0"):
                part.rows(0)

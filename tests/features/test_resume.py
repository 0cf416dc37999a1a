"""A run that is killed, at whatever moment, and started again leaves the bytes of one that never was."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from layersim.errors import ClaimedError, ProvenanceError

SCRIPT = Path(__file__).with_name("small_encoder.py")


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("part-*"))}


def begin(folder: Path, moment: str, count: int) -> subprocess.Popen[str]:
    """Start an extraction in a process of its own and return when it has reached the moment."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), moment, str(count)],
        stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_at_five_moments_and_resumed_gives_the_bytes_of_an_undisturbed_run(
    tmp_path, make_corpus, small
):
    corpus, undisturbed = make_corpus(tmp_path / "killed"), make_corpus(tmp_path / "whole")
    small.extract_small(undisturbed.folder)
    expected = contents(undisturbed.folder / "cache")
    assert list(expected) == [f"part-{index:05d}.h5" for index in range(4)]
    cache = corpus.folder / "cache"

    # what a kill leaves: whole shards, and claims and files that are being written, of the shard that is
    # computed and of the one before it, which may still be on its way to the disk. A process that is killed
    # while it makes a claim leaves an empty one, whose shard the next process passes over for some seconds:
    # so shards are told by their files, not by their claims.
    finished = []
    for moment, count in [
        ("encoding", 2), ("after renaming", 1), ("before writing", 1), ("before flushing", 1),
        ("before renaming", 2),
    ]:  # fmt: skip
        kill(begin(corpus.folder, moment, count))
        left = contents(cache)
        whole = {name: content for name, content in left.items() if name.endswith(".h5")}
        assert whole == {name: expected[name] for name in whole}
        finished.append(len(whole))
        being_written = {name.partition(".h5.")[0] for name in left if name.endswith(".tmp")}
        assert len(being_written) <= 2
        assert being_written or moment == "after renaming"  # its next one may not have begun
        assert not (cache / "run.json").exists()
    assert finished == [0, 1, 1, 1, 2]

    small.extract_small(corpus.folder)
    assert contents(cache) == expected
    assert (cache / "run.json").exists()


@pytest.mark.slow
def test_a_second_extract_leaves_the_shard_of_a_living_one_alone_and_makes_it_when_that_dies(
    tmp_path, make_corpus, small, monkeypatch, caplog
):
    monkeypatch.setattr("layersim.features.workers.LOOK_EVERY", 0.02)
    corpus, undisturbed = make_corpus(tmp_path / "shared"), make_corpus(tmp_path / "whole")
    small.extract_small(undisturbed.folder)
    expected = contents(undisturbed.folder / "cache")
    cache = corpus.folder / "cache"
    worker = begin(corpus.folder, "encoding", 2)  # holds shard 0
    seen: list[set[str]] = []

    def look(label: str, done: float, total: float) -> None:
        if label.startswith("extracting"):
            seen.append({file.name for file in cache.glob("part-*.h5")})
            if seen.count(seen[-1]) > 3 and len(seen[-1]) == 3 and worker.poll() is None:
                kill(worker)  # nothing is left to do but to wait for it

    try:
        small.extract_small(corpus.folder, look)
    finally:
        if worker.poll() is None:
            kill(worker)
    assert {"part-00001.h5", "part-00002.h5", "part-00003.h5"} in seen  # before shard 0
    assert {file.name: file.read_bytes() for file in cache.iterdir() if file.name != "run.json"} == expected
    name = f"process {worker.pid} on "
    assert f"another extract is at work on this cache: {name}" in caplog.text
    assert f"waiting for 1 shards that others are making: {name}" in caplog.text


@pytest.mark.slow
def test_force_does_not_take_from_a_living_extract_what_it_makes(tmp_path, make_corpus, small):
    corpus = make_corpus(tmp_path)
    worker = begin(corpus.folder, "encoding", 5)  # has computed shard 0, holds shard 1
    until = time.monotonic() + 30
    while not (corpus.folder / "cache/part-00000.h5").exists() and time.monotonic() < until:
        time.sleep(0.01)
    before = contents(corpus.folder / "cache")
    try:
        who = rf"process {worker.pid} on {re.escape(platform.node())}, since 20"
        with pytest.raises(
            ClaimedError, match=rf"--force would remove what another extract is making.*{who}"
        ):
            small.extract_small(corpus.folder, force=True, store="frames")
        with pytest.raises(ProvenanceError, match="store: the cache has 'pooled', asked for 'frames'"):
            small.extract_small(corpus.folder, store="frames")
        (corpus.folder / "cache/part-00000.h5").unlink()
        with pytest.raises(ClaimedError, match=rf"making this cache with other settings: {who}"):
            small.extract_small(corpus.folder, store="frames")
        assert contents(corpus.folder / "cache").items() <= before.items()
    finally:
        kill(worker)
    small.extract_small(corpus.folder, force=True, store="frames")
    assert len(contents(corpus.folder / "cache")) == 4


def test_an_interrupted_run_removes_its_own_temporary_file(tmp_path, make_corpus, small):
    corpus = make_corpus(tmp_path)

    def interrupt(label: str, done: float, total: float) -> None:
        if label.startswith("extracting") and done > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.extract_small(corpus.folder, interrupt)
    assert list(contents(corpus.folder / "cache")) == ["part-00000.h5"]

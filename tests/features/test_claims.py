from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, replace

import pytest

from layersim.features import claims
from layersim.features.claims import Worker

TAKE_AND_WAIT = """
import sys, time
from pathlib import Path
from layersim.features import claims
claim = claims.take(Path(sys.argv[1]))
print("taken" if claim else "refused", flush=True)
time.sleep(600)
"""


@contextmanager
def holder(file):
    """Another process that holds the claim on a file."""
    process = subprocess.Popen([sys.executable, "-c", TAKE_AND_WAIT, str(file)], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"taken\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def put(file, worker, number="0123456789abcdef"):
    """Leave a claim as that worker would have."""
    path = file.with_name(file.name + ".claim")
    path.write_text(json.dumps({"number": number, **asdict(worker)}))
    return path


def test_one_claim_at_a_time_and_none_after_release(tmp_path):
    with claims.take(tmp_path / "a") as claim:
        assert claim.is_held()
        assert claims.take(tmp_path / "a") is None
        assert claims.take(tmp_path / "b") is not None
        assert claims.worker_on(tmp_path / "a") == Worker.this()
        assert claims.worker_on(tmp_path / "a").process == os.getpid()
    assert claims.worker_on(tmp_path / "a") is None
    assert claims.take(tmp_path / "a") is not None


def test_the_claim_of_a_living_process_stands_and_that_of_a_killed_one_is_taken_over(tmp_path):
    with holder(tmp_path / "a") as process:
        assert claims.take(tmp_path / "a") is None
        assert claims.worker_on(tmp_path / "a").process == process.pid
        claims.remove_dead(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
        process.kill()
        time.sleep(0.1)
        # Not waited for yet, it is a zombie: its number is still there.
        assert os.path.exists(f"/proc/{process.pid}")
        assert claims.worker_on(tmp_path / "a") is None
        assert claims.take(tmp_path / "a") is not None


def test_a_process_that_was_given_the_number_of_a_dead_one_is_not_taken_for_it(tmp_path):
    parent = replace(Worker.this(), process=os.getppid(), started=claims._started(os.getppid()))
    put(tmp_path / "a", parent)
    assert claims.take(tmp_path / "a") is None
    put(tmp_path / "a", replace(parent, started="1"))
    assert claims.take(tmp_path / "a") is not None


def test_of_a_process_on_another_machine_only_the_last_touch_tells(tmp_path):
    far = replace(Worker.this(), machine="another", host="far", process=7)
    path = put(tmp_path / "a", far)
    assert claims.take(tmp_path / "a") is None
    assert str(claims.worker_on(tmp_path / "a")).startswith("process 7 on far, since 20")
    now = time.time()
    os.utime(path, (now, now - claims.ABANDONED + 60))
    assert claims.take(tmp_path / "a") is None
    os.utime(path, (now, now - claims.ABANDONED - 60))
    assert claims.worker_on(tmp_path / "a") is None
    assert claims.take(tmp_path / "a") is not None


def test_a_claim_is_touched_while_its_process_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "_TOUCH_EVERY", 0.02)
    with claims.take(tmp_path / "a"):
        path = tmp_path / "a.claim"
        os.utime(path, (0, 0))
        limit = time.monotonic() + 5
        while path.stat().st_mtime == 0 and time.monotonic() < limit:
            time.sleep(0.01)
        assert time.time() - path.stat().st_mtime < 5


def test_an_empty_claim_is_being_made_until_it_is_too_old_for_that(tmp_path):
    path = tmp_path / "a.claim"
    path.touch()
    assert claims.take(tmp_path / "a") is None
    os.utime(path, (0, 0))
    assert claims.take(tmp_path / "a") is not None


def test_a_claim_that_this_process_was_interrupted_at_does_not_shut_it_out(tmp_path):
    put(tmp_path / "a", Worker.this())
    assert claims.take(tmp_path / "a") is not None


def test_who_comes_late_to_a_dead_claim_does_not_remove_the_one_that_took_its_place(tmp_path):
    put(tmp_path / "a", replace(Worker.this(), started="1"))
    dead = claims._read(tmp_path / "a.claim")
    assert not dead.is_alive()
    with claims.take(tmp_path / "a") as faster:
        claims._remove(dead)  # the slower one, with what it read before
        assert faster.is_held()
        assert claims.take(tmp_path / "a") is None


def test_a_process_killed_while_removing_a_dead_claim_blocks_nobody(tmp_path):
    gone = replace(Worker.this(), started="1")
    put(tmp_path / "a", gone, "aaaa")
    put(tmp_path / "a.claim.aaaa", gone, "bbbb")  # it had the right to remove the first
    put(tmp_path / "a.claim.aaaa.claim.bbbb", gone, "cccc")  # and so on
    with claims.take(tmp_path / "a"):
        assert [file.name for file in tmp_path.iterdir()] == ["a.claim"]


def test_left_overs_go(tmp_path):
    gone = replace(Worker.this(), started="1")
    put(tmp_path / "a", gone, "aaaa")
    put(tmp_path / "b.claim.aaaa", gone, "bbbb")  # the right to remove a claim that is no more
    with claims.take(tmp_path / "c"):
        claims.remove_dead(tmp_path)
        assert [file.name for file in tmp_path.iterdir()] == ["c.claim"]


def test_the_claim_of_a_process_that_is_known_to_be_dead_can_be_dropped(tmp_path):
    far = replace(Worker.this(), machine="another", process=7)
    put(tmp_path / "a", far)
    claims.drop(tmp_path / "a", replace(far, process=8))
    assert claims.take(tmp_path / "a") is None
    claims.drop(tmp_path / "a", far)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_of_many_that_find_a_dead_claim_at_once_one_takes_it(tmp_path):
    """Eight processes, 40 dead claims: whoever takes one notes it by a file that must not be there yet."""
    gone = replace(Worker.this(), started="1")
    files = [tmp_path / f"f{number}" for number in range(40)]
    for file in files:
        put(file, gone, f"dead{file.name}")
    start = time.monotonic() + 0.3
    children = []
    for _ in range(8):
        if not (child := os.fork()):
            status = 1
            try:
                time.sleep(max(0, start - time.monotonic()))
                held = []
                for file in files:
                    if (claim := claims.take(file)) is not None:
                        held.append(claim)
                        (tmp_path / f"taken-{file.name}").touch(exist_ok=False)
                time.sleep(1)  # all the time the claims are held
                assert all(claim.is_held() for claim in held)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert len(list(tmp_path.glob("taken-*"))) == 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_claim_excludes_also_while_holders_are_killed(tmp_path):
    """Holders write their number, look whether it stays theirs, and some die; killers are the parent."""
    file, log = tmp_path / "f", tmp_path / "log"
    log.touch()
    children = set()
    until = time.monotonic() + 1.5
    killed = 0
    while time.monotonic() < until or children:
        while len(children) < 4 and time.monotonic() < until:
            if not (child := os.fork()):
                status = 1
                try:
                    while time.monotonic() < until:
                        if (claim := claims.take(file)) is None:
                            continue
                        with claim:
                            log.write_text(claim.number)
                            for _ in range(20):
                                assert log.read_text() == claim.number
                    status = 0
                finally:
                    os._exit(status)
            children.add(child)
        victim = min(children)
        time.sleep(0.02)
        os.kill(victim, signal.SIGKILL)
        _, status = os.waitpid(victim, 0)
        assert status in (0, signal.SIGKILL)
        children.remove(victim)
        killed += 1
    assert killed >= 4  # many more where the machine has little else to do
    while claims.take(file) is None:  # the last one may have been killed before it had said its name
        time.sleep(0.1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_extracts_of_one_cache_that_start_at_the_same_moment_do_not_refuse_each_other(tmp_path):
    from layersim.features.workers import at_work

    start = time.monotonic() + 0.3
    children = []
    for _ in range(8):
        if not (child := os.fork()):
            status = 1
            try:
                time.sleep(max(0, start - time.monotonic()))
                for _ in range(5):
                    with at_work(tmp_path, {"width": 4}, force=False):
                        time.sleep(0.01)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8

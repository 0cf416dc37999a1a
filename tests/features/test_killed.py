"""Fifty kills at random moments, each followed by a run that goes on: the bytes are those of one run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__)

LINES = {  # function -> how many of its lines an extract of one shard runs, about
    "take": 12, "_create": 20, "release": 6, "remove_left_overs": 5,  # claims
    "at_work": 12, "make": 10, "__enter__": 12, "finish": 25, "write": 60, "_write_table": 20,
    "seal": 8, "_flush": 5,  # shards
}  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    """All but run.json, and what a kill while that was written leaves of it."""
    files = sorted(file for file in folder.iterdir() if "run.json" not in file.name)
    return {file.name: file.read_bytes() for file in files}


@pytest.mark.slow
def test_killed_at_fifty_random_moments_an_extract_always_ends_with_the_same_bytes(
    tmp_path, make_corpus, small
):
    corpus, undisturbed = make_corpus(tmp_path / "killed"), make_corpus(tmp_path / "whole")
    small.extract_small(undisturbed.folder)
    expected = contents(undisturbed.folder / "cache")
    assert list(expected) == [f"part-{index:05d}.h5" for index in range(4)]
    done = subprocess.run(
        [sys.executable, str(HERE), str(corpus.folder), str(undisturbed.folder / "cache")],
        stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    kills = json.loads(done.stdout)
    assert len(kills) == 50
    assert Counter(kills) == {**dict.fromkeys(LINES, 3), None: 50 - 3 * len(LINES)}
    assert contents(corpus.folder / "cache") == expected
    assert (corpus.folder / "cache/run.json").exists()


def die_in(function: str, line: int, pipe: int) -> None:
    """Kill this process at the n-th line that it runs of a function, and say so on the pipe before."""
    import signal
    import threading

    seen = 0

    def lines(frame, event, argument):
        nonlocal seen
        seen += event == "line"
        if seen == line:
            os.write(pipe, b"here")
            os.kill(os.getpid(), signal.SIGKILL)
        return lines

    def calls(frame, event, argument):
        code = frame.f_code
        return lines if code.co_name == function and "layersim/features" in code.co_filename else None

    threading.settrace(calls)  # shards are finished in a thread of their own
    sys.settrace(calls)


def main(corpus: Path, whole: Path) -> None:
    """Kill fifty extracts; print the function that each died in (None: where it was by the clock)."""
    import random
    import runpy
    import shutil
    import signal
    import time

    from layersim.features import claims

    # A claim that is empty since its maker was killed would hold the next up for so long. Here none is at
    # work beside it whose empty claim is about to be filled.
    claims._BEING_MADE = 0.0
    extract = runpy.run_path(str(HERE.with_name("small_encoder.py")))["extract_small"]
    whole_bytes, cache = contents(whole), corpus / "cache"
    extract(corpus)  # loads what is loaded late
    shutil.rmtree(cache)

    def run(function: str | None, line: int, seconds: float | None) -> bool:
        """Start an extract in a process; tell whether it was killed before it was done."""
        reads, writes = os.pipe()
        if not (process := os.fork()):
            status = 1
            try:
                if function is not None:
                    die_in(function, line, writes)
                extract(corpus)
                status = 0
            finally:
                os._exit(status)
        os.close(writes)
        if seconds is not None:
            time.sleep(seconds)
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        with os.fdopen(reads, "rb") as stream:
            assert bool(stream.read()) == (function is not None and status != 0)
        assert status in (0, signal.SIGKILL), status
        for file in cache.glob("part-*.h5"):
            assert file.read_bytes() == whole_bytes[file.name], file
        return status != 0

    random.seed(7)
    began = time.monotonic()
    assert not run(None, 0, None)
    longest = time.monotonic() - began
    assert contents(cache) == whole_bytes
    shutil.rmtree(cache)
    kills: list[str | None] = []
    wanted = [*LINES] * 3 + [None] * (50 - 3 * len(LINES))
    random.shuffle(wanted)
    for function in wanted:
        while True:
            if function is None:
                killed = run(None, 0, random.uniform(0, longest))
            else:
                killed = run(function, random.randint(1, LINES[function]), None)
            if killed:
                break
            assert contents(cache) == whole_bytes
            shutil.rmtree(cache)  # begin anew
        kills.append(function)
    assert not run(None, 0, None)
    print(json.dumps(kills))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

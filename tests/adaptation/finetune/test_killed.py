"""``layersim train`` killed for real, with SIGKILL and at random moments, and asked for again."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import time
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import numpy as np
import pytest

CACHED = ("--methods", "cc,la:1,2+self-train", "--epochs", "25", "--seeds", "1",
          "--set", "self-train.rounds=1")  # fmt: skip
FINETUNE = ("--methods", "la:1,2", "--epochs", "8", "--seeds", "1", "--finetune", "full",
            "--set", "finetune.batch=4", "--set", "finetune.crop_seconds=0.2")  # fmt: skip

# The command itself, in a process that has its libraries loaded; every epoch is kept, however short.
COMMAND = """
import contextlib, os, sys
from layersim.adaptation import checkpoint
from layersim.adaptation.run import Run
from layersim_cli.main import main
checkpoint.SECONDS = 0
Run._draw = lambda *_: None
os.chdir(folder)
sys.argv = ["layersim", "train", *arguments]
with open(os.path.join(folder, "said.txt"), "a") as said:
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        main()
"""


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    """Processes are forked from one that has loaded everything and has one thread."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(
        ["layersim_cli.main", "layersim.adaptation.train", "layersim.adaptation.finetune.stage",
         "layersim.features.dataset", "transformers", "torch._dynamo", "sklearn.linear_model",
         "sklearn.model_selection"]
    )  # fmt: skip
    return found


def begin(context: ForkServerContext, folder: Path, arguments: Sequence[str]) -> ForkServerProcess:
    process = context.Process(target=exec, args=(COMMAND, {"folder": str(folder), "arguments": arguments}))
    process.start()
    return process


def run(context: ForkServerContext, folder: Path, arguments: Sequence[str]) -> None:
    process = begin(context, folder, arguments)
    process.join()
    assert process.exitcode == 0, (folder / "said.txt").read_text("utf-8")


def results(folder: Path) -> dict[str, bytes]:
    """All files of a training; of ``run.json`` all but the date."""
    found = {}
    for file in sorted((folder / "train").rglob("*")):
        if file.is_file():
            content = file.read_bytes()
            if file.name == "run.json":
                content = json.dumps({**json.loads(content), "when": None}).encode()
            found[str(file.relative_to(folder))] = content.replace(str(folder).encode(), b"FOLDER")
    return found


def kill_and_resume(
    context: ForkServerContext, extracted: Path, tmp_path: Path, arguments: Sequence[str], kills: int
) -> None:
    """Kill trainings, each up to five times in a row, and compare each with one that was not."""
    whole = shutil.copytree(extracted, tmp_path / "whole")
    run(context, whole, arguments)  # the server loads its libraries
    shutil.rmtree(whole / "train")
    began = time.monotonic()
    run(context, whole, arguments)
    seconds, expected = time.monotonic() - began, results(whole)
    rng = np.random.default_rng()
    killed, number, said = 0, 0, ""
    while killed < kills:
        folder, number, left = shutil.copytree(extracted, tmp_path / f"study-{number}"), number + 1, 5
        while left and killed < kills:
            process = begin(context, folder, arguments)
            if killed:
                process.join(timeout=rng.uniform(0, 0.8 * seconds))
            else:  # once when there is something to go on from, to be sure
                wait_for_an_epoch(process, folder)
            process.kill()  # SIGKILL
            process.join()
            if process.exitcode == 0:  # it had ended
                break
            assert process.exitcode == -signal.SIGKILL
            killed, left = killed + 1, left - 1
        run(context, folder, arguments)
        found = results(folder)
        assert sorted(found) == sorted(expected)
        assert [name for name in expected if found[name] != expected[name]] == []
        said += (folder / "said.txt").read_text("utf-8")
    assert "going on from epoch" in said


def wait_for_an_epoch(process: ForkServerProcess, folder: Path) -> None:
    while process.is_alive():
        kept = [file.name for file in (folder / "train").rglob("epochs/*")]
        if any(name.startswith(("training-", "epoch-")) for name in kept):
            return
        time.sleep(0.002)


@pytest.mark.slow
def test_a_training_killed_at_any_moment_ends_with_the_same_bytes(
    context: ForkServerContext, extracted: Path, tmp_path: Path
) -> None:
    kill_and_resume(context, extracted, tmp_path, CACHED, kills=20)


@pytest.mark.slow
def test_fine_tuning_killed_at_any_moment_ends_with_the_same_bytes(
    context: ForkServerContext, extracted: Path, tmp_path: Path
) -> None:
    kill_and_resume(context, extracted, tmp_path, FINETUNE, kills=5)

"""Training under torchrun, two processes on this machine, against one process with the same batches."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
import torch

from layersim.adaptation.distributed import ALONE, Processes, SharedDropout
from layersim.adaptation.finetune.epochs import run_kept_epochs
from layersim.adaptation.loop import VALIDATION, run_epochs
from layersim.errors import LayersimError

WORK = Path(__file__).with_name("shared_work.py")
FINETUNE = ("--finetune", "full", "--set", "finetune.batch=4", "--set", "finetune.crop_seconds=0.2",
            "--set", "finetune.dropout=0.0")  # fmt: skip


def torchrun(words: Sequence[str], cwd: Path) -> tuple[str, str]:
    """Start two processes as a user would, on a free port of this machine; give stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words],
        cwd=cwd, capture_output=True, text=True, timeout=300, encoding="utf-8", check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def done(
    folder_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What each of two processes found, and what one finds."""
    encoder, file = str(folder_of("wav2vec2-stable")), tmp_path_factory.mktemp("shared") / "found"
    torchrun([str(WORK), str(file), encoder], file.parent)
    found = [torch.load(f"{file}.{rank}", weights_only=True) for rank in (0, 1)]
    return found, runpy.run_path(str(WORK))["work"](ALONE, encoder)


@pytest.mark.parametrize("form", ["frobenius", "squared"])
@pytest.mark.parametrize("averaged", ["plain", "DDP"])
def test_loss_and_gradients_are_those_of_the_whole_batch(averaged: str, form: str, done: Any) -> None:
    """Cross-entropy, weighted and not, and CORAL; gradients averaged by us, or by DistributedDataParallel."""
    found, expected = done
    case = f"{form} {averaged}"
    assert any(part.abs().max() > 0.01 for name, part in expected[case].items() if name != "loss")
    for one in found:
        torch.testing.assert_close(one["work"][case], expected[case], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("what", ["cached", "full", "lora"])
def test_weights_curves_and_predictions_are_those_of_one_process(what: str, done: Any) -> None:
    """In float32. A softmax does not see a shift of its keys: their bias's gradient is rounding, and AdamW
    makes full steps of it."""
    found, expected = done
    kept = {name: value for name, value in expected[what].items() if not name.endswith("k_proj.bias")}
    for one in found:
        same = {name: one["work"][what][name] for name in kept}
        torch.testing.assert_close(same, kept, rtol=1e-3, atol=2e-5, equal_nan=True)
    for name, value in found[0]["work"][what].items():  # nothing drifts apart
        assert torch.equal(value.nan_to_num(), found[1]["work"][what][name].nan_to_num())


def test_two_processes_go_on_from_what_the_first_kept_to_the_same_bytes(done: Any) -> None:
    for one in done[0]:
        for name, value in one["work"]["cached"].items():
            assert torch.equal(one["resumed"][name].nan_to_num(), value.nan_to_num())


class SecondOfTwo(Processes):
    """Hears these answers of the first."""

    answers: ClassVar[list[Any]] = []

    def lead(self, action: Callable[[], Any]) -> Any:
        return self.answers.pop(0)


@pytest.mark.parametrize("kept", [False, True])
def test_processes_that_find_other_epochs_are_refused_and_what_the_first_finds_goes_for_all(
    kept: bool, tmp_path: Path
) -> None:
    network = torch.nn.Linear(2, 2)
    optimiser = torch.optim.SGD(network.parameters())

    def train(processes: Processes) -> Any:
        def validate() -> tuple[float, float]:
            return 0.5, 0.6  # in its own last digits

        losses = lambda _: {"loss": 1.0}  # noqa: E731
        common = {"epochs": 1, "patience": 1, "processes": processes}
        if not kept:
            return run_epochs(network, losses, validate, **common)
        return run_kept_epochs(network, optimiser, losses, validate, seed=0, folder=tmp_path, **common)

    processes = SecondOfTwo(rank=1, size=2)
    SecondOfTwo.answers = [3]
    with pytest.raises(LayersimError, match="process 0 goes on from epoch 4, process 1 from 1"):
        train(processes)
    SecondOfTwo.answers = [0, (0.5, 0.7)]
    assert train(processes).curves[VALIDATION[1]].tolist() == [0.7]
    assert not list(tmp_path.iterdir())  # the first keeps the epochs


def test_every_process_hears_of_an_error_and_batches_must_suffice(done: Any) -> None:
    for one in done[0]:
        assert one["size"] == 2
        assert one["gathered"].tolist() == list(range(7))
        disk, batch = one["failures"]
        assert disk == "a full disk"
        assert "batches have 1 utterances a side, and 2 processes share them" in batch


def test_shared_dropout_alone_drops_what_dropout_drops() -> None:
    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        expected = torch.nn.functional.dropout(rows, 0.4)
        torch.manual_seed(1)
        torch.testing.assert_close(SharedDropout(0.4, 6, ALONE)(rows), expected)
    assert torch.equal(SharedDropout(0.4, 6, ALONE).eval()(rows), rows)


def tree(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in (folder / "train").rglob("*"))


@pytest.mark.slow
def test_the_command_under_torchrun_prints_and_writes_what_one_process_does(
    extracted: Path, tmp_path: Path, run_cli: Callable[..., tuple[int, str, str]]
) -> None:
    """``wccn``, whose batches are not shared, is trained by the first process."""
    one, two = (shutil.copytree(extracted, tmp_path / name) for name in ("one", "two"))
    common = ["train", "--seeds", "1", "--epochs", "3", "--json"]
    for more in (["--methods", "cc,la:1,2,wccn"], ["--methods", "la:1,2", *FINETUNE]):
        code, expected, err = run_cli([*common, *more], one)
        assert code == 0, err
        out, said = torchrun(["-m", "layersim_cli.main", *common, *more], two)
        found = json.loads(out)  # one document: the first process alone prints
        assert said.count("warning: english's test split has 2 speakers") == 1
        for ours, theirs in zip(found["methods"], json.loads(expected)["methods"], strict=True):
            assert ours["folder"] == theirs["folder"]
            assert ours["uar"]["mean"] == pytest.approx(theirs["uar"]["mean"], abs=1e-6)
    assert tree(one) == tree(two)
    for file in sorted((one / "train").rglob("predictions.csv")):
        ours, theirs = (pd.read_csv(path) for path in (two / file.relative_to(one), file))
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-3, atol=1e-4)

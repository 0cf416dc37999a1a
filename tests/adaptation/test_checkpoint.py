"""Trainings that are stopped between two epochs and asked for again, method by method."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from layersim.adaptation import checkpoint
from layersim.adaptation.anchors import Anchors
from layersim.adaptation.batches import Batches
from layersim.adaptation.checkpoint import Checkpoint
from layersim.adaptation.data import VowelSegments
from layersim.adaptation.loop import run_epochs
from layersim.adaptation.method import Method, OwnSettings, define_method
from layersim.adaptation.opening import read_method
from layersim.adaptation.phonetic import PhoneticConfig, learn_phonetic
from layersim.adaptation.run import Run
from layersim.adaptation.task import Learned, Task
from layersim.adaptation.train import train_pair
from layersim.errors import LayersimError
from layersim.features.dataset import CorpusFeatures

CLASSES = ("anger", "happiness", "neutral", "sadness")
ANCHORS = Anchors("2,3", ("2", "3"), "as listed")


class Stopped(Exception):
    """As SIGKILL, but between two epochs of our choice."""


@pytest.fixture(autouse=True)
def every_epoch_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 0)
    monkeypatch.setattr(Run, "_draw", lambda *_: None)


def stop_after(epoch: int, label: str = "training") -> Callable[[str, float, float], None]:
    def stop(said: str, done: float, _total: float) -> None:
        if done == epoch and said == label:
            raise Stopped

    return stop


def content(learned: Learned) -> tuple[Any, ...]:
    assert learned.network is not None
    assert learned.curves is not None
    state = {name: value.numpy().tobytes() for name, value in learned.network.state_dict().items()}
    return state, learned.curves.to_csv(), learned.best_epoch, dict(learned.details)


def method_and_task(
    word: str, source: CorpusFeatures, target: CorpusFeatures, settings: Any
) -> tuple[Method, Task]:
    own = OwnSettings(flags={"dann": {"choose_from": 0.5}, "self-train": {"rounds": 1}})
    method = define_method(word, source.cache.layers, settings, lambda _: ANCHORS, own)
    return method, read_method(method, (source, target), CLASSES).task(CLASSES)


@pytest.mark.parametrize("epoch", [2, 5])
@pytest.mark.parametrize("word", ["cc", "la", "fewshot", "wccn", "dann"])
def test_a_stopped_training_goes_on_to_the_same_bytes(
    word: str, epoch: int, source: CorpusFeatures, target: CorpusFeatures,
    settings_of: Callable[..., Any], tmp_path: Path,
) -> None:  # fmt: skip
    method, task = method_and_task(word, source, target, settings_of(epochs=8, patience=3, batch=13))
    expected = method.learn(task, 5)
    kept = Checkpoint(tmp_path / "training.pt")
    with pytest.raises(Stopped):
        method.learn(task, 5, stop_after(epoch), kept=kept)
    torch.manual_seed(99)  # another process
    seen: list[float] = []
    found = method.learn(task, 5, lambda _, done, __: seen.append(done), kept=kept)
    assert content(found) == content(expected)
    assert seen == list(range(epoch + 1, len(expected.curves) + 1))  # type: ignore[arg-type]


def test_phonetic_anchoring_goes_on_to_the_same_bytes(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any], tmp_path: Path
) -> None:
    _, task = method_and_task("cc-std", source, target, settings_of())
    draws = torch.Generator().manual_seed(0)
    segments = [
        VowelSegments(
            torch.randn(120, 1, task.source.features.shape[2] // 2, generator=draws),
            torch.arange(120) % 40, tuple("aei"[number % 3] for number in range(120)),
        )
        for _ in range(2)
    ]  # fmt: skip
    task = Task(task.source, task.validation, task.target, CLASSES, *segments)
    config = PhoneticConfig(epochs=6, batch=13, projection=5)
    expected = learn_phonetic(task, config, 5)
    kept = Checkpoint(tmp_path / "training.pt")
    with pytest.raises(Stopped):
        learn_phonetic(task, config, 5, stop_after(3), kept=kept)
    assert content(learn_phonetic(task, config, 5, kept=kept)) == content(expected)


@pytest.mark.parametrize("training", ["training (1 of 2)", "training (2 of 2)"])
def test_self_training_goes_on_in_the_round_where_it_was_stopped(
    training: str, source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any],
    tmp_path: Path,
) -> None:  # fmt: skip
    method, task = method_and_task("la+self-train", source, target, settings_of(epochs=4))
    expected = method.learn(task, 5)
    kept = Checkpoint(tmp_path / "training.pt")
    with pytest.raises(Stopped):
        method.learn(task, 5, stop_after(3, training), kept=kept)
    seen: list[tuple[str, float]] = []
    found = method.learn(task, 5, lambda label, done, _: seen.append((label, done)), kept=kept)
    assert content(found) == content(expected)
    assert seen[0] == (training, 4)


def test_a_kept_record_holds_nan_and_every_digit(tmp_path: Path) -> None:
    network, kept = torch.nn.Linear(1, 1), Checkpoint(tmp_path / "training.pt")
    losses = {"first": math.nan, "second": 0.1 + 0.2}
    score = (1 / 3, 2 / 7)
    run_epochs(network, lambda _: losses, lambda: score, epochs=2, patience=2, kept=kept)
    row = run_epochs(network, lambda _: {}, lambda: (0.0, 0.0), epochs=2, patience=2, kept=kept).curves.iloc[
        1
    ]
    assert math.isnan(row["first"])
    assert row.iloc[2:].tolist() == [0.1 + 0.2, *score]


def test_short_trainings_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 60.0)
    network, kept = torch.nn.Linear(1, 1), Checkpoint(tmp_path / "training.pt")
    run_epochs(network, lambda _: {}, lambda: (0.0, 0.0), epochs=3, patience=3, kept=kept)
    assert not kept.file.exists()


def test_a_file_that_cannot_be_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    network, kept = torch.nn.Linear(1, 1), Checkpoint(tmp_path / "training.pt")
    run_epochs(network, lambda _: {}, lambda: (0.0, 0.0), epochs=1, patience=3, kept=kept)
    whole = kept.file.read_bytes()
    kept.file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LayersimError, match=r"training\.pt: the epochs kept there cannot be read .*Delete"):
        run_epochs(network, lambda _: {}, lambda: (0.0, 0.0), epochs=2, patience=3, kept=kept)
    kept.file.write_bytes(whole)
    with pytest.raises(LayersimError, match=r"(?s)cannot be read .*size mismatch.*Delete"):
        run_epochs(torch.nn.Linear(2, 1), lambda _: {}, lambda: (0.0, 0.0), 2, 3, kept=kept)


def test_batches_go_on_in_the_middle_of_an_order() -> None:
    whole = Batches(7, 2, 3)
    drawn = [next(whole).tolist() for _ in range(10)]
    for taken in range(10):
        stopped = Batches(7, 2, 3)
        for _ in range(taken):
            next(stopped)
        other = Batches(7, 2, 0)
        other.load_state_dict(stopped.state_dict())
        assert [next(other).tolist() for _ in range(10 - taken)] == drawn[taken:]
    with pytest.raises(ValueError, match=r"1 to 3 \(the rows\), got 4"):
        Batches(3, 4, 0)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "run.json"
    }


def test_the_stage_goes_on_says_so_and_leaves_no_epochs(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any], tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    settings = settings_of(seeds=1)
    train_pair(source, target, settings, ANCHORS, tmp_path / "whole")
    stop = stop_after(2 + 2 / 4)  # la, the last of three methods, after the second of four epochs
    with pytest.raises(Stopped):
        train_pair(source, target, settings, ANCHORS, tmp_path / "stopped", progress=stop)
    folder = tmp_path / "stopped" / "la-2-3" / "seed-0"
    assert {file.name for file in (folder / "epochs").iterdir()} == {"request.json", "training-1.pt"}
    (folder / ".metrics.json.1.tmp").write_text("half a fi")  # what SIGKILL leaves
    with caplog.at_level(logging.WARNING, "layersim"):
        train_pair(source, target, settings, ANCHORS, tmp_path / "stopped")
    assert f"going on from epoch 3: {folder / 'epochs' / 'training-1.pt'}" in caplog.text
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")


@pytest.mark.parametrize("change", ["settings", "features"])
def test_what_was_begun_otherwise_is_given_up_with_a_notice(
    change: str, source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any],
    with_features: Callable[..., CorpusFeatures], tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    with pytest.raises(Stopped):
        train_pair(source, target, settings_of(seeds=1), ANCHORS, tmp_path / "one", progress=stop_after(2.5))
    settings = settings_of(seeds=1, methods=("la",), **({"gamma": 0.5} if change == "settings" else {}))
    if change == "features":
        source = with_features(source, torch.arange(3).numpy(), 0.5)
    with caplog.at_level(logging.WARNING, "layersim"):
        train_pair(source, target, settings, ANCHORS, tmp_path / "one")
    what = "gamma was 0.1, is 0.5" if change == "settings" else "source_train changed"
    assert f"gives up what was begun otherwise, not finished: {what}" in caplog.text
    assert "going on" not in caplog.text
    train_pair(source, target, settings, ANCHORS, tmp_path / "other")
    found, expected = (files(tmp_path / name / "la-2-3") for name in ("one", "other"))
    assert found == expected
    assert json.loads((tmp_path / "one" / "la-2-3" / "seed-0" / "run.json").read_text())["results"]["request"]


def test_epochs_without_a_word_of_what_they_are_of_are_not_gone_on_from(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any], tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    settings = settings_of(seeds=1)
    with pytest.raises(Stopped):
        train_pair(source, target, settings, ANCHORS, tmp_path, progress=stop_after(2.5))
    (tmp_path / "la-2-3" / "seed-0" / "epochs" / "request.json").unlink()
    with caplog.at_level(logging.WARNING, "layersim"):
        train_pair(source, target, settings, ANCHORS, tmp_path)
    assert "going on" not in caplog.text

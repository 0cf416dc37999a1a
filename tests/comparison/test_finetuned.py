"""Methods that train the encoder itself, in a comparison with those on cached features."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from layersim.adaptation.finetune import audio
from layersim.adaptation.finetune.anchored import learn_anchored_finetune
from layersim.adaptation.finetune.pair import pair_audio
from layersim.adaptation.finetune.settings import FinetuneConfig
from layersim.adaptation.finetune.stage import finetune
from layersim.adaptation.method import OwnSettings
from layersim.adaptation.opening import open_features
from layersim.adaptation.settings import TrainConfig
from layersim.adaptation.train import train
from layersim.comparison import compare as compare_module
from layersim.comparison import running, training
from layersim.comparison.compare import compare
from layersim.comparison.job import find_all_heard
from layersim.comparison.protocols import cross_corpus
from layersim.comparison.settings import CompareConfig
from layersim.comparison.tuning import TuneConfig, tune
from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError, UsageError
from layersim.features.extract import ExtractConfig, extract
from layersim.settings import resolve_settings
from layersim.similarity.settings import RankConfig
from layersim.workspace import CorpusEntry, Workspace
from tests.adaptation.finetune.conftest import write_corpus

CLASSES = ("anger", "sadness")
QUICK = {"epochs": 2, "batch": 4, "crop_seconds": 0.2, "projection": 5}
OWN = OwnSettings(flags={"finetune": {**QUICK, "mask_frames": 3}, "wccn": {"crop_seconds": 0.25}})
ENDED = {"predictions.csv", "metrics.json", "curves.csv", "request.json", "run.json"}


@pytest.fixture
def workspace(extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of the study of tones; figures and the baselines that are always there are left out."""
    monkeypatch.setattr(compare_module, "draw_comparison", lambda *_: [])
    monkeypatch.setattr("layersim.comparison.settings.BASELINES", ())
    shutil.copytree(extracted, tmp_path / "study")
    return Workspace.read(tmp_path / "study")


def run(
    workspace: Workspace,
    methods: str,
    own: OwnSettings = OWN,
    progress: Callable[..., None] = lambda *_: None,
    **flags: Any,
) -> Any:
    asked = {
        "methods": methods.split(" "), "pairs": ["german:english"], "seeds": 1, "jobs": 1, "folds": 2,
        "bootstraps": 100, "device": "cpu", "emotions": CLASSES, **flags,
    }  # fmt: skip
    return compare(
        workspace, resolve_settings(CompareConfig, asked), resolve_settings(TrainConfig, {"epochs": 2}),
        resolve_settings(RankConfig), own, progress=progress,
    )  # fmt: skip


def unit(workspace: Workspace, method: str, pair: str = "german-to-english") -> Path:
    return workspace.compare_folder("folds") / pair / method / "seed-0"


def test_a_fine_tuned_method_stands_in_the_table_and_tests_every_utterance_once(workspace):
    found = run(workspace, "cc la:1,2+finetune-lora wccn+finetune-full")
    results = found.units.results.set_index("method")
    assert {"la-1-2+finetune-lora", "wccn+finetune-full"} < set(results.index)
    printed = found.to_table()
    rows = printed[printed.index("encoder itself trained") :].splitlines()[1:4]
    assert "la-1-2+finetune-lora" in rows[0]
    assert "wccn+finetune-full" in printed

    folder = unit(workspace, "la-1-2+finetune-lora")
    assert {file.name for file in folder.iterdir()} == ENDED  # no epochs, no encoder
    tested = pd.read_csv(folder / "predictions.csv")
    table = open_features(workspace, "english", "encoder").table
    of_classes = table[table["emotion"].isin(CLASSES)]
    assert sorted(tested["utterance"]) == sorted("english/" + of_classes["utterance_id"])
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    assert metrics["method"] == "la-finetune-lora"
    assert [trial["layers"] for trial in metrics["trials"]] == [["1", "2"]] * 2
    assert metrics["trials"][0]["details"]["mode"] == "lora"
    said = json.loads((folder / "run.json").read_text("utf-8"))
    assert "layersim compare --methods la:1,2+finetune-lora" in said["command"]
    assert {row["name"]: row["value"] for row in said["settings"]}["batch"] == 4


def test_a_trial_is_trained_as_the_method_alone_would_be_on_its_speakers(workspace):
    run(workspace, "la:1,2+finetune-full")
    tested = pd.read_csv(unit(workspace, "la-1-2+finetune-full") / "predictions.csv")
    german, english = (open_features(workspace, name, "encoder") for name in ("german", "english"))
    trial = cross_corpus(german, english, 2, CLASSES)[1]
    recordings = tuple(find_all_heard(workspace, corpus) for corpus in (german, english))
    heard = pair_audio(trial.source, trial.target, recordings, CLASSES)
    learned = learn_anchored_finetune(
        heard.task, load_encoder(workspace.encoder), ("1", "2"), FinetuneConfig(**QUICK, mode="full"), 0
    )
    shares = learned.probabilities(heard.test.waveforms)
    own = tested[tested["trial"] == trial.name].set_index("utterance")
    assert len(own) == len(heard.test) > 0
    expected = [CLASSES[place] for place in shares.argmax(axis=1)]
    assert own.loc[list(heard.test.keys), "predicted"].tolist() == expected
    probabilities = own.loc[list(heard.test.keys), [f"p_{name}" for name in CLASSES]].to_numpy()
    assert np.allclose(probabilities, shares, atol=1e-6)


def test_what_is_tested_is_heard_after_training_alone(workspace, monkeypatch):
    heard: list[str] = []
    real_read, real_learn = audio.read_audio, training.learn_from_audio

    def reading(path: Path, *arguments: Any) -> Any:
        heard.append(f"{path.parent.name}/{path.stem}")
        return real_read(path, *arguments)

    def learning(*arguments: Any, **named: Any) -> Any:
        learned = real_learn(*arguments, **named)
        heard.append("trained")
        return learned

    monkeypatch.setattr(audio, "read_audio", reading)
    monkeypatch.setattr(training, "learn_from_audio", learning)
    run(workspace, "la:1,2+finetune-lora")
    assert heard.count("trained") == 2
    first = heard.index("trained")
    second = heard.index("trained", first + 1)
    tested = pd.read_csv(unit(workspace, "la-1-2+finetune-lora") / "predictions.csv")
    for (_, part), before, after in zip(
        tested.groupby("trial", sort=False),
        (heard[:first], heard[first + len(tested) // 2 + 1 : second]),
        (heard[first + 1 : first + 1 + len(tested) // 2], heard[second + 1 :]),
        strict=True,
    ):
        assert set(part["utterance"]) == set(after)
        assert not set(part["utterance"]) & set(before)
        assert any(name.startswith("english/") for name in before)


def test_a_killed_training_goes_on_after_its_last_epoch_and_ends_with_the_same_bytes(workspace, monkeypatch):
    def written() -> dict[str, bytes]:
        folder = unit(workspace, "la-1-2+finetune-lora")
        return {
            name: (folder / name).read_bytes() for name in ("predictions.csv", "metrics.json", "curves.csv")
        }

    own = OwnSettings(flags={"finetune": {**QUICK, "epochs": 3}})
    run(workspace, "la:1,2+finetune-lora", own)
    undisturbed = written()
    shutil.rmtree(unit(workspace, "la-1-2+finetune-lora"))

    real, epochs = training.learn_from_audio, []

    def killed(*arguments: Any) -> Any:
        def progress(_: str, done: float, __: float) -> None:
            epochs.append(done)
            if len(epochs) == 5:  # the second epoch of the second trial
                raise KeyboardInterrupt

        return real(*arguments[:5], progress, arguments[6])

    monkeypatch.setattr(training, "learn_from_audio", killed)
    with pytest.raises(KeyboardInterrupt):
        run(workspace, "la:1,2+finetune-lora", own)
    folder = unit(workspace, "la-1-2+finetune-lora")
    left = {file.name for file in folder.iterdir()}
    assert left == {"request.json", "trial-1.csv", "trial-1.json", "trial-2-epochs"}
    with pytest.raises(
        LayersimError, match=r"begun otherwise, and not finished \(settings\.epochs was 3, is 4\)"
    ):
        run(workspace, "la:1,2+finetune-lora", OwnSettings(flags={"finetune": {**QUICK, "epochs": 4}}))
    assert {file.name for file in folder.iterdir()} == left
    shutil.copytree(folder / "trial-2-epochs", folder / "trial-1-epochs")  # killed before it was removed
    run(workspace, "la:1,2+finetune-lora", own)
    assert epochs[5:] == [3]  # nothing that was done is done again
    assert written() == undisturbed
    assert {file.name for file in folder.iterdir()} == ENDED


def test_other_settings_are_refused_and_anchors_are_ranked_in_the_trial(workspace):
    run(workspace, "la:best+finetune-lora")
    with pytest.raises(LayersimError, match=r"settings\.lora_rank was 8, is 2"):
        run(
            workspace, "la:best+finetune-lora",
            OwnSettings(flags={"finetune": {**OWN.flags["finetune"], "lora_rank": 2}}),
        )  # fmt: skip
    metrics = json.loads((unit(workspace, "la-best+finetune-lora") / "metrics.json").read_text("utf-8"))
    assert all(len(trial["layers"]) == 1 for trial in metrics["trials"])
    assert (workspace.compare_folder("folds") / "german-to-english" / "rankings" / "of-2").is_dir()


def test_merged_corpora_are_heard_balanced_from_both_their_folders(workspace, monkeypatch):
    root = workspace.root
    write_corpus(root, "french", 5)
    entries = {
        **workspace.corpora,
        "french": CorpusEntry(manifest=root / "french.csv", audio_root=root / "french"),
    }
    shutil.move(root / "layersim.toml", root / "before.toml")
    merged = Workspace.create(root, workspace.encoder, entries)
    extract(merged, resolve_settings(ExtractConfig))
    tasks = []
    real = training.learn_from_audio

    def learning(method: Any, task: Any, *arguments: Any, **named: Any) -> Any:
        tasks.append(task)
        return real(method, task, *arguments, **named)

    monkeypatch.setattr(training, "learn_from_audio", learning)
    found = run(merged, "la:1,2+finetune-lora", pairs=["german+french:english"], clips=[0, 2], folds=3)
    assert set(found.units.results["clips"]) == {0, 2}
    plain, with_clips = tasks[0], tasks[3]
    assert {key.partition("/")[0] for key in plain.source.keys} == {"german", "french"}
    clips = [key for key in with_clips.source.keys if key.startswith("english/")]
    assert len(set(clips)) == 2
    assert len(clips) > 2  # repeated to balance
    assert not set(clips) & set(with_clips.target.keys)
    assert len(with_clips.source.waveforms[len(with_clips.source) - 1]) > 0


@pytest.mark.parametrize(
    ("methods", "own", "says"),
    [
        ("la:0+finetune-lora", {}, "adapters in blocks cannot change it"),
        ("la:1,99+finetune-full", {}, "99"),
        (
            "la:1+finetune-lora",
            {"finetune": {"precision": "bf16"}},
            "mixed precision is for training on a GPU",
        ),
        ("la:1+finetune-lora", {"finetune": {"lora_targets": ["w_q"]}}, "has no linear module w_q"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(workspace, methods, own, says):
    with pytest.raises(LayersimError, match=re.escape(says)):
        run(workspace, f"cc {methods}", OwnSettings(flags=own))
    assert not list(workspace.root.glob("compare/**/cc"))


def test_so_is_a_missing_recording(workspace):
    (workspace.corpora["english"].audio_root / "5-1.wav").unlink()
    with pytest.raises(LayersimError, match="1 recordings cannot be used"):
        run(workspace, "cc la:1+finetune-lora")
    assert not list(workspace.root.glob("compare/**/cc"))


def test_the_manifests_splits_give_what_train_gives_and_a_transductive_trial_is_tested_on_all(workspace):
    settings = resolve_settings(TrainConfig, {"methods": ["la:1,2"], "seeds": 1, "emotions": CLASSES})
    trained = finetune(workspace, settings, "german", "english", "lora", own=OWN, device="cpu")
    columns = ["utterance", "predicted", *(f"p_{name}" for name in CLASSES)]
    one = pd.read_csv(trained.folder / "la-1-2-finetune-lora/seed-0/predictions.csv")[columns]
    run(workspace, "la:1,2+finetune-lora", protocol="splits")
    place = "german-to-english/la-1-2+finetune-lora/seed-0"
    other = pd.read_csv(workspace.compare_folder("splits") / place / "predictions.csv")[columns]
    pd.testing.assert_frame_equal(one, other)

    with pytest.raises(LayersimError, match="the test set's own emotion labels would choose the anchors"):
        run(workspace, "cc la:best+finetune-lora", protocol="transductive")
    run(workspace, "la:1,2+finetune-lora", protocol="transductive")
    tested = pd.read_csv(workspace.compare_folder("transductive") / place / "predictions.csv")
    assert len(tested) == 24  # six speakers, four utterances each


def test_what_trains_on_a_gpu_does_so_alone_and_here(workspace, monkeypatch):
    """A GPU that is none: the jobs are only told so, and write down where they run."""
    monkeypatch.setattr(running, "place_of", lambda _: "cuda")
    asked: list[int] = []
    real = running.Parallel

    def parallel(n_jobs: int, **named: Any) -> Any:
        asked.append(n_jobs)
        return real(n_jobs=1, **named)

    monkeypatch.setattr(running, "Parallel", parallel)
    shown: list[str] = []
    run(
        workspace, "cc cc-std la:1+finetune-lora la:2+finetune-lora", jobs=2,
        progress=lambda label, *_: shown.append(label),
    )  # fmt: skip
    assert asked == [2, 1]
    assert "training la-1+finetune-lora, german-to-english/fold-2, seed 0" in shown


@pytest.mark.slow
def test_processes_of_a_killed_comparison_end_with_it_and_the_next_one_goes_on(workspace):
    words = ["cc", "la:1,2+finetune-lora", "--pairs", "german:english", "--folds", "2", "--seeds", "1"]
    command = [
        sys.executable,
        "-m",
        "layersim_cli.main",
        "compare",
        "--methods",
        ",".join(words[:2]),
        *words[2:],
    ]
    command += ["--emotions", "anger,sadness", "--jobs", "2", "--device", "cpu"]
    for name, value in {**QUICK, "epochs": 25, "patience": 25}.items():
        command += ["--set", f"finetune.{name}={value}"]
    process = subprocess.Popen(
        command, cwd=workspace.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    folder = unit(workspace, "la-1-2+finetune-lora")
    until = time.monotonic() + 120
    while not list(folder.glob("trial-*-epochs/epoch-*")) and time.monotonic() < until:
        time.sleep(0.02)
    workers = [
        one for one in psutil.Process(process.pid).children(recursive=True) if "loky" in str(one.cmdline())
    ]
    assert workers
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    assert not (folder / "run.json").exists()
    done = subprocess.run(command, cwd=workspace.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {file.name for file in folder.iterdir()} == ENDED


def test_a_device_without_a_method_that_trains_an_encoder_is_a_usage_error(workspace):
    with pytest.raises(UsageError, match="--device goes with methods that train the encoder"):
        run(workspace, "cc")


def test_the_command_in_run_json_asks_for_the_same(workspace):
    run(
        workspace,
        "wccn+finetune-full",
        OwnSettings(flags={"finetune": {"epochs": 1, "mask_frames": 3}, "wccn": {"beta": 0.0}}),
    )
    said = json.loads((unit(workspace, "wccn+finetune-full") / "run.json").read_text("utf-8"))
    assert "--set finetune.epochs=1" in said["command"]
    assert "--set wccn.beta=0.0" in said["command"]
    assert "wccn.epochs" not in said["command"]
    assert "--protocol folds" in said["command"]
    origins = {row["name"]: row["origin"] for row in said["settings"]}
    assert origins["mode"] == "the method's name"


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("cc+finetune-full", "cc: cannot train the encoder itself. These can: la+finetune-full, "),
        ("wccn+finetune-lora", "wccn: cannot train the encoder itself so (lora). These can: "),
        (
            "la+self-train+finetune-lora",
            "'+self-train+finetune-lora' is not known. A word may end in one of +se",
        ),
        ("la+finetune-lora+self-train", "'+finetune-lora+self-train' is not known."),
        ("la:1+finetune-lora+finetune-full", "'+finetune-lora+finetune-full' is not known."),
        ("la:auto+finetune", "'+finetune' is not known."),
        ("cc+", "'+' is not known."),
    ],
)
def test_words_of_what_cannot_be_trained_are_refused(workspace, word, says):
    with pytest.raises(LayersimError, match=re.escape(says)):
        run(workspace, word)


def test_train_and_tune_say_how_to_ask_them(workspace):
    settings = resolve_settings(TrainConfig, {"methods": ["la:1,2+finetune-lora"]})
    with pytest.raises(UsageError, match=r"here it is --methods la:1,2 --finetune lora"):
        train(workspace, settings, "german", "english")
    with pytest.raises(UsageError, match="trains the encoder itself, which tune does not"):
        tune(
            workspace, "la:1,2+finetune-lora", resolve_settings(TuneConfig), resolve_settings(TrainConfig),
            "german", "english",
        )  # fmt: skip

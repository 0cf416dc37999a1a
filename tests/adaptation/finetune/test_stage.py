"""``train --finetune`` on a workspace of tones: what it writes, keeps, resumes, and never sees."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from layersim.adaptation.finetune import audio, learn
from layersim.adaptation.finetune.stage import finetune
from layersim.adaptation.method import OwnSettings
from layersim.adaptation.opening import own_settings
from layersim.adaptation.predict import predict
from layersim.adaptation.run import Run
from layersim.adaptation.settings import TrainConfig
from layersim.adaptation.train import train
from layersim.corpus.manifest import read_manifest, write_manifest
from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError, StageMissingError, UsageError
from layersim.features.extract import ExtractConfig, extract
from layersim.settings import resolve_settings
from layersim.workspace import Workspace

CLASSES = ["anger", "sadness"]
QUICK = {"batch": 4, "crop_seconds": 0.2, "projection": 5}
FIGURES = {f"{name}.{kind}" for name in ("curves", "confusion") for kind in ("png", "svg")}
RESULTS = {"metrics.json", "predictions.csv", "curves.csv", "run.json", "encoder"} | FIGURES


@pytest.fixture
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "_draw", lambda *_: None)


def run_stage(
    workspace: Workspace,
    mode: str = "lora",
    methods: str = "la:1,2",
    own: OwnSettings | None = None,
    quick: dict[str, Any] | None = None,
    progress: Callable[..., None] = lambda *_: None,
    force: bool = False,
    **flags: Any,
):
    asked = {"methods": methods.split(" "), "seeds": 1, "epochs": 2, "bootstraps": 100, **flags}
    own = own or OwnSettings(flags={"finetune": {**QUICK, **(quick or {})}})
    settings = resolve_settings(TrainConfig, asked)
    return finetune(
        workspace, settings, "german", "english", mode, own=own, device="cpu", progress=progress, force=force
    )


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text("utf-8"))
    return found


def test_a_run_writes_its_folder_and_the_numbers_agree_with_scikit_learn(workspace):
    result = run_stage(workspace, methods="la")
    folder = workspace.train_folder("german", "english") / "la-auto-finetune-lora" / "seed-0"
    assert result.folder == folder.parents[1]
    assert {path.name for path in folder.iterdir()} == RESULTS | {"model.safetensors"}
    ranking = json.loads(
        (workspace.rank_folder("german", "english", "utterance") / "ranking.json").read_text()
    )
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    assert sorted(metrics["layers"]) == sorted(ranking["group"])
    predictions = pd.read_csv(folder / "predictions.csv")
    test = read_manifest(workspace.corpora["english"].manifest)
    test = test[(test["split"] == "test") & test["emotion"].isin(CLASSES)]
    assert dict(zip(predictions["utterance"], predictions["emotion"], strict=True)) == dict(
        zip("english/" + test["utterance_id"], test["emotion"], strict=True)
    )
    truth, guess, found = predictions["emotion"], predictions["predicted"], metrics["target_test"]
    assert found["uar"] == pytest.approx(recall_score(truth, guess, average="macro", labels=CLASSES))
    assert found["wa"] == pytest.approx(accuracy_score(truth, guess))
    assert found["macro_f1"] == pytest.approx(
        f1_score(truth, guess, average="macro", labels=CLASSES, zero_division=0)
    )
    assert found["confusion"] == confusion_matrix(truth, guess, labels=CLASSES).tolist()
    shares = predictions[[f"p_{name}" for name in CLASSES]]
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert [CLASSES[column] for column in shares.to_numpy().argmax(axis=1)] == guess.tolist()
    curves = pd.read_csv(folder / "curves.csv")
    best = curves.iloc[metrics["best_epoch"] - 1]
    assert metrics["source_validation"]["uar"] == pytest.approx(best["source_validation_uar"])
    assert metrics["details"]["device"] == "cpu"
    run = read(folder)
    rows = {row["name"]: (row["value"], row["origin"]) for row in run["settings"]}
    assert rows["mode"] == ("lora", "user (--finetune)")
    assert rows["epochs"] == (2, "user (flag)")
    assert rows["lora_rank"] == (8, "default (not in source)")
    assert set(run["inputs"]) == {
        "source_train", "source_validation", "target_train", "target_test", "ranking",
    }  # fmt: skip
    assert "--methods la --finetune lora" in run["command"]


def test_it_joins_the_summary_of_methods_on_the_same_features(workspace, quick_figures):
    flags = {"methods": ["cc", "la"], "anchors": "1,2", "seeds": 1, "epochs": 1, "bootstraps": 100}
    train(workspace, resolve_settings(TrainConfig, flags), "german", "english")
    result = run_stage(workspace, seeds=2, epochs=1)
    summary = json.loads((result.folder / "summary.json").read_text("utf-8"))
    assert [(one["name"], one["folder"]) for one in summary["methods"]] == [
        ("cc", "cc"),
        ("la", "la-1-2"),
        ("la-finetune-lora", "la-1-2-finetune-lora"),
    ]
    assert summary["methods"][-1]["seeds"] == [0, 1]
    assert summary["counts"] == {
        "source_train": {"anger": 6, "sadness": 6},
        "source_validation": {"anger": 2, "sadness": 2},
        "target_train": 15,  # whatever their emotion
        "target_test": {"anger": 4, "sadness": 4},
    }
    assert pd.read_csv(result.folder / "summary.csv")["method"].tolist() == ["la-1-2-finetune-lora"] * 2
    assert "la-1-2-finetune-lora" in result.to_table()


def test_a_killed_training_goes_on_to_the_same_bytes(workspace, quick_figures):
    mode = "full"
    whole = run_stage(workspace, mode, epochs=3).folder / f"la-1-2-finetune-{mode}" / "seed-0"
    kept = whole.rename(workspace.root / "whole")

    def kill(label: str, done: float, _total: float) -> None:
        if label == "training la-1-2-finetune-full, seed 0" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(workspace, mode, epochs=3, progress=kill)
    assert {path.name for path in (whole / "epochs").iterdir()} >= {"request.json", "epoch-0002"}
    assert not (whole / "run.json").exists()
    with pytest.raises(LayersimError, match=r"seed-0: .*begun differently .*\(epochs was 3, is 4\).*--force"):
        run_stage(workspace, mode, epochs=4)
    seen: list[tuple[float, float]] = []

    def note(label: str, done: float, total: float) -> None:
        if label.startswith("training"):
            seen.append((done, total))

    run_stage(workspace, mode, epochs=3, progress=note)
    assert seen == [(3, 3)]  # the last epoch alone
    assert not (whole / "epochs").exists()
    for name in ("predictions.csv", "curves.csv", "encoder/model.safetensors"):
        assert (whole / name).read_bytes() == (kept / name).read_bytes()


def test_with_force_what_was_begun_otherwise_goes(workspace, quick_figures):
    def kill(label: str, done: float, _total: float) -> None:
        if label.startswith("training") and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(workspace, progress=kill)
    result = run_stage(workspace, quick={"gamma": 0.5}, force=True)
    folder = result.folder / "la-1-2-finetune-lora" / "seed-0"
    assert read(folder)["results"]["request"]["gamma"] == 0.5
    assert not (folder / "epochs").exists()


def test_the_same_request_is_kept_and_another_refused(workspace, quick_figures, monkeypatch):
    first = run_stage(workspace).to_json()
    monkeypatch.setattr(learn, "load_encoder", None)  # what is kept needs no encoder
    assert run_stage(workspace).to_json() == first
    with pytest.raises(LayersimError, match=r"trained differently \(gamma was 0.001, is 0.5\)"):
        run_stage(workspace, quick={"gamma": 0.5})
    (workspace.train_folder("german", "english") / "la-1-2-finetune-lora/seed-0/encoder/config.json").unlink()
    with pytest.raises(TypeError):  # a file is gone, so it would be trained again
        run_stage(workspace)


def test_a_recording_that_is_not_heard_need_not_be_there(workspace, quick_figures):
    root = workspace.corpora["english"].audio_root
    (root / "3-0.wav").unlink()  # of the target's validation speaker
    splits = read_manifest(workspace.corpora["english"].manifest).set_index("path")["split"]
    assert splits["3-0.wav"] == "validation"
    run_stage(workspace, epochs=1)
    (root / "4-0.wav").unlink()
    with pytest.raises(LayersimError, match="1 recordings cannot be used"):
        run_stage(workspace, epochs=2)


def test_no_test_speaker_is_heard_before_training_ends(workspace, quick_figures, monkeypatch):
    heard: list[str] = []
    real_read, real_learn = audio.read_audio, learn.learn_anchored_finetune

    def reading(path: Path, *arguments: Any) -> Any:
        heard.append(f"{path.parent.name}/{path.stem}")
        return real_read(path, *arguments)

    def learning(*arguments: Any) -> Any:
        learned = real_learn(*arguments)
        heard.append("trained")
        return learned

    monkeypatch.setattr(audio, "read_audio", reading)
    monkeypatch.setattr(learn, "learn_anchored_finetune", learning)
    run_stage(workspace)
    before, after = set(heard[: heard.index("trained")]), set(heard[heard.index("trained") + 1 :])
    assert {name.partition("-")[0] for name in before} == {
        *(f"german/{speaker}" for speaker in (0, 1, 2, 3)),
        *(f"english/{speaker}" for speaker in (0, 1, 2)),
    }
    assert after == {f"english/{speaker}-{number}" for speaker in (4, 5) for number in range(4)}


def test_target_labels_change_nothing_in_training(workspace, quick_figures):
    def bytes_now() -> list[bytes]:
        folder = run_stage(workspace, "full", force=True).folder / "la-1-2-finetune-full" / "seed-0"
        return [(folder / name).read_bytes() for name in ("predictions.csv", "encoder/model.safetensors")]

    first = bytes_now()
    file = workspace.corpora["english"].manifest
    table = read_manifest(file)
    others = {"anger": "sadness", "sadness": "fear", "fear": "anger"}
    train_rows = table["split"] == "train"
    table["emotion"] = table["emotion"].where(~train_rows, table["emotion"].map(others))
    write_manifest(table, file)
    assert bytes_now() == first


@pytest.mark.parametrize("mode", ["full", "lora"])
def test_the_trained_encoder_is_a_checkpoint_and_predicts_what_the_test_predictions_say(
    mode, workspace, quick_figures
):
    result = run_stage(workspace, mode, quick={"encoder_learning_rate": 1e-3, "lora_learning_rate": 1e-2})
    folder = result.folder / f"la-1-2-finetune-{mode}" / "seed-0"
    wave = audio.read_audio(workspace.corpora["english"].audio_root / "4-0.wav")
    ways = [
        load_encoder(name).encode([wave]).frames.numpy()
        for name in (workspace.encoder, str(folder / "encoder"))
    ]
    assert np.abs(ways[0][2] - ways[1][2]).max() > 1e-3
    expected = pd.read_csv(folder / "predictions.csv")
    files = [workspace.corpora["english"].audio_root / f"{key.partition('/')[2]}.wav"
             for key in expected["utterance"]]  # fmt: skip
    found = predict(folder, files, device="cpu")  # with the encoder that stands beside the model
    np.testing.assert_allclose(found["anger"], expected["p_anger"], atol=1e-4)
    anew = replace(workspace, encoder=str(folder / "encoder"))
    extract(anew, resolve_settings(ExtractConfig), ["english"])
    assert anew.cache_folder("english").is_dir()


def test_deep_wccn_has_its_own_preset_and_the_encoder_s_settings(workspace, quick_figures):
    own = OwnSettings(
        {"finetune": {"mask_frames": 3, "accumulate": 2}}, {"wccn": {"crop_seconds": 0.25}}, "paper-DECH"
    )
    result = run_stage(workspace, "full", "wccn", own)
    folder = result.folder / "wccn-finetune-full" / "seed-0"
    assert {path.name for path in folder.iterdir()} == RESULTS - FIGURES  # predict has no such model
    run = read(folder)
    rows = {row["name"]: (row["value"], row["origin"]) for row in run["settings"]}
    assert rows["smoothing"] == (0.2, "paper: Tang et al., arXiv 2311.13678 (preset paper-DECH)")
    assert rows["beta"][0] == 8e-4
    assert rows["crop_seconds"] == (0.25, "user (flag)")
    assert rows["accumulate"] == (2, "user (layersim.toml)")
    assert rows["epochs"] == (2, "user (flag)")
    assert rows["mask_probability"] == (0.65, "default (not in source)")
    assert rows["learning_rate"][0] == 3e-4  # Adagrad's, not layer anchoring's
    assert "gamma" not in rows
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    assert metrics["details"]["own_loss"]
    assert metrics["details"]["whitening"]
    other = OwnSettings({"finetune": {**own.tables["finetune"], "gamma": 0.7}}, own.flags, own.preset)
    assert run_stage(workspace, "full", "wccn", other).to_json() == result.to_json()  # it has no gamma


def test_la_and_wccn_train_in_one_call(workspace, quick_figures):
    own = OwnSettings(flags={"finetune": {**QUICK, "mask_frames": 3}, "wccn": {"crop_seconds": 0.25}})
    result = run_stage(workspace, "full", "la:1,2 wccn", own, epochs=1)
    assert [one.method.folder for one in result.methods] == ["la-1-2-finetune-full", "wccn-finetune-full"]
    assert [one["standardise"] for one in result.to_json()["methods"]] == ["corpus", None]


def test_stale_and_missing_rankings_are_refused(workspace, quick_figures):
    with pytest.raises(StageMissingError, match="there is no ranking for --anchors best:phoneme"):
        run_stage(workspace, methods="la:best:phoneme")
    run = workspace.rank_folder("german", "english", "utterance") / "run.json"
    document = json.loads(run.read_text("utf-8"))
    run.write_text(json.dumps({**document, "inputs": {**document["inputs"], "english": "before"}}), "utf-8")
    with pytest.raises(LayersimError, match=r"other features or labels of english than there are now"):
        run_stage(workspace, methods="la:best")


def test_what_cannot_be_asked_for_is_a_usage_error(workspace):
    with pytest.raises(UsageError, match=r"cc, la:1\+self-train cannot train the encoder so; la"):
        run_stage(workspace, methods="cc la:1+self-train la:2")
    with pytest.raises(UsageError, match=r"wccn cannot train the encoder so; la can\. Use --finetune full"):
        run_stage(workspace, methods="wccn")
    with pytest.raises(UsageError, match="setting 'mode': Input should be 'full' or 'lora'"):
        run_stage(workspace, "both")
    with pytest.raises(UsageError, match="setting 'standardise': Input should be 'corpus' or 'source'"):
        run_stage(workspace, standardise="speaker")
    with pytest.raises(
        UsageError, match=r"--set finetune: unknown key 'lora_rnk'\. Did you mean 'lora_rank'"
    ):
        run_stage(workspace, own=OwnSettings(flags={"finetune": {"lora_rnk": 3}}))


def test_flags_of_all_methods_count_and_the_table_of_small_networks_does_not(workspace, quick_figures):
    file = workspace.root / "layersim.toml"
    text = file.read_text("utf-8")
    file.write_text(f"{text}\n[train]\ngamma = 0.5\nepochs = 9\n[train.finetune]\nbatch = 6\n", "utf-8")
    workspace = Workspace.read(workspace.root)
    settings = workspace.settings(
        TrainConfig, {"methods": ["la:1"], "seeds": 1, "epochs": 1, "coral": "squared"}
    )
    result = finetune(
        workspace, settings, "german", "english", "lora", own=own_settings(workspace), device="cpu"
    )
    config = result.methods[0].method.settings.config
    assert (config.gamma, config.epochs, config.batch, config.coral) == (1e-3, 1, 6, "squared")


def test_peft_is_asked_for_where_it_is_missing(workspace, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(LayersimError, match=r"pip install 'layersim\[finetune\]'"):
        run_stage(workspace)


def test_the_command_line_takes_finetune(workspace, quick_figures, monkeypatch, capsys):
    import layersim_cli.main as command_line

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["layersim", "train", *words])
        with pytest.raises(SystemExit) as left:
            command_line.main()
        found = capsys.readouterr()
        return int(left.value.code or 0), found.out, found.err

    monkeypatch.chdir(workspace.root)
    code, out, err = run("--methods", "cc,la", "--finetune", "full")
    assert (code, out) == (2, "")
    assert "error: --finetune full: cc cannot train the encoder so; la and wccn can" in err
    code, out, err = run("--methods", "cc", "--device", "cpu")
    assert (code, out) == (2, "")
    assert "--device goes with --finetune" in " ".join(err.replace("│", " ").split())
    code, out, err = run(
        "--methods", "la:1", "--finetune", "lora", "--seeds", "1", "--epochs", "1", "--set",
        "finetune.lora_rank=2", "--set", "finetune.batch=6", "--device", "cpu", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["methods"][0]["folder"] == "la-1-finetune-lora"

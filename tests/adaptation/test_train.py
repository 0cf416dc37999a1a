from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from layersim.adaptation.anchors import Anchors
from layersim.adaptation.loop import VALIDATION
from layersim.adaptation.method import Method
from layersim.adaptation.model_file import load_model
from layersim.adaptation.run import Run
from layersim.adaptation.settings import TrainConfig
from layersim.adaptation.train import train, train_pair
from layersim.errors import LayersimError, StageMissingError
from layersim.features.dataset import CorpusFeatures
from layersim.settings import Settings, resolve_settings
from layersim.workspace import CorpusEntry, Workspace

CLASSES = ["anger", "happiness", "neutral", "sadness"]
ANCHORS = Anchors("2,3", ("2", "3"), "as listed")
RUN_FILES = {
    "model.safetensors", "metrics.json", "predictions.csv", "curves.csv", "curves.png", "curves.svg",
    "confusion.png", "confusion.svg", "run.json",
}  # fmt: skip


@pytest.fixture
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "_draw", lambda *_: None)


def test_a_run_writes_its_whole_folder_and_the_numbers_agree_with_scikit_learn(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any], tmp_path: Path
) -> None:
    result = train_pair(source, target, settings_of(seeds=1), ANCHORS, tmp_path)
    assert {folder.name for folder in tmp_path.iterdir() if folder.is_dir()} == {"cc", "cc-std", "la-2-3"}
    for method in ("cc", "cc-std", "la-2-3"):
        assert {file.name for file in (tmp_path / method / "seed-0").iterdir()} == RUN_FILES
    folder = tmp_path / "la-2-3" / "seed-0"
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    test = metrics["target_test"]
    predictions = pd.read_csv(folder / "predictions.csv", dtype={"speaker": str})
    truth, guess = predictions["emotion"], predictions["predicted"]
    assert test["uar"] == pytest.approx(recall_score(truth, guess, average="macro", labels=CLASSES))
    assert test["wa"] == pytest.approx(accuracy_score(truth, guess))
    assert test["macro_f1"] == pytest.approx(
        f1_score(truth, guess, average="macro", labels=CLASSES, zero_division=0)
    )
    assert test["confusion"] == confusion_matrix(truth, guess, labels=CLASSES).tolist()
    assert test["counts"] == dict.fromkeys(CLASSES, 4)
    assert test["chance"] == {"uar": 0.25, "wa": 0.25}
    assert test["uar_interval"] is None  # one test speaker
    assert predictions["speaker"].unique().tolist() == ["04"]
    shares = predictions[[f"p_{name}" for name in CLASSES]]
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert [CLASSES[column] for column in shares.to_numpy().argmax(axis=1)] == guess.tolist()
    assert {layer["layer"] for layer in metrics["domain"]["layers"]} == {"2", "3"}
    assert 0 <= metrics["domain"]["domain_accuracy"] <= 1
    assert set(metrics["training"]) == {"cross_entropy", "coral", "gamma_coral", "coral_floor", *VALIDATION}
    run = json.loads((folder / "run.json").read_text("utf-8"))
    origins = {row["name"]: row["origin"] for row in run["settings"]}
    assert origins["epochs"] == "user (flag)"
    assert origins["coral"].startswith("paper")
    assert origins["gamma"] == "default"
    assert set(run["inputs"]) == {"source_train", "source_validation", "target_train", "target_test"}
    assert result.notes == ("english's test split has 1 speaker: no interval over speakers",)


def test_the_summary_has_means_and_deviations_over_seeds_and_the_table_shows_them(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any], tmp_path: Path,
    quick_figures: None,
) -> None:  # fmt: skip
    result = train_pair(source, target, settings_of(seeds=3), ANCHORS, tmp_path)
    document = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert document == result.to_json()
    frame = pd.read_csv(tmp_path / "summary.csv")
    assert len(frame) == 9
    for method in document["methods"]:
        values = frame.loc[frame["method"] == method["folder"], "uar"]
        assert method["uar"]["mean"] == pytest.approx(np.mean(values))
        assert method["uar"]["sd"] == pytest.approx(np.std(values, ddof=1))
        assert method["seeds"] == [0, 1, 2]
    assert document["counts"]["target_train"] == 3 * 5 * 4  # with the emotion outside the class list
    assert document["counts"]["source_train"] == dict.fromkeys(CLASSES, 12)
    lines = result.to_table().splitlines()
    assert lines[0] == "german -> english, tiny: anger, happiness, neutral, sadness; chance UAR 25.0 %"
    rows = {line.split()[0]: line for line in lines if line.split()[:1]}
    anchored = next(method for method in document["methods"] if method["name"] == "la")
    mean, sd = 100 * anchored["uar"]["mean"], 100 * anchored["uar"]["sd"]
    assert f"{mean:.1f} ± {sd:.1f}" in rows["la-2-3"]
    assert "anchors 2,3: 2, 3 = as listed" in lines
    assert lines[-1] == f"models: {tmp_path}"


def test_the_interval_over_seeds_holds_the_mean_and_needs_two_test_speakers(
    corpus_of: Callable[..., CorpusFeatures], settings_of: Callable[..., Any], tmp_path: Path,
    quick_figures: None,
) -> None:  # fmt: skip
    source, target = corpus_of("german", seed=1), corpus_of("english", seed=2, speakers=9)
    result = train_pair(source, target, settings_of(methods=("cc-std",)), None, tmp_path)
    method = result.to_json()["methods"][0]
    assert method["uar_interval"]["low"] <= method["uar"]["mean"] <= method["uar_interval"]["high"]
    assert any("has 5 speakers: intervals over so few come out too narrow" in note for note in result.notes)


def test_with_planted_emotions_and_an_offset_standardising_beats_the_plain_top_layer(
    corpus_of: Callable[..., CorpusFeatures], settings_of: Callable[..., Any], tmp_path: Path,
    quick_figures: None,
) -> None:  # fmt: skip
    source = corpus_of("german", seed=1, per_cell=8)
    target = corpus_of("english", seed=2, per_cell=8, shift=1.0)
    settings = settings_of(epochs=40, projection=16, learning_rate=0.01)
    found = train_pair(source, target, settings, ANCHORS, tmp_path).to_json()["methods"]
    uar = {method["name"]: method["uar"]["mean"] for method in found}
    assert uar["cc-std"] > 0.7
    assert uar["la"] > 0.7
    assert uar["cc"] < uar["cc-std"] - 0.1


def test_finished_runs_are_kept_and_what_is_missing_is_trained(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any], tmp_path: Path,
    quick_figures: None, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    trained: list[str] = []
    real = Method.learn

    def counting(*arguments: Any, **options: Any) -> Any:
        trained.append("run")
        return real(*arguments, **options)

    monkeypatch.setattr(Method, "learn", counting)
    first = train_pair(source, target, settings_of(), ANCHORS, tmp_path).to_json()
    assert len(trained) == 6
    assert train_pair(source, target, settings_of(), ANCHORS, tmp_path).to_json() == first
    assert len(trained) == 6  # nothing anew
    (tmp_path / "la-2-3" / "seed-1" / "run.json").unlink()  # as after a kill
    before = (tmp_path / "la-2-3" / "seed-1" / "model.safetensors").read_bytes()
    assert train_pair(source, target, settings_of(), ANCHORS, tmp_path).to_json() == first
    assert len(trained) == 7
    assert (tmp_path / "la-2-3" / "seed-1" / "model.safetensors").read_bytes() == before
    more = train_pair(source, target, settings_of(seeds=3), ANCHORS, tmp_path)
    assert len(trained) == 7 + 3
    assert more.to_json()["methods"][0]["uar"]["values"][:2] == first["methods"][0]["uar"]["values"]
    train_pair(source, target, settings_of(), ANCHORS, tmp_path, force=True)
    assert len(trained) == 10 + 6


def test_a_model_trained_otherwise_is_replaced_by_force_alone_and_the_difference_is_named(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any],
    with_features: Callable[..., CorpusFeatures], tmp_path: Path, quick_figures: None,
) -> None:  # fmt: skip
    train_pair(source, target, settings_of(seeds=1), ANCHORS, tmp_path)
    kept = (tmp_path / "la-2-3" / "seed-0" / "model.safetensors").read_bytes()
    other_gamma = settings_of(seeds=1, gamma=0.5)
    with pytest.raises(LayersimError, match=r"la-2-3.seed-0: .*\(gamma was 0\.1, is 0\.5\)\. .*--force"):
        train_pair(source, target, other_gamma, ANCHORS, tmp_path)  # cc and cc-std have no gamma
    assert (tmp_path / "la-2-3" / "seed-0" / "model.safetensors").read_bytes() == kept
    train_pair(source, target, other_gamma, ANCHORS, tmp_path, force=True)
    assert (tmp_path / "la-2-3" / "seed-0" / "model.safetensors").read_bytes() != kept
    changed = with_features(target, np.flatnonzero((target.table["split"] == "test").to_numpy()), by=0.5)
    with pytest.raises(LayersimError, match=r"cc.seed-0: .*\(target_test changed\)"):
        train_pair(source, changed, other_gamma, ANCHORS, tmp_path)


def test_the_summary_keeps_methods_of_the_same_data_that_this_call_did_not_train(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any], tmp_path: Path,
    quick_figures: None,
) -> None:  # fmt: skip
    train_pair(source, target, settings_of(seeds=1, methods=("cc",)), None, tmp_path)
    train_pair(source, target, settings_of(seeds=1, methods=("la",)), ANCHORS, tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert [method["folder"] for method in summary["methods"]] == ["cc", "la-2-3"]
    only = settings_of(seeds=1, methods=("cc-std",), emotions=("anger", "sadness"))
    train_pair(source, target, only, None, tmp_path)  # other classes: not comparable
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert [method["folder"] for method in summary["methods"]] == ["cc-std"]


def test_progress_goes_from_0_to_all_runs(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any], tmp_path: Path,
    quick_figures: None,
) -> None:  # fmt: skip
    seen: list[tuple[float, float]] = []
    train_pair(
        source, target, settings_of(), ANCHORS, tmp_path,
        progress=lambda _, done, total: seen.append((done, total)),
    )  # fmt: skip
    assert {total for _, total in seen} == {6}
    assert seen == sorted(seen)
    assert seen[-1] == (6, 6)


def make_workspace(root: Path) -> Workspace:
    entries = {
        name: CorpusEntry(manifest=root / f"{name}.csv", audio_root=root) for name in ("german", "english")
    }
    return Workspace.create(root, "some/tiny", entries)


def test_the_stage_takes_the_group_of_the_pairs_ranking_and_says_so(
    source: CorpusFeatures, target: CorpusFeatures, tmp_path: Path, quick_figures: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    workspace = make_workspace(tmp_path)
    corpora = {"german": source, "english": target}
    monkeypatch.setattr("layersim.features.dataset.open_corpus", lambda _, name: corpora[name])
    settings: Settings[TrainConfig] = resolve_settings(TrainConfig, {"epochs": 2, "seeds": 1, "batch": 16})
    with pytest.raises(StageMissingError, match="Run 'layersim rank' first"):
        train(workspace, settings, "german", "english")
    file = workspace.rank_folder("german", "english", "utterance") / "ranking.json"
    file.parent.mkdir(parents=True)
    ranking = {"group": ["4", "1", "5"], "best": "4", "worst": ["2", "3", "6"], "resolved": True,
               "metric": "pairwise", "features": "centred", "emotions": ["anger", "sadness"]}  # fmt: skip
    file.write_text(json.dumps(ranking), "utf-8")
    with pytest.raises(StageMissingError, match="the ranking was not finished"):
        train(workspace, settings, "german", "english")
    monkeypatch.setattr("layersim.adaptation.opening.fingerprint", lambda corpus, _: corpus.name)
    made_from = {"german": "german", "english": "english"}
    file.with_name("run.json").write_text(json.dumps({"inputs": made_from}), "utf-8")
    result = train(workspace, settings, "german", "english")
    assert result.methods[-1].method.layers == ("1", "4", "5")
    assert result.folder == workspace.train_folder("german", "english")
    table = result.to_table()
    assert (
        "anchors auto: 1, 4, 5 = group of the utterance-level ranking (pairwise, centred features)" in table
    )
    assert str(file) in table
    assert "the ranking compares anger, sadness; the classes here are anger, happiness" in table
    model = load_model(result.folder / "la-auto" / "seed-0")
    assert model.description.layers == ("1", "4", "5")
    run = json.loads((result.folder / "la-auto" / "seed-0" / "run.json").read_text("utf-8"))
    assert "ranking" in run["inputs"]


def test_a_ranking_made_from_other_features_is_refused(
    source: CorpusFeatures, target: CorpusFeatures, tmp_path: Path, quick_figures: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    workspace = make_workspace(tmp_path)
    corpora = {"german": source, "english": target}
    monkeypatch.setattr("layersim.features.dataset.open_corpus", lambda _, name: corpora[name])
    monkeypatch.setattr("layersim.adaptation.opening.fingerprint", lambda corpus, _: f"{corpus.name} now")
    settings: Settings[TrainConfig] = resolve_settings(
        TrainConfig, {"epochs": 1, "seeds": 1, "methods": ["la"]}
    )
    folder = workspace.rank_folder("german", "english", "utterance")
    folder.mkdir(parents=True)
    ranking = {"group": ["1"], "best": "1", "worst": ["2"], "resolved": True, "metric": "pairwise",
               "features": "centred", "emotions": ["anger", "happiness", "sadness"]}  # fmt: skip
    (folder / "ranking.json").write_text(json.dumps(ranking), "utf-8")
    made_from = {"german": "german now", "english": "english before"}
    (folder / "run.json").write_text(json.dumps({"inputs": made_from}), "utf-8")
    with pytest.raises(
        LayersimError, match=r"other features or labels of english than there are now\. Rank again"
    ):
        train(workspace, settings, "german", "english")
    (folder / "run.json").write_text(json.dumps({"inputs": {**made_from, "english": "english now"}}), "utf-8")
    assert train(workspace, settings, "german", "english").methods[0].method.layers == ("1",)


def test_without_la_no_ranking_is_asked_for(
    source: CorpusFeatures, target: CorpusFeatures, tmp_path: Path, quick_figures: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    corpora = {"german": source, "english": target}
    monkeypatch.setattr("layersim.features.dataset.open_corpus", lambda _, name: corpora[name])
    flags = {"epochs": 1, "seeds": 1, "methods": ["cc"]}
    result = train(make_workspace(tmp_path), resolve_settings(TrainConfig, flags), "german", "english")
    assert result.to_json()["anchors"] is None


def test_the_class_list_is_what_both_have_or_what_is_asked(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any], tmp_path: Path,
    quick_figures: None,
) -> None:  # fmt: skip
    asked = settings_of(methods=("cc",), seeds=1, emotions=("sadness", "anger"))
    assert train_pair(source, target, asked, None, tmp_path / "a").classes == ("anger", "sadness")
    with pytest.raises(LayersimError, match="emotions: german has no disgust; it has anger, happiness"):
        train_pair(source, target, settings_of(emotions=("anger", "disgust")), ANCHORS, tmp_path / "b")
    with pytest.raises(LayersimError, match="two emotions at least are needed, got anger"):
        train_pair(source, target, settings_of(emotions=("anger",)), ANCHORS, tmp_path / "c")


def test_corpora_that_cannot_be_trained_on_are_refused_with_what_to_do(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any],
    with_table: Callable[..., CorpusFeatures], tmp_path: Path,
) -> None:  # fmt: skip
    def attempt(one: CorpusFeatures, other: CorpusFeatures) -> None:
        train_pair(one, other, settings_of(), ANCHORS, tmp_path)

    table = target.table
    sad_test = (table["split"] == "test") & (table["emotion"] == "sadness")
    other = with_table(target, split=table["split"].mask(sad_test, "train"))
    with pytest.raises(
        LayersimError, match=r"english: no test utterance of sadness .* --emotions anger,happ"
    ):
        attempt(source, other)
    leaked = table["split"].mask(table.index == 0, "test")
    with pytest.raises(LayersimError, match="more than one split: english/00"):
        attempt(source, with_table(target, split=leaked))
    untested = with_table(target, split=table["split"].replace("test", ""))
    with pytest.raises(LayersimError, match=r"english: no utterance .* split test"):
        attempt(source, untested)
    cache = cast("Any", target.cache)
    strange = type(cache)(*cache.products.values(), {"checkpoint": "large", "weights_sha256": "cd" * 32})
    with pytest.raises(LayersimError, match=r"different encoders .*checkpoint: 'tiny' and 'large'"):
        attempt(source, replace(target, cache=strange))


def test_small_corpora_get_smaller_batches_and_a_note(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any], tmp_path: Path,
    quick_figures: None,
) -> None:  # fmt: skip
    result = train_pair(source, target, settings_of(batch=64, seeds=1), ANCHORS, tmp_path)
    assert any("batches have 48 utterances a side, not 64" in note for note in result.notes)

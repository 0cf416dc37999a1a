"""Searches for settings on small corpora in memory: what they find, what they see, how they go on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import tomlkit
from filelock import FileLock

from layersim.adaptation.anchors import Anchors
from layersim.adaptation.method import OwnSettings, define_method
from layersim.adaptation.settings import TrainConfig
from layersim.comparison import trying
from layersim.comparison.settings import TuneConfig
from layersim.comparison.trying import read_for_search, trial_scores
from layersim.comparison.tuned import Tuned, draw_history
from layersim.comparison.tuning import tune_pair
from layersim.errors import LayersimError, UsageError
from layersim.features.cache import FeatureCache
from layersim.features.dataset import CorpusFeatures
from layersim.figures import save as saving
from layersim.settings import resolve_settings

LAYERS = ("0", "1", "2")
WIDTH = 4
EMOTIONS = ("anger", "neutral", "sadness")
SPLITS = {"0": "train", "1": "train", "2": "train", "3": "validation", "4": "test"}
Tune = Callable[..., Tuned]


class MemoryCache:
    """Stands in for the HDF5 cache, and remembers which rows were read."""

    def __init__(self, mean: np.ndarray) -> None:
        self.products = {"utterance/mean": mean, "utterance/std": np.ones_like(mean)}
        self.layers, self.width = LAYERS, WIDTH
        self.provenance = {"encoder": {"checkpoint": "tiny"}}
        self.rows_read: set[int] = set()

    def read(self, product: str, layer: str, rows: np.ndarray) -> np.ndarray:
        self.rows_read |= set(rows.tolist())
        return self.products[product][rows, self.layers.index(layer)].astype(np.float32)

    vectors = FeatureCache.vectors


def corpus(name: str, seed: int, spread: float = 0.4, emotions: tuple[str, ...] = EMOTIONS) -> CorpusFeatures:
    """Speakers 0-2 train, 3 validates, 4 tests; an emotion is a direction that both corpora share."""
    rng = np.random.default_rng(seed)
    directions = {emotion: 2 * np.random.default_rng(7 + number).standard_normal((len(LAYERS), WIDTH))
                  for number, emotion in enumerate((*EMOTIONS, "disgust"))}  # fmt: skip
    rows, means = [], []
    for speaker, split in SPLITS.items():
        for emotion in emotions:
            for number in range(4):
                means.append(directions[emotion] + spread * rng.standard_normal((len(LAYERS), WIDTH)))
                rows.append((name, f"{speaker}-{emotion}-{number}", speaker, emotion, split))
    table = pd.DataFrame(rows, columns=["corpus", "utterance_id", "speaker", "emotion", "split"])
    cache = cast("FeatureCache", MemoryCache(np.array(means)))
    return CorpusFeatures(name, table.assign(source_label=table["emotion"]), cache, None)


def with_table(old: CorpusFeatures, **columns: Any) -> CorpusFeatures:
    return replace(old, table=old.table.assign(**columns))


def with_features(old: CorpusFeatures, split: str, by: float) -> CorpusFeatures:
    mean = cast("Any", old.cache).products["utterance/mean"].copy()
    mean[(old.table["split"] == split).to_numpy()] += by
    return replace(old, cache=cast("FeatureCache", MemoryCache(mean)))


@pytest.fixture
def source() -> CorpusFeatures:
    return corpus("german", seed=1)


@pytest.fixture
def target() -> CorpusFeatures:
    return corpus("english", seed=2, emotions=(*EMOTIONS, "disgust"))


@pytest.fixture
def tune(
    source: CorpusFeatures, target: CorpusFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Tune:
    """``tune(word="cc", first=.., second=.., folder=.., train={..}, own=.., force=.., **settings)``."""
    monkeypatch.setattr(saving, "save", lambda *_: None)  # the figure costs more than all trials
    monkeypatch.setattr(os, "fsync", lambda _: None)  # ten a trial, each a wait for the disk

    def run(
        word: str = "cc", *, first: CorpusFeatures = source, second: CorpusFeatures = target,
        folder: Path = tmp_path, train: dict[str, Any] | None = None, own: OwnSettings | None = None,
        force: bool = False, progress: Any = lambda *_: None, **flags: Any,
    ) -> Tuned:  # fmt: skip
        quick = {"epochs": 3, "batch": 12, "projection": 32, **(train or {})}
        settings = resolve_settings(TuneConfig, {"trials": 4, "seeds": 2, "startup": 3, **flags})
        return tune_pair(
            first, second, word, settings, resolve_settings(TrainConfig, {}, quick),
            lambda asked: Anchors(asked, ("1", "2"), "as listed"), folder,
            own=own, force=force, progress=progress,
        )  # fmt: skip

    return run


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The settings of every run that was trained, from here on."""
    seen: list[dict[str, Any]] = []

    def noting(method: Any, *rest: Any) -> dict[str, float]:
        seen.append(method.settings.config.model_dump())
        return trial_scores(method, *rest)

    monkeypatch.setattr(trying, "trial_scores", noting)
    return seen


def tried(tuned: Tuned) -> list[Any]:
    return [(one.params, one.scores) for one in tuned.tried]


def documents(folder: Path) -> dict[str, str]:
    names = ("request.json", "trials.csv", "best.toml", "best.json")
    return {name: (folder / name).read_text("utf-8").replace(str(folder), "") for name in names}


@pytest.mark.parametrize("objective", ["source-validation", "entropy"])
def test_settings_that_learn_are_found_where_those_that_stand_learn_nothing(
    tune: Tune, objective: str
) -> None:
    tuned = tune(
        objective=objective, trials=9, startup=5, seeds=1, train={"learning_rate": 1e-6, "epochs": 5},
        space=["learning_rate=1e-7:1e-1:log", "dropout=0", "weight_decay=0.01", "projection=32"],
    )  # fmt: skip
    standing = tuned.tried[0]
    assert standing.params == {"learning_rate": 1e-6, "dropout": 0, "weight_decay": 0.01, "projection": 32}
    assert standing.mean("source-validation") < 0.7
    assert tuned.best.params["learning_rate"] > 1e-3
    assert tuned.best.mean("source-validation") == 1
    assert tuned.best.mean(objective) == max(one.mean(objective) for one in tuned.tried)
    assert tuned.best.mean("entropy") > standing.mean("entropy") + 0.3


def test_the_densest_trial_is_the_best_by_density(tune: Tune) -> None:
    tuned = tune(objective="snd", seeds=1)
    values = [one.mean("snd") for one in tuned.tried]
    assert len(set(values)) == 4
    assert tuned.best is tuned.tried[int(np.argmax(values))]
    assert tuned.to_json()["value"] == max(values)
    assert "Source validation UAR of the best trial" in "\n".join(tuned.notes)


def test_of_equals_the_settings_as_they_stand_are_kept(tune: Tune, monkeypatch: pytest.MonkeyPatch) -> None:
    same = dict.fromkeys(trying.SCORES, 0.5)
    monkeypatch.setattr(trying, "trial_scores", lambda *_: same)
    tuned = tune()
    assert len({str(one.params) for one in tuned.tried}) == 4
    assert tuned.best is tuned.tried[0]
    assert tuned.best.params["learning_rate"] == 1e-3
    assert "4 of 4 trials are within one sd over seeds of the best: the choice" in "\n".join(tuned.notes)


def test_a_search_writes_what_it_came_to_and_the_numbers_agree(tune: Tune, tmp_path: Path) -> None:
    tuned = tune("la", space=["gamma=0.01:1:log"])
    folder = tmp_path / "la-auto"
    assert tuned.folder == folder
    frame = pd.read_csv(folder / "trials.csv")
    assert len(frame) == 4
    assert frame["value"].tolist() == frame["source_validation"].tolist()
    assert frame["gamma"].between(0.01, 1).all()
    best = json.loads((folder / "best.json").read_text("utf-8"))
    assert best == tuned.to_json()
    row = frame.loc[frame["value"].idxmax()]
    assert (best["trial"], best["value"]) == (row["trial"], pytest.approx(row["value"]))
    assert best["settings"] == {name: pytest.approx(row[name]) for name in tuned.space}
    assert best["sd"] == pytest.approx(np.std(tuned.best.scores["source-validation"], ddof=1))  # type: ignore[index]
    run = json.loads((folder / "run.json").read_text("utf-8"))
    assert set(run["inputs"]) == {"source_train", "source_validation", "target_train"}
    assert run["command"].startswith("layersim tune la --encoder tiny --source german --target english")
    assert run["versions"]["optuna"][0].isdigit()


def test_the_table_says_by_what_it_was_chosen_and_how_sure_that_is(tune: Tune) -> None:
    lines = tune().to_table().splitlines()
    assert lines[0] == "cc, german -> english, tiny: anger, neutral, sadness"
    said = "chosen by UAR on the source's validation speakers, mean ± sd over 2 seeds; 4 trials"
    assert lines[1] == said
    assert any(line.startswith("best: ") and "settings as they stand: " in line for line in lines)
    assert any("note: source validation does not see the target" in line for line in lines)
    assert any("note: [train] is also what cc-std, cc-std-all" in line for line in lines)
    label_free = tune(objective="snd", force=True).to_table()
    assert "chosen by soft neighbourhood density of the predictions for the unlabelled target" in label_free
    assert "note: a label-free score on 2 seeds a trial is noisy" in label_free


def test_a_best_trial_that_guesses_one_class_is_pointed_out(
    tune: Tune, monkeypatch: pytest.MonkeyPatch
) -> None:
    collapsed = {"source-validation": 0.33, "entropy": 0.0, "snd": 3.0, trying.LARGEST: 0.97}
    monkeypatch.setattr(trying, "trial_scores", lambda *_: collapsed)
    assert (
        "the best trial puts 97 % of the target's utterances into one class"
        in tune(objective="snd").to_table()
    )


def test_the_guessed_share_and_the_objectives_are_those_of_the_predictions(
    source: CorpusFeatures, target: CorpusFeatures
) -> None:
    settings = resolve_settings(TrainConfig, {"epochs": 8, "batch": 12, "learning_rate": 0.01, "dropout": 0})
    method = define_method("cc", LAYERS, settings)
    data = read_for_search(method, source, target, EMOTIONS)
    scores = trial_scores(method, data, EMOTIONS, 0)
    shares = method.learn(data.task(EMOTIONS), 0).probabilities(data.target_train.features)
    assert scores["entropy"] == pytest.approx(np.mean([np.sum(row * np.log(row)) for row in shares]))
    counts = np.bincount(shares.argmax(axis=1), minlength=3)
    assert scores[trying.LARGEST] == counts.max() / counts.sum()
    assert len(shares) == 3 * 4 * 4  # all of the target's train split, disgust too


# what it sees


def test_nothing_of_the_target_but_its_unlabelled_train_split_is_read(
    source: CorpusFeatures, target: CorpusFeatures
) -> None:
    for word in ("cc", "cc-spk-all"):
        method = define_method(word, LAYERS, resolve_settings(TrainConfig))
        data = read_for_search(method, source, target, EMOTIONS)
        assert data.target_test.keys == tuple(f"german/0-{emotion}-0" for emotion in EMOTIONS)
    trained = np.flatnonzero((target.table["split"] == "train").to_numpy())
    assert cast("Any", target.cache).rows_read == set(trained.tolist())


def test_changing_the_targets_test_split_and_all_its_labels_changes_nothing(
    tune: Tune, target: CorpusFeatures, tmp_path: Path
) -> None:
    table = target.table
    order = np.random.default_rng(3).permutation(len(table))
    trained = (table["split"] == "train").to_numpy()
    shuffled = table["emotion"].to_numpy(dtype=object)[order]
    assert set(shuffled[trained]) == set(table["emotion"])  # the class list is the same
    changed = with_features(with_table(target, emotion=shuffled, source_label=shuffled), "test", by=50.0)
    changed = with_features(changed, "validation", by=50.0)
    for place, second in enumerate((target, changed)):
        tune("la", second=second, folder=tmp_path / str(place), objective="snd", trials=3, seeds=1)
    before, after = (documents(tmp_path / str(place) / "la-auto") for place in (0, 1))
    assert before == after  # the trials' table has all objectives, whichever was asked for
    gone = replace(target, table=table[trained])
    tune("la", second=gone, folder=tmp_path / "2", objective="snd", trials=3, seeds=1)
    assert documents(tmp_path / "2" / "la-auto") == before


def test_changing_the_targets_train_features_does_change_it(
    tune: Tune, target: CorpusFeatures, tmp_path: Path
) -> None:
    first = tune(folder=tmp_path / "0", trials=1, objective="entropy")
    second = tune(
        second=with_features(target, "train", 1.0), folder=tmp_path / "1", trials=1, objective="entropy"
    )
    assert first.best.scores != second.best.scores


def test_a_method_that_learns_from_target_labels_is_refused(tune: Tune) -> None:
    with pytest.raises(UsageError, match="supervised: learns from the target's labels"):
        tune("supervised")


# going on


def test_a_search_that_was_killed_finishes_the_trials_of_one_that_was_not(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tune(folder=tmp_path / "whole", trials=6)
    left = 0

    def killed(*arguments: Any) -> dict[str, float]:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return trial_scores(*arguments)

    monkeypatch.setattr(trying, "trial_scores", killed)
    journal = tmp_path / "parts" / "cc" / "study.log"
    for runs_left in (0, 3, 4):  # of the first trial none; of the second one; of the fourth none
        left = runs_left
        with pytest.raises(KeyboardInterrupt):
            tune(folder=tmp_path / "parts", trials=6)
        with journal.open("ab") as stream:
            stream.write(b'{"op_code":8,"half a li')  # as a kill in the middle of writing leaves it
        journal.with_name("study.log.lock").symlink_to("study.log")
        assert not (tmp_path / "parts" / "cc" / "run.json").exists()
    left = 1000
    parts = tune(folder=tmp_path / "parts", trials=6)
    assert tried(parts) == tried(whole)
    assert parts.best.params == whole.best.params
    assert [one.number for one in whole.tried] == [0, 1, 2, 3, 4, 5]
    assert [one.number for one in parts.tried] == [1, 3, 4, 6, 7, 8]
    assert (whole.interrupted, parts.interrupted) == (0, 3)
    assert "6 trials, 3 more were interrupted" in parts.to_table()


def test_finished_trials_count_towards_the_number_asked_for(
    tune: Tune, runs: list[Any], tmp_path: Path
) -> None:
    seen: list[tuple[float, float]] = []
    first = tune(trials=3)
    assert len(runs) == 3 * 2
    more = tune(trials=5, progress=lambda _, done, total: seen.append((done, total)))
    assert len(runs) == 5 * 2
    assert tried(more)[:3] == tried(first)
    assert (seen[0], seen[-1]) == ((3, 5), (5, 5))
    assert seen == sorted(seen)
    before = documents(tmp_path / "cc")
    assert tried(tune(trials=2)) == tried(more)  # fewer than there are: nothing is thrown away
    assert len(runs) == 5 * 2
    assert documents(tmp_path / "cc") == before
    tune(trials=2, force=True)
    assert len(runs) == 7 * 2


def test_the_seed_decides_what_is_tried(tune: Tune, tmp_path: Path) -> None:
    one, same, other = (
        tune(folder=tmp_path / name, seed=seed, seeds=1) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert tried(one) == tried(same)
    assert [params for params, _ in tried(one)[1:]] != [params for params, _ in tried(other)[1:]]


def test_time_that_is_over_leaves_trials_for_the_next_call(tune: Tune, runs: list[Any]) -> None:
    tune(trials=2)
    tuned = tune(trials=50, timeout=1e-9)
    assert len(runs) == 2 * 2
    assert tuned.notes[0] == "48 of 50 trials are left: the time was over (timeout)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": "snd"}, r"objective was 'source-validation', is 'snd'\)\. Begin anew with --force"),
        ({"space": ["dropout=0:0.1"]}, r"space\.dropout\.high was 0\.6, is 0\.1"),
        ({"space": ["batch=8|12"]}, r"space\.batch was None, is"),
        ({"seeds": 1}, r"seeds was 2, is 1"),
        ({"train": {"epochs": 4}}, r"settings\.epochs was 3, is 4"),
        ({"train": {"learning_rate": 0.002}}, r"start\.learning_rate was 0\.001, is 0\.002"),
        ({"train": {"emotions": ["anger", "sadness"]}}, "emotions was"),
        ({"first": corpus("german", seed=5)}, r"inputs\.source_train was"),
        ({"second": corpus("english", seed=5)}, r"inputs\.target_train was"),
    ],
)
def test_a_search_that_was_asked_for_otherwise_is_replaced_by_force_alone(
    tune: Tune, runs: list[Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    tune(trials=1)
    before = documents(tmp_path / "cc")
    with pytest.raises(LayersimError, match=message):
        tune(trials=1, **change)
    assert documents(tmp_path / "cc") == before
    assert (tmp_path / "cc" / "run.json").is_file()
    assert len(runs) == 2
    tune(trials=1, force=True, **change)
    assert len(runs) > 2


def test_two_searches_in_one_folder_are_refused(tune: Tune, tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / ".cc.lock"),
        pytest.raises(LayersimError, match="another layersim tune is at work"),
    ):
        tune()


# what goes wrong


def test_settings_that_cannot_be_trained_with_are_finished_and_never_best(
    tune: Tune, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def picky(method: Any, *rest: Any) -> dict[str, float]:
        if method.settings.config.learning_rate > 1e-3:
            raise LayersimError("training stopped in epoch 2: the loss is nan")
        return trial_scores(method, *rest)

    monkeypatch.setattr(trying, "trial_scores", picky)
    tuned = tune(trials=8, seeds=1)
    failed = [one for one in tuned.tried if one.params["learning_rate"] > 1e-3]
    assert 0 < len(failed) < 8 == len(tuned.tried)
    assert all(one.scores is None and "the loss is nan" in one.reason for one in failed)
    assert tuned.best.params["learning_rate"] <= 1e-3
    assert f"8 trials, {len(failed)} of them could not be trained" in tuned.to_table()
    frame = pd.read_csv(tmp_path / "cc" / "trials.csv")
    assert frame["value"].isna().sum() == len(failed)
    assert len(tune(trials=8, seeds=1).tried) == 8


def test_when_nothing_can_be_trained_the_search_ends_and_says_why(
    tune: Tune, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> dict[str, float]:
        raise LayersimError("english: no vowels")

    monkeypatch.setattr(trying, "trial_scores", never)
    with pytest.raises(
        LayersimError, match=r"none of the first 3 trials could be trained.*english: no vowels"
    ):
        tune(trials=10)


def test_without_optuna_the_message_says_what_to_install(tune: Tune, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(LayersimError, match=r"pip install 'layersim\[tune\]'"):
        tune()


def test_a_wrong_space_is_a_usage_error_of_a_flag_and_a_data_error_of_the_file(
    tune: Tune, source: CorpusFeatures, target: CorpusFeatures, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="flag: space: unknown key 'dropuot'"):
        tune(space=["dropuot=0:0.1"])
    filed = resolve_settings(TuneConfig, {}, {"space": ["dropuot=0:0.1"]})
    with pytest.raises(LayersimError, match=r"layersim.toml, table \[tune\]: space: unknown key") as caught:
        tune_pair(source, target, "cc", filed, resolve_settings(TrainConfig), None, tmp_path)
    assert not isinstance(caught.value, UsageError)


# what is pasted


def test_the_snippet_of_a_method_on_train_is_read_back_as_the_best_settings(
    tune: Tune, tmp_path: Path
) -> None:
    tuned = tune("la:2", space=["batch=8|12"])
    table = tomlkit.parse((tmp_path / "la-2" / "best.toml").read_text("utf-8")).unwrap()["train"]
    config = resolve_settings(TrainConfig, {}, table).config
    assert {name: getattr(config, name) for name in table} == tuned.best.params
    assert set(table) == {"learning_rate", "weight_decay", "dropout", "projection", "gamma", "batch"}


def test_the_snippet_of_a_method_with_a_table_of_its_own_is_read_back_too(tune: Tune) -> None:
    standing = OwnSettings(tables={"wccn": {"dropout": 0.1}})
    tuned = tune("wccn", trials=2, seeds=1, own=standing, space=["whitening=true"])
    assert tuned.tried[0].params["dropout"] == 0.1
    table = tomlkit.parse(tuned.snippet()).unwrap()["train"]["wccn"]
    method = define_method(
        "wccn", LAYERS, resolve_settings(TrainConfig), None, OwnSettings(tables={"wccn": table})
    )
    assert {name: getattr(method.settings.config, name) for name in table} == tuned.best.params
    assert "[train.wccn]" in tuned.to_table().splitlines()


def test_self_training_and_forests_are_searched_too(tune: Tune, runs: list[Any]) -> None:
    tuned = tune("cc-std-all+self-train", trials=2, seeds=1)
    assert tuned.folder.name == "cc-std-all+self-train"
    assert runs[0]["learning_rate"] == 1e-3 != runs[1]["learning_rate"]
    forest = tune("ensemble", trials=3, seeds=1, own=OwnSettings(tables={"ensemble": {"trees": 5}}))
    assert {type(one.params["leaf"]) for one in forest.tried} == {int}


def test_a_method_without_a_seed_is_run_once_a_trial(tune: Tune, runs: list[Any]) -> None:
    tuned = tune("la-class", trials=3, space=["components=2|4"])
    assert len(runs) == 3
    assert tuned.to_json()["seeds"] == [0]


def test_the_history_is_drawn_with_trials_below(tune: Tune, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = tune()
    figure = draw_history(tuned)
    lines = figure.axes[0].get_lines()
    assert figure.axes[0].get_xlabel() == "trial"
    values = [one.mean("source-validation") for one in tuned.tried]
    assert list(lines[0].get_ydata()) == values
    assert list(lines[1].get_ydata()) == [max(values[: count + 1]) for count in range(4)]

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score

from layersim.adaptation.method import Method, OwnSettings
from layersim.adaptation.settings import TrainConfig
from layersim.comparison import compare as compare_module
from layersim.comparison.compare import compare
from layersim.comparison.settings import BASELINES, CompareConfig
from layersim.errors import LayersimError
from layersim.features.dataset import CorpusFeatures
from layersim.settings import resolve_settings
from layersim.similarity.settings import RankConfig
from layersim.workspace import CorpusEntry, Workspace

CLASSES = ["anger", "happiness", "neutral", "sadness"]
QUICK = {"epochs": 3, "batch": 16, "projection": 5}


@pytest.fixture
def corpora(
    corpus_of: Callable[..., CorpusFeatures], monkeypatch: pytest.MonkeyPatch
) -> dict[str, CorpusFeatures]:
    """Two corpora of five speakers, opened by their names; figures are left out, which decide nothing."""
    found = {"german": corpus_of("german", seed=1), "english": corpus_of("english", seed=2, shift=1.0)}
    monkeypatch.setattr("layersim.features.dataset.open_corpus", lambda _, name: found[name])
    monkeypatch.setattr(compare_module, "draw_comparison", lambda *_: [])
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    entries = {
        name: CorpusEntry(manifest=tmp_path / f"{name}.csv", audio_root=tmp_path)
        for name in ("german", "english")
    }
    return Workspace.create(tmp_path, "some/tiny", entries)


def run(workspace: Workspace, force: bool = False, train: dict[str, Any] | None = None, **flags: Any) -> Any:
    """Compare with quick settings, in this process."""
    asked = {"methods": ["cc", "la:2,3"], "seeds": 2, "jobs": 1, "bootstraps": 100, **flags}
    return compare(
        workspace,
        resolve_settings(CompareConfig, asked),
        resolve_settings(TrainConfig, {**QUICK, **(train or {})}),
        resolve_settings(RankConfig),
        OwnSettings(),
        force=force,
    )


def bytes_below(folder: Path) -> dict[str, bytes]:
    names = ("predictions.csv", "metrics.json", "request.json")
    return {str(file.relative_to(folder)): file.read_bytes() for name in names for file in folder.rglob(name)}


def test_every_unit_tests_every_target_utterance_once_and_its_score_is_scikit_learns(
    corpora: dict[str, CorpusFeatures], workspace: Workspace
) -> None:
    found = run(workspace)
    results = found.units.results
    methods = [*BASELINES, "cc", "la-2-3"]
    assert sorted(set(results["method"])) == sorted(methods)  # the baselines are always there
    assert len(results) == len(methods) * 2 * 2  # two directions, two seeds
    row = results[(results["method"] == "la-2-3") & (results["target"] == "english")].iloc[0]
    folder = Path(row["folder"])
    assert folder == workspace.compare_folder("folds") / "german-to-english" / "la-2-3" / "seed-0"
    predictions = pd.read_csv(folder / "predictions.csv", dtype={"speaker": str})
    table = corpora["english"].table
    assert sorted(predictions["utterance"]) == sorted("english/" + table["utterance_id"])
    assert predictions.groupby("trial")["speaker"].nunique().tolist() == [1] * 5
    truth, guess = predictions["emotion"], predictions["predicted"]
    assert row["uar"] == pytest.approx(recall_score(truth, guess, average="macro", labels=CLASSES))
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    assert [trial["layers"] for trial in metrics["trials"]] == [["2", "3"]] * 5
    assert {file.name for file in folder.iterdir()} == {
        "predictions.csv", "metrics.json", "curves.csv", "request.json", "run.json",
    }  # fmt: skip


def test_the_tables_are_written_as_text_csv_and_latex_and_printed(
    corpora: dict[str, CorpusFeatures], workspace: Workspace
) -> None:
    found = run(workspace, methods=["cc", "la:2,3", "la:all"])
    assert {file.name for file in found.folder.iterdir() if file.is_file()} == {
        "results.csv", "methods.txt", "methods.csv", "methods.tex", "anchors.txt", "anchors.csv",
        "anchors.tex", "tables.json", "run.json",
    }  # fmt: skip
    printed = found.to_table()
    assert (found.folder / "methods.txt").read_text("utf-8") in printed
    assert "cc-spk-all" in printed
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    cells = {
        (cell["anchors"], cell["direction"]): cell["value"] for cell in document["tables"]["anchors"]["cells"]
    }
    results = pd.read_csv(found.folder / "results.csv")
    one = results[(results["method"] == "la-all") & (results["source"] == "german")]
    assert cells["All", "german → english"] == pytest.approx(one["uar"].mean())


def test_what_is_finished_is_kept_and_a_killed_comparison_ends_with_the_same_bytes(
    corpora: dict[str, CorpusFeatures], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    real = Method.learn
    stop_after = [10**9]

    def counting(self: Method, *arguments: Any, **options: Any) -> Any:
        if len(trained) >= stop_after[0]:
            raise KeyboardInterrupt
        trained.append(self.word)
        return real(self, *arguments, **options)

    monkeypatch.setattr(Method, "learn", counting)
    whole = Workspace.create(workspace.root / "whole", "some/tiny", workspace.corpora)
    run(whole, pairs=["german:english"])
    expected, runs = bytes_below(whole.root / "compare"), len(trained)
    assert runs == 6 * 2 * 5  # methods, seeds, folds
    trained.clear()
    for killed_after in (7, 13, 31):
        stop_after[0] = killed_after
        with pytest.raises(KeyboardInterrupt):
            run(workspace, pairs=["german:english"])
    stop_after[0] = 10**9
    run(workspace, pairs=["german:english"])
    assert bytes_below(workspace.root / "compare") == expected
    assert len(trained) == runs  # no training was done twice
    run(workspace, pairs=["german:english"])
    assert len(trained) == runs
    run(workspace, pairs=["german:english"], seeds=3)
    assert len(trained) == runs + runs // 2


def test_a_unit_that_was_asked_for_otherwise_is_refused_and_replaced_with_force(
    corpora: dict[str, CorpusFeatures], workspace: Workspace
) -> None:
    run(workspace, methods=["cc"], pairs=["german:english"], seeds=1)
    before = bytes_below(workspace.root / "compare")
    with pytest.raises(LayersimError, match=r"was made otherwise \(.*learning_rate.*with --force"):
        run(workspace, methods=["cc"], pairs=["german:english"], seeds=1, train={"learning_rate": 0.01})
    assert bytes_below(workspace.root / "compare") == before
    run(workspace, True, {"learning_rate": 0.01}, methods=["cc"], pairs=["german:english"], seeds=1)
    assert bytes_below(workspace.root / "compare") != before


def test_anchors_are_ranked_on_what_each_trial_may_see(
    corpora: dict[str, CorpusFeatures], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Sets:
        def to_json(self) -> dict[str, Any]:
            return {"group": ["4"], "best": "4", "worst": ["1"], "resolved": True, "metric": "pairwise",
                    "features": "centred", "emotions": CLASSES}  # fmt: skip

    def ranked(source: CorpusFeatures, target: CorpusFeatures, _: Any) -> Any:
        seen.append(
            (set(source.restrict("train").table["speaker"]), set(target.restrict("train").table["speaker"]))
        )
        return Sets()

    monkeypatch.setattr("layersim.comparison.job.rank_layers", ranked)
    found = run(workspace, methods=["la:auto"], pairs=["german:english"], seeds=1)
    assert len(seen) == 5
    everyone = {f"{number:02d}" for number in range(5)}
    folder = Path(found.units.results.set_index("method").loc["la", "folder"])
    predictions = pd.read_csv(folder / "predictions.csv", dtype={"speaker": str})
    tested = [set(part["speaker"]) for _, part in predictions.groupby("trial", sort=False)]
    assert [everyone - adapting for _, adapting in seen] == tested
    assert json.loads((folder / "metrics.json").read_text("utf-8"))["trials"][0]["layers"] == ["4"]


def test_the_targets_labels_change_no_prediction(
    corpora: dict[str, CorpusFeatures], workspace: Workspace
) -> None:
    methods = ["cc", "la:2,3", "la:2,3+self-train", "la-class:2,3", "fewshot", "probe:3", "wccn", "dann"]

    def predicted(force: bool) -> list[dict[str, str]]:
        results = run(workspace, force, methods=methods, pairs=["german:english"], seeds=1).units.results
        tables = [pd.read_csv(Path(folder) / "predictions.csv") for folder in results["folder"]]
        return [dict(zip(table["utterance"], table["predicted"], strict=True)) for table in tables]

    before = predicted(force=False)
    table = corpora["english"].table
    order = np.random.default_rng(0).permutation(len(table))
    assert (table["emotion"].to_numpy(dtype=object)[order] != table["emotion"].to_numpy(dtype=object)).any()
    for column in ("emotion", "source_label"):
        table[column] = table[column].to_numpy(dtype=object)[order]
    assert predicted(force=True) == before


def test_the_upper_row_learns_the_targets_labels_on_speakers_that_are_not_tested(
    corpora: dict[str, CorpusFeatures], workspace: Workspace
) -> None:
    found = run(workspace, methods=["supervised"], seeds=1, matrix=True, pairs=None, train={"epochs": 30})
    results = found.units.results
    assert set(results["source"] + results["target"]) == {
        "germangerman", "germanenglish", "englishgerman", "englishenglish",
    }  # fmt: skip
    upper = results[results["method"] == "supervised"]
    assert upper["uar"].min() > 0.6  # chance .25; the planted emotions are learnt
    assert any(note.startswith("supervised: trained on labels") for note in found.tables["methods"].notes)


def test_labels_of_the_test_set_choose_no_anchors_under_the_transductive_protocol(
    corpora: dict[str, CorpusFeatures], workspace: Workspace
) -> None:
    with pytest.raises(LayersimError, match="the test set's own emotion labels would choose the anchors"):
        run(workspace, methods=["la:auto"], protocol="transductive")
    assert len(run(workspace, methods=["la:2"], protocol="transductive", seeds=1).units.results) == 10


def test_one_thing_asked_for_in_two_words_is_run_once_and_with_the_anchors_of_the_setting(
    corpora: dict[str, CorpusFeatures], workspace: Workspace
) -> None:
    methods = ["la", "la:2,3", "la+self-train", "la: 2,3 +self-train"]
    found = run(workspace, methods=methods, pairs=["german:english", "german :english"], seeds=1,
                train={"anchors": "2,3"})  # fmt: skip
    assert found.units.results["method"].tolist() == [*BASELINES, "la-2-3", "la-2-3+self-train"]


def test_a_kill_while_a_unit_is_finished_does_no_harm(
    corpora: dict[str, CorpusFeatures], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"methods": ["cc"], "pairs": ["german:english"], "seeds": 1}
    real, left = Path.unlink, [7]

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self.name.startswith("trial-"):
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
        real(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(KeyboardInterrupt):
        run(workspace, **asked)
    monkeypatch.setattr(Path, "unlink", real)
    assert len(run(workspace, **asked).units.results) == 5


def test_what_a_method_does_not_read_may_change(
    corpora: dict[str, CorpusFeatures], workspace: Workspace
) -> None:
    asked = {"methods": ["cc", "la:2"], "pairs": ["german:english"], "seeds": 1}
    run(workspace, **asked)
    with pytest.raises(
        LayersimError, match=r"la-2/seed-0: was made otherwise \(settings.gamma was 0.1, is 0.5\)"
    ):
        run(workspace, train={"gamma": 0.5}, **asked)
    run(workspace, train={"gamma": 0.5}, **{**asked, "methods": ["cc"]})


def test_the_mean_over_folds_is_that_of_the_trials(
    corpora: dict[str, CorpusFeatures], workspace: Workspace
) -> None:
    row = run(workspace, methods=["cc"], pairs=["german:english"], seeds=1).units.results.iloc[-1]
    table = pd.read_csv(Path(row["folder"]) / "predictions.csv")
    folds = [
        recall_score(part["emotion"], part["predicted"], average="macro", labels=CLASSES)
        for _, part in table.groupby("trial")
    ]
    assert row["uar_folds_mean"] == pytest.approx(np.mean(folds))
    assert row["uar_folds_sd"] == pytest.approx(np.std(folds, ddof=1))


def test_two_comparisons_at_once_are_refused(
    corpora: dict[str, CorpusFeatures], workspace: Workspace
) -> None:
    from filelock import FileLock

    (workspace.root / "compare").mkdir()
    with (
        FileLock(workspace.root / "compare" / ".folds.lock"),
        pytest.raises(LayersimError, match="another layersim compare is at work there"),
    ):
        run(workspace, methods=["cc"])


def test_a_method_that_fails_stops_no_other_and_is_named(
    corpora: dict[str, CorpusFeatures], workspace: Workspace
) -> None:
    """la with a gamma that makes its loss infinite: cc is finished, and kept when that is mended."""
    wild = {"train": {"gamma": 1e300}, "pairs": ["german:english"], "seeds": 1}
    with pytest.raises(
        LayersimError, match=r"2 methods on a pair failed:\n.*la.*german to english: .*loss is"
    ):
        run(workspace, methods=["la:2,3", "la:2", "cc"], **wild)
    finished = {file.parent.parent.name for file in workspace.root.rglob("seed-0/run.json")}
    assert finished == {"cc", *BASELINES}
    before = bytes_below(workspace.root)
    table = run(workspace, methods=["cc"], **wild).to_table()
    assert "cc-std-all" in table
    assert (
        bytes_below(workspace.root).items()
        >= {name: data for name, data in before.items() if "/la" not in name}.items()
    )


def test_methods_that_have_no_such_preset_are_named(
    corpora: dict[str, CorpusFeatures], workspace: Workspace
) -> None:
    found = compare(
        workspace,
        resolve_settings(
            CompareConfig, {"methods": ["cc", "la:2"], "seeds": 1, "jobs": 1, "bootstraps": 100}
        ),
        resolve_settings(TrainConfig, QUICK),
        resolve_settings(RankConfig),
        OwnSettings(preset="paper"),
    )
    (note,) = [note for note in found.tables["methods"].notes if note.startswith("preset paper")]
    assert "cc" in note
    assert "la:2" not in note


def test_wrong_methods_and_corpora_are_said_before_anything_is_trained(
    corpora: dict[str, CorpusFeatures], workspace: Workspace
) -> None:
    with pytest.raises(LayersimError, match=r"methods: unknown key 'lla'\. Did you mean 'la'"):
        run(workspace, methods=["lla"])
    with pytest.raises(LayersimError, match=r"no corpus 'french'. Known: german, english"):
        run(workspace, pairs=["german:french"])
    with pytest.raises(LayersimError, match="german: pa needs vowels, and the features hold no phones"):
        run(workspace, methods=["cc", "pa"])
    with pytest.raises(LayersimError, match="layer 9 is not in the features"):
        run(workspace, methods=["cc", "probe:9"])
    assert not list((workspace.root / "compare").rglob("*.json"))

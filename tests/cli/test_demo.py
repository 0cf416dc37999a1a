from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

Run = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.slow


class Demo(NamedTuple):
    folder: Path
    code: int
    out: str
    err: str
    processor_seconds: float


@pytest.fixture(scope="module")
def demo(run_cli: Run, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """One run of ``layersim demo``, as a new user makes it."""
    parent = tmp_path_factory.mktemp("study")
    before = os.times()
    code, out, err = run_cli(["demo"], parent, timeout=900)
    after = os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    return Demo(parent / "layersim-demo", code, out, err, spent)


def test_the_demo_tells_its_story_and_names_its_report_and_the_next_commands(demo: Demo) -> None:
    assert demo.code == 0, demo.err
    assert f"Report: {demo.folder / 'report' / 'index.html'}" in demo.out
    assert "with layersim-mini" in demo.out
    assert "layersim-mini is a demonstration encoder" in demo.out
    assert "layersim train --anchors worst" in demo.out
    for title in ("Which layers", "How sure", "What anchoring bought"):
        assert f"\n{title}\n" in demo.out
    assert re.search(r"la-auto, layers [\d, ]+, \d+\.\d %", " ".join(demo.out.split()))


def test_the_demo_takes_less_than_three_minutes_of_one_core(demo: Demo) -> None:
    """Processor time: how long it takes on two cores depends on what else the machine does."""
    assert re.search(r"made in \d+ seconds \(speech \d+, align \d+, extract \d+, rank \d+", demo.out)
    assert demo.processor_seconds < 180


def test_what_the_shipped_encoder_shows_is_visibly_not_noise(demo: Demo) -> None:
    """Intervals over speakers leave chance (25 %) and 0 similarity out; all layers stand above the null."""
    (summary,) = (json.loads(file.read_text("utf-8")) for file in demo.folder.glob("train/*/*/summary.json"))
    anchored = next(method for method in summary["methods"] if method["name"] == "la")
    assert len(anchored["seeds"]) == 5
    assert min(anchored["uar"]["values"]) > 0.25
    assert anchored["uar_interval"]["low"] > 0.25
    (ranking,) = (
        json.loads(file.read_text("utf-8")) for file in demo.folder.glob("rank/*/*/utterance/ranking.json")
    )
    layers = [layer for layer in ranking["layers"] if layer["layer"] != "0"]
    assert all(layer["score"] > layer["null_high"] for layer in layers)
    assert max(layers, key=lambda layer: layer["score"])["low"] > 0
    assert max(layer["in_group"] for layer in layers) > 0.5  # by chance 3 of 12


def test_the_three_everyday_commands_work_in_the_demos_workspace(demo: Demo, run_cli: Run) -> None:
    code, out, err = run_cli(["extract"], demo.folder)
    assert code == 0, err
    assert out.count("already complete") == 2
    assert out.count("phones from layersim align") == 2
    code, out, err = run_cli(["rank", "--level", "phoneme"], demo.folder)
    assert code == 0, err
    assert "Group" in out
    code, out, err = run_cli(["train", "--anchors", "auto"], demo.folder)
    assert code == 0, err
    assert "anchors auto:" in out
    code, out, err = run_cli(["report"], demo.folder)
    assert (code, out.strip()) == (0, str(demo.folder / "report" / "index.html")), err


def test_methods_are_compared_in_the_demos_workspace_and_the_report_shows_them(
    demo: Demo, run_cli: Run
) -> None:
    asked = [
        "compare",
        "--methods",
        "la-class,la:4,5",
        "--pairs",
        "demo-en:demo-zh",
        "--folds",
        "2",
        "--seeds",
        "1",
    ]
    code, out, err = run_cli(asked, demo.folder)
    assert code == 0, err
    for method in ("cc-std-all", "cc-spk-all", "la-class", "4, 5"):  # the last in the table of anchor sets
        assert re.search(rf"^ *{method} +\d+\.\d", out, re.MULTILINE), out
    code, again, _ = run_cli([*asked, "--json"], demo.folder)
    assert code == 0
    cells = json.loads(again)["tables"]["methods"]["cells"]
    assert {cell["direction"] for cell in cells} == {"demo-en → demo-zh"}
    code, _, err = run_cli(["report"], demo.folder)
    assert code == 0, err
    page = (demo.folder / "report" / "index.html").read_text("utf-8")
    assert "Methods compared: folds" in page
    assert f"{100 * next(cell['value'] for cell in cells if cell['method'] == 'la-class'):.1f}" in page


def test_with_json_stdout_is_exactly_one_document(demo: Demo, run_cli: Run) -> None:
    for command in (["extract"], ["rank"], ["train"], ["corpus", "check"]):
        code, out, err = run_cli([*command, "--json"], demo.folder)
        assert code == 0, err
        json.loads(out)


def test_the_printed_ranking_is_the_one_in_the_files(demo: Demo, run_cli: Run) -> None:
    _, out, _ = run_cli(["rank", "--json"], demo.folder)
    folder = next(demo.folder.glob("rank/*/demo-en-to-demo-zh/utterance"))
    assert json.loads(out) == json.loads((folder / "ranking.json").read_text("utf-8"))
    layers = pd.read_csv(folder / "layers.csv")
    assert layers["score"].tolist() == pytest.approx([layer["score"] for layer in json.loads(out)["layers"]])
    assert {file.name for file in folder.iterdir()} >= {
        "heatmap.png",
        "heatmap.svg",
        "similarity.csv",
        "run.json",
    }


def test_a_trained_model_labels_new_recordings(demo: Demo, run_cli: Run) -> None:
    model = next(demo.folder.glob("train/*/*/la-auto/seed-0"))
    audio = sorted(map(str, demo.folder.rglob("audio/**/*.wav")))[:3]
    code, out, err = run_cli(["predict", str(model), *audio, "--json"], demo.folder)
    assert code == 0, err
    rows = json.loads(out)
    assert [row["file"] for row in rows] == audio
    for row in rows:
        shares = [row[emotion] for emotion in ("anger", "happiness", "neutral", "sadness")]
        assert sum(shares) == pytest.approx(1)
        assert row["probability"] == pytest.approx(max(shares))


def test_the_test_predictions_give_the_reported_uar(demo: Demo) -> None:
    """Scikit-learn's balanced accuracy of predictions.csv is the UAR in metrics.json."""
    from sklearn.metrics import balanced_accuracy_score

    for folder in demo.folder.glob("train/*/*/*/seed-*"):
        predictions = pd.read_csv(folder / "predictions.csv")
        metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
        expected = balanced_accuracy_score(predictions["emotion"], predictions["predicted"])
        assert metrics["target_test"]["uar"] == pytest.approx(expected)
        manifest = pd.read_csv(demo.folder / "manifests/demo-zh.csv", keep_default_na=False)
        test_keys = "demo-zh/" + manifest.loc[manifest["split"] == "test", "utterance_id"]
        assert sorted(predictions["utterance"]) == sorted(test_keys)


class References(HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe", "object")
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


def test_the_report_is_self_contained_and_shows_every_setting_with_its_origin(demo: Demo) -> None:
    page = (demo.folder / "report" / "index.html").read_text("utf-8")
    references = References()
    references.feed(page)
    assert [value for value in references.found if not value.startswith(("#", "data:image/"))] == []
    assert "@import" not in page
    assert "url(" not in page
    for text in (
        "not in source",
        "paper: ",
        "default",
        "demonstration encoder",
        "This study was made by layersim demo",
        "What anchoring bought",
        "exact-times.csv",
        "95 %",
        "Worst",
        "demo-en → demo-zh",
    ):
        assert text in page, text
    # A heatmap and a curve per level, the bars, and at phoneme level the spread and a heatmap per emotion.
    assert page.count("data:image/svg+xml") == 2 * 2 + 1 + 1 + 4


def test_the_demo_does_not_overwrite_without_force(demo: Demo, run_cli: Run) -> None:
    code, out, err = run_cli(["demo"], demo.folder.parent)
    assert (code, out) == (1, "")
    assert "--force" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rank", "--level", "bogus"], "flag: setting 'level'"),
        (["rank", "--paper", "--metric", "centroid"], "paper is set and fixes the metric"),
        (["rank", "--label-free", "--level", "utterance"], "--label-free compares vowels: leave --level out"),
        (["rank", "--vowels", "a"], "--vowels is about vowel segments: add --level phoneme"),
        (["rank", "--level", "phoneme", "--classes", "tones"], "flag: setting 'classes'"),
        (["train", "--anchors", "nonsense"], "anchors 'nonsense' cannot be read. Known: auto, best"),
        (["train", "--methods", "xx"], "flag: methods: unknown key 'xx'"),
        (["compare", "--methods", "xx"], "methods: unknown key 'xx'"),
        (["compare", "--pairs", "demo-en"], "pairs: 'demo-en' cannot be read"),
        (["compare", "--clips=-5"], "flag: setting 'clips'"),
        (["train", "--set", "wcn.smoothing=1"], "--set: unknown key 'wcn'. Did you mean 'wccn'"),
        (["tune", "xx"], "unknown key 'xx'"),
        (["extract", "--device", "tpu"], "flag: setting 'device'"),
    ],
)
def test_a_flag_with_a_value_that_is_not_allowed_exits_2(
    demo: Demo, run_cli: Run, arguments: list[str], message: str
) -> None:
    code, out, err = run_cli(arguments, demo.folder)
    assert (code, out) == (2, "")
    assert message in err


def test_the_report_says_when_the_models_stand_on_another_ranking(demo: Demo, run_cli: Run) -> None:
    code, _, err = run_cli(["rank", "--paper"], demo.folder)
    assert code == 1
    assert "holds a ranking made differently" in err
    assert run_cli(["rank", "--paper", "--force"], demo.folder)[0] == 0
    _, out, _ = run_cli(["report"], demo.folder)
    assert "the models stand on another ranking than is shown" in Path(out.strip()).read_text("utf-8")


def test_layers_are_ranked_and_anchored_without_any_emotion_label(demo: Demo, run_cli: Run) -> None:
    code, out, err = run_cli(["rank", "--label-free"], demo.folder)
    assert code == 0, err
    assert "phoneme level, label-free" in out
    assert "no emotion label of either corpus was read" in out
    code, out, err = run_cli(["train", "--anchors", "auto:label-free", "--seeds", "1"], demo.folder)
    assert code == 0, err
    assert "group of the label-free ranking" in out
    code, out, err = run_cli(["report"], demo.folder)
    assert code == 0, err
    page = Path(out.strip()).read_text("utf-8")
    for text in (
        "The rankings against each other",
        "tau with phoneme level, label-free",
        "Agreement with the utterance level, on the same speaker draws",
        "cells refused as too small",
        "Inter-vowel spread",
        "other vowels",
    ):
        assert text in page, text


def test_vowels_that_the_corpora_do_not_share_are_named_with_those_that_they_do(
    demo: Demo, run_cli: Run
) -> None:
    code, _, err = run_cli(["rank", "--level", "phoneme", "--vowels", "i,qq", "--force"], demo.folder)
    assert code == 1
    assert "demo-en and demo-zh do not share vowel 'qq'. They share (segments in demo-en/demo-zh): a " in err
    assert re.search(r", i \d+/\d+, ", err)

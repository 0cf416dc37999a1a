from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from layersim.alignment.outputs import find_outputs
from layersim.demo.corpus import RECIPES, Recipe
from layersim.demo.guide import run_demo
from layersim.demo.result import DemoResult
from layersim.errors import LayersimError
from layersim.workspace import Workspace, read_json


def smaller(recipe: Recipe) -> Recipe:
    """The same corpus with fewer voices."""
    counts = {"train": 4, "validation": 1, "test": 2}
    return replace(recipe, voices={split: recipe.voices[split][:count] for split, count in counts.items()})


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, random_encoder: Path) -> tuple[DemoResult, list[str]]:
    """The demo on seven voices a language and an encoder with random weights."""
    labels: list[str] = []
    result = run_demo(
        tmp_path_factory.mktemp("demo") / "study",
        str(random_encoder),
        progress=lambda label, _done, _total: labels.append(label),
        recipes=[smaller(recipe) for recipe in RECIPES],
    )
    return result, list(dict.fromkeys(labels))


@pytest.mark.slow
def test_every_stage_shows_progress_and_its_time(shown):
    result, labels = shown
    assert labels[:2] == ["speaking demo-en", "speaking demo-zh"]
    assert {"training the aligner", "aligning", "extracting demo-zh", "training"} <= set(labels)
    assert labels[-1] == "writing the report"
    assert list(result.seconds) == ["speech", "align", "extract", "rank", "train", "report"]


@pytest.mark.slow
def test_every_stage_leaves_its_files(shown):
    root = shown[0].root
    for pattern in (
        "align/demo-*/phones.csv",
        "cache/three-random-blocks/demo-*/part-00000.h5",
        "rank/three-random-blocks/demo-en-to-demo-zh/*/ranking.json",
        "train/three-random-blocks/demo-en-to-demo-zh/*/seed-4/model.safetensors",
        "report/index.html",
    ):
        assert list(root.glob(pattern)), pattern


@pytest.mark.slow
def test_the_aligner_is_held_against_the_exact_times_and_not_given_them(shown):
    result, _ = shown
    workspace = Workspace.find(result.root)
    for aligned in result.aligned:
        assert workspace.corpora[aligned.corpus].alignments is None
        stored = find_outputs(workspace.align_folder(aligned.corpus))
        exact = result.root / "exact" / f"{aligned.corpus}-exact-times.csv"
        assert stored is not None
        assert stored.phones.read_text(encoding="utf-8") != exact.read_text(encoding="utf-8")
        compared = result.comparisons[aligned.corpus]
        assert compared.startswith(f"against {exact.name}, ")
        found = re.search(r"([\d.]+)% of boundaries within 20 ms", compared)
        assert found is not None
        assert 60 < float(found[1]) < 100
        assert compared in result.to_table().replace("\n    ", " ")
        assert compared in result.report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_phoneme_level_pools_the_vowels_that_the_aligner_found(shown):
    workspace = Workspace.find(shown[0].root)
    for extracted in shown[0].extracted:
        assert extracted.phones is not None
        assert extracted.phones.without_alignment == 0
        assert extracted.phones.vowels > 500
        assert extracted.unknown_phones == {}
        aligned = find_outputs(workspace.align_folder(extracted.corpus))
        assert aligned is not None
        assert extracted.phone_set == aligned.phone_set


@pytest.mark.slow
def test_the_result_tells_which_layers_how_sure_what_anchoring_bought_and_what_next(shown):
    result, _ = shown
    table = result.to_table()
    chapters = [table.index(title) for title in ("Which layers", "How sure", "What anchoring bought", "next")]
    assert chapters == sorted(chapters)
    for part in (
        "Utterance level: the emotions",
        "Phoneme level:",
        "la-auto against cc-std",
        "layersim init",
    ):
        assert part in table
    assert str(result.report) in table
    assert max(map(len, table.splitlines())) < 120 + len(str(result.root))
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert [ranking["level"] for ranking in document["rank"]] == ["utterance", "phoneme"]
    assert {method["name"] for method in document["train"]["methods"]} == {"cc", "cc-std", "la"}
    assert all(len(method["seeds"]) == 5 for method in document["train"]["methods"])


@pytest.mark.slow
def test_the_report_opens_with_what_the_study_is_and_tells_the_same_story(shown):
    result, _ = shown
    page = result.report.read_text(encoding="utf-8").replace("&#39;", "'").replace("&amp;", "&")
    for paragraph in (result.root / "about.txt").read_text(encoding="utf-8").split("\n\n"):
        assert paragraph.strip() in page
    for chapter in result.story:
        assert f"<h3>{chapter.title}</h3>" in page
        assert all(sentence in page for sentence in chapter.sentences)


@pytest.mark.slow
def test_an_encoder_that_is_named_is_not_taken_for_the_demonstration_encoder(shown, random_encoder):
    result, _ = shown
    assert result.encoder == str(random_encoder)
    assert "demonstration encoder" not in result.to_table()
    assert "demonstration encoder" not in result.report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_afterwards_the_folder_is_a_workspace_like_any_other(shown):
    from layersim.alignment.align import AlignConfig, align
    from layersim.features.extract import ExtractConfig, extract

    workspace = Workspace.find(shown[0].root / "audio")
    assert workspace.pair() == ("demo-en", "demo-zh")
    again = align(workspace, workspace.settings(AlignConfig, {"aligner": "auto"}))
    assert [result.to_json()["done_already"] for result in again] == [True, True]
    extracted = extract(workspace, workspace.settings(ExtractConfig))
    assert [result.computed_hours for result in extracted] == [0, 0]
    run = read_json(workspace.align_folder("demo-en") / "run.json")
    assert run["inputs"]["aligner"] == "builtin"


def test_the_callers_number_of_threads_is_put_back():
    from layersim.demo.guide import _one_thread

    before = torch.get_num_threads()
    inside = []

    def refuse() -> None:
        with _one_thread():
            inside.append(torch.get_num_threads())
            raise LayersimError("no training today")

    with pytest.raises(LayersimError, match="no training today"):
        refuse()
    assert inside == [1]
    assert torch.get_num_threads() == before


def test_a_workspace_that_stands_there_is_not_overwritten(tmp_path):
    (tmp_path / "layersim.toml").write_text("# mine\n", encoding="utf-8")
    with pytest.raises(LayersimError, match=r"layersim\.toml exists\. Choose another folder .* --force"):
        run_demo(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["layersim.toml"]


def test_an_encoder_that_is_not_there_is_missed_before_anything_is_made(tmp_path):
    with pytest.raises(LayersimError, match="encoder no/such/encoder: no such folder"):
        run_demo(tmp_path / "study", "no/such/encoder")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LayersimError, match=r"empty: no config\.json, so this is not a checkpoint"):
        run_demo(tmp_path / "study", str(tmp_path / "empty"))
    assert not (tmp_path / "study").exists()

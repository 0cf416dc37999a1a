from __future__ import annotations

import json

import pytest
import torch

from layersim.demo.guide import DemoResult, run_demo
from layersim.errors import LayersimError
from layersim.workspace import Workspace


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> tuple[DemoResult, list[str]]:
    labels: list[str] = []
    result = run_demo(
        tmp_path_factory.mktemp("demo") / "study", lambda label, _done, _total: labels.append(label)
    )
    return result, list(dict.fromkeys(labels))


@pytest.mark.slow
def test_the_demo_takes_less_than_three_minutes_and_shows_progress_throughout(shown):
    result, labels = shown
    assert result.seconds < 180
    assert labels[:2] == ["speak demo-en", "speak demo-zh"]
    assert len(labels) > 4


@pytest.mark.slow
def test_every_stage_of_the_demo_leaves_its_files(shown):
    root = shown[0].root
    for pattern in (
        "cache/random-wavlm-tiny/demo-*/part-00000.h5",
        "rank/random-wavlm-tiny/demo-en-to-demo-zh/*/ranking.json",
        "train/random-wavlm-tiny/demo-en-to-demo-zh/*/seed-0/model.safetensors",
        "report/index.html",
    ):
        assert list(root.glob(pattern)), pattern
    page = (root / "report" / "index.html").read_text(encoding="utf-8")
    assert "random weights" in page


@pytest.mark.slow
def test_vowels_are_pooled_with_every_phone_known(shown):
    for extracted in shown[0].extracted:
        assert extracted.phones is not None
        assert extracted.phones.without_alignment == 0
        assert extracted.phones.pooled == extracted.phones.vowels > 1000
        assert extracted.unknown_phones == {}


@pytest.mark.slow
def test_the_result_says_what_it_is_and_what_to_run_next(shown):
    result, _ = shown
    table = result.to_table()
    for part in (
        "random weights",
        "utterance level: Group",
        "phoneme level: Group",
        "la-auto",
        "layersim init STUDY",
    ):
        assert part in table
    assert str(result.report) in table
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert [ranking["level"] for ranking in document["rank"]] == ["utterance", "phoneme"]
    assert {method["name"] for method in document["train"]["methods"]} == {"cc", "cc-std", "la"}


@pytest.mark.slow
def test_afterwards_the_folder_is_a_workspace_like_any_other(shown):
    workspace = Workspace.find(shown[0].root / "audio")
    assert workspace.pair() == ("demo-en", "demo-zh")
    assert workspace.encoder == str(shown[0].root / "encoders" / "random-wavlm-tiny")


def test_the_callers_number_of_threads_is_put_back(tmp_path, monkeypatch):
    before = torch.get_num_threads()

    def refuse(*arguments: object, **options: object) -> None:
        raise LayersimError("no synthesis today")

    monkeypatch.setattr("layersim.demo.guide.make_corpus", refuse)
    with pytest.raises(LayersimError, match="no synthesis today"):
        run_demo(tmp_path)
    assert torch.get_num_threads() == before


def test_a_workspace_that_stands_there_is_not_overwritten(tmp_path):
    (tmp_path / "layersim.toml").write_text("# mine\n", encoding="utf-8")
    with pytest.raises(LayersimError, match=r"layersim\.toml exists\. Choose another folder .* --force"):
        run_demo(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["layersim.toml"]

"""How the page holds the rankings of one pair against each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from layersim.errors import LayersimError
from layersim.report.outputs import RankingOutputs, pair_outputs
from layersim.report.rankings import comparison, ranking_section
from layersim.workspace import CorpusEntry, Workspace


def ranking(kind: str, scores: list[float], layers: str = "0123456", **changes: Any) -> RankingOutputs:
    document = {
        "layers": [{"layer": name, "score": score} for name, score in zip(layers, scores, strict=True)],
        "group": ["1", "2"], "best": "1", "worst": ["5", "6"], **changes,
    }  # fmt: skip
    return RankingOutputs(Path(kind), document, {})


def test_rankings_are_compared_by_their_sets_and_by_tau_without_layer_zero() -> None:
    scores = {
        "utterance": [9.0, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0],
        "phoneme": [0.0, 0.5, 0.3, 0.4, 0.2, 0.1, 0.0],
        "phoneme-label-free": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5],
    }
    found = comparison([ranking(kind, values) for kind, values in scores.items()])
    assert found is not None
    assert found["columns"] == [
        "ranking", "Group", "Best", "Worst", "tau with utterance level", "tau with phoneme level",
        "tau with phoneme level, label-free",
    ]  # fmt: skip
    assert found["rows"][0][:4] == ["utterance level", "1, 2", "1", "5, 6"]
    values = list(scores.values())
    for row, own in enumerate(values):
        for column, other in enumerate(values):
            tau = stats.kendalltau(own[1:], other[1:]).statistic
            assert found["rows"][row][4 + column] == ("–" if row == column else f"{tau:+.2f}")


def test_layers_that_one_ranking_lacks_are_left_out_and_one_ranking_alone_is_not_compared() -> None:
    both = ranking("utterance", [0.1, 0.3, 0.2, 0.9], "012d"), ranking("phoneme", [0.1, 0.3, 0.2], "012")
    found = comparison(list(both))
    assert found is not None
    assert found["rows"][0][5] == "+1.00"
    assert comparison([both[0]]) is None


def test_counts_say_what_is_refused_and_what_weighs_less(tmp_path: Path) -> None:
    empty = ("low", "high", "null_low", "null_high", "p", "different", "in_group", "probe_uar")
    layer = {"layer": "1", "score": 0.1, **dict.fromkeys(empty),
             "emotions": {"anger": {"similarity": 0.1}, "fear": {"similarity": None}}}  # fmt: skip
    cell = {"source_speakers": 2, "target_speakers": 2}
    document = {
        "source": "de", "target": "zh", "level": "phoneme", "metric": "pairwise", "features": "centred",
        "compared": "emotions", "emotions": ["anger", "fear"], "layers": [layer], "group": ["1"], "best": "1",
        "worst": [], "definition": "cosine", "resolved": False, "notes": [], "probe": {"reason": "none."},
        "agreement": {"tau": 0.5, "low": -0.1, "high": 0.9, "layers": ["1", "2"], "blind_to": "sizes"},
        "counts": [
            {"emotion": "anger", "vowel": "a", "source": 50, "target": 9, "source_effective": 40,
             "target_effective": 9, "refused": False, **cell},
            {"emotion": "fear", "vowel": "a", "source": 2, "target": 9, "source_effective": 2,
             "target_effective": 9, "refused": True, **cell},
        ],
    }  # fmt: skip
    folder = tmp_path / "phoneme"
    folder.mkdir()
    for name in ("heatmap", "vowels-anger", "spread"):
        (folder / f"{name}.svg").write_text("<svg/>", "utf-8")
    section = ranking_section(RankingOutputs(folder, document, {}), tmp_path)
    assert section["counts"]["rows"] == [
        ("a", [{"text": "50 / 9 (40 / 9)", "refused": False}, {"text": "2 / 9", "refused": True}])
    ]
    assert (section["counts"]["refused"], section["counts"]["of"]) == (1, 2)
    assert section["counts"]["columns"] == ["vowel", "anger", "fear"]
    assert [image["caption"] for image in section["cell_figures"]] == [
        "anger: similarity per layer and vowel."
    ]
    assert len(section["spread"]) == 1
    assert "tau-b +0.50 (95 % interval -0.10 to +0.90, 2 layers). Mind: sizes." in section["agreement"]


def test_a_ranking_of_an_earlier_version_asks_to_be_made_anew(tmp_path: Path) -> None:
    entry = CorpusEntry(manifest=tmp_path / "m.csv", audio_root=tmp_path)
    workspace = Workspace(tmp_path, "tiny", "de", "zh", {"de": entry, "zh": entry}, {})
    folder = workspace.rank_folder("de", "zh", "utterance")
    folder.mkdir(parents=True)
    for name in ("ranking.json", "run.json"):
        (folder / name).write_text(json.dumps({"layers": []}), "utf-8")
    with pytest.raises(
        LayersimError, match=r"earlier version of layersim. Rank again: layersim rank --force"
    ):
        pair_outputs(workspace)

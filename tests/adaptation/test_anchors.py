from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from layersim.adaptation.anchors import choose_anchors, parse_anchors
from layersim.adaptation.method import Method, define_method
from layersim.adaptation.settings import TrainConfig
from layersim.errors import LayersimError, StageMissingError
from layersim.settings import Settings, resolve_settings

LAYERS = [str(layer) for layer in range(13)]
RANKING: dict[str, Any] = {
    "source": "a", "target": "b", "level": "utterance", "metric": "pairwise", "features": "centred",
    "emotions": ["anger", "sadness"], "group": ["8", "9", "11"], "best": "11", "worst": ["5", "6", "7"],
    "resolved": False,
}  # fmt: skip


def choose(text: str, folder: Path, layers: list[str] = LAYERS) -> Any:
    return choose_anchors(text, layers, lambda level: folder / level / "ranking.json")


@pytest.fixture
def rankings(tmp_path: Path) -> Path:
    """An utterance-level ranking, and two phoneme-level ones with other Groups."""
    documents = {
        "utterance": RANKING,
        "phoneme": {**RANKING, "level": "phoneme", "group": ["3", "2", "4"]},
        "phoneme-label-free": {**RANKING, "group": ["1", "6", "7"], "best": "7", "emotions": []},
    }
    for level, document in documents.items():
        (tmp_path / level).mkdir()
        (tmp_path / level / "ranking.json").write_text(json.dumps(document), "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", ("8", "9", "11")),
        ("auto:utterance", ("8", "9", "11")),
        ("auto:phoneme", ("2", "3", "4")),
        ("auto:label-free", ("1", "6", "7")),
        ("best:label-free", ("7",)),
        ("best", ("11",)),
        ("worst", ("5", "6", "7")),
        ("all", tuple(LAYERS[1:])),
        ("11, 8,9", ("8", "9", "11")),
        ("0,3", ("0", "3")),
    ],
)
def test_anchors_are_the_layers_that_the_word_means_in_layer_order(
    rankings: Path, text: str, expected: tuple[str, ...]
) -> None:
    assert choose(text, rankings).layers == expected


def test_the_choice_says_which_ranking_it_took_and_that_its_cut_is_not_resolved(rankings: Path) -> None:
    anchors = choose("auto:phoneme", rankings)
    assert anchors.said == "group of the phoneme-level ranking (pairwise, centred features)"
    assert anchors.ranking["file"] == str(rankings / "phoneme" / "ranking.json")
    assert len(anchors.ranking["sha256"]) == 64
    assert "phoneme-level ranking does not resolve its cut" in anchors.notes[0]


def test_label_free_anchors_say_so_and_are_taken_only_by_name(rankings: Path) -> None:
    anchors = choose("auto:label-free", rankings)
    assert anchors.said == "group of the label-free ranking (pairwise, centred features)"
    assert anchors.ranking["label_free"]
    assert not choose("auto:phoneme", rankings).ranking["label_free"]
    assert parse_anchors("auto:label-free").slug == "auto-label-free"
    for level in ("utterance", "phoneme"):
        (rankings / level / "ranking.json").unlink()
    with pytest.raises(StageMissingError, match="Run 'layersim rank' first"):
        choose("auto", rankings)


def test_random_anchors_are_as_many_as_a_group_differ_by_seed_and_never_hold_layer_0(tmp_path: Path) -> None:
    drawn = [choose(f"random:{seed}", tmp_path).layers for seed in range(20)]
    assert drawn == [choose(f"random:{seed}", tmp_path).layers for seed in range(20)]
    assert {len(layers) for layers in drawn} == {3}
    assert len(set(drawn)) > 10
    assert all("0" not in layers for layers in drawn)


def test_decoder_layers_go_by_their_names(tmp_path: Path) -> None:
    layers = ["0", "1", "2", "d1", "d2"]
    assert choose("d2,1", tmp_path, layers).layers == ("1", "d2")
    assert choose("all", tmp_path, layers).layers == ("1", "2", "d1", "d2")


def test_without_a_ranking_the_error_says_to_run_rank_first(tmp_path: Path) -> None:
    with pytest.raises(StageMissingError, match="Run 'layersim rank' first"):
        choose("auto", tmp_path)
    with pytest.raises(StageMissingError, match="Run 'layersim rank --level phoneme' first"):
        choose("worst:phoneme", tmp_path)
    with pytest.raises(StageMissingError, match="Run 'layersim rank --label-free' first"):
        choose("auto:label-free", tmp_path)


def test_auto_takes_the_phoneme_level_where_only_that_was_ranked_and_says_so(rankings: Path) -> None:
    (rankings / "utterance" / "ranking.json").unlink()
    assert choose("auto", rankings).layers == choose("auto:phoneme", rankings).layers
    assert "phoneme-level ranking" in choose("auto", rankings).said
    with pytest.raises(StageMissingError, match="Run 'layersim rank' first"):
        choose("auto:utterance", rankings)


@pytest.mark.parametrize("text", ["", "automatic", "8;9", "random", "random:x", "auto:word", "all:phoneme"])
def test_other_words_are_refused_with_the_known_forms(text: str) -> None:
    with pytest.raises(LayersimError, match=r"cannot be read\. Known: auto, best, worst"):
        parse_anchors(text)


def test_a_layer_that_is_not_there_or_stands_twice_is_refused(rankings: Path) -> None:
    with pytest.raises(LayersimError, match="layer 14 is not in the features"):
        choose("8,14", rankings)
    with pytest.raises(LayersimError, match=r"utterance.ranking.json: layer 8, 9, 11 is not in the features"):
        choose("auto", rankings, ["0", "1", "2"])
    with pytest.raises(LayersimError, match="a layer stands twice"):
        parse_anchors("8,8")


def test_a_broken_ranking_is_refused_by_name(rankings: Path) -> None:
    file = rankings / "utterance" / "ranking.json"
    file.write_text(json.dumps({**RANKING, "group": 8}), "utf-8")
    with pytest.raises(LayersimError, match=r"'group' must list layer names, found 8\. Run 'layersim rank'"):
        choose("auto", rankings)


def test_wrong_anchors_are_found_when_settings_are_read() -> None:
    with pytest.raises(LayersimError, match="anchors 'atuo' cannot be read"):
        resolve_settings(TrainConfig, {"anchors": "atuo"})


def test_methods_read_the_layers_and_statistics_that_define_them(rankings: Path) -> None:
    settings = resolve_settings(TrainConfig)
    layers = [*LAYERS, "d1"]

    def define(word: str, asked: Settings[TrainConfig] = settings) -> Method:
        return define_method(word, layers, asked, lambda anchors: choose(anchors, rankings))

    top, strong, anchored = (define(name) for name in ("cc", "cc-std", "la"))
    assert (top.layers, top.standardise, top.coral) == (("12",), "source", False)
    assert (strong.layers, strong.standardise, strong.coral) == (("12",), "corpus", False)
    assert (anchored.layers, anchored.standardise, anchored.coral) == (("8", "9", "11"), "corpus", True)
    assert anchored.folder == "la-auto"
    assert define("la", resolve_settings(TrainConfig, {"standardise": "source"})).standardise == "source"
    assert define("cc-spk-all").layers == (*LAYERS[1:], "d1")
    assert define("cc-spk-all").standardise == "speaker"
    assert define("probe:3").layers == ("3",)
    assert define("la:9,8").layers == ("8", "9")  # an argument goes before the setting
    assert define("la:best+self-train").folder == "la-best+self-train"
    assert define("la:best+self-train").self_training is not None


def test_settings_that_a_paper_states_say_so_and_the_others_say_that_they_are_not_in_it() -> None:
    rows = {row["name"]: row for row in resolve_settings(TrainConfig).as_rows()}
    stated = {name for name, row in rows.items() if row["origin"].startswith("paper")}
    assert stated == {"anchors", "coral"}
    for name in ("gamma", "optimiser", "learning_rate", "epochs", "batch", "dropout", "projection", "seeds"):
        assert "not in source" in rows[name]["meaning"]

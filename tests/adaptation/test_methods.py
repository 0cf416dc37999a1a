from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from layersim.adaptation.anchors import Anchors
from layersim.adaptation.method import Method, OwnSettings, define_method
from layersim.adaptation.method_list import describe_methods
from layersim.adaptation.methods import METHODS, parse_method
from layersim.adaptation.settings import MethodConfig, TrainConfig
from layersim.errors import LayersimError, UsageError
from layersim.settings import resolve_settings

LAYERS = ["0", "1", "2", "3"]
ISSUE = (
    "cc", "cc-std", "cc-std-all", "cc-spk", "probe", "ensemble", "fewshot", "pa", "pa-avg", "pa-atn", "la",
    "dann", "dann-conv1d", "dann-resnet50", "supervised", "wccn", "egemaps-rf", "egemaps-rf-wccn",
    "emobase-rf", "emobase-rf-wccn",
)  # fmt: skip


def define(word: str, own: OwnSettings | None = None, **flags: Any) -> Method:
    def choose(asked: str) -> Anchors:
        return Anchors(asked, ("1", "2"), "as listed")

    return define_method(word, LAYERS, resolve_settings(TrainConfig, flags), choose, own)


def origins(method: Method) -> dict[str, tuple[Any, str]]:
    return {row["name"]: (row["value"], row["origin"]) for row in method.settings.as_rows()}


def test_every_method_of_the_papers_has_a_name() -> None:
    assert set(ISSUE) <= set(METHODS)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_can_be_spelt_out_with_defaults_and_presets(name: str) -> None:
    method = define(name)
    assert method.layers or method.definition.inputs != "encoder"
    own = method.definition.config
    if issubclass(own, MethodConfig):
        assert own.section.startswith("train.")
        for preset, values in own.presets.items():
            stated = origins(define(name, OwnSettings(preset=preset)))
            for key, value in values.items():
                if key not in method.definition.fixed:
                    listed = json.loads(json.dumps(value))
                    assert stated[key] == (listed, f"paper: {own.paper} (preset {preset})")


def test_the_preset_of_layer_anchoring_is_what_its_paper_states_and_the_defaults_hold_it() -> None:
    """PAPERS.md, section 1: sum of Frobenius norms at the anchors of the ranking; all else is left open."""
    stated = METHODS["la"].presets["paper"]
    assert stated == {"anchors": "auto", "coral": "frobenius"}
    rows = origins(define("la", OwnSettings(preset="paper")))
    marked = {name for name, (_, origin) in rows.items() if origin.startswith("paper")}
    assert {name: rows[name][0] for name in marked} == stated
    assert METHODS["cc"].presets == {}


def test_layers_and_statistics_are_those_that_the_name_stands_for() -> None:
    assert define("cc-std").layers == ("3",)
    assert define("cc-spk-all").layers == ("1", "2", "3")
    assert [define(name).standardise for name in ("cc", "cc-std", "cc-spk")] == [
        "source",
        "corpus",
        "speaker",
    ]
    assert define("la", standardise="speaker").standardise == "speaker"
    assert define("egemaps-rf").layers == ()
    assert define("la-class").anchors.asked == "auto:label-free"  # type: ignore[union-attr]
    assert define("la-class:2").anchors.asked == "2"  # type: ignore[union-attr]


def test_self_training_goes_on_top_of_any_method() -> None:
    assert parse_method("self-train").word == "cc-std-all+self-train"
    method = define("pa-atn+self-train")
    assert method.folder == "pa-atn+self-train"
    assert method.self_training is not None
    assert method.self_training.config.rounds == 3
    assert define("pa-atn").self_training is None


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("lla", r"methods: unknown key 'lla'\. Did you mean 'la'"),
        ("cc:3", r"'cc:3': cc takes nothing after a colon\. la and probe do"),
        ("probe:", r"probe takes nothing after a colon|'probe:'"),
        ("la:autoo", r"anchors 'autoo' cannot be read"),
        (
            "la:best+selftrain",
            r"'\+selftrain' is not known\. A word may end in one of \+self-train, \+finetune",
        ),
    ],
)
def test_words_that_cannot_be_read_are_named_with_what_can(word: str, says: str) -> None:
    with pytest.raises(LayersimError, match=says):
        parse_method(word)


def test_a_layer_that_the_features_lack_is_named() -> None:
    with pytest.raises(LayersimError, match="layer 9 is not in the features; they have 0, 1, 2, 3"):
        define("probe:9")


def test_what_is_said_under_a_methods_own_name_goes_before_the_table_it_shares() -> None:
    own = OwnSettings(
        {"dann": {"epochs": 9, "batch": 16}, "dann-resnet50": {"epochs": 8}}, {"dann-resnet50": {"batch": 32}}
    )
    shown = {name: define(name, own).settings.config for name in ("dann", "dann-conv1d", "dann-resnet50")}
    assert {name: (config.epochs, config.batch) for name, config in shown.items()} == {
        "dann": (9, 16), "dann-conv1d": (9, 16), "dann-resnet50": (8, 32),
    }  # fmt: skip
    with pytest.raises(LayersimError, match=r"unknown key 'dann-resnet'\. Did you mean 'dann-resnet50'"):
        define("dann", OwnSettings({"dann-resnet": {}}))


def test_a_methods_settings_come_from_flags_then_its_table_then_its_preset_then_train() -> None:
    tables = {"wccn": {"smoothing": 0.9, "dropout": 0.2}}
    plain = origins(define("wccn"))
    assert plain["smoothing"][1] == "default (not in source)"
    assert plain["learning_rate"] == (3e-4, "paper: Tang et al., arXiv 2311.13678")
    found = origins(
        define(
            "wccn",
            OwnSettings(tables, {"wccn": {"dropout": 0.3}}, "paper-DECH"),
            epochs=7,
            learning_rate=0.5,
        )
    )
    assert found["dropout"] == (0.3, "user (flag)")
    assert found["smoothing"] == (0.9, "user (layersim.toml)")
    assert found["weight_decay"] == (4e-4, "paper: Tang et al., arXiv 2311.13678 (preset paper-DECH)")
    assert found["epochs"] == (7, "user (flag)")  # of all methods, where the source says nothing
    assert found["learning_rate"][0] == 3e-4  # a value that the source states is changed by its own name only
    assert origins(define("wccn-off"))["whitening"] == (False, "the method's name")


def test_wrong_own_settings_are_refused_by_name() -> None:
    with pytest.raises(LayersimError, match=r"table \[train\.wccn\].*unknown key 'smothing'.*'smoothing'"):
        define("wccn", OwnSettings({"wccn": {"smothing": 0.1}}))
    with pytest.raises(UsageError, match="setting 'smoothing'"):
        define("wccn", OwnSettings(flags={"wccn": {"smoothing": 7}}))
    with pytest.raises(UsageError, match=r"--set wccn: unknown key 'smothing'\. Did you mean 'smoothing'"):
        define("wccn", OwnSettings(flags={"wccn": {"smothing": 0.1}}))


def test_settings_of_methods_that_there_are_not_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--set: unknown key 'pa-atnn'\. Did you mean 'pa-atn'"):
        define("cc", OwnSettings(flags={"pa-atnn": {"weight": 1}}))
    with pytest.raises(LayersimError, match=r"table \[train\]: unknown key 'wcn'\. Did you mean 'wccn'"):
        define("cc", OwnSettings({"wcn": {"smoothing": 0.1}}))
    with pytest.raises(UsageError, match=r"--preset: unknown key 'papr'\. Did you mean 'paper'"):
        define("wccn", OwnSettings(preset="papr"))


def test_the_command_in_run_json_gives_own_settings_as_such() -> None:
    from layersim.provenance import command_line

    method = define("wccn", OwnSettings(flags={"wccn": {"smoothing": 0.25}}))
    assert command_line("train", {"source": "a"}, method.settings) == (
        "layersim train --source a --set wccn.smoothing=0.25"
    )


def test_the_list_of_methods_has_all_of_them_for_people_and_programs() -> None:
    listed = describe_methods()
    document = json.loads(json.dumps(listed.to_json()))
    assert set(document) == set(METHODS)
    assert {row["origin"] for row in document["pa"]["settings"]} <= {
        "default (not in source)", "paper: Upadhyay et al. 2024, layer anchoring",
    }  # fmt: skip
    table = listed.to_table().splitlines()
    assert [line.split()[0] for line in table[1 : len(METHODS) + 1]] == list(METHODS)
    assert document["wccn"]["presets"] == ["paper", "paper-DECH", "paper-DEEN", "paper-ENCH"]


def test_the_file_may_have_tables_of_single_methods(tmp_path: Path) -> None:
    from layersim.adaptation.opening import own_settings
    from layersim.workspace import Workspace

    (tmp_path / "layersim.toml").write_text(
        'encoder = "tiny"\n[train]\nepochs = 5\n[train.wccn]\nsmoothing = 0.3\n', "utf-8"
    )
    workspace = Workspace.read(tmp_path)
    assert workspace.settings(TrainConfig).config.epochs == 5
    assert own_settings(workspace).tables == {"wccn": {"smoothing": 0.3}}

from __future__ import annotations

from typing import Any

import pytest

from layersim.adaptation.anchors import Anchors
from layersim.adaptation.method import Method, OwnSettings, define_method
from layersim.adaptation.methods import METHODS
from layersim.adaptation.settings import TrainConfig
from layersim.comparison.search_spaces import (
    ONLY_WITH,
    SPACES,
    Choice,
    Range,
    parse_dimension,
    search_space,
)
from layersim.errors import LayersimError
from layersim.settings import Settings, StageConfig, resolve_settings

NETWORK = {"learning_rate", "weight_decay", "dropout"}


def method_of(word: str, own: OwnSettings | None = None, **flags: Any) -> Method:
    settings: Settings[TrainConfig] = resolve_settings(TrainConfig, flags)
    return define_method(word, ["0", "1", "2"], settings, lambda asked: Anchors(asked, ("1",), ""), own)


def test_every_methods_settings_have_a_space_and_nothing_else_has() -> None:
    assert set(SPACES) == {definition.config for definition in METHODS.values()}
    assert set(ONLY_WITH) <= set(SPACES)


@pytest.mark.parametrize("model", SPACES)
def test_a_space_names_settings_that_exist_and_values_that_they_allow(model: type[StageConfig]) -> None:
    for name, dimension in SPACES[model].items():
        for value in dimension.ends:
            checked = model.model_validate({name: value})
            assert getattr(checked, name) == value
            assert type(getattr(checked, name)) is type(value)  # whole numbers are not tried for shares
        if isinstance(dimension, Range):
            assert dimension.low < dimension.high
            assert not dimension.log or dimension.low > 0
    for name, (other, values) in ONLY_WITH.get(model, {}).items():
        assert name in SPACES[model]
        for value in values:
            assert getattr(model.model_validate({other: value}), other) == value


def test_the_default_is_within_so_that_it_can_be_tried_first() -> None:
    for model, space in SPACES.items():
        standing = model()
        outside = {name for name, one in space.items() if getattr(standing, name) not in one}
        assert outside == set()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("cc", {*NETWORK, "projection"}),
        ("la:best", {*NETWORK, "projection", "gamma"}),
        ("la:1+self-train", {*NETWORK, "projection", "gamma"}),
        ("wccn", {*NETWORK, "embedding", "smoothing"}),
        ("wccn-off", {*NETWORK, "embedding"}),
        ("dann", {*NETWORK, "projection", "lambda_end", "domain_hidden"}),
        ("dann-resnet50", {*NETWORK, "lambda_end", "domain_hidden"}),
        ("pa", {*NETWORK, "projection", "weight", "margin"}),
        ("pa-atn", {*NETWORK, "projection", "weight", "margin", "attention_rate"}),
        ("egemaps-rf", {"depth"}),
        ("egemaps-rf-wccn", {"depth", "smoothing"}),
        ("la-class", {"components", "shrinkage", "balance", "weight"}),
        ("ensemble", {"kernel", "penalty", "leaf"}),
    ],
)
def test_what_means_nothing_to_a_method_is_not_searched(word: str, expected: set[str]) -> None:
    assert set(search_space(method_of(word))) == expected


def test_what_is_asked_for_replaces_and_adds_and_what_it_switches_on_comes_along() -> None:
    asked = ["learning_rate = 1e-5:1e-1:log", "batch=8:64", "dropout=0.2"]
    space = search_space(method_of("cc"), asked)
    assert space["learning_rate"] == Range(1e-5, 1e-1, log=True)
    assert space["batch"] == Range(8, 64, whole=True)
    assert space["dropout"] == Choice((0.2,))
    assert space["weight_decay"] == SPACES[TrainConfig]["weight_decay"]
    assert {"margin", "temperature"} <= set(search_space(method_of("pa"), ["loss=triplet|contrastive"]))
    assert "margin" not in search_space(method_of("pa"), ["loss=contrastive"])


def test_a_setting_that_a_flag_gives_is_not_searched_unless_it_is_asked_for() -> None:
    own = OwnSettings(flags={"wccn": {"smoothing": 0.2}}, tables={"wccn": {"dropout": 0.1}})
    assert set(search_space(method_of("wccn", own))) == {*NETWORK, "embedding"}
    assert "smoothing" in search_space(method_of("wccn", own), ["smoothing=0:0.5"])


def test_rounding_keeps_four_digits_and_stays_within_the_ends() -> None:
    assert Range(1e-4, 1e-2).rounded(0.00123456) == 0.001235
    assert Range(0.1, 0.123449).rounded(0.123448) == 0.1234
    assert Range(0.12344, 1.0).rounded(0.123445) == 0.12344
    assert Range(1, 20, whole=True).rounded(7) == 7
    assert Choice(("a", "b")).rounded("b") == "b"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("gamma", "'gamma' cannot be read. Write KEY=LOW:HIGH"),
        ("gamma=0.1:x", "cannot be read"),
        ("gamma=0.1:1:lin", "cannot be read"),
        ("gamma=1:inf", "cannot be read"),
        ("gamma=0.1||1", "cannot be read"),
        ("gamma=[1,2]", "cannot be read"),
        ("gamma=1:0.1", "expected LOW below HIGH"),
        ("gamma=0:1:log", "and above 0 for log"),
        ("batch=2.5:8", "batch is a whole number"),
        ("projection=32|32", "names a value twice"),
        ("gama=0.1:1", "unknown key 'gama'. Did you mean 'gamma'"),
        ("anchors=all|best", "unknown key 'anchors'"),
    ],
)
def test_a_word_that_cannot_be_read_says_how_to_write_it(word: str, message: str) -> None:
    with pytest.raises(LayersimError, match=message.replace("|", r"\|")):
        parse_dimension(word, TrainConfig)


@pytest.mark.parametrize(
    ("method", "words", "message"),
    [
        ("cc", ["dropout=0.1:1.5"], r"dropout = 1\.5 is not allowed: Input should be less than 1"),
        ("cc", ["coral=frobenius|square"], "coral = 'square' is not allowed"),
        ("cc", ["dropout=0.1", "dropout=0.2"], "dropout is given twice"),
        ("dann", ["encoder=features|conv1d"], "the name dann fixes encoder = features"),
        ("probe:1", [], r"probe:1: there is nothing to try. Name settings of \[train.probe\]"),
    ],
)
def test_a_space_that_a_method_cannot_be_searched_in_is_refused(
    method: str, words: list[str], message: str
) -> None:
    with pytest.raises(LayersimError, match=message):
        search_space(method_of(method), words)

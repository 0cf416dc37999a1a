from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from layersim.comparison.settings import CompareConfig
from layersim.comparison.situations import Situation, all_pairs, parse_pair, trials_of
from layersim.errors import LayersimError
from layersim.features.dataset import CorpusFeatures

EMOTIONS = ("anger", "happiness", "neutral", "sadness")


def test_a_word_names_training_corpora_and_the_tested_one() -> None:
    assert parse_pair("emodb:casia") == Situation(("emodb",), "casia")
    merged = parse_pair(" emodb + casia : ravdess")
    assert (merged.source, merged.target, merged.slug) == ("emodb+casia", "ravdess", "emodb+casia-to-ravdess")
    assert merged.corpora == ("emodb", "casia", "ravdess")
    assert [one.slug for one in all_pairs(["a", "b"])] == ["a-to-b", "b-to-a"]


@pytest.mark.parametrize("word", ["emodb", "emodb:", ":casia", "a:b:c", "a:b+c", "a+:b"])
def test_other_words_are_refused_with_the_form(word: str) -> None:
    with pytest.raises(LayersimError, match=r"cannot be read\. Write SOURCE:TARGET"):
        parse_pair(word)


def test_a_training_corpus_stands_once() -> None:
    with pytest.raises(LayersimError, match="names a training corpus twice"):
        parse_pair("a+a:b")


@pytest.fixture
def corpora(corpus_of: Callable[..., CorpusFeatures]) -> dict[str, CorpusFeatures]:
    """Three corpora of three languages, five speakers each."""
    found = {}
    for seed, (name, language) in enumerate((("one", "de"), ("two", "en"), ("three", "zh"))):
        corpus = corpus_of(name, seed=seed)
        corpus.table["language"] = language
        found[name] = corpus
    return found


def speakers_tested(trials: list[Any]) -> set[tuple[str, str]]:
    rows = [trial.test.table for trial in trials]
    return {pair for table in rows for pair in zip(table["corpus"], table["speaker"], strict=True)}


@pytest.mark.parametrize(
    ("word", "tested_corpus", "trained"),
    [("one:two", "two", {"one"}), ("one:one", "one", {"one"}), ("one+two:three", "three", {"one", "two"}),
     ("one+two:two", "two", {"one", "two"})],
)  # fmt: skip
def test_the_trials_of_a_word_test_every_speaker_of_the_target_and_train_on_what_it_says(
    corpora: dict[str, CorpusFeatures], word: str, tested_corpus: str, trained: set[str]
) -> None:
    trials = trials_of(parse_pair(word), corpora, CompareConfig(), EMOTIONS)
    assert len(trials) == 5
    assert speakers_tested(trials) == {(tested_corpus, f"{number:02d}") for number in range(5)}
    for trial in trials:
        assert set(trial.source.restrict("train").table["corpus"]) == trained


def test_methods_that_learn_from_the_target_get_its_own_trials(corpora: dict[str, CorpusFeatures]) -> None:
    trials = trials_of(parse_pair("one:two"), corpora, CompareConfig(), EMOTIONS, upper_row=True)
    assert {name for trial in trials for name in trial.source.table["corpus"]} == {"two"}


def test_the_other_protocols_have_one_trial_and_take_no_merged_corpora(
    corpora: dict[str, CorpusFeatures],
) -> None:
    splits = trials_of(parse_pair("one:two"), corpora, CompareConfig(protocol="splits"), EMOTIONS)
    assert speakers_tested(splits) == {("two", "04")}
    whole = trials_of(parse_pair("one:two"), corpora, CompareConfig(protocol="transductive"), EMOTIONS)
    assert [trial.transductive for trial in whole] == [True]
    with pytest.raises(LayersimError, match=r"merges corpora, which is defined on folds"):
        trials_of(parse_pair("one+two:three"), corpora, CompareConfig(protocol="splits"), EMOTIONS)


def test_labelled_clips_of_the_target_join_the_source(corpora: dict[str, CorpusFeatures]) -> None:
    situation = Situation(("one",), "two", clips=8)
    assert (situation.slug, situation.tested) == ("one-to-two-clips-8", "two (8 labelled)")
    trial = trials_of(situation, corpora, CompareConfig(), EMOTIONS)[0]
    joined = trial.source.restrict("train").table
    assert joined.loc[joined["corpus"] == "two", "utterance_id"].nunique() == 8

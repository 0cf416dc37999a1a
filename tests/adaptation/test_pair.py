from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from layersim.adaptation.pair import read_pair
from layersim.adaptation.standardise import MINIMUM_SPEAKER, apply_groups, measure_groups, measure_statistics
from layersim.corpus.manifest import utterance_keys
from layersim.features.dataset import CorpusFeatures
from layersim.features.joined import join_corpora

CLASSES = ("anger", "happiness", "neutral", "sadness")


def features_of(corpus: CorpusFeatures, key: str) -> np.ndarray:
    """Mean and deviation of layer 2, straight from the arrays."""
    cache: Any = corpus.cache
    row = utterance_keys(corpus.table).index(key)
    return np.concatenate([cache.products[f"utterance/{part}"][row, 2] for part in ("mean", "std")])


def test_speaker_statistics_give_every_speaker_zero_mean_and_unit_spread_the_test_speakers_too(
    source: CorpusFeatures, target: CorpusFeatures
) -> None:
    data = read_pair(source, target, ("2",), CLASSES, "speaker")
    rows = data.target_test.features[:, 0].numpy()
    speaker = target.table[target.table["speaker"] == "04"]
    own = np.stack(
        [features_of(target, key) for key in utterance_keys(speaker)]
    )  # with disgust, labels unread
    expected = np.stack([features_of(target, key) for key in data.target_test.keys])
    np.testing.assert_allclose(rows, (expected - own.mean(axis=0)) / own.std(axis=0), rtol=1e-3, atol=1e-4)
    by_speaker = {}
    for key, row in zip(data.target_train.keys, data.target_train.features[:, 0].numpy(), strict=True):
        by_speaker.setdefault(key.split("/")[1].split("-")[0], []).append(row)
    for members in by_speaker.values():
        np.testing.assert_allclose(np.mean(members, axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(np.std(members, axis=0), 1, atol=1e-3)
    assert data.notes == ()


def test_a_speaker_of_few_utterances_is_standardised_with_the_corpus_and_named(
    source: CorpusFeatures, target: CorpusFeatures
) -> None:
    table = target.table
    few = table[(table["speaker"] != "00") | (table["utterance_id"].str.endswith("-0"))]
    cut = replace(target, table=few)
    assert (few["speaker"] == "00").sum() < MINIMUM_SPEAKER
    data = read_pair(source, cut, ("2",), CLASSES, "speaker")
    assert data.notes == (
        "1 of 10 speakers have fewer than 8 utterances and are standardised with their corpus (english/00)",
    )
    train = few[few["split"] == "train"]
    corpus = np.stack([features_of(target, key) for key in utterance_keys(train)])
    place = next(place for place, key in enumerate(data.target_train.keys) if key.startswith("english/s0"))
    own = features_of(target, data.target_train.keys[place])
    np.testing.assert_allclose(
        data.target_train.features[place, 0],
        (own - corpus.mean(axis=0)) / corpus.std(axis=0),
        rtol=1e-3,
        atol=1e-4,
    )


def test_each_corpus_of_a_joined_source_has_its_own_statistics_however_often_it_is_repeated(
    corpus_of: Callable[..., CorpusFeatures],
) -> None:
    near, far = corpus_of("near", seed=1), corpus_of("far", seed=2, shift=2.0)
    target = corpus_of("target", seed=3)
    once = [read_pair(corpus, target, ("2",), CLASSES, "corpus") for corpus in (near, far)]
    joined = join_corpora("both", [near, far], [1, 3])
    data = read_pair(joined, target, ("2",), CLASSES, "corpus")
    expected = {
        key: row
        for part in once
        for key, row in zip(part.source_train.keys, part.source_train.features, strict=True)
    }
    assert len(data.source_train) == len(once[0].source_train) + 3 * len(once[1].source_train)
    for key, row in zip(data.source_train.keys, data.source_train.features, strict=True):
        torch.testing.assert_close(row, expected[key])


def test_a_transductive_test_set_is_read_from_its_own_corpus(
    source: CorpusFeatures, target: CorpusFeatures
) -> None:
    everyone = replace(target, table=target.table.assign(split="train"))
    tested = replace(target, table=target.table.assign(split="test"))
    data = read_pair(source, everyone, ("2",), CLASSES, "corpus", test=tested)
    assert len(data.target_test) == 5 * 4 * 4
    assert set(data.target_test.keys) < set(data.target_train.keys)


def test_sequences_have_one_mean_and_scale_per_channel() -> None:
    values = torch.tensor([[[1.0, 3.0], [5.0, 5.0]], [[5.0, 7.0], [5.0, 5.0]]])  # (2, channels, frames)
    statistics = measure_statistics(values, whole_rows=True)
    assert statistics.mean.tolist() == [[4.0], [5.0]]
    assert statistics.scale[0].item() == pytest.approx(np.std([1, 3, 5, 7]))
    assert statistics.apply(values)[0, 0].tolist() == pytest.approx([-3 / np.sqrt(5), -1 / np.sqrt(5)])


def test_groups_take_the_first_choice_that_has_statistics_and_say_when_there_is_none() -> None:
    values = torch.tensor([[[1.0]], [[3.0]], [[10.0]], [[30.0]]])
    statistics = measure_groups(values, ["a", "a", "b", "b"])
    found = apply_groups(values, statistics, ["x", "a", "x", "b"], ["a", "b", "b", "a"])
    assert found.flatten().tolist() == [-1.0, 1.0, -1.0, 1.0]
    assert set(measure_groups(values, ["a", "a", "a", "b"], minimum=2)) == {"a"}
    with pytest.raises(ValueError, match="no statistics of x or y; there are a, b"):
        apply_groups(values, statistics, ["x"] * 4, ["y"] * 4)

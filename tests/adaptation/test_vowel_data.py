from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

from layersim.adaptation.vowel_data import read_vowels
from layersim.errors import LayersimError
from layersim.features.cache import FeatureCache
from layersim.features.dataset import CorpusFeatures

PHONES = (("AA1", "T", "IY0"), ("XYZ",), ("IY1", "AA0"), ("T", "UW2"))  # of utterances u0 to u3


class MemoryCache:
    """Answers like an opened feature cache: segments (P, layers, D), their value the row and the layer."""

    layers, frame_layers, width = ("0", "1", "2", "d1"), ("0", "1", "2"), 2

    def __init__(self, keys: Sequence[str], phones: pd.DataFrame) -> None:
        self.keys, self.phones = list(keys), phones

    def read(self, product: str, layer: str, rows: np.ndarray) -> np.ndarray:
        assert product == "phone/mean"
        assert len(rows)  # an HDF5 file has no empty stretch
        return np.stack([rows, np.full(len(rows), int(layer))], axis=1).astype(np.float32)


@pytest.fixture
def make_corpus() -> Callable[..., CorpusFeatures]:
    """Make a corpus with `PHONES`; its cache holds the utterances in the order asked for."""

    def make(order: Sequence[int] = (0, 1, 2, 3), phone_set: str | None = "arpabet") -> CorpusFeatures:
        table = pd.DataFrame(
            {
                "corpus": "english",
                "utterance_id": [f"u{number}" for number in order],
                "speaker": "s",
                "emotion": ["anger" if number < 2 else "" for number in order],
                "split": ["train" if number != 2 else "test" for number in order],
            }
        )
        spoken = [
            (f"english/u{number}", phone, 0.1 * place, 0.1 * place + 0.1, 5)
            for number in order
            for place, phone in enumerate(PHONES[number])
        ]
        phones = pd.DataFrame(spoken, columns=["utterance", "phone", "start", "end", "frames"])
        keys = [f"english/u{number}" for number in order]
        return CorpusFeatures("english", table, cast("FeatureCache", MemoryCache(keys, phones)), phone_set)

    return make


def test_vowels_are_read_of_the_utterances_in_their_order_then_by_time(
    make_corpus: Callable[..., CorpusFeatures],
) -> None:
    segments, notes = read_vowels(make_corpus(), ["english/u2", "english/u0"], ["0", "2"])
    assert len(segments) == 4
    assert segments.vowels == ("i", "a", "a", "i")  # IY1 AA0 of u2, AA1 IY0 of u0; T is no vowel
    assert segments.utterance.tolist() == [0, 0, 1, 1]
    assert segments.features.tolist() == [
        [[4, 0], [4, 2]], [[5, 0], [5, 2]], [[0, 0], [0, 2]], [[2, 0], [2, 2]],
    ]  # fmt: skip
    assert segments.features.dtype is torch.float32
    assert notes == []


def test_the_order_of_a_caches_rows_changes_nothing_but_the_rows(
    make_corpus: Callable[..., CorpusFeatures],
) -> None:
    keys = ["english/u0", "english/u2", "english/u3"]
    first, _ = read_vowels(make_corpus(), keys, ["1"])
    other, _ = read_vowels(make_corpus((3, 2, 1, 0)), keys, ["1"])
    assert (first.vowels, first.utterance.tolist()) == (other.vowels, other.utterance.tolist())
    assert first.vowels == ("a", "i", "i", "a", "u")
    assert other.features[:, 0, 0].tolist() == [5, 7, 2, 3, 1]


def test_a_restricted_table_and_a_replaced_split_column_change_nothing(
    make_corpus: Callable[..., CorpusFeatures],
) -> None:
    corpus, keys = make_corpus(), ["english/u0", "english/u3"]
    whole, _ = read_vowels(corpus, keys, ["1"])
    resplit = replace(corpus, table=corpus.table.assign(split="test"))
    for changed in (corpus.restrict("train"), resplit, resplit.restrict("test").without_labels()):
        found, _ = read_vowels(changed, keys, ["1"])
        assert found.vowels == whole.vowels
        assert found.features.equal(whole.features)
        assert found.utterance.equal(whole.utterance)


def test_phones_that_the_set_does_not_know_are_counted_and_said(
    make_corpus: Callable[..., CorpusFeatures], caplog: pytest.LogCaptureFixture
) -> None:
    segments, notes = read_vowels(make_corpus(), ["english/u1"], ["0", "1"])
    assert notes == ["english: phones that its phone set does not know were left out: 'XYZ' 1."]
    assert notes[0] in caplog.text
    assert (len(segments), tuple(segments.features.shape)) == (0, (0, 2, 2))


@pytest.mark.parametrize("key", ["english/u9", "english/u2"])
def test_an_utterance_that_the_table_does_not_have_is_the_callers_mistake(
    make_corpus: Callable[..., CorpusFeatures], key: str
) -> None:
    with pytest.raises(ValueError, match=rf"1 stand in its table less often .*first: \['{key}'\]"):
        read_vowels(make_corpus().restrict("train"), ["english/u0", key], ["1"])
    with pytest.raises(ValueError, match="1 stand in its table less often than here"):
        read_vowels(make_corpus(), ["english/u0", "english/u0"], ["1"])


def test_features_without_phones_say_what_to_do(make_corpus: Callable[..., CorpusFeatures]) -> None:
    said = r"english: its features hold no phones\. Make them \(layersim align\).*layersim extract --force"
    with pytest.raises(LayersimError, match=said):
        read_vowels(make_corpus(phone_set=None), ["english/u0"], ["1"])
    bare = make_corpus()
    cast("Any", bare.cache).phones = bare.cache.phones.iloc[:0]
    with pytest.raises(LayersimError, match=said):
        read_vowels(bare, ["english/u0"], ["1"])


def test_a_layer_without_frames_has_no_phones(make_corpus: Callable[..., CorpusFeatures]) -> None:
    with pytest.raises(
        LayersimError, match=r"layers d1 of its features have no phones\..*with phones: 0, 1, 2"
    ):
        read_vowels(make_corpus(), ["english/u0"], ["2", "d1"])

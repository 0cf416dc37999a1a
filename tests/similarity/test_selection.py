from __future__ import annotations

import numpy as np
import pytest

from layersim.errors import LayersimError
from layersim.similarity.selection import select, select_pair
from layersim.similarity.settings import RankConfig

UTTERANCE, PHONEME = RankConfig(), RankConfig(level="phoneme")


@pytest.fixture
def corpus(make_corpus):
    def make(name="a", emotions=("anger", "sadness", "anger", "calm"), splits=("train",) * 4):
        return make_corpus(name, np.ones((4, 1, 2)), emotions, ["s2", "s1", "s2", "s1"], splits)

    return make


@pytest.mark.parametrize("split", ["test", "validation", ""])
def test_a_row_outside_the_train_split_is_refused(corpus, split):
    with pytest.raises(ValueError, match=f"a must be restricted to its train split.*found split '{split}'"):
        select(corpus(splits=("train", "train", split, "train")), ["anger"])


def test_only_train_rows_with_a_shared_emotion_are_selected_in_the_order_of_their_keys(corpus):
    source = corpus(splits=("train", "train", "test", "train"))
    shuffled = corpus("b", emotions=("sadness", "anger", "calm", "fear"))
    shuffled.table["utterance_id"] = ["u9", "u3", "u1", "u0"]
    first, second, notes = select_pair(source, shuffled, UTTERANCE)
    assert first.labels == second.labels == ("anger", "calm", "sadness")
    assert first.keys == ("a/u0000", "a/u0001", "a/u0003")
    assert second.keys == ("b/u1", "b/u3", "b/u9")
    assert second.cache_rows.tolist() == [2, 1, 0]
    assert first.mask.tolist() == [True, True, False, True]
    assert second.mask.tolist() == [True, True, True, False]
    assert first.counts.tolist() == [[1, 1, 1]]
    assert first.spoken[0].tolist() == [[False, True], [True, False], [True, False]]
    assert notes == []


def test_a_corpus_without_a_train_split_is_a_clear_error(corpus):
    with pytest.raises(LayersimError, match="b: no utterance with features is in split train"):
        select_pair(corpus(), corpus("b", splits=("",) * 4), UTTERANCE)


def test_an_emotion_that_only_the_test_split_has_is_not_shared(corpus):
    source = corpus(splits=("train", "test", "train", "test"))
    first, _, _ = select_pair(source, corpus("b"), UTTERANCE)
    assert first.labels == ("anger",)
    with pytest.raises(
        LayersimError, match=r"a: no train utterance with emotion 'sadness'\. It has: anger\."
    ):
        select_pair(source, corpus("b"), RankConfig(emotions=("sadness",)))


def test_corpora_without_a_shared_emotion_are_told_apart_by_name(corpus):
    other = corpus("b", emotions=("fear", "disgust", "fear", "fear"))
    with pytest.raises(
        LayersimError, match=r"share no emotion.*: anger, calm, sadness against disgust, fear"
    ):
        select_pair(corpus(), other, UTTERANCE)


def test_phoneme_level_without_phones_says_what_to_do(corpus):
    with pytest.raises(
        LayersimError,
        match=r"a: its features hold no phones\. Make them \(layersim align\).*--level utterance",
    ):
        select_pair(corpus(), corpus("b"), PHONEME)


def test_phones_are_taken_of_the_selected_utterances_and_shared_vowels_only(corpus, add_phones):
    labels = [["AA1", "T"], ["IY0"], ["AA0", "UW1"], ["T"]]
    source = add_phones(corpus(splits=("train", "train", "test", "train")), labels, np.ones((6, 1, 2)))
    labels = [["AA1", "IY1"], ["IY1", "T"], ["AA1"], ["AA1"]]
    target = add_phones(corpus("b"), labels, np.ones((6, 1, 2)))
    first, second, notes = select_pair(source, target, PHONEME)
    assert len(first.strata) == 2  # those of AA and IY; UW is in a test utterance
    assert first.strata == second.strata
    assert first.mask.tolist() == [True, False, True, False, False, False]
    assert second.mask.tolist() == [True, True, True, False, True, True]
    assert [first.keys[row] for row in first.item[first.mask]] == ["a/u0000", "a/u0001"]
    assert notes == []


def test_unknown_phones_of_train_utterances_are_counted_and_said(corpus, add_phones, caplog):
    labels = [["AA1", "XYZ"], ["AA1", "XYZ"], ["AA1"], ["XX"]]
    source = add_phones(corpus(splits=("train", "train", "train", "test")), labels, np.ones((6, 1, 2)))
    target = add_phones(corpus("b"), [["AA1"]] * 4, np.ones((4, 1, 2)))
    _, _, notes = select_pair(source, target, PHONEME)
    assert notes == ["a: phones that its phone set does not know were left out: 'XYZ' 2."]
    assert notes[0] in caplog.text


def test_corpora_without_a_shared_vowel_are_a_clear_error(corpus, add_phones):
    source = add_phones(corpus(), [["AA1"]] * 4, np.ones((4, 1, 2)))
    target = add_phones(corpus("b"), [["IY1"]] * 4, np.ones((4, 1, 2)))
    with pytest.raises(LayersimError, match=r"a and b share no vowel: .* against .*Check the phone_set"):
        select_pair(source, target, PHONEME)

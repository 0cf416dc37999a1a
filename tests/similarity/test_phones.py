"""Which segments are compared: vowels by name, middle thirds, enough frames, consonants."""

from __future__ import annotations

import re

import numpy as np
import pytest

from layersim.errors import LayersimError
from layersim.similarity.rank import RankConfig, rank_layers
from layersim.similarity.selection import select_pair


def phoneme(**changes):
    return RankConfig(level="phoneme", bootstraps=0, permutations=0, probe_limit=0, **changes)


def test_named_vowels_are_compared_and_no_others(segment_pair):
    pair = segment_pair()
    ranking = rank_layers(*pair, phoneme(vowels=("u", "a")))
    assert list(dict.fromkeys(ranking.counts["vowel"])) == ["a", "u"]
    everything = rank_layers(*pair, phoneme())
    common = everything.cells[everything.cells["vowel"] == "a"]
    own = ranking.cells[ranking.cells["vowel"] == "a"]
    assert own["similarity"].tolist() == pytest.approx(common["similarity"].tolist())


def test_vowels_that_are_not_shared_are_an_error_that_lists_the_shared_ones_with_counts(segment_pair):
    source, target = segment_pair()
    target.cache.phones = target.cache.phones.replace({"UW1": "T"})
    counts = [corpus.cache.phones["phone"].value_counts() for corpus in (source, target)]
    listed = f"a {counts[0]['AA1']}/{counts[1]['AA1']}, i {counts[0]['IY0']}/{counts[1]['IY0']}."
    said = "source and target do not share vowel 'u', 'x'. They share (segments in source/target): "
    with pytest.raises(LayersimError, match=re.escape(said + listed)):
        rank_layers(source, target, phoneme(vowels=("a", "u", "x")))


def test_short_segments_are_left_out_and_counted(segment_pair):
    source, target = segment_pair()
    frames = np.arange(len(source.cache.phones)) % 4
    source.cache.phones["frames"] = frames
    first, second, notes = select_pair(source, target, phoneme(min_frames=2))
    vowel = source.cache.phones["phone"].isin(["AA1", "IY0", "UW1"]).to_numpy()
    np.testing.assert_array_equal(first.mask, vowel & (frames >= 2))
    assert second.mask.sum() == target.cache.phones["phone"].isin(["AA1", "IY0", "UW1"]).sum()
    left_out = (vowel & (frames < 2)).sum()
    assert notes == [
        f"source: {left_out} of {vowel.sum()} segments have fewer than 2 frames and were left out."
    ]
    assert "segments of 2 frames or more" in rank_layers(source, target, phoneme(min_frames=2)).definition


def test_middle_thirds_are_read_from_their_own_product_with_their_own_frames(segment_pair):
    pair = segment_pair()
    with pytest.raises(
        LayersimError, match=r"source: its features hold whole segments only.*extract --middle"
    ):
        rank_layers(*pair, phoneme(middle=True))
    for corpus in pair:
        corpus.cache.products["phone/middle"] = corpus.cache.products["phone/mean"] * [[[1, 1, 1, 1, -5]]]
        corpus.cache.phones["middle_frames"] = np.arange(len(corpus.cache.phones)) % 3
    ranking = rank_layers(*pair, phoneme(middle=True))
    assert {product for product, _, _ in pair[0].cache.reads} == {"phone/middle", "utterance/mean"}
    assert "middle thirds of vowel segments" in ranking.definition
    first, _, _ = select_pair(*pair, phoneme(middle=True, min_frames=1))
    assert (pair[0].cache.phones["middle_frames"][first.mask] >= 1).all()


def test_consonants_are_compared_by_the_same_means_where_all_phones_were_pooled(segment_pair):
    pair = segment_pair(vowels=("S", "N", "AA1", "T"), shares=(0.3, 0.3, 0.2, 0.2))
    with pytest.raises(LayersimError, match=r"source: its features hold vowels only.*extract --phones all"):
        rank_layers(*pair, phoneme(classes="consonants"))
    for corpus in pair:
        corpus.cache.pooled = "all"
    ranking = rank_layers(*pair, phoneme(classes="consonants"))
    assert sorted(set(ranking.counts["consonant"])) == ["n", "s", "t"]
    assert "per consonant, then averaged over the shared consonants" in ranking.definition
    assert ranking.axes.stratum == "consonant"
    free = rank_layers(*pair, phoneme(classes="consonants", label_free=True))
    assert free.to_json()["consonants"] == ["n", "s", "t"]

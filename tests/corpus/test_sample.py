"""A sample for a quick try is balanced, whole in its splits, and always the same."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layersim.corpus.importers import import_corpus
from layersim.corpus.manifest import utterance_keys
from layersim.corpus.sample import balanced_sample

SPLITS = ("train", "train", "train", "validation", "test")


def corpus(cells: dict[tuple[int, str], int]) -> pd.DataFrame:
    """Make so many utterances per (speaker, emotion); speakers 0-2 train, 3 validates, 4 tests."""
    rows = [
        ("small", f"{speaker}-{emotion}-{number}", f"s{speaker}", emotion, SPLITS[speaker])
        for (speaker, emotion), size in cells.items()
        for number in range(size)
    ]
    return pd.DataFrame(rows, columns=["corpus", "utterance_id", "speaker", "emotion", "split"])


def even(size: int = 10) -> pd.DataFrame:
    return corpus({(speaker, emotion): size for speaker in range(5) for emotion in ("anger", "fear", "calm")})


def test_a_sample_of_an_even_corpus_is_even_in_splits_emotions_and_speakers():
    sample = balanced_sample(even(), 30)
    assert sample["split"].value_counts().to_dict() == {"train": 18, "validation": 6, "test": 6}
    assert set(sample["emotion"].value_counts()) == {10}
    assert set(sample.groupby(["speaker", "emotion"]).size()) == {2}


def test_a_frequent_emotion_does_not_crowd_out_a_rare_one():
    sizes = {"neutral": 60, "anger": 6, "fear": 2}
    manifest = corpus({(speaker, emotion): size for speaker in range(5) for emotion, size in sizes.items()})
    train = balanced_sample(manifest, 50)["emotion"][lambda e: e.index < 30]
    # 50 of 340: 30 train, 10 each a side; of 30 train utterances 6 are fear (all there are), 12 and 12
    assert Counter(train) == {"fear": 6, "anger": 12, "neutral": 12}


def test_a_talkative_speaker_does_not_crowd_out_a_quiet_one():
    manifest = corpus({(0, "anger"): 80, (1, "anger"): 4, (2, "anger"): 4, (3, "anger"): 4, (4, "anger"): 4})
    sample = balanced_sample(manifest, 12)
    # 88 of 96 train: 11 of 12 by share, but each side has at least one
    assert sample.loc[sample["split"] == "train", "speaker"].value_counts().to_dict() in (
        {"s0": 4, "s1": 3, "s2": 3},
        {"s0": 3, "s1": 4, "s2": 3},
        {"s0": 3, "s1": 3, "s2": 4},
    )
    assert sample["split"].value_counts().to_dict() == {"train": 10, "validation": 1, "test": 1}


def test_rows_keep_their_order_and_all_their_columns():
    manifest = even().assign(text=lambda table: table["utterance_id"] + "!")
    sample = balanced_sample(manifest, 17)
    places = [manifest["utterance_id"].tolist().index(name) for name in sample["utterance_id"]]
    assert places == sorted(places)
    assert list(sample.index) == list(range(17))
    pd.testing.assert_frame_equal(sample, manifest.iloc[places].reset_index(drop=True))


def test_a_limit_beyond_the_corpus_takes_all_of_it():
    manifest = even(2)
    for limit in (len(manifest), len(manifest) + 1):
        pd.testing.assert_frame_equal(balanced_sample(manifest, limit), manifest)


def test_a_limit_under_one_is_the_callers_mistake():
    with pytest.raises(ValueError, match="limit: expected 1 or more, got 0"):
        balanced_sample(even(), 0)


def test_other_seeds_take_other_utterances():
    taken = {tuple(balanced_sample(even(), 12, seed)["utterance_id"]) for seed in range(5)}
    assert len(taken) == 5


CELLS = st.dictionaries(
    st.tuples(st.integers(0, 4), st.sampled_from(["anger", "fear", "calm", "joy"])),
    st.integers(1, 12),
    min_size=1,
)


@given(cells=CELLS, limit=st.integers(1, 60), seed=st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_every_sample_has_its_size_covers_the_splits_and_does_not_depend_on_row_order(cells, limit, seed):
    manifest = corpus(cells)
    sample = balanced_sample(manifest, limit, seed)
    keys = utterance_keys(sample)
    assert len(keys) == len(set(keys)) == min(limit, len(manifest))
    assert set(keys) <= set(utterance_keys(manifest))
    if limit >= manifest["split"].nunique():
        assert set(sample["split"]) == set(manifest["split"])
    shuffled = manifest.iloc[np.random.default_rng(seed).permutation(len(manifest))]
    assert set(utterance_keys(balanced_sample(shuffled, limit, seed))) == set(keys)
    # within a split no emotion has two more than another that still had utterances to give
    for split, part in sample.groupby("split"):
        had = manifest[manifest["split"] == split]["emotion"].value_counts()
        got = part["emotion"].value_counts().reindex(had.index, fill_value=0)
        unfinished = got[got < had]
        assert unfinished.empty or got.max() <= unfinished.min() + 1


@pytest.mark.parametrize(("name", "speakers"), [("emodb", 10), ("ravdess", 24), ("casia", 4)])
def test_sixty_utterances_of_a_real_corpus_hold_every_split_emotion_and_speaker(shared, name, speakers):
    manifest = import_corpus(name, shared / "data" / name).manifest
    sample = balanced_sample(manifest, 60)
    assert len(sample) == 60
    assert sample["speaker"].nunique() == speakers
    assert set(sample["emotion"]) == set(manifest["emotion"])
    shares = sample["split"].value_counts(normalize=True)
    for split, share in manifest["split"].value_counts(normalize=True).items():
        assert abs(shares[split] - share) < 1 / 60

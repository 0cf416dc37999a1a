"""Splits: the published folds to the letter, and drawn ones that keep speakers apart."""

from __future__ import annotations

from collections import Counter, defaultdict

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layersim.corpus.importers import import_corpus
from layersim.corpus.splits import Fold, apply_fold, assert_speaker_disjoint, assign_splits, folds
from layersim.errors import LayersimError


def corpus(sizes: dict[str, int], genders: dict[str, str] | None = None) -> pd.DataFrame:
    """Make one row per utterance: so many of each speaker."""
    speakers = [speaker for speaker, size in sizes.items() for _ in range(size)]
    table = pd.DataFrame({"corpus": "small", "speaker": speakers, "split": ""})
    return table if genders is None else table.assign(gender=[genders[speaker] for speaker in speakers])


def splits_of(manifest: pd.DataFrame) -> dict[str, set[str]]:
    found = defaultdict(set)
    for speaker, split in zip(manifest["speaker"], manifest["split"], strict=True):
        found[speaker].add(split)
    return dict(found)


def side(text: str) -> tuple[str, ...]:
    """Read a cell of the published table: "13, 14" or "16-20"."""
    if "-" in text:
        first, last = map(int, text.split("-"))
        return tuple(f"{number:02d}" for number in range(first, last + 1))
    return tuple(text.split(", "))


# arXiv 2311.13678, fold 1 to 5.
PUBLISHED = {
    "emodb": (["13, 14", "11, 12", "09, 10", "03, 08", "15, 16"],
              ["15, 16", "13, 14", "11, 12", "09, 10", "03, 08"]),
    "ravdess": (["16-20", "11-15", "06-10", "01-05", "21-24"],
                ["21-24", "16-20", "11-15", "06-10", "01-05"]),
    "esd": (["0007, 0008", "0005, 0006", "0003, 0004", "0001, 0002", "0009, 0010"],
            ["0009, 0010", "0007, 0008", "0005, 0006", "0003, 0004", "0001, 0002"]),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_folds_are_those_of_the_published_table(name):
    validation, test = PUBLISHED[name]
    expected = [Fold(side(one), side(two)) for one, two in zip(validation, test, strict=True)]
    assert folds(name) == expected


@pytest.mark.parametrize(("name", "speakers"), [("emodb", 10), ("ravdess", 24), ("esd", 10)])
def test_every_speaker_tests_once_and_validates_once(name, speakers):
    for part in ("validation_speakers", "test_speakers"):
        counts = Counter(speaker for fold in folds(name) for speaker in getattr(fold, part))
        assert len(counts) == speakers
        assert set(counts.values()) == {1}
    assert all(not set(fold.validation_speakers) & set(fold.test_speakers) for fold in folds(name))


def test_a_corpus_is_found_under_its_usual_spellings_and_an_unknown_one_names_the_known():
    assert folds("Emo-DB") == folds("emodb")
    with pytest.raises(LayersimError, match=r"corpus casia: no published folds\. Known: emodb, esd, ravdess"):
        folds("casia")


@pytest.mark.parametrize("spelling", ["{:02d}", "Actor_{:02d}", "actor-{}", "{}"])
def test_a_fold_finds_its_speakers_under_any_spelling_of_their_number(spelling):
    manifest = corpus({spelling.format(actor): 2 for actor in range(1, 25)})
    splits = splits_of(apply_fold(manifest, folds("ravdess")[0]))
    for actor in range(1, 25):
        expected = "test" if actor > 20 else "validation" if actor > 15 else "train"
        assert splits[spelling.format(actor)] == {expected}


def test_two_spellings_of_one_speaker_never_part():
    manifest = corpus({name: 1 for actor in range(1, 25) for name in (f"{actor:02d}", f"Actor_{actor:02d}")})
    splits = splits_of(apply_fold(manifest, folds("ravdess")[2]))
    assert all(splits[f"{actor:02d}"] == splits[f"Actor_{actor:02d}"] for actor in range(1, 25))


def test_a_fold_replaces_the_splits_and_nothing_else():
    manifest = corpus({speaker: 2 for fold in folds("emodb") for speaker in fold.test_speakers})
    manifest.index = manifest.index[::-1]
    manifest["split"] = "test"
    found = apply_fold(manifest, folds("emodb")[0])
    assert set(manifest["split"]) == {"test"}
    pd.testing.assert_frame_equal(found.drop(columns="split"), manifest.drop(columns="split"))
    assert splits_of(found)["13"] == {"validation"}
    assert splits_of(found)["16"] == {"test"}
    assert splits_of(found)["03"] == {"train"}


def test_a_fold_whose_speakers_are_missing_names_them():
    with pytest.raises(LayersimError, match=r"lacks: 14, 15, 16\. It has 03, 13\. Import the whole corpus"):
        apply_fold(corpus({"03": 1, "13": 1}), folds("emodb")[0])


@pytest.mark.parametrize("name", ["emodb", "ravdess"])
def test_all_folds_apply_to_the_real_corpora(shared, name):
    manifest = import_corpus(name, shared / "data" / name).manifest
    tested = []
    for fold in folds(name):
        found = apply_fold(manifest, fold)
        assert_speaker_disjoint(found)
        assert set(found["split"]) == {"train", "validation", "test"}
        tested += found.loc[found["split"] == "test", "utterance_id"].tolist()
    assert sorted(tested) == sorted(manifest["utterance_id"])


def test_ten_equal_speakers_are_split_six_two_two_with_both_genders_everywhere():
    names = [f"s{number}" for number in range(10)]
    genders = {name: ("female", "male")[number % 2] for number, name in enumerate(names)}
    for seed in range(5):
        found = assign_splits(corpus(dict.fromkeys(names, 7), genders), seed)
        assert found["split"].value_counts().to_dict() == {"train": 42, "validation": 14, "test": 14}
        each = found.drop_duplicates("speaker").groupby("split")["gender"].value_counts()
        assert each.to_dict() == {
            (split, gender): 3 if split == "train" else 1
            for split in ("train", "validation", "test")
            for gender in ("female", "male")
        }


def test_of_two_women_and_two_men_one_each_train():
    genders = {"a": "female", "b": "female", "c": "male", "d": "male"}
    for seed in range(8):
        found = assign_splits(corpus(dict.fromkeys(genders, 200), genders), seed)
        assert set(found.loc[found["split"] == "train", "gender"]) == {"female", "male"}


def test_a_speaker_with_most_of_the_utterances_trains():
    found = assign_splits(corpus({**dict.fromkeys("abcdefghi", 10), "z": 90}))
    assert splits_of(found)["z"] == {"train"}
    assert found["split"].value_counts()["train"] / len(found) < 0.65


def test_other_seeds_draw_other_speakers():
    manifest = corpus(dict.fromkeys("abcdefghij", 5))
    assert len({tuple(assign_splits(manifest, seed)["split"]) for seed in range(10)}) > 3


SIZES = st.dictionaries(st.text("abcd", min_size=1, max_size=4), st.integers(1, 30), min_size=3, max_size=25)


@given(sizes=SIZES, seed=st.integers(0, 5), data=st.data())
@settings(max_examples=60, deadline=None)
def test_splits_keep_speakers_apart_fill_all_three_and_do_not_depend_on_row_order(sizes, seed, data):
    genders = {speaker: data.draw(st.sampled_from(["female", "male", ""])) for speaker in sizes}
    manifest = corpus(sizes, genders)
    found = assign_splits(manifest, seed)
    assert_speaker_disjoint(found)
    assert set(found["split"]) == {"train", "validation", "test"}
    shuffled = assign_splits(manifest.sample(frac=1, random_state=seed), seed)
    assert splits_of(shuffled) == splits_of(found)


@given(sizes=st.lists(st.integers(20, 60), min_size=20, max_size=40))
@settings(max_examples=40, deadline=None)
def test_with_twenty_speakers_and_more_the_shares_are_close_to_60_20_20(sizes):
    found = assign_splits(corpus({f"s{number}": size for number, size in enumerate(sizes)}))
    shares = found["split"].value_counts(normalize=True)
    largest = max(sizes) / sum(sizes)  # no method can do better than about half a speaker
    assert shares["train"] == pytest.approx(0.6, abs=largest)
    assert shares["validation"] == pytest.approx(0.2, abs=largest)
    assert shares["test"] == pytest.approx(0.2, abs=largest)


def test_two_speakers_cannot_be_split_three_ways():
    with pytest.raises(LayersimError, match=r"small: 2 speakers; three are needed.*Set the splits by hand"):
        assign_splits(corpus({"a": 5, "b": 5}))


def test_a_speaker_in_two_splits_is_named_but_not_a_namesake_or_a_row_in_no_split():
    manifest = corpus({"a": 2, "b": 2, "c": 2})
    manifest["split"] = ["train", "test", "train", "", "test", "test"]
    with pytest.raises(LayersimError, match=r"in more than one split: small/a\. Give each speaker one split"):
        assert_speaker_disjoint(manifest)
    manifest.loc[1, "corpus"] = "other"
    assert_speaker_disjoint(manifest)

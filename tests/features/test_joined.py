"""Several corpora as one: every row of the whole is the row of a part, and repetitions stay apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layersim.adaptation.data import read_labelled, read_unlabelled
from layersim.adaptation.pair import read_pair
from layersim.alignment.phone_set import CLASSES, load_phone_set
from layersim.corpus.manifest import utterance_keys
from layersim.errors import LayersimError
from layersim.features.cache import FeatureCache
from layersim.features.dataset import CorpusFeatures
from layersim.features.joined import join_corpora
from layersim.features.shard_writer import ShardWriter
from layersim.features.shards import PhoneRows, ShardRows
from layersim.similarity.inputs import fingerprint, same_encoder
from layersim.similarity.phones import share_phones
from layersim.similarity.selection import select_pair
from layersim.similarity.settings import RankConfig

WIDTH = 3
EMOTIONS = ("anger", "sadness")


class PooledCache(FeatureCache):
    """A cache of mean and standard deviation whose vectors are read by a plain loop."""

    def vectors(self, layers: Sequence[str], rows: np.ndarray) -> np.ndarray:
        values = np.empty((len(rows), len(layers), 2 * self.width), np.float32)
        for column, layer in enumerate(layers):
            for place, row in enumerate(rows):
                one = np.array([row])
                values[place, column, : self.width] = self.read("utterance/mean", layer, one)[0]
                values[place, column, self.width :] = self.read("utterance/std", layer, one)[0]
        return values


def make_corpus(
    folder: Path, name: str, phones: Sequence[str] = (), phone_set: str | None = None, **other: Any
) -> CorpusFeatures:
    """Eight utterances: speakers 01 and 02 train, 03 validates, 04 tests; each has the same phones."""
    rng = np.random.default_rng(len(name))
    rows = [
        (name, f"u{speaker}{emotion[0]}", f"0{speaker}", emotion, split)
        for speaker, split in enumerate(("train", "train", "validation", "test"), start=1)
        for emotion in EMOTIONS
    ]
    table = pd.DataFrame(rows, columns=["corpus", "utterance_id", "speaker", "emotion", "split"])
    table = table.assign(source_label=table["emotion"], start=np.nan, end=np.nan)
    keys = utterance_keys(table)
    mean, std = rng.standard_normal((2, len(keys), 2, WIDTH)).astype(np.float32)
    owners = [key for key in keys for _ in phones]
    held = None
    if phone_set is not None:
        starts = np.arange(len(owners)) / 10
        values = rng.standard_normal((len(owners), 2, WIDTH)).astype(np.float32)
        held = PhoneRows(
            owners, list(phones) * len(keys), starts, starts + 0.1, np.full(len(owners), 5), values
        )
    made = {"layers": ["0", "1"], "frame_layers": ["0", "1"], "width": WIDTH, "phone_set": phone_set,
            "phones": "vowels" if phone_set else None, "store": "pooled", "selection": "all", "middle": False,
            "manifest_sha256": name, "encoder": {"checkpoint": "tiny", "weights_sha256": "0"},
            **other}  # fmt: skip
    with ShardWriter(folder / name, 0, 1, made) as writer:
        writer.finish(ShardRows(keys, np.full(len(keys), 4000), np.full(len(keys), 12), mean, std, held))
    return CorpusFeatures(name, table, PooledCache.open(folder / name), phone_set)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[CorpusFeatures, CorpusFeatures]:
    folder = tmp_path_factory.mktemp("parts")
    return make_corpus(folder, "german"), make_corpus(folder, "english")


@pytest.fixture(scope="module")
def joined(parts: tuple[CorpusFeatures, CorpusFeatures]) -> CorpusFeatures:
    return join_corpora("DEEN", parts, [3, 1])


def test_only_train_utterances_are_repeated_each_with_a_row_of_its_own_under_its_one_key(joined):
    counts = Counter(utterance_keys(joined.table))
    assert {key: count for key, count in counts.items() if count > 1} == {
        f"german/u{speaker}{letter}": 3 for speaker in (1, 2) for letter in "as"
    }
    assert len(counts) == 16  # both corpora, whole
    assert len(joined.cache) == len(joined.table) == 16 + 2 * 4
    assert joined.table.index.tolist() == list(range(24))
    assert joined.cache.keys == utterance_keys(joined.table) == joined.cache.table["utterance"].tolist()
    assert Counter(joined.restrict("validation").table["corpus"]) == {"german": 2, "english": 2}


def test_two_corpora_may_both_have_a_speaker_03(joined):
    assert set(joined.restrict("validation").table["speaker"]) == {"german/03", "english/03"}
    again = join_corpora("twice joined", [joined])
    assert set(again.table["speaker"]) == set(joined.table["speaker"])  # not german/german/03


@given(rows=st.lists(st.integers(0, 23), max_size=40))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_is_read_from_its_own_part_in_the_order_asked_for(parts, joined, rows):
    wanted = np.array(rows, dtype=np.int64)
    owner = {corpus.name: corpus for corpus in parts}
    found = joined.cache.read("utterance/std", "1", wanted)
    vectors = joined.cache.vectors(["1", "0"], wanted)
    assert found.shape == (len(rows), WIDTH)
    assert vectors.shape == (len(rows), 2, 2 * WIDTH)
    for place, row in enumerate(rows):
        corpus = owner[joined.table["corpus"][row]]
        own = np.array([utterance_keys(corpus.table).index(joined.cache.keys[row])])
        np.testing.assert_array_equal(found[place], corpus.cache.read("utterance/std", "1", own)[0])
        expected = [[*corpus.cache.read("utterance/mean", layer, own)[0],
                     *corpus.cache.read("utterance/std", layer, own)[0]] for layer in ("1", "0")]  # fmt: skip
        np.testing.assert_array_equal(vectors[place], np.array(expected, np.float32))


def test_chunks_give_what_read_gives(joined):
    mask = np.arange(24) % 3 > 0
    chunks = list(joined.cache.chunks("utterance/mean", "0", mask, size=5))
    assert [len(rows) for rows, _ in chunks] == [5, 5, 5, 1]
    rows = np.concatenate([rows for rows, _ in chunks])
    assert rows.tolist() == np.flatnonzero(mask).tolist()
    values = np.concatenate([values for _, values in chunks])
    np.testing.assert_array_equal(values, joined.cache.read("utterance/mean", "0", rows))
    assert sum(len(rows) for rows, _ in joined.cache.chunks("utterance/mean", "0")) == 24


def test_impossible_rows_masks_and_sizes_are_refused(joined):
    with pytest.raises(ValueError, match=r"rows: expected 0\.\.23, got 3\.\.24"):
        joined.cache.read("utterance/mean", "0", np.array([3, 24]))
    with pytest.raises(ValueError, match=r"rows_mask: expected shape \(24,\), got \(3,\)"):
        next(joined.cache.chunks("utterance/mean", "0", np.ones(3, bool)))
    with pytest.raises(ValueError, match="size: expected at least 1, got 0"):
        next(joined.cache.chunks("utterance/mean", "0", size=0))


def test_training_reads_repeated_utterances_as_often_as_they_stand_there(parts, joined):
    german = parts[0]
    train = read_labelled(joined, "train", ["0", "1"], EMOTIONS)
    assert train.counts(EMOTIONS) == {"anger": 8, "sadness": 8}
    assert list(train.keys) == sorted(train.keys)
    row_of = {key: row for row, key in enumerate(utterance_keys(german.table))}
    for place, key in enumerate(train.keys):
        if key.startswith("german"):
            expected = german.cache.vectors(["0", "1"], np.array([row_of[key]]))[0]
            np.testing.assert_array_equal(train.features[place].numpy(), expected)
    other = replace(german, name="third", table=german.table.assign(corpus="third"))
    data = read_pair(joined, other, ["1"], EMOTIONS, "corpus")
    assert (len(data.source_train), len(data.source_validation), len(data.target_test)) == (16, 4, 2)


def test_the_order_of_a_parts_rows_changes_no_byte(parts):
    german, english = parts
    shuffled = replace(german, table=german.table.sample(frac=1, random_state=3))
    one, two = (join_corpora("DEEN", [first, english], [3, 1]) for first in (german, shuffled))
    assert read_unlabelled(one, "train", ["0"]).sha256() == read_unlabelled(two, "train", ["0"]).sha256()


def test_a_piece_of_a_corpus_can_be_joined_and_so_can_a_joined_corpus(parts):
    german, english = parts
    piece = replace(english, table=english.table.iloc[[1, 2]])
    whole = join_corpora("whole", [join_corpora("inner", [german, piece], [1, 2]), parts[1].restrict("test")])
    keys = utterance_keys(piece.table)
    assert whole.cache.keys[-6:] == [*keys, *keys, "english/u4a", "english/u4s"]
    expected = english.cache.read("utterance/mean", "0", np.array([1, 2, 1, 2, 6, 7]))
    np.testing.assert_array_equal(whole.cache.read("utterance/mean", "0", np.arange(8, 14)), expected)


def test_an_optional_column_may_be_missing_in_one_part(parts):
    german, english = parts
    table = join_corpora("DEEN", [replace(german, table=german.table.assign(gender="male")), english]).table
    assert dict(Counter(table["gender"])) == {"male": 8, "": 8}


def test_what_no_encoder_made_can_be_joined_too():
    """Acoustic features have vectors of their own width and nothing else to read."""

    @dataclass
    class Functionals:
        values: np.ndarray
        layers: tuple[str, ...] = ("functionals",)
        width: int = 5

        @property
        def provenance(self) -> dict[str, Any]:
            return {"encoder": {"checkpoint": "eGeMAPS"}}

        def vectors(self, layers: Sequence[str], rows: np.ndarray) -> np.ndarray:
            return self.values[rows][:, None]

    corpora = [
        CorpusFeatures(name, pd.DataFrame({"corpus": name, "utterance_id": ["a", "b"], "speaker": ["1", "2"],
                                           "emotion": EMOTIONS, "split": ["train", "test"]}),
                       Functionals(offset + np.arange(10, dtype=np.float32).reshape(2, 5)), None)
        for name, offset in (("one", 0), ("two", 100))
    ]  # fmt: skip
    joined = join_corpora("both", corpora, [2, 1])
    vectors = joined.cache.vectors(["functionals"], np.arange(5))
    assert vectors[:, 0, 0].tolist() == [0, 5, 0, 100, 105]
    assert joined.phone_set is None
    assert len(joined.cache.phones) == 0


def test_different_encoders_are_refused_by_name(tmp_path, parts):
    other = make_corpus(tmp_path, "mandarin", encoder={"checkpoint": "other", "weights_sha256": "0"})
    said = r"german and mandarin have .* different encoders \(checkpoint: 'tiny' and 'other'\)\. To join them"
    with pytest.raises(LayersimError, match=said):
        join_corpora("DECH", [parts[0], other])


def test_an_utterance_in_two_parts_is_refused(parts):
    with pytest.raises(LayersimError, match=r"german and german share 8 utterances \(first: german/u1a\)"):
        join_corpora("twice", [parts[0], parts[0]])


@pytest.mark.parametrize("repeats", [[1], [1, 0]])
def test_repeats_must_fit_the_parts(parts, repeats):
    with pytest.raises(ValueError, match=r"repeats: expected 2 numbers of at least 1, got \["):
        join_corpora("DEEN", parts, repeats)
    with pytest.raises(ValueError, match="parts: expected at least one"):
        join_corpora("none", [])


def test_a_joined_corpus_says_what_it_was_made_of(parts, joined):
    provenance = joined.cache.provenance
    assert [(part["name"], part["repeats"]) for part in provenance["parts"]] == [
        ("german", 3),
        ("english", 1),
    ]
    assert "manifest_sha256" not in provenance  # the parts differ in it
    assert same_encoder(joined, parts[0]) == "tiny"
    assert fingerprint(joined) != fingerprint(join_corpora("DEEN", parts, [2, 1]))


# Phones


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CorpusFeatures]:
    """German aː, ɪ, y: and one strange label; English father, face, and t; Mandarin a, ü."""
    folder = tmp_path_factory.mktemp("spoken")
    return {
        "german": make_corpus(folder, "german", ["a:", "I", "y:", "?!?"], "sampa-de"),
        "english": make_corpus(folder, "english", ["AA1", "EY0", "T"], "arpabet"),
        "mandarin": make_corpus(folder, "mandarin", ["a4", "ü3"], "pinyin"),
        "silent": make_corpus(folder, "silent"),
    }


def test_phones_of_one_set_keep_their_labels_and_follow_their_repeated_utterance(spoken):
    german = spoken["german"]
    twin = replace(german, name="twin", table=german.table.iloc[:0])
    joined = join_corpora("both", [german, twin], [2, 1])
    assert joined.phone_set == "sampa-de"
    phones = joined.phones
    assert len(phones) == joined.cache.phone_count == (8 + 4) * 4
    assert phones["phone"].tolist() == ["a:", "I", "y:", "?!?"] * 12
    assert phones["utterance"].tolist() == [joined.cache.keys[row] for row in phones["row"]]
    assert Counter(phones["row"]) == dict.fromkeys(range(12), 4)  # not all on the last repetition
    assert set(joined.restrict("test").phones["row"]) == {6, 7}
    first = german.cache.read("phone/mean", "1", np.array([4, 5, 6, 7]))  # of utterance 1
    for row in (1, 9):
        own = phones.index[phones["row"] == row].to_numpy()
        np.testing.assert_array_equal(joined.cache.read("phone/mean", "1", own), first)


def test_phones_of_different_sets_are_named_by_class_and_unknown_ones_stay_unknown(spoken):
    joined = join_corpora("DEEN", [spoken["german"], spoken["english"]])
    assert joined.phone_set == CLASSES
    labels = Counter(joined.phones["phone"])
    assert labels == {"a": 16, "ɪ": 8, "y": 8, "??!?": 8, "ej": 8, "t": 8}
    known = load_phone_set(CLASSES)
    assert known.find("??!?") is None
    assert [known.find(label) for label in ("a", "ej", "t", "")] == ["a", "ej", "", ""]
    assert [known.find(label, "consonant") for label in ("a", "t", "j")] == ["", "t", "j"]


def test_vowels_of_a_joined_corpus_meet_those_of_a_third_language(spoken):
    """y comes from the German part, a from both; neither label occurs in the Mandarin set's spelling."""
    joined = join_corpora("DEEN", [spoken["german"], spoken["english"]], [2, 1])
    config = RankConfig(level="phoneme")
    sides = (joined.restrict("train"), spoken["mandarin"].restrict("train"))
    shared = share_phones(sides, EMOTIONS, config)
    assert shared.classes == ("a", "y")
    assert Counter(shared.of_rows[0]) - Counter({"": 10**6}) == {"a": 2 * 4 + 4, "y": 2 * 4}
    assert any("'??!?' 8" in note for note in shared.notes)
    first, _, _ = select_pair(joined, spoken["mandarin"], config)
    assert first.counts.tolist() == [[6, 6], [4, 4]]  # vowel by emotion: repeated utterances count again
    assert first.speakers == ("english/01", "english/02", "german/01", "german/02")


def test_every_class_that_a_built_in_set_has_is_its_own_label():
    known = load_phone_set(CLASSES)
    for name in ("arpabet", "espeak-ipa", "mfa-ipa", "pinyin", "sampa-de"):
        for kind, table in load_phone_set(name).classes.items():
            other = "consonant" if kind == "vowel" else "vowel"
            for label in set(table.values()) - {""}:
                assert (known.find(label, kind), known.find(label, other)) == (label, "")


def test_a_part_without_phones_leaves_the_whole_without(spoken):
    joined = join_corpora("DECH", [spoken["german"], spoken["silent"]])
    assert joined.phone_set is None
    assert len(joined.phones) == 0
    with pytest.raises(LayersimError, match=r"DECH: has no phones, because there are none of silent\. Make"):
        joined.cache.read("phone/mean", "0", np.array([0]))

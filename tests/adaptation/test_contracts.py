"""No target label and no test utterance reaches training or selection; the same seed gives the same bytes."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from layersim.adaptation.anchored import learn_anchored
from layersim.adaptation.anchors import Anchors
from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures, VowelSegments
from layersim.adaptation.methods import METHODS
from layersim.adaptation.pair import read_pair
from layersim.adaptation.run import Run
from layersim.adaptation.task import Task
from layersim.adaptation.train import train_pair
from layersim.features.dataset import CorpusFeatures

ANCHORS = Anchors("2,3", ("2", "3"), "as listed")
FOLDERS = ("cc", "cc-std", "la-2-3")


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They cost more than the training of these small corpora, and decide nothing."""
    monkeypatch.setattr(Run, "_draw", lambda *_: None)


def trained_bytes(folder: Path) -> dict[str, bytes]:
    """Every model file and training curve: what training and selection decided."""
    files = [*folder.rglob("model.safetensors"), *folder.rglob("curves.csv")]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def train_both(
    first: tuple[CorpusFeatures, CorpusFeatures], second: tuple[CorpusFeatures, CorpusFeatures],
    settings: Any, folder: Path,
) -> tuple[dict[str, bytes], dict[str, bytes]]:  # fmt: skip
    for place, (source, target) in enumerate((first, second)):
        train_pair(source, target, settings, ANCHORS, folder / str(place))
    found = trained_bytes(folder / "0"), trained_bytes(folder / "1")
    assert len(found[0]) == 2 * 2 * len(FOLDERS)
    return found


def test_permuting_all_target_labels_leaves_every_trained_byte_as_it_is(
    source: CorpusFeatures, target: CorpusFeatures, with_table: Callable[..., CorpusFeatures],
    settings_of: Callable[..., Any], tmp_path: Path,
) -> None:  # fmt: skip
    order = np.random.default_rng(3).permutation(len(target.table))
    labels = target.table["emotion"].to_numpy(dtype=object)[order]
    assert (labels != target.table["emotion"].to_numpy(dtype=object)).mean() > 0.5
    shuffled = with_table(target, emotion=labels, source_label=labels)
    before, after = train_both((source, target), (source, shuffled), settings_of(), tmp_path)
    assert before == after


def test_changing_the_targets_test_and_validation_features_leaves_every_trained_byte_as_it_is(
    source: CorpusFeatures, target: CorpusFeatures, with_features: Callable[..., CorpusFeatures],
    settings_of: Callable[..., Any], tmp_path: Path,
) -> None:  # fmt: skip
    unseen = np.flatnonzero((target.table["split"] != "train").to_numpy())
    changed = with_features(target, unseen, by=50.0)
    before, after = train_both((source, target), (source, changed), settings_of(), tmp_path)
    assert before == after


def test_changing_the_sources_test_features_leaves_every_trained_byte_as_it_is(
    source: CorpusFeatures, target: CorpusFeatures, with_features: Callable[..., CorpusFeatures],
    settings_of: Callable[..., Any], tmp_path: Path,
) -> None:  # fmt: skip
    tested = np.flatnonzero((source.table["split"] == "test").to_numpy())
    before, after = train_both(
        (source, target), (with_features(source, tested, by=50.0), target), settings_of(), tmp_path
    )
    assert before == after


def test_the_target_does_act_through_its_unlabelled_train_split(
    source: CorpusFeatures, target: CorpusFeatures, with_features: Callable[..., CorpusFeatures],
    settings_of: Callable[..., Any], tmp_path: Path,
) -> None:  # fmt: skip
    """The tests above would pass for a training that ignores the target; this one would not."""
    trained = np.flatnonzero((target.table["split"] == "train").to_numpy())[:10]
    before, after = train_both(
        (source, target), (source, with_features(target, trained, by=5.0)), settings_of(), tmp_path
    )
    same = {name for name in before if before[name] == after[name]}
    assert not {name for name in same if name.startswith("la-2-3")}
    # cc knows nothing of the target; cc-std's weights neither, but its file keeps the target's statistics.
    assert {name for name in before if name.startswith("cc/")} <= same
    assert "cc-std/seed-0/curves.csv" in same
    assert "cc-std/seed-0/model.safetensors" not in same


def test_a_task_has_no_field_for_an_emotion_of_the_target_and_none_for_the_test_set() -> None:
    assert {field.name for field in dataclasses.fields(UnlabelledFeatures)} == {"keys", "features"}
    hints = typing.get_type_hints(Task)
    assert hints["target"] is UnlabelledFeatures
    assert {name for name, hint in hints.items() if hint is LabelledFeatures} == {"source", "validation"}
    assert {field.name for field in dataclasses.fields(VowelSegments)} == {"features", "utterance", "vowels"}
    for definition in METHODS.values():
        assert next(iter(inspect.signature(definition.learn).parameters)) == "task"


def test_what_is_read_without_labels_is_blind_to_them_and_holds_emotions_outside_the_class_list(
    source: CorpusFeatures, target: CorpusFeatures
) -> None:
    data = read_pair(source, target, ("2",), ("anger", "sadness"), "corpus")
    train = target.table[target.table["split"] == "train"]
    assert set(data.target_train.keys) == set("english/" + train["utterance_id"])
    assert set(data.source_train.emotions) == {"anger", "sadness"}
    assert set(data.target_test.emotions) == {"anger", "sadness"}


def test_speakers_of_the_target_test_split_are_in_no_train_part(
    source: CorpusFeatures, target: CorpusFeatures
) -> None:
    data = read_pair(source, target, ("2",), ("anger", "sadness"), "corpus")
    speaker_of = dict(zip("english/" + target.table["utterance_id"], target.table["speaker"], strict=True))
    assert {speaker_of[key] for key in data.target_train.keys} == {"00", "01", "02"}
    assert set(data.target_test.speakers) == {"04"}


def test_statistics_come_from_each_corpuss_own_train_split(
    source: CorpusFeatures, target: CorpusFeatures
) -> None:
    def train_features(corpus: CorpusFeatures) -> np.ndarray:
        rows = np.flatnonzero((corpus.table["split"] == "train").to_numpy())
        parts = [corpus.cache.read(f"utterance/{name}", "2", rows) for name in ("mean", "std")]  # type: ignore
        return np.concatenate(parts, axis=1)

    own = read_pair(source, target, ("2",), ("anger", "sadness"), "corpus")
    plain = read_pair(source, target, ("2",), ("anger", "sadness"), "source")
    for data, corpus in ((own, target), (plain, source)):
        expected = train_features(corpus)
        np.testing.assert_allclose(data.target_statistics.mean[0], expected.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(data.target_statistics.scale[0], expected.std(axis=0), rtol=1e-4)
    assert own.target_train.features.mean().abs() < 1e-5
    assert plain.target_train.features.mean().abs() > 0.5  # the planted offset stays


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any], tmp_path: Path
) -> None:
    before, after = train_both((source, target), (source, target), settings_of(), tmp_path)
    assert before == after
    assert before["cc/seed-0/model.safetensors"] != before["cc/seed-1/model.safetensors"]


def test_the_order_of_a_caches_rows_does_not_matter(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any], tmp_path: Path
) -> None:
    def shuffled(corpus: CorpusFeatures) -> CorpusFeatures:
        order = np.random.default_rng(9).permutation(len(corpus.table))
        return dataclasses.replace(corpus, table=corpus.table.iloc[order])

    before, after = train_both(
        (source, target), (shuffled(source), shuffled(target)), settings_of(), tmp_path
    )
    assert before == after


def test_training_leaves_the_callers_random_numbers_alone(
    source: CorpusFeatures, target: CorpusFeatures, settings_of: Callable[..., Any]
) -> None:
    import torch

    data = read_pair(source, target, ("2",), ("anger", "sadness"), "corpus")
    config = settings_of(epochs=1).config
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    learn_anchored(data.task(("anger", "sadness")), config, 0)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("pandas_strings", ["object", "string"])
def test_labels_may_be_of_either_string_kind(
    source: CorpusFeatures, target: CorpusFeatures, pandas_strings: str
) -> None:
    def cast(corpus: CorpusFeatures) -> CorpusFeatures:
        kinds = dict.fromkeys(("emotion", "split", "speaker", "utterance_id"), pandas_strings)
        return dataclasses.replace(corpus, table=pd.DataFrame(corpus.table).astype(kinds))

    data = read_pair(cast(source), cast(target), ("2",), ("anger", "sadness"), "corpus")
    expected = read_pair(source, target, ("2",), ("anger", "sadness"), "corpus")
    assert data.hashes() == expected.hashes()

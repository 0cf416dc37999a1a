from __future__ import annotations

import os
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layersim.errors import ClaimedError, LayersimError
from layersim.features import shards
from layersim.features.shard_writer import ShardWriter, remove_left_overs
from layersim.features.shards import MiddleRows, PhoneRows, ShardRows


def rows(utterances: int, phones: int | None, seed: int = 0, width: int = 4) -> ShardRows:
    rng = np.random.default_rng(seed)
    keys = [f"corpus/ü{number}" for number in range(utterances)]
    table = None
    if phones is not None:
        table = PhoneRows(
            [keys[0]] * phones, ["ɔ"] * phones, np.arange(phones) / 10, np.arange(phones) / 10 + 0.05,
            np.arange(phones), rng.standard_normal((phones, 2, width)).astype(np.float32),
        )  # fmt: skip
    mean, std = rng.standard_normal((2, utterances, 3, width)).astype(np.float32)
    return ShardRows(keys, np.full(utterances, 999), np.full(utterances, 2), mean, std, table)


def write(folder, content, index=0, count=1, provenance=None):
    with ShardWriter(folder, index, count, provenance or {"layers": ["0", "1", "2"]}) as writer:
        writer.finish(content)
    return shards.part_file(folder, index)


def test_the_layout_is_the_documented_one(tmp_path):
    content = rows(100, 70)
    with h5py.File(write(tmp_path, content, provenance={"width": 4, "encoder": {"stack": "both"}})) as shard:
        assert shard["utterance/mean"].chunks == (64, 1, 4)
        assert shard["utterance/std"].chunks == (64, 1, 4)
        assert shard["phone/mean"].chunks == (64, 1, 4)
        assert shard["utterance/mean"].compression is None
        assert shard["utterance/mean"].dtype == np.dtype("<f4")
        assert shard["utterance/table"].dtype.names == ("utterance", "samples", "frames")
        assert shard["phone/table"].dtype.names == ("utterance", "phone", "start", "end", "frames")
        assert shard["phone/table"]["phone"][0].decode() == "ɔ"
        assert "frames" not in shard
        assert set(shard.attrs) == {"width", "encoder"}
        assert shards.provenance_of(shard) == {"width": 4, "encoder": {"stack": "both"}, "middle": False}
        np.testing.assert_array_equal(shard["utterance/mean"][:], content.mean)


def test_middle_thirds_stand_beside_the_phones_and_without_them_not_a_byte_says_so(tmp_path):
    content = rows(5, 3)
    middle = MiddleRows(np.array([2, 0, 1]), np.ones((3, 2, 4), dtype=np.float32))
    with_middle = replace(content, phones=replace(content.phones, middle=middle))
    with h5py.File(write(tmp_path / "with", with_middle, provenance={"middle": True})) as shard:
        assert shard["phone/middle"].dtype == np.dtype("<f4")
        assert shard["phone/table"].dtype.names[-2:] == ("frames", "middle_frames")
        assert shard["phone/table"]["middle_frames"].tolist() == [2, 0, 1]
        np.testing.assert_array_equal(shard["phone/middle"][:], middle.mean)
        assert shards.provenance_of(shard) == {"middle": True}
    without = write(tmp_path / "without", content, provenance={"middle": False})
    with h5py.File(without) as shard:
        assert set(shard["phone"]) == {"table", "mean"}
        assert not list(shard.attrs)


@pytest.mark.parametrize(("utterances", "phones"), [(1, None), (5, 0), (64, 3)])
def test_small_shards_and_shards_without_phones_can_be_written(tmp_path, utterances, phones):
    with h5py.File(write(tmp_path, rows(utterances, phones))) as shard:
        assert ("phone" in shard) == (phones is not None)
        assert len(shard["utterance/mean"]) == utterances


def test_the_same_content_written_later_has_the_same_bytes(tmp_path):
    first = write(tmp_path / "a", rows(70, 30)).read_bytes()
    time.sleep(1.1)  # HDF5 keeps times in whole seconds, where it is let
    assert write(tmp_path / "b", rows(70, 30)).read_bytes() == first


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_never_reach_a_finished_file(tmp_path, bad):
    content = rows(5, None)
    content.std[3, 1, 2] = bad
    with pytest.raises(ValueError, match="/utterance/std: holds NaN or Inf"):
        write(tmp_path, content)
    assert list(tmp_path.iterdir()) == []


def test_the_file_and_its_name_are_flushed_before_and_after_the_rename(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(os.readlink(f"/proc/self/fd/{handle}")))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), replace(a, b)))
    write(tmp_path, rows(5, None))
    assert [name.rpartition(".")[2] for name in done[:2]] == ["tmp", "rename"]
    assert done[2] == str(tmp_path)


def test_temporary_files_go_unless_they_are_those_of_a_claim(tmp_path):
    with ShardWriter(tmp_path, 1, 9, {}):
        held = set(tmp_path.iterdir())
        assert len(held) == 2  # the claim, and what is being written
        for name in ("part-00001.h5.0123456789abcdef.tmp", "part-00002.h5.elsewhere-7.tmp", "notes.txt"):
            (tmp_path / name).touch()
        (tmp_path / ".run.json.7.tmp").touch()
        remove_left_overs(tmp_path)
        assert set(tmp_path.iterdir()) == {*held, tmp_path / "notes.txt", tmp_path / ".run.json.7.tmp"}
    os.utime(tmp_path / ".run.json.7.tmp", (0, 0))
    remove_left_overs(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "notes.txt"]


def test_a_shard_that_is_being_written_is_refused_to_others_and_says_who_writes_it(tmp_path):
    with (
        ShardWriter(tmp_path, 1, 9, {}),
        pytest.raises(ClaimedError, match=rf"part-00001.h5: process {os.getpid()} on .* is writing it"),
        ShardWriter(tmp_path, 1, 9, {}),
    ):
        raise AssertionError("two writers of one file")
    with ShardWriter(tmp_path, 1, 9, {}):
        pass


def test_who_was_taken_for_dead_does_not_replace_what_its_successor_makes(tmp_path):
    with ShardWriter(tmp_path, 0, 1, {}) as slow:
        (tmp_path / "part-00000.h5.claim").unlink()
        with ShardWriter(tmp_path, 0, 1, {}) as successor:
            with pytest.raises(ClaimedError, match=r"part-00000.h5: process .* has taken it over"):
                slow.finish(rows(5, None, seed=1))
            successor.finish(rows(5, None, seed=2))
    with h5py.File(tmp_path / "part-00000.h5") as shard:
        np.testing.assert_array_equal(shard["utterance/mean"][:], rows(5, None, seed=2).mean)
    assert [file.name for file in tmp_path.iterdir()] == ["part-00000.h5"]


def test_a_file_that_is_no_shard_says_what_to_do(tmp_path):
    (tmp_path / "part-00000.h5").write_bytes(b"not HDF5")
    with (
        pytest.raises(LayersimError, match="Delete this file and run layersim extract again"),
        shards.open_shard(tmp_path / "part-00000.h5"),
    ):
        pass
    with h5py.File(tmp_path / "part-00001.h5", "w"):
        pass
    with (
        pytest.raises(LayersimError, match="is not a layersim cache"),
        shards.open_shard(tmp_path / "part-00001.h5"),
    ):
        pass


@given(utterances=st.integers(0, 500), size=st.integers(1, 100))
def test_shards_cover_every_row_once_in_order(utterances, size):
    ranges = shards.shard_ranges(utterances, size)
    assert [row for rows in ranges for row in rows] == list(range(utterances))
    assert all(len(rows) == size for rows in ranges[:-1])


def test_frames_come_in_any_order_but_as_many_as_announced(tmp_path):
    with ShardWriter(tmp_path, 0, 1, {}) as writer:
        writer.reserve_frames([2, 3], 1, 4)
        writer.write_frames(1, np.ones((1, 3, 4), np.float16))
        with pytest.raises(ValueError, match="expected 2, got 3"):
            writer.write_frames(0, np.ones((1, 3, 4), np.float16))
        writer.write_frames(0, np.zeros((1, 2, 4), np.float16))
        writer.finish(rows(2, None))
    with h5py.File(tmp_path / "part-00000.h5") as shard:
        assert shard["frame_offsets"][:].tolist() == [0, 2, 5]
        assert shard["frames"][0, :, 0].tolist() == [0, 0, 1, 1, 1]
        assert shard["frames"].dtype == np.float16

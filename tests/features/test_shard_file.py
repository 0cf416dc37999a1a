"""What reaches the disk, what is said where it cannot, and that no bit of it can change unseen."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from layersim.errors import LayersimError
from layersim.features.cache import FeatureCache
from layersim.features.shard_file import checksum_of
from layersim.features.shard_heads import read_head
from layersim.features.shard_writer import ShardWriter
from layersim.features.shards import ShardRows, open_shard
from layersim.provenance import library_versions


def rows(utterances: int, width: int = 4) -> ShardRows:
    rng = np.random.default_rng(0)
    keys = [f"c/{number}" for number in range(utterances)]
    mean, std = rng.standard_normal((2, utterances, 3, width)).astype(np.float32)
    return ShardRows(keys, np.full(utterances, 999), np.full(utterances, 2), mean, std, None)


def write(folder, index=0, width=4):
    provenance = {
        "layers": ["0", "1", "2"],
        "frame_layers": [],
        "width": width,
        "phone_set": None,
        "selection": "all",
        "manifest_sha256": "0",
        "encoder": {"checkpoint": "tiny"},
    }
    with ShardWriter(folder, index, 2, provenance) as writer:
        writer.finish(rows(3, width))
    return folder / f"part-{index:05d}.h5"


@contextmanager
def files_of_at_most(size: int):
    """Let no file of this process grow beyond a size: writes fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def as_older_versions_wrote(file):
    """Write the shard again without its user block."""
    with h5py.File(file) as shard, h5py.File(file.with_suffix(".old"), "w", libver="earliest") as old:
        for name in shard:
            shard.copy(name, old)
        old.attrs.update(shard.attrs)
    file.with_suffix(".old").replace(file)


def test_the_checksum_is_what_sha256sum_says_of_the_rest(tmp_path):
    content = write(tmp_path).read_bytes()
    digest = hashlib.sha256(content[512:]).hexdigest()
    line = f"layersim shard, SHA-256 of the bytes from 512 on: {digest}\n".encode()
    assert content[:512] == line + bytes(512 - len(line))
    assert checksum_of(tmp_path / "part-00000.h5") == "right"


def test_a_flipped_bit_and_bytes_cut_off_or_added_are_found_wherever_they_are(tmp_path):
    file = write(tmp_path)
    whole = file.read_bytes()
    flipped = tmp_path / "flipped"
    for place in [*range(0, 600, 3), *range(600, len(whole), 41)]:
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        flipped.write_bytes(content)
        assert checksum_of(flipped) == "wrong", place
    for length in range(0, len(whole), 151):
        flipped.write_bytes(whole[:length])
        assert checksum_of(flipped) == "wrong", length
    flipped.write_bytes(whole + b"\0")
    assert checksum_of(flipped) == "wrong"


def test_shards_without_a_checksum_are_read_as_before(tmp_path):
    for index in range(2):
        as_older_versions_wrote(write(tmp_path, index))
    assert checksum_of(tmp_path / "part-00000.h5") == "none"
    np.testing.assert_array_equal(
        FeatureCache.open(tmp_path).read("utterance/std", "1"), np.tile(rows(3).std[:, 1], (2, 1))
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_whatever_a_damaged_file_makes_hdf5_say_is_an_error_that_names_the_file(tmp_path):
    """Bits flipped where HDF5 keeps its tables: reading gives the numbers, other numbers, or this error."""
    file = write(tmp_path)
    whole = file.read_bytes()

    def read(place: int) -> bool:
        content = bytearray(whole)
        content[place] ^= 0xFF
        file.write_bytes(content)
        try:
            read_head(file)
            with open_shard(file) as shard:
                shard["utterance/mean"][:, 1]
        except LayersimError as error:
            if str(file) not in str(error):
                raise
            return True
        return False

    if not (process := os.fork()):  # so that a crash of HDF5 fails this test and not all others
        faults = -1
        try:
            faults = sum(read(place) for place in range(512, len(whole), 23))
        finally:
            os._exit(0 if faults > 10 else 1)
    assert os.waitpid(process, 0)[1] == 0


@pytest.mark.parametrize("limit", [0, 100, 600, 3_000, 40_000])
def test_a_disk_that_is_full_in_the_middle_of_a_shard_is_said_and_leaves_what_was_finished(tmp_path, limit):
    first = write(tmp_path, 0, 5_000).read_bytes()
    with (
        files_of_at_most(limit),
        pytest.raises(LayersimError, match=r"cannot be written to: File too large.*kept\. Make room, then"),
    ):
        write(tmp_path, 1, 5_000)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"part-00000.h5": first}
    write(tmp_path, 1, 5_000)
    assert len(FeatureCache.open(tmp_path)) == 6


def test_no_room_for_frames_is_said_too(tmp_path):
    with files_of_at_most(100_000), ShardWriter(tmp_path, 0, 1, {}) as writer:
        writer.reserve_frames([500, 500], 2, 100)
        for utterance in range(2):
            writer.write_frames(utterance, np.ones((2, 500, 100), np.float16))
        with pytest.raises(LayersimError, match="Make room"):
            writer.finish(rows(2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "write", "open", "replace"])
def test_each_step_of_writing_says_what_the_system_said(tmp_path, monkeypatch, call):
    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(LayersimError, match=r"cannot be written to: No space left on device.*Make room"):
            write(tmp_path)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path)


def test_a_folder_that_may_not_be_written_to_is_said(small, make_corpus, tmp_path, monkeypatch):
    versions = library_versions()  # the other user may not look into this environment's folder
    monkeypatch.setattr("layersim.features.provenance.library_versions", lambda: versions)
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    try:
        corpus = make_corpus(folder)
        cache = folder / "cache"
        small.extract_small(corpus.folder)
        (cache / "part-00001.h5").unlink()
        kept = {file.name: file.read_bytes() for file in cache.iterdir()}
        for path in (folder, cache):
            path.chmod(0o555)
        user = os.geteuid()
        if user == 0:  # to whom everything is allowed
            os.seteuid(65534)
        try:
            with pytest.raises(LayersimError, match=r"cannot be written to: Permission denied.*writable"):
                small.extract_small(corpus.folder)
        finally:
            os.seteuid(user)
        assert {file.name: file.read_bytes() for file in cache.iterdir()} == kept
        for path in (folder, cache):
            path.chmod(0o755)
        small.extract_small(corpus.folder)
        assert len(FeatureCache.open(cache)) == 11
    finally:
        shutil.rmtree(folder)

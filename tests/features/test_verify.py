"""``layersim cache``: what stands in the caches, and what is wrong with them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest

from layersim.corpus.manifest import read_manifest, write_manifest
from layersim.errors import LayersimError, ProvenanceError, StageMissingError
from layersim.features.cache import FeatureCache
from layersim.features.extract import extract, extract_share
from layersim.features.share import Share
from layersim.features.status import cache_status
from layersim.features.verify import verify_caches
from layersim.workspace import CorpusEntry, Workspace


@pytest.fixture
def workspace(tmp_path, make_corpus):
    made = make_corpus(tmp_path / "tones")
    file = made.folder / "manifest.csv"
    write_manifest(read_manifest(file), file)
    entry = CorpusEntry(
        manifest=file, audio_root=made.folder, alignments=made.folder / "phones.csv", phone_set="arpabet"
    )
    (tmp_path / "other").mkdir()
    return Workspace.create(tmp_path / "study", "small", {"tones": entry})


@pytest.fixture
def cache(workspace, small, settings):
    extract(workspace, settings(middle=True, store="frames"), encoder=small.SmallEncoder())
    return workspace.cache_folder("tones")


def faults(workspace, **which):
    (report,) = verify_caches(workspace, **which)
    return report.faults


def rewrite(file, change):
    """Change a shard as another program would: its checksum is gone or wrong, so take it away."""
    with h5py.File(file) as shard, h5py.File(file.with_suffix(".new"), "w", libver="earliest") as new:
        for name in shard:
            shard.copy(name, new)
        new.attrs.update(shard.attrs)
        change(new)
    file.with_suffix(".new").replace(file)


def test_a_cache_that_is_whole_is_said_to_be(workspace, cache):
    (report,) = verify_caches(workspace)
    size = sum(file.stat().st_size for file in cache.glob("part-*"))
    assert (report.shards, report.utterances, report.bytes, report.without_checksum) == (4, 11, size, 0)
    assert report.faults == []
    assert report.to_table().startswith("tones, small: 4 shards, 11 utterances, ")
    assert report.to_table().endswith("all is right")


def test_old_shards_without_checksum_are_counted_and_no_fault(workspace, cache):
    rewrite(cache / "part-00001.h5", lambda _: None)
    (report,) = verify_caches(workspace)
    assert (report.without_checksum, report.faults) == (1, [])
    assert "1 shards have no checksum" in report.to_table()


def test_a_damaged_shard_is_named_and_made_anew_after_it_was_deleted(workspace, cache, small, settings):
    whole = {file.name: file.read_bytes() for file in cache.glob("part-*")}
    flipped = bytearray(whole["part-00001.h5"])
    flipped[-1000] ^= 4
    (cache / "part-00001.h5").write_bytes(flipped)
    (cache / "part-00002.h5").write_bytes(whole["part-00002.h5"][:-100])
    advice = "Delete this file and run layersim extract again: it makes only what is missing."
    first, second = faults(workspace)
    damaged = "is damaged: its checksum is not that of its bytes."
    assert first == f"{cache}/part-00001.h5: {damaged} {advice}"
    assert second == f"{cache}/part-00002.h5: {damaged} {advice}"
    with pytest.raises(LayersimError, match=r"00002.h5: cannot be read as HDF5 .*truncated.*Delete this"):
        FeatureCache.open(cache)
    again = settings(middle=True, store="frames")
    with pytest.raises(LayersimError, match=r"part-00002.h5: cannot be read as HDF5 .*Delete this file"):
        extract(workspace, again, encoder=small.SmallEncoder())
    (cache / "part-00001.h5").unlink()
    (cache / "part-00002.h5").unlink()
    assert faults(workspace) == [
        f"{cache}: 2 of 4 shards are not there, the first part-00001.h5: layersim extract makes them."
    ]
    extract(workspace, again, encoder=small.SmallEncoder())
    assert {file.name: file.read_bytes() for file in cache.glob("part-*")} == whole
    assert faults(workspace) == []


def test_force_removes_only_the_shards_that_cannot_be_read(workspace, cache, small, settings):
    whole = {file.name: file.read_bytes() for file in cache.glob("part-*")}
    (cache / "part-00002.h5").write_bytes(whole["part-00002.h5"][:-100])
    encoder = small.SmallEncoder()
    extract(workspace, settings(middle=True, store="frames"), encoder=encoder, force=True)
    assert sum(encoder.batches) == 3
    assert {file.name: file.read_bytes() for file in cache.glob("part-*")} == whole


def test_the_command_for_another_encoders_cache_names_it(workspace, cache):
    other = workspace.root / "cache" / "owner--other" / cache.name
    other.parent.mkdir()
    cache.rename(other)
    (other / "part-00001.h5").unlink()
    (fault,) = faults(workspace)
    assert "layersim extract --encoder FOLDER/small makes them" in fault  # as its shards say


def test_a_shard_of_another_encoder_or_number_dropped_in_is_named(workspace, cache, small, settings):
    again = settings(middle=True, store="frames")
    shutil.copy(cache / "part-00001.h5", cache / "part-00002.h5")
    wrong = r"part-00002.h5: holds shard 1 \(of 0..3\), under another's name. Delete this file"
    for act in (
        lambda: FeatureCache.open(cache),
        lambda: extract(workspace, again, encoder=small.SmallEncoder()),
    ):
        with pytest.raises(LayersimError, match=wrong):
            act()
    assert "part-00002.h5: holds shard 1 (of 0..3), under another's name" in faults(workspace)[0]

    other = replace(workspace, encoder="wide")
    wide = small.SmallEncoder(width=6)
    wide.describe = lambda: {"checkpoint": "wide", "weights_sha256": "1" * 64}
    extract(other, again, encoder=wide)
    shutil.copy(other.cache_folder("tones") / "part-00002.h5", cache / "part-00002.h5")
    odd = r"part-00002.h5: is of another cache:\n(.|\n)*encoder.checkpoint: this file has 'wide', (the|asked)"
    for act in (
        lambda: FeatureCache.open(cache),
        lambda: extract(workspace, again, encoder=small.SmallEncoder()),
    ):
        with pytest.raises(ProvenanceError, match=odd) as caught:
            act()
        assert "Delete this file and run layersim extract again" in str(caught.value)
    (fault,) = faults(workspace, encoder="small")
    assert "part-00002.h5: is of another cache" in fault
    assert "width: this file has 6, the other shards have 5" in fault
    (cache / "part-00002.h5").unlink()
    extract(workspace, again, encoder=small.SmallEncoder())
    assert faults(workspace, encoder="small") == []


def test_a_shard_of_another_manifest_dropped_in_is_named(workspace, cache, small, settings):
    kept = (cache / "part-00001.h5").read_bytes()
    file = workspace.corpus("tones").manifest
    manifest = read_manifest(file)
    write_manifest(manifest.iloc[::-1].reset_index(drop=True), file)
    again = settings(middle=True, store="frames")
    extract(workspace, again, encoder=small.SmallEncoder(), force=True)
    (cache / "part-00001.h5").write_bytes(kept)
    with pytest.raises(ProvenanceError, match=r"00001.h5: is of another cache:\n  manifest_sha256: this"):
        extract(workspace, again, encoder=small.SmallEncoder())
    (fault,) = faults(workspace)
    assert "part-00001.h5: is of another cache:\n" in fault
    assert "manifest_sha256: this file has" in fault


def spoil(name, value):
    def change(shard):
        shard[name][0, 0, 0] = value

    return change


def shorten(shard):
    values = shard["utterance/std"][:-1]
    del shard["utterance/std"]
    shard["utterance/std"] = values


def rename(shard):
    table = shard["utterance/table"][:]
    table["utterance"][0] = b"tones/u99"  # instead of u03, which has no phones
    shard["utterance/table"][:] = table


def lose(shard):
    del shard["phone/middle"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil("utterance/mean", np.nan), "utterance/mean holds NaN or Inf. Delete this file"),
        (spoil("phone/middle", np.inf), "phone/middle holds NaN or Inf"),
        (spoil("frames", np.nan), "frames holds NaN or Inf"),
        (shorten, "utterance/std has the shape (2, 3, 5), not (3, 3, 5)"),
        (lose, "phone/middle is missing"),
        (rename, "its utterances are not those of the manifest, tones/u03 is one of them"),
    ],
)
def test_what_checksums_do_not_cover_is_found_too(workspace, cache, change, message):
    rewrite(cache / "part-00001.h5", change)
    (fault,) = faults(workspace)
    assert fault.startswith(f"{cache}/part-00001.h5: ")
    assert message in fault


def test_utterances_that_failed_are_counted_and_expected(workspace, cache):
    def fail_first(shard):
        text = h5py.string_dtype("utf-8", 20)
        columns = [("utterance", text), ("place", "<i8"), ("reason", text)]
        failed = np.array([("tones/u03", 0, "cannot be read")], columns)
        shard["utterance/failed"] = failed
        table, offsets = shard["utterance/table"][1:], shard["frame_offsets"][:]
        phones = shard["phone/table"][:]["utterance"] != b"tones/u03"
        kept = {
            "utterance/table": table,
            "utterance/mean": shard["utterance/mean"][1:],
            "utterance/std": shard["utterance/std"][1:],
            "phone/table": shard["phone/table"][phones],
            "phone/mean": shard["phone/mean"][phones],
            "phone/middle": shard["phone/middle"][phones],
            "frames": shard["frames"][:, offsets[1] :],
            "frame_offsets": offsets[1:] - offsets[1],
        }
        for name, values in kept.items():
            del shard[name]
            shard[name] = values

    rewrite(cache / "part-00001.h5", fail_first)
    (report,) = verify_caches(workspace)
    assert (report.faults, report.utterances, report.failed) == ([], 10, 1)
    (state,) = cache_status(workspace).caches
    assert (state.utterances, state.failed, state.left) == (10, 1, 0)


def test_a_manifest_that_names_other_files_than_were_extracted_is_said(workspace, cache):
    file = workspace.corpus("tones").manifest
    manifest = read_manifest(file)
    write_manifest(manifest.iloc[::-1], file)  # moved rows change nothing, as for the later stages
    assert faults(workspace) == []
    write_manifest(manifest.assign(path="audio/u00.wav"), file)
    assert faults(workspace) == [
        f"{cache}: the utterances, files or times that {file} names have changed since: run layersim extract "
        "--force."
    ]


def test_a_quick_try_is_verified_against_what_it_took(workspace, small, settings):
    extract(workspace, settings(limit=7), encoder=small.SmallEncoder())
    assert faults(workspace) == []
    (state,) = cache_status(workspace).caches
    assert (state.utterances, state.utterances_in_all, state.left) == (7, 7, 0)


def test_no_cache_says_which_stage_to_run(workspace):
    with pytest.raises(StageMissingError, match=r"holds no features. Make them first: layersim extract"):
        verify_caches(workspace)
    (state,) = cache_status(workspace).caches
    assert (state.shards, state.shards_in_all, state.left) == (0, None, None)
    assert "0 of ?" in cache_status(workspace).to_table()


def test_the_status_of_an_unfinished_cache_counts_what_is_there_and_left(workspace, small, settings):
    extract_share(workspace, settings(), Share(0, 3), encoder=small.SmallEncoder())
    (state,) = cache_status(workspace).caches
    assert (state.shards, state.shards_in_all) == (2, 4)  # shards 0 and 3: 3 and 2 utterances
    assert (state.utterances, state.utterances_in_all, state.left, state.failed) == (5, 11, 6, 0)
    assert state.bytes == sum(file.stat().st_size for file in state.folder.glob("part-*.h5"))
    head, row, *rest = cache_status(workspace).to_table().splitlines()
    assert head.split() == [
        "corpus",
        "features",
        "shards",
        "utterances",
        "left",
        "failed",
        "size",
        "at",
        "work",
    ]
    assert " ".join(row.split()).startswith("tones small 2 of 4 5 of 11 6 0 ")
    told = "\n".join(rest)
    assert "small; 3 layers x 5; phones of arpabet; all utterances; h5py " in told
    document = json.loads(json.dumps(cache_status(workspace).to_json(), allow_nan=False))
    assert document["caches"][0]["left"] == 6
    assert document["caches"][0]["provenance"]["layers"] == ["0", "1", "2"]


def test_the_status_names_files_that_cannot_be_read_and_goes_on(workspace, cache):
    (cache / "part-00002.h5").write_bytes(b"nothing")
    (state,) = cache_status(workspace).caches
    assert (state.shards, state.shards_in_all, state.utterances) == (3, 4, 8)
    assert f"fault: {cache}/part-00002.h5: cannot be read as HDF5" in cache_status(workspace).to_table()


def test_the_status_says_who_is_at_work(workspace, small, settings):
    folder = workspace.cache_folder("tones")
    folder.mkdir(parents=True)
    script = (
        "import sys, time; from pathlib import Path; from layersim.features import claims;"
        "held = [claims.take(Path(sys.argv[1]) / name) for name in ('worker-1-2', 'part-00007.h5')];"
        "print('here', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"here\n"
        (state,) = cache_status(workspace).caches
        assert [worker.process for worker in state.workers] == [process.pid]
        assert state.writing == ["part-00007.h5"]
        table = cache_status(workspace).to_table()
        assert f"at work: process {process.pid} on {os.uname().nodename}, since 20" in table
        assert "being made: part-00007.h5" in table
    finally:
        process.kill()
        process.communicate()
    assert cache_status(workspace).caches[0].workers == []

"""Extraction divided among processes that know nothing of each other."""

from __future__ import annotations

import json
import random

import pytest

from layersim.corpus.manifest import read_manifest, write_manifest
from layersim.errors import StageMissingError, UsageError
from layersim.features.cache import FeatureCache
from layersim.features.extract import extract, extract_share
from layersim.features.share import Share
from layersim.workspace import CorpusEntry, Workspace


@pytest.fixture
def workspace(tmp_path, make_corpus):
    entries = {}
    for name in ("english", "german"):
        made = make_corpus(tmp_path / name, count=20, name=name)
        file = made.folder / "manifest.csv"
        write_manifest(read_manifest(file), file)
        entries[name] = CorpusEntry(
            manifest=file, audio_root=made.folder, alignments=made.folder / "phones.csv", phone_set="arpabet"
        )
    return Workspace.create(tmp_path / "study", "small", entries)


def contents(workspace):
    return {
        f"{name}/{file.name}": file.read_bytes()
        for name in workspace.corpora
        for file in sorted(workspace.cache_folder(name).iterdir())
        if file.name != "run.json"
    }


@pytest.fixture
def whole(workspace, small, settings):
    extract(workspace, settings(), encoder=small.SmallEncoder())
    made = contents(workspace)
    assert len(made) == 14  # 20 utterances by 3, twice
    for name in workspace.corpora:
        for file in workspace.cache_folder(name).iterdir():
            file.unlink()
    return made


@pytest.mark.parametrize("of", [1, 2, 3, 9])
def test_shares_in_any_order_make_the_bytes_of_one_run(workspace, small, settings, whole, of):
    order = list(range(of))
    random.Random(of).shuffle(order)
    for place, index in enumerate(order):
        encoder = small.SmallEncoder()
        results = extract_share(workspace, settings(), Share(index, of), encoder=encoder)
        own = range(index, 7, of)
        assert sum(encoder.batches) == 2 * sum(2 if shard == 6 else 3 for shard in own)
        for result in results:
            assert (result.shards, result.made, result.shards_in_all) == (len(own), len(own), 7)
            left = {share: len(range(share, 7, of)) for share in order[place + 1 :] if share < 7}
            assert result.left == dict(sorted(left.items()))
            assert result.complete == (not left)
            assert (result.folder / "run.json").exists() == (not left)
    assert contents(workspace) == whole
    encoder = small.SmallEncoder()
    assert [result.computed_hours for result in extract(workspace, settings(), encoder=encoder)] == [0, 0]


def test_a_share_says_what_is_there_and_who_makes_the_rest(workspace, small, settings):
    result, _ = extract_share(workspace, settings(), Share(1, 3), encoder=small.SmallEncoder())
    table = result.to_table()
    assert table.startswith(
        "english: --num-shards 3 --shard 1: its 2 shards (6 utterances) are there, 2 made"
    )
    assert (
        "2 of 7 shards are there; missing are those of --shard 0 (3), 2 (2). Run these, or layersim extract"
        in table
    )
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert (document["complete"], document["left"]) == (False, {"0": 3, "2": 2})
    with pytest.raises(StageMissingError, match=r"2 of 7 shards are there. Finish them first"):
        FeatureCache.open(result.folder)
    extract(workspace, settings(), encoder=small.SmallEncoder())
    assert len(FeatureCache.open(result.folder)) == 20
    result, _ = extract_share(workspace, settings(), Share(1, 3), encoder=small.SmallEncoder())
    assert "2 shards (6 utterances) are there, 0 made now" in result.to_table()
    assert "all 7 shards are there" in result.to_table()


def test_what_a_run_was_divided_into_is_in_no_provenance(workspace, small, settings):
    for index in range(2):
        extract_share(workspace, settings(), Share(index, 2), encoder=small.SmallEncoder())
    cache = FeatureCache.open(workspace.cache_folder("english"))
    assert "num_shards" not in json.dumps(cache.provenance)
    run = json.loads((cache.folder / "run.json").read_text())
    assert "--num-shards" not in run["command"]
    assert run["results"]["utterances"] == 20


@pytest.mark.parametrize(
    ("num_shards", "shard", "message"),
    [
        (4, 4, r"--shard 4: expected 0..3 with --num-shards 4"),
        (4, -1, r"--shard -1: expected 0..3"),
        (0, 0, r"--num-shards 0: expected 1 or more"),
        (4, None, r"--shard I is missing"),
        (None, 1, r"--num-shards K is missing"),
    ],
)
def test_shares_that_there_are_not_are_a_usage_error(num_shards, shard, message):
    with pytest.raises(UsageError, match=message):
        Share.from_flags(num_shards, shard)


def test_no_share_is_the_whole():
    assert Share.from_flags(None, None) is None
    assert Share.from_flags(3, 2) == Share(2, 3)


def test_all_jobs_of_an_array_may_force(workspace, small, settings, whole):
    extract(workspace, settings(limit=8), encoder=small.SmallEncoder())
    for index in range(3):
        extract_share(workspace, settings(), Share(index, 3), encoder=small.SmallEncoder(), force=True)
    assert contents(workspace) == whole

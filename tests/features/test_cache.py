from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layersim.errors import LayersimError, ProvenanceError, StageMissingError
from layersim.features.cache import FeatureCache
from layersim.features.shard_writer import ShardWriter
from layersim.features.shards import PhoneRows, ShardRows

SIZES, PHONES, WIDTH = (70, 70, 11), (90, 0, 5), 4
LAYERS = ["0", "1", "d1"]


def provenance(**other):
    made = {"layers": LAYERS, "frame_layers": ["0", "1"], "width": WIDTH, "phone_set": "ipa"}
    return {
        **made,
        "store": "pooled",
        "selection": "all",
        "manifest_sha256": "0",
        "encoder": {"checkpoint": "tiny"},
        **other,
    }


def write(folder, index, **other):
    rng = np.random.default_rng(index)
    n, p = SIZES[index], PHONES[index]
    keys = [f"c/{index}-{row}" for row in range(n)]
    mean, std = rng.standard_normal((2, n, 3, WIDTH)).astype(np.float32)
    phone_mean = rng.standard_normal((p, 2, WIDTH)).astype(np.float32)
    owners = [keys[row % n] for row in range(p)]
    table = PhoneRows(owners, ["a"] * p, np.zeros(p), np.ones(p), np.full(p, 9), phone_mean)
    with ShardWriter(folder, index, len(SIZES), provenance(**other)) as writer:
        writer.finish(ShardRows(keys, np.full(n, 4_000), np.full(n, 12), mean, std, table))
    return keys, mean, std, phone_mean


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    parts = [write(folder, index) for index in range(3)]
    keys = [key for part in parts for key in part[0]]
    products = ("utterance/mean", "utterance/std", "phone/mean")
    arrays = {name: np.concatenate([part[place] for part in parts]) for place, name in enumerate(products, 1)}
    return FeatureCache.open(folder), keys, arrays


def test_everything_written_is_read_back_bit_for_bit(written):
    cache, keys, arrays = written
    assert cache.keys == keys
    assert (len(cache), cache.phone_count, cache.width) == (151, 95, WIDTH)
    assert cache.layers == ("0", "1", "d1")
    for product, values in arrays.items():
        layers = cache.frame_layers if product == "phone/mean" else cache.layers
        for place, layer in enumerate(layers):
            np.testing.assert_array_equal(cache.read(product, layer), values[:, place])


def test_what_a_method_reads_is_mean_and_deviation_side_by_side(written):
    cache, _, arrays = written
    rows = np.array([150, 3, 71, 3])
    found = cache.vectors(("d1", "0"), rows)
    assert found.shape == (4, 2, 2 * WIDTH)
    assert found.dtype == np.float32
    for column, place in enumerate((2, 0)):
        np.testing.assert_array_equal(found[:, column, :WIDTH], arrays["utterance/mean"][rows, place])
        np.testing.assert_array_equal(found[:, column, WIDTH:], arrays["utterance/std"][rows, place])
    with pytest.raises(LayersimError, match="no layer '7'"):
        cache.vectors(("7",), rows)


@given(rows=st.lists(st.integers(0, 150), max_size=30))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_come_in_the_order_asked_for_also_repeated(written, rows):
    cache, _, arrays = written
    rows = np.array(rows, dtype=np.int64)
    np.testing.assert_array_equal(cache.read("utterance/std", "1", rows), arrays["utterance/std"][rows, 1])


@given(seed=st.integers(0, 999), size=st.integers(1, 100))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_chunks_together_are_what_read_gives_at_most_size_rows_at_a_time(written, seed, size):
    cache, _, arrays = written
    mask = np.random.default_rng(seed).random(95) < 0.3
    pieces = list(cache.chunks("phone/mean", "1", mask, size))
    assert all(0 < len(rows) <= size for rows, _ in pieces)
    rows = np.concatenate([rows for rows, _ in pieces]) if pieces else np.empty(0)
    np.testing.assert_array_equal(rows, np.flatnonzero(mask))
    if pieces:
        values = np.concatenate([values for _, values in pieces])
        np.testing.assert_array_equal(values, arrays["phone/mean"][mask, 1])


def test_a_cache_streams_whole_without_a_mask_and_travels_between_processes(written):
    cache, _, arrays = written
    copy = pickle.loads(pickle.dumps(cache))
    values = np.concatenate([values for _, values in copy.chunks("utterance/mean", "d1")])
    np.testing.assert_array_equal(values, arrays["utterance/mean"][:, 2])


def test_the_tables_name_utterances_and_phones(written):
    cache, _, _ = written
    assert list(cache.table.columns) == ["utterance", "samples", "frames"]
    assert list(cache.phones.columns) == ["utterance", "phone", "start", "end", "frames"]
    assert cache.phones["utterance"].iloc[0] == "c/0-0"
    assert cache.phones["utterance"].iloc[-1] == "c/2-4"
    assert cache.table["frames"].tolist() == [12] * 151


def test_wrong_requests_are_named(written):
    cache, _, _ = written
    with pytest.raises(LayersimError, match=r"utterance/mean has no layer '7'. It has: 0, 1, d1"):
        cache.read("utterance/mean", "7")
    with pytest.raises(
        ValueError, match="product: expected one of utterance/mean, utterance/std, phone/mean"
    ):
        cache.read("phone/std", "1")
    with pytest.raises(ValueError, match=r"rows: expected 0..150, got 3..151"):
        cache.read("utterance/mean", "1", np.array([3, 151]))
    with pytest.raises(ValueError, match=r"rows_mask: expected shape \(151,\), got \(150,\)"):
        next(cache.chunks("utterance/mean", "1", np.ones(150, bool)))
    with pytest.raises(ValueError, match="size: expected at least 1, got 0"):
        next(cache.chunks("utterance/mean", "1", size=0))


def test_no_cache_and_half_a_cache_say_which_stage_to_run(tmp_path):
    with pytest.raises(StageMissingError, match=r"holds no features. Make them first: layersim extract"):
        FeatureCache.open(tmp_path / "nothing")
    write(tmp_path, 0)
    write(tmp_path, 2)
    with pytest.raises(StageMissingError, match=r"2 of 3 shards are there.*goes on where it stopped"):
        FeatureCache.open(tmp_path)


def test_other_provenance_is_refused_with_both_values(tmp_path):
    for index in range(3):
        write(tmp_path, index, encoder={"checkpoint": "small", "revision": "abc"})
    FeatureCache.open(tmp_path, {"encoder": {"revision": "abc"}})
    with pytest.raises(ProvenanceError, match=r"encoder.revision: the cache has 'abc', asked for 'def'"):
        FeatureCache.open(tmp_path, {"encoder": {"revision": "def"}})
    with pytest.raises(ProvenanceError, match=r"width: the cache has 4, asked for 8(.|\n)*--force"):
        FeatureCache.open(tmp_path, provenance(width=8))


def test_shards_of_two_runs_do_not_make_one_cache(tmp_path):
    write(tmp_path, 0)
    write(tmp_path, 1, phone_set="sampa-de")
    write(tmp_path, 2)
    with pytest.raises(
        ProvenanceError,
        match=r"part-00001.h5: is of another cache:\n  phone_set: this file has 'sampa-de', the other shards "
        r"have 'ipa'\nDelete this file and run layersim extract again",
    ):
        FeatureCache.open(tmp_path)


def test_a_shard_under_the_name_of_another_is_named(tmp_path):
    for index in range(2):
        write(tmp_path, index)
    shutil.copy(tmp_path / "part-00001.h5", tmp_path / "part-00002.h5")
    with pytest.raises(LayersimError, match=r"part-00002.h5: holds shard 1 \(of 0..2\).*Delete this file"):
        FeatureCache.open(tmp_path)


def test_a_cache_without_phones_says_how_to_add_them(tmp_path):
    for index in range(3):
        write(tmp_path, index, phone_set=None)
    with pytest.raises(LayersimError, match=r"holds no phones.*Add them to layersim.toml"):
        FeatureCache.open(tmp_path).read("phone/mean", "0")

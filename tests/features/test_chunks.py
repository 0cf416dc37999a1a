"""Reading past HDF5: the same bytes as through it, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layersim.errors import LayersimError
from layersim.features.chunks import StoredProduct, find_chunks

COUNTS, LAYERS, WIDTH = (150, 64, 1, 0, 20), 3, 5


def write(folder: Path, user_block: int = 0, **how: object) -> tuple[StoredProduct, np.ndarray]:
    """Write files with tables and chunks as shards have them, by h5py alone."""
    files, parts = [], []
    for number, count in enumerate(COUNTS):
        values = np.random.default_rng(number).standard_normal((count, LAYERS, WIDTH)).astype("<f4")
        file = folder / f"{number}.h5"
        with h5py.File(file, "w", libver="earliest", userblock_size=user_block) as shard:
            shard["utterance/table"] = np.arange(count)
            layout = {"chunks": (min(64, count), 1, WIDTH), **how} if count else {}
            shard.create_dataset("utterance/mean", data=values, **layout)
        files.append(file)
        parts.append(values)
    return StoredProduct(tuple(files), "utterance/mean", COUNTS), np.concatenate(parts)


@pytest.fixture(scope="module", params=[0, 512], ids=["bare", "user block"])
def stored(request, tmp_path_factory):
    return write(tmp_path_factory.mktemp("shards"), request.param)


@given(rows=st.lists(st.integers(0, sum(COUNTS) - 1), max_size=60), place=st.integers(0, LAYERS - 1))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows_in_any_order_also_repeated_are_what_was_written(stored, rows, place):
    product, written = stored
    rows = np.array(rows, dtype=np.int64)
    values = np.full((len(rows), WIDTH), np.nan, dtype=np.float32)
    product.fill(values, place, rows)
    np.testing.assert_array_equal(values, written[rows, place])


@given(share=st.sampled_from([0.02, 0.5, 1.0]), size=st.integers(1, 200), place=st.integers(0, LAYERS - 1))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_stream_gives_every_chosen_row_in_order_in_pieces_of_one_file(stored, share, size, place):
    product, written = stored
    mask = np.random.default_rng(size).random(len(written)) < share
    file_of_row = np.repeat(np.arange(len(COUNTS)), COUNTS)
    seen = []
    for rows, values in product.stream(place, mask, size):
        assert len(rows) <= size
        assert len(set(file_of_row[rows])) == 1
        np.testing.assert_array_equal(values, written[rows, place])
        seen += rows.tolist()
    assert seen == np.flatnonzero(mask).tolist()


def test_a_stream_that_is_left_in_the_middle_leaves_no_file_open(stored):
    product, written = stored
    before = os.listdir("/proc/self/fd") if Path("/proc/self/fd").is_dir() else []
    stream = product.stream(0, np.ones(len(written), dtype=bool), 1)
    next(stream)
    stream.close()
    if before:
        assert len(os.listdir("/proc/self/fd")) == len(before)


def test_rows_out_of_range_are_refused(stored):
    product, _ = stored
    with pytest.raises(ValueError, match=r"rows: expected 0..234, got -1..3"):
        product.fill(np.empty((2, WIDTH), np.float32), 0, np.array([3, -1]))


def test_a_file_that_is_exchanged_under_an_open_cache_is_noticed(tmp_path):
    product, written = write(tmp_path)
    values = np.empty((len(written), WIDTH), np.float32)
    product.fill(values, 0, np.arange(len(written)))
    content = product.files[1].read_bytes()
    os.utime(product.files[1], ns=(0, 1))
    with pytest.raises(LayersimError, match=r"1\.h5: was exchanged while its cache was read"):
        product.fill(values, 0, np.arange(len(written)))
    product.files[1].write_bytes(content[:-1])
    with pytest.raises(LayersimError, match=r"1\.h5: was exchanged while its cache was read"):
        list(product.stream(0, None, 99))
    product.files[1].unlink()
    with pytest.raises(LayersimError, match=r"1\.h5: cannot be read: No such file"):
        list(product.stream(0, None, 99))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"compression": "gzip"}, "a chunk is missing or compressed"),
        ({"chunks": None}, r"float32 in chunks None"),
        ({"chunks": (1, 3, WIDTH)}, r"float32 in chunks \(1, 3, 5\)"),
        ({"dtype": "<f8"}, r"float64 in chunks \(64, 1, 5\)"),
    ],
)
def test_what_is_stored_otherwise_is_refused(tmp_path, how, message):
    product, _ = write(tmp_path, **how)
    with pytest.raises(
        LayersimError, match=rf"0\.h5: utterance/mean is not there as .*{message}.*extract again"
    ):
        product.fill(np.empty((1, WIDTH), np.float32), 0, np.array([0]))


def test_a_product_that_is_lacking_or_too_short_is_refused(tmp_path):
    product, _ = write(tmp_path)
    with pytest.raises(LayersimError, match=r"0\.h5: utterance/std is not there.*extract again"):
        find_chunks(product.files[0], "utterance/std", 150)
    with pytest.raises(LayersimError, match=r"150 rows where there were 151"):
        find_chunks(product.files[0], "utterance/mean", 151)

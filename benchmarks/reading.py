"""Reading a cache: one layer of all utterances, against a plain file of as many bytes.

The reference is one plain file, read into an array in one go, and by four threads: what a disk gives depends
on how many reads it is asked for at once. Twice: with everything in the page cache, and with all of it thrown
out before every read. That a virtual machine's host keeps files in a cache of its own cannot be helped; it
helps both.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from caches import SHARD_ROWS, WIDTH, accept_synthetic, write_cache
from layersim.features.cache import FeatureCache
from measure import Row, Scale, in_turns, speed_ratio

LAYER = "9"
BAR = 0.7
QUICK, FULL = 20_480, 100_000  # utterances; the means of the full size take 4 GB


def measure(scale: Scale) -> list[Row]:
    """Read one layer; quick: of 20,480 utterances, full: of 100,000."""
    utterances = QUICK if scale.quick else FULL
    shards = write_cache(scale.scratch / "cache", utterances)
    plain = scale.scratch / "plain"
    began = time.perf_counter()
    accept_synthetic()
    cache = FeatureCache.open(scale.scratch / "cache")
    opening = time.perf_counter() - began
    began = time.perf_counter()
    values = cache.read("utterance/mean", LAYER)
    first = time.perf_counter() - began
    values.tofile(plain)
    things: dict[str, Callable[[], object]] = {
        "layersim": lambda: cache.read("utterance/mean", LAYER),
        "plain file": lambda: _read_plain(plain, utterances),
        "plain file, 4 threads": lambda: _read_by_threads(plain, utterances),
        "h5py": lambda: _read_by_h5py(shards, utterances),
    }
    for name, thing in things.items():
        if not np.array_equal(thing(), values):  # type: ignore[arg-type]
            raise ValueError(f"{name} reads something else")
    files = [*shards, plain]
    rows = _rows("page cache", in_turns(things, scale.rounds), utterances)
    rows[0].figures.update({"opening s": opening, "first layer s": first, "files": len(shards)})
    if not hasattr(os, "posix_fadvise"):
        reason = "this system does not let a program throw files out of its cache"
        return [*rows, Row("reading", _case("disk", utterances), None, bar=BAR, note=reason)]
    return [*rows, *_rows("disk", _in_turns_cold(things, files, scale.rounds), utterances)]


def _rows(where: str, seconds: Mapping[str, list[float]], utterances: int) -> list[Row]:
    size = utterances * WIDTH * 4 / 1e6
    figures = {f"{name} MB/s": size / float(np.median(taken)) for name, taken in seconds.items()}
    barred = {"plain file", *(["plain file, 4 threads"] if where == "disk" else [])}
    return [
        Row(
            "reading", _case(where, utterances), **speed_ratio(seconds, "layersim", reference),
            bar=BAR if reference in barred else None,
            figures={"MB": size, **figures} if reference == "plain file" else {},
            note=f"against: {reference}",
        )
        for reference in seconds
        if reference != "layersim"
    ]  # fmt: skip


def _case(where: str, utterances: int) -> str:
    return f"one layer of {utterances:,} utterances, from the {where}"


def _in_turns_cold(
    things: Mapping[str, Callable[[], object]], files: list[Path], rounds: int
) -> dict[str, list[float]]:
    """Time things in turns, the files thrown out of the page cache before each."""
    seconds: dict[str, list[float]] = {name: [] for name in things}
    for number in range(rounds):
        for name in list(things)[:: 1 if number % 2 else -1]:
            _throw_out(files)
            began = time.perf_counter()
            things[name]()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def _throw_out(files: list[Path]) -> None:
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)  # what is not on the disk yet would stay
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def _read_plain(file: Path, utterances: int) -> npt.NDArray[np.float32]:
    values = np.empty((utterances, WIDTH), dtype=np.float32)
    _read_into(file, values, 0, utterances)
    return values


def _read_by_threads(file: Path, utterances: int) -> npt.NDArray[np.float32]:
    values = np.empty((utterances, WIDTH), dtype=np.float32)
    starts = range(0, utterances, 4096)
    with ThreadPoolExecutor(4) as readers:
        list(readers.map(lambda start: _read_into(file, values, start, start + 4096), starts))
    return values


def _read_into(file: Path, values: npt.NDArray[np.float32], start: int, stop: int) -> None:
    rest = values[start:stop].data.cast("B")
    with file.open("rb", buffering=0) as stream:
        stream.seek(start * WIDTH * 4)
        while len(rest):
            rest = rest[stream.readinto(rest) :]


def _read_by_h5py(shards: list[Path], utterances: int) -> npt.NDArray[np.float32]:
    values = np.empty((utterances, WIDTH), dtype=np.float32)
    for index, file in enumerate(shards):
        with h5py.File(file, "r") as shard:
            values[index * SHARD_ROWS : (index + 1) * SHARD_ROWS] = shard["utterance/mean"][:, int(LAYER)]
    return values

"""The HDF5 files of a cache: what is in one, and how it comes to be whole or not at all.

Layout of ``part-00000.h5``, N utterances, P phones, K layers, D wide::

    utterance/table   (N,)       utterance (its key), samples (at 16 kHz), frames
    utterance/mean    (N, K, D)  float32, chunks (64, 1, D)
    utterance/std     (N, K, D)  float32, chunks (64, 1, D)
    utterance/values  (N, K, D)  float32, chunks (64, 1, D); acoustic features, in place of mean and std
    phone/table       (P,)       utterance (its key), phone, start, end (seconds), frames, middle_frames
    phone/mean        (P, Kf, D) float32, chunks (64, 1, D); Kf: the layers that have frames
    phone/middle      (P, Kf, D) float32, chunks (64, 1, D); only on request
    frames            (Kf, F, D) float16, chunks (1, 256, D); only on request
    frame_offsets     (N + 1,)   utterance n owns frames [offset n, offset n + 1)

``phone`` is there if the corpus has phone times. Its ``frames`` counts the frames centred in the phone;
0 says that the nearest frame stands in. ``middle_frames`` counts likewise those of its middle third, and is
there if ``phone/middle`` is. Root attributes are the provenance, one JSON text per entry; those
of the group ``utterance`` say which ``shard`` of how many ``shards`` this is. Nothing is compressed: hidden
states are noise to a codec.

A file is written under a temporary name, flushed to disk and renamed, so a file that exists is complete.
Each depends on its own utterances alone and holds no date: written again, by whatever worker, its bytes are
the same. The temporary file is also the claim of the worker that writes it.
"""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from layersim.errors import LayersimError
from layersim.features.provenance import UNSAID
from layersim.features.shard_form import inner_dataset, text_attributes

Array = npt.NDArray[Any]

CHUNK_ROWS = 64  # rows of one layer that are stored together: 100 times faster to read than a row at a time
FRAME_CHUNK = 256

_ABANDONED = 3600.0  # seconds without a sign of life, for workers of other machines


class MiddleRows(NamedTuple):
    """The middle thirds of one shard's phones."""

    frames: Array  # (P,) centred in the middle third; 0: the nearest stands in
    mean: Array  # (P, Kf, D) float32


@dataclass(frozen=True)
class PhoneRows:
    """The phones of one shard, in the order of its utterances, then of time."""

    utterance: Sequence[str]  # keys, (P,)
    phone: Sequence[str]
    start: Array  # seconds, (P,)
    end: Array
    frames: Array  # centred in the phone; 0: the nearest stands in
    mean: Array  # (P, Kf, D) float32
    middle: MiddleRows | None = None  # None: not asked for


@dataclass(frozen=True)
class ShardRows:
    """The pooled content of one shard."""

    utterance: Sequence[str]  # keys, (N,)
    samples: Array  # (N,)
    frames: Array  # (N,)
    mean: Array  # (N, K, D) float32
    std: Array  # (N, K, D) float32
    phones: PhoneRows | None


@dataclass(frozen=True)
class AcousticRows:
    """The acoustic features of one shard, which no encoder made."""

    utterance: Sequence[str]  # keys, (N,)
    samples: Array  # (N,)
    frames: Array  # (N,) those that hold some of the recording; 0 where there are none to count
    values: Array  # (N, K, D) float32


def part_file(folder: Path, index: int) -> Path:
    """Where shard ``index`` stands."""
    return folder / f"part-{index:05d}.h5"


def part_files(folder: Path) -> list[Path]:
    """Return the finished shards of a folder, in order."""
    return sorted(folder.glob("part-*.h5"))


def shard_ranges(utterances: int, shard_size: int) -> list[range]:
    """Cut the rows of a manifest into shards.

    >>> shard_ranges(5, 2)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [range(start, min(start + shard_size, utterances)) for start in range(0, utterances, shard_size)]


class ShardWriter:
    """Writes one shard: entered, it claims the shard; `finish` completes it; left without, nothing remains.

    Used as ``with ShardWriter(folder, index, shards, provenance) as shard: ...; shard.finish(rows)``.
    """

    def __init__(self, folder: Path, index: int, shards: int, provenance: Mapping[str, Any]) -> None:
        self._folder, self._index, self._shards = folder, index, shards
        self._provenance = provenance
        self._temporary = folder / f"{part_file(folder, index).name}.{_host()}-{os.getpid()}.tmp"

    def __enter__(self) -> ShardWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = h5py.File(self._temporary, "w", libver="earliest")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def keep_claim(self) -> None:
        """Show other workers that this one lives."""
        os.utime(self._temporary)

    def reserve_frames(self, counts: Sequence[int], layers: int, width: int) -> None:
        """Make room for the frames of every utterance; they come by `write_frames`, in any order."""
        self._offsets = np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))])
        total = int(self._offsets[-1])
        shape, chunks = (layers, total, width), (1, min(FRAME_CHUNK, total), width)
        self._file.create_dataset("frames", shape, "<f2", chunks=chunks)
        self._file.create_dataset("frame_offsets", data=self._offsets.astype("<i8"))

    def write_frames(self, utterance: int, frames: Array) -> None:
        """Write the frames (Kf, T, D) of the shard's n-th utterance.

        Raises
        ------
        ValueError
            If they are not as many as reserved.
        """
        start, stop = self._offsets[utterance : utterance + 2]
        if frames.shape[1] != stop - start:
            raise ValueError(f"frames: expected {stop - start}, got {frames.shape[1]}")
        self._file["frames"][:, start:stop] = frames

    def finish(self, rows: ShardRows | AcousticRows) -> None:
        """Write the rows and the provenance, flush everything to disk, and give the file its name.

        Raises
        ------
        ValueError
            If an array holds NaN or Inf: what computed it should have said whose it is.
        """
        for key, value in self._provenance.items():
            if key not in UNSAID or value != UNSAID[key]:
                self._file.attrs[key] = json.dumps(value, ensure_ascii=False, sort_keys=True)
        group = self._file.create_group("utterance")
        group.attrs["shard"], group.attrs["shards"] = self._index, self._shards
        _write_table(
            group,
            {"utterance": rows.utterance, "samples": np.asarray(rows.samples, dtype="<i8"),
             "frames": np.asarray(rows.frames, dtype="<i8")},
        )  # fmt: skip
        if isinstance(rows, AcousticRows):
            _write_product(group, "values", rows.values)
        else:
            self._write_pooled(group, rows)
        self._file.close()
        _flush(self._temporary)
        os.replace(self._temporary, part_file(self._folder, self._index))
        _flush(self._folder)

    def _write_pooled(self, group: h5py.Group, rows: ShardRows) -> None:
        _write_product(group, "mean", rows.mean)
        _write_product(group, "std", rows.std)
        if (phones := rows.phones) is not None:
            group = self._file.create_group("phone")
            columns = {
                "utterance": phones.utterance, "phone": phones.phone,
                "start": np.asarray(phones.start, dtype="<f8"),
                "end": np.asarray(phones.end, dtype="<f8"),
                "frames": np.asarray(phones.frames, dtype="<i8"),
            }  # fmt: skip
            if phones.middle is not None:
                columns["middle_frames"] = np.asarray(phones.middle.frames, dtype="<i8")
            _write_table(group, columns)
            _write_product(group, "mean", phones.mean)
            if phones.middle is not None:
                _write_product(group, "middle", phones.middle.mean)


def _write_product(group: h5py.Group, name: str, values: Array) -> None:
    if not np.isfinite(values).all():
        raise ValueError(f"{group.name}/{name}: holds NaN or Inf")
    rows, _, width = values.shape
    chunks = (min(CHUNK_ROWS, rows), 1, width) if values.size else None
    group.create_dataset(name, data=values.astype("<f4", copy=False), chunks=chunks)


def _write_table(group: h5py.Group, columns: Mapping[str, Any]) -> None:
    """Write columns side by side; text as fixed-length UTF-8, whose bytes depend on nothing but the text."""
    arrays: dict[str, Any] = {}
    dtypes: list[tuple[str, Any]] = []
    for name, values in columns.items():
        if isinstance(values, np.ndarray):
            arrays[name] = values
            dtypes.append((name, values.dtype))
        else:
            encoded = [value.encode("utf-8") for value in values]
            arrays[name] = encoded
            dtypes.append((name, h5py.string_dtype("utf-8", max([1, *map(len, encoded)]))))
    table = np.zeros(len(next(iter(arrays.values()))), dtype=dtypes)
    for name, values in arrays.items():
        table[name] = values
    group.create_dataset("table", data=table)


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot flush a folder
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def provenance_of(shard: h5py.File) -> dict[str, Any]:
    """Return the provenance that an open shard carries.

    Raises
    ------
    LayersimError
        If an attribute is no JSON.
    """
    return {**UNSAID, **text_attributes(shard)}


def open_shard(file: Path) -> h5py.File:
    """Open a finished shard for reading.

    Raises
    ------
    LayersimError
        If it is not HDF5 or not a shard: something other than layersim has written to it.
    """
    try:
        shard = h5py.File(file, "r")
    except (OSError, RuntimeError, ValueError) as error:
        raise LayersimError(
            f"{file}: cannot be read as HDF5 ({error}). Delete this file and run layersim extract again: "
            "it makes only what is missing."
        ) from None
    try:
        if inner_dataset(shard, "utterance/table") is None:
            raise LayersimError(f"{file}: is not a layersim cache. Move it out of the cache's folder.")
    except LayersimError:
        shard.close()
        raise
    return shard


def claimed_elsewhere(folder: Path, index: int) -> bool:
    """Whether another living worker is writing this shard."""
    return any(not _is_left_over(file) for file in folder.glob(f"{part_file(folder, index).name}.*.tmp"))


def remove_left_overs(folder: Path) -> None:
    """Remove the temporary files of workers that were killed."""
    for file in folder.glob("part-*.h5.*.tmp"):
        if _is_left_over(file):
            file.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove a cache: its ``run.json`` first, then its shards; other files stay."""
    for file in (folder / "run.json", *part_files(folder)):
        file.unlink(missing_ok=True)


def _is_left_over(temporary: Path) -> bool:
    """Whether the worker that began this file is gone.

    On this machine its process is looked for; of other machines' workers only the time of the last
    sign of life is known.
    """
    matched = re.fullmatch(r"part-\d+\.h5\.(?P<host>.+)-(?P<process>\d+)\.tmp", temporary.name)
    if matched is None:
        return True
    if matched["host"] == _host() and os.name != "nt":
        process = int(matched["process"])
        return process == os.getpid() or not _is_running(process)
    try:
        return time.time() - temporary.stat().st_mtime > _ABANDONED
    except FileNotFoundError:
        return True  # finished, or removed, in between


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 is not sent, only checked
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return re.sub(r"[^\w.]+", "_", platform.node()) or "unknown"

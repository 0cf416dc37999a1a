"""How a shard comes to be whole or not at all: `ShardWriter`, and what a killed one leaves.

A file is written under a temporary name, flushed to disk and renamed, so a file that exists is complete.
Each depends on its own utterances alone and holds no date: written again, by whatever worker, its bytes are
the same. Who writes one has claimed it (`layersim.features.claims`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from layersim.errors import ClaimedError
from layersim.features import claims
from layersim.features.provenance import UNSAID
from layersim.features.shard_file import USER_BLOCK, ShardFile, writing_to
from layersim.features.shards import AcousticRows, ShardRows, part_file

Array = npt.NDArray[Any]

CHUNK_ROWS = 64  # rows of one layer that are stored together: 100 times faster to read than a row at a time
FRAME_CHUNK = 256


def temporary_file(part: Path, number: str) -> Path:
    """Where a shard is written by whoever holds the claim of this number."""
    return part.with_name(f"{part.name}.{number}.tmp")


class ShardWriter:
    """Writes one shard: entered, it claims the shard; `finish` completes it; left without, nothing remains.

    Used as ``with ShardWriter(folder, index, shards, provenance) as shard: ...; shard.finish(rows)``.
    Entering raises ClaimedError if another living process has claimed the shard. All that cannot be written
    is a LayersimError that says why.
    """

    def __init__(self, folder: Path, index: int, shards: int, provenance: Mapping[str, Any]) -> None:
        self._folder, self._index, self._shards = folder, index, shards
        self._provenance = provenance
        self._part = part_file(folder, index)

    def __enter__(self) -> ShardWriter:
        with ExitStack() as undone, writing_to(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            claim = claims.take(self._part)
            if claim is None:
                raise ClaimedError(
                    f"{self._part}: {claims.worker_on(self._part) or 'another process'} is writing it. Wait "
                    "until it has ended, or stop it."
                )
            self._claim = undone.enter_context(claim)
            self._temporary = temporary_file(self._part, claim.number)
            undone.callback(self._temporary.unlink, missing_ok=True)
            self._bytes = undone.enter_context(ShardFile(self._temporary))
            self._file = h5py.File(self._bytes, "w", libver="earliest", userblock_size=USER_BLOCK)
            undone.callback(self._file.close)
            self._on_exit = undone.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with writing_to(self._folder):
            self._on_exit.close()

    def reserve_frames(self, counts: Sequence[int], layers: int, width: int) -> None:
        """Make room for the frames of every utterance; they come by `write_frames`, in any order."""
        self._offsets = np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))])
        total = int(self._offsets[-1])
        shape = (layers, total, width)
        chunks = (1, min(FRAME_CHUNK, total), width) if total else None
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

    def drop_frames(self, utterances: Collection[int]) -> None:
        """Give up the room that was made for the frames of some utterances; the others close up."""
        kept, stored = [0], self._file["frames"]
        for utterance, (start, stop) in enumerate(pairwise(self._offsets.tolist())):
            if utterance not in utterances:
                if start != kept[-1]:
                    stored[:, kept[-1] : kept[-1] + stop - start] = stored[:, start:stop]
                kept.append(kept[-1] + stop - start)
        if kept[-1] < stored.shape[1]:
            stored.resize(kept[-1], axis=1)
        del self._file["frame_offsets"]
        self._file.create_dataset("frame_offsets", data=np.array(kept, dtype="<i8"))

    def finish(self, rows: ShardRows | AcousticRows) -> None:
        """Write the rows and the provenance, flush everything to disk, and give the file its name.

        Raises
        ------
        ValueError
            If an array holds NaN or Inf: what computed it should have said whose it is.
        LayersimError
            If it cannot be written.
        ClaimedError
            If the shard has been claimed by another process meanwhile: this one showed no life for so long
            that it was taken for dead.
        """
        for key, value in self._provenance.items():
            if key not in UNSAID or value != UNSAID[key]:
                # Of fixed length: one flipped bit in HDF5's heap of other texts ends a process that reads it.
                text = json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8")
                self._file.attrs.create(key, text, dtype=h5py.string_dtype("utf-8", len(text)))
        group = self._file.create_group("utterance")
        group.attrs["shard"], group.attrs["shards"] = self._index, self._shards
        _write_table(
            group,
            {"utterance": rows.utterance, "samples": np.asarray(rows.samples, dtype="<i8"),
             "frames": np.asarray(rows.frames, dtype="<i8")},
        )  # fmt: skip
        if (failed := rows.failed) is not None:
            columns = {"utterance": failed.utterance, "place": np.asarray(failed.place, dtype="<i8"),
                       "reason": failed.reason}  # fmt: skip
            _write_table(group, columns, "failed")
        if isinstance(rows, AcousticRows):
            _write_product(group, "values", rows.values)
        else:
            self._write_pooled(group, rows)
        self._file.close()
        with writing_to(self._folder):
            self._bytes.seal()
            self._bytes.close()
            if not self._claim.is_held():
                raise ClaimedError(
                    f"{self._part}: {claims.worker_on(self._part) or 'another process'} has taken it over."
                )
            os.replace(self._temporary, self._part)
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


def _write_table(group: h5py.Group, columns: Mapping[str, Any], name: str = "table") -> None:
    """Write columns side by side; text as fixed-length UTF-8, whose bytes depend on nothing but the text."""
    arrays: dict[str, Any] = {}
    dtypes: list[tuple[str, Any]] = []
    for column, values in columns.items():
        if isinstance(values, np.ndarray):
            arrays[column] = values
            dtypes.append((column, values.dtype))
        else:
            encoded = [value.encode("utf-8") for value in values]
            arrays[column] = encoded
            dtypes.append((column, h5py.string_dtype("utf-8", max([1, *map(len, encoded)]))))
    table = np.zeros(len(next(iter(arrays.values()))), dtype=dtypes)
    for column, values in arrays.items():
        table[column] = values
    group.create_dataset(name, data=table)


def _flush(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if os.name == "nt":
        return  # Windows cannot flush a folder
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_left_overs(folder: Path) -> None:
    """Remove the claims and temporary files of workers that were killed."""
    with writing_to(folder):
        claims.remove_dead(folder)
        for file in folder.glob("part-*.h5.*.tmp"):
            part = file.with_name(file.name.partition(".h5.")[0] + ".h5")
            if file != temporary_file(part, claims.number_on(part) or ""):
                file.unlink(missing_ok=True)
        for file in folder.glob(".*.tmp"):  # of run.json, which takes no time to write
            with suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime > claims.ABANDONED:
                    file.unlink()

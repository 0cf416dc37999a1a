"""The HDF5 files of a cache: what is in one, and how it comes to be whole or not at all.

Layout of ``part-00000.h5``, N utterances, P phones, K layers, D wide::

    utterance/table   (N,)       utterance (its key), samples (at 16 kHz), frames
    utterance/mean    (N, K, D)  float32, chunks (64, 1, D)
    utterance/std     (N, K, D)  float32, chunks (64, 1, D)
    utterance/values  (N, K, D)  float32, chunks (64, 1, D); acoustic features, in place of mean and std
    utterance/failed  (M,)       utterance (its key), place, reason; only where utterances have no features
    phone/table       (P,)       utterance (its key), phone, start, end (seconds), frames, middle_frames
    phone/mean        (P, Kf, D) float32, chunks (64, 1, D); Kf: the layers that have frames
    phone/middle      (P, Kf, D) float32, chunks (64, 1, D); only on request
    frames            (Kf, F, D) float16, chunks (1, 256, D); only on request
    frame_offsets     (N + 1,)   utterance n owns frames [offset n, offset n + 1)

``phone`` is there if the corpus has phone times. Its ``frames`` counts the frames centred in the phone;
0 says that the nearest frame stands in. ``middle_frames`` counts likewise those of its middle third, and is
there if ``phone/middle`` is. ``utterance/failed`` names the utterances that this shard should hold and does
not, their place among all of its utterances, and why; such a shard serves, and is made anew by the next run.
Root attributes are the provenance, one JSON text per entry; those of the group ``utterance`` say which
``shard`` of how many ``shards`` this is. Nothing is compressed: hidden states are noise to a codec. A
checksum of all that stands before it (`layersim.features.shard_file`).

A file is written under a temporary name, flushed to disk and renamed, so a file that exists is complete.
Each depends on its own utterances alone and holds no date: written again, by whatever worker, its bytes are
the same. Who writes one has claimed it (`layersim.features.claims`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from layersim.errors import ClaimedError, LayersimError
from layersim.features import claims
from layersim.features.provenance import NO_LONGER_SAID, UNSAID
from layersim.features.shard_file import USER_BLOCK, ShardFile, writing_to
from layersim.features.shard_form import inner_dataset, text_attributes

Array = npt.NDArray[Any]

CHUNK_ROWS = 64  # rows of one layer that are stored together: 100 times faster to read than a row at a time
FRAME_CHUNK = 256
FAILED = "failed.csv"  # beside the shards, see `layersim.features.failures`

MADE_AGAIN = "Delete this file and run layersim extract again: it makes only what is missing."


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
class FailedRows:
    """The utterances of one shard that have no features."""

    utterance: Sequence[str]  # keys, (M,)
    place: Array  # (M,) among all utterances of the shard, these included
    reason: Sequence[str]

    @classmethod
    def of(cls, failed: Mapping[int, tuple[str, str]]) -> FailedRows | None:
        """Put key and reason of every failed place in order; None if there are none."""
        if not failed:
            return None
        places = sorted(failed)
        keys, reasons = zip(*(failed[place] for place in places), strict=True)
        # The name of a file may hold what UTF-8 does not.
        told = [reason.encode("utf-8", "backslashreplace").decode("utf-8") for reason in reasons]
        return cls(keys, np.array(places), told)


@dataclass(frozen=True)
class ShardRows:
    """The pooled content of one shard."""

    utterance: Sequence[str]  # keys, (N,)
    samples: Array  # (N,)
    frames: Array  # (N,)
    mean: Array  # (N, K, D) float32
    std: Array  # (N, K, D) float32
    phones: PhoneRows | None
    failed: FailedRows | None = None  # None: all utterances are there


@dataclass(frozen=True)
class AcousticRows:
    """The acoustic features of one shard, which no encoder made."""

    utterance: Sequence[str]  # keys, (N,)
    samples: Array  # (N,)
    frames: Array  # (N,) those that hold some of the recording; 0 where there are none to count
    values: Array  # (N, K, D) float32
    failed: FailedRows | None = None  # None: all utterances are there


def part_file(folder: Path, index: int) -> Path:
    """Where shard ``index`` stands."""
    return folder / f"part-{index:05d}.h5"


def temporary_file(part: Path, number: str) -> Path:
    """Where a shard is written by whoever holds the claim of this number."""
    return part.with_name(f"{part.name}.{number}.tmp")


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


def provenance_of(shard: h5py.File) -> dict[str, Any]:
    """Return the provenance that an open shard carries, without what only older versions said.

    Raises
    ------
    LayersimError
        If an attribute is no JSON.
    """
    said = {key: value for key, value in text_attributes(shard).items() if key not in NO_LONGER_SAID}
    return {**UNSAID, **said}


def failed_of(shard: h5py.File) -> list[tuple[str, int, str]]:
    """Return key, place in the shard and reason of every utterance that an open shard lacks."""
    if "utterance/failed" not in shard:
        return []
    rows = shard["utterance/failed"][:]
    texts = ([text.decode("utf-8") for text in rows[name]] for name in ("utterance", "reason"))
    keys, reasons = texts
    return list(zip(keys, rows["place"].tolist(), reasons, strict=True))


@contextmanager
def open_shard(file: Path) -> Iterator[h5py.File]:
    """Open a finished shard for reading; what is done with it in the ``with`` block only reads it.

    Raises
    ------
    LayersimError
        If it is not HDF5 or not a shard, or is damaged: something other than layersim has written to it.
    """
    try:
        with h5py.File(file, "r") as shard:
            if inner_dataset(shard, "utterance/table") is None:
                raise LayersimError(f"{file}: is not a layersim cache. Move it out of the cache's folder.")
            yield shard
    except LayersimError:
        raise
    except Exception as error:  # of many kinds: h5py says of damaged files what HDF5 stumbled over
        if isinstance(error, OSError) and error.errno is not None:
            raise LayersimError(f"{file}: cannot be read: {error.strerror or error}.") from None
        raise LayersimError(f"{file}: cannot be read as HDF5 ({error}). {MADE_AGAIN}") from error


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

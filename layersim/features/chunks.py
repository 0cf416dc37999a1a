"""Where a shard's vectors lie in its file, so that they are read without HDF5.

A product is stored in chunks of one layer and up to 64 rows, uncompressed (`layersim.features.shards`). HDF5
is asked once where each lies; after that a layer is read by plain reads into the array that is given back.
Opening a shard through HDF5 takes longer than copying one layer of it: of 100,000 utterances in 400 shards,
one layer comes three times as fast so.

Conventions
-----------
- A whole layer is read by several threads, a stream ahead of whoever takes it. What comes, and in which
  pieces, does not depend on that.
- No file stays open between calls. A file that was exchanged since its chunks were found is noticed.
"""

from __future__ import annotations

import io
import os
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from layersim.errors import LayersimError
from layersim.features.shards import open_shard

Rows = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

_BYTES = 4  # of a float32
_READERS = 4  # threads that read a layer: a disk answers several at once, and each waits for its answer
_AHEAD = 2  # pieces of a stream that are read before they are asked for


@dataclass(frozen=True)
class StoredProduct:
    """One product of a cache: its rows, shard after shard."""

    files: tuple[Path, ...]
    product: str
    counts: tuple[int, ...]  # rows, per file
    _found: dict[int, StoredChunks] = field(default_factory=dict)

    def fill(self, values: Vectors, place: int, rows: Rows) -> None:
        """Read rows of one layer into an array.

        Parameters
        ----------
        values : ndarray, shape (n, D), float32, C-contiguous
        place : int
            Where the layer stands.
        rows : ndarray of int, shape (n,)
            In any order.

        Raises
        ------
        ValueError
            If a row is out of range.
        LayersimError
            If a file does not hold what it should.
        """
        total = sum(self.counts)
        if rows.size and (rows.min() < 0 or rows.max() >= total):
            raise ValueError(f"rows: expected 0..{total - 1}, got {rows.min()}..{rows.max()}")
        if not (np.diff(rows) > 0).all():
            once, where = np.unique(rows, return_inverse=True)
            ordered = np.empty((len(once), values.shape[1]), dtype=np.float32)
            self.fill(ordered, place, once)
            np.take(ordered, where, axis=0, out=values)
            return
        starts = np.concatenate([[0], np.cumsum(self.counts)])
        cuts = np.searchsorted(rows, starts)  # where among the rows those of each file begin

        def read(number: int) -> None:
            own = slice(cuts[number], cuts[number + 1])
            self._chunks_of(number).read(rows[own] - starts[number], place, values[own])

        touched = np.flatnonzero(np.diff(cuts)).tolist()
        with ThreadPoolExecutor(_READERS) as readers:
            deque(readers.map(read, touched), maxlen=0)  # taken, so that what a reader raised is raised

    def stream(
        self, place: int, rows_mask: npt.NDArray[np.bool_] | None, size: int
    ) -> Iterator[tuple[Rows, Vectors]]:
        """Read one layer in pieces of one file each and at most ``size`` rows, see `FeatureCache.chunks`."""
        with ThreadPoolExecutor(1) as reader:
            ahead: deque[tuple[Rows, Future[Vectors]]] = deque()
            for number, start, within in self._pieces(rows_mask, size):
                ahead.append((within + start, reader.submit(self._chunks_of(number).read, within, place)))
                if len(ahead) > _AHEAD:
                    rows, values = ahead.popleft()
                    yield rows, values.result()
            for rows, values in ahead:
                yield rows, values.result()

    def _pieces(self, rows_mask: npt.NDArray[np.bool_] | None, size: int) -> Iterator[tuple[int, int, Rows]]:
        """Cut the chosen rows into pieces: number of the file, its first row, rows counted from there."""
        start = 0
        for number, count in enumerate(self.counts):
            own = slice(start, start + count)
            inside = np.arange(count) if rows_mask is None else np.flatnonzero(rows_mask[own])
            for first in range(0, len(inside), size):
                yield number, start, inside[first : first + size]
            start += count

    def _chunks_of(self, number: int) -> StoredChunks:
        if number not in self._found:
            self._found[number] = find_chunks(self.files[number], self.product, self.counts[number])
        return self._found[number]


@dataclass(frozen=True)
class StoredChunks:
    """One product of one shard."""

    file: Path
    stamp: tuple[int, int]  # size and time of change, by which a file that was exchanged is known
    rows: int  # of one chunk
    width: int
    offsets: npt.NDArray[np.int64]  # (chunks of rows, layers) where each begins, in bytes

    def read(self, rows: Rows, place: int, out: Vectors | None = None) -> Vectors:
        """Read some rows of one layer.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
            Ascending, none twice.
        place : int
            Where the layer stands.
        out : ndarray, shape (n, D), float32, C-contiguous, optional
            Where to put them.

        Returns
        -------
        ndarray, shape (n, D), float32

        Raises
        ------
        LayersimError
            If the file is gone, was exchanged or is cut off.
        """
        values = np.empty((len(rows), self.width), dtype=np.float32) if out is None else out
        try:
            with io.FileIO(self.file) as stream:
                if _stamp(stream.fileno()) != self.stamp:
                    raise LayersimError(
                        f"{self.file}: was exchanged while its cache was read. Start the command again."
                    )
                for chunk, begin, end in self._touched(rows):
                    first = int(rows[begin])
                    span = int(rows[end - 1]) - first + 1
                    gaps = span > end - begin
                    target = np.empty((span, self.width), np.float32) if gaps else values[begin:end]
                    within = (first - chunk * self.rows) * self.width * _BYTES
                    stream.seek(int(self.offsets[chunk, place]) + within)
                    _fill(stream, target, self.file)
                    if gaps:
                        values[begin:end] = target[rows[begin:end] - first]
        except OSError as error:
            raise LayersimError(f"{self.file}: cannot be read: {error.strerror or error}.") from None
        return values.byteswap(inplace=True) if sys.byteorder == "big" else values

    def _touched(self, rows: Rows) -> Iterator[tuple[int, int, int]]:
        """Chunks that hold some of the rows, each with the stretch of ``rows`` that it holds."""
        if not len(rows):
            return
        chunks = np.arange(rows[0] // self.rows, rows[-1] // self.rows + 1)
        edges = np.searchsorted(rows, [*(chunks * self.rows), rows[-1] + 1]).tolist()
        for chunk, (begin, end) in zip(chunks.tolist(), pairwise(edges), strict=True):
            if begin < end:
                yield chunk, begin, end


def find_chunks(file: Path, product: str, rows: int) -> StoredChunks:
    """Ask HDF5 where the chunks of a product lie, which has so many rows.

    Raises
    ------
    LayersimError
        If the file is not a shard, or does not hold the product as layersim stores it.
    """
    with open_shard(file) as shard:
        try:
            return _find(shard[product], rows)
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise LayersimError(
                f"{file}: {product} is not there as layersim stores it ({error}). Delete this file and run "
                "layersim extract again: it makes only what is missing."
            ) from None


def _find(dataset: h5py.Dataset, expected: int) -> StoredChunks:
    rows, layers, width = dataset.shape
    if dataset.dtype != np.dtype("<f4") or dataset.chunks is None or dataset.chunks[1:] != (1, width):
        raise ValueError(f"{dataset.dtype} in chunks {dataset.chunks}")
    if rows != expected:
        raise ValueError(f"{rows} rows where there were {expected} when the cache was opened")
    file = Path(dataset.file.filename)
    chunk_rows = dataset.chunks[0]
    offsets = np.full((-(-rows // chunk_rows), layers), -1, dtype=np.int64)

    def note(chunk: h5py.h5d.StoreInfo) -> None:
        if chunk.size == chunk_rows * width * _BYTES:  # a compressed one has another size
            offsets[chunk.chunk_offset[0] // chunk_rows, chunk.chunk_offset[1]] = chunk.byte_offset

    dataset.id.chunk_iter(note)
    if (offsets < 0).any() or dataset.compression is not None:
        raise ValueError("a chunk is missing or compressed")
    if not _addresses_count_user_block():
        offsets += dataset.file.userblock_size
    with file.open("rb") as stream:
        return StoredChunks(file, _stamp(stream.fileno()), chunk_rows, width, offsets)


def _stamp(handle: int) -> tuple[int, int]:
    status = os.fstat(handle)
    return status.st_size, status.st_mtime_ns


def _fill(stream: io.RawIOBase, target: Vectors, file: Path) -> None:
    """Read as many bytes as the array takes; one read may give fewer."""
    rest = target.data.cast("B")
    while len(rest):
        got = stream.readinto(rest)
        if not got:
            raise LayersimError(f"{file}: ends in the middle of its vectors.")
        rest = rest[got:]


@cache
def _addresses_count_user_block() -> bool:
    """Whether this HDF5 counts a file's user block in the address of a chunk; not every version has."""
    stream, content = io.BytesIO(), np.arange(16, dtype="<f8")
    with h5py.File(stream, "w", userblock_size=512, libver="earliest") as file:
        dataset = file.create_dataset("one", data=content, chunks=content.shape)
        address = dataset.id.get_chunk_info(0).byte_offset
    return stream.getvalue()[address : address + content.nbytes] == content.tobytes()

"""Reading a corpus's cached features: one layer at a time, by rows, or streamed.

Conventions
-----------
- A *product* is ``utterance/mean``, ``utterance/std``, ``phone/mean``, or ``phone/middle`` (the middle third
  of each phone; only where it was asked for).
- A *layer* is a name: ``"0"`` .. ``"L"``, and ``"d1"`` .. for decoder blocks, which have no frames and so
  no phones.
- A *row* is the place of an utterance (or phone) in the whole cache: shards follow each other.

No file stays open between calls, so a `FeatureCache` can be pickled, forked and shared between workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from layersim.errors import LayersimError, StageMissingError
from layersim.features.provenance import refuse_other
from layersim.features.shard_form import damage_refused
from layersim.features.shard_heads import read_head, refuse_mixture
from layersim.features.shards import open_shard, part_files

Product = Literal["utterance/mean", "utterance/std", "phone/mean", "phone/middle"]
PRODUCTS: tuple[Product, ...] = ("utterance/mean", "utterance/std", "phone/mean", "phone/middle")

Rows = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
CacheT = TypeVar("CacheT", bound="FeatureCache")


@dataclass(frozen=True)
class FeatureCache:
    """The complete cache of one corpus under one encoder; open it with `FeatureCache.open`."""

    folder: Path
    provenance: dict[str, Any]  # and ``samples``, of all utterances that it holds
    _files: tuple[Path, ...]
    _utterances: tuple[int, ...]  # per file
    _phones: tuple[int, ...]
    _failed: tuple[tuple[tuple[str, int, str], ...], ...]  # key, place in the shard, reason; per file

    @classmethod
    def open(cls: type[CacheT], folder: Path, expected: Mapping[str, Any] | None = None) -> CacheT:
        """Open a cache, all of whose shards are there and agree.

        Parameters
        ----------
        expected : mapping, optional
            Provenance that the cache must have; entries left out are not compared.

        Raises
        ------
        StageMissingError
            If there is no cache, or it is not finished.
        ProvenanceError
            If it was made otherwise than expected, or its shards differ among themselves.
        LayersimError
            If a file in it is not a shard, is another shard than its name says, or is damaged.
        """
        files = part_files(folder)
        if not files:
            raise StageMissingError(f"{folder}: holds no features. Make them first: layersim extract.")
        heads = [read_head(file, whole=True) for file in files]
        refuse_mixture(heads)
        provenance, shards = heads[0].provenance, heads[0].shards
        refuse_other(folder, provenance, expected or {})
        if len(heads) != shards or [head.shard for head in heads] != list(range(len(heads))):
            raise StageMissingError(
                f"{folder}: {len(heads)} of {shards} shards are there. Finish them first: layersim extract "
                "goes on where it stopped."
            )
        # Of all audio together, so that later stages notice files that were exchanged.
        provenance = {**provenance, "samples": sum(head.samples for head in heads)}
        utterances, phones = [head.utterances for head in heads], [head.phones for head in heads]
        failed = tuple(head.failed for head in heads)
        return cls(folder, provenance, tuple(files), tuple(utterances), tuple(phones), failed)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers, frame layers first."""
        return tuple(self.provenance["layers"])

    @property
    def frame_layers(self) -> tuple[str, ...]:
        """Names of the layers that have frames: those of phones."""
        return tuple(self.provenance["frame_layers"])

    @property
    def width(self) -> int:
        """D, features per layer."""
        return int(self.provenance["width"])

    @property
    def phone_set(self) -> str | None:
        """The phone set of the phones; None if the corpus has no phone times."""
        return cast("str | None", self.provenance["phone_set"])

    @property
    def has_middle(self) -> bool:
        """Whether the middle thirds of phones are there."""
        return bool(self.provenance["middle"])

    def __len__(self) -> int:
        """N, utterances."""
        return sum(self._utterances)

    @property
    def phone_count(self) -> int:
        """P, pooled phones."""
        return sum(self._phones)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per utterance: ``utterance`` (its key), ``samples`` at 16 kHz, ``frames``."""
        return self._table("utterance", {"utterance": str, "samples": np.int64, "frames": np.int64})

    @cached_property
    def keys(self) -> list[str]:
        """Utterance keys, row by row."""
        return cast("list[str]", self.table["utterance"].tolist())

    @cached_property
    def failed(self) -> dict[str, str]:
        """Why utterances that were asked for have no features, by key; empty if all have."""
        return {key: reason for failed in self._failed for key, _, reason in failed}

    @cached_property
    def requested(self) -> list[str]:
        """Keys of all utterances that were asked for, in order: those with features and those that failed."""
        held, requested = iter(self.keys), []
        for count, failed in zip(self._utterances, self._failed, strict=True):
            at = {place: key for key, place, _ in failed}
            requested += [at[place] if place in at else next(held) for place in range(count + len(failed))]
        return requested

    @cached_property
    def phones(self) -> pd.DataFrame:
        """One row per pooled phone: ``utterance`` (key), ``phone``, ``start``, ``end`` (s), ``frames``.

        ``frames`` is how many were averaged; 0 says that none was centred in the phone and the nearest
        stands in. ``middle_frames`` says the same of its middle third, where the cache has it. Empty if the
        corpus has no phone times.
        """
        columns = {"utterance": str, "phone": str, "start": float, "end": float, "frames": np.int64}
        return self._table("phone", {**columns, **({"middle_frames": np.int64} if self.has_middle else {})})

    def _table(self, group: str, columns: Mapping[str, type]) -> pd.DataFrame:
        parts: dict[str, list[Any]] = {name: [] for name in columns}
        for file in self._files:
            with open_shard(file) as shard:
                if group in shard:
                    with damage_refused(file):
                        rows = shard[f"{group}/table"][:]
                        for name in columns:
                            parts[name].append(_decoded(rows[name]))
        return pd.DataFrame({
            name: _column(parts[name], kind) for name, kind in columns.items()
        })  # fmt: skip

    def read(self, product: Product, layer: str, rows: Rows | None = None) -> Vectors:
        """Read one layer of a product.

        Parameters
        ----------
        product : {"utterance/mean", "utterance/std", "phone/mean", "phone/middle"}
        layer : str
        rows : ndarray of int, optional
            Which rows, in any order; None: all.

        Returns
        -------
        ndarray, shape (n, D), float32
            In the order of ``rows``.

        Raises
        ------
        LayersimError
            If the cache has no such layer, no phones, or not the middle thirds of phones.
        ValueError
            If the product is unknown or a row is out of range.
        """
        place, counts = self._place(product, layer)
        wanted = np.arange(sum(counts)) if rows is None else np.asarray(rows, dtype=np.int64)
        values = np.empty((len(wanted), self.width), dtype=np.float32)
        self._fill(values, product, place, counts, wanted)
        return values

    def vectors(self, layers: Sequence[str], rows: Rows) -> Vectors:
        """Read what a method learns from: mean and standard deviation of some layers side by side.

        Parameters
        ----------
        layers : sequence of str, length K
        rows : ndarray of int, shape (n,)
            In any order.

        Returns
        -------
        ndarray, shape (n, K, 2D), float32

        Raises
        ------
        LayersimError, ValueError
            As `read`.
        """
        pooled = [
            np.concatenate(
                [self.read("utterance/mean", layer, rows), self.read("utterance/std", layer, rows)], axis=1
            )
            for layer in layers
        ]
        return np.stack(pooled, axis=1)

    def _fill(
        self, values: Vectors, product: str, place: int | slice, counts: Sequence[int], rows: Rows
    ) -> None:
        """Read rows of a product into an array that has one row for each."""
        total = sum(counts)
        if rows.size and (rows.min() < 0 or rows.max() >= total):
            raise ValueError(f"rows: expected 0..{total - 1}, got {rows.min()}..{rows.max()}")
        start = 0
        for file, count in zip(self._files, counts, strict=True):
            inside = np.flatnonzero((rows >= start) & (rows < start + count))
            if inside.size:
                values[inside] = _read_rows(file, product, place, rows[inside] - start)
            start += count

    def chunks(
        self, product: Product, layer: str, rows_mask: npt.NDArray[np.bool_] | None = None, size: int = 4096
    ) -> Iterator[tuple[Rows, Vectors]]:
        """Stream one layer of a product, for caches that do not fit into memory.

        Parameters
        ----------
        rows_mask : ndarray of bool, shape (rows,), optional
            Which rows; None: all.
        size : int, >= 1
            Most rows at a time.

        Yields
        ------
        rows : ndarray of int, shape (n,), ascending
        values : ndarray, shape (n, D), float32

        Raises
        ------
        LayersimError, ValueError
            As `read`.
        """
        place, counts = self._place(product, layer)
        if size < 1:
            raise ValueError(f"size: expected at least 1, got {size}")
        if rows_mask is not None and rows_mask.shape != (sum(counts),):
            raise ValueError(f"rows_mask: expected shape ({sum(counts)},), got {rows_mask.shape}")
        start = 0
        for file, count in zip(self._files, counts, strict=True):
            inside = (
                np.arange(count) if rows_mask is None else np.flatnonzero(rows_mask[start : start + count])
            )
            for first in range(0, len(inside), size):
                local = inside[first : first + size]
                yield local + start, _read_rows(file, product, place, local)
            start += count

    def frames(self, key: str) -> npt.NDArray[np.float32]:
        """Return the hidden states of one utterance.

        Returns
        -------
        ndarray, shape (K, T, D), float32
            Of the layers `frame_layers`; stored in half precision.

        Raises
        ------
        LayersimError
            If the cache was made without frames, or has no such utterance.
        """
        if self.provenance["store"] != "frames":
            raise LayersimError(
                f"{self.folder}: holds pooled features only. For frames: "
                "layersim extract --store frames --force."
            )
        if key not in self._row_of:
            raise LayersimError(f"{self.folder}: has no utterance {key!r}.")
        row = self._row_of[key]
        for file, count in zip(self._files, self._utterances, strict=True):
            if row < count:
                with open_shard(file) as shard:
                    with damage_refused(file):
                        start, stop = shard["frame_offsets"][row : row + 2]
                        frames = shard["frames"][:, start:stop]
                    return cast("npt.NDArray[np.float32]", frames.astype(np.float32))
            row -= count
        raise ValueError(f"row {row} lies beyond the cache")

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {key: row for row, key in enumerate(self.keys)}

    def _place(self, product: str, layer: str) -> tuple[int, tuple[int, ...]]:
        """Where a layer stands in a product, and how many rows of it each file holds."""
        if product not in PRODUCTS:
            raise ValueError(f"product: expected one of {', '.join(PRODUCTS)}, got {product!r}")
        layers = self.layers
        counts = self._utterances
        if product.startswith("phone/"):
            if self.phone_set is None:
                raise LayersimError(
                    f"{self.folder}: holds no phones: the corpus had no alignments when it was extracted. "
                    "Add them to layersim.toml (alignments, phone_set) and run layersim extract --force."
                )
            if product == "phone/middle" and not self.has_middle:
                raise StageMissingError(
                    f"{self.folder}: holds whole phones only, not their middle thirds. Make them: "
                    "layersim extract --middle --force."
                )
            layers, counts = self.frame_layers, self._phones
        if layer not in layers:
            raise LayersimError(
                f"{self.folder}: {product} has no layer {layer!r}. It has: {', '.join(layers) or 'none'}."
            )
        return layers.index(layer), counts


def _read_rows(file: Path, product: str, place: int | slice, rows: Rows) -> Vectors:
    """Read rows of one shard: the stretch that spans them at once, which HDF5 does 100 times faster."""
    first, last = int(rows.min()), int(rows.max())
    with open_shard(file) as shard, damage_refused(file):
        block = shard[product][first : last + 1, place]  # (rows, D), or (rows, K, D)
        return cast("Vectors", block[rows - first])


def _decoded(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.char.decode(column, "utf-8") if column.dtype.kind == "S" else column


def _column(parts: list[Any], kind: type) -> Any:
    if kind is str:
        return [text for part in parts for text in part.tolist()]
    return np.concatenate([np.asarray(part, dtype=kind) for part in parts]) if parts else np.empty(0, kind)

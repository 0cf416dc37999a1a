"""Read the caches of a workspace whole, and say of every file what is wrong with it.

Looked at are, in this order: the checksum (a file whose checksum is wrong is not given to HDF5, which does
not survive every damage); that the shard is the one that its name says, and made like the others; shapes and
types; NaN and Inf; and the utterances, against the manifest as it is now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from layersim.corpus.manifest import read_manifest, utterance_keys
from layersim.corpus.sample import balanced_sample
from layersim.errors import LayersimError, StageMissingError
from layersim.features.cache import PRODUCTS
from layersim.features.caches import CacheFolder, find_caches
from layersim.features.disk import describe_bytes
from layersim.features.provenance import ALL_UTTERANCES, utterances_sha256
from layersim.features.shard_file import checksum_of
from layersim.features.shard_heads import ShardHead, read_head, refuse_mixture
from layersim.features.shards import MADE_AGAIN, open_shard, part_file, part_files, shard_ranges
from layersim.workspace import Progress, Workspace, no_progress

_STRETCH = 1 << 26  # bytes of a dataset looked at at a time

_VECTORS = ("utterance/values", *PRODUCTS, "frames")


@dataclass(frozen=True)
class CacheReport:
    """What is wrong with one cache."""

    corpus: str
    features: str  # encoder, or set of acoustic features
    folder: Path
    shards: int  # files that were read
    utterances: int  # in those that are right
    failed: int  # of which the recording could not be used
    bytes: int
    without_checksum: int  # files of older versions
    faults: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        return {**asdict(self), "folder": str(self.folder)}

    def to_table(self) -> str:
        """Return one line, and a line per fault."""
        state = f"{len(self.faults)} faults" if self.faults else "all is right"
        old = f", {self.without_checksum:,} shards have no checksum" if self.without_checksum else ""
        failed = f", {self.failed:,} utterances failed" if self.failed else ""
        line = (
            f"{self.corpus}, {self.features}: {self.shards:,} shards, {self.utterances:,} utterances, "
            f"{describe_bytes(self.bytes)}: {state}{failed}{old}"
        )
        return "\n".join([line, *(f"  {fault}" for fault in self.faults)])


def verify_caches(
    workspace: Workspace,
    corpora: Sequence[str] | None = None,
    encoder: str | None = None,
    progress: Progress = no_progress,
) -> list[CacheReport]:
    """Read all caches that are there, whole.

    Parameters
    ----------
    corpora, encoder
        As `layersim.features.caches.find_caches` takes them.
    progress : callable
        Gets megabytes, done and in all, as ``verifying NAME``.

    Raises
    ------
    StageMissingError
        If there is no cache.
    LayersimError
        If the workspace has no corpus of a name, or a manifest cannot be read.
    """
    caches = [cache for cache in find_caches(workspace, corpora, encoder) if part_files(cache.folder)]
    if not caches:
        raise StageMissingError(f"{workspace.root}: holds no features. Make them first: layersim extract.")
    return [verify_cache(cache, progress) for cache in caches]


def verify_cache(cache: CacheFolder, progress: Progress = no_progress) -> CacheReport:
    """Read one cache whole; see `verify_caches`."""
    files = part_files(cache.folder)
    sizes = [file.stat().st_size for file in files]
    heads: list[ShardHead] = []
    keys: dict[int, _Keys] = {}
    faults: list[str] = []
    without_checksum = done = 0
    for file, size in zip(files, sizes, strict=True):
        progress(f"verifying {cache.corpus}", done / 1e6, sum(sizes) / 1e6)
        try:
            checksum = checksum_of(file)
            without_checksum += checksum == "none"
            if checksum == "wrong":
                raise LayersimError(
                    f"{file}: is damaged: its checksum is not that of its bytes. {MADE_AGAIN}"
                )
            head = read_head(file, whole=True)
            with open_shard(file) as shard:
                found = _content_faults(shard)
                own = _Keys.of(shard)
            if found:
                raise LayersimError(f"{file}: {'; '.join(found)}. {MADE_AGAIN}")
            heads.append(head)
            keys[head.shard] = own
        except OSError as error:
            faults.append(f"{file}: cannot be read: {error.strerror or error}.")
        except LayersimError as error:
            faults.append(cache.advise(str(error)))
        done += size
    progress(f"verifying {cache.corpus}", done / 1e6, sum(sizes) / 1e6)
    faults += [cache.advise(fault) for fault in _faults_together(cache, heads, keys)]
    return CacheReport(
        corpus=cache.corpus,
        features=cache.features,
        folder=cache.folder,
        shards=len(files),
        utterances=sum(head.utterances for head in heads),
        failed=sum(len(head.failed) for head in heads),
        bytes=sum(sizes),
        without_checksum=without_checksum,
        faults=faults,
    )


@dataclass(frozen=True)
class _Keys:
    """The utterances of a shard."""

    held: list[str]
    failed: list[str]

    @classmethod
    def of(cls, shard: h5py.File) -> _Keys:
        group = shard["utterance"]
        failed = _texts(group["failed"]["utterance"]) if "failed" in group else []
        return cls(_texts(group["table"]["utterance"]), failed)


def _texts(values: Any) -> list[str]:
    return [bytes(value).decode("utf-8") for value in values]


def _content_faults(shard: h5py.File) -> list[str]:
    """Look for what the form of a shard (`layersim.features.shard_form`) does not show."""
    table = shard["utterance/table"][:]
    faults = [
        f"{name} holds NaN or Inf" for name in _VECTORS if name in shard and not _is_finite(shard[name])
    ]
    if "phone/table" in shard:
        strange = set(_texts(shard["phone/table"]["utterance"])) - set(_texts(table["utterance"]))
        if strange:
            faults.append(f"phone/table names {min(strange)}, which is not in the shard")
    if "frame_offsets" in shard and not np.array_equal(np.diff(shard["frame_offsets"][:]), table["frames"]):
        faults.append("frame_offsets are not those of the utterances' frames")
    return faults if len(table) or "failed" in shard["utterance"] else [*faults, "it holds no utterance"]


def _is_finite(values: h5py.Dataset) -> bool:
    if not values.size:
        return True
    row = values.nbytes // values.shape[0]
    rows = max(1, _STRETCH // max(1, row))
    return all(
        bool(np.isfinite(values[start : start + rows]).all()) for start in range(0, values.shape[0], rows)
    )


def _faults_together(cache: CacheFolder, heads: Sequence[ShardHead], keys: dict[int, _Keys]) -> list[str]:
    """Say what is wrong with the shards as a whole."""
    if not heads:
        return []
    try:
        refuse_mixture(heads)
    except LayersimError as error:
        return [str(error)]
    faults = []
    shards = heads[0].shards
    there = {file.name for file in part_files(cache.folder)}
    if (missing := shards - len(there)) > 0:
        first = next(index for index in count() if part_file(cache.folder, index).name not in there)
        faults.append(
            f"{cache.folder}: {missing} of {shards} shards are not there, the first "
            f"{part_file(cache.folder, first).name}: layersim extract makes them."
        )
    made = heads[0].provenance
    manifest = read_manifest(cache.manifest, outside_audio_root=True)
    if (rows := _rows_of(manifest, made, keys)) is None:
        return [
            *faults,
            f"{cache.folder}: the utterances, files or times that {cache.manifest} names have changed since: "
            "run layersim extract --force.",
        ]
    ranges = shard_ranges(len(rows), made.get("shard_size", len(rows)))
    expected = utterance_keys(rows)
    for index, own in sorted(keys.items()):
        wanted = expected[ranges[index].start : ranges[index].stop] if index < len(ranges) else []
        failed = set(own.failed)
        if own.held != [key for key in wanted if key not in failed] or not failed <= set(wanted):
            strange = sorted({*own.held, *own.failed} ^ set(wanted))
            which = f", {strange[0]} is one of them" if strange else ": their order is another"
            faults.append(
                f"{part_file(cache.folder, index)}: its utterances are not those of the manifest{which}. "
                f"{MADE_AGAIN}"
            )
    return faults


def _rows_of(manifest: pd.DataFrame, made: dict[str, Any], keys: dict[int, _Keys]) -> pd.DataFrame | None:
    """Return the manifest's rows that were extracted, in that order; None if it has changed since."""
    selection = made["selection"]
    if selection == ALL_UTTERANCES:
        rows = manifest
    else:
        rows = balanced_sample(manifest, int(selection["limit"]), int(selection["seed"]))
    if utterances_sha256(rows) == made["manifest_sha256"]:
        return rows
    # Rows may have moved, labels have changed what a quick try would take now: the keys of the shards tell.
    row_of = {key: row for row, key in enumerate(utterance_keys(manifest))}
    order = [key for index in sorted(keys) for key in keys[index].held]
    if all(key in row_of for key in order):
        rows = manifest.iloc[[row_of[key] for key in order]]
        if utterances_sha256(rows) == made["manifest_sha256"]:
            return rows
    return None

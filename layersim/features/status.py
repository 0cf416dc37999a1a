"""How far the caches of a workspace are, and who is at work on them; also while extraction runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from layersim.corpus.manifest import read_manifest
from layersim.errors import LayersimError
from layersim.features import claims
from layersim.features.caches import CacheFolder, find_caches
from layersim.features.claims import Worker
from layersim.features.disk import describe_bytes
from layersim.features.provenance import ALL_UTTERANCES, describe_selection
from layersim.features.shard_heads import ShardHead, read_head, refuse_mixture
from layersim.features.shards import part_files, shard_ranges
from layersim.features.workers import workers_in
from layersim.workspace import Workspace


@dataclass(frozen=True)
class CacheState:
    """What stands in one cache now."""

    corpus: str
    features: str  # encoder, or set of acoustic features
    folder: Path
    shards: int  # there
    shards_in_all: int | None  # None: not known before the first is there
    utterances: int  # there
    failed: int  # of which the recording could not be used
    utterances_in_all: int | None  # None: not known
    bytes: int
    workers: list[Worker]
    writing: list[str]  # files of the shards that they are making
    provenance: dict[str, Any]  # of the first shard; empty: there is none
    faults: list[str] = field(default_factory=list)  # files that cannot be read, shards that do not belong

    @property
    def left(self) -> int | None:
        """Utterances that are yet to be made; None if not known."""
        if self.utterances_in_all is None:
            return None
        return max(0, self.utterances_in_all - self.utterances - self.failed)

    def to_json(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        workers = [
            {"host": worker.host, "process": worker.process, "since": worker.since} for worker in self.workers
        ]
        return {**asdict(self), "folder": str(self.folder), "left": self.left, "workers": workers}

    def to_cells(self) -> list[str]:
        """Return the row of a table."""
        shards = "?" if self.shards_in_all is None else f"{self.shards_in_all:,}"
        utterances = "?" if self.utterances_in_all is None else f"{self.utterances_in_all:,}"
        return [
            self.corpus,
            self.features,
            f"{self.shards:,} of {shards}",
            f"{self.utterances:,} of {utterances}",
            "?" if self.left is None else f"{self.left:,}",
            f"{self.failed:,}",
            describe_bytes(self.bytes),
            str(len(self.workers)),
        ]

    def to_lines(self) -> list[str]:
        """Say how it was made, who is at work, and what is wrong."""
        lines = []
        if made := self.provenance:
            encoder, versions = made["encoder"], made.get("versions", {})
            shown = [encoder["checkpoint"]]
            if encoder.get("revision"):
                shown.append(f"revision {str(encoder['revision'])[:12]}")
            if encoder.get("precision"):
                shown.append(encoder["precision"])
            shown.append(f"{len(made['layers'])} layers x {made['width']}")
            shown.append(f"phones of {made['phone_set']}" if made["phone_set"] else "no phones")
            shown.append(describe_selection(made["selection"]))
            shown.append(", ".join(f"{name} {version}" for name, version in versions.items()))
            lines.append("; ".join(shown))
        lines += [f"at work: {worker}" for worker in self.workers[:5]]
        if len(self.workers) > 5:
            lines.append(f"at work: {len(self.workers) - 5} more")
        if self.writing:
            more = f" and {len(self.writing) - 5} more" if len(self.writing) > 5 else ""
            lines.append(f"being made: {', '.join(self.writing[:5])}{more}")
        return lines + [f"fault: {fault}" for fault in self.faults]


@dataclass(frozen=True)
class Status:
    """What stands in the caches of a workspace now."""

    caches: list[CacheState]

    def to_json(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        return {"caches": [cache.to_json() for cache in self.caches]}

    def to_table(self) -> str:
        """Return a row for each cache, then what is to be said of each."""
        head = ["corpus", "features", "shards", "utterances", "left", "failed", "size", "at work"]
        rows = [head, *(cache.to_cells() for cache in self.caches)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if place < 2 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        for cache in self.caches:
            if told := cache.to_lines():
                lines += ["", f"{cache.corpus}, {cache.features}:", *(f"  {line}" for line in told)]
        return "\n".join(lines)


def cache_status(
    workspace: Workspace, corpora: Sequence[str] | None = None, encoder: str | None = None
) -> Status:
    """Look at the caches of a workspace; nothing is written, and nothing needs to be finished.

    Parameters
    ----------
    corpora, encoder
        As `layersim.features.caches.find_caches` takes them.

    Raises
    ------
    LayersimError
        If the workspace has no corpus of a name.
    """
    return Status([_look(cache) for cache in find_caches(workspace, corpora, encoder)])


def _look(cache: CacheFolder) -> CacheState:
    heads: list[ShardHead] = []
    faults, size = [], 0
    for file in part_files(cache.folder):
        try:
            size += file.stat().st_size
            heads.append(read_head(file))
        except FileNotFoundError:  # replaced at this moment
            continue
        except LayersimError as error:
            faults.append(cache.advise(str(error)))
    try:
        refuse_mixture(heads)
    except LayersimError as error:
        faults.append(cache.advise(str(error)))
    in_all = None
    try:
        in_all = _utterances_in_all(cache.manifest, heads[0] if heads else None)
    except LayersimError as error:
        faults.append(str(error))
    return CacheState(
        corpus=cache.corpus,
        features=cache.features,
        folder=cache.folder,
        shards=len(heads),
        shards_in_all=heads[0].shards if heads else None,
        utterances=sum(head.utterances for head in heads),
        failed=sum(len(head.failed) for head in heads),
        utterances_in_all=in_all,
        bytes=size,
        workers=workers_in(cache.folder),
        writing=[
            name
            for path in sorted(cache.folder.glob(f"part-*.h5{claims.SUFFIX}"))
            if claims.worker_on(cache.folder / (name := path.name.removesuffix(claims.SUFFIX))) is not None
        ],
        provenance=heads[0].provenance if heads else {},
        faults=faults,
    )


def _utterances_in_all(manifest: Path, head: ShardHead | None) -> int | None:
    """How many utterances the cache is to hold: the manifest's, or as many as --limit took of them."""
    count = len(read_manifest(manifest, outside_audio_root=True))
    if head is None:
        return None  # it may be a quick try
    selection = head.provenance["selection"]
    if selection != ALL_UTTERANCES:
        count = min(count, int(selection["limit"]))
    # The manifest may have changed since; then only the later stages and verify can say what to do.
    size = head.provenance.get("shard_size")
    return count if size and len(shard_ranges(count, size)) == head.shards else None

"""A share of the work: process I of K takes every K-th shard, so that any scheduler can divide a corpus."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from layersim.errors import UsageError


@dataclass(frozen=True)
class Share:
    """Which of ``of`` processes this is, counted from 0. It decides who does what, and no byte.

    >>> Share(1, 3).shards(8)
    [1, 4, 7]
    """

    index: int
    of: int

    @classmethod
    def from_flags(cls, num_shards: int | None, shard: int | None) -> Share | None:
        """Read ``--num-shards K --shard I``; None if neither is given.

        Raises
        ------
        UsageError
            If one is missing or out of range.
        """
        if num_shards is None and shard is None:
            return None
        if num_shards is None or shard is None:
            missing = "--shard I" if shard is None else "--num-shards K"
            raise UsageError(
                f"{missing} is missing: process I of K is --num-shards K --shard I, I from 0 on."
            )
        if num_shards < 1:
            raise UsageError(f"--num-shards {num_shards}: expected 1 or more.")
        if not 0 <= shard < num_shards:
            raise UsageError(f"--shard {shard}: expected 0..{num_shards - 1} with --num-shards {num_shards}.")
        return cls(shard, num_shards)

    def shards(self, count: int) -> list[int]:
        """Return this share's of ``count`` shards."""
        return list(range(self.index, count, self.of))


@dataclass(frozen=True)
class ShareResult:
    """What one process has done for one corpus, and what is left for the others."""

    corpus: str
    folder: Path
    share: Share
    shards: int  # of this share, all of which are there now
    utterances: int  # in them
    made: int  # shards that this run made
    there: int  # shards of the whole cache that are there
    shards_in_all: int
    left: dict[int, int]  # share -> its shards that are not there
    computed_hours: float  # audio that this run encoded
    elapsed_seconds: float
    failed: int = 0  # utterances of this share that have no features
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether the whole cache is there."""
        return self.there == self.shards_in_all

    def to_json(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        return {
            **asdict(self),
            "folder": str(self.folder),
            "left": {str(share): count for share, count in self.left.items()},
            "complete": self.complete,
        }

    def to_table(self) -> str:
        """Return one line, what is left and who makes it, and a line per thing to know."""
        folder = (
            self.folder.relative_to(Path.cwd()) if self.folder.is_relative_to(Path.cwd()) else self.folder
        )
        share = f"--num-shards {self.share.of} --shard {self.share.index}"
        line = (
            f"{self.corpus}: {share}: its {self.shards:,} shards ({self.utterances:,} utterances) are there, "
            f"{self.made:,} made now -> {folder}"
        )
        if self.complete:
            return "\n".join([line, f"  all {self.there:,} shards are there", *self._lines()])
        shares = ", ".join(f"{share} ({count})" for share, count in list(self.left.items())[:8])
        more = f" and {len(self.left) - 8} more" if len(self.left) > 8 else ""
        left = (
            f"  {self.there:,} of {self.shards_in_all:,} shards are there; missing are those of --shard "
            f"{shares}{more}. Run these, or layersim extract for all that is left."
        )
        return "\n".join([line, left, *self._lines()])

    def _lines(self) -> list[str]:
        failed = [f"  {self.failed:,} utterances of this share failed"] if self.failed else []
        return [*failed, *(f"  {note}" for note in self.notes)]

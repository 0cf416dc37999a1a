"""Go on with a cache where a run has left it: what is there stays, what is missing is made."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersim.corpus.audio import SAMPLE_RATE
from layersim.errors import ClaimedError
from layersim.features import claims, workers
from layersim.features.shards import part_file
from layersim.features.standing import is_finished
from layersim.workspace import Progress

if TYPE_CHECKING:
    from layersim.features.maker import ShardMaker
    from layersim.features.preparation import CorpusJob

logger = logging.getLogger(__name__)


def missing_shards(job: CorpusJob, folder: Path) -> list[int]:
    """Return the shards that are not there or to be made anew, in order."""
    return [index for index in range(job.shards) if not is_finished(job, folder, index)]


def make_missing_shards(
    folder: Path,
    job: CorpusJob,
    provenance: Mapping[str, Any],
    maker: ShardMaker,
    progress: Progress,
    wanted: Sequence[int] | None = None,
) -> int:
    """Compute every shard that is not there, or in which utterances failed or were exchanged.

    Shards that other living processes are making are left to them; at the end they are waited for, and made
    here if their process dies.

    Parameters
    ----------
    wanted : sequence of int, optional
        The shards to look at; None: all.

    Returns
    -------
    int
        Samples of audio that were encoded for it.
    """
    wanted = range(job.shards) if wanted is None else wanted
    lengths = {index: job.samples(index) for index in wanted}
    pending = [index for index in wanted if not is_finished(job, folder, index)]
    done = sum(lengths.values()) - sum(lengths[index] for index in pending)
    total = sum(lengths.values()) / SAMPLE_RATE
    computed = 0

    def advance(samples: int) -> None:
        nonlocal done
        done += samples
        progress(f"extracting {job.corpus}", done / SAMPLE_RATE, total)

    advance(0)
    said = False
    while pending:
        left = []
        for index, upcoming in zip(pending, [*pending[1:], None], strict=True):
            before = done
            try:
                computed += maker.make(job, index, folder, provenance, advance, upcoming)
            except ClaimedError:
                advance(before - done)
                left.append(index)
        if left == pending:  # all that is left is in the hands of others
            if not said:
                logger.warning("%s: waiting for %s", folder, _who(folder, left))
                said = True
            time.sleep(workers.LOOK_EVERY)
            advance(0)
        maker.settle()
        # and what another process took over, since this one had shown no life for too long
        pending = [index for index in pending if index in left or not part_file(folder, index).exists()]
    return computed


def _who(folder: Path, shards: Sequence[int]) -> str:
    """Name the processes that are making some shards."""
    found = {claims.worker_on(part_file(folder, index)) for index in shards}
    names = sorted(str(worker or "a process that has yet to say its name") for worker in found)
    shown = "; ".join(names[:3]) + (f"; and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{len(shards)} shards that others are making: {shown}"

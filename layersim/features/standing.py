"""What stands in a cache already, held against the recordings as they are now.

A shard of the right provenance may still be out of date: an utterance failed when it was made, or the file of
one was exchanged since, which its length shows. One that was exchanged for another of the same length is not
noticed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layersim.corpus.audio import SAMPLE_RATE
from layersim.errors import ProvenanceError, summarise_faults
from layersim.features.shards import failed_of, open_shard, part_file

if TYPE_CHECKING:
    from layersim.features.preparation import CorpusJob


def is_finished(job: CorpusJob, folder: Path, index: int) -> bool:
    """Whether a shard is there and nothing is to be made anew in it.

    Raises
    ------
    LayersimError
        If a file there is not a shard.
    """
    file = part_file(folder, index)
    if not file.exists():
        return False
    failed, exchanged = _look(job, file, index)
    return not failed and not exchanged


def is_stale(job: CorpusJob, folder: Path, index: int) -> bool:
    """Whether a shard is not there, or is of recordings that were exchanged since; failed ones do not count.

    Raises
    ------
    LayersimError
        If a file there is not a shard.
    """
    file = part_file(folder, index)
    return not file.exists() or bool(_look(job, file, index)[1])


def refuse_exchanged(job: CorpusJob, folder: Path) -> None:
    """Refuse a cache that holds features of recordings that are others now.

    Shards in which utterances have failed are not looked at: they are made anew in any case. A recording
    that cannot be used now keeps the features that it has.

    Raises
    ------
    ProvenanceError
        Naming the utterances, with both lengths.
    LayersimError
        If a file there is not a shard.
    """
    found = []
    for index in range(job.shards):
        if (file := part_file(folder, index)).exists():
            found += _look(job, file, index)[1]
    if found:
        raise ProvenanceError(
            summarise_faults(
                f"{folder}: the recordings of {len(found)} utterances are not those of these features",
                found,
                "Put the old files back, or make these shards anew: layersim extract --force.",
            )
        )


def _look(job: CorpusJob, file: Path, index: int) -> tuple[int, list[str]]:
    """Count a shard's failed utterances; if none, name those whose recordings have another length now."""
    with open_shard(file) as shard:
        if failed := failed_of(shard):
            return len(failed), []
        table = shard["utterance/table"][:]
    keys = [key.decode("utf-8") for key in table["utterance"]]
    held = dict(zip(keys, table["samples"].tolist(), strict=True))
    rows = job.rows(index)
    return 0, [
        f"{clip.key}: {held[clip.key] / SAMPLE_RATE:.3f} s there, {clip.samples / SAMPLE_RATE:.3f} s now "
        f"({clip.path})"
        for row, clip in zip(rows, job.clips[rows.start : rows.stop], strict=True)
        if row not in job.unusable and held.get(clip.key, clip.samples) != clip.samples
    ]

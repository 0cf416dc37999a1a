"""How much disk a cache takes, asked before anything is computed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from layersim.errors import LayersimError
from layersim.features.shard_heads import is_otherwise
from layersim.features.shards import part_files, shard_ranges
from layersim.features.standing import is_finished

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder
    from layersim.features.preparation import CorpusJob

logger = logging.getLogger(__name__)

_GIGABYTE = 1e9


class PlannedCache(NamedTuple):
    """A cache that is to be made or finished."""

    folder: Path
    job: CorpusJob
    provenance: dict[str, Any]


def estimate_bytes(job: CorpusJob, encoder: Encoder, rows: Iterable[int]) -> int:
    """How much disk some rows of a corpus will take.

    Two float32 vectors per utterance and layer; one per phone and frame layer, or two with its middle third;
    and, where frames are stored, one float16 vector per frame and frame layer.
    """
    layers, frame_layers = len(encoder.layers), len(encoder.frame_layers)
    of_phone = 2 if job.provenance["middle"] else 1
    total = 0
    for row in rows:
        phones = int(job.offsets[row + 1] - job.offsets[row])
        total += 4 * encoder.width * (2 * layers + of_phone * phones * frame_layers)
        if job.provenance["store"] == "frames" and row not in job.unusable:
            total += 2 * encoder.width * frame_layers * encoder.frame_count(job.clips[row].samples)
    return total


def refuse_full_disk(planned: Sequence[PlannedCache], encoder: Encoder) -> None:
    """Refuse to start what cannot be finished.

    Raises
    ------
    LayersimError
        If the disk has less room than all that is missing will take.
    """
    needed = 0
    for folder, job, provenance in planned:
        replaced = is_otherwise(folder, provenance)
        if replaced:
            needed -= sum(file.stat().st_size for file in part_files(folder))  # these go first
        for index, rows in enumerate(shard_ranges(len(job.clips), job.provenance["shard_size"])):
            if replaced or not is_finished(job, folder, index):
                needed += estimate_bytes(job, encoder, rows)
    folder = planned[0].folder
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    sizes = f"take about {describe_bytes(needed)}, and {describe_bytes(free)} are free"
    if planned[0].job.provenance["store"] == "frames":
        logger.info("%s: the frames of all layers %s", folder, sizes)
    if needed > free:
        raise LayersimError(
            f"{folder}: the features {sizes}. Make room, take fewer utterances (--limit N), or keep pooled "
            "vectors only (--store pooled)."
        )


def describe_bytes(count: int) -> str:
    """Say a number of bytes as people do.

    >>> describe_bytes(2_340_000_000), describe_bytes(260_000)
    ('2.3 GB', '0.3 MB')
    """
    return f"{count / _GIGABYTE:.1f} GB" if count > _GIGABYTE / 10 else f"{count / 1e6:.1f} MB"

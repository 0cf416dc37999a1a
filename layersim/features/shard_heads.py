"""What finished shards say of themselves, and whether a folder's shards belong together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from layersim.errors import LayersimError, ProvenanceError
from layersim.features.provenance import differences, refuse_other
from layersim.features.shard_form import (
    inner_dataset,
    require_provenance,
    require_sound,
    require_utterances,
    whole_number,
)
from layersim.features.shards import (
    FAILED,
    MADE_AGAIN,
    failed_of,
    open_shard,
    part_file,
    part_files,
    provenance_of,
)


class ShardHead(NamedTuple):
    """What a finished shard says of itself."""

    file: Path
    provenance: dict[str, Any]
    shard: int
    shards: int
    utterances: int
    samples: int  # of these utterances together, at 16 kHz
    failed: tuple[tuple[str, int, str], ...]  # key, place and reason of the utterances that it lacks
    phones: int


def read_head(file: Path, whole: bool = False) -> ShardHead:
    """Read what a shard says of itself.

    Parameters
    ----------
    whole : bool
        Look at the form of everything in it too, see `layersim.features.shard_form`.

    Raises
    ------
    LayersimError
        If it cannot be read, is not a shard, or has the name of another shard.
    """
    with open_shard(file) as shard:
        provenance = provenance_of(shard)
        require_provenance(provenance, shard.filename)
        if whole:
            utterances, phones = require_sound(shard, provenance)
        else:
            utterances = require_utterances(shard)
            table = inner_dataset(shard, "phone/table")
            phones = 0 if table is None else len(table)
        group = shard["utterance"]
        head = ShardHead(
            file,
            provenance,
            whole_number(group, "shard"),
            whole_number(group, "shards"),
            utterances,
            int(group["table"]["samples"].sum()),
            tuple(failed_of(shard)),
            phones,
        )
    if file.name != part_file(file.parent, head.shard).name:
        raise LayersimError(
            f"{file}: holds shard {head.shard} (of 0..{head.shards - 1}), under another's name. {MADE_AGAIN}"
        )
    return head


def refuse_mixture(heads: Sequence[ShardHead]) -> None:
    """Refuse shards of which some were made otherwise than most.

    Raises
    ------
    ProvenanceError
        Naming the first file that does not belong, and every difference with both values.
    """
    made = [json.dumps([head.shards, head.provenance], sort_keys=True) for head in heads]
    if len(counts := Counter(made)) > 1:
        common = counts.most_common(1)[0][0]
        usual = heads[made.index(common)]
        odd = [head for head, own in zip(heads, made, strict=True) if own != common]
        _refuse_odd(odd, {**usual.provenance, "shards": usual.shards}, "the other shards have")


def refuse_other_shards(folder: Path, expected: Mapping[str, Any]) -> None:
    """Refuse a folder any shard of which was made otherwise than expected.

    Raises
    ------
    ProvenanceError
        Naming every difference with both values; and the file, where the others are as expected.
    LayersimError
        If a file there is not a shard, or is damaged.
    """
    heads = [read_head(file) for file in part_files(folder)]
    odd = [head for head in heads if differences(head.provenance, expected)]
    if odd and len(odd) == len(heads):
        refuse_other(folder, odd[0].provenance, expected)
    if odd:
        _refuse_odd(odd, expected, "asked for")


def _refuse_odd(odd: Sequence[ShardHead], expected: Mapping[str, Any], other: str) -> None:
    first = odd[0]
    own = {**first.provenance, "shards": first.shards}
    lines = "\n  ".join(differences(own, expected, says=("this file has", other)))
    files = ", ".join(head.file.name for head in odd[1:10])
    more = f"; so for {len(odd) - 1} more ({files}{', ...' if len(odd) > 10 else ''})" if len(odd) > 1 else ""
    raise ProvenanceError(f"{first.file}: is of another cache:\n  {lines}\n{MADE_AGAIN[:-1]}{more}.")


def is_otherwise(folder: Path, expected: Mapping[str, Any]) -> bool:
    """Whether any shard of a folder was made otherwise, or cannot be read."""
    return any(_is_otherwise(file, expected) for file in part_files(folder))


def remove_other_shards(folder: Path, expected: Mapping[str, Any]) -> None:
    """Remove ``run.json``, the list of failures, and shards that were made otherwise or cannot be read."""
    for name in ("run.json", FAILED):
        (folder / name).unlink(missing_ok=True)
    for file in part_files(folder):
        if _is_otherwise(file, expected):
            file.unlink(missing_ok=True)


def _is_otherwise(file: Path, expected: Mapping[str, Any]) -> bool:
    try:
        return bool(differences(read_head(file).provenance, expected))
    except LayersimError:
        return True

"""What a cache was made of, written into every shard and compared before anything is read or added.

A provenance is a JSON object. All of it is compared: the encoder (checkpoint, revision, weights, layer rule,
precision), pooling, sample rate, the selection of utterances, hashes of what was pooled, and the versions of
the libraries that decide the numbers. Two hashes stand for the inputs, and cover what decides the features,
so that another split or a corrected emotion label does not cost a new extraction:

- ``manifest_sha256``: the utterances in their order, each with its file and times;
- ``alignment_sha256``: the pooled phones in their order, each with its times.

A file that was exchanged for another under the same name shows in its shard, which says how long each of its
utterances was (`layersim.features.standing`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersim.corpus.audio import SAMPLE_RATE
from layersim.corpus.manifest import utterance_keys
from layersim.errors import ProvenanceError
from layersim.provenance import library_versions

if TYPE_CHECKING:
    import pandas as pd

CACHE_VERSION = 1
"""Goes up when the same input gives other numbers, or the same numbers in a way that readers must know of."""

POOLING = (
    "utterance: mean and population standard deviation over valid frames; "
    "phone: mean over frames centred in [start, end), else the nearest frame"
)

UNSAID = {"middle": False}
"""Entries that a shard leaves out where they have this value: caches older than these entries stay valid."""

NO_LONGER_SAID = ("samples",)
"""Entries of older caches that are not read: of all audio together, for which every shard stood in."""

UNSAID_OF_ENCODER = {"whisper_window": "full"}
"""Entries that an encoder's description leaves out likewise; unlike others, they are always compared."""

ALL_UTTERANCES = "all"
"""The ``selection`` of a cache that holds the whole manifest; otherwise ``{"limit": N, "seed": S}``."""

_LIBRARIES = ("torch", "transformers", "soundfile", "soxr", "numpy", "h5py")


def request_provenance(
    *,
    selection: Any,
    manifest_sha256: str,
    alignment_sha256: str | None,
    phone_set: str | None,
    phones: str | None,
    middle: bool,
    store: str,
    shard_size: int,
) -> dict[str, Any]:
    """What is known of a cache before its encoder is loaded.

    Parameters
    ----------
    alignment_sha256, phone_set, phones
        None where no phones are pooled.
    middle : bool
        Whether the middle thirds of phones are pooled too.
    """
    versions = library_versions()
    return {
        "cache_version": CACHE_VERSION,
        "selection": selection,
        "manifest_sha256": manifest_sha256,
        "sample_rate": SAMPLE_RATE,
        "alignment_sha256": alignment_sha256,
        "phone_set": phone_set,
        "phones": phones,
        "middle": middle,
        "pooling": POOLING,
        "dtype": "float32",
        "store": store,
        "shard_size": shard_size,
        "versions": {name: versions[name] for name in _LIBRARIES},
    }


def utterances_sha256(manifest: pd.DataFrame) -> str:
    """Hash what decides an utterance's features, in row order: its key, file, and times in the file."""
    times = (manifest["start"].tolist(), manifest["end"].tolist())
    rows = zip(utterance_keys(manifest), manifest["path"].tolist(), *times, strict=True)
    return _sha256((key, path, _microseconds(start), _microseconds(end)) for key, path, start, end in rows)


def alignment_sha256(phones: pd.DataFrame) -> str:
    """Hash the phones to be pooled, in row order: utterance, label, times."""
    columns = (phones[name].tolist() for name in ("utterance_id", "phone", "start", "end"))
    return _sha256(
        (utterance, phone, _microseconds(start), _microseconds(end))
        for utterance, phone, start, end in zip(*columns, strict=True)
    )


def _sha256(rows: Iterable[tuple[Any, ...]]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n")
    return digest.hexdigest()


def _microseconds(seconds: float) -> int | None:
    return None if seconds != seconds else round(seconds * 1_000_000)  # NaN: no time given


def differences(
    found: Any, expected: Any, name: str = "", says: tuple[str, str] = ("the cache has", "asked for")
) -> list[str]:
    """Name every entry of ``expected`` that ``found`` has otherwise; what is not expected is not compared.

    An encoder's entries that may be left out (`UNSAID_OF_ENCODER`) count as said on both sides.

    >>> differences({"width": 512, "encoder": {"stack": "both"}}, {"encoder": {"stack": "encoder"}})
    ["encoder.stack: the cache has 'both', asked for 'encoder'"]
    >>> differences({"encoder": {"whisper_window": "trim"}}, {"encoder": {}})
    ["encoder.whisper_window: the cache has 'trim', asked for 'full'"]
    """
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        unsaid = UNSAID_OF_ENCODER if name == "encoder" else {}
        return [
            difference
            for key, value in {**unsaid, **expected}.items()
            for difference in differences(
                found.get(key, unsaid.get(key)), value, f"{name}.{key}" if name else str(key), says
            )
        ]
    if found == expected:
        return []
    return [f"{name}: {says[0]} {found!r}, {says[1]} {expected!r}"]


def disagreements(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Name every entry that two descriptions do not share, also one that only one of them has.

    >>> disagreements({"width": 4, "stack": "encoder"}, {"width": 4, "attention": "fused"})
    ["attention: None and 'fused'", "stack: 'encoder' and None"]
    """
    return [
        f"{name}: {first.get(name)!r} and {second.get(name)!r}"
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name)
    ]


def refuse_other(folder: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a cache that was made otherwise.

    Raises
    ------
    ProvenanceError
        Naming the folder, every differing entry with both values, and what to do.
    """
    if not differences(found, expected):
        return
    if "selection" in expected and found.get("selection") != expected["selection"]:
        raise ProvenanceError(_other_selection(folder, found.get("selection"), expected["selection"]))
    lines = "\n  ".join(differences(found, expected))
    raise ProvenanceError(
        f"{folder}: this cache was made otherwise:\n  {lines}\n"
        "Ask for what the cache has, or replace it: layersim extract --force."
    )


def _other_selection(folder: Path, found: Any, expected: Any) -> str:
    """What to do when only the choice of utterances is known to differ; other hashes follow from it."""
    has, asked = describe_selection(found), describe_selection(expected)
    said = f"{folder}: this cache holds {has}; you asked for {asked}."
    if expected == ALL_UTTERANCES:
        return (
            f"{said}\nFor the full run, replace the quick try: layersim extract --force\n"
            f"To go on with the quick try: layersim extract {_flags(found)}"
        )
    if found == ALL_UTTERANCES:
        return (
            f"{said}\nThe full cache serves every later stage: leave out --limit.\n"
            f"To replace it with the quick try: layersim extract {_flags(expected)} --force"
        )
    return (
        f"{said}\nTo go on with what is there: layersim extract {_flags(found)}\n"
        f"To replace it: layersim extract {_flags(expected)} --force"
    )


def describe_selection(selection: Any) -> str:
    """Say which utterances a cache holds.

    >>> describe_selection("all"), describe_selection({"limit": 60, "seed": 0})
    ('all utterances', 'a quick try (--limit 60 --seed 0)')
    """
    return "all utterances" if selection == ALL_UTTERANCES else f"a quick try ({_flags(selection)})"


def _flags(selection: Any) -> str:
    if not isinstance(selection, Mapping):
        raise ValueError(f"selection: expected a mapping with limit and seed, got {selection!r}")
    return f"--limit {selection.get('limit')} --seed {selection.get('seed')}"

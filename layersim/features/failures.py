"""The utterances that have no features though they were asked for: listed in full, and counted by emotion.

Beside a cache stands ``failed.csv`` with the columns ``utterance`` (its key), ``path`` (as in the manifest)
and ``reason``, as long as there are any.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from layersim.corpus.manifest import utterance_keys
from layersim.errors import LayersimError, summarise_faults
from layersim.features.cache import FeatureCache
from layersim.features.shards import FAILED
from layersim.workspace import write_text

SHOWN = 10  # at a result


class Failure(NamedTuple):
    """One utterance without features."""

    utterance: str  # its key
    path: str
    reason: str


def list_failures(manifest: pd.DataFrame, cache: FeatureCache) -> list[Failure]:
    """Return what a cache lacks, in the manifest's order."""
    rows = zip(utterance_keys(manifest), manifest["path"].tolist(), strict=True)
    return [Failure(key, path, cache.failed[key]) for key, path in rows if key in cache.failed]


def write_failures(folder: Path, failures: list[Failure]) -> None:
    """Write ``failed.csv``; remove it where nothing has failed."""
    if not failures:
        (folder / FAILED).unlink(missing_ok=True)
        return
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([Failure._fields, *failures])
    write_text(folder / FAILED, text.getvalue())


def refuse_empty(corpus: str, cache: FeatureCache, failures: Sequence[Failure]) -> None:
    """Refuse a cache in which every utterance has failed.

    Raises
    ------
    LayersimError
    """
    if not len(cache):
        raise LayersimError(
            summarise_faults(
                f"{corpus}: none of {len(failures)} utterances has features",
                [failure.reason for failure in failures],
                "Mend or remove them; layersim corpus check lists what is wrong with a corpus.",
            )
        )


def failure_lines(first: Sequence[Failure], count: int) -> list[str]:
    """Return the lines of a result that show the first of ``count`` failures; none if there are none."""
    if not count:
        return []
    lines = [f"  {count:,} failed:", *(f"    {failure.utterance}: {failure.reason}" for failure in first)]
    return lines if count == len(first) else [*lines, f"    ... and {count - len(first):,} more in {FAILED}"]


def failure_note(manifest: pd.DataFrame, cache: FeatureCache) -> str | None:
    """Say how many utterances of each emotion have no features; None if all have.

    An emotion that fails more often than others is a confound.
    """
    if not cache.failed:
        return None
    requested = set(cache.requested)
    rows = zip(utterance_keys(manifest), manifest["emotion"].tolist(), strict=True)
    asked = [(emotion, key in cache.failed) for key, emotion in rows if key in requested]
    of, failed = Counter(emotion for emotion, _ in asked), Counter(emotion for emotion, no in asked if no)
    shares = ", ".join(f"{emotion} {failed[emotion]} of {of[emotion]}" for emotion in sorted(failed))
    return (
        f"{len(cache.failed)} of {len(requested)} utterances have no features and are left out: {shares}. "
        f"Why is in {cache.folder / FAILED}; when they are mended: layersim extract"
    )

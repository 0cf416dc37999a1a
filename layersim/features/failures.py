"""The utterances that have no features though they were asked for: listed in full, and counted by emotion.

Beside a cache stands ``failed.csv`` with the columns ``utterance`` (its key), ``path`` (as in the manifest)
and ``reason``, as long as there are any.
"""

from __future__ import annotations

import csv
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from layersim.corpus.manifest import utterance_keys
from layersim.features.cache import FeatureCache
from layersim.features.shards import FAILED
from layersim.workspace import write_text


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

"""A small encoder and a small corpus on disk."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

EMOTIONS = ("anger", "happiness", "neutral", "sadness")


@pytest.fixture(scope="session")
def small() -> SimpleNamespace:
    """The module small_encoder.py: ``SmallEncoder`` and ``extract_small``."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("small_encoder.py"))))


def corpus_rows(count: int, name: str) -> pd.DataFrame:
    rows = []
    for number in range(count):
        speaker = number // 4 % 5
        rows.append(
            {"corpus": name, "utterance_id": f"u{number:02d}", "path": f"audio/u{number:02d}.wav",
             "start": np.nan, "end": np.nan, "speaker": f"s{speaker}", "language": "en",
             "emotion": EMOTIONS[number % 4],
             "split": ("train", "train", "train", "validation", "test")[speaker],
             "text": "", "source_label": EMOTIONS[number % 4]}
        )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def make_corpus(write_tone: Callable[..., Path]) -> Callable[..., SimpleNamespace]:
    """Write a corpus: ``make_corpus(folder, count=11, name="tones")``; gives manifest and phones.

    Utterance n lasts 0.2 + 0.03 (n mod 5) seconds. All but every fourth have the phones HH 0..50 ms,
    AA1 50..100 ms, T 100..102 ms and IY0 102..107 ms, the last of which holds no frame's centre (of a
    20 ms grid from 12.5 ms).
    """

    def make(folder: Path, count: int = 11, name: str = "tones") -> SimpleNamespace:
        manifest = corpus_rows(count, name)
        phones = []
        for number, path in enumerate(manifest["path"]):
            write_tone(folder / path, 0.2 + 0.03 * (number % 5), seed=number)
            if number % 4 != 3:
                times = [("HH", 0.0, 0.05), ("AA1", 0.05, 0.1), ("T", 0.1, 0.102), ("IY0", 0.102, 0.107)]
                phones += [
                    {"utterance_id": f"u{number:02d}", "start": start, "end": end, "phone": phone}
                    for phone, start, end in times
                ]
        table = pd.DataFrame(phones)
        manifest.to_csv(folder / "manifest.csv", index=False)
        table.to_csv(folder / "phones.csv", index=False)
        return SimpleNamespace(folder=folder, manifest=manifest, phones=table)

    return make


@pytest.fixture
def corpus(tmp_path: Path, make_corpus: Callable[..., SimpleNamespace]) -> SimpleNamespace:
    return make_corpus(tmp_path)


@pytest.fixture
def settings() -> Callable[..., Any]:
    """Extract settings from flags; shards of 3 utterances."""
    from layersim.features.extract import ExtractConfig
    from layersim.settings import resolve_settings

    return lambda **flags: resolve_settings(ExtractConfig, {"shard_size": 3, **flags})

"""Two small corpora in memory: emotions and speakers planted in features, and the cache that gives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from layersim.adaptation.settings import TrainConfig
from layersim.features.cache import FeatureCache
from layersim.features.dataset import CorpusFeatures
from layersim.settings import Settings, resolve_settings

LAYERS = ("0", "1", "2", "3", "4", "5", "6")
WIDTH = 6
EMOTIONS = ("anger", "happiness", "neutral", "sadness")


class MemoryCache:
    """Stands in for the HDF5 cache: the same reading calls, arrays (N, K, D) in memory."""

    def __init__(self, mean: np.ndarray, std: np.ndarray, encoder: dict[str, Any] | None = None) -> None:
        self.products = {"utterance/mean": mean, "utterance/std": std}
        self.layers = LAYERS
        self.width = WIDTH
        self.provenance = {"encoder": encoder or {"checkpoint": "tiny", "weights_sha256": "ab" * 32}}
        self.read_rows: list[tuple[str, str, tuple[int, ...]]] = []

    def read(self, product: str, layer: str, rows: np.ndarray | None = None) -> np.ndarray:
        values = self.products[product][:, self.layers.index(layer)]
        rows = np.arange(len(values)) if rows is None else rows
        self.read_rows.append((product, layer, tuple(rows.tolist())))
        return values[rows].astype(np.float32)

    vectors = FeatureCache.vectors


def make_corpus(
    name: str,
    seed: int,
    shift: float = 0.0,
    emotions: tuple[str, ...] = EMOTIONS,
    per_cell: int = 4,
    speakers: int = 5,
    signal: float = 2.0,
) -> CorpusFeatures:
    """Speakers 0-2 train, 3 validates, 4 tests; each says ``per_cell`` utterances per emotion.

    An emotion is a direction that both corpora share; ``shift`` moves and stretches a whole corpus.
    """
    rng = np.random.default_rng(seed)
    directions = {emotion: np.random.default_rng(7 + number).standard_normal((len(LAYERS), WIDTH))
                  for number, emotion in enumerate((*EMOTIONS, "disgust"))}  # fmt: skip
    rows, means = [], []
    for speaker in range(speakers):
        for emotion in emotions:
            for number in range(per_cell):
                noise = rng.standard_normal((len(LAYERS), WIDTH))
                means.append((signal * directions[emotion] + noise) * (1 + shift) + 5 * shift)
                split = "train" if speaker < 3 else ("validation" if speaker == 3 else "test")
                rows.append((name, f"s{speaker}-{emotion}-{number}", f"{speaker:02d}", emotion, split))
    table = pd.DataFrame(rows, columns=["corpus", "utterance_id", "speaker", "emotion", "split"])
    table["source_label"] = table["emotion"]
    mean = np.array(means)
    std = np.abs(rng.standard_normal(mean.shape)) + shift
    return CorpusFeatures(name, table, cast("FeatureCache", MemoryCache(mean, std)), None)


@pytest.fixture
def source() -> CorpusFeatures:
    return make_corpus("german", seed=1)


@pytest.fixture
def target() -> CorpusFeatures:
    """Another offset and scale, and an emotion that the source does not have."""
    return make_corpus("english", seed=2, shift=1.0, emotions=(*EMOTIONS, "disgust"))


@pytest.fixture
def corpus_of() -> Callable[..., CorpusFeatures]:
    return make_corpus


@pytest.fixture
def with_table() -> Callable[..., CorpusFeatures]:
    """The corpus with some columns of its table replaced."""

    def change(corpus: CorpusFeatures, **columns: Any) -> CorpusFeatures:
        return replace(corpus, table=corpus.table.assign(**columns))

    return change


@pytest.fixture
def with_features() -> Callable[..., CorpusFeatures]:
    """The corpus with the mean features of some rows changed."""

    def change(corpus: CorpusFeatures, rows: np.ndarray, by: float) -> CorpusFeatures:
        memory = cast("MemoryCache", corpus.cache)
        mean = memory.products["utterance/mean"].copy()
        mean[rows] += by
        cache = MemoryCache(mean, memory.products["utterance/std"], memory.provenance["encoder"])
        return replace(corpus, cache=cast("FeatureCache", cache))

    return change


@pytest.fixture
def settings_of() -> Callable[..., Settings[TrainConfig]]:
    """Small and quick settings, with what the test asks for."""

    def make(**flags: Any) -> Settings[TrainConfig]:
        quick = {"epochs": 4, "seeds": 2, "batch": 16, "projection": 5, "anchors": "2,3", "bootstraps": 100}
        return resolve_settings(TrainConfig, {**quick, **flags})

    return make

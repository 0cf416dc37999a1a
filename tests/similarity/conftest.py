"""Corpora in memory, with planted similarity: what the features room hands over, without files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from layersim.features.dataset import CorpusFeatures

EMOTIONS = ("anger", "happiness", "neutral", "sadness")


@dataclass
class MemoryCache:
    """Answers like an opened feature cache."""

    products: dict[str, np.ndarray]  # name -> (rows, layers, width)
    layers: tuple[str, ...]
    phones: pd.DataFrame
    names: list[str]  # utterance keys
    checkpoint: str = "planted"
    pooled: str = "vowels"
    reads: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def frame_layers(self) -> tuple[str, ...]:
        return tuple(layer for layer in self.layers if not layer.startswith("d"))

    @property
    def width(self) -> int:
        return self.products["utterance/mean"].shape[2]

    @property
    def provenance(self) -> dict[str, Any]:
        return {
            "layers": list(self.layers),
            "width": self.width,
            "encoder": {"checkpoint": self.checkpoint},
            "phones": self.pooled,
            "middle": "phone/middle" in self.products,
        }

    def __len__(self) -> int:
        return len(self.products["utterance/mean"])

    @property
    def keys(self) -> list[str]:
        return self.names

    @property
    def phone_count(self) -> int:
        return len(self.phones)

    def read(self, product: str, layer: str, rows: np.ndarray) -> np.ndarray:
        self.reads.extend((product, layer, int(row)) for row in rows)
        return self.products[product][rows, self.layers.index(layer)].astype(np.float32)

    def chunks(
        self, product: str, layer: str, rows_mask: np.ndarray, size: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rows = np.flatnonzero(rows_mask)
        place = self.layers.index(layer)
        for first in range(0, len(rows), min(size, 7)):  # 7: so that small corpora come in several chunks too
            chosen = rows[first : first + min(size, 7)]
            self.reads.extend((product, layer, int(row)) for row in chosen)
            yield chosen, self.products[product][chosen, place].astype(np.float32)


@pytest.fixture
def make_corpus() -> Callable[..., CorpusFeatures]:
    """Make a corpus from vectors (N, layers, D): ``make_corpus(name, vectors, emotions, ...)``."""

    def make(
        name: str,
        vectors: np.ndarray,
        emotions: Sequence[str],
        speakers: Sequence[str],
        splits: Sequence[str] | None = None,
        layers: Sequence[str] | None = None,
    ) -> CorpusFeatures:
        number = len(vectors)
        table = pd.DataFrame(
            {
                "corpus": name,
                "utterance_id": [f"u{index:04d}" for index in range(number)],
                "speaker": list(speakers),
                "emotion": list(emotions),
                "split": list(splits) if splits is not None else ["train"] * number,
            }
        )
        names = (
            tuple(layers) if layers is not None else tuple(str(layer) for layer in range(vectors.shape[1]))
        )
        keys = [f"{name}/{utterance}" for utterance in table["utterance_id"]]
        phones = pd.DataFrame({"utterance": [], "phone": [], "start": [], "end": [], "frames": []})
        return CorpusFeatures(
            name, table, MemoryCache({"utterance/mean": vectors}, names, phones, keys), None
        )

    return make


@pytest.fixture
def planted_pair(
    make_corpus: Callable[..., CorpusFeatures],
) -> Callable[..., tuple[CorpusFeatures, CorpusFeatures]]:
    """Make two corpora whose emotions point the same way in some layers, as strongly as asked.

    ``planted_pair(strengths)``: one strength per layer, the shared emotion direction's length against noise
    of length about 1. Every vector has a common offset of length ``offset``, and each corpus one of its own.
    """

    def make(
        strengths: Sequence[float],
        utterances: int = 120,
        speakers: int = 6,
        width: int = 24,
        offset: float = 20.0,
        own_offset: float = 1.0,
        seed: int = 0,
        splits: Sequence[str] | None = None,
        emotions: Sequence[str] = EMOTIONS,
    ) -> tuple[CorpusFeatures, CorpusFeatures]:
        rng = np.random.default_rng(seed)

        def direction(*shape: int) -> np.ndarray:
            vector = rng.standard_normal((*shape, width))
            return vector / np.linalg.norm(vector, axis=-1, keepdims=True)

        layers = len(strengths)
        shared = direction(layers, len(emotions)) * np.asarray(strengths)[:, None, None]
        common = direction(layers) * offset
        pair = []
        for name in ("source", "target"):
            label = np.arange(utterances) % len(emotions)
            vectors = rng.standard_normal((utterances, layers, width)) / np.sqrt(width)
            vectors += common + direction(layers) * own_offset + shared[:, label].transpose(1, 0, 2)
            voices = [f"s{index // len(emotions) % speakers}" for index in range(utterances)]
            pair.append(make_corpus(name, vectors, [emotions[index] for index in label], voices, splits))
        return pair[0], pair[1]

    return make


@pytest.fixture
def add_phones() -> Callable[..., CorpusFeatures]:
    """Give a corpus's utterances phones (of the set ``arpabet``): ``add_phones(corpus, labels, vectors)``."""

    def add(corpus: CorpusFeatures, labels: Sequence[Sequence[str]], vectors: np.ndarray) -> CorpusFeatures:
        """``labels``: one list of phones per utterance; ``vectors`` (P, layers, D), in the same order."""
        keys = [key for key, phones in zip(corpus.cache.keys, labels, strict=True) for _ in phones]
        flat = [phone for phones in labels for phone in phones]
        starts = np.arange(len(flat)) * 0.1
        corpus.cache.phones = pd.DataFrame(
            {"utterance": keys, "phone": flat, "start": starts, "end": starts + 0.1, "frames": 5}
        )
        corpus.cache.products["phone/mean"] = vectors
        return replace(corpus, phone_set="arpabet")

    return add


@pytest.fixture
def segment_pair(
    make_corpus: Callable[..., CorpusFeatures], add_phones: Callable[..., CorpusFeatures]
) -> Callable[..., tuple[CorpusFeatures, CorpusFeatures]]:
    """Make two corpora of random segments, one speaker of each more talkative than the others.

    ``segment_pair(vowel_strength=..., offset=...)``: in every layer a vowel has a direction that both corpora
    share, of that length (one number, or one a layer), and all segments share an offset.
    """

    def make(
        vowel_strength: float | Sequence[float] = 0.0,
        utterances: int = 24,
        segments: int = 5,
        layers: int = 3,
        width: int = 5,
        offset: float = 1.0,
        emotions: Sequence[str] = ("anger", "sadness"),
        vowels: Sequence[str] = ("AA1", "IY0", "UW1", "T"),
        shares: Sequence[float] = (0.5, 0.3, 0.15, 0.05),
        splits: Sequence[str] | None = None,
        seed: int = 4,
    ) -> tuple[CorpusFeatures, CorpusFeatures]:
        rng = np.random.default_rng(seed)
        strength = np.broadcast_to(np.asarray(vowel_strength, dtype=float), (layers,))
        shared = rng.standard_normal((layers, len(vowels), width))
        shared *= strength[:, None, None] / np.linalg.norm(shared, axis=2, keepdims=True)
        common = offset * rng.standard_normal((layers, width))
        pair = []
        for name in ("source", "target"):
            voices = rng.choice(["loud", "b", "c", "d"], utterances, p=[0.55, 0.15, 0.15, 0.15])
            label = rng.choice(list(emotions), utterances)
            corpus = make_corpus(
                name, rng.standard_normal((utterances, layers, width)), label, voices, splits
            )
            spoken = rng.choice(len(vowels), (utterances, segments), p=list(shares))
            vectors = rng.standard_normal((utterances * segments, layers, width)) + common
            vectors += shared[:, spoken.reshape(-1)].transpose(1, 0, 2)
            pair.append(add_phones(corpus, [[vowels[index] for index in row] for row in spoken], vectors))
        return pair[0], pair[1]

    return make

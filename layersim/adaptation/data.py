"""Utterances with and without their emotions, and how they are read from a corpus.

Conventions
-----------
- Features of an utterance are its pooled mean and standard deviation side by side, per layer: (N, K, 2D).
  Acoustic features have another shape; their first axis is the utterance too.
- `UnlabelledFeatures` has no emotion: what is read as one cannot reach a loss or a selection with a label.
  *All* utterances of the target's train split are in it, also those of emotions outside the class list,
  because leaving them out would take their labels.
- Utterances are ordered by key, so that the order of a cache's rows changes no draw.
- What is standardised, and by which statistics, is `layersim.adaptation.pair`'s business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from layersim.corpus.manifest import utterance_keys

if TYPE_CHECKING:
    import pandas as pd

    from layersim.features.dataset import CorpusFeatures

MINIMUM_SOURCE = 4  # two disjoint batches of two, for the noise floor


@dataclass(frozen=True)
class UnlabelledFeatures:
    """Utterances without their emotions."""

    keys: tuple[str, ...]
    features: Tensor  # (N, K, 2D) float32

    def __len__(self) -> int:
        return len(self.keys)

    def sha256(self) -> str:
        """Hash everything that it holds."""
        return hash_part(self.features, self.keys)


@dataclass(frozen=True)
class LabelledFeatures:
    """Utterances with emotion and speaker."""

    keys: tuple[str, ...]
    features: Tensor  # (N, K, 2D) float32
    emotions: tuple[str, ...]
    speakers: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def counts(self, classes: Sequence[str]) -> dict[str, int]:
        """Count the utterances of each class."""
        return {name: self.emotions.count(name) for name in classes}

    def sha256(self) -> str:
        """Hash everything that it holds."""
        return hash_part(self.features, self.keys, self.emotions, self.speakers)


@dataclass(frozen=True)
class VowelSegments:
    """The vowels of some utterances: what phonetic anchoring compares.

    Attributes
    ----------
    features : Tensor, shape (P, K, D), float32, standardised
        Mean over the segment's frames, one row per segment.
    utterance : Tensor, shape (P,), int64
        Which row of the part they belong to (`LabelledFeatures` or `UnlabelledFeatures`).
    vowels : tuple of str, length P
        Their classes, such as ``a`` or ``i``, common to both corpora's phone sets.
    """

    features: Tensor
    utterance: Tensor
    vowels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.vowels)

    def sha256(self) -> str:
        """Hash everything that it holds."""
        places = [str(place) for place in self.utterance.tolist()]
        return hash_part(self.features, places, self.vowels)


def read_unlabelled(corpus: CorpusFeatures, split: str, layers: Sequence[str]) -> UnlabelledFeatures:
    """Read all utterances of a split, their emotions removed before anything is looked at.

    Raises
    ------
    LayersimError
        If the split has none.
    """
    part = corpus.restrict(split).without_labels()
    table = by_key(part.table)
    return UnlabelledFeatures(tuple(utterance_keys(table)), read_layers(part, layers, table))


def read_labelled(
    corpus: CorpusFeatures, split: str, layers: Sequence[str], classes: Sequence[str]
) -> LabelledFeatures:
    """Read the utterances of a split that carry one of the classes; there may be none.

    Raises
    ------
    LayersimError
        If the split is empty.
    """
    part = corpus.restrict(split)
    table = by_key(part.table[part.table["emotion"].isin(list(classes))])
    return LabelledFeatures(
        tuple(utterance_keys(table)),
        read_layers(part, layers, table),
        tuple(str(emotion) for emotion in table["emotion"]),
        tuple(str(speaker) for speaker in table["speaker"]),
    )


def by_key(table: pd.DataFrame) -> pd.DataFrame:
    """Order a table's rows by key; repeated rows stay side by side."""
    return table.iloc[np.argsort(np.array(tuple(utterance_keys(table)), dtype=object), kind="stable")]


def read_layers(corpus: CorpusFeatures, layers: Sequence[str], table: pd.DataFrame) -> Tensor:
    """Read the features of a table's rows: of an encoder's cache (N, K, 2D), else as the cache has them."""
    return torch.from_numpy(corpus.cache.vectors(layers, table.index.to_numpy(dtype=np.int64)))


def hash_part(features: Tensor, *columns: Sequence[str]) -> str:
    """Hash features with their shape, and columns of text."""
    digest = hashlib.sha256(repr(tuple(features.shape)).encode())
    digest.update(features.contiguous().numpy().data)
    for column in columns:
        digest.update("\x1f".join(column).encode() + b"\x1e")
    return digest.hexdigest()

"""What training reads of two corpora: labelled source, unlabelled target, and the test set kept apart.

Conventions
-----------
- Features of an utterance are its pooled mean and standard deviation side by side, per layer: (N, K, 2D).
- `UnlabelledFeatures` has no emotion: what is read as one cannot reach a loss or a selection with a label.
  *All* utterances of the target's train split are in it, also those of emotions outside the class list,
  because leaving them out would take their labels.
- Utterances are ordered by key, so that the order of a cache's rows changes no draw.
- Statistics are measured over all utterances of a *train* split, labels unread, in both corpora alike.
- The test set is the target's test split; it is standardised by statistics of the train split, measures
  nothing and is looked at after training only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from layersim.adaptation.standardise import Statistics, measure_statistics
from layersim.corpus.manifest import utterance_keys
from layersim.corpus.splits import assert_speaker_disjoint
from layersim.errors import LayersimError

if TYPE_CHECKING:
    import pandas as pd

    from layersim.adaptation.settings import Standardise
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
        return _sha256(self.features, self.keys)


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
        return _sha256(self.features, self.keys, self.emotions, self.speakers)


@dataclass(frozen=True)
class PairData:
    """One method's view of a pair of corpora, standardised."""

    source_train: LabelledFeatures
    source_validation: LabelledFeatures
    target_train: UnlabelledFeatures
    target_test: LabelledFeatures
    target_statistics: Statistics  # what new recordings of the target are standardised by

    def hashes(self) -> dict[str, str]:
        """Return one hash per part, by name."""
        return {
            "source_train": self.source_train.sha256(),
            "source_validation": self.source_validation.sha256(),
            "target_train": self.target_train.sha256(),
            "target_test": self.target_test.sha256(),
        }


def read_pair(
    source: CorpusFeatures,
    target: CorpusFeatures,
    layers: Sequence[str],
    classes: Sequence[str],
    standardise: Standardise,
) -> PairData:
    """Read the layers of both corpora and standardise them.

    Parameters
    ----------
    layers : sequence of str
        In the features' order.
    classes : sequence of str
        The emotions to tell apart. Labelled parts hold no others.
    standardise : "corpus" or "source"
        Each corpus by its own train split's statistics, or both by the source's.

    Raises
    ------
    LayersimError
        If a split is empty, a class has no example, or a speaker is in two splits.
    """
    source_train = read_labelled(source, "train", layers, classes)
    source_validation = read_labelled(source, "validation", layers, classes)
    target_test = read_labelled(target, "test", layers, classes)
    _require_classes(source, "train", source_train, classes)
    _require_classes(target, "test", target_test, classes)
    if not len(source_validation):
        raise LayersimError(
            f"{source.name}: no validation utterance of {', '.join(classes)} in the features, by which "
            "epochs are chosen. Extract more (a larger --limit, or none), or mend the column split."
        )
    for corpus in (source, target):
        assert_speaker_disjoint(corpus.table)
    if len(source_train) < MINIMUM_SOURCE:
        raise LayersimError(
            f"{source.name}: {len(source_train)} train utterances of {', '.join(classes)} are too few to "
            f"learn from; at least {MINIMUM_SOURCE} are needed. Extract more (a larger --limit, or none)."
        )
    target_train = read_unlabelled(target, "train", layers)
    if len(target_train) < 2:
        raise LayersimError(
            f"{target.name}: {len(target_train)} train utterance; a covariance needs two. "
            "Extract more (a larger --limit, or none)."
        )
    source_statistics = measure_statistics(read_unlabelled(source, "train", layers).features)
    target_statistics = (
        measure_statistics(target_train.features) if standardise == "corpus" else source_statistics
    )
    return PairData(
        source_train=replace(source_train, features=source_statistics.apply(source_train.features)),
        source_validation=replace(
            source_validation, features=source_statistics.apply(source_validation.features)
        ),
        target_train=replace(target_train, features=target_statistics.apply(target_train.features)),
        target_test=replace(target_test, features=target_statistics.apply(target_test.features)),
        target_statistics=target_statistics,
    )


def read_unlabelled(corpus: CorpusFeatures, split: str, layers: Sequence[str]) -> UnlabelledFeatures:
    """Read all utterances of a split, their emotions removed before anything is looked at.

    Raises
    ------
    LayersimError
        If the split has none.
    """
    part = corpus.restrict(split).without_labels()
    table = _by_key(part.table)
    return UnlabelledFeatures(tuple(utterance_keys(table)), _read_layers(part, layers, table))


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
    table = _by_key(part.table[part.table["emotion"].isin(list(classes))])
    return LabelledFeatures(
        tuple(utterance_keys(table)),
        _read_layers(part, layers, table),
        tuple(str(emotion) for emotion in table["emotion"]),
        tuple(str(speaker) for speaker in table["speaker"]),
    )


def _by_key(table: pd.DataFrame) -> pd.DataFrame:
    return table.iloc[np.argsort(np.array(tuple(utterance_keys(table)), dtype=object), kind="stable")]


def _read_layers(corpus: CorpusFeatures, layers: Sequence[str], table: pd.DataFrame) -> Tensor:
    rows = table.index.to_numpy(dtype=np.int64)
    return torch.from_numpy(corpus.cache.vectors(layers, rows))


def _require_classes(
    corpus: CorpusFeatures, split: str, part: LabelledFeatures, classes: Sequence[str]
) -> None:
    absent = [name for name, count in part.counts(classes).items() if not count]
    if absent:
        kept = ",".join(name for name in classes if name not in absent)
        raise LayersimError(
            f"{corpus.name}: no {split} utterance of {', '.join(absent)} in the features. "
            f"Extract more (a larger --limit, or none), or leave the class out: --emotions {kept}."
        )


def _sha256(features: Tensor, *columns: Sequence[str]) -> str:
    digest = hashlib.sha256(repr(tuple(features.shape)).encode())
    digest.update(features.contiguous().numpy().data)
    for column in columns:
        digest.update("\x1f".join(column).encode() + b"\x1e")
    return digest.hexdigest()

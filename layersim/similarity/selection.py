"""Which rows of two corpora are compared, and which cell each belongs to.

Conventions
-----------
- Only rows whose split is ``train`` are selected, in both corpora: rank uses the target's labels and must not
  see its test split. A row of another split that reaches `select` is a bug in the caller and raises.
- A *row* is an utterance, at phoneme level a segment. What is compared is its *label*; what is kept apart and
  averaged over afterwards is its *stratum*. A cell is all of one corpus that shares both.
- Three forms, and all that follows knows only labels and strata:

  ==================  =========  ==========  ====================================
  form                label      stratum     item (what a permutation relabels)
  ==================  =========  ==========  ====================================
  utterance level     emotion    none, ``""``  utterance
  phoneme level       emotion    vowel       utterance, its segments with it
  label-free          vowel      none, ``""``  segment
  ==================  =========  ==========  ====================================

- A segment has the emotion and the speaker of its utterance. The label-free form takes corpora without
  emotion labels (`CorpusFeatures.without_labels`): what it does not hold it cannot read.
- Items are ordered by their utterance's key, then by time, so that the order of a cache's rows never matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from layersim.corpus.manifest import utterance_keys
from layersim.errors import LayersimError
from layersim.similarity.phones import phone_product, share_phones
from layersim.similarity.settings import RankConfig

if TYPE_CHECKING:
    import pandas as pd

    from layersim.features.cache import Product
    from layersim.features.dataset import CorpusFeatures

UTTERANCES: Product = "utterance/mean"
NO_STRATA: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Selection:
    """One corpus's side of a comparison: rows of its cache, and the cell of each."""

    corpus: str
    product: Product
    labels: tuple[str, ...]
    strata: tuple[str, ...]  # ("",) where there are none
    speakers: tuple[str, ...]
    keys: tuple[str, ...]  # of the selected utterances, sorted
    cache_rows: NDArray[np.int64]  # (N,) per selected utterance: its row in the cache
    mask: NDArray[np.bool_]  # (rows of the product,)
    stratum: NDArray[np.int64]  # (rows of the product,) position in strata; -1 where not selected
    item: NDArray[np.int64]  # (rows of the product,) position among the items; -1 where not selected
    label: NDArray[np.int64]  # (items,) position in labels
    speaker: NDArray[np.int64]  # (items,) position in speakers

    @property
    def vowel_axis(self) -> int | None:
        """Where the vowels are: 0 in the strata, 1 in the labels; None at utterance level."""
        return None if self.product == UTTERANCES else int(self.strata == NO_STRATA)

    @property
    def cells(self) -> NDArray[np.int64]:
        """Stratum, label and speaker of each selected row, shape (3, rows)."""
        item = self.item[self.mask]
        return np.stack([self.stratum[self.mask], self.label[item], self.speaker[item]])

    @property
    def speaker_counts(self) -> NDArray[np.int64]:
        """Rows per cell and speaker, shape (strata, labels, speakers)."""
        counts = np.zeros((len(self.strata), len(self.labels), len(self.speakers)), dtype=np.int64)
        np.add.at(counts, tuple(self.cells), 1)
        return counts

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows per cell, shape (strata, labels)."""
        return np.asarray(self.speaker_counts.sum(axis=2))

    @property
    def spoken(self) -> NDArray[np.bool_]:
        """Which speaker is in which cell, shape (strata, labels, speakers)."""
        return self.speaker_counts > 0

    def effective_counts(self, cap: int) -> NDArray[np.int64]:
        """Rows per cell, each speaker's counted up to ``cap`` (0: all), shape (strata, labels)."""
        counts = self.speaker_counts
        return np.asarray((np.minimum(counts, cap) if cap else counts).sum(axis=2))


def select_pair(
    source: CorpusFeatures, target: CorpusFeatures, config: RankConfig
) -> tuple[Selection, Selection, list[str]]:
    """Select what is compared: the train rows of both corpora that carry one of the labels.

    Parameters
    ----------
    config : RankConfig
        Effective. Its ``emotions`` default to all that both train splits have, its ``vowels`` likewise.

    Returns
    -------
    source, target : Selection
        Over the same labels and strata.
    notes : list of str
        What was counted rather than used.

    Raises
    ------
    LayersimError
        If a corpus has no train utterance, an emotion is not in both, or no vowel is shared.
    """
    source, target = source.restrict("train"), target.restrict("train")
    if config.label_free:
        source, target = source.without_labels(), target.without_labels()
        emotions = [""]
    else:
        emotions = _shared_emotions(source, target, config.emotions)
    if config.level == "utterance":
        return select(source, emotions), select(target, emotions), []
    shared = share_phones((source, target), emotions, config)
    first, second = (
        select_segments(side, emotions, shared.classes, of_rows, config)
        for side, of_rows in zip((source, target), shared.of_rows, strict=True)
    )
    return first, second, shared.notes


def select(corpus: CorpusFeatures, emotions: Sequence[str]) -> Selection:
    """Select the utterances of one corpus that carry one of the emotions.

    Parameters
    ----------
    corpus : CorpusFeatures
        Restricted to its train split.

    Raises
    ------
    ValueError
        If ``corpus`` has a row of another split than ``train``.
    """
    table = _train_table(corpus, emotions)
    keys, speakers = utterance_keys(table), sorted(set(table["speaker"]))
    cache_rows = table.index.to_numpy(dtype=np.int64)
    item = np.full(len(corpus.cache), -1, dtype=np.int64)
    item[cache_rows] = np.arange(len(keys))
    return Selection(
        corpus=corpus.name,
        product=UTTERANCES,
        labels=tuple(emotions),
        strata=NO_STRATA,
        speakers=tuple(speakers),
        keys=tuple(keys),
        cache_rows=cache_rows,
        mask=item >= 0,
        stratum=np.where(item >= 0, 0, -1),
        item=item,
        label=_positions(table["emotion"], emotions),
        speaker=_positions(table["speaker"], speakers),
    )


def select_segments(
    corpus: CorpusFeatures,
    emotions: Sequence[str],
    classes: Sequence[str],
    class_of_row: Sequence[str],
    config: RankConfig,
) -> Selection:
    """Select the segments of some classes in one corpus's utterances of some emotions.

    Parameters
    ----------
    corpus : CorpusFeatures
        Restricted to its train split.
    emotions : sequence of str
        ``[""]`` in the label-free form, for a corpus without labels.
    classes, class_of_row : sequence of str
        The phone classes to compare; the class of each phone row of the cache, "" for none.

    Raises
    ------
    ValueError
        If ``corpus`` has a row of another split than ``train``.
    """
    table = _train_table(corpus, emotions)
    keys, speakers = utterance_keys(table), sorted(set(table["speaker"]))
    utterance = _positions(corpus.cache.phones["utterance"], keys)
    phone_class = _positions(class_of_row, classes)
    mask = (utterance >= 0) & (phone_class >= 0)
    speaker = _positions(table["speaker"], speakers)
    item = np.full(len(mask), -1, dtype=np.int64)
    if config.label_free:
        rows = np.flatnonzero(mask)
        rows = rows[np.argsort(utterance[rows], kind="stable")]  # within an utterance they stand by time
        item[rows] = np.arange(len(rows))
        labels, strata, stratum = classes, NO_STRATA, np.zeros_like(item)
        label, speaker = phone_class[rows], speaker[utterance[rows]]
    else:
        item[mask] = utterance[mask]
        labels, strata, stratum = emotions, tuple(classes), phone_class
        label = _positions(table["emotion"], emotions)
    return Selection(
        corpus=corpus.name,
        product=phone_product(config),
        labels=tuple(labels),
        strata=strata,
        speakers=tuple(speakers),
        keys=tuple(keys),
        cache_rows=table.index.to_numpy(dtype=np.int64),
        mask=mask,
        stratum=np.where(mask, stratum, -1),
        item=item,
        label=label,
        speaker=speaker,
    )


def _train_table(corpus: CorpusFeatures, emotions: Sequence[str]) -> pd.DataFrame:
    """Rows of the manifest with one of the emotions, sorted by key."""
    table = corpus.table
    other = sorted(set(table["split"]) - {"train"})
    if other:
        raise ValueError(
            f"{corpus.name} must be restricted to its train split: rank uses labels, and no other utterance "
            f"may reach it; found split {', '.join(map(repr, other))}"
        )
    table = table[table["emotion"].isin(list(emotions))]
    return table.iloc[np.argsort(np.array(utterance_keys(table), dtype=object), kind="stable")]


def _positions(labels: Iterable[str], names: Sequence[str]) -> NDArray[np.int64]:
    """Where each label stands among the names; -1 if it does not."""
    place = {name: position for position, name in enumerate(names)}
    return np.array([place.get(label, -1) for label in labels], dtype=np.int64)


def _shared_emotions(
    source: CorpusFeatures, target: CorpusFeatures, emotions: Sequence[str] | None
) -> list[str]:
    found = [set(side.table["emotion"]) for side in (source, target)]
    if emotions is None:
        shared = sorted(found[0] & found[1])
        if not shared:
            raise LayersimError(
                f"{source.name} and {target.name} share no emotion in their train splits: "
                f"{_listed(found[0])} against {_listed(found[1])}. Check the label maps."
            )
        return shared
    for side, have in zip((source, target), found, strict=True):
        lacking = [name for name in emotions if name not in have]
        if lacking:
            raise LayersimError(
                f"{side.name}: no train utterance with emotion {', '.join(map(repr, lacking))}. "
                f"It has: {_listed(have)}."
            )
    return sorted(set(emotions))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names) - {""})) or "none"

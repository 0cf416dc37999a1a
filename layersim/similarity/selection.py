"""Which utterances and phones of two corpora are compared, and which cell each belongs to.

Conventions
-----------
- Only rows whose split is ``train`` are selected, in both corpora: rank uses the target's labels and must not
  see its test split. A row of another split that reaches `select` is a bug in the caller and raises.
- Selected utterances are ordered by key, so that the order of a cache's rows never matters.
- A cell is all of one corpus that shares an emotion (at phoneme level: an emotion and a vowel).
  A phone has the emotion and the speaker of its utterance.
- At utterance level there is one stratum, named ``""``, where phoneme level has its vowels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layersim.corpus.manifest import utterance_keys
from layersim.errors import LayersimError

if TYPE_CHECKING:
    from layersim.features.cache import Product
    from layersim.features.dataset import CorpusFeatures

Level = Literal["utterance", "phoneme"]
PRODUCTS: dict[Level, Product] = {"utterance": "utterance/mean", "phoneme": "phone/mean"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """One corpus's side of a comparison: rows of its cache, and the cell of each."""

    corpus: str
    product: Product
    emotions: tuple[str, ...]
    vowels: tuple[str, ...]  # ("",) at utterance level
    speakers: tuple[str, ...]
    keys: tuple[str, ...]  # of the selected utterances, sorted
    emotion: NDArray[np.int64]  # (N,) per utterance: position in emotions
    speaker: NDArray[np.int64]  # (N,) per utterance: position in speakers
    cache_rows: NDArray[np.int64]  # (N,) per utterance: its row in the cache
    mask: NDArray[np.bool_]  # (rows of the product,)
    utterance: NDArray[np.int64]  # (rows of the product,) position in keys; -1 where not selected
    vowel: NDArray[np.int64]  # (rows of the product,) position in vowels; -1 where not selected

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows per cell, shape (vowels, emotions)."""
        counts = np.zeros((len(self.vowels), len(self.emotions)), dtype=np.int64)
        np.add.at(counts, (self.vowel[self.mask], self.emotion[self.utterance[self.mask]]), 1)
        return counts

    @property
    def spoken(self) -> NDArray[np.bool_]:
        """Which speaker is in which cell, shape (vowels, emotions, speakers)."""
        spoken = np.zeros((len(self.vowels), len(self.emotions), len(self.speakers)), dtype=bool)
        rows = self.utterance[self.mask]
        spoken[self.vowel[self.mask], self.emotion[rows], self.speaker[rows]] = True
        return spoken


def select_pair(
    source: CorpusFeatures, target: CorpusFeatures, level: Level, emotions: Sequence[str] | None = None
) -> tuple[Selection, Selection, list[str]]:
    """Select what is compared: the train utterances of both corpora that carry one of the emotions.

    Parameters
    ----------
    emotions : sequence of str, optional
        Default: all that both train splits have.

    Returns
    -------
    source, target : Selection
        Over the same emotions and, at phoneme level, the same vowels.
    notes : list of str
        What was counted rather than used.

    Raises
    ------
    LayersimError
        If a corpus has no train utterance, an emotion is not in both, or no vowel is shared.
    """
    source, target = source.restrict("train"), target.restrict("train")
    named = _shared_emotions(source, target, emotions)
    if level == "utterance":
        return select(source, named), select(target, named), []
    labels, notes = [], []
    for side in (source, target):
        found, unknown = _vowel_labels(side, named)
        labels.append(found)
        if unknown:
            listed = ", ".join(f"{phone!r} {count}" for phone, count in sorted(unknown.items()))
            notes.append(f"{side.name}: phones that its phone set does not know were left out: {listed}.")
            logger.warning("%s", notes[-1])
    vowels = sorted(set(labels[0]) & set(labels[1]) - {""})
    if not vowels:
        raise LayersimError(
            f"{source.name} and {target.name} share no vowel: "
            f"{_listed(labels[0])} against {_listed(labels[1])}. Check the phone_set of both corpora."
        )
    return select(source, named, vowels, labels[0]), select(target, named, vowels, labels[1]), notes


def select(
    corpus: CorpusFeatures,
    emotions: Sequence[str],
    vowels: Sequence[str] | None = None,
    phone_vowels: Sequence[str] | None = None,
) -> Selection:
    """Select the rows of one corpus that carry one of the emotions.

    Parameters
    ----------
    corpus : CorpusFeatures
        Restricted to its train split.
    vowels, phone_vowels : optional
        Phoneme level: the vowels to compare, and the vowel of each phone row of the cache, "" for none.

    Raises
    ------
    ValueError
        If ``corpus`` has a row of another split than ``train``.
    """
    table = corpus.table
    other = sorted(set(table["split"]) - {"train"})
    if other:
        raise ValueError(
            f"{corpus.name} must be restricted to its train split: rank uses labels, and no other utterance "
            f"may reach it; found split {', '.join(map(repr, other))}"
        )
    table = table[table["emotion"].isin(list(emotions))]
    table = table.iloc[np.argsort(np.array(utterance_keys(table), dtype=object), kind="stable")]
    keys = utterance_keys(table)
    speakers = sorted(set(table["speaker"]))
    cache_rows = table.index.to_numpy(dtype=np.int64)
    if vowels is None or phone_vowels is None:
        product, vowels = PRODUCTS["utterance"], ("",)
        utterance = np.full(len(corpus.cache), -1, dtype=np.int64)
        utterance[cache_rows] = np.arange(len(keys))
        vowel = np.where(utterance >= 0, 0, -1)
    else:
        product = PRODUCTS["phoneme"]
        utterance = _positions(corpus.cache.phones["utterance"], keys)
        vowel = _positions(phone_vowels, vowels)
        outside = (utterance < 0) | (vowel < 0)
        utterance[outside] = vowel[outside] = -1
    return Selection(
        corpus=corpus.name,
        product=product,
        emotions=tuple(emotions),
        vowels=tuple(vowels),
        speakers=tuple(speakers),
        keys=tuple(keys),
        emotion=_positions(table["emotion"], emotions),
        speaker=_positions(table["speaker"], speakers),
        cache_rows=cache_rows,
        mask=utterance >= 0,
        utterance=utterance,
        vowel=vowel,
    )


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


def _vowel_labels(corpus: CorpusFeatures, emotions: Sequence[str]) -> tuple[list[str], Mapping[str, int]]:
    """Vowel per phone row of the cache, "" for consonants and for phones of other utterances."""
    from layersim.alignment.vowels import load_phone_set, map_vowels

    if corpus.phone_set is None or not len(corpus.cache.phones):
        raise LayersimError(
            f"{corpus.name}: its features hold no phones. Give its alignments (layersim.toml, "
            f"[corpora.{corpus.name}], alignments = ...) and extract again, or rank with --level utterance."
        )
    phones = corpus.phones
    keys = utterance_keys(corpus.table[corpus.table["emotion"].isin(list(emotions))])
    phones = phones[phones["utterance"].isin(keys)]
    mapped, unknown = map_vowels(phones, load_phone_set(corpus.phone_set))
    vowels = pd.Series("", index=corpus.cache.phones.index, dtype=object)
    vowels[mapped.index] = mapped["vowel"].astype(object)  # by row label: a mapping may leave rows out
    return vowels.tolist(), unknown


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names) - {""})) or "none"

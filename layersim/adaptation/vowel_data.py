"""Reading the vowel segments of some utterances from a corpus's features."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from layersim.adaptation.data import VowelSegments, by_key
from layersim.alignment.phone_set import load_phone_set
from layersim.alignment.vowels import map_classes
from layersim.corpus.manifest import utterance_keys
from layersim.errors import LayersimError

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures

logger = logging.getLogger(__name__)


def read_vowels(
    corpus: CorpusFeatures, keys: Sequence[str], layers: Sequence[str]
) -> tuple[VowelSegments, list[str]]:
    """Read every vowel segment of some utterances; no label is looked at.

    Parameters
    ----------
    corpus : CorpusFeatures
        Its table may be restricted; neither its splits nor its emotions are read.
    keys : sequence of str
        The utterances in the order of the part (`LabelledFeatures.keys`) that they belong to; those that a
        joined corpus repeats stand there as often.
    layers : sequence of str
        In the features' order.

    Returns
    -------
    segments : VowelSegments
        As cached, *not* standardised. ``utterance`` is the place in ``keys``; ordered by it, then by time,
        so that the order of a cache's rows changes no draw. May be empty, and may have vowels that
        another corpus lacks.
    notes : list of str
        What was left out: phones that the phone set does not know.

    Raises
    ------
    LayersimError
        If the features hold no phones, or a layer has none.
    ValueError
        If an utterance stands in ``keys`` more often than in the corpus's table.
    """
    table = by_key(corpus.table)
    own = utterance_keys(table)
    wanted = Counter(keys)
    held = Counter(own)
    strange = [key for key in wanted if held[key] < wanted[key]]
    if strange:
        raise ValueError(
            f"keys must be utterances of {corpus.name}; {len(strange)} stand in its table less often than "
            f"here (first: {strange[:1]})"
        )
    places = _places(keys, own, table.index.to_numpy(dtype=np.int64))
    if corpus.phone_set is None or not len(corpus.cache.phones):
        raise LayersimError(
            f"{corpus.name}: its features hold no phones. Make them (layersim align), or name those that "
            f"there are (layersim.toml, [corpora.{corpus.name}], alignments = ...); then layersim extract "
            "--force."
        )
    without = [layer for layer in layers if layer not in corpus.cache.frame_layers]
    if without:
        raise LayersimError(
            f"{corpus.name}: layers {', '.join(without)} of its features have no phones. Layers with phones: "
            f"{', '.join(corpus.cache.frame_layers)}. Choose among these, or a method without phones."
        )
    phones = corpus.phones
    mapped, unknown = map_classes(phones[phones["row"].isin(list(places))], load_phone_set(corpus.phone_set))
    notes = []
    if unknown:
        listed = ", ".join(f"{phone!r} {count}" for phone, count in sorted(unknown.items()))
        notes.append(f"{corpus.name}: phones that its phone set does not know were left out: {listed}.")
        logger.warning("%s", notes[-1])
    vowels = mapped[mapped["vowel"] != ""]
    utterance = np.array([places[row] for row in vowels["row"].tolist()], dtype=np.int64)
    order = np.lexsort((vowels["start"].to_numpy(dtype=np.float64), utterance))
    rows = vowels.index.to_numpy(dtype=np.int64)[order]
    pooled = np.empty((len(rows), len(layers), corpus.cache.width), dtype=np.float32)
    if len(rows):  # nothing to read: an HDF5 file has no empty stretch
        for number, layer in enumerate(layers):
            pooled[:, number] = corpus.cache.read("phone/mean", layer, rows)
    segments = VowelSegments(
        torch.from_numpy(pooled),  # (P, K, D)
        torch.from_numpy(utterance[order]),
        tuple(str(vowel) for vowel in vowels["vowel"].to_numpy()[order]),
    )
    return segments, notes


def _places(keys: Sequence[str], own: Sequence[str], rows: NDArray[np.int64]) -> dict[int, int]:
    """Return the place in ``keys`` of each row: the first of equal keys takes the first row, and so on."""
    left: dict[str, list[int]] = {}
    for key, row in zip(own, rows.tolist(), strict=True):
        left.setdefault(key, []).append(row)
    return {left[key].pop(0): place for place, key in enumerate(keys)}

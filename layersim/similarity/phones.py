"""Which phone segments of two corpora are compared, and the class (vowel) of each.

A segment counts if its utterance does, its phone set knows its class, it has enough frames, and both corpora
have the class. What is left out is counted and said.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from layersim.corpus.manifest import utterance_keys
from layersim.errors import LayersimError
from layersim.similarity.settings import RankConfig

if TYPE_CHECKING:
    from layersim.alignment.phone_set import Kind
    from layersim.features.cache import Product
    from layersim.features.dataset import CorpusFeatures

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SharedPhones:
    """The classes that are compared, and the class of every phone row of both caches."""

    classes: tuple[str, ...]
    of_rows: tuple[list[str], list[str]]  # source's, target's; "" for a row that is not compared
    notes: list[str]


def phone_product(config: RankConfig) -> Product:
    """Name the cached product that holds the segments."""
    return "phone/middle" if config.middle else "phone/mean"


def class_kind(config: RankConfig) -> Kind:
    """Name one of the classes that are compared or kept apart: a vowel, or a consonant."""
    return "vowel" if config.classes == "vowels" else "consonant"


def share_phones(
    sides: tuple[CorpusFeatures, CorpusFeatures], emotions: Sequence[str], config: RankConfig
) -> SharedPhones:
    """Find the phone classes that both corpora have in their utterances of the emotions.

    Parameters
    ----------
    sides : (CorpusFeatures, CorpusFeatures)
        Source and target, restricted to their train splits.

    Raises
    ------
    LayersimError
        If a cache lacks the segments asked for, or the corpora do not share the classes asked for.
    """
    of_rows, notes = [], []
    for side in sides:
        _require_product(side, config)
        found, said = _classes_of_rows(side, emotions, config)
        of_rows.append(found)
        notes += said
    counts = [Counter(name for name in found if name) for found in of_rows]
    shared = sorted(set(counts[0]) & set(counts[1]))
    source, target = (side.name for side in sides)
    kind = class_kind(config)
    if not shared:
        raise LayersimError(
            f"{source} and {target} share no {kind}: {_listed(counts[0])} against {_listed(counts[1])}. "
            "Check the phone_set of both corpora."
        )
    if config.vowels is not None:
        lacking = [name for name in config.vowels if name not in shared]
        if lacking:
            have = ", ".join(f"{name} {counts[0][name]}/{counts[1][name]}" for name in shared)
            raise LayersimError(
                f"{source} and {target} do not share {kind} {', '.join(map(repr, lacking))}. They share "
                f"(segments in {source}/{target}): {have}."
            )
        shared = [name for name in shared if name in config.vowels]
    chosen = set(shared)
    return SharedPhones(
        tuple(shared),
        (
            [name if name in chosen else "" for name in of_rows[0]],
            [name if name in chosen else "" for name in of_rows[1]],
        ),
        notes,
    )


def _require_product(corpus: CorpusFeatures, config: RankConfig) -> None:
    """Refuse a cache that does not hold the segments asked for."""
    if corpus.phone_set is None or not len(corpus.cache.phones):
        raise LayersimError(
            f"{corpus.name}: its features hold no phones. Make them (layersim align), or name those that "
            f"there are (layersim.toml, [corpora.{corpus.name}], alignments = ...); then layersim extract "
            "--force. Or rank with --level utterance."
        )
    provenance = corpus.cache.provenance
    if config.classes == "consonants" and provenance["phones"] != "all":
        raise LayersimError(
            f"{corpus.name}: its features hold vowels only. For consonants: "
            "layersim extract --phones all --force."
        )
    if config.middle and not provenance["middle"]:
        raise LayersimError(
            f"{corpus.name}: its features hold whole segments only. For their middle thirds: "
            "layersim extract --middle --force."
        )


def _classes_of_rows(
    corpus: CorpusFeatures, emotions: Sequence[str], config: RankConfig
) -> tuple[list[str], list[str]]:
    """Class per phone row of the cache, "" for what is not compared; and what was left out."""
    from layersim.alignment.phone_set import load_phone_set
    from layersim.alignment.vowels import map_classes

    notes, kind = [], class_kind(config)
    phones = corpus.phones
    keys = utterance_keys(corpus.table[corpus.table["emotion"].isin(list(emotions))])
    phones = phones[phones["utterance"].isin(keys)]
    mapped, unknown = map_classes(phones, load_phone_set(str(corpus.phone_set)), kind)
    if unknown:
        listed = ", ".join(f"{phone!r} {count}" for phone, count in sorted(unknown.items()))
        notes.append(f"{corpus.name}: phones that its phone set does not know were left out: {listed}.")
        logger.warning("%s", notes[-1])
    named = mapped[kind].astype(object)
    frames = mapped["middle_frames" if config.middle else "frames"]
    short = (frames < config.min_frames) & (named != "")
    if short.any():
        notes.append(
            f"{corpus.name}: {int(short.sum())} of {int((named != '').sum())} segments have fewer than "
            f"{config.min_frames} frames and were left out."
        )
    classes = pd.Series("", index=corpus.cache.phones.index, dtype=object)
    classes[mapped.index] = named.mask(short, "")  # by row label: a mapping may leave rows out
    return classes.tolist(), notes


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"

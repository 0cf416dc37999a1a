"""Speaker-disjoint splits: the corpora's published folds, or drawn by speaker.

Source of the folds: Tang, Kuppens, Geurts & van Waterschoot, arXiv 2311.13678 (Emo-DB, RAVDESS, ESD), kept in
``data_manifests/folds``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TypeVar

import numpy as np
import pandas as pd

from layersim.corpus.labels import plain_name
from layersim.documents import read_toml, require_form
from layersim.errors import LayersimError

SHARES = {"train": 3, "validation": 1, "test": 1}  # fifths of the utterances

_FOLDS = {"fold": [{"validation": [str], "test": [str]}]}  # form of a file

PartT = TypeVar("PartT", bound=Hashable)


@dataclass(frozen=True)
class Fold:
    """The speakers that validate and test; all others train."""

    validation_speakers: tuple[str, ...]
    test_speakers: tuple[str, ...]


def folds(corpus: str) -> list[Fold]:
    """Return the published folds of a corpus (emodb, ravdess, esd), the first first.

    ``Emo-DB``, ``emodb`` and ``emo_db`` are the same. ESD's are of its Mandarin speakers, 0001 to 0010.

    >>> folds("emodb")[0]
    Fold(validation_speakers=('13', '14'), test_speakers=('15', '16'))

    Raises
    ------
    LayersimError
        If none are known.
    """
    folder = resources.files("layersim_data") / "folds"
    files = {plain_name(file.name.removesuffix(".toml")): file for file in folder.iterdir()}
    file = files.get(plain_name(corpus))
    if file is None:
        names = ", ".join(sorted(known.name.removesuffix(".toml") for known in files.values()))
        raise LayersimError(
            f"corpus {corpus}: no published folds. Known: {names}. Draw the splits by speaker, or set them "
            "in the manifest."
        )
    document = read_toml(file)
    require_form(document, _FOLDS, str(file), "It is part of layersim: install it again.")
    return [Fold(tuple(fold["validation"]), tuple(fold["test"])) for fold in document["fold"]]


def apply_fold(manifest: pd.DataFrame, fold: Fold) -> pd.DataFrame:
    """Set the splits of a fold.

    Speakers are matched as they stand, or else by their number: ``Actor_01`` and ``1`` are ``01``.

    Raises
    ------
    LayersimError
        If a speaker of the fold is not in the manifest.
    """
    split_of = {
        _plain_speaker(speaker): split
        for split, speakers in (("validation", fold.validation_speakers), ("test", fold.test_speakers))
        for speaker in speakers
    }
    present = sorted(set(manifest["speaker"]))
    known = {_plain_speaker(speaker) for speaker in present}
    named = (*fold.validation_speakers, *fold.test_speakers)
    if absent := [speaker for speaker in named if _plain_speaker(speaker) not in known]:
        raise LayersimError(
            f"the fold names speakers that the manifest lacks: {', '.join(absent)}. "
            f"It has {', '.join(present)}. Import the whole corpus, or set the column split yourself."
        )
    splits = {speaker: split_of.get(_plain_speaker(speaker), "train") for speaker in present}
    return manifest.assign(split=[splits[speaker] for speaker in manifest["speaker"].tolist()])


def _plain_speaker(speaker: str) -> str:
    """Reduce a speaker's name to its number, where it ends with its only one.

    >>> _plain_speaker("Actor_01"), _plain_speaker("0007"), _plain_speaker("wangzhe")
    ('1', '7', 'wangzhe')
    """
    # One way only for every digit to match: a name of many noughts takes no time.
    found = re.fullmatch(r"\D*?0*((?!0)\d+|0)", speaker)
    return found[1] if found else speaker


def assign_splits(manifest: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Draw a speaker-disjoint split of about 60/20/20 by utterances, balanced over gender where it is known.

    Speakers are shuffled and dealt, see `deal_speakers`. Every split gets at least one. The same rows and
    seed give the same splits, whatever the order of the rows.

    Raises
    ------
    LayersimError
        If there are fewer than three speakers.
    """
    speakers = manifest["speaker"].tolist()
    if len(set(speakers)) < len(SHARES):
        raise LayersimError(
            f"{manifest['corpus'].iloc[0]}: {len(set(speakers))} speakers; three are needed, one for each of "
            "train, validation and test. Set the splits by hand in the manifest, or take a larger corpus."
        )
    shuffled = np.random.default_rng(seed).permutation(sorted(set(speakers))).tolist()
    splits = deal_speakers(manifest, SHARES, shuffled)
    return manifest.assign(split=[splits[speaker] for speaker in speakers])


def deal_speakers(
    manifest: pd.DataFrame, shares: Mapping[PartT, int], speakers: Sequence[str]
) -> dict[str, PartT]:
    """Deal speakers to parts by utterances, balanced over gender where it is known.

    Those with most utterances come first, genders in turn. Each goes to the part that has least of its share,
    of all utterances and of those of the speaker's gender; of equals to the one with the larger share, then
    to the first. Every part gets at least one, if there are as many speakers.

    Parameters
    ----------
    shares : mapping
        How much of the utterances each part should have, in proportion.
    speakers : sequence of str
        All of the manifest, each once; among speakers with equally many utterances their order decides.
    """
    rows = manifest["speaker"].tolist()
    counts = Counter(rows)
    genders = manifest["gender"].tolist() if "gender" in manifest.columns else [""] * len(rows)
    gender_of = dict(sorted(zip(rows, genders, strict=True)))
    gender_size = Counter(gender_of[speaker] for speaker in rows)
    largest = sorted(speakers, key=lambda speaker: -counts[speaker])
    turn: dict[str, int] = {}  # the largest of each gender have turn 0, the second 1, ...
    for gender in gender_size:
        own = [speaker for speaker in largest if gender_of[speaker] == gender]
        turn |= {speaker: place for place, speaker in enumerate(own)}
    whole = math.lcm(*shares.values())
    held: Counter[PartT] = Counter()
    held_of_gender: Counter[tuple[PartT, str]] = Counter()
    part_of: dict[str, PartT] = {}
    for speaker in sorted(largest, key=lambda speaker: (turn[speaker], gender_of[speaker])):
        gender = gender_of[speaker]

        def fullness(part: PartT, gender: str = gender) -> tuple[float, int]:
            of_gender = held_of_gender[part, gender]
            # held / all + of_gender / all of this gender, relative to the part's share; in whole numbers, so
            # that equals are equal. An empty part has 0, any other more: none stays empty.
            filled = held[part] * gender_size[gender] + of_gender * len(rows)
            return filled * whole // shares[part], -shares[part]

        part = min(shares, key=fullness)
        part_of[speaker] = part
        held[part] += counts[speaker]
        held_of_gender[part, gender] += counts[speaker]
    return part_of


def assert_speaker_disjoint(manifest: pd.DataFrame) -> None:
    """Refuse splits that share a speaker.

    Raises
    ------
    LayersimError
        Naming the speakers.
    """
    used = manifest[manifest["split"] != ""]
    splits = used.groupby(used["corpus"].astype(str) + "/" + used["speaker"].astype(str))["split"].nunique()
    shared = sorted(splits.index[splits > 1])
    if shared:
        more = ", ..." if len(shared) > 10 else ""
        raise LayersimError(
            f"speakers in more than one split: {', '.join(shared[:10])}{more}. "
            "Give each speaker one split in the manifest."
        )

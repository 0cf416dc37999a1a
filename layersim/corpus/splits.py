"""Speaker-disjoint splits: the corpora's published folds, or drawn by speaker.

Source of the folds: Tang, Kuppens, Geurts & van Waterschoot, arXiv 2311.13678 (Emo-DB, RAVDESS, ESD), kept in
``data_manifests/folds``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import pandas as pd

from layersim.errors import LayersimError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomlkit as tomllib

PARTS = ("train", "validation", "test")
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}  # of utterances


@dataclass(frozen=True)
class Fold:
    """The speakers that validate and test; all others train."""

    validation_speakers: tuple[str, ...]
    test_speakers: tuple[str, ...]


def folds(corpus: str) -> list[Fold]:
    """Return the published folds of a corpus (emodb, ravdess, esd), the first first.

    Raises
    ------
    LayersimError
        If none are known.
    """
    folder = resources.files("layersim_data").joinpath("folds")
    file = folder.joinpath(f"{corpus}.toml")
    if not file.is_file():
        known = sorted(
            entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
        )
        raise LayersimError(f"corpus {corpus}: no published folds. Known: {', '.join(known)}.")
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    return [Fold(tuple(fold["validation"]), tuple(fold["test"])) for fold in document["fold"]]


def apply_fold(manifest: pd.DataFrame, fold: Fold) -> pd.DataFrame:
    """Set the splits of a fold.

    Speakers are matched as they stand, or else by their number: ``Actor_01`` and ``1`` are ``01``.

    Raises
    ------
    LayersimError
        If a speaker of the fold is not in the manifest.
    """
    present = set(manifest["speaker"])
    by_number = {_number(speaker): speaker for speaker in sorted(present) if _number(speaker) is not None}
    split_of = dict.fromkeys(present, "train")
    absent = []
    for split, speakers in (("validation", fold.validation_speakers), ("test", fold.test_speakers)):
        for speaker in speakers:
            found = speaker if speaker in present else by_number.get(_number(speaker))
            if found is None:
                absent.append(speaker)
            else:
                split_of[found] = split
    if absent:
        raise LayersimError(
            f"the fold names speakers that the manifest lacks: {', '.join(absent)}. "
            f"It has {', '.join(sorted(present))}."
        )
    return manifest.assign(split=manifest["speaker"].map(split_of).astype(str))


def _number(speaker: str) -> int | None:
    """Read the number in a speaker's name.

    >>> _number("Actor_01"), _number("0007"), _number("wangzhe")
    (1, 7, None)
    """
    found = re.fullmatch(r"\D*(\d+)", speaker)
    return int(found.group(1)) if found else None


def assign_splits(manifest: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Draw a speaker-disjoint split of about 60/20/20 by utterances, balanced over gender where it is known.

    Speakers, shuffled and taken from each gender in turn, go to the split that lacks most of its share;
    every split gets at least one. The same manifest and seed give the same splits, whatever the row order.

    Raises
    ------
    LayersimError
        If there are fewer than three speakers.
    """
    counts = manifest["speaker"].value_counts()
    if len(counts) < 3:
        raise LayersimError(
            f"{manifest['corpus'].iloc[0]}: {len(counts)} speakers; three are needed, one for each of train, "
            "validation and test. Set the splits by hand in the manifest, or take a larger corpus."
        )
    gender_of = (
        dict(zip(manifest["speaker"], manifest["gender"], strict=True))
        if "gender" in manifest.columns
        else {}
    )
    order = _by_gender_in_turn(sorted(counts.index), gender_of, np.random.default_rng(seed))
    held = dict.fromkeys(PARTS, 0.0)
    has: dict[tuple[str, str], int] = {}
    split_of: dict[str, str] = {}
    total = float(counts.sum())
    for position, speaker in enumerate(order):
        left = len(order) - position
        empty = [part for part in PARTS if held[part] == 0]
        candidates = empty if len(empty) >= left else list(PARTS)
        gender = gender_of.get(speaker, "")
        # Most of its share lacking first; of equals the one with fewest of this gender.
        split = max(
            candidates,
            key=lambda part: (
                round(SHARES[part] - held[part] / total, 6) / SHARES[part],
                -has.get((part, gender), 0),
            ),
        )
        split_of[speaker] = split
        held[split] += float(counts[speaker])
        has[split, gender] = has.get((split, gender), 0) + 1
    return manifest.assign(split=manifest["speaker"].map(split_of).astype(str))


def _by_gender_in_turn(
    speakers: Sequence[str], gender_of: dict[str, str], rng: np.random.Generator
) -> list[str]:
    groups: dict[str, list[str]] = {}
    for index in rng.permutation(len(speakers)):
        groups.setdefault(gender_of.get(speakers[index], ""), []).append(speakers[index])
    ordered = []
    queues = [groups[gender] for gender in sorted(groups)]
    while any(queues):
        ordered += [queue.pop(0) for queue in queues if queue]
    return ordered


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

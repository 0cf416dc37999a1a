"""What a reader of a ranking must know beside its numbers: labels used, cells refused, intervals refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layersim.metrics import FEW_SPEAKERS
from layersim.similarity.cosine import Cells, Side
from layersim.similarity.moments import Features
from layersim.similarity.ranking import SET_SIZE, set_size
from layersim.similarity.selection import Level


def unit(level: Level) -> str:
    """Name what a cell counts."""
    return "utterances" if level == "utterance" else "segments"


def ranking_notes(
    sides: tuple[Side, Side],
    cells: Cells,
    level: Level,
    features: Features,
    minimum: int,
    zero_vectors: int,
    selectable: int,
) -> list[str]:
    """Collect the notes of one ranking."""
    source, target = (side.selection for side in sides)
    notes = [
        f"emotion labels of both corpora were used, {target.corpus}'s included: of the train splits only "
        f"({len(source.keys)} and {len(target.keys)} utterances); no other split was read."
    ]
    if features != "raw":
        what = "means" if features == "centred" else "means and deviations"
        notes.append(f"{what} come from all these utterances once and stay fixed in interval and null.")
    notes += _speaker_notes(sides, cells)
    notes += _refusals(sides, cells, level, minimum)
    for side in sides:
        if side.draws.bucket > 1:
            notes.append(
                f"{side.selection.corpus}: labels were permuted by random buckets of {side.draws.bucket} "
                "utterances (same distribution, less work)."
            )
    if zero_vectors:
        notes.append(f"{zero_vectors} vectors (over all layers) have length zero; their cosine counts as 0.")
    if set_size(selectable) < SET_SIZE:
        notes.append(
            f"with {selectable} layers to pick from, Group and Worst have {set_size(selectable)} instead of "
            f"{SET_SIZE}, so that no layer is in both."
        )
    return notes


def _speaker_notes(sides: tuple[Side, Side], cells: Cells) -> list[str]:
    if not len(sides[0].draws.weights):
        return ["no intervals: bootstraps = 0."]
    notes = []
    for side in sides:
        speakers = len(side.selection.speakers)
        if speakers == 1:
            notes.append(
                f"{side.selection.corpus} has one speaker in its train split: intervals over speakers are "
                "refused."
            )
        elif speakers < FEW_SPEAKERS:
            notes.append(
                f"{side.selection.corpus} has {speakers} speakers in its train split: intervals from so few "
                "come out too narrow."
            )
    if all(len(side.selection.speakers) > 1 for side in sides):
        alone = _named(sides[0].selection.emotions, cells.emotions & ~cells.emotion_trusted)
        if alone:
            notes.append(
                f"{alone}: spoken by one speaker in a corpus; its interval, and with it the score's, is "
                "refused."
            )
    return notes


def _refusals(sides: tuple[Side, Side], cells: Cells, level: Level, minimum: int) -> list[str]:
    source, target = (side.selection for side in sides)
    notes = []
    for column, emotion in enumerate(source.emotions):
        refused = np.flatnonzero(~cells.used[:, column])
        if not len(refused):
            continue
        least = f"fewer than {minimum} {unit(level)}"
        if level == "utterance":
            notes.append(
                f"{emotion} refused, {least} in a corpus: {source.corpus} {source.counts[0, column]}, "
                f"{target.corpus} {target.counts[0, column]}."
            )
            continue
        vowels = ", ".join(
            f"{source.vowels[row]} {source.counts[row, column]}/{target.counts[row, column]}"
            for row in refused
        )
        kept = len(source.vowels) - len(refused)
        notes.append(
            f"{emotion}: {kept} of {len(source.vowels)} shared vowels used; refused, {least} in "
            f"{source.corpus}/{target.corpus}: {vowels}."
        )
    return notes


def _named(names: Sequence[str], where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> str:
    return ", ".join(name for name, there in zip(names, where, strict=True) if there)

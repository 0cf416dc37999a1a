"""What a reader of a ranking must know beside its numbers: labels used, cells refused, intervals refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layersim.metrics import FEW_SPEAKERS
from layersim.similarity.cosine import Cells, Side
from layersim.similarity.phones import class_kind
from layersim.similarity.ranking import SET_SIZE, set_size
from layersim.similarity.settings import Level, RankConfig


def unit(level: Level) -> str:
    """Name what a cell counts."""
    return "utterances" if level == "utterance" else "segments"


def ranking_notes(
    sides: tuple[Side, Side], cells: Cells, config: RankConfig, zero_vectors: int, selectable: int
) -> list[str]:
    """Collect the notes of one ranking."""
    source, target = (side.selection for side in sides)
    read = f"of the train splits only ({len(source.keys)} and {len(target.keys)} utterances)"
    if config.label_free:
        notes = [f"no emotion label of either corpus was read; phones {read}; no other split was read."]
    else:
        notes = [
            f"emotion labels of both corpora were used, {target.corpus}'s included: {read}; no other split "
            "was read."
        ]
    if config.features != "raw":
        what = "means" if config.features == "centred" else "means and deviations"
        notes.append(f"{what} come from all these utterances once and stay fixed in interval and null.")
    notes += _speaker_notes(sides, cells)
    notes += _refusals(sides, cells, config)
    notes += _cap_notes(sides, config)
    items = "segments" if config.label_free else "utterances"
    for side in sides:
        if side.draws.bucket > 1:
            capped = ", each segment with the weight that it has under its own label" if config.cap else ""
            notes.append(
                f"{side.selection.corpus}: labels were permuted by random buckets of {side.draws.bucket} "
                f"{items} (same distribution, less work){capped}."
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
        alone = _named(sides[0].selection.labels, cells.labels & ~cells.label_trusted)
        if alone:
            refused = (
                "its interval is" if cells.score_trusted else "its interval, and with it the score's, is"
            )
            notes.append(f"{alone}: spoken by one speaker in a corpus; {refused} refused.")
    return notes


def _refusals(sides: tuple[Side, Side], cells: Cells, config: RankConfig) -> list[str]:
    source, target = (side.selection for side in sides)
    if cells.used.all():
        return []
    least = f"fewer than {config.minimum_cell} {unit(config.level)}"
    if source.vowel_axis == 0:
        used = ", ".join(
            f"{label} {count}" for label, count in zip(source.labels, cells.used.sum(axis=0), strict=True)
        )
        return [
            f"cells with {least} in a corpus are refused; {class_kind(config)}s used, of "
            f"{len(source.strata)} shared: {used}."
        ]
    return [
        f"{label} refused, {least} in a corpus: {source.corpus} {source.counts[0, column]}, "
        f"{target.corpus} {target.counts[0, column]}."
        for column, label in enumerate(source.labels)
        if not cells.used[0, column]
    ]


def _cap_notes(sides: tuple[Side, Side], config: RankConfig) -> list[str]:
    """Say how far the speaker cap reaches."""
    notes = []
    for side in sides:
        capped = int(np.count_nonzero(side.grouping.cell_weight < 1))
        if capped:
            rows, effective = int(side.selection.counts.sum()), float(side.grouping.cell_count.sum())
            notes.append(
                f"{side.selection.corpus}: in {capped} of {len(side.grouping.cell_count)} cells of one "
                f"speaker more than {config.cap} segments weigh as {config.cap}; {rows} segments count as "
                f"{effective:.0f}."
            )
    return notes


def _named(names: Sequence[str], where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> str:
    return ", ".join(name for name, there in zip(names, where, strict=True) if there)

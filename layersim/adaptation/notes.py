"""What a reader of a training's scores should know: of its anchors, and of the corpora's size."""

from __future__ import annotations

from collections.abc import Sequence

from layersim.adaptation.data import LabelledFeatures
from layersim.adaptation.method import Method
from layersim.metrics import FEW_SPEAKERS


def anchor_notes(methods: Sequence[Method], classes: Sequence[str]) -> list[str]:
    """Say what a reader should know of the layers that were anchored."""
    notes: dict[str, None] = {}
    for anchors in (method.anchors for method in methods if method.anchors):
        notes |= dict.fromkeys(anchors.notes)
        ranked = anchors.ranking and anchors.ranking["emotions"]
        if ranked and set(ranked) != set(classes):
            notes[f"the ranking compares {', '.join(ranked)}; the classes here are {', '.join(classes)}"] = (
                None
            )
    return list(notes)


def data_notes(
    validation: LabelledFeatures,
    test: LabelledFeatures,
    source: str,
    target: str,
    classes: Sequence[str],
    batch: int,
    asked: int,
) -> list[str]:
    """Say what a reader of the scores should know of the data."""
    notes = []
    absent = [name for name, count in validation.counts(classes).items() if not count]
    if absent:
        notes.append(
            f"{source} has no validation utterance of {', '.join(absent)}: epochs are chosen by the UAR of "
            "the other classes"
        )
    if batch < asked:
        notes.append(
            f"batches have {batch} utterances a side, not {asked}: the smaller train split has no more"
        )
    speakers = len(set(test.speakers))
    if speakers < FEW_SPEAKERS:
        notes.append(
            f"{target}'s test split has {speakers} speaker{'s' * (speakers != 1)}: "
            + ("no interval over speakers" if speakers == 1 else "intervals over so few come out too narrow")
        )
    return notes

"""Figures of the scores: methods, anchor sets, what labels of the target are worth, and confusions.

Which methods' confusions are drawn is fixed beforehand, whatever they score: the best on the test set would
be chosen by the target's labels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from layersim.adaptation.methods import parse_method
from layersim.comparison.settings import BASELINES
from layersim.comparison.table import Table
from layersim.comparison.tables import anchor_name
from layersim.comparison.view import (
    Drawn,
    Scores,
    Values,
    View,
    direction,
    interval_words,
    numbered,
    pair_slug,
    parts,
    seed_words,
)
from layersim.figures.anchors import anchor_ablation
from layersim.figures.confusion import confusion_matrices
from layersim.figures.methods import method_intervals
from layersim.figures.style import CATEGORIES
from layersim.figures.target_data import target_data_curves

UNADAPTED = ("cc", *BASELINES)
CONFUSED = ("cc-std-all", "la", "la-class")

_PANELS = 7  # of methods: six directions and their mean
_MARKS = 36  # of anchor sets: their numbers must not touch


def draw_methods(view: View, table: Table) -> Iterator[Drawn]:
    """Draw every method in every direction, and the mean; further directions in a further figure."""
    scores = view.scores(table)
    baselines = [row for row in scores.rows if row in UNADAPTED]
    taught = dict.fromkeys(job.name for job in view.jobs if parse_method(job.word).definition.supervised)
    over = interval_words(view, scores.low, view.unlabelled)
    for place, part in enumerate(parts(len(scores.directions), _PANELS)):
        directions = scores.directions[part]
        figure = method_intervals(
            scores.uar[part], *_ends(scores, part), directions, scores.rows,
            f"Methods, {view.encoder}", baselines=baselines, chance=view.chances(directions),
        )  # fmt: skip
        marked = " Open squares: without adaptation." if baselines else ""
        marked += f" Learnt from the target's labels: {', '.join(taught)}." if taught else ""
        caption = (
            f"UAR of every method in each direction under {view.encoder}, {seed_words(view.jobs)}{over}."
            f"{marked} Bold: the highest of a panel. Dashed: chance."
        )
        yield Drawn(view.name("methods", *numbered(place)), figure, caption)


def draw_anchors(view: View, table: Table) -> Iterator[Drawn]:
    """Draw what each set of anchors scores in every direction, and the mean."""
    scores = view.scores(table)
    if len(scores.rows) < 2:
        return
    anchored = [job for job in view.jobs if anchor_name(job.name) in scores.rows]
    chances = set(view.chances(scores.directions))
    over = interval_words(view, scores.low, view.unlabelled)
    most = max(1, _MARKS // (len(scores.rows) + 1))
    for place, part in enumerate(parts(len(scores.directions), most)):
        figure = anchor_ablation(
            scores.uar[part], *_ends(scores, part), scores.directions[part], scores.rows,
            f"Anchor sets, {view.encoder}", chance=min(chances) if len(chances) == 1 else None,
        )  # fmt: skip
        caption = (
            f"UAR of layer anchoring by its set of anchors, {view.encoder}, {seed_words(anchored)}{over}. "
            "Group, Best and Worst are those of the train splits, in every fold anew."
        )
        yield Drawn(view.name("anchors", *numbered(place)), figure, caption)


def draw_confusions(view: View) -> Iterator[Drawn]:
    """Draw a figure per direction: what three methods, named beforehand, take for what."""
    for situation in view.unlabelled:
        jobs = [job for name in CONFUSED if (job := view.find(name, situation)) is not None]
        if not jobs:
            continue
        tests = {job.name: [found["test"] for found in view.metrics(job)] for job in jobs}
        counts = {
            name: np.sum([test["confusion"] for test in found], axis=0) for name, found in tests.items()
        }
        test = view.test(situation)
        seeds = ", ".join(f"{name}: {len(found)}" for name, found in tests.items())
        figure = confusion_matrices(counts, list(test["recalls"]), f"{direction(situation)}, {view.encoder}")
        caption = (
            f"Confusion in {direction(situation)}: {test['utterances']} utterances of {test['speakers']} "
            f"test speakers of {situation.target}, once for each seed ({seeds}). Per cent are of rows. Which "
            "methods are shown does not depend on their scores."
        )
        yield Drawn(view.name("confusion", pair_slug(situation)), figure, caption)


def draw_target_data(view: View, table: Table) -> Iterator[Drawn]:
    """Draw each method over the number of labelled utterances of the target, where there are several."""
    scores = view.scores(table)
    for first in view.unlabelled:
        studied = sorted(
            (one.clips, direction(one))
            for one in view.situations
            if (one.source, one.target) == (first.source, first.target) and one.clips is not None
        )
        if len(studied) < 2:
            continue
        clips = [count for count, _ in studied]
        places = [scores.directions.index(name) for _, name in studied]
        lines = {
            name: (scores.uar[places, row], *_band(scores, places, row))
            for row, name in enumerate(scores.rows)
            if np.isfinite(scores.uar[places, row]).any()
        }
        chance = view.chances([studied[0][1]])[0]
        for place, part in enumerate(parts(len(lines), len(CATEGORIES))):
            shown = dict(list(lines.items())[part])
            pair = f"{first.source} → {first.target}"
            figure = target_data_curves(clips, shown, f"{pair}, {view.encoder}", chance=chance)
            caption = (
                f"UAR in {pair} under {view.encoder} over the number of the target's utterances that were "
                f"labelled and joined the source, {seed_words(view.jobs)}"
                f"{interval_words(view, scores.low, [first])}."
            )
            name = view.name("target-data", pair_slug(first), *numbered(place))
            yield Drawn(name, figure, caption)


def _ends(scores: Scores, part: slice) -> tuple[Values | None, Values | None]:
    """Take the intervals of some columns; None where there is none at all."""
    low, high = scores.low[part], scores.high[part]
    return (low, high) if np.isfinite(low).any() else (None, None)


def _band(scores: Scores, places: list[int], row: int) -> tuple[Values | None, Values | None]:
    low, high = scores.low[places, row], scores.high[places, row]
    return (low, high) if np.isfinite(low).any() else (None, None)

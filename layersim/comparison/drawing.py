"""The figures of a comparison: each where its data is there, with a caption that says what it shows.

In the order of the page::

    methods                     every method in every direction, and the mean, with intervals
    anchors                     layer anchoring by its set of anchors
    confusion-SOURCE-to-TARGET  what is taken for what, by methods that are named beforehand
    target-data-...             scores over the number of labelled utterances of the target
    layer-curve-...             similarity of the layers against their transfer
    attention                   which layers attention listens to
    embeddings                  of the source, with and without Deep-WCCN: trained for the picture
    learning-rate               the schedules of one adversarial training
    classes                     utterances per emotion and corpus
    mel                         mel spectrograms, one utterance per emotion and corpus

With several encoders, those of scores are drawn for each, with its name behind theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from layersim.comparison.running import Units
from layersim.comparison.table import Table

if TYPE_CHECKING:
    from layersim.comparison.view import Drawn


def draw_comparison(units: Units, tables: dict[str, Table], folder: Path) -> list[dict[str, str]]:
    """Draw what a comparison came to, and remove the figures of an earlier one.

    Parameters
    ----------
    tables : dict
        ``methods``, and ``anchors`` where there are several sets.
    folder : Path
        Where ``NAME.png`` and ``NAME.svg`` are written; it holds nothing else.

    Returns
    -------
    list of dict
        Each figure's ``name`` and ``caption``, in the order of the page.
    """
    # matplotlib takes half a second to import: not before there is something to draw.
    from layersim.figures.save import save

    captions, files = [], set()
    for drawn in _all(units, tables):
        files |= set(save(drawn.figure, folder / drawn.name))
        captions.append({"name": drawn.name, "caption": drawn.caption})
    for file in folder.iterdir():
        if file.suffix in {".png", ".svg"} and file not in files:
            file.unlink()
    return captions


def _all(units: Units, tables: dict[str, Table]) -> Iterator[Drawn]:
    from layersim.comparison import corpora_drawing, score_drawing, training_drawing
    from layersim.comparison.view import views

    every = views(units)
    for view in every:
        yield from score_drawing.draw_methods(view, tables["methods"])
    if "anchors" in tables:
        for view in every:
            yield from score_drawing.draw_anchors(view, tables["anchors"])
    for view in every:
        yield from score_drawing.draw_confusions(view)
    for view in every:
        yield from score_drawing.draw_target_data(view, tables["methods"])
    for view in every:
        yield from training_drawing.draw_layer_curves(view, tables["methods"])
    for view in every:
        yield from training_drawing.draw_attention(view)
    yield from training_drawing.draw_embeddings(every[0])
    yield from training_drawing.draw_schedule(every[0])
    yield from corpora_drawing.draw_classes(units)
    yield from corpora_drawing.draw_spectrograms(units)

"""The guided first run: a synthetic study made and taken through every stage, with nothing downloaded.

The exact times of the synthetic speech serve to judge the aligner alone: everything after it uses what
``layersim align`` found, as a study of real recordings has to.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from layersim.demo.corpus import RECIPES, Recipe, make_corpus
from layersim.demo.result import DemoResult, about
from layersim.encoders.checkpoint import EMBEDDED, find_checkpoint
from layersim.errors import LayersimError
from layersim.settings import FILE_NAME
from layersim.study import encoder_name
from layersim.workspace import CorpusEntry, Progress, Workspace, no_progress, write_text

if TYPE_CHECKING:
    from layersim.alignment.result import AlignResult
    from layersim.similarity.ranking import Ranking


def run_demo(
    folder: Path,
    encoder: str = EMBEDDED,
    *,
    progress: Progress = no_progress,
    force: bool = False,
    recipes: Sequence[Recipe] = RECIPES,
) -> DemoResult:
    """Make two synthetic corpora, and run align, extract, rank, train and report on them.

    Parameters
    ----------
    folder : Path
        The workspace to make; afterwards one like any other.
    encoder : str
        Checkpoint folder, hub id, or the encoder that comes with layersim.
    progress : callable
        Called all the time, by every stage.
    force : bool
        Replace the workspace that stands there.
    recipes : sequence of Recipe
        What the source and the target are made of.

    Raises
    ------
    LayersimError
        If a workspace stands there and ``force`` is not set, there is no such encoder, or speech synthesis
        is not available.
    """
    root = folder.resolve()
    if (root / FILE_NAME).exists() and not force:
        raise LayersimError(
            f"{root / FILE_NAME} exists. Choose another folder (layersim demo FOLDER), or replace it with "
            "--force."
        )
    clock = _Clock()
    encoder = encoder_name(encoder)
    find_checkpoint(encoder)  # what is not there is missed before the work, not in the middle of it
    with clock.stage("speech"):
        corpora = {recipe.name: make_corpus(recipe, root, progress=progress) for recipe in recipes}
        bare = {
            name: entry.model_copy(update={"alignments": None, "phone_set": None})
            for name, entry in corpora.items()
        }
        workspace = Workspace.create(root, encoder, bare, force=force)
    with clock.stage("align"):
        aligned = _align(workspace, progress, force)
        comparisons = {name: _compare(workspace, name, entry) for name, entry in corpora.items()}
        write_text(root / "about.txt", about(workspace, comparisons))
    with clock.stage("extract"):
        from layersim.features.extract import ExtractConfig, extract

        extracted = extract(workspace, workspace.settings(ExtractConfig), progress=progress, force=force)
    source, target = workspace.pair()
    with clock.stage("rank"):
        rankings = tuple(
            _rank(workspace, level, source, target, progress, force) for level in ("utterance", "phoneme")
        )
    with clock.stage("train"), _one_thread():
        from layersim.adaptation.settings import TrainConfig
        from layersim.adaptation.train import train

        training = train(
            workspace, workspace.settings(TrainConfig), source, target, progress=progress, force=force
        )
    with clock.stage("report"):
        from layersim.report.outputs import pair_outputs
        from layersim.report.page import write_report
        from layersim.report.story import tell

        progress("writing the report", 0, 1)
        report = write_report(workspace)
        story = tuple(chapter for pair in pair_outputs(workspace) for chapter in tell(pair))
        progress("writing the report", 1, 1)
    return DemoResult(
        root, workspace.encoder, tuple(aligned), comparisons, tuple(extracted), rankings, training, story,
        report, clock.seconds,
    )  # fmt: skip


def _align(workspace: Workspace, progress: Progress, force: bool) -> list[AlignResult]:
    """Align with the built-in aligner, also where MFA is installed: the same demo for everybody."""
    from layersim.alignment.align import AlignConfig, align
    from layersim.alignment.aligners import choose_aligner
    from layersim.alignment.result import AlignResult

    settings = workspace.settings(AlignConfig)
    builtin = choose_aligner(
        "builtin", (), dictionary=None, acoustic_model=None, phone_set=None, seed=settings.config.seed,
        jobs=settings.config.jobs,
    )  # fmt: skip
    found = align(
        workspace, settings, list(workspace.corpora), progress=progress, force=force, aligner=builtin
    )
    return [result for result in found if isinstance(result, AlignResult)]


def _compare(workspace: Workspace, corpus: str, exact: CorpusEntry) -> str:
    """Hold a corpus's alignments against the exact times."""
    from layersim.alignment.comparison_note import comparison_note
    from layersim.alignment.outputs import find_outputs
    from layersim.corpus.recordings import read_corpus_manifest

    found = find_outputs(workspace.align_folder(corpus))
    if found is None or exact.alignments is None or exact.phone_set is None:
        raise ValueError(f"{corpus}: expected alignments and exact times")
    names = read_corpus_manifest(corpus, exact)["utterance_id"].tolist()
    return comparison_note(found.phones, found.phone_set, exact.alignments, exact.phone_set, names)


def _rank(
    workspace: Workspace, level: str, source: str, target: str, progress: Progress, force: bool
) -> Ranking:
    from layersim.similarity.rank import RankConfig, rank

    settings = workspace.settings(RankConfig, {"level": level})
    return rank(workspace, settings, source, target, progress, force)


class _Clock:
    """Takes the time of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch on one core: a network so small gains nothing from two and loses much on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

"""The guided first run: a synthetic study made and taken through every stage, with nothing downloaded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersim.demo.corpus import RECIPES, make_corpus
from layersim.demo.encoder import NAME, make_encoder
from layersim.errors import LayersimError
from layersim.settings import FILE_NAME
from layersim.workspace import Progress, Workspace, no_progress

if TYPE_CHECKING:
    from layersim.adaptation.result import TrainResult
    from layersim.features.result import ExtractResult
    from layersim.similarity.ranking import Ranking

ENCODER_NOTE = (
    f"The encoder {NAME} has random weights: the numbers show what layersim does, and are no finding about "
    "emotion, languages or layers."
)


@dataclass(frozen=True)
class DemoResult:
    """What the demo made, stage by stage."""

    root: Path
    extracted: tuple[ExtractResult, ...]
    rankings: tuple[Ranking, ...]  # utterance level, phoneme level
    training: TrainResult
    report: Path
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return every stage's result as one JSON document."""
        return {
            "workspace": str(self.root),
            "encoder": NAME,
            "notes": [ENCODER_NOTE],
            "extract": [extracted.to_json() for extracted in self.extracted],
            "rank": [ranking.to_json() for ranking in self.rankings],
            "train": self.training.to_json(),
            "report": str(self.report),
            "seconds": round(self.seconds, 1),
        }

    def to_table(self) -> str:
        """Tell the story in a few lines: what was made, which layers, what it bought, what to run next."""
        lines = [f"A synthetic study in {self.root}, made in {self.seconds:.0f} seconds."]
        for extracted in self.extracted:
            vowels = f", {extracted.phones.vowels:,} vowels" if extracted.phones else ""
            lines.append(
                f"  {extracted.corpus}: {extracted.utterances} utterances, "
                f"{60 * extracted.hours:.1f} minutes{vowels}"
            )
        lines += ["", f"Which layers ({NAME}, {self.training.source} -> {self.training.target})"]
        for ranking in self.rankings:
            sets = ranking.sets
            lines.append(
                f"  {ranking.level} level: Group {', '.join(sets.group)}; Best {sets.best}; "
                f"Worst {', '.join(sets.worst)}; the Group's cut is "
                f"{'' if ranking.resolved else 'not '}resolved"
            )
        document = self.training.to_json()
        lines += ["", f"What it bought: target UAR, chance {100 * document['chance']['uar']:.1f} %"]
        for method in document["methods"]:
            interval = method["uar_interval"]
            ends = f" ({100 * interval['low']:.1f} to {100 * interval['high']:.1f})" if interval else ""
            lines.append(
                f"  {method['folder']}, layers {','.join(method['layers'])}: "
                f"{100 * method['uar']['mean']:.1f} %{ends}"
            )
        return "\n".join([*lines, "", ENCODER_NOTE, f"Report: {self.report}", "", *self._next_steps()])

    def _next_steps(self) -> list[str]:
        return [
            "Next, in this workspace:",
            f"  cd {self.root}",
            "  layersim rank --paper --force",
            "  layersim train --anchors best",
            "Then your own corpora, with a trained encoder:",
            "  layersim init STUDY --corpus NAME=FOLDER --corpus NAME=FOLDER "
            "--encoder microsoft/wavlm-base-plus",
        ]


def run_demo(folder: Path, progress: Progress = no_progress, force: bool = False) -> DemoResult:
    """Make two synthetic corpora and a random encoder, and run extract, rank, train and report on them.

    Parameters
    ----------
    folder : Path
        The workspace to make; afterwards one like any other.
    force : bool
        Replace the workspace that stands there.

    Raises
    ------
    LayersimError
        If a workspace stands there and ``force`` is not set, or speech synthesis is not available.
    """
    from layersim.adaptation.settings import TrainConfig
    from layersim.adaptation.train import train
    from layersim.features.extract import ExtractConfig, extract
    from layersim.report.page import write_report
    from layersim.similarity.rank import RankConfig, rank

    began = time.monotonic()
    root = folder.resolve()
    if (root / FILE_NAME).exists() and not force:
        raise LayersimError(
            f"{root / FILE_NAME} exists. Choose another folder (layersim demo FOLDER), or replace it with "
            "--force."
        )
    with _one_thread():
        corpora = {recipe.name: make_corpus(recipe, root, progress=progress) for recipe in RECIPES}
        encoder = make_encoder(root / "encoders")
        workspace = Workspace.create(root, str(encoder), corpora, force=force)
        source, target = workspace.pair()
        extracted = extract(workspace, workspace.settings(ExtractConfig), progress=progress, force=force)
        rankings = tuple(
            rank(workspace, workspace.settings(RankConfig, {"level": level}), source, target, progress, force)
            for level in ("utterance", "phoneme")
        )
        training = train(
            workspace, workspace.settings(TrainConfig), source, target, progress=progress, force=force
        )
        report = write_report(workspace)
    return DemoResult(root, tuple(extracted), rankings, training, report, time.monotonic() - began)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch on one core: so small a model gains nothing from more, and loses much on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

"""Find what the stages of a workspace have written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from layersim.corpus.recordings import read_corpus_manifest
from layersim.errors import LayersimError
from layersim.workspace import Workspace, encoder_slug, files_sha256, read_json

RANKINGS = {
    "utterance": "utterance level",
    "phoneme": "phoneme level",
    "phoneme-label-free": "phoneme level, label-free",
}  # folder -> what people call it


@dataclass(frozen=True)
class CorpusOutputs:
    """A corpus of the workspace: its manifest, and each stage's ``run.json`` if that stage was run."""

    name: str
    manifest: pd.DataFrame
    alignment: dict[str, Any] | None  # also None where layersim.toml names other alignments
    extraction: dict[str, Any] | None


@dataclass(frozen=True)
class RankingOutputs:
    """One ranking: ``ranking.json``, ``run.json`` and its folder, which holds the figures."""

    folder: Path
    ranking: dict[str, Any]
    run: dict[str, Any]

    @property
    def name(self) -> str:
        """Its level and form, for people."""
        return RANKINGS[self.folder.name]


@dataclass(frozen=True)
class TrainingOutputs:
    """The last training of a pair: ``summary.json`` and its folder, one folder per method below it."""

    folder: Path
    summary: dict[str, Any]

    def is_of_other_ranking(self) -> bool:
        """Tell whether the ranking that chose the anchors has been replaced since."""
        ranking = (self.summary["anchors"] or {}).get("ranking")
        if not ranking or not Path(ranking["file"]).is_file():
            return False
        return bool(files_sha256([Path(ranking["file"])]) != ranking["sha256"])

    def first_run(self, method: dict[str, Any]) -> Path:
        """Return the folder of a method's first seed."""
        return self.folder / str(method["folder"]) / f"seed-{method['seeds'][0]}"


@dataclass(frozen=True)
class PairOutputs:
    """What stands for one source and target."""

    source: str
    target: str
    rankings: list[RankingOutputs]
    training: TrainingOutputs | None


def corpus_outputs(workspace: Workspace) -> list[CorpusOutputs]:
    """Read every corpus's manifest, alignment and extraction."""
    found = []
    for name, entry in workspace.corpora.items():
        folders = workspace.align_folder(name), workspace.cache_folder(name)
        alignment, extraction = (
            read_json(folder / "run.json") if (folder / "run.json").is_file() else None for folder in folders
        )
        own = alignment if entry.alignments is None else None
        found.append(CorpusOutputs(name, read_corpus_manifest(name, entry), own, extraction))
    return found


def pair_outputs(workspace: Workspace) -> list[PairOutputs]:
    """Read every pair ranked or trained with the workspace's encoder, in the order of the corpora.

    Raises
    ------
    LayersimError
        If a ranking was written by a version that knew fewer forms.
    """
    names = list(workspace.corpora)
    pairs = [(source, target) for source in names for target in names if source != target]
    found = []
    for source, target in pairs:
        rankings = []
        for level in RANKINGS:
            folder = workspace.rank_folder(source, target, level)
            if (folder / "run.json").is_file():  # written last: the ranking is complete
                ranking = read_json(folder / "ranking.json")
                if "compared" not in ranking:
                    raise LayersimError(
                        f"{folder}: the ranking is of an earlier version of layersim. Rank again: "
                        f"layersim rank --force (source {source}, target {target}, {RANKINGS[level]})."
                    )
                rankings.append(RankingOutputs(folder, ranking, read_json(folder / "run.json")))
        folder = workspace.train_folder(source, target)
        training = None
        if (folder / "summary.json").is_file():
            training = TrainingOutputs(folder, read_json(folder / "summary.json"))
        if rankings or training:
            found.append(PairOutputs(source, target, rankings, training))
    return found


def other_encoders(workspace: Workspace) -> list[str]:
    """Name the encoders that the workspace holds results of and that this report leaves out."""
    own = encoder_slug(workspace.encoder)
    return sorted(
        folder.name for folder in workspace.root.glob("rank/*") if folder.is_dir() and folder.name != own
    )

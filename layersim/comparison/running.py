"""Every unit of a comparison: which there are, which are missing, and running those in several processes.

A unit is one method on one pair under one encoder with one seed (`layersim.comparison.units`). Units share
the cached features; a killed comparison goes on with those that are missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import Parallel, delayed

from layersim.adaptation.methods import OwnSettings, parse_method
from layersim.adaptation.run import METRICS, read_predictions
from layersim.adaptation.settings import TrainConfig
from layersim.adaptation.train import open_features
from layersim.comparison.settings import CompareConfig
from layersim.comparison.situations import all_pairs, parse_pair
from layersim.comparison.tested import Unit
from layersim.comparison.trial import shared_classes
from layersim.comparison.units import Job, missing_seeds, run_job
from layersim.errors import LayersimError
from layersim.settings import Settings
from layersim.similarity.settings import RankConfig
from layersim.workspace import Progress, Workspace, encoder_slug, no_progress, read_json


@dataclass(frozen=True)
class Units:
    """All units of a comparison, finished.

    Attributes
    ----------
    results : DataFrame
        One row per unit: ``encoder, source, target, clips, method, layers, seed, uar, wa, macro_f1``, one
        ``recall_CLASS`` per class, ``source_validation_uar, utterances, speakers, folder``. Shares are 0..1.
    """

    jobs: tuple[Job, ...]
    results: pd.DataFrame

    def predictions(self, unit: Unit) -> pd.DataFrame:
        """Read the prediction table of one unit."""
        return read_predictions(self._folder(unit))

    def metrics(self, unit: Unit) -> dict[str, Any]:
        """Read the metrics of one unit."""
        return read_json(self._folder(unit) / METRICS)

    def _folder(self, unit: Unit) -> Path:
        return self._folders[unit]

    @cached_property
    def _folders(self) -> dict[Unit, Path]:
        columns = ("method", "encoder", "source", "target", "seed", "folder")
        rows = zip(*(self.results[name].tolist() for name in columns), strict=True)
        return {Unit(*row[:5]): Path(row[5]) for row in rows}


def run_units(
    workspace: Workspace,
    settings: Settings[CompareConfig],
    train: Settings[TrainConfig],
    rank: Settings[RankConfig],
    own: OwnSettings | None = None,
    progress: Progress = no_progress,
    force: bool = False,
) -> Units:
    """Run every unit that is missing and read all.

    Parameters
    ----------
    train, rank : Settings
        Those of the stages: what methods and anchors are made with.
    own : OwnSettings, optional
        What was said of single methods' settings.
    force : bool
        Run again also what is finished.

    Raises
    ------
    LayersimError
        If a corpus, method or setting is wrong, features are missing, or a unit stands there that was made
        otherwise and ``force`` is not set. Nothing is trained before all of that has been looked at.
    """
    config = settings.config
    jobs = tuple(_jobs(workspace, config, train, rank, own or OwnSettings()))
    missing = {place: seeds for place, job in enumerate(jobs) if (seeds := missing_seeds(job, force))}
    units = sum(map(len, missing.values()))
    progress("comparing", 0, units)
    done = 0
    workers = min(config.jobs or os.cpu_count() or 1, max(1, len(missing)))
    # Jobs of one method follow each other in the list; the slow ones first would need a guess at their time.
    parallel = Parallel(n_jobs=workers, return_as="generator_unordered")
    for finished in parallel(delayed(_run)(jobs[place], seeds) for place, seeds in missing.items()):
        done += finished
        progress("comparing", done, units)
    return Units(jobs, pd.DataFrame(_rows(jobs)))


def _run(job: Job, seeds: Sequence[int]) -> int:
    """Run one job in a process of its own; return how many units it finished."""
    run_job(job, seeds)
    return len(seeds)


def _jobs(
    workspace: Workspace,
    config: CompareConfig,
    train: Settings[TrainConfig],
    rank: Settings[RankConfig],
    own: OwnSettings,
) -> Iterator[Job]:
    words = [f"la:{train.config.anchors}" if word == "la" else word for word in config.all_methods]
    requests = {parse_method(word).word: parse_method(word).definition for word in words}
    situations = [parse_pair(word) for word in config.pairs or ()] or all_pairs(list(workspace.corpora))
    for name in dict.fromkeys(name for situation in situations for name in situation.corpora):
        workspace.corpus(name)
    if not situations:
        raise LayersimError(
            f"{workspace.root}: comparing needs two corpora; there are {list(workspace.corpora)}."
        )
    if config.clips is not None:
        situations = [replace(situation, clips=count) for situation in situations for count in config.clips]
    for encoder in config.encoders or (workspace.encoder,):
        one = with_encoder(workspace, encoder)
        for situation in situations:
            inputs = next(iter(requests.values())).inputs
            corpora = [open_features(one, name, inputs) for name in situation.corpora]
            classes = shared_classes(corpora, config.emotions)
            for word in requests:
                yield Job(one, situation, word, config, train, rank, own, classes)


def with_encoder(workspace: Workspace, encoder: str) -> Workspace:
    """Return the workspace with another encoder: a folder, or a hub id."""
    folder = Path(encoder).expanduser()
    return replace(workspace, encoder=str(folder.resolve()) if folder.is_dir() else encoder)


def _rows(jobs: Sequence[Job]) -> Iterator[dict[str, Any]]:
    for job in jobs:
        for seed in job.seeds:
            folder = job.folder(seed)
            metrics = read_json(folder / METRICS)
            test = metrics["test"]
            layers = sorted({tuple(trial["layers"]) for trial in metrics["trials"]})
            yield {
                "encoder": encoder_slug(job.workspace.encoder),
                "source": job.situation.source,
                "target": job.situation.tested,
                "clips": job.situation.clips,
                "method": job.name,
                "layers": " | ".join(",".join(one) for one in layers),
                "seed": seed,
                "uar": test["uar"],
                "wa": test["wa"],
                "macro_f1": test["macro_f1"],
                **{f"recall_{name}": value for name, value in test["recalls"].items()},
                "source_validation_uar": metrics["source_validation_uar"],
                "utterances": test["utterances"],
                "speakers": test["speakers"],
                "folder": str(folder),
            }

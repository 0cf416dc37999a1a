"""Every unit of a comparison: which there are, which are missing, and running those in several processes.

A unit is one method on one pair under one encoder with one seed (`layersim.comparison.units`). Units share
the cached features; a killed comparison goes on with those that are missing.
"""

from __future__ import annotations

import functools
import os
import statistics
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import Parallel, delayed

from layersim.adaptation.anchors import Anchors, choose_anchors, parse_anchors
from layersim.adaptation.finetune.learn import place_of, require_trainable
from layersim.adaptation.method import OwnSettings, top_layer
from layersim.adaptation.methods import FINETUNED_WORDS, full_word, parse_method
from layersim.adaptation.opening import open_features
from layersim.adaptation.run import METRICS, read_predictions
from layersim.adaptation.settings import TrainConfig
from layersim.comparison.job import Job, find_all_heard
from layersim.comparison.locking import alone
from layersim.comparison.settings import CompareConfig
from layersim.comparison.situations import Situation, all_pairs, parse_pair
from layersim.comparison.tested import Unit
from layersim.comparison.trial import shared_classes
from layersim.comparison.units import missing_seeds, run_job
from layersim.documents import require_form
from layersim.errors import LayersimError, UsageError, summarise_faults
from layersim.metrics import uar
from layersim.parent import end_with
from layersim.settings import FLAG, Settings
from layersim.similarity.settings import RankConfig
from layersim.workspace import Progress, Workspace, encoder_slug, no_progress, read_json


@dataclass(frozen=True)
class Units:
    """All units of a comparison, finished.

    Attributes
    ----------
    results : DataFrame
        One row per unit: ``encoder`` (empty where the method reads none), ``source, target, clips, method,
        layers, seed, uar, uar_folds_mean, uar_folds_sd, wa, macro_f1``, one ``recall_CLASS`` per class,
        ``source_validation_uar, utterances, speakers, folder``. Shares are 0..1.
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
    try:
        _read_words(workspace, config, train)
    except LayersimError as error:
        if FLAG in (settings.origins["methods"], settings.origins["pairs"]):
            raise UsageError(str(error)) from None
        raise
    jobs = tuple(_jobs(workspace, config, train, rank, own or OwnSettings()))
    if settings.origins["device"] == FLAG and not any(job.finetune for job in jobs):
        raise UsageError(
            f"--device goes with methods that train the encoder ({', '.join(FINETUNED_WORDS)}); the others "
            "use the CPU."
        )
    with alone(workspace.root / "compare" / config.protocol, "layersim compare"):
        return _run_missing(jobs, config, progress, force)


def _run_missing(jobs: tuple[Job, ...], config: CompareConfig, progress: Progress, force: bool) -> Units:
    # Copies of the jobs open the features: what they hold is neither kept here nor sent to a process.
    found = [missing_seeds(replace(job), force) for job in jobs]
    missing = {place: seeds for place, seeds in enumerate(found) if seeds}
    require_finetunable([jobs[place] for place in missing if jobs[place].finetune], progress)
    units = sum(map(len, missing.values()))
    progress("comparing", 0, units)
    done, faults = 0, []
    # Jobs of one method follow each other in the list; the slow ones first would need a guess at their time.
    by_itself = [place for place in missing if jobs[place].finetune and place_of(config.device) != "cpu"]
    beside = [place for place in missing if place not in by_itself]
    with warnings.catch_warnings():
        # joblib replaces a process that has grown: nothing is lost, and nobody has to do anything
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        for places, most in ((beside, config.jobs or os.cpu_count() or 1), (by_itself, 1)):
            workers = min(most, max(1, len(places)))
            shown = progress if workers == 1 else no_progress  # other processes show nothing
            calls = (
                delayed(_run)(jobs[place], missing[place], force, os.getpid(), shown) for place in places
            )
            try:
                for finished, fault in Parallel(n_jobs=workers, return_as="generator_unordered")(calls):
                    done += finished
                    faults += [fault] if fault else []
                    progress("comparing", done, units)
            except BrokenExecutor as error:
                raise LayersimError(
                    "a process of the comparison was ended from outside, maybe for lack of memory. What was "
                    "finished is kept. Compare again, with fewer processes at a time: --jobs."
                ) from error
    if faults:
        advice = "All others are finished and kept. Mend these, or leave the methods out, and compare again."
        raise LayersimError(summarise_faults(f"{len(faults)} methods on a pair failed", faults, advice))
    return Units(jobs, pd.DataFrame(_rows(jobs)))


def require_finetunable(jobs: Sequence[Job], progress: Progress = no_progress) -> None:
    """Refuse what would turn out to be impossible only in the middle: encoders, adapters, recordings.

    Raises
    ------
    LayersimError
    """
    words = {(job.word, job.workspace.encoder): job for job in jobs}
    for job in map(replace, words.values()):
        method = job.method_with(functools.partial(_some_anchors, layers=job.layers))
        require_trainable(method, job.encoder(), job.workspace.encoder)
    corpora = {
        name: (job.workspace, corpus) for job in map(replace, jobs) for name, corpus in job.corpora.items()
    }
    for workspace, corpus in corpora.values():
        find_all_heard(workspace, corpus, progress)


def _some_anchors(word: str, layers: Sequence[str]) -> Anchors:
    """Return the anchors of a word; where a ranking is to choose them, the top layer."""
    if parse_anchors(word).ranked is not None:
        return Anchors(word, (top_layer(layers),), "by trial")
    return choose_anchors(word, layers, Path)


def _run(job: Job, seeds: Sequence[int], force: bool, parent: int, progress: Progress) -> tuple[int, str]:
    """Run one job, here or in a process of its own that ends with its parent.

    Returns
    -------
    int, str
        How many units it had, and what went wrong, if anything.
    """
    if os.getpid() != parent:
        end_with(parent)
    try:
        run_job(replace(job), seeds, force, progress)  # a copy: what it opens and loads goes with it
    except LayersimError as error:
        return len(seeds), f"{job.name}, {job.situation.source} to {job.situation.tested}: {error}"
    return len(seeds), ""


def _read_words(
    workspace: Workspace, config: CompareConfig, train: Settings[TrainConfig]
) -> tuple[list[str], list[Situation]]:
    """Return the methods and situations that are asked for, each once."""
    words = dict.fromkeys(full_word(word, train.config.anchors) for word in config.all_methods)
    named = dict.fromkeys(parse_pair(word) for word in config.pairs or ())
    situations = list(named) or all_pairs(list(workspace.corpora), config.matrix)
    for name in dict.fromkeys(name for situation in situations for name in situation.corpora):
        workspace.corpus(name)
    if not situations:
        raise LayersimError(
            f"{workspace.root}: comparing needs two corpora; there are {list(workspace.corpora)}."
        )
    if config.clips is not None:
        situations = [replace(situation, clips=count) for situation in situations for count in config.clips]
    return list(words), situations


def _jobs(
    workspace: Workspace,
    config: CompareConfig,
    train: Settings[TrainConfig],
    rank: Settings[RankConfig],
    own: OwnSettings,
) -> Iterator[Job]:
    words, situations = _read_words(workspace, config, train)
    inputs = {word: parse_method(word).definition.inputs for word in words}
    for place, encoder in enumerate(config.encoders or (workspace.encoder,)):
        one = with_encoder(workspace, encoder)
        for situation in situations:
            corpora = [open_features(one, name, inputs[words[0]]) for name in situation.corpora]
            classes = shared_classes(corpora, config.emotions)
            for word in words:
                if place and inputs[word] != "encoder":
                    continue  # it reads no encoder: once is enough
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
            require_form(metrics, _METRICS, str(folder / METRICS), "Make it again with --force.")
            test = metrics["test"]
            layers = sorted({tuple(trial["layers"]) for trial in metrics["trials"]})
            yield {
                "encoder": encoder_slug(job.workspace.encoder) if _reads_encoder(job) else "",
                "source": job.situation.source,
                "target": job.situation.tested,
                "clips": job.situation.clips,
                "method": job.name,
                "layers": " | ".join(",".join(one) for one in layers),
                "seed": seed,
                "uar": test["uar"],
                **_over_folds(folder),
                "wa": test["wa"],
                "macro_f1": test["macro_f1"],
                **{f"recall_{name}": value for name, value in test["recalls"].items()},
                "source_validation_uar": metrics["source_validation_uar"],
                "utterances": test["utterances"],
                "speakers": test["speakers"],
                "folder": str(folder),
            }


_METRICS = {
    "test": {
        "uar": float, "wa": float, "macro_f1": float, "utterances": int, "speakers": int,
        "recalls": {...: (float, None)},
    },
    "trials": [{"layers": [str], "trial": str}],
    "source_validation_uar": float,
}  # form of what is read back of a unit's metrics; see layersim.documents  # fmt: skip


def _reads_encoder(job: Job) -> bool:
    return parse_method(job.word).definition.inputs == "encoder"


def _over_folds(folder: Path) -> dict[str, float | None]:
    """Return mean and sample deviation over the trials of their UARs, as published folds are averaged.

    The ``uar`` beside them is of all trials' utterances together. A trial's UAR is over the classes that its
    test speakers have.
    """
    table = read_predictions(folder)
    folds = [part for _, part in table.groupby("trial", sort=False)]
    scores = [uar(fold["emotion"].tolist(), fold["predicted"].tolist()) for fold in folds]
    return {
        "uar_folds_mean": statistics.fmean(scores),
        "uar_folds_sd": statistics.stdev(scores) if len(scores) > 1 else None,
    }

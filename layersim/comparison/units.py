"""The units of a comparison: one method on one pair under one encoder with one seed, over all trials.

A unit has a folder ``SOURCE-to-TARGET/METHOD/seed-K`` below the protocol's and encoder's::

    request.json       what is asked: settings, inputs, trials, seed
    trial-1.csv ...    predictions of one trial's test set, as it is done
    predictions.csv    of all trials together, with a column ``trial``
    curves.csv         of all trainings, with a column ``trial``; of methods with epochs
    metrics.json       scores of these, and what each trial's training had to say
    run.json           written last: the unit is finished

A unit is asked for again by the same request: what is finished is kept, what was begun goes on after its last
trial. The predictions of all trials together are scored: with speaker folds, every target utterance once.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from layersim.adaptation.anchors import Anchors, Kind, choose_anchors
from layersim.adaptation.evaluate import predict_part, score
from layersim.adaptation.methods import Method, OwnSettings, define_method, parse_method
from layersim.adaptation.run import CURVES, METRICS, PREDICTIONS, read_predictions
from layersim.adaptation.settings import TrainConfig
from layersim.adaptation.train import open_features, read_method
from layersim.comparison.settings import CompareConfig
from layersim.comparison.situations import Situation, trials_of
from layersim.comparison.trial import Trial
from layersim.errors import LayersimError
from layersim.features.provenance import differences
from layersim.metrics import uar
from layersim.provenance import RUN, write_run
from layersim.settings import Settings
from layersim.similarity.rank import rank_layers
from layersim.similarity.settings import RankConfig
from layersim.workspace import Workspace, read_json, write_json, write_text

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures

REQUEST = "request.json"

_RANKINGS: dict[Kind, dict[str, Any]] = {
    "utterance": {},
    "phoneme": {"level": "phoneme"},
    "phoneme-label-free": {"label_free": True},
}


@dataclass(frozen=True)
class Job:
    """All seeds of one method on one pair under one encoder: what one process works on.

    Attributes
    ----------
    workspace : Workspace
        With the encoder set.
    word : str
        The method.
    train : Settings
        Of ``[train]``; its seeds and methods do not count here.
    rank : Settings
        Of ``[rank]``: how anchors are ranked in each trial, on what the trial may see.
    """

    workspace: Workspace
    situation: Situation
    word: str
    config: CompareConfig
    train: Settings[TrainConfig]
    rank: Settings[RankConfig]
    own: OwnSettings
    classes: tuple[str, ...]

    @property
    def pair_folder(self) -> Path:
        """Where the units of this pair stand."""
        return self.workspace.compare_folder(self.config.protocol) / self.situation.slug

    def folder(self, seed: int) -> Path:
        """Where one unit stands."""
        return self.pair_folder / self.name / f"seed-{seed}"

    @property
    def name(self) -> str:
        """The method in a table and in a folder's name: ``la`` on the Group, ``la-best``, ``probe-3``."""
        word = re.sub(r"^la:auto(?=$|\+)", "la", parse_method(self.word).word)
        word = re.sub(r"^la-class:auto:label-free(?=$|\+)", "la-class", word)
        return word.replace(":", "-").replace(",", "-")

    @property
    def seeds(self) -> range:
        """The seeds asked for; one, where a seed bears on nothing."""
        count = self.config.seeds if parse_method(self.word).definition.seeded else 1
        return range(self.config.seed, self.config.seed + count)

    @cached_property
    def corpora(self) -> dict[str, CorpusFeatures]:
        """The corpora by name, with the features that the method reads."""
        inputs = parse_method(self.word).definition.inputs
        return {name: open_features(self.workspace, name, inputs) for name in self.situation.corpora}

    @cached_property
    def trials(self) -> list[Trial]:
        """Who is where, in the order in which they are worked on."""
        upper_row = parse_method(self.word).definition.supervised
        return trials_of(self.situation, self.corpora, self.config, self.classes, upper_row)

    @property
    def layers(self) -> tuple[str, ...]:
        """Those of the features."""
        return next(iter(self.corpora.values())).cache.layers

    def method(self, trial: Trial) -> Method:
        """Spell out the method for a trial; anchors are ranked on what the trial may see."""

        def choose(word: str) -> Anchors:
            return choose_anchors(word, self.layers, lambda kind: self._ranking(trial, kind))

        return define_method(self.word, self.layers, self.train, choose, self.own)

    def _ranking(self, trial: Trial, kind: Kind) -> Path:
        """Rank the layers on a trial's train splits; the document says with which settings."""
        file = self.pair_folder / "rankings" / f"trial-{trial.fold or 1}" / kind / "ranking.json"
        config = self.rank.config.model_copy(
            update={"bootstraps": 0, "permutations": 0, "probe_limit": 0, "emotions": None, **_RANKINGS[kind]}
        )
        ranking = rank_layers(trial.source, trial.target, config)
        write_json(file, ranking.to_json())
        return file


def missing_seeds(job: Job, force: bool) -> list[int]:
    """Return the seeds that are not finished; with ``force`` all.

    Raises
    ------
    LayersimError
        If a finished unit was asked for otherwise, naming what differs, and ``force`` is not set.
    """
    found = []
    for seed in job.seeds:
        folder = job.folder(seed)
        if force or not (folder / RUN).is_file():
            found.append(seed)
            continue
        changed = differences(read_json(folder / REQUEST), _request(job, seed), "request")
        if changed:
            raise LayersimError(
                f"{folder}: was made otherwise ({'; '.join(changed[:5])}). Replace it, and all like it, with "
                "--force."
            )
    return found


def run_job(job: Job, seeds: Sequence[int], done: Callable[[], None] = lambda: None) -> None:
    """Train and test a method with some seeds on all trials, and write the units' folders.

    One thread: the numbers must not depend on how many processes share the machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _run(job, seeds, done)
    finally:
        torch.set_num_threads(threads)


def _run(job: Job, seeds: Sequence[int], done: Callable[[], None]) -> None:
    for seed in seeds:
        _begin(job, seed)
    said: dict[int, list[dict[str, Any]]] = {seed: [] for seed in seeds}
    method = None
    for number, trial in enumerate(job.trials, start=1):
        files = {seed: job.folder(seed) / f"trial-{number}.csv" for seed in seeds}
        notes = {seed: file.with_suffix(".json") for seed, file in files.items()}
        left = [seed for seed in seeds if not notes[seed].is_file()]
        if left:
            method = job.method(trial)
            data = read_method(method, (trial.source, trial.target), job.classes, trial.target_test)
            for seed in left:
                learned = method.learn(data.task(job.classes), seed)
                tested = predict_part(learned.probabilities, data.target_test, job.classes)
                validated = predict_part(learned.probabilities, data.source_validation, job.classes)
                write_text(files[seed], tested.to_csv(index=False, lineterminator="\n"))
                write_json(notes[seed], {
                    "trial": trial.name,
                    "layers": list(method.layers),
                    "anchors": method.anchors.to_json() if method.anchors else None,
                    "best_epoch": learned.best_epoch,
                    "source_validation_uar": _uar(validated),
                    "details": dict(learned.details),
                    "notes": list(data.notes),
                    "curves": _finite(learned.curves),
                })  # fmt: skip
                done()
        else:
            for _ in seeds:
                done()
        for seed in seeds:
            said[seed].append(read_json(notes[seed]))
    method = method or job.method(job.trials[0])
    for seed in seeds:
        _finish(job, seed, method, said[seed])


def _finite(curves: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return the rows of a training's curves; None where a quantity has no value."""
    if curves is None:
        return []
    known = curves.astype(object).where(curves.notna(), None)
    return [dict(zip(known.columns, row, strict=True)) for row in known.itertuples(index=False)]


def _uar(predictions: pd.DataFrame) -> float:
    return uar(predictions["emotion"].tolist(), predictions["predicted"].tolist())


def _begin(job: Job, seed: int) -> None:
    """Make a unit's folder; what another request left in it goes."""
    folder, request = job.folder(seed), _request(job, seed)
    file = folder / REQUEST
    if file.is_file() and read_json(file) == request:
        (folder / RUN).unlink(missing_ok=True)
        return
    if folder.exists():
        shutil.rmtree(folder)
    write_json(file, request)


def _finish(job: Job, seed: int, method: Method, said: list[dict[str, Any]]) -> None:
    folder = job.folder(seed)
    parts = []
    for number, trial in enumerate(said, start=1):
        part = read_predictions(folder, f"trial-{number}.csv")
        parts.append(part.assign(trial=trial["trial"]))
    curves = [pd.DataFrame(trial.pop("curves")).assign(trial=trial["trial"]) for trial in said]
    predictions = pd.concat(parts, ignore_index=True)
    scores = score(predictions, job.classes, job.config.bootstraps)
    write_text(folder / PREDICTIONS, predictions.to_csv(index=False, lineterminator="\n"))
    if not all(curve.empty for curve in curves):
        write_text(folder / CURVES, pd.concat(curves).to_csv(index=False, lineterminator="\n"))
    write_json(folder / METRICS, {
        "method": method.name,
        "seed": seed,
        "test": scores,
        "source_validation_uar": sum(trial["source_validation_uar"] for trial in said) / len(said),
        "trials": said,
    })  # fmt: skip
    for number in range(1, len(said) + 1):
        for suffix in (".csv", ".json"):
            (folder / f"trial-{number}{suffix}").unlink()
    corpus = next(iter(job.corpora.values()))
    write_run(
        folder,
        "compare",
        {
            "methods": job.word,
            "pairs": f"{job.situation.source}:{job.situation.target}",
            "encoders": str(corpus.cache.provenance["encoder"]["checkpoint"]),
        },
        method.settings,
        {name: _fingerprint(corpus) for name, corpus in job.corpora.items()},
        {"uar": scores["uar"]},
        sorted({note for trial in said for note in trial["notes"]}),
    )


def _request(job: Job, seed: int) -> dict[str, Any]:
    """Everything that a unit's numbers depend on."""
    request = parse_method(job.word)
    asked = define_method(
        job.word, job.layers, job.train, lambda word: Anchors(word, (), "by trial"), job.own
    )
    settings = asked.settings.config.model_dump(mode="json")
    for name in ("methods", "seeds", "seed", "emotions", "bootstraps", "anchors"):
        settings.pop(name, None)
    document = {
        "method": request.word,
        "anchors": asked.anchors.asked if asked.anchors else None,
        "rank": job.rank.config.model_dump(mode="json") if asked.anchors else None,
        "layers": list(asked.layers),
        "standardise": asked.standardise,
        "settings": settings,
        "self_training": asked.self_training.config.model_dump(mode="json") if asked.self_training else None,
        "seed": seed,
        "emotions": list(job.classes),
        "bootstraps": job.config.bootstraps,
        "protocol": job.config.protocol,
        "trials": [trial.name for trial in job.trials],
        "inputs": {name: _fingerprint(corpus) for name, corpus in job.corpora.items()},
        "who": _who(job.trials),
    }
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found


def _fingerprint(corpus: CorpusFeatures) -> str:
    """Hash what a corpus's features were made from, and the labels."""
    read = corpus.table[["corpus", "utterance_id", "speaker", "emotion"]].astype(str).to_numpy().tolist()
    text = json.dumps([dict(corpus.cache.provenance), sorted(read)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _who(trials: Sequence[Trial]) -> str:
    """Hash which utterance is where in each trial."""
    digest = hashlib.sha256()
    for trial in trials:
        for corpus in (trial.source, trial.target, trial.target_test):
            if corpus is not None:  # repeated rows count as often as they stand there
                rows = corpus.table[["corpus", "utterance_id", "split"]].astype(str).to_numpy().tolist()
                digest.update(json.dumps(sorted(rows)).encode())
    return digest.hexdigest()

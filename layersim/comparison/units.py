"""The units of a comparison: one method on one pair under one encoder with one seed, over all trials.

A unit has a folder ``SOURCE-to-TARGET/METHOD/seed-K`` below the protocol's and encoder's::

    request.json       what is asked: settings, inputs, trials, seed
    trial-1.csv ...    predictions of one trial's test set, as it is done
    trial-1-epochs/    of a training of the encoder itself, while it goes on
    predictions.csv    of all trials together, with a column ``trial``
    curves.csv         of all trainings, with a column ``trial``; of methods with epochs
    metrics.json       scores of these, and what each trial's training had to say
    run.json           written last: the unit is finished

A unit is asked for again by the same request: what is finished is kept, what was begun goes on after its last
trial, a training of the encoder after its last epoch. The predictions of all trials together are scored: with
speaker folds, every target utterance once.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from layersim.adaptation.anchors import choose_anchors, parse_anchors
from layersim.adaptation.evaluate import score
from layersim.adaptation.method import Method
from layersim.adaptation.methods import parse_method
from layersim.adaptation.run import CURVES, METRICS, PREDICTIONS, read_predictions
from layersim.comparison.job import Job
from layersim.comparison.training import begin_on_features, begin_on_sound
from layersim.comparison.unit_request import changes, fingerprint, request_of
from layersim.documents import require_form
from layersim.errors import LayersimError
from layersim.provenance import RUN, write_run
from layersim.workspace import Progress, no_progress, read_json, write_json, write_text

REQUEST = "request.json"


def missing_seeds(job: Job, force: bool) -> list[int]:
    """Return the seeds that are not finished; with ``force`` all.

    Raises
    ------
    LayersimError
        If the corpora, trials or settings do not fit the method; if a finished unit was asked for otherwise,
        naming what differs, and ``force`` is not set.
    """
    _require_phones(job)
    _require_anchors(job)
    # Trials are built and the method is spelt out for this: what is wrong with them is said here.
    requests = {seed: request_of(job, seed) for seed in job.seeds}
    found = []
    for seed, asked in requests.items():
        folder = job.folder(seed)
        ended = (folder / RUN).is_file()
        if not ended or force:
            found.append(seed)
        if force or not (ended or job.finetune) or not (folder / REQUEST).is_file():
            continue  # what was begun on features is begun again: it takes seconds
        if changed := changes(read_json(folder / REQUEST), asked):
            said = "was made otherwise" if ended else "was begun otherwise, and not finished"
            raise LayersimError(
                f"{folder}: {said} ({'; '.join(changed[:5])}). Replace it, and all like it, with --force."
            )
    return found


def _require_anchors(job: Job) -> None:
    """Refuse anchors that no trial could have, before anything is trained."""
    request = parse_method(job.word)
    if request.definition.layers != "anchors":
        return
    anchors = parse_anchors(request.argument or request.definition.anchors or job.train.config.anchors)
    if anchors.ranked is not None:
        job.refuse_leaking(anchors.kind)
    else:
        choose_anchors(anchors.text, job.layers, lambda _: job.pair_folder)


def _require_phones(job: Job) -> None:
    """Refuse a method that compares vowels where a corpus has none, before anything is trained."""
    request = parse_method(job.word)
    anchors = request.argument or request.definition.anchors or ""
    if not request.definition.vowels and not anchors.endswith((":phoneme", ":label-free")):
        return
    for name, corpus in job.corpora.items():
        if corpus.phone_set is None:
            raise LayersimError(
                f"{name}: {job.word} needs vowels, and the features hold no phones. Make them: layersim "
                "align, then layersim extract --force; or leave the method out."
            )


def run_job(job: Job, seeds: Sequence[int], force: bool = False, progress: Progress = no_progress) -> None:
    """Train and test a method with some seeds on all trials, and write the units' folders.

    One thread: the numbers must not depend on how many processes share the machine.

    Parameters
    ----------
    progress : callable
        Called after every epoch of a training of the encoder.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _run(job, seeds, force, progress)
    finally:
        torch.set_num_threads(threads)


def _run(job: Job, seeds: Sequence[int], force: bool, progress: Progress) -> None:
    for seed in seeds:
        _begin(job, seed, force)
    said: dict[int, list[dict[str, Any]]] = {seed: [] for seed in seeds}
    method = None
    for number, trial in enumerate(job.trials, start=1):
        files = {seed: job.folder(seed) / f"trial-{number}.csv" for seed in seeds}
        notes = {seed: file.with_suffix(".json") for seed, file in files.items()}
        left = [seed for seed in seeds if not notes[seed].is_file()]
        if left:
            method = job.method(trial)
            begin = begin_on_features if method.finetune is None else begin_on_sound
            train = begin(job, trial, method)
            for seed in left:
                trained = train(seed, job.folder(seed) / f"trial-{number}-epochs", progress)
                write_text(files[seed], trained.tested.to_csv(index=False, lineterminator="\n"))
                write_json(notes[seed], {
                    "trial": trial.name,
                    "layers": list(method.layers),
                    "anchors": method.anchors.to_json() if method.anchors else None,
                    "best_epoch": trained.best_epoch,
                    "source_validation_uar": trained.source_validation_uar,
                    "details": dict(trained.details),
                    "notes": list(trained.notes),
                    "curves": _finite(trained.curves),
                })  # fmt: skip
        for seed in seeds:
            shutil.rmtree(job.folder(seed) / f"trial-{number}-epochs", ignore_errors=True)
            said[seed].append(_read_trial(notes[seed]))
    method = method or job.method(job.trials[0])
    for seed in seeds:
        _finish(job, seed, method, said[seed])


def _read_trial(file: Path) -> dict[str, Any]:
    said = read_json(file)
    form = {"trial": str, "layers": [str], "notes": [str], "curves": [dict], "source_validation_uar": float}
    require_form(said, form, str(file), "Make this unit again with --force.")
    return said


def _finite(curves: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return the rows of a training's curves; None where a quantity has no value."""
    if curves is None:
        return []
    known = curves.astype(object).where(curves.notna(), None)
    return [dict(zip(known.columns, row, strict=True)) for row in known.itertuples(index=False)]


def _begin(job: Job, seed: int, force: bool) -> None:
    """Make a unit's folder; what another request left in it goes."""
    folder, request = job.folder(seed), request_of(job, seed)
    file = folder / REQUEST
    if not force and file.is_file() and read_json(file) == request:
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
    corpus = next(iter(job.corpora.values()))
    write_run(
        folder,
        "compare",
        {
            "methods": job.word,
            "pairs": f"{job.situation.source}:{job.situation.target}",
            "encoders": str(corpus.cache.provenance["encoder"]["checkpoint"]),
            "protocol": job.config.protocol,
        },
        method.settings,
        {name: fingerprint(corpus) for name, corpus in job.corpora.items()},
        {"uar": scores["uar"]},
        sorted({note for trial in said for note in trial["notes"]}),
    )
    # Only now: without run.json the unit would be made again, and need them.
    for number in range(1, len(said) + 1):
        for suffix in (".csv", ".json"):
            (folder / f"trial-{number}{suffix}").unlink(missing_ok=True)

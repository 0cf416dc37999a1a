"""Figures of the trainings: attention, similarity against transfer, schedules, embeddings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import torch

from layersim.adaptation.anchors import Kind
from layersim.adaptation.opening import read_method
from layersim.adaptation.run import CURVES
from layersim.comparison.job import Job, rankings_folder
from layersim.comparison.situations import Situation
from layersim.comparison.table import Table
from layersim.comparison.view import (
    Drawn,
    Scores,
    Values,
    View,
    direction,
    interval_words,
    pair_slug,
    seed_words,
)
from layersim.figures.attention import attention_weights
from layersim.figures.curves import training_curves
from layersim.figures.embeddings import Labelled, embedding_scatter
from layersim.figures.transfer import similarity_and_transfer
from layersim.workspace import read_json

if TYPE_CHECKING:
    from layersim.adaptation.wccn import WccnClassifier

ATTENDING = "pa-atn"
ADVERSARIAL = ("dann", "dann-conv1d", "dann-resnet50")
SCHEDULE = ["epoch", "learning_rate", "lambda", "domain_accuracy"]
WHITENING = {"without Deep-WCCN": "wccn-off", "with Deep-WCCN": "wccn"}

_KINDS: Mapping[Kind, tuple[str, str]] = {  # of a ranking: the figure's name, and words
    "utterance": ("layer-curve", "utterance level"),
    "phoneme": ("layer-curve-phoneme", "phoneme level"),
    "phoneme-label-free": ("layer-curve-label-free", "label-free"),
}
_PROBE = r"probe-\w+"
_LAYERS = 3  # fewer have no rank correlation


def draw_attention(view: View) -> Iterator[Drawn]:
    """Draw which layers attention over the layers listens to, a panel per direction."""
    jobs = [job for one in view.unlabelled if (job := view.find(ATTENDING, one)) is not None]
    if jobs:
        found = [view.metrics(job) for job in jobs]
        layers = found[0][0]["trials"][0]["layers"]
        weights = {direction(job.situation): _attention(runs) for job, runs in zip(jobs, found, strict=True)}
        figure = attention_weights(
            layers, weights, f"Attention of {ATTENDING} over the layers, {view.encoder}"
        )
        caption = (
            f"How much each layer of {view.encoder} weighs in {ATTENDING}, {seed_words(jobs)}; a seed's "
            "weights are the mean of its trainings, one for each fold of the target. They are learnt from "
            "the train speakers: the source's labels and both corpora's vowels."
        )
        yield Drawn(view.name("attention"), figure, caption)


def draw_layer_curves(view: View, table: Table) -> Iterator[Drawn]:
    """Draw, for each direction, the similarity of the layers against what each transfers by itself."""
    scores = view.scores(table)
    for kind, (name, said) in _KINDS.items():
        for situation in view.unlabelled:
            rankings = _rankings(view, situation, kind)
            if not rankings:
                continue
            layers = [layer["layer"] for layer in rankings[0]["layers"]]
            uar = _probes(scores, direction(situation), layers)
            similarity = _similarity(rankings)
            if (np.isfinite(uar[0]) & np.isfinite(similarity[0])).sum() < _LAYERS:
                continue
            first, count = rankings[0], len(rankings)
            probes = [job for job in view.jobs if re.fullmatch(_PROBE, job.name)]
            over = interval_words(view, uar[1], [situation])
            figure = similarity_and_transfer(
                layers, similarity, uar, _majorities(rankings),
                title=f"{direction(situation)}, {view.encoder}, {said}",
                similarity_label=f"similarity ({first['metric']}, {first['features']})",
                chance=view.chances([direction(situation)])[0],
            )  # fmt: skip
            folds = (
                f"mean, lowest and highest of the rankings of {count} folds, on what each may see; Group and "
                "Worst: the layers that are in it in more than half of them"
                if count > 1
                else "of one ranking"
            )
            caption = (
                f"Does similarity say which layer transfers? {direction(situation)}, {view.encoder}. Above: "
                f"similarity, {said}; {folds}. Below: UAR of a linear probe on the layer alone, "
                f"{seed_words(probes)}{over}."
            )
            yield Drawn(view.name(name, pair_slug(situation)), figure, caption)


def draw_schedule(view: View) -> Iterator[Drawn]:
    """Draw the schedules of one adversarial training: the first seed's in the first direction and fold."""
    job = next((job for name in ADVERSARIAL for job in view.jobs if job.name == name), None)
    if job is None:
        return
    seed = job.seeds[0]
    trial = view.metrics(job)[0]["trials"][0]
    curves = pd.read_csv(job.folder(seed) / CURVES)
    curves = curves.loc[curves["trial"] == trial["trial"], SCHEDULE]
    figure = training_curves(
        curves.reset_index(drop=True), f"{job.name}, {trial['trial']}, seed {seed}",
        chosen_epoch=trial["best_epoch"],
    )  # fmt: skip
    caption = (
        f"One training of {job.name}: {trial['trial']}, seed {seed}. How often the domain head tells the "
        "corpora's train utterances apart, the weight λ of the reversed gradient, and the learning rate. The "
        "kept epoch is chosen by the source's validation speakers."
    )
    yield Drawn("learning-rate", figure, caption)


def draw_embeddings(view: View) -> Iterator[Drawn]:
    """Draw the source's embeddings with and without Deep-WCCN: one training of each, made for the picture."""
    job = next((job for job in view.jobs if job.name == WHITENING["with Deep-WCCN"]), None)
    if job is None:
        return
    variants = {said: _embedded(replace(job, word=word)) for said, word in WHITENING.items()}
    trial, seed = job.trials[0], job.seeds[0]
    width = np.shape(next(iter(next(iter(variants.values())).values()))[0])[1]
    figure = embedding_scatter(
        variants, f"Embeddings of {job.situation.source}, {view.encoder}", emotions=job.classes
    )
    caption = (
        f"Embeddings ({width} dimensions) of {job.situation.source}'s train and validation speakers with and "
        "without Deep-WCCN, by the first two principal components of the train speakers. Both networks were "
        f"trained once more for this picture: {trial.name}, seed {seed}. Neither reads the target."
    )
    yield Drawn("embeddings", figure, caption)


def _attention(runs: Sequence[Mapping[str, Any]]) -> Values:
    """Take the weights of each seed, mean over its trials: shape (seeds, layers)."""
    weights = [[trial["details"]["layer_weights"] for trial in run["trials"]] for run in runs]
    means: Values = np.array(weights, dtype=np.float64).mean(axis=1)
    return means


def _rankings(view: View, situation: Situation, kind: Kind) -> list[dict[str, Any]]:
    """Read the rankings of a direction's trials, those that were made."""
    job = next(job for job in view.jobs if job.situation == situation)
    return [read_json(file) for file in _ranking_files(rankings_folder(job), kind)]


def _ranking_files(folder: Path, kind: Kind) -> list[Path]:
    found = folder.glob(f"trial-*/{kind}/ranking.json")
    return sorted(found, key=lambda file: int(file.parent.parent.name.removeprefix("trial-")))


def _similarity(rankings: Sequence[Mapping[str, Any]]) -> tuple[Values, Values | None, Values | None]:
    """Take each layer's score: mean over trials, lowest and highest."""
    scores = np.array([[layer["score"] for layer in one["layers"]] for one in rankings], dtype=np.float64)
    if len(scores) == 1:
        return scores[0], None, None
    return scores.mean(axis=0), scores.min(axis=0), scores.max(axis=0)


def _probes(scores: Scores, name: str, layers: Sequence[str]) -> tuple[Values, Values | None, Values | None]:
    """Take the UAR of each layer's probe in a direction, and its interval; NaN without a probe."""
    column = scores.directions.index(name)
    row_of = {row: place for place, row in enumerate(scores.rows)}
    rows = [row_of.get(f"probe-{layer}") for layer in layers]
    values, low, high = (
        np.array([np.nan if row is None else part[column, row] for row in rows])
        for part in (scores.uar, scores.low, scores.high)
    )
    return (values, low, high) if np.isfinite(low).any() else (values, None, None)


def _majorities(rankings: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the layers that are in Group, or Worst, in more than half of the rankings."""
    layers = [layer["layer"] for layer in rankings[0]["layers"]]
    return {
        name: [
            layer
            for layer in layers
            if 2 * sum(layer in one[name.lower()] for one in rankings) > len(rankings)
        ]
        for name in ("Group", "Worst")
    }


def _embedded(job: Job) -> dict[str, Labelled]:
    """Train a job's first seed on its first trial and embed the source's train and validation splits."""
    trial = job.trials[0]
    method = job.method(trial)
    data = read_method(method, (trial.source, trial.target), job.classes, trial.target_test)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the units are trained
    try:
        learned = method.learn(data.task(job.classes), job.seeds[0])
        network = cast("WccnClassifier", learned.network)
        with torch.no_grad():
            return {
                name: (network.embed(part.features).numpy(), part.emotions)
                for name, part in (("train", data.source_train), ("validation", data.source_validation))
            }
    finally:
        torch.set_num_threads(threads)

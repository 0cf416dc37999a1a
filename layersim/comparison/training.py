"""One training of a unit: on cached features, or of the encoder itself on the recordings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from layersim.adaptation.evaluate import predict_part, prediction_table
from layersim.adaptation.finetune.learn import learn_from_audio
from layersim.adaptation.finetune.pair import pair_audio
from layersim.adaptation.opening import read_method
from layersim.metrics import uar
from layersim.workspace import Progress

if TYPE_CHECKING:
    from layersim.adaptation.method import Method
    from layersim.comparison.job import Job
    from layersim.comparison.trial import Trial


@dataclass(frozen=True)
class Trained:
    """What a unit keeps of one training.

    Attributes
    ----------
    tested : DataFrame
        Predictions for the trial's test set.
    source_validation_uar : float
        0..1.
    best_epoch : int or None
    details, curves, notes
        As in `layersim.adaptation.task.Learned` and `layersim.adaptation.pair.PairData`.
    """

    tested: pd.DataFrame
    source_validation_uar: float
    best_epoch: int | None
    curves: pd.DataFrame | None
    details: Mapping[str, Any]
    notes: tuple[str, ...] = ()


Train = Callable[[int, Path, Progress], Trained]
"""Trains with a seed; keeps epochs in a folder, if they are long; shows its progress."""


def begin_on_features(job: Job, trial: Trial, method: Method) -> Train:
    """Read a trial's features; return what trains on them with a seed.

    Raises
    ------
    LayersimError
        If the features do not do for the method; when called, if it cannot be trained.
    """
    data = read_method(method, (trial.source, trial.target), job.classes, trial.target_test)

    def train(seed: int, epochs: Path, progress: Progress) -> Trained:
        del epochs, progress  # trainings on features take seconds
        learned = method.learn(data.task(job.classes), seed)
        tested = predict_part(learned.probabilities, data.target_test, job.classes)
        validated = predict_part(learned.probabilities, data.source_validation, job.classes)
        score = uar(validated["emotion"].tolist(), validated["predicted"].tolist())
        return Trained(tested, score, learned.best_epoch, learned.curves, learned.details, data.notes)

    return train


def begin_on_sound(job: Job, trial: Trial, method: Method) -> Train:
    """Find a trial's recordings; return what trains the encoder on them with a seed.

    The trained encoder itself is not kept: ``layersim train --finetune`` keeps one.

    Raises
    ------
    LayersimError
        If a recording cannot be used; when called, if the encoder cannot be trained.
    """
    audio = pair_audio(
        trial.source, trial.target, (job.recordings, job.recordings), job.classes, trial.target_test
    )

    def train(seed: int, epochs: Path, progress: Progress) -> Trained:
        encoder = job.encoder()

        def show(_: str, epoch: float, most: float) -> None:
            progress(f"training {job.name}, {trial.name}, seed {seed}", epoch, most)

        learned = learn_from_audio(method, audio.task, seed, encoder, job.workspace.encoder, show, epochs)
        tested = prediction_table(
            learned.probabilities(audio.test.waveforms), audio.test.labels(), job.classes
        )
        details = {**learned.details, "device": str(encoder.device)}
        return Trained(tested, learned.validation_uar, learned.best_epoch, learned.curves, details)

    return train

"""Self-training: a method learns again from the target utterances that it is surest of, as it labels them.

Each round the method of the round before guesses the target's train split. Of every guessed class the most
confident share is added, with the guesses for labels, to the *original* source, and the method starts from
scratch on both. A share per class, and not one threshold for all, keeps classes that the method is less sure
of from dying out.

Conventions
-----------
- Confidence is the probability of the guessed class. Equally confident rows keep their order.
- Validation stays the source's, so epochs are chosen without the target; the rounds are not chosen at all.
- The target stays whole: what a method does with unlabelled rows, it does in every round alike.
- A guess is a guess: where the first round is worse than chance on a class, later rounds make it worse.

References
----------
The form is that of Zou, Yu, Kumar & Wang, "Unsupervised Domain Adaptation for Semantic Segmentation via
Class-Balanced Self-Training", ECCV 2018, with a fixed share and hard labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures, VowelSegments
from layersim.adaptation.settings import MethodConfig
from layersim.adaptation.task import Learned, Probabilities, Task, guesses
from layersim.settings import setting
from layersim.workspace import Progress, no_progress

Learn = Callable[[Task, int, Progress], Learned]
"""A method with its configuration bound: task, seed and progress to what it learnt."""

UNKNOWN_SPEAKER = "unknown"  # of pseudo-labelled rows: a target's speakers are not read
DETAILS = "self_training"  # key of the rounds in `Learned.details`


class SelfTrainingConfig(MethodConfig):
    """How a method is trained on its own guesses. What it trains its networks with is the method's own."""

    section: ClassVar[str] = "train.self-train"
    paper: ClassVar[str] = "none: a simple baseline"

    rounds: int = setting(
        3, "times that the target is guessed and learnt from; each starts from scratch (not in source)", ge=1
    )
    share: float = setting(
        0.5,
        "share of each guessed class, the most confident rows, that is learnt from; at least one row of a "
        "class that is guessed at all (not in source)",
        gt=0,
        le=1,
    )


def self_train(
    learn: Learn,
    task: Task,
    seed: int,
    config: SelfTrainingConfig,
    progress: Progress = no_progress,
) -> Learned:
    """Learn from the source, then in rounds from the source and the target as guessed.

    Parameters
    ----------
    learn : callable
        Any method with its configuration bound. Called once on ``task`` itself and once per round, each time
        with the same ``seed``.
    progress : callable
        The method's own, its label followed by which of how many trainings runs.

    Returns
    -------
    Learned
        The last round's, with one entry more in ``details``: ``self_training``, a list with a mapping per
        round of ``round``, ``pseudo_labels`` (rows learnt from, per class), ``guessed`` (rows per class),
        ``confidence`` (mean over the rows learnt from; None if there are none) and ``changed`` (rows guessed
        otherwise than in the round before; None in the first).

    Raises
    ------
    ValueError
        If the method gives other than finite probabilities (N, C).
    """
    trainings = config.rounds + 1

    def run(current: Task, training: int) -> Learned:
        return learn(
            current,
            seed,
            lambda label, done, total: progress(f"{label} ({training} of {trainings})", done, total),
        )

    learned = run(task, 1)
    rounds: list[dict[str, Any]] = []
    before: NDArray[np.int64] | None = None
    for number in range(1, config.rounds + 1):
        probabilities = _checked(learned.probabilities(task.target.features), task)
        guessed = probabilities.argmax(axis=1)
        chosen = most_confident(probabilities, config.share)
        rounds.append(
            {
                "round": number,
                "pseudo_labels": _counts(guessed[chosen], task.classes),
                "guessed": _counts(guessed, task.classes),
                "confidence": float(probabilities[chosen].max(axis=1).mean()) if len(chosen) else None,
                "changed": None if before is None else int((guessed != before).sum()),
            }
        )
        before = guessed
        labels = guesses(probabilities[chosen], task.classes)
        learned = run(with_pseudo_labels(task, chosen, labels), number + 1)
    return replace(learned, details={**learned.details, DETAILS: rounds})


def most_confident(probabilities: Probabilities, share: float) -> NDArray[np.int64]:
    """Choose the most confident rows of each guessed class.

    Of n rows guessed as one class these are ``share * n``, rounded down, but at least one.

    Returns
    -------
    ndarray of int, ascending
        Rows of ``probabilities``.

    >>> most_confident(np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]]), 0.5)  # 3 and 1 rows
    array([0, 3])
    """
    guessed, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    kept = []
    for number in np.unique(guessed):
        rows = np.flatnonzero(guessed == number)
        count = max(1, math.floor(share * len(rows) + 1e-9))  # 0.29 * 100 is 28.999... in binary
        kept.append(rows[np.argsort(-confidence[rows], kind="stable")[:count]])
    return np.sort(np.concatenate(kept)) if kept else np.empty(0, dtype=np.int64)


def with_pseudo_labels(task: Task, rows: NDArray[np.int64], labels: Sequence[str]) -> Task:
    """Add rows of the target to the source, under labels that were guessed.

    Parameters
    ----------
    rows : ndarray of int
        Rows of ``task.target``, ascending and each once.
    labels : sequence of str
        One per row.

    Returns
    -------
    Task
        Source rows first, then the target's in the order of ``rows``; their vowel segments likewise, where
        the task has those of both sides. Validation and target are the task's own.

    Raises
    ------
    ValueError
        If the rows are not ascending or not as many as the labels.
    """
    if len(rows) != len(labels) or (np.diff(rows) <= 0).any():
        raise ValueError(f"rows must ascend, one per label, got {rows.tolist()} for {len(labels)} labels")
    source_vowels = task.source_vowels
    if source_vowels is not None and task.target_vowels is not None:
        source_vowels = _extend(source_vowels, task.target_vowels, rows, len(task.source))
    return replace(task, source=_join(task.source, task.target, rows, labels), source_vowels=source_vowels)


def _join(
    source: LabelledFeatures, target: UnlabelledFeatures, rows: NDArray[np.int64], labels: Sequence[str]
) -> LabelledFeatures:
    return LabelledFeatures(
        source.keys + tuple(target.keys[row] for row in rows),
        torch.cat([source.features, target.features[torch.from_numpy(rows)]]),
        source.emotions + tuple(labels),
        source.speakers + (UNKNOWN_SPEAKER,) * len(rows),
    )


def _extend(
    source: VowelSegments, target: VowelSegments, rows: NDArray[np.int64], offset: int
) -> VowelSegments:
    """Append the segments of the chosen rows, whose utterances now stand from ``offset`` on."""
    of_row = target.utterance.numpy()
    segments = np.flatnonzero(np.isin(of_row, rows))
    utterance = offset + np.searchsorted(rows, of_row[segments])
    return VowelSegments(
        torch.cat([source.features, target.features[torch.from_numpy(segments)]]),
        torch.cat([source.utterance, torch.from_numpy(utterance)]),
        source.vowels + tuple(target.vowels[segment] for segment in segments),
    )


def _counts(numbers: NDArray[np.int64], classes: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(numbers, minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, counts, strict=True)}


def _checked(probabilities: Probabilities, task: Task) -> Probabilities:
    expected = (len(task.target), len(task.classes))
    if probabilities.shape != expected or not np.isfinite(probabilities).all():
        raise ValueError(
            f"learn: its probabilities must be finite, of shape {expected}, got {probabilities.shape}"
        )
    return probabilities

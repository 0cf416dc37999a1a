"""Epochs, validation on the source, the weights of the best epoch: common to all training of networks."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from layersim.adaptation.batches import class_numbers
from layersim.adaptation.checkpoint import Checkpoint, Moving, Standing
from layersim.adaptation.data import LabelledFeatures
from layersim.adaptation.distributed import ALONE, Processes
from layersim.adaptation.task import guesses
from layersim.errors import LayersimError
from layersim.metrics import uar
from layersim.workspace import Progress, no_progress

logger = logging.getLogger(__name__)

VALIDATION = ("source_validation_cross_entropy", "source_validation_uar")

EpochStep = Callable[[int], Mapping[str, float]]
"""Trains one epoch (counted from 1) and returns its mean losses by name."""


@dataclass(frozen=True)
class Fit:
    """How a network's training went; the network itself has the weights of ``best_epoch``.

    Attributes
    ----------
    curves : DataFrame
        One row per epoch: ``epoch``, what the epoch step returned, and `VALIDATION`.
    best_epoch : int, >= 1
    """

    curves: pd.DataFrame
    best_epoch: int


def run_epochs(
    network: nn.Module,
    step: EpochStep,
    validate: Callable[[], tuple[float, float]],
    epochs: int,
    patience: int,
    progress: Progress = no_progress,
    *,
    first: int = 1,
    moving: Moving | None = None,
    kept: Checkpoint | None = None,
    processes: Processes = ALONE,
) -> Fit:
    """Train epoch by epoch and keep the weights of the best.

    The best epoch has the highest UAR on the source's validation split, of equals the lowest cross-entropy.
    The network is in training mode in each step, and in evaluation mode when this returns.

    Parameters
    ----------
    validate : callable
        Returns cross-entropy and UAR on the source's validation split; see `source_validation`.
    patience : int, >= 1
        Epochs without a better one after which training ends.
    progress : callable
        Called after every epoch with ``("training", epoch, epochs)``.
    first : int, 1..epochs
        The first epoch that may be the best.
    moving : mapping, optional
        All that an epoch leaves to the next one beside the network and torch's own random numbers.
    kept : Checkpoint, optional
        Where epochs are kept, so that a killed training goes on.
    processes : Processes
        Those that call this alike. The first one validates, for all.

    Raises
    ------
    LayersimError
        If what is kept cannot be read, or the processes do not find the same.
    """
    moving = moving or {}
    standing = (kept and kept.read(network, moving)) or Standing()
    rows, best_epoch, best_weights = standing.rows, standing.best_epoch, standing.best_weights
    processes.require_same(len(rows))
    if rows and kept:
        logger.warning("going on from epoch %d: %s", len(rows) + 1, kept.file)
    for epoch in range(len(rows) + 1, epochs + 1):
        if best_epoch and len(rows) - best_epoch >= patience:
            break
        network.train()
        losses = step(epoch)
        network.eval()
        entropy, score = processes.lead(validate)
        rows.append({"epoch": epoch, **losses, **dict(zip(VALIDATION, (entropy, score), strict=True))})
        if epoch >= first and (best_epoch == 0 or rank(rows[-1]) > rank(rows[best_epoch - 1])):
            best_epoch = epoch
            best_weights = copy.deepcopy(network.state_dict())
        if kept and processes.leads and kept.is_due():
            kept.write(Standing(rows, best_epoch, best_weights), network, moving)
        progress("training", epoch, epochs)
    network.load_state_dict(best_weights)
    network.eval()
    return Fit(pd.DataFrame(rows), best_epoch)


def rank(row: Mapping[str, float]) -> tuple[float, float]:
    """Return what the best epoch's row has most of: UAR, of equals the lower cross-entropy."""
    return row[VALIDATION[1]], -row[VALIDATION[0]]


def source_validation(
    logits: Callable[[], Tensor],
    validation: LabelledFeatures,
    classes: Sequence[str],
    weight: Tensor | None = None,
) -> Callable[[], tuple[float, float]]:
    """Make the ``validate`` of `run_epochs` from a function that gives the validation split's logits (N, C).

    The UAR is over the classes that the validation split has.
    """
    truth = class_numbers(validation.emotions, classes)
    loss = nn.CrossEntropyLoss(weight=weight)

    def validate() -> tuple[float, float]:
        with torch.no_grad():
            values = logits()
            entropy = float(loss(values, truth))
        return entropy, uar(validation.emotions, guesses(values.numpy(), classes))

    return validate


def require_finite(loss: Tensor, epoch: int, config: Any) -> None:
    """Refuse to go on with a loss that is not finite.

    Raises
    ------
    LayersimError
        Naming the epoch and the settings that bear on it.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise LayersimError(
            f"training stopped in epoch {epoch}: the loss is {value}. Lower learning_rate "
            f"({config.learning_rate}) or the weights of the losses, in layersim.toml, table "
            f"[{config.section}]."
        )

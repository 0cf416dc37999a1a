"""What a method is given to learn from, and what it gives back.

Conventions
-----------
- A method is a function ``learn(task, config, seed, progress) -> Learned``. Nothing of the test set is in a
  `Task`, and no emotion of the target: `UnlabelledFeatures` have no field for one.
- Features are standardised already, by the statistics that the method's definition names. Their first axis
  is the utterance; what follows depends on the method's inputs: (N, K, 2D) of an encoder's layers (mean and
  standard deviation side by side), (N, 1, F) functionals, (N, planes, bins, frames) spectral planes.
- The same task, configuration and seed give the same bytes; the caller's random numbers stay as they were.
- Epochs, rounds and whatever else is chosen, is chosen by the *source's* validation split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures, VowelSegments

Probabilities = NDArray[np.float64]  # (N, C), rows sum to 1, columns in the order of the task's classes


@dataclass(frozen=True)
class Task:
    """Labelled source, unlabelled target, and the classes to tell apart.

    Attributes
    ----------
    source, validation : LabelledFeatures
        The source's train and validation splits; every emotion is one of ``classes``.
    target : UnlabelledFeatures
        The target's train split.
    classes : tuple of str
        Order of the columns of `Probabilities`.
    source_vowels, target_vowels : VowelSegments, optional
        Those of ``source`` and of ``target``; only for methods that ask for them.
    """

    source: LabelledFeatures
    validation: LabelledFeatures
    target: UnlabelledFeatures
    classes: tuple[str, ...]
    source_vowels: VowelSegments | None = None
    target_vowels: VowelSegments | None = None


@dataclass(frozen=True)
class Learned:
    """A trained method.

    Attributes
    ----------
    probabilities : callable
        Standardised features, as in the task, to `Probabilities`.
    curves : DataFrame, optional
        One row per epoch, first column ``epoch``; None for a method without epochs.
    best_epoch : int, optional
        The epoch whose weights were kept, 1 is the first.
    details : mapping
        What else a reader should see, as JSON: attention weights over layers, domain accuracy, pseudo-labels
        per round ...
    network : Module, optional
        In evaluation mode; None for a method without one.
    """

    probabilities: Callable[[Tensor], Probabilities]
    curves: pd.DataFrame | None = None
    best_epoch: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    network: nn.Module | None = None


def probabilities_of(network: nn.Module) -> Callable[[Tensor], Probabilities]:
    """Turn a network that gives logits into a function that gives probabilities, in evaluation mode."""

    def probabilities(features: Tensor) -> Probabilities:
        network.eval()
        with torch.no_grad():
            return np.asarray(torch.softmax(network(features).double(), dim=1).numpy())

    return probabilities


def guesses(probabilities: Probabilities, classes: Sequence[str]) -> list[str]:
    """Return the most probable class of each row; of equals the first.

    >>> guesses(np.array([[0.2, 0.8], [0.5, 0.5]]), ["anger", "sadness"])
    ['sadness', 'anger']
    """
    return [classes[number] for number in probabilities.argmax(axis=1)]

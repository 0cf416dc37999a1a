"""What the methods made of scikit-learn's classifiers share: rows, class weights, columns of all classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from layersim.adaptation.data import LabelledFeatures
from layersim.adaptation.settings import BalancedMethodConfig
from layersim.adaptation.task import Probabilities, guesses
from layersim.metrics import uar

Flat = NDArray[np.float64]  # (N, F), one row per utterance


def flatten(features: Tensor) -> Flat:
    """Lay all that belongs to an utterance side by side: (N, ...) to (N, F)."""
    return np.asarray(features.flatten(start_dim=1).double().numpy())


def balance(config: BalancedMethodConfig) -> Literal["balanced"] | None:
    """Return scikit-learn's word for the setting ``class_weights``; its weights are those of the networks."""
    return "balanced" if config.class_weights == "balanced" else None


def spread(values: NDArray[np.float64], known: Sequence[int], classes: int) -> Probabilities:
    """Give every class a column: what a classifier has not seen in training has probability 0.

    Parameters
    ----------
    values : ndarray, shape (N, k)
    known : sequence of int, length k
        Which class each column is of.

    >>> spread(np.array([[0.25, 0.75]]), [0, 2], 3)
    array([[0.25, 0.  , 0.75]])
    """
    columns = np.zeros((len(values), classes))
    columns[:, list(known)] = values
    return columns


def class_probabilities(model: Any, rows: Flat, classes: int) -> Probabilities:
    """Return a fitted classifier's ``predict_proba`` with a column for every class, shape (N, C)."""
    return spread(model.predict_proba(rows), model.classes_.tolist(), classes)


def validation_uar(
    probabilities: Probabilities, validation: LabelledFeatures, classes: Sequence[str]
) -> float:
    """Score guesses of the source's validation split, over the classes that it has."""
    return uar(validation.emotions, guesses(probabilities, classes))

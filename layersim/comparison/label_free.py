"""What the predictions for an unlabelled corpus say of a classifier, without a label.

Both can be high for nothing: a classifier that puts every utterance into one class, and is sure of it, has
the best value of either; and the density is as high where all predictions are undecided alike, as those of a
network that has learnt nothing. Look at the classes that it guesses, and at its score on the source, too.
"""

from __future__ import annotations

import numpy as np
from scipy.special import entr, softmax

from layersim.adaptation.task import Probabilities

TEMPERATURE = 0.05  # Saito et al. 2021
BLOCK = 1024  # rows of the similarity matrix at a time: 100 MB at 12,000 utterances


def prediction_entropy(probabilities: Probabilities) -> float:
    """Mean entropy of the predictions: low where the classifier is sure, whether it is right or not.

    Parameters
    ----------
    probabilities : ndarray, shape (N, C), float
        N >= 1 utterances; rows sum to 1.

    Returns
    -------
    float, 0 .. ln C, nats
        -1/N Σ_i Σ_c p_ic ln p_ic.

    Raises
    ------
    ValueError
        If the shape is another, or a row is no distribution.

    >>> round(prediction_entropy(np.array([[1.0, 0.0], [0.5, 0.5]])), 4)  # (0 + ln 2) / 2
    0.3466
    """
    _require_distributions(probabilities, 1)
    return float(entr(probabilities).sum(axis=1).mean())


def soft_neighbourhood_density(probabilities: Probabilities, temperature: float = TEMPERATURE) -> float:
    """Measure how many neighbours an utterance has among the others, as the classifier sees them.

    With f_i the prediction for utterance i scaled to unit length::

        S_ij = <f_i, f_j>                                       i ≠ j: the diagonal is left out
        P_ij = exp(S_ij / τ) / Σ_j' exp(S_ij' / τ)
        H(P) = -1/N Σ_i Σ_j P_ij ln P_ij

    Parameters
    ----------
    probabilities : ndarray, shape (N, C), float
        N >= 2 utterances; rows sum to 1.
    temperature : float, > 0
        τ; 0.05 in the source.

    Returns
    -------
    float, 0 .. ln(N - 1), nats
        The higher, the denser. Comparable between classifiers of the same utterances only.

    Raises
    ------
    ValueError
        If the shape is another, a row is no distribution, or the temperature is not above 0.

    References
    ----------
    Saito, Kim, Teterwak, Sclaroff, Darrell & Saenko, "Tune it the Right Way: Unsupervised Validation of
    Domain Adaptation via Soft Neighborhood Density", ICCV 2021, section 3 (the temperature in eq. 2).

    >>> alike = np.array([[0.9, 0.1]] * 4)
    >>> round(soft_neighbourhood_density(alike), 4)  # three equal neighbours each: ln 3
    1.0986
    """
    _require_distributions(probabilities, 2)
    if not temperature > 0:
        raise ValueError(f"temperature: expected above 0, got {temperature}")
    unit = probabilities / np.linalg.norm(probabilities, axis=1, keepdims=True)
    total = 0.0
    for start in range(0, len(unit), BLOCK):
        scaled = unit[start : start + BLOCK] @ unit.T / temperature  # (block, N)
        own = np.arange(len(scaled))
        scaled[own, start + own] = -np.inf
        total += float(entr(softmax(scaled, axis=1)).sum())
    return total / len(unit)


def _require_distributions(probabilities: Probabilities, rows: int) -> None:
    if probabilities.ndim != 2 or len(probabilities) < rows:
        raise ValueError(f"probabilities: expected shape (N, C), N >= {rows}, got {probabilities.shape}")
    if not (np.all(probabilities >= 0) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-4)):
        raise ValueError("probabilities: expected rows of numbers of at least 0 that sum to 1")

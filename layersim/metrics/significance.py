"""p-values: of permutations, of a rank correlation, of several tests together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

EXACT_UP_TO = 8  # 8! = 40,320 orders are still counted in a moment; beyond that Student's t serves well


def permutation_p(observed: float, null: ArrayLike) -> float:
    """One-sided p-value: how often chance does at least as well, the observed order counted as one draw.

    ``(1 + number of null values >= observed) / (1 + R)`` (Phipson & Smyth 2010): never zero.

    >>> permutation_p(0.9, [0.1, 0.95, 0.3])
    0.5
    """
    values = np.asarray(null, dtype=np.float64)
    return float((1 + np.count_nonzero(values >= observed)) / (1 + values.size))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for being several: the smallest counts times their number, the next times one less, ...

    Rejecting what is adjusted to alpha or less keeps the chance of one false rejection or more among all
    at alpha or less, however the tests depend on each other.

    Parameters
    ----------
    p_values : sequence of float, 0..1
        Of m tests that are looked at together.

    Returns
    -------
    list of float, 0..1
        In the order given: the running maximum of ``min(1, (m - rank + 1) p)``, ranks from the smallest.

    Raises
    ------
    ValueError
        If a value does not lie between 0 and 1.

    References
    ----------
    Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 1979.

    >>> holm([0.01, 0.04, 0.03])  # 3 * 0.01; 2 * 0.03; 1 * 0.04, which may not come below 0.06
    [0.03, 0.06, 0.06]
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p_values must lie between 0 and 1, got {list(p_values)}")
    adjusted, highest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def p_value(p: float) -> str:
    """Write a p-value in words.

    >>> p_value(0.0412), p_value(2e-9)
    ('p 0.041', 'p < 0.001')
    """
    return f"p {p:.3f}" if p >= 0.0005 else "p < 0.001"


def spearman(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Rank correlation with its two-sided p-value.

    Up to 8 pairs the p-value is exact (every order of ``y`` is counted), beyond that by Student's t.

    Returns
    -------
    rho, p : float
        Both NaN with fewer than 3 pairs or when a side is constant: there is no order to compare.

    Raises
    ------
    ValueError
        If the lengths differ or a value is not finite.

    >>> spearman([1, 2, 3], [10, 20, 30])  # of 6 orders, 2 are as extreme
    (1.0, 0.333...)
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"x and y must be two rows of one length, got {first.shape} and {second.shape}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("x and y must be finite")
    pairs = len(first)
    if pairs < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan, math.nan
    if pairs > EXACT_UP_TO:
        result = stats.spearmanr(first, second)
        return float(result.statistic), float(result.pvalue)
    ranks = [stats.rankdata(side) for side in (first, second)]
    a, b = (side - side.mean() for side in ranks)
    scale = math.sqrt(float(a @ a) * float(b @ b))
    rho = float(a @ b) / scale
    orders = np.array(list(itertools.permutations(b)))  # (pairs!, pairs)
    # Ranks are multiples of 1/2, so ties with the observed value differ by rounding alone.
    extreme = np.abs(orders @ a) >= abs(float(a @ b)) - 1e-9
    return min(1.0, max(-1.0, rho)), float(extreme.mean())

"""Do two ways of scoring put the layers in the same order? Kendall's tau-b over layers.

Conventions
-----------
- Over the layers that may be picked. Scores that differ by rounding alone are tied.
- The interval is the percentile interval over speaker draws: in draw r both scores rest on the same speakers,
  so that what the draws do to both alike does not pass for disagreement. Draws in which a score is missing
  are left out; with half of them or more left out there is no interval.
- What tau cannot see stands in `BLIND_TO`, and goes with it.

References
----------
Kendall, "The treatment of ties in ranking problems", Biometrika 33, 1945 (tau-b).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from layersim.metrics import percentile_interval
from layersim.similarity.ranking import TIE_DECIMALS

BLIND_TO = (
    "tau compares orders, not sizes: layers that do not differ weigh as those that do; both scores come from "
    "the same speakers and recordings, so agreement does not show that either order is right"
)


def kendall_tau(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Kendall's tau-b of two scores of the same layers.

    Parameters
    ----------
    first, second : array, shape (layers, ...), finite

    Returns
    -------
    ndarray, shape (...)
        -1..1; NaN where one of the two puts the layers in no order at all.

    >>> kendall_tau([1, 2, 3], [1, 3, 2])  # two of three pairs agree, one does not
    array(0.33333333)
    """
    orders = []
    for scores in (first, second):
        rounded = np.round(np.asarray(scores, dtype=np.float64), TIE_DECIMALS)
        orders.append(np.sign(rounded[:, None] - rounded[None]))  # (layers, layers, ...): 0 for a tie
    agreeing = (orders[0] * orders[1]).sum(axis=(0, 1))
    untied = np.sqrt((orders[0] ** 2).sum(axis=(0, 1)) * (orders[1] ** 2).sum(axis=(0, 1)))
    return np.asarray(np.where(untied > 0, agreeing / np.where(untied > 0, untied, 1.0), np.nan))


def paired_agreement(
    layers: Sequence[str],
    scores: tuple[Sequence[float], Sequence[float]],
    replicates: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> dict[str, Any]:
    """Tau of two ways of scoring with its interval over paired speaker draws.

    Parameters
    ----------
    layers : sequence of str
    scores : pair of sequences of float, one score a layer
    replicates : pair of ndarray, shape (layers, R)
        Scores in each draw; NaN where a draw has none. No draws: no interval.

    Returns
    -------
    dict
        ``tau``, ``low``, ``high``, ``layers``, ``blind_to``.
    """
    low = high = None
    complete = np.isfinite(replicates).all(axis=(0, 1))
    drawn = kendall_tau(replicates[0][:, complete], replicates[1][:, complete])
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) and 2 * len(drawn) > replicates[0].shape[1]:
        interval = percentile_interval(drawn)
        low, high = interval.low, interval.high
    tau = float(kendall_tau(*scores))
    return {
        "tau": None if math.isnan(tau) else tau,
        "low": low,
        "high": high,
        "layers": list(layers),
        "blind_to": BLIND_TO,
    }

"""A value and what it is held against: interval over speakers, null, baseline.

Conventions
-----------
- The interval is the percentile interval of the values in the speaker draws; a draw without a value is left
  out, and with half of the draws or more left out there is no interval.
- A spread (standard deviation over vowels) is never below the truth on average: noise in the vowels' values
  adds to it, and once more in every speaker draw, so that the draws lie above the truth by about twice what
  the value does. Its interval is mirrored at the value (the basic bootstrap, ``2 v - q``) and cut at 0. It
  may end below the value, and then says that much of the spread is noise. Its null is the spread under
  permuted labels.

References
----------
Davison & Hinkley, "Bootstrap Methods and their Application", 1997, section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from layersim.metrics import Interval, percentile_interval, permutation_p


@dataclass(frozen=True)
class Estimate:
    """A similarity and what it is to be held against; None where there is nothing to say."""

    value: float | None
    low: float | None = None
    high: float | None = None
    null_mean: float | None = None
    null_low: float | None = None
    null_high: float | None = None
    p: float | None = None
    different: float | None = None

    def as_row(self, name: str) -> dict[str, float | None]:
        """One table row, the value in a column called ``name``."""
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: row.pop("value"), **row}

    @property
    def interval(self) -> Interval | None:
        """The two ends, or None if refused."""
        return None if self.low is None or self.high is None else Interval(self.low, self.high)


def mean_over(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Mean over the entries that are not NaN; NaN where there is none.

    >>> mean_over(np.array([[1.0, np.nan], [3.0, np.nan]]), 0)
    array([ 2., nan])
    """
    there = np.isfinite(values)
    count = there.sum(axis=axis)
    total = np.where(there, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def deviation_over(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Population standard deviation over the entries that are not NaN; NaN where there are not two.

    >>> deviation_over(np.array([[1.0, np.nan], [3.0, 5.0]]), 0)
    array([ 1., nan])
    """
    squares = (values - np.expand_dims(mean_over(values, axis), axis)) ** 2
    enough = np.isfinite(values).sum(axis=axis) >= 2
    return np.where(enough, np.sqrt(mean_over(squares, axis)), np.nan)


def estimate(
    value: float,
    replicates: NDArray[np.float64],
    null: NDArray[np.float64],
    different: float,
    trusted: bool,
) -> Estimate:
    """Hold a value against its speaker draws, its null and its baseline; an interval only if ``trusted``."""
    if not np.isfinite(value):
        return Estimate(None)
    low = high = null_mean = null_low = null_high = p = None
    drawn = replicates[np.isfinite(replicates)]
    if trusted and 2 * len(drawn) > len(replicates):
        interval = percentile_interval(drawn)
        low, high = interval.low, interval.high
    permuted = null[np.isfinite(null)]
    if len(permuted):
        span = percentile_interval(permuted)
        null_mean, null_low, null_high = float(permuted.mean()), span.low, span.high
        p = permutation_p(value, permuted)
    return Estimate(
        float(value), low, high, null_mean, null_low, null_high, p,
        float(different) if np.isfinite(different) else None,
    )  # fmt: skip


def spread_estimate(
    value: float, replicates: NDArray[np.float64], null: NDArray[np.float64], trusted: bool
) -> Estimate:
    """Hold a spread against its speaker draws, mirrored as the module says, and its null."""
    found = estimate(value, replicates, null, np.nan, trusted)
    if found.value is None or found.low is None or found.high is None:
        return found
    low, high = (max(0.0, 2 * found.value - end) for end in (found.high, found.low))
    return replace(found, low=low, high=high)


def spread_row(found: Estimate) -> dict[str, float | None]:
    """One table row of a spread, which has no baseline."""
    row = found.as_row("spread")
    del row["different"]
    return row

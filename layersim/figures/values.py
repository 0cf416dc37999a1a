"""Values and their intervals, checked as they come in, and the axis that holds them."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import Formatter, FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from layersim.figures.style import short

Values = NDArray[np.float64]

Measured = tuple[ArrayLike, ArrayLike | None, ArrayLike | None]
"""A value per place with the low and high ends of its interval; both ends or neither."""


def intervals(low: ArrayLike | None, high: ArrayLike | None, shape: tuple[int, ...]) -> tuple[Values, Values]:
    """Take the two ends of each value's interval; NaN throughout where there are none.

    Raises
    ------
    ValueError
        If one end is missing, a shape is not that of the values, or a low end lies above its high end.
    """
    if (low is None) != (high is None):
        raise ValueError("low and high: give both or neither")
    lows, highs = (np.full(shape, np.nan) if side is None else np.asarray(side, dtype=np.float64)
                   for side in (low, high))  # fmt: skip
    if lows.shape != shape or highs.shape != shape:
        raise ValueError(f"low, high: expected the shape of values, {shape}; got {lows.shape}, {highs.shape}")
    if (lows > highs).any():
        raise ValueError("low, high: expected low <= high everywhere")
    return lows, highs


def axis_numbers(percent: bool) -> Formatter:
    """Say how an axis prints its numbers: shares 0..1 in per cent, others as they are."""
    if percent:
        return PercentFormatter(xmax=1, decimals=0, symbol=" %")
    return FuncFormatter(lambda value, _: short(value))


def printed(value: float, percent: bool) -> str:
    """Print a value beside its mark: a share 0..1 in per cent, others with two decimals.

    >>> printed(0.625, percent=True), printed(-0.5, percent=False)
    ('62.5', '−0.50')
    """
    return (f"{100 * value:.1f}" if percent else f"{value:.2f}").replace("-", "−")


def value_axis(drawn: Values) -> tuple[tuple[float, float], list[float]]:
    """Choose the ends of the value axis, a little beyond the data, and round ticks between them."""
    finite = drawn[np.isfinite(drawn)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
    ends = (low - margin, high + margin)
    ticks = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(*ends)
    return ends, [float(tick) for tick in ticks if ends[0] <= tick <= ends[1]]


def series(name: str, values: ArrayLike, count: int) -> Values:
    """Take one value per layer, or whatever the places on the axis are.

    Raises
    ------
    ValueError
        If there are not ``count``.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (count,):
        raise ValueError(f"{name}: expected shape ({count},), one value per place; got {array.shape}")
    return array


def band(
    low_name: str, low: ArrayLike | None, high_name: str, high: ArrayLike | None, count: int
) -> tuple[Values, Values] | None:
    """Take the two ends of an interval per place, or neither.

    Raises
    ------
    ValueError
        If one end is missing, or there are not ``count``.
    """
    if low is None and high is None:
        return None
    if low is None or high is None:
        raise ValueError(f"{low_name} and {high_name}: give both or neither")
    return series(low_name, low, count), series(high_name, high, count)

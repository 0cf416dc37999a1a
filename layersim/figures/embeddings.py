"""Where utterances lie in an embedding: their first two principal components, by emotion.

Conventions
-----------
- The components are found on the first part (train) and applied to the others (validation): a part that
  was not fitted cannot look better than it is.
- The share on an axis is that of the shown part's own variance, so on validation it is as a rule smaller.
- A component's sign is free; here the dimension with the largest weight counts as positive.
- Two components are a shadow of D dimensions: emotions that overlap here may be apart in the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from layersim.figures.grid import legend_size, panel_corners, put_legend
from layersim.figures.style import (
    CATEGORIES,
    MARKER_SCALE,
    MARKERS,
    TEXT_SIZE,
    axes_at,
    new_figure,
    put_title,
    styled,
    title_height,
    wrapped,
)
from layersim.figures.values import Values, axis_numbers

Labelled = tuple[ArrayLike, Sequence[str]]
"""Embeddings, shape (N, D), and the emotion of each."""

_SIDE, _GAPS = 2.35, (0.75, 0.85)  # inches
_MANY = 1500  # points of a panel from which an SVG is lighter with them as an image


def principal_components(embeddings: ArrayLike) -> tuple[Values, Values]:
    """Find the two directions along which some embeddings differ most.

    Parameters
    ----------
    embeddings : array, shape (N, D), float
        N and D >= 2.

    Returns
    -------
    mean : array, shape (D,)
        What to take off before projecting.
    components : array, shape (2, D)
        Orthonormal, the first with the most variance.

    Raises
    ------
    ValueError
        If the shape does not fit or a value is not finite.

    References
    ----------
    Jolliffe, "Principal Component Analysis", 2002, section 3.5: by singular values of the centred data.

    >>> mean, components = principal_components([[0.0, 1.0], [4.0, 1.0], [2.0, 2.0], [2.0, 0.0]])
    >>> mean.tolist(), np.round(components, 6).tolist()
    ([2.0, 1.0], [[1.0, 0.0], [0.0, 1.0]])
    """
    rows = np.asarray(embeddings, dtype=np.float64)
    if rows.ndim != 2 or min(rows.shape) < 2:
        raise ValueError(f"embeddings: expected shape (N, D), both 2 or more; got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("embeddings: expected finite numbers; got NaN or infinity")
    mean = rows.mean(axis=0)
    components = np.linalg.svd(rows - mean, full_matrices=False)[2][:2]
    largest = np.abs(components).argmax(axis=1)
    return mean, components * np.sign(components[[0, 1], largest])[:, None]


def embedding_scatter(
    variants: Mapping[str, Mapping[str, Labelled]],
    title: str = "",
    *,
    emotions: Sequence[str] | None = None,
) -> Figure:
    """Draw a column per variant and a row per part, a point per utterance, coloured and shaped by emotion.

    Parameters
    ----------
    variants : mapping
        Variant (``"without Deep-WCCN"``, ``"with Deep-WCCN"``) to part (``"train"``, ``"validation"``) to
        embeddings (N, D) and their emotions. Each variant's components are found on its first part. The
        panels of a variant share their axes; those of different variants do not.
    emotions : sequence of str, optional
        In the legend's order; default: sorted. Give it to have an emotion look the same in several figures.

    Raises
    ------
    ValueError
        If there is nothing to draw, the variants have other parts, shapes do not fit, or an emotion is not
        in ``emotions``.
    """
    parts = list(next(iter(variants.values()), {}))
    if not parts:
        raise ValueError("variants: expected at least one with at least one part, got none")
    other = {name: list(given) for name, given in variants.items() if list(given) != parts}
    if other:
        raise ValueError(f"variants: expected the parts {parts} in each; got {other}")
    found = {str(label) for given in variants.values() for _, labels in given.values() for label in labels}
    known = sorted(found) if emotions is None else list(emotions)
    if found - set(known):
        raise ValueError(f"emotions: {sorted(found - set(known))} stand in the labels, but not in {known}")
    with styled():
        columns, rows = len(variants), len(parts)
        left, bottom = 0.7, 0.5
        width = columns * (_SIDE + _GAPS[0]) - _GAPS[0]
        legend_columns, legend_height = legend_size(known, width)
        corners = panel_corners(rows * columns, columns, (_SIDE, _SIDE), _GAPS, (left, bottom))
        top = bottom + rows * (_SIDE + _GAPS[1]) - _GAPS[1] + 0.32 + legend_height
        heading = wrapped(title, left + width - 0.2, 10.5)
        figure = new_figure(left + width + 0.2, top + title_height(heading))
        for column, (variant, given) in enumerate(variants.items()):
            mean, components = principal_components(given[parts[0]][0])
            panels = []
            for row, part in enumerate(parts):
                axes = axes_at(figure, *corners[row * columns + column], _SIDE, _SIDE)
                name = f"{variant}, {part}"
                panels.append((axes, _draw_part(axes, name, given[part], mean, components, known)))
            _share_axes(panels)
        handles = [Line2D([], [], linestyle="none", markersize=5.0, **_look(k)) for k in range(len(known))]
        put_legend(figure, handles, known, left, top - 0.02, legend_columns)
        put_title(figure, heading, 0.2)
    return figure


def _look(number: int) -> dict[str, Any]:
    return {"color": CATEGORIES[number % len(CATEGORIES)], "marker": MARKERS[number % len(MARKERS)]}


def _draw_part(
    axes: Axes, name: str, labelled: Labelled, mean: Values, components: Values, emotions: Sequence[str]
) -> Values:
    """Draw the points of one panel and return where they are, (N, 2)."""
    rows = np.asarray(labelled[0], dtype=np.float64)
    labels = np.asarray([str(label) for label in labelled[1]])
    if rows.ndim != 2 or rows.shape[1] != len(mean) or len(rows) != len(labels) or len(rows) == 0:
        raise ValueError(
            f"variants: {name}: expected embeddings (N, {len(mean)}) and N emotions; got {rows.shape} and "
            f"{len(labels)}"
        )
    if not np.isfinite(rows).all():
        raise ValueError(f"variants: {name}: expected finite embeddings; got NaN or infinity")
    points = (rows - mean) @ components.T  # (N, 2)
    size = float(np.clip(4000 / len(points), 6, 18))  # square points
    for number, emotion in enumerate(emotions):
        x, y = points[labels == emotion].T
        look = _look(number)
        weight = size * MARKER_SCALE.get(look["marker"], 1.0) ** 2
        axes.scatter(x, y, s=weight, alpha=0.75, linewidth=0, rasterized=len(points) > _MANY, **look)
    whole = rows.var(axis=0).sum()
    first, second = points.var(axis=0) / whole if whole > 0 else (0.0, 0.0)
    axes.set_xlabel(f"component 1 ({100 * first:.0f} % of variance)")
    axes.set_ylabel(f"component 2 ({100 * second:.0f} % of variance)")
    axes.set_title(name, loc="left", fontsize=TEXT_SIZE + 0.5, fontweight="bold", pad=5)
    return points


def _share_axes(panels: Sequence[tuple[Axes, Values]]) -> None:
    """Give a variant's panels the same ends, and both axes the same scale: distances are true."""
    points = np.concatenate([drawn for _, drawn in panels])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    reach = 0.54 * float(np.ptp(points, axis=0).max()) or 1.0
    for axes, _ in panels:
        axes.set_xlim(middle[0] - reach, middle[0] + reach)
        axes.set_ylim(middle[1] - reach, middle[1] + reach)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
            axis.set_major_formatter(axis_numbers(percent=False))
        axes.tick_params(length=2, pad=3)
        axes.grid()

"""The ranking's figures, each as PNG and SVG.

- ``heatmap``: emotions (label-free: vowels) by layers, the sets marked.
- ``vowels-EMOTION``, at phoneme level: vowels by layers, one for each emotion, all on one colour scale; how
  many segments a vowel has in both corpora stands beside its name, refused cells are hatched.
- ``spread``, at phoneme level: how far the vowels' similarities lie apart, by layer and emotion.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layersim.figures.heatmap import heatmap
from layersim.figures.lines import layer_lines
from layersim.figures.save import save
from layersim.similarity.phones import class_kind
from layersim.similarity.ranking import Ranking


def draw_figures(folder: Path, ranking: Ranking) -> list[Path]:
    """Draw and write all figures; returns their files."""
    files = [*_draw_main(folder, ranking)]
    if ranking.axes.stratum is not None:
        files += _draw_cells(folder, ranking)
    if ranking.spread is not None:
        files += _draw_spread(folder, ranking)
    return files


def _draw_main(folder: Path, ranking: Ranking) -> tuple[Path, Path]:
    label = ranking.axes.label
    names = [*ranking.labels, *ranking.refused]
    rows = [[layer.labels[name].value for layer in ranking.layers] for name in names]
    rows.append([layer.score.value for layer in ranking.layers])
    said = names if label == "emotion" else _with_counts(ranking.counts, label, names)
    counted = "" if label == "emotion" else _counted(ranking)
    figure = heatmap(
        _grid(rows), [*said, "mean"], _layers(ranking),
        f"{_pair(ranking)}: similarity per {label}, {ranking.name}{counted}", _value_label(ranking),
        marked_columns=_marks(ranking), summary_rows=1, diverging=ranking.config.features != "raw",
    )  # fmt: skip
    return save(figure, folder / "heatmap")


def _draw_cells(folder: Path, ranking: Ranking) -> list[Path]:
    """One heatmap per emotion: vowels by layers."""
    label, noun = ranking.axes.label, class_kind(ranking.config)
    grids = {}
    for name in ranking.labels:
        part = ranking.cells[ranking.cells[label] == name]  # type: ignore[index]
        strata = list(dict.fromkeys(part[noun]))
        value = {
            (stratum, layer): number
            for stratum, layer, number in zip(part[noun], part["layer"], part["similarity"], strict=True)
        }
        rows = [[value[stratum, layer] for layer in _layers(ranking)] for stratum in strata]
        rows.append([layer.labels[name].value for layer in ranking.layers])
        grids[name] = strata, _grid(rows)
    shown = np.concatenate([grid[np.isfinite(grid)] for _, grid in grids.values()])
    two_sided = ranking.config.features != "raw"
    reach = float(np.abs(shown).max())
    limits = (-reach, reach) if two_sided else (float(shown.min()), float(shown.max()))
    files: list[Path] = []
    for name, (strata, grid) in grids.items():
        counts = ranking.counts[ranking.counts[label] == name]
        figure = heatmap(
            grid, [*_with_counts(counts, noun, strata), "mean"], _layers(ranking),
            f"{_pair(ranking)}: similarity per {noun}, {name}{_counted(ranking)}", _value_label(ranking),
            marked_columns=_marks(ranking), summary_rows=1, diverging=two_sided, limits=limits,
            refused_label=f"refused: fewer than {ranking.config.minimum_cell} segments in a corpus",
        )  # fmt: skip
        files += save(figure, folder / f"{noun}s-{name}")
    return files


def _draw_spread(folder: Path, ranking: Ranking) -> tuple[Path, Path]:
    noun = class_kind(ranking.config)
    names = [name for name in ranking.layers[0].spread if not name or name in ranking.labels]
    lines = {}
    for name in names:
        found = [layer.spread[name] for layer in ranking.layers]
        ends = (_row([part.low for part in found]), _row([part.high for part in found]))
        lines[name or f"over {noun}s"] = _row([part.value for part in found]), *ends
    figure = layer_lines(
        _layers(ranking), lines, _marks(ranking),
        title=f"{_pair(ranking)}: how far the {noun}s' similarities lie apart, {ranking.name}",
        value_label=f"standard deviation over {noun}s",
    )  # fmt: skip
    return save(figure, folder / "spread")


def _pair(ranking: Ranking) -> str:
    return f"{ranking.source} and {ranking.target}, {ranking.encoder}"


def _layers(ranking: Ranking) -> list[str]:
    return [layer.layer for layer in ranking.layers]


def _marks(ranking: Ranking) -> dict[str, tuple[str, ...]]:
    sets = ranking.sets
    return {"Group": sets.group, "Best": (sets.best,), "Worst": sets.worst}


def _value_label(ranking: Ranking) -> str:
    return f"{ranking.config.metric} cosine, {ranking.config.features}"


def _counted(ranking: Ranking) -> str:
    return f" (segments: {ranking.source}/{ranking.target})"


def _with_counts(counts: pd.DataFrame, column: str, names: list[str]) -> list[str]:
    """Each name with its segments in both corpora."""
    said = {
        name: f"{name}  {source}/{target}"
        for name, source, target in zip(counts[column], counts["source"], counts["target"], strict=True)
    }
    return [said[name] for name in names]


def _grid(rows: list[list[float | None]]) -> NDArray[np.float64]:
    return np.array([_row(row) for row in rows])


def _row(values: list[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

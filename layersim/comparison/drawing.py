"""The figures of a comparison."""

from __future__ import annotations

from pathlib import Path

from layersim.comparison.running import Units
from layersim.comparison.table import Table


def draw_comparison(units: Units, tables: dict[str, Table], folder: Path) -> list[dict[str, str]]:
    """Draw what a comparison came to; return each figure's name and caption, in the order of the page."""
    return []

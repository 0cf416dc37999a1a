"""Figures to files: PNG to look at, SVG to publish, the same bytes for the same figure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from layersim.figures.style import styled

# No date and no version of matplotlib in the files: rerunning a stage changes no byte.
_METADATA: dict[str, dict[str, Any]] = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}


def save(figure: Figure, path: Path) -> tuple[Path, Path]:
    """Write a figure as ``path.png`` (200 dots an inch) and ``path.svg``, each whole or not at all.

    Parameters
    ----------
    path : Path
        Where to, without a suffix; its folder is made. A dot in the name is kept: ``gamma-0.5`` becomes
        ``gamma-0.5.png``.

    Returns
    -------
    (Path, Path)
        The PNG's and the SVG's path.

    Raises
    ------
    ValueError
        If ``path`` already ends in ``.png`` or ``.svg``.
    """
    if path.suffix in _METADATA:
        raise ValueError(
            f"path: expected a name without {path.suffix}, as both files are written; got {path}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    canvases = {".png": FigureCanvasAgg, ".svg": FigureCanvasSVG}
    written = []
    for suffix, canvas in canvases.items():
        file = path.with_name(path.name + suffix)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{suffix}")
        with styled():
            canvas(figure).print_figure(temporary, format=suffix[1:], metadata=_METADATA[suffix])
        temporary.replace(file)
        written.append(file)
    return written[0], written[1]

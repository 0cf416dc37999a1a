"""The compare stage: the paper's tables with one's own corpora in them.

Runs every unit that is missing (`layersim.comparison.running`) and writes what all together come to into
``compare/PROTOCOL``::

    results.csv                   one row per unit
    methods.txt  .csv  .tex       the table of methods
    anchors.txt  .csv  .tex       the table of anchor sets, where there are several
    figures/*.png  .svg           see `layersim.comparison.drawing`
    tables.json                   the tables and the figures' captions, for the report
    run.json                      written last

``results.csv`` names every unit that this comparison asked for; units of other methods stay in their folders.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layersim.adaptation.methods import OwnSettings
from layersim.adaptation.settings import TrainConfig
from layersim.comparison.drawing import draw_comparison
from layersim.comparison.published import published_table
from layersim.comparison.running import Units, run_units
from layersim.comparison.settings import CompareConfig
from layersim.comparison.table import Table
from layersim.comparison.tables import anchor_table, method_table
from layersim.provenance import write_run
from layersim.settings import Settings
from layersim.similarity.settings import RankConfig
from layersim.workspace import Progress, Workspace, no_progress, write_json, write_text

TABLES = "tables.json"
PUBLISHED = ("layer-anchoring", "anchor-sets")


@dataclass(frozen=True)
class Comparison:
    """What a comparison came to.

    Attributes
    ----------
    tables : dict
        ``methods``, and ``anchors`` where layer anchoring was compared on several sets.
    published : tuple of Table
        The papers' figures, where they were asked for: of other corpora.
    """

    units: Units
    tables: dict[str, Table]
    folder: Path
    published: tuple[Table, ...] = ()

    def to_table(self) -> str:
        """Return the tables for a terminal."""
        tables = [*self.tables.values(), *self.published]
        return "\n".join([*(table.to_text() for table in tables), f"tables and figures: {self.folder}"])

    def to_json(self) -> dict[str, Any]:
        """Return it as one JSON document: the cells of the tables and the units' scores."""
        results = self.units.results.drop(columns="folder")
        return {
            "folder": str(self.folder),
            "tables": {
                name: {"title": table.title, "cells": _records(table.to_frame()), "notes": list(table.notes)}
                for name, table in self.tables.items()
            },
            "published": [
                {"title": table.title, "cells": _records(table.to_frame())} for table in self.published
            ],
            "units": _records(results),
        }


def compare(
    workspace: Workspace,
    settings: Settings[CompareConfig],
    train: Settings[TrainConfig],
    rank: Settings[RankConfig],
    own: OwnSettings | None = None,
    *,
    progress: Progress = no_progress,
    force: bool = False,
    with_published: bool = False,
) -> Comparison:
    """Compare methods over pairs, encoders and seeds of a workspace, and write the tables.

    Parameters
    ----------
    train, rank : Settings
        Those of the stages: what methods and anchors are made with.
    own : OwnSettings, optional
        What was said of single methods' settings.
    force : bool
        Run again also what is finished.
    with_published : bool
        Give the published figures too.

    Raises
    ------
    LayersimError
        As `run_units`.
    """
    units = run_units(workspace, settings, train, rank, own, progress, force)
    folder = workspace.root / "compare" / settings.config.protocol
    tables = {
        "methods": method_table(units.results, units.predictions, replicates=settings.config.bootstraps)
    }
    anchors = anchor_table(units.results, units.predictions, replicates=settings.config.bootstraps)
    if anchors is not None and len(anchors.rows()) > 1:
        tables["anchors"] = anchors
    results = units.results.assign(
        folder=[str(Path(one).relative_to(folder)) for one in units.results["folder"]]
    )
    write_text(folder / "results.csv", results.to_csv(index=False, lineterminator="\n"))
    for name, table in tables.items():
        write_text(folder / f"{name}.txt", table.to_text())
        write_text(folder / f"{name}.csv", table.to_csv())
        write_text(folder / f"{name}.tex", table.to_latex())
    captions = draw_comparison(units, tables, folder / "figures")
    write_json(folder / TABLES, {"tables": [_page(table) for table in tables.values()], "figures": captions})
    write_run(folder, "compare", {}, settings, {}, {"units": len(units.results)})
    shown = tuple(published_table(name) for name in PUBLISHED) if with_published else ()
    return Comparison(units, tables, folder, shown)


def _page(table: Table) -> dict[str, Any]:
    """Return a table as the report's page shows it."""
    return {
        "title": table.title,
        "rows_are": table.rows_are,
        "directions": [{"name": name, "columns": columns} for name, columns in table.directions()],
        "encoders": [column.encoder for column in table.columns],
        "rows": table.to_html_rows(),
        "notes": list(table.notes),
    }


def _records(frame: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return rows

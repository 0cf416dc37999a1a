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

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from layersim.adaptation.anchors import parse_anchors
from layersim.adaptation.method import OwnSettings, preset_notes
from layersim.adaptation.methods import parse_method
from layersim.adaptation.opening import open_features
from layersim.adaptation.settings import TrainConfig
from layersim.comparison.drawing import draw_comparison
from layersim.comparison.job import Job
from layersim.comparison.published import published_names, published_table
from layersim.comparison.running import Units, run_units
from layersim.comparison.settings import CompareConfig
from layersim.comparison.table import Table
from layersim.comparison.tables import anchor_table, method_table
from layersim.comparison.unit_request import fingerprint
from layersim.provenance import RUN, write_run
from layersim.settings import Settings
from layersim.similarity.settings import RankConfig
from layersim.workspace import Progress, Workspace, encoder_slug, no_progress, write_json, write_text

TABLES = "tables.json"


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
    folder = workspace.root / "compare" / settings.config.protocol
    (folder / RUN).unlink(missing_ok=True)  # from here on what stands there is of another comparison
    units = run_units(workspace, settings, train, rank, own, progress, force)
    tables = {
        "methods": method_table(units.results, units.predictions, replicates=settings.config.bootstraps)
    }
    anchors = anchor_table(units.results, units.predictions, replicates=settings.config.bootstraps)
    if anchors is not None and {row.name for row in anchors.rows()} != {"Group"}:  # it is in the other table
        tables["anchors"] = anchors
    notes = label_notes(units) + preset_notes(settings.config.all_methods, own.preset if own else None)
    tables = {name: replace(table, notes=(*table.notes, *notes)) for name, table in tables.items()}
    results = units.results.assign(
        folder=[str(Path(one).relative_to(folder)) for one in units.results["folder"]]
    )
    write_text(folder / "results.csv", results.to_csv(index=False, lineterminator="\n"))
    for name in ("methods", "anchors"):
        forms = ("txt", Table.to_text), ("csv", Table.to_csv), ("tex", Table.to_latex)
        for suffix, form in forms:
            if name in tables:
                write_text(folder / f"{name}.{suffix}", form(tables[name]))
            else:
                (folder / f"{name}.{suffix}").unlink(missing_ok=True)
    captions = draw_comparison(units, tables, folder / "figures")
    write_json(folder / TABLES, {"tables": [_page(table) for table in tables.values()], "figures": captions})
    own = own or OwnSettings()
    asked = {
        "units": len(units.results),
        "train": train.as_rows(),
        "rank": rank.as_rows(),
        "own": {"tables": dict(own.tables), "flags": dict(own.flags), "preset": own.preset},
    }
    write_run(folder, "compare", {}, settings, _inputs(units), asked)
    shown = tuple(published_table(name) for name in published_names()) if with_published else ()
    return Comparison(units, tables, folder, shown)


def label_notes(units: Units) -> list[str]:
    """Say which rows rest on emotion labels of the target: those whose anchors were ranked by them."""
    reading = sorted({job.name for job in units.jobs if _reads_labels(job)})
    supervised = sorted({job.name for job in units.jobs if parse_method(job.word).definition.supervised})
    notes = []
    if reading:
        notes.append(
            f"{', '.join(reading)}: anchors are ranked with emotion labels of the target's other speakers, "
            "those that are adapted to; training reads none."
        )
    if supervised:
        notes.append(f"{', '.join(supervised)}: trained on labels of the target's other speakers.")
    return notes


def _reads_labels(job: Job) -> bool:
    request = parse_method(job.word)
    anchors = parse_anchors(request.argument or "all") if request.definition.layers == "anchors" else None
    return anchors is not None and anchors.ranked is not None and anchors.kind != "phoneme-label-free"


def _inputs(units: Units) -> dict[str, str]:
    """Hash every corpus that took part, with each kind of its features."""
    found: dict[str, str] = {}
    for job in units.jobs:
        inputs = parse_method(job.word).definition.inputs
        kind = encoder_slug(job.workspace.encoder) if inputs == "encoder" else inputs
        for name in job.situation.corpora:
            if f"{name}, {kind}" not in found:
                found[f"{name}, {kind}"] = fingerprint(open_features(job.workspace, name, inputs))
    return found


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

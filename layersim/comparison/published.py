"""Published figures, for the eye: printed beside one's own, and marked as of other corpora or protocols.

The figures are data, in ``data_manifests/published``: one CSV file per printed table, and ``sources.toml``
with what is common to a file's figures. A comparison with them says nothing without their protocol: the same
encoder on the same corpus differs by up to 32 points between publications.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from importlib import resources
from typing import Any

import pandas as pd

from layersim.comparison.table import Cell, Column, Row, RowGroup, Table
from layersim.documents import read_frame, read_toml, require_form
from layersim.errors import LayersimError

SCALES = {"per cent": 100, "points": 100, "share": 1}  # what a printed number is divided by
_COMMON = ("publication", "corpora", "protocol", "mark")
_FIGURES = (
    "group", "method", "printed_as", "source", "target", "encoder", "score", "printed", "unit", "remark",
)  # fmt: skip
_MEND = "It is part of layersim: install it again."
_DECIMALS = 6  # 52.01 / 100 is not a share of few digits in binary


def published_names() -> list[str]:
    """Return the names of the printed tables that are at hand.

    >>> published_names()[:3]
    ['layer-anchoring', 'anchor-sets', 'speaker-style']
    """
    return list(_sources())


def published(names: Iterable[str]) -> pd.DataFrame:
    """Return published figures, one per row.

    Parameters
    ----------
    names : iterable of str
        Of `published_names`.

    Returns
    -------
    DataFrame
        ``name`` of the printed table; ``publication``, ``corpora``, ``protocol`` and ``mark`` (how it is
        apart from a comparison of one's own); ``group``, ``method`` (layersim's name of it, if it has one),
        ``printed_as``, ``source``, ``target`` (the same within a corpus), ``encoder``, ``score``; ``value``
        as a share 0..1, ``printed`` as it was printed, in ``unit``; ``remark``. What is not known is empty.

    Raises
    ------
    LayersimError
        If a name is not known.

    >>> figures = published(["layer-anchoring"])
    >>> figures[figures["method"] == "la"]["printed"].tolist()
    ['60.21', '59.65', '56.68', '56.37']
    """
    sources = _sources()
    parts = []
    for name in names:
        described = _describe(name, sources)
        part = _read_figures(_folder() / f"{name}.csv")
        for place, key in enumerate(("name", *_COMMON)):
            part.insert(place, key, name if key == "name" else described[key])
        parts.append(part)
    if not parts:
        raise ValueError("names: expected at least one, got none")
    return pd.concat(parts, ignore_index=True)


def published_table(name: str) -> Table:
    """Lay a printed table out as one's own are, with its mark in the title and its protocol below.

    Raises
    ------
    LayersimError
        If the name is not known.
    """
    described = _describe(name, _sources())
    by_encoder = described["columns"] == "encoder"
    groups: dict[str, dict[str, dict[Column, Cell]]] = {}
    for figure in published([name]).to_dict("records"):
        column = Column(_direction(figure), figure["encoder"] if by_encoder else _score(figure))
        named = [figure["printed_as"], "" if by_encoder else figure["encoder"]]
        row = ", ".join(part for part in named if part)
        row += f" ({figure['remark']})" if figure["remark"] else ""
        cell = Cell(figure["value"], decimals=_decimals(figure["printed"], figure["unit"]))
        groups.setdefault(figure["group"], {}).setdefault(row, {})[column] = cell
    found = dict.fromkeys(column for rows in groups.values() for cells in rows.values() for column in cells)
    directions = list(dict.fromkeys(column.direction for column in found))
    columns = sorted(found, key=lambda column: directions.index(column.direction))
    unit = "UAR %" if by_encoder else "per cent"
    return Table(
        title=f"PUBLISHED, {described['mark']}: {described['title']}, {unit}",
        rows_are=described["rows"],
        columns=tuple(columns),
        groups=tuple(
            RowGroup(
                group,
                tuple(
                    Row(row, tuple(cells.get(column, Cell()) for column in columns))
                    for row, cells in rows.items()
                ),
            )
            for group, rows in groups.items()
        ),
        notes=(_origin(described),),
    )


def beside(table: Table, name: str) -> Table:
    """Add the columns of a printed table to one's own, in the rows that both have.

    The added columns say ``published`` and how they are apart in their heading.

    Parameters
    ----------
    table : Table
        Of methods or of anchor sets.
    name : str
        A printed table with a column per encoder: ``layer-anchoring`` or ``anchor-sets``.

    Raises
    ------
    LayersimError
        If the name is not known.
    ValueError
        If the printed table has another form.
    """
    described = _describe(name, _sources())
    if described["columns"] != "encoder":
        raise ValueError(f"name: expected a printed table with a column per encoder, got {name!r}")
    printed = published_table(name)
    figures = published([name])
    names = dict(zip(figures["printed_as"].tolist(), figures["method"].tolist(), strict=True))
    cells = {alias: row.cells for row in printed.rows() for alias in (row.name, names[row.name])}
    nothing = (Cell(),) * len(printed.columns)
    own = [row.name for row in table.rows()]
    left_out = [row.name for row in printed.rows() if row.name not in own and names[row.name] not in own]
    notes = [f"published, {described['mark']}: {_origin(described)}"]
    if left_out:
        notes.append(f"Published, but no row of this table: {', '.join(left_out)}.")
    return replace(
        table,
        columns=table.columns
        + tuple(
            Column(f"published, {_apart(described)}: {column.direction}", column.encoder)
            for column in printed.columns
        ),
        groups=tuple(
            RowGroup(
                group.name,
                tuple(Row(row.name, row.cells + cells.get(row.name, nothing)) for row in group.rows),
            )
            for group in table.groups
        ),
        notes=(*table.notes, *notes),
    )


def _folder() -> Any:
    return resources.files("layersim_data") / "published"


def _sources() -> dict[str, dict[str, str]]:
    file = _folder() / "sources.toml"
    sources = read_toml(file)
    require_form(sources, {...: dict.fromkeys((*_COMMON, "title", "rows", "columns"), str)}, str(file), _MEND)
    return sources


def _read_figures(file: Any) -> pd.DataFrame:
    """Read one printed table, with ``value``."""
    part = read_frame(file, _FIGURES, _MEND)
    values = []
    for row, (printed, unit) in enumerate(zip(part["printed"], part["unit"], strict=True), start=2):
        try:
            values.append(round(float(printed) / SCALES[unit], _DECIMALS))
        except (ValueError, KeyError):
            raise LayersimError(
                f"{file}, row {row}: {printed!r} {unit!r} is no number and unit. {_MEND}"
            ) from None
    return part.assign(value=values)


def _describe(name: str, sources: dict[str, dict[str, str]]) -> dict[str, str]:
    if name not in sources:
        near = difflib.get_close_matches(name, sources, n=1, cutoff=0.0)[0]
        raise LayersimError(
            f"published figures {name!r}: not known. Did you mean {near!r}? Known: {', '.join(sources)}."
        )
    return sources[name]


def _direction(figure: dict[Any, Any]) -> str:
    source, target = figure["source"], figure["target"]
    if source == target:
        return f"within {target}"
    return f"{source} → {target}" if source else f"→ {target}"


def _score(figure: dict[Any, Any]) -> str:
    """Write a score as in one's own tables."""
    words = {"uar": "UAR", "wa": "WA", "f1": "F1"}
    return " ".join(words.get(word, word) for word in figure["score"].split())


def _decimals(printed: str, unit: str) -> int:
    """Count the digits after the point that a printed number has in per cent.

    >>> _decimals("51.75", "per cent"), _decimals(".379", "share"), _decimals("64", "per cent")
    (2, 1, 0)
    """
    places = len(printed.partition(".")[2])
    return max(0, places - 2) if unit == "share" else places


def _apart(described: dict[str, str]) -> str:
    return described["mark"].partition(",")[0]


def _origin(described: dict[str, str]) -> str:
    return (
        f"{described['publication']}. Corpora: {described['corpora']}. Protocol: {described['protocol']}. "
        "Not to be compared with figures of other corpora or protocols."
    )

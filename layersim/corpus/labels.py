"""Label maps: from a corpus's own labels to the emotion names that all corpora share.

A map is a small TOML file: ``version``, ``source`` (where the coding is documented) and a table ``[map]``
from the corpus's label to one of `EMOTIONS`. The maps of known corpora ship as package data; every one
stands on ``default.toml``, the common English words. A map of the user's own stands alone, so that what it
leaves out is left out. Labels are matched regardless of case and of spaces around them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from layersim.corpus.manifest_rows import EMOTIONS
from layersim.documents import read_toml
from layersim.errors import LayersimError, summarise_faults

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_KEYS = {"version", "source", "map"}


def label_map(corpus: str, override: Path | None = None) -> dict[str, str]:
    """Return the label map of a corpus.

    Parameters
    ----------
    corpus : str
        ``Emo-DB``, ``emodb`` and ``emo_db`` are the same; a name without a map gets the generic one.
    override : Path, optional
        A map of the user's own; it stands alone.

    Returns
    -------
    dict
        Label, in lower case, to emotion.

    Raises
    ------
    LayersimError
        If the file cannot be read, has unknown keys, or names an emotion outside `EMOTIONS`.

    >>> label_map("Emo-DB")["w"], label_map("my corpus")["angry"]
    ('anger', 'anger')
    """
    if override is not None:
        return _read_map(override)
    folder = resources.files("layersim_data") / "label_maps"
    mapping = _read_map(folder / "default.toml")
    for file in folder.iterdir():
        if file.name.endswith(".toml") and plain_name(file.name[: -len(".toml")]) == plain_name(corpus):
            mapping |= _read_map(file)
    return mapping


def apply_label_map(table: pd.DataFrame, mapping: Mapping[str, str]) -> tuple[pd.DataFrame, dict[str, int]]:
    """Add the column ``emotion``, and leave out the rows whose ``source_label`` the map does not know.

    Returns
    -------
    table : DataFrame
        The mapped rows in their order, renumbered from 0.
    unmapped : dict
        Each unknown label and its number of rows, the most frequent first.

    Raises
    ------
    ValueError
        If the table has no column ``source_label``.

    >>> rows = pd.DataFrame({"source_label": ["Happy", "xxx", "sad ", "xxx"]})
    >>> table, unmapped = apply_label_map(rows, {"happy": "happiness", "sad": "sadness"})
    >>> list(table["emotion"]), unmapped
    (['happiness', 'sadness'], {'xxx': 2})
    """
    if "source_label" not in table.columns:
        raise ValueError(f"the table needs a column source_label; it has {list(table.columns)}")
    emotions = {_fold(label): emotion for label, emotion in mapping.items()}
    labels = [str(label) for label in table["source_label"]]
    known = [_fold(label) in emotions for label in labels]
    mapped = table[known].reset_index(drop=True)
    mapped["emotion"] = [emotions[_fold(label)] for label in mapped["source_label"]]
    missed = Counter(label for label, found in zip(labels, known, strict=True) if not found)
    return mapped, dict(sorted(missed.items(), key=lambda item: (-item[1], item[0])))


def plain_name(name: str) -> str:
    """Reduce a corpus's name to its letters and digits, so that spellings meet.

    >>> plain_name("CREMA-D"), plain_name("crema_d")
    ('cremad', 'cremad')
    """
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _fold(label: str) -> str:
    return label.strip().casefold()


def _read_map(file: Traversable) -> dict[str, str]:
    """Read and check one label map; all faults at once."""
    document = read_toml(file, "the label map")
    faults = [f"unknown key {key!r}" for key in document if key not in _KEYS]
    faults += [f"no key {key!r}" for key in sorted(_KEYS - set(document))]
    table = document.get("map", {})
    mapping: dict[str, str] = {}
    if not isinstance(table, dict):
        faults.append("[map] must be a table")
        table = {}
    for label, emotion in table.items():
        if emotion not in EMOTIONS:
            faults.append(f"label {label!r}: {emotion!r} is not an emotion name")
        elif mapping.setdefault(_fold(label), emotion) != emotion:
            faults.append(f"label {label!r} differs from another one in case only, and in emotion")
    if faults:
        raise LayersimError(
            summarise_faults(
                f"{file}: the label map is wrong",
                faults,
                'It needs version = 1, source = "where the coding is documented", and a table [map] of '
                f'lines LABEL = "EMOTION" with an emotion of: {", ".join(EMOTIONS)}.',
            )
        )
    return mapping

"""Comparisons on the page: the tables and figures that `layersim compare` has written."""

from __future__ import annotations

from typing import Any

from layersim.comparison.compare import TABLES
from layersim.provenance import RUN
from layersim.report.show import image
from layersim.workspace import Workspace, read_json

PROTOCOLS = {
    "folds": "Speaker-independent folds of the target: every utterance is tested once, by a model whose "
    "adaptation has not heard its speaker.",
    "splits": "The manifests' own splits: the test speakers have been heard by nothing before.",
    "transductive": "The unlabelled target is the test set too: not to be compared with inductive scores.",
}


def comparison_sections(workspace: Workspace) -> list[dict[str, Any]]:
    """Return a section for each protocol under which a comparison was finished."""
    sections = []
    for protocol, says in PROTOCOLS.items():
        folder = workspace.root / "compare" / protocol
        if not (folder / RUN).is_file():
            continue
        document = read_json(folder / TABLES)
        sections.append({
            "anchor": f"compare-{protocol}",
            "protocol": protocol,
            "says": says,
            "tables": document["tables"],
            "figures": [
                image(folder / "figures" / f"{figure['name']}.png", figure["caption"])
                for figure in document["figures"]
            ],
            "run": read_json(folder / RUN),
        })  # fmt: skip
    return sections

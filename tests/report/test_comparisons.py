from __future__ import annotations

import json
from pathlib import Path

import pytest

from layersim.errors import StageMissingError
from layersim.report.comparisons import comparison_sections
from layersim.report.page import write_report
from layersim.workspace import Workspace

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63fcffff3f030005fe02fe"
    "dccc59e70000000049454e44ae426082"
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A study in which nothing but a comparison was made."""
    (tmp_path / "layersim.toml").write_text('encoder = "some/tiny"\n', "utf-8")
    folder = tmp_path / "compare" / "folds"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "methods.png").write_bytes(PIXEL)
    table = {
        "title": "Methods: UAR %",
        "rows_are": "method",
        "directions": [{"name": "german → english", "columns": 1}],
        "encoders": ["tiny"],
        "rows": [
            {"kind": "group", "name": "with layers", "span": 2},
            {"kind": "row", "name": "la<b>", "cells": [
                {"value": "60.2 ± 1.2", "interval": "55.0 to 64.8", "mark": "+"},
            ]},
        ],
        "notes": ["+ above cc-std-all"],
    }  # fmt: skip
    document = {"tables": [table], "figures": [{"name": "methods", "caption": "UAR per method."}]}
    (folder / "tables.json").write_text(json.dumps(document), "utf-8")
    run = {"when": "today", "settings": [], "inputs": {}, "notes": []}
    (folder / "run.json").write_text(json.dumps(run), "utf-8")
    return Workspace.read(tmp_path)


def test_a_comparison_alone_makes_a_report_with_its_tables_figures_and_notes(workspace: Workspace) -> None:
    page = write_report(workspace).read_text("utf-8")
    shown_parts = (
        "Methods compared: folds", "german → english", "60.2 ± 1.2 +", "55.0 to 64.8", "with layers",
        "+ above cc-std-all", "UAR per method.", "data:image/png;base64,",
    )  # fmt: skip
    for shown in shown_parts:
        assert shown in page
    assert "la&lt;b&gt;" in page  # names are text, not markup
    assert "http://" not in page
    assert "https://" not in page


def test_a_comparison_that_was_not_finished_is_not_shown(workspace: Workspace) -> None:
    (workspace.root / "compare" / "folds" / "run.json").unlink()
    assert comparison_sections(workspace) == []
    with pytest.raises(StageMissingError, match=r"nothing to report .* or layersim compare"):
        write_report(workspace)

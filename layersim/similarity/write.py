"""Writes a ranking into its folder.

``ranking.json``; ``similarity.csv`` (layer x emotion; label-free: layer x vowel), ``layers.csv``; at phoneme
level ``spread.csv`` and, with emotions, ``vowels.csv`` (layer x emotion x vowel); figures as `drawing` says;
``run.json`` last.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from layersim.documents import require_form
from layersim.errors import LayersimError
from layersim.provenance import RUN, run_changes, write_run
from layersim.settings import Settings
from layersim.similarity.ranking import Ranking
from layersim.workspace import read_json, write_json, write_text


def refuse_other_run(folder: Path, settings: Settings[Any], inputs: dict[str, str], force: bool) -> None:
    """Let only the same run, or ``force``, replace a ranking that stands in ``folder``.

    Raises
    ------
    LayersimError
        If the ranking there was made with other settings or from other inputs; they are named.
    """
    changes = None if force else run_changes(folder, settings, inputs)
    if changes:
        raise LayersimError(
            f"{folder}: holds a ranking made differently ({'; '.join(changes)}). Replace it with --force."
        )


def write_ranking(
    folder: Path, ranking: Ranking, settings: Settings[Any], inputs: dict[str, str]
) -> list[Path]:
    """Write all of a ranking's files; returns them, ``run.json`` last.

    Files that an earlier run wrote there are removed first.
    """
    _remove_earlier(folder)
    files = [folder / "ranking.json"]
    write_json(files[0], ranking.to_json())
    tables = {"similarity.csv": ranking.similarity, "layers.csv": layer_table(ranking)}
    if ranking.cells is not None:
        tables[f"{ranking.axes.stratum}s.csv"] = ranking.cells
    if ranking.spread is not None:
        tables["spread.csv"] = ranking.spread
    for name, table in tables.items():
        files.append(folder / name)
        # Nine digits hold a float32 exactly; the values come from float32 features.
        write_text(files[-1], table.to_csv(index=False, lineterminator="\n", float_format="%.9g"))
    # matplotlib takes half a second to import: not before there is something to draw.
    from layersim.similarity.drawing import draw_figures

    files += draw_figures(folder, ranking)
    results = {
        "group": list(ranking.sets.group), "best": ranking.sets.best, "worst": list(ranking.sets.worst),
        "resolved": ranking.resolved, "files": [file.name for file in files],
    }  # fmt: skip
    study = {"source": ranking.source, "target": ranking.target, "encoder": ranking.encoder}
    write_run(folder, "rank", study, settings, inputs, results, ranking.notes)
    return [*files, folder / RUN]


def layer_table(ranking: Ranking) -> pd.DataFrame:
    """One row per layer: the score with what it is held against, the sets, the probe's UARs."""
    sets = ranking.sets
    return pd.DataFrame(
        [
            {
                "layer": layer.layer,
                **layer.score.as_row("score"),
                "in_group": layer.in_group,
                "group": layer.layer in sets.group,
                "best": layer.layer == sets.best,
                "worst": layer.layer in sets.worst,
                "probe_uar": layer.probe_uar,
                "probe_uar_source_statistics": layer.probe_uar_source_statistics,
            }
            for layer in ranking.layers
        ]
    )


def _remove_earlier(folder: Path) -> None:
    if not (folder / RUN).exists():
        return
    run = read_json(folder / RUN)
    form = {"results": ({"files": ([str], ...)}, ...)}
    require_form(run, form, str(folder / RUN), "Delete this folder and rank again.")
    names = run.get("results", {}).get("files", [])
    (folder / RUN).unlink()
    for name in names:
        (folder / Path(str(name)).name).unlink(missing_ok=True)

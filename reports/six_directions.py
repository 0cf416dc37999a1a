"""Rank and train in every direction between a workspace's corpora; print the tables of `reports/LOG.md`.

Usage, after ``layersim extract`` in the workspace::

    python reports/six_directions.py WORKSPACE [--seeds 5]

For each direction: the layer scores of six similarity definitions on the train splits and how well each
orders the layers by the transfer of a source-only linear probe (Spearman); then the target-test UAR of CC,
standardised CC, and layer anchoring in three forms: each corpus standardised by itself; the paper's plain
form; and the first without CORAL, which leaves only the choice of layers. The anchors are the Group of the
default ranking. Nothing is chosen on target test labels: epochs are picked on source validation, all other
settings are the defaults.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from layersim.adaptation.anchors import choose_anchors
from layersim.adaptation.train import TrainConfig, train_pair
from layersim.features.dataset import CorpusFeatures, open_corpus
from layersim.settings import resolve_settings
from layersim.similarity.moments import Features, Metric
from layersim.similarity.rank import RankConfig, rank, rank_layers
from layersim.workspace import Workspace

DEFINITIONS: tuple[tuple[Metric, Features], ...] = (
    ("pairwise", "raw"), ("pairwise", "centred"), ("pairwise", "zscored"),
    ("centroid", "raw"), ("centroid", "centred"), ("centroid", "zscored"),
)  # fmt: skip


def main() -> None:
    """Run all directions and print Markdown."""
    parser = argparse.ArgumentParser(description="Rank and train in every direction of a workspace.")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    workspace = Workspace.read(arguments.workspace.resolve())
    names = list(workspace.corpora)
    corpora = {name: open_corpus(workspace, name) for name in names}
    directions = [(source, target) for source in names for target in names if source != target]
    definitions: list[str] = []
    agreement: dict[tuple[str, str], list[float | None]] = {}
    methods: dict[str, list[str]] = {}
    for source, target in directions:
        print(f"{source} -> {target}", file=sys.stderr)
        definitions += _rank_all(workspace, corpora[source], corpora[target], agreement)
        _train_all(workspace, corpora[source], corpora[target], arguments.seeds, methods)
    print("\n".join(definitions))
    heading = [f"{source} → {target}" for source, target in directions]
    print("\nSpearman's rho between layer score and the probe's transfer UAR (each corpus standardised by "
          "itself), over the encoder's blocks:\n")  # fmt: skip
    print(_row(["definition", *heading, "mean"]) + "\n" + _row(["---"] * (len(heading) + 2)))
    for definition, values in agreement.items():
        known = [value for value in values if value is not None]
        cells = ["–" if value is None else f"{value:+.2f}" for value in values]
        mean = f"{sum(known) / len(known):+.2f}" if known else "–"
        print(_row([", ".join(definition), *cells, mean]))
    print(f"\nUAR % on the target's test speakers, mean ± sd over {arguments.seeds} seeds "
          "(95 % interval over speakers where there are two or more):\n")  # fmt: skip
    print(_row(["method", *heading]) + "\n" + _row(["---"] * (len(heading) + 1)))
    for method, cells in methods.items():
        print(_row([method, *cells]))


def _rank_all(
    workspace: Workspace,
    source: CorpusFeatures,
    target: CorpusFeatures,
    agreement: dict[tuple[str, str], list[float | None]],
) -> list[str]:
    """Rank by every definition; return table lines, and add each definition's agreement with the probe."""
    default = RankConfig()
    lines = [f"\n{source.name} → {target.name}\n"]
    for metric, features in DEFINITIONS:
        ranking = rank_layers(source, target, RankConfig(metric=metric, features=features))
        agreement.setdefault((metric, features), []).append(ranking.probe["spearman"]["rho"])
        if len(lines) == 1:
            names = [layer.layer for layer in ranking.layers]
            lines += [_row(["definition", *names, "Group", "resolved"]), _row(["---"] * (len(names) + 3))]
        scores = [f"{layer.score.value:.3f}" for layer in ranking.layers]
        group = ", ".join(ranking.sets.group)
        lines.append(_row([f"{metric}, {features}", *scores, group, "yes" if ranking.resolved else "no"]))
        if (metric, features) == (default.metric, default.features):
            for name, low, high in (("interval", "low", "high"), ("null 95 %", "null_low", "null_high")):
                spans = [
                    _span(getattr(layer.score, low), getattr(layer.score, high)) for layer in ranking.layers
                ]
                lines.append(_row([f"its {name}", *spans, "", ""]))
            other = [f"{layer.score.different:.3f}" for layer in ranking.layers]
            lines.append(_row(["its other emotions", *other, "", ""]))
    for form, attribute in (("own", "probe_uar"), ("source", "probe_uar_source_statistics")):
        uars = [f"{100 * getattr(layer, attribute):.1f}" for layer in ranking.layers]
        lines.append(_row([f"probe UAR %, {form} statistics", *uars, "", ""]))
    rank(workspace, workspace.settings(RankConfig), source.name, target.name, force=True)
    return lines


def _train_all(
    workspace: Workspace,
    source: CorpusFeatures,
    target: CorpusFeatures,
    seeds: int,
    methods: dict[str, list[str]],
) -> None:
    """Train all methods in both forms; add a cell to each method's row."""
    ranking = workspace.rank_folder(source.name, target.name, "utterance") / "ranking.json"
    anchors = choose_anchors("auto", source.cache.layers, lambda _: ranking)
    folder = workspace.train_folder(source.name, target.name)
    forms = {
        "": (folder, {}),
        ", source statistics": (
            folder.with_name(f"{folder.name}-plain"),
            {"methods": ("la",), "standardise": "source"},
        ),
        ", no CORAL": (
            folder.with_name(f"{folder.name}-no-coral"),
            {"methods": ("la",), "gamma": 0.0},
        ),
    }
    for suffix, (place, flags) in forms.items():
        settings = resolve_settings(TrainConfig, {"seeds": seeds, **flags})
        result = train_pair(source, target, settings, anchors, place)
        for method in result.to_json()["methods"]:
            uar, interval = method["uar"], method["uar_interval"]
            cell = f"{100 * uar['mean']:.1f} ± {100 * (uar['sd'] or 0):.1f}"
            if interval is not None:
                cell += f" ({100 * interval['low']:.0f} to {100 * interval['high']:.0f})"
            methods.setdefault(method["folder"] + suffix, []).append(cell)


def _span(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()

"""Which definition of similarity picks layers that transfer: each one's Group, put to use by `la-class`.

Usage, after ``layersim align`` and ``layersim extract`` in the workspace::

    python reports/ranking_definitions.py WORKSPACE

In every direction and speaker fold, the layers are ranked by each definition on what the fold may see, and
`la-class` with its defaults is anchored at the Group (and at the Worst). Printed are the UARs over all
folds, and Spearman's rho between the layers' scores (mean over folds) and what `la-class` comes to on each
layer alone. The emotion-specific definitions read labels of the target's train speakers, the label-free ones
none. Everything is deterministic.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from layersim.adaptation.class_alignment import ClassAlignmentConfig, learn_class_aligned
from layersim.adaptation.pair import read_pair
from layersim.adaptation.task import guesses
from layersim.comparison.protocols import cross_corpus
from layersim.comparison.trial import Trial
from layersim.features.dataset import CorpusFeatures, open_corpus
from layersim.metrics import spearman, uar
from layersim.similarity.rank import RankConfig, rank_layers
from layersim.workspace import Workspace

METRICS, FEATURES = ("pairwise", "centroid"), ("raw", "centred", "zscored")
LEVELS: dict[str, dict[str, Any]] = {
    "utterance": {}, "phoneme": {"level": "phoneme"}, "label-free": {"label_free": True},
}  # fmt: skip
QUICK = {"bootstraps": 0, "permutations": 0, "probe_limit": 0}
Definition = tuple[str, str, str]


def compare_direction(
    source: CorpusFeatures, target: CorpusFeatures
) -> tuple[dict[tuple[Definition, str], float], dict[Definition, float]]:
    """Return the UAR of each definition's Group and Worst, and each definition's rho."""
    definitions: list[Definition] = list(itertools.product(LEVELS, METRICS, FEATURES))
    truth: list[str] = []
    said: dict[tuple[Definition, str], list[str]] = {}
    scores: dict[Definition, list[list[float]]] = {}
    alone: dict[str, list[str]] = {}
    classes: Sequence[str] = ()
    for trial in cross_corpus(source, target):
        classes = trial.classes
        known: dict[tuple[str, ...], list[str]] = {}
        for definition in definitions:
            level, metric, features = definition
            asked = {"metric": metric, "features": features, **QUICK, **LEVELS[level]}
            ranking = rank_layers(trial.source, trial.target, RankConfig.model_validate(asked))
            layers = [layer for layer in ranking.layers if layer.layer != "0"]
            scores.setdefault(definition, []).append([layer.score.value or 0.0 for layer in layers])
            for name, members in (("Group", ranking.sets.group), ("Worst", ranking.sets.worst)):
                said.setdefault((definition, name), []).extend(_predict(trial, tuple(members), known))
        for layer in layers:
            alone.setdefault(layer.layer, []).extend(_predict(trial, (layer.layer,), known))
        truth += _truth(trial)
    uars = {key: uar(truth, guess, classes) for key, guess in said.items()}
    each = [uar(truth, guess, classes) for guess in alone.values()]
    rhos = {key: spearman(np.mean(rows, axis=0), each)[0] for key, rows in scores.items()}
    return uars, rhos


def _predict(trial: Trial, layers: tuple[str, ...], known: dict[tuple[str, ...], list[str]]) -> list[str]:
    in_order = tuple(layer for layer in trial.source.cache.layers if layer in layers)
    if in_order not in known:
        data = read_pair(trial.source, trial.target, in_order, trial.classes, "speaker")
        learned = learn_class_aligned(data.task(trial.classes), ClassAlignmentConfig(), 0)
        known[in_order] = guesses(learned.probabilities(data.target_test.features), trial.classes)
    return known[in_order]


def _truth(trial: Trial) -> list[str]:
    data = read_pair(trial.source, trial.target, trial.source.cache.layers[-1:], trial.classes, "source")
    return list(data.target_test.emotions)


def main() -> None:
    """Compare all definitions and print Markdown."""
    parser = argparse.ArgumentParser(description="Put every definition's Group to use.")
    parser.add_argument("workspace", type=Path)
    workspace = Workspace.read(parser.parse_args().workspace.resolve())
    corpora = {name: open_corpus(workspace, name) for name in workspace.corpora}
    directions = list(itertools.permutations(corpora, 2))
    found = [compare_direction(corpora[source], corpora[target]) for source, target in directions]
    names = [f"{source} → {target}" for source, target in directions]
    print(_row(["level", "similarity", "features", "set", *names, "mean", "mean rho"]))
    print(_row(["---"] * (len(names) + 6)))
    for definition, name in found[0][0]:
        shares = [uars[definition, name] for uars, _ in found]
        rho = float(np.mean([rhos[definition] for _, rhos in found]))
        cells = [f"{100 * share:.1f}" for share in [*shares, float(np.mean(shares))]]
        print(_row([*definition, name, *cells, f"{rho:+.2f}" if name == "Group" else ""]))


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()

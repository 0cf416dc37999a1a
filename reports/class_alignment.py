"""Which settings of `la-class` do what, and what they come to when chosen without a target's labels.

Usage, after ``layersim align`` and ``layersim extract`` in the workspace::

    python reports/class_alignment.py WORKSPACE

Every setting is tried in every direction between the workspace's corpora, on speaker folds of the target
whose test speakers nothing has heard. To try many settings on the corpora that one reports on flatters them.
So the last lines choose for each direction the setting with the best mean over the directions to *other*
targets: no label of the target takes part in that choice. Everything is deterministic; there are no seeds.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from layersim.adaptation.batches import class_numbers
from layersim.adaptation.class_alignment import balanced, estimate, principal_axes
from layersim.adaptation.pair import read_pair
from layersim.adaptation.settings import Standardise
from layersim.comparison.protocols import cross_corpus
from layersim.features.dataset import CorpusFeatures, open_corpus
from layersim.metrics import uar
from layersim.similarity.rank import RankConfig, rank_layers
from layersim.workspace import Workspace

COMPONENTS = 200
SHRINKAGE, ITERATIONS, BALANCE, WEIGHT = (0.3, 0.6, 0.9), (0, 5, 10), (0.0, 0.5, 1.0), (1.0, 3.0)
Array = NDArray[np.float64]


@dataclass(frozen=True, order=True)
class Tried:
    """One setting."""

    standardise: str
    layers: str
    shrinkage: float
    iterations: int
    balance: float = 0.0
    weight: float = 1.0


@dataclass(frozen=True)
class Sides:
    """A trial's rows on the principal axes of both corpora."""

    source: Array
    labels: Array  # (N, C), balanced
    target: Array
    test: Array


def settings() -> Iterator[tuple[float, int, float, float]]:
    """Give every setting once; without rounds nothing is said of the target."""
    for shrinkage, iterations in itertools.product(SHRINKAGE, ITERATIONS):
        for balance, weight in itertools.product(BALANCE, WEIGHT) if iterations else [(0.0, 1.0)]:
            yield shrinkage, iterations, balance, weight


def predict(
    sides: Sides, shrinkage: float, iterations: int, balance: float, weight: float
) -> NDArray[np.int64]:
    """Return the class number of each test row, as `learn_class_aligned` would."""
    model = estimate(sides.source, sides.labels, shrinkage)
    for _ in range(iterations):
        shares = balanced(model.posterior(sides.target), balance)
        weighed = shares * (weight * sides.labels.sum() / len(shares))
        rows, weights = np.concatenate([sides.source, sides.target]), np.concatenate([sides.labels, weighed])
        model = estimate(rows, weights, shrinkage)
    return np.asarray(model.posterior(sides.test).argmax(axis=1))


def try_direction(source: CorpusFeatures, target: CorpusFeatures) -> dict[Tried, float]:
    """Return the UAR of every setting over all folds of the target."""
    guesses: dict[Tried, list[str]] = {}
    truth: list[str] = []
    for trial in cross_corpus(source, target):
        group = rank_layers(
            trial.source, trial.target, RankConfig(label_free=True, bootstraps=0, permutations=0)
        ).sets.group
        blocks = [layer for layer in source.cache.layers if layer != "0"]
        sets = {"label-free Group": group, "all": blocks, "top": blocks[-1:]}
        ways: tuple[Standardise, ...] = ("speaker", "corpus")
        for standardise, (name, layers) in itertools.product(ways, sets.items()):
            data = read_pair(trial.source, trial.target, layers, trial.classes, standardise)
            one, two, three = (
                part.features.flatten(start_dim=1).double().numpy()
                for part in (data.source_train, data.target_train, data.target_test)
            )
            centre, axes = principal_axes(np.concatenate([one, two]), COMPONENTS)
            known = np.eye(len(trial.classes))[
                class_numbers(data.source_train.emotions, trial.classes).numpy()
            ]
            labels = known * (len(known) / len(trial.classes) / known.sum(axis=0))
            sides = Sides((one - centre) @ axes, labels, (two - centre) @ axes, (three - centre) @ axes)
            for asked in settings():
                found = [trial.classes[number] for number in predict(sides, *asked)]
                guesses.setdefault(Tried(standardise, name, *asked), []).extend(found)
        truth += data.target_test.emotions
    return {tried: uar(truth, guess, trial.classes) for tried, guess in guesses.items()}


def main() -> None:
    """Try everything and print Markdown."""
    parser = argparse.ArgumentParser(description="Try the settings of la-class in every direction.")
    parser.add_argument("workspace", type=Path)
    workspace = Workspace.read(parser.parse_args().workspace.resolve())
    corpora = {name: open_corpus(workspace, name) for name in workspace.corpora}
    directions = list(itertools.permutations(corpora, 2))
    found = {pair: try_direction(corpora[pair[0]], corpora[pair[1]]) for pair in directions}
    tried = sorted(next(iter(found.values())))
    names = [f"{source} → {target}" for source, target in directions]
    head = ["statistics of", "layers", "shrinkage", "rounds", "balance", "weight"]
    print(_row([*head, *names, "mean"]), _row(["---"] * (len(head) + len(names) + 1)), sep="\n")
    for one in tried:
        scores = [found[pair][one] for pair in directions]
        print(_row([*map(str, vars(one).values()), *_per_cent([*scores, float(np.mean(scores))])]))
    print("\nChosen for each direction by the mean over the directions to other targets:\n")
    for title, candidates in (
        ("of the speaker-standardised label-free Group", [
            one for one in tried if (one.standardise, one.layers) == ("speaker", "label-free Group")
        ]),
        ("of all", tried),
    ):  # fmt: skip
        chosen = [_choose(candidates, found, pair) for pair in directions]
        scores = [found[pair][one] for pair, one in zip(directions, chosen, strict=True)]
        print(_row([f"{title} ({len(candidates)} settings)", *_per_cent([*scores, float(np.mean(scores))])]))


def _choose(
    candidates: list[Tried], found: dict[tuple[str, str], dict[Tried, float]], direction: tuple[str, str]
) -> Tried:
    others = [pair for pair in found if pair[1] != direction[1]]
    return max(candidates, key=lambda one: np.mean([found[pair][one] for pair in others]))


def _per_cent(scores: list[float]) -> list[str]:
    return [f"{100 * score:.1f}" for score in scores]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()

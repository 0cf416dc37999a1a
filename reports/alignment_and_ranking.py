"""What alignment error does to a ranking: the same pair from hand labels and from the built-in aligner.

Usage, after ``layersim extract`` in both workspaces::

    python reports/alignment_and_ranking.py HAND BUILTIN SOURCE TARGET

``HAND`` is a workspace whose SOURCE has phone times set by hand, ``BUILTIN`` one whose SOURCE was aligned by
``layersim align``; TARGET is read from ``BUILTIN`` for both, so that nothing else differs. Printed for each
definition: the layers' scores, the sets, Kendall's tau-b between the two over the encoder's blocks (layer 0
left out), and how far the two scores are apart: the mean absolute difference over layers, in per cent of the
mean half-width of the scores' 95 % intervals over speakers. At 100 % alignment error would weigh as much as
the choice of speakers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from layersim.features.dataset import CorpusFeatures, open_corpus
from layersim.similarity.agreement import kendall_tau
from layersim.similarity.rank import rank_layers
from layersim.similarity.ranking import Ranking
from layersim.similarity.settings import Features, RankConfig
from layersim.workspace import Workspace

FEATURES: tuple[Features, ...] = ("raw", "centred", "zscored")


def main() -> None:
    """Rank both ways and print Markdown."""
    parser = argparse.ArgumentParser(description="Compare a ranking from hand labels with one from builtin.")
    parser.add_argument("hand", type=Path)
    parser.add_argument("builtin", type=Path)
    parser.add_argument("source")
    parser.add_argument("target")
    arguments = parser.parse_args()
    hand, builtin = (Workspace.read(folder.resolve()) for folder in (arguments.hand, arguments.builtin))
    target = open_corpus(builtin, arguments.target)
    sources = {
        "hand": open_corpus(hand, arguments.source),
        "builtin": open_corpus(builtin, arguments.source),
    }
    print(f"\n### {arguments.source} → {arguments.target}\n")
    settings = {
        f"{'label-free' if label_free else 'by emotion'}, {features}": RankConfig(
            level="phoneme", label_free=label_free, features=features, permutations=0, probe_limit=0
        )
        for label_free in (False, True)
        for features in FEATURES
    }
    rows: list[list[str]] = []
    for name, config in settings.items():
        rankings = {label: rank_layers(source, target, config) for label, source in sources.items()}
        first, second = (np.array(_scores(ranking)) for ranking in rankings.values())
        agreement = [f"{float(kendall_tau(first, second)):+.2f}", _apart(first, second, rankings)]
        rows += [[name, label, *_cells(ranking), *agreement] for label, ranking in rankings.items()]
    layers = [layer.layer for layer in rankings["hand"].layers]
    heading = ["definition", "phones", *layers, "Group", "Worst", "vowels", "segments", "tau", "apart"]
    print("| " + " | ".join(heading) + " |\n" + "| --- " * len(heading) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(f"\nVowels of {arguments.source} pooled: " + ", ".join(map(_pooled, sources.items())))


def _scores(ranking: Ranking) -> list[float]:
    return [layer.score.value or 0.0 for layer in ranking.layers if layer.layer != "0"]


def _apart(first: NDArray[np.float64], second: NDArray[np.float64], rankings: dict[str, Ranking]) -> str:
    """Mean difference of two layer scores against the uncertainty that speakers give them."""
    spans = [layer.score.interval for ranking in rankings.values() for layer in ranking.layers[1:]]
    widths = [(span.high - span.low) / 2 for span in spans if span is not None]
    return f"{100 * np.abs(first - second).mean() / np.mean(widths):.0f} %" if widths else "–"


def _cells(ranking: Ranking) -> list[str]:
    scores = ["–" if layer.score.value is None else f"{layer.score.value:.3f}" for layer in ranking.layers]
    counts = ranking.counts
    vowels = counts.loc[~counts["refused"], "vowel"].nunique()
    sets = (", ".join(ranking.sets.group), ", ".join(ranking.sets.worst))
    return [*scores, *sets, str(vowels), f"{int(counts['source'].sum()):,}"]


def _pooled(item: tuple[str, CorpusFeatures]) -> str:
    name, corpus = item
    return f"{len(corpus.cache.phones):,} ({name})"


if __name__ == "__main__":
    main()

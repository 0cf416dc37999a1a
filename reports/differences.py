"""Differences between two methods of a finished comparison, over all its directions together.

Usage, after ``layersim compare``::

    python reports/differences.py WORKSPACE/compare/folds la-class:cc-spk-all la:la-worst ...

For each pair: the difference of the mean UARs in points, its 95 % interval over speakers, and the p-value of
a paired permutation test over whole speakers; see `layersim.metrics`. The p-values are not corrected for how
many pairs are asked for.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from layersim.adaptation.run import read_predictions
from layersim.comparison.table import Column
from layersim.comparison.tested import Results, Unit
from layersim.metrics import mean_uar_difference


def main() -> None:
    """Print one line per pair."""
    parser = argparse.ArgumentParser(description="Compare two methods over all directions.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("pairs", nargs="+", metavar="METHOD:METHOD")
    arguments = parser.parse_args()
    table = pd.read_csv(arguments.folder / "results.csv", keep_default_na=False)
    columns = ("method", "encoder", "source", "target", "seed", "folder")
    rows = zip(*(table[name].tolist() for name in columns), strict=True)
    folders = {Unit(*row[:5]): arguments.folder / row[5] for row in rows}
    for pair in arguments.pairs:
        names = pair.split(":")
        results = Results(table[table["method"].isin(names)], lambda unit: read_predictions(folders[unit]))
        for encoder in results.encoders:
            found = [
                [results.find(name, Column(direction, encoder)) for direction in results.directions]
                for name in names
            ]
            first, second = ([tested.runs for tested in side if tested is not None] for side in found)
            one = mean_uar_difference(first, second, replicates=2000)
            span = one.interval and f"({100 * one.interval.low:+.1f} to {100 * one.interval.high:+.1f})"
            print(f"{names[0]} - {names[1]}, {encoder}: {100 * one.value:+.1f} {span}, p {one.p}")


if __name__ == "__main__":
    main()

"""What was tested: results by method, direction and encoder, each with its predictions at hand.

Conventions
-----------
- A results table has one row per run: ``method, encoder, source, target, seed, uar`` among its columns, with
  shares 0..1. Where a run's test set is made of folds, its row and its predictions are of all folds together.
- A run's predictions have one row per utterance: ``utterance, speaker, emotion`` (the truth) and
  ``predicted``. All runs of a direction were tested on the same utterances.
- A method that reads no encoder has the empty text as its encoder; its scores stand in every encoder's
  column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from layersim.comparison.table import Column
from layersim.errors import LayersimError
from layersim.metrics import MethodRuns

NEEDED = ("method", "encoder", "source", "target", "seed", "uar")
_OF_AN_UTTERANCE = ["utterance", "speaker", "emotion"]
_ROUNDING = 1e-6  # results may have been written with fewer digits


class Unit(NamedTuple):
    """One run: what a comparison trains, keeps and resumes."""

    method: str
    encoder: str
    source: str
    target: str
    seed: int

    def __str__(self) -> str:
        """Name it for people."""
        encoder = f", {self.encoder}" if self.encoder else ""
        return f"{self.method}, {self.source} → {self.target}{encoder}, seed {self.seed}"


Predictions = Callable[[Unit], pd.DataFrame]
"""Reads the predictions of a run's test set."""


@dataclass(frozen=True)
class Tested:
    """One method in one direction with one encoder.

    Attributes
    ----------
    uars : dict
        Seed to UAR.
    utterances : DataFrame
        ``utterance, speaker, emotion`` of the test set.
    """

    runs: MethodRuns
    uars: dict[int, float]
    utterances: pd.DataFrame


class Results:
    """All that was tested, found by method and column.

    Attributes
    ----------
    methods, encoders, directions : list of str
        In order of their first row.
    """

    def __init__(self, table: pd.DataFrame, predictions: Predictions) -> None:
        """Read the predictions of every run.

        Raises
        ------
        ValueError
            If a column is missing or there is no row.
        LayersimError
            If a run stands there twice, was tested on other utterances than the rest of its direction, or
            its UAR is not that of its predictions.
        """
        missing = [name for name in NEEDED if name not in table.columns]
        if missing or table.empty:
            raise ValueError(f"results: expected rows with columns {', '.join(NEEDED)}; missing: {missing}")
        rows = {
            Unit(str(method), str(encoder), str(source), str(target), int(seed)): float(score)
            for method, encoder, source, target, seed, score in zip(
                *(table[name].tolist() for name in NEEDED), strict=True
            )
        }
        if len(rows) < len(table):
            raise LayersimError(
                f"the results have {len(table)} rows of {len(rows)} runs: a run may stand there once. Remove "
                "the repeated rows, or compare again with --force."
            )
        groups: dict[tuple[str, Column], list[Unit]] = {}
        for unit in rows:
            column = Column(f"{unit.source} → {unit.target}", unit.encoder)
            groups.setdefault((unit.method, column), []).append(unit)
        self.methods = list(dict.fromkeys(method for method, _ in groups))
        self.directions = list(dict.fromkeys(column.direction for _, column in groups))
        encoders = dict.fromkeys(column.encoder for _, column in groups)
        self.encoders = [name for name in encoders if name] or [""]
        self._tested: dict[tuple[str, Column], Tested] = {}
        first: dict[str, tuple[Unit, pd.DataFrame]] = {}
        for (method, column), units in groups.items():
            units.sort(key=lambda unit: unit.seed)
            tables = [predictions(unit).sort_values("utterance", ignore_index=True) for unit in units]
            reference = first.setdefault(column.direction, (units[0], tables[0]))
            for unit, predicted in zip(units, tables, strict=True):
                _require_same_utterances(unit, predicted, *reference)
            # "casia (30 labelled)" has the speakers of casia: they are drawn in both together.
            tested = Tested(
                _method_runs(tables, units[0].target.partition(" (")[0]),
                {unit.seed: rows[unit] for unit in units},
                tables[0][_OF_AN_UTTERANCE],
            )
            _require_same_uar(units, tested)
            self._tested[method, column] = tested

    def find(self, method: str, column: Column) -> Tested | None:
        """Return what was tested, or None; a method without an encoder is found in every column."""
        found = self._tested.get((method, column))
        return found or self._tested.get((method, Column(column.direction, "")))

    def seeds(self, method: str) -> set[int]:
        """Return the seeds that a method was run with, in any column."""
        return {seed for (name, _), tested in self._tested.items() if name == method for seed in tested.uars}

    def utterances(self, direction: str) -> pd.DataFrame:
        """Return the test set of a direction."""
        return next(
            tested.utterances for (_, column), tested in self._tested.items() if column.direction == direction
        )


def _method_runs(tables: Sequence[pd.DataFrame], corpus: str) -> MethodRuns:
    emotions = tables[0]["emotion"].tolist()
    return MethodRuns(
        truth=emotions,
        guesses=[table["predicted"].tolist() for table in tables],
        speakers=tables[0]["speaker"].tolist(),
        labels=sorted(set(emotions)),
        corpus=corpus,
    )


def _require_same_utterances(
    unit: Unit, predicted: pd.DataFrame, other: Unit, reference: pd.DataFrame
) -> None:
    if not predicted[_OF_AN_UTTERANCE].equals(reference[_OF_AN_UTTERANCE]):
        apart = len(set(predicted["utterance"]) ^ set(reference["utterance"]))
        how = f"{apart} utterances are in one only" if apart else "speakers or emotions differ"
        raise LayersimError(
            f"{unit}: not tested on the same utterances as {other}: {how}. Methods are compared on one test "
            "set: compare again both with the same manifests, with --force."
        )


def _require_same_uar(units: Sequence[Unit], tested: Tested) -> None:
    expected = sum(tested.uars.values()) / len(tested.uars)
    if abs(expected - tested.runs.uar) > _ROUNDING:
        seeds = ", ".join(str(unit.seed) for unit in units)
        raise LayersimError(
            f"{units[0]}: over the seeds {seeds} the results say a mean UAR of {expected:.6f}, the "
            f"predictions give {tested.runs.uar:.6f}. One of them is of another run: compare again with "
            "--force."
        )

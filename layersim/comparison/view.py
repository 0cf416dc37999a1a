"""A comparison as its figures take it: one encoder at a time, its directions, and the words of captions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from layersim.comparison.cells import MEAN
from layersim.comparison.job import Job
from layersim.comparison.running import Units
from layersim.comparison.situations import Situation
from layersim.comparison.table import Row, Table
from layersim.comparison.tested import Unit
from layersim.workspace import encoder_slug

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Values = NDArray[np.float64]


class Drawn(NamedTuple):
    """A figure, its file's name without a suffix, and what stands under it."""

    name: str
    figure: Figure
    caption: str


class Scores(NamedTuple):
    """Some columns of a table: shares 0..1, each array of shape (columns, rows); NaN where there is none."""

    directions: list[str]
    rows: list[str]
    uar: Values
    low: Values
    high: Values


@dataclass(frozen=True)
class View:
    """What was compared under one encoder.

    Attributes
    ----------
    alone : bool
        Whether it is the only encoder: figures are then named without it.
    jobs : tuple of Job
        Those under this encoder.
    """

    units: Units
    encoder: str
    alone: bool
    jobs: tuple[Job, ...]

    def name(self, *words: str) -> str:
        """Name a figure."""
        return "-".join([*words, *([] if self.alone else [self.encoder])])

    @cached_property
    def situations(self) -> list[Situation]:
        """All directions, in order."""
        return list(dict.fromkeys(job.situation for job in self.jobs))

    @cached_property
    def unlabelled(self) -> list[Situation]:
        """One direction per source and target: of several numbers of labelled clips the first."""
        firsts: dict[tuple[str, str], Situation] = {}
        for situation in self.situations:
            firsts.setdefault((situation.source, situation.target), situation)
        return list(firsts.values())

    def find(self, method: str, situation: Situation) -> Job | None:
        """Return the job of a method in a direction, or None."""
        return next((job for job in self.jobs if (job.name, job.situation) == (method, situation)), None)

    def metrics(self, job: Job) -> list[dict[str, Any]]:
        """Read what each seed of a job came to."""
        situation = job.situation
        return [
            self.units.metrics(Unit(job.name, self.encoder, situation.source, situation.tested, seed))
            for seed in job.seeds
        ]

    def test(self, situation: Situation) -> dict[str, Any]:
        """Read the scores of a direction's first run: its counts and its chance are those of all."""
        job = next(job for job in self.jobs if job.situation == situation)
        test: dict[str, Any] = self.metrics(job)[0]["test"]
        return test

    def speakers(self, situations: Sequence[Situation]) -> str:
        """Say how many speakers of each target were tested, in words.

        Such as ``test speakers (english: 24, chinese: 4)``.
        """
        counts = {situation.target: int(self.test(situation)["speakers"]) for situation in situations}
        return f"test speakers ({', '.join(f'{name}: {count}' for name, count in counts.items())})"

    def chances(self, directions: Sequence[str]) -> list[float]:
        """Return the UAR of guessing in each direction; of the mean, the mean over directions."""
        known = {direction(one): float(self.test(one)["chance"]["uar"]) for one in self.situations}
        known[MEAN] = float(np.mean(list(known.values())))
        return [known[name] for name in directions]

    def scores(self, table: Table) -> Scores:
        """Take a table's columns of this encoder; a row that was not run in any of them is left out."""
        places = [place for place, column in enumerate(table.columns) if column.encoder == self.encoder]
        rows = [row for row in table.rows() if any(row.cells[place].value is not None for place in places)]
        return Scores(
            [table.columns[place].direction for place in places],
            [row.name for row in rows],
            *(_numbers(rows, places, name) for name in ("value", "low", "high")),
        )


def views(units: Units) -> list[View]:
    """Look at a comparison encoder by encoder."""
    jobs: dict[str, list[Job]] = {}
    for job in units.jobs:
        jobs.setdefault(encoder_slug(job.workspace.encoder), []).append(job)
    return [View(units, encoder, len(jobs) == 1, tuple(of_it)) for encoder, of_it in jobs.items()]


def direction(situation: Situation) -> str:
    """Name a direction as the tables do."""
    return f"{situation.source} → {situation.tested}"


def seed_words(jobs: Iterable[Job]) -> str:
    """Say of how many seeds the scores of some jobs are."""
    counts = sorted({len(job.seeds) for job in jobs})
    if counts == [1]:
        return "one seed"
    alone = " (one where a seed bears on nothing)" if counts[0] == 1 else ""
    return f"mean of {counts[-1]} seeds{alone}"


def interval_words(view: View, low: Values | None, situations: Sequence[Situation]) -> str:
    """Say over whom the scores of some directions are, and what their intervals are, if there are any."""
    speakers = view.speakers(situations)
    if low is None or not np.isfinite(low).any():
        return f", over the target's {speakers}, too few for intervals"
    return f", with 95 % intervals over the target's {speakers}"


def pair_slug(situation: Situation) -> str:
    """Name a direction in a file's name, whatever the number of labelled clips."""
    return f"{situation.source}-to-{situation.target}"


def parts(count: int, most: int) -> list[slice]:
    """Divide so many things into as few parts as hold ``most`` at most, of about the same size.

    >>> parts(7, 7), parts(9, 4)
    ([slice(0, 7, None)], [slice(0, 3, None), slice(3, 6, None), slice(6, 9, None)])
    """
    return [
        slice(int(part[0]), int(part[-1]) + 1) for part in np.array_split(np.arange(count), -(-count // most))
    ]


def numbered(place: int) -> list[str]:
    """Tell the further parts of a figure from the first: ``methods``, ``methods-2``."""
    return [str(place + 1)] if place else []


def _numbers(rows: Sequence[Row], places: Sequence[int], name: str) -> Values:
    found = [[getattr(row.cells[place], name) for row in rows] for place in places]
    return np.array(found, dtype=np.float64).reshape(len(places), len(rows))

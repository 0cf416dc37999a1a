"""A search on disk: which settings to try next, what those tried came to, and going on after a kill.

Conventions
-----------
- The trials stand in `JOURNAL`, a text file of optuna's (``JournalStorage``) that its own tools read too.
- What the next trial tries depends on the search's seed, on how many trials are finished, and on what these
  tried and came to; on nothing else. The sampler is seeded anew before every trial for that. So a search
  that was killed and taken up again finishes the same trials as one that was not, as far as training gives
  the same scores again and optuna and numpy are of the same versions. Only their numbers differ: the trial
  that was running when the search was killed is marked as failed and keeps its number.
- The first trial is the settings as they stand, where the search space has them: of equals the first is
  best, so that nothing is changed for nothing.
- A trial whose settings cannot be trained with (a loss that is not finite) is finished too, and worse than
  all others; it is not tried again.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layersim.adaptation.batches import streams
from layersim.comparison.search_spaces import Dimension, Range, Space
from layersim.errors import LayersimError
from layersim.workspace import write_bytes

JOURNAL = "study.log"
Scores = Mapping[str, tuple[float, ...]]  # by name, one per seed


@dataclass(frozen=True)
class Tried:
    """A finished trial.

    Attributes
    ----------
    number : int, >= 0
        As optuna counts; those that were interrupted have numbers too.
    params : dict
        What was tried, setting by setting.
    scores : mapping or None
        None if these settings could not be trained with.
    reason : str
        Why not.
    """

    number: int
    params: dict[str, Any]
    scores: Scores | None
    reason: str = ""

    def mean(self, score: str) -> float:
        """Return the mean of a score over the seeds."""
        return statistics.fmean(self._scores[score])

    def spread(self, score: str) -> float | None:
        """Return the standard deviation of a score over the seeds; None with one."""
        values = self._scores[score]
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def _scores(self) -> Scores:
        if self.scores is None:
            raise ValueError(f"trial {self.number} has no scores: {self.reason}")
        return self.scores


class Search:
    """The trials of one folder, and the next one.

    Parameters
    ----------
    folder : Path
        What stands in it is gone on with.
    start : mapping
        The settings as they stand.
    startup : int, >= 1
        Trials before what they came to counts; those after the first are drawn at random.

    Raises
    ------
    LayersimError
        If optuna is not installed.
    """

    def __init__(self, folder: Path, space: Space, start: Mapping[str, Any], startup: int, seed: int) -> None:
        self._optuna = import_optuna()
        self._space, self._startup, self._seed = dict(space), startup, seed
        self._start = {name: start[name] for name, one in space.items() if start.get(name) in one}
        self._states = self._optuna.trial.TrialState
        folder.mkdir(parents=True, exist_ok=True)
        journal = folder / JOURNAL
        _mend(journal)
        with _quiet(self._optuna):
            storage = self._optuna.storages.JournalStorage(
                self._optuna.storages.journal.JournalFileBackend(str(journal))
            )
            self._study = self._optuna.create_study(
                storage=storage, study_name=folder.name, direction="maximize", load_if_exists=True
            )
        for trial in self._trials(self._states.RUNNING):
            self._study.tell(trial.number, state=self._states.FAIL)

    @property
    def tried(self) -> list[Tried]:
        """Every finished trial, in order."""
        found = []
        for trial in self._trials(self._states.COMPLETE, self._states.PRUNED):
            scores = trial.user_attrs.get("scores")
            found.append(
                Tried(
                    trial.number,
                    self._settings(trial.params),
                    scores and {name: tuple(values) for name, values in scores.items()},
                    trial.user_attrs.get("reason", ""),
                )
            )
        return found

    @property
    def interrupted(self) -> int:
        """How many trials were cut short by a kill."""
        return len(self._trials(self._states.FAIL))

    def begin(self) -> tuple[Any, dict[str, Any]]:
        """Begin a trial: return what to finish it with, and the settings to try."""
        finished = len(self._trials(self._states.COMPLETE, self._states.PRUNED))
        if not finished and self._start and not self._trials(self._states.WAITING):
            self._study.enqueue_trial(self._start)
        seed = streams(self._seed, finished + 1)[finished]
        self._study.sampler = self._optuna.samplers.TPESampler(seed=seed, n_startup_trials=self._startup)
        trial = self._study.ask({name: self._distribution(one) for name, one in self._space.items()})
        return trial, self._settings(trial.params)

    def finish(self, trial: Any, scores: Scores, score: str) -> None:
        """Finish a trial; the mean of ``score`` is what it came to."""
        trial.set_user_attr("scores", {name: list(values) for name, values in scores.items()})
        self._study.tell(trial, statistics.fmean(scores[score]))

    def give_up(self, trial: Any, reason: str) -> None:
        """Finish a trial whose settings cannot be trained with."""
        trial.set_user_attr("reason", reason)
        self._study.tell(trial, state=self._states.PRUNED)

    def _trials(self, *states: Any) -> list[Any]:
        found: list[Any] = self._study.get_trials(deepcopy=False, states=states)
        return found

    def _settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {name: one.rounded(params[name]) for name, one in self._space.items()}

    def _distribution(self, dimension: Dimension) -> Any:
        distributions = self._optuna.distributions
        if not isinstance(dimension, Range):
            return distributions.CategoricalDistribution(dimension.values)
        kind = distributions.IntDistribution if dimension.whole else distributions.FloatDistribution
        return kind(dimension.low, dimension.high, log=dimension.log)


def import_optuna() -> Any:
    """Import optuna, which is an extra.

    Raises
    ------
    LayersimError
        If it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise LayersimError(
            f"layersim tune needs optuna, which cannot be imported ({error}). Install it: "
            "pip install 'layersim[tune]'."
        ) from None
    return optuna


def _mend(journal: Path) -> None:
    """Cut off a line that a kill left half written, and drop that run's lock: optuna stumbles over both."""
    journal.with_name(f"{JOURNAL}.lock").unlink(missing_ok=True)
    if journal.is_file():
        content = journal.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            write_bytes(journal, whole)


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Keep optuna from announcing that a study was made."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)

"""Trying a method with settings: what it may see, what it is scored by, and one trial after the other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from layersim.adaptation.evaluate import predict_part
from layersim.adaptation.method import Method
from layersim.adaptation.opening import read_method
from layersim.adaptation.pair import PairData
from layersim.comparison.label_free import prediction_entropy, soft_neighbourhood_density
from layersim.comparison.search import Search
from layersim.comparison.settings import Objective, TuneConfig
from layersim.errors import LayersimError
from layersim.metrics import uar
from layersim.settings import Settings
from layersim.workspace import Progress, no_progress

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures

OBJECTIVES: dict[Objective, str] = {
    "source-validation": "UAR on the source's validation speakers",
    "entropy": "negative mean entropy of the predictions for the unlabelled target (nats)",
    "snd": "soft neighbourhood density of the predictions for the unlabelled target (nats)",
}
LARGEST = "largest_guessed_share"
SCORES = (*OBJECTIVES, LARGEST)  # of every run, whatever the objective
HOPELESS = 3  # trials that could not be trained, and none that could, after which settings are not to blame


def read_for_search(
    method: Method, source: CorpusFeatures, target: CorpusFeatures, classes: Sequence[str]
) -> PairData:
    """Read what a method learns from: of the target its train split alone, without its emotions.

    There is no test set. Reading a pair asks for one; it is given an utterance per class of the *source's*
    train split in its place, which nothing looks at.
    """
    seen = source.restrict("train", "validation")
    table = seen.table[(seen.table["split"] == "train") & seen.table["emotion"].isin(list(classes))]
    stand_in = replace(source, table=table.groupby("emotion").head(1).assign(split="test"))
    return read_method(method, (seen, target.restrict("train").without_labels()), classes, stand_in)


def trial_scores(method: Method, data: PairData, classes: Sequence[str], seed: int) -> dict[str, float]:
    """Train once and return every objective, the higher the better, and `LARGEST`.

    The last is the share of the target's utterances in the class that is guessed most, 0..1.
    """
    learned = method.learn(data.task(classes), seed)
    validated = predict_part(learned.probabilities, data.source_validation, classes)
    guessed = learned.probabilities(data.target_train.features)
    return {
        "source-validation": float(uar(validated["emotion"].tolist(), validated["predicted"].tolist())),
        "entropy": -prediction_entropy(guessed),
        "snd": soft_neighbourhood_density(guessed),
        LARGEST: float(pd.Series(guessed.argmax(axis=1)).value_counts(normalize=True).max()),
    }


def with_settings(method: Method, params: Mapping[str, Any]) -> Method:
    """Return the method with some of its settings changed."""
    settings = method.settings
    values = {**settings.config.model_dump(), **params}
    return replace(method, settings=Settings(type(settings.config).model_validate(values), settings.origins))


def run_trials(
    search: Search,
    method: Method,
    data: PairData,
    classes: Sequence[str],
    config: TuneConfig,
    progress: Progress = no_progress,
) -> list[str]:
    """Work on the trials that are missing; return what a reader should know of how it went.

    Raises
    ------
    LayersimError
        If the first trials all fail to train.
    """
    began, done = time.monotonic(), len(search.tried)
    progress("tuning", done, config.trials)
    while done < config.trials:
        if config.timeout is not None and time.monotonic() - began >= config.timeout:
            return [f"{config.trials - done} of {config.trials} trials are left: the time was over (timeout)"]
        trial, params = search.begin()
        tried, runs = with_settings(method, params), []
        try:
            for number in range(config.seeds):
                runs.append(trial_scores(tried, data, classes, config.seed + number))
                progress("tuning", done + (number + 1) / config.seeds, config.trials)
        except LayersimError as error:
            search.give_up(trial, str(error))
            _refuse_hopeless(search, str(error))
        else:
            scores = {name: tuple(run[name] for run in runs) for name in SCORES}
            search.finish(trial, scores, config.objective)
        done += 1
        progress("tuning", done, config.trials)
    return []


def _refuse_hopeless(search: Search, said: str) -> None:
    tried = search.tried
    if len(tried) >= HOPELESS and all(one.scores is None for one in tried):
        raise LayersimError(f"none of the first {len(tried)} trials could be trained. The last said: {said}")

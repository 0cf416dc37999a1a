"""Probe an encoder, networks of its shape with random weights, and cepstra; gather the scores.

The document (``evidence.json``) holds per task and speech: what it is, chance, and per set of features the
scores by name. Random networks stand as one set: each score is their mean, ``low`` and ``high`` their range.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from layersim.encoders.checkpoint import find_checkpoint
from layersim.encoders.load import load_encoder
from layersim.provenance import library_versions
from mini_probes.features import (
    Features,
    cepstral_features,
    count_weights,
    encoder_features,
    random_twin,
)
from mini_probes.probes import CANDIDATES, FIXED, gain
from mini_probes.speech import LANGUAGES, ProbeSpeech, real_speech, synthetic_speech
from mini_probes.tasks import ALL, BEST, CHOSEN, MEAN, Scores, emotion_scores, phone_scores, speaker_scores

ENCODER, RANDOM, CEPSTRA = "encoder", "random weights", "MFCC statistics"


@dataclass(frozen=True)
class Task:
    """One question asked of speech, and what its answers are measured in."""

    name: str
    measure: str
    probe: Callable[[Features, ProbeSpeech], Scores]


PHONES = Task("phones", "balanced accuracy", phone_scores)
SPEAKERS = Task("speakers", "balanced accuracy", speaker_scores)
EMOTIONS = Task("emotions", "UAR", emotion_scores)
EMOTIONS_BY_SPEAKER = Task(
    "emotions, each speaker standardised", "UAR", partial(emotion_scores, by_speaker=True)
)
TASKS = (PHONES, SPEAKERS, EMOTIONS, EMOTIONS_BY_SPEAKER)


def gather(
    checkpoint: str,
    out: Path,
    corpora: dict[str, Path],
    *,
    languages: Sequence[str] = tuple(LANGUAGES),
    tasks: Sequence[Task] = TASKS,
    twins: int = 3,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run the tasks.

    Parameters
    ----------
    checkpoint : str
        As `load_encoder` takes it.
    out : Path
        Where features and random networks are kept.
    corpora : dict of str to Path
        Real corpora and their folders.
    languages : sequence of str
        Synthetic speech, of `LANGUAGES`.
    twins : int
        How many networks with random weights.
    seed : int
        Of the prosody, and of the first random network.
    say : callable
        Told what is being done.

    Returns
    -------
    dict
        JSON-ready.
    """
    began = time.monotonic()
    encoder = load_encoder(checkpoint)
    random = [random_twin(checkpoint, seed + number, out) for number in range(twins)]
    cache = out / "features"
    makers: list[Callable[[], ProbeSpeech]] = [partial(synthetic_speech, name, seed) for name in languages]
    makers += [partial(real_speech, name, folder) for name, folder in corpora.items()]
    results = []
    for make in makers:
        speech = make()
        own = encoder_features(encoder, speech, cache)
        drawn = [encoder_features(twin, speech, cache) for twin in random]
        plain = cepstral_features(speech, cache)
        say(f"{speech.name}: {len(speech.table)} utterances, features at {time.monotonic() - began:.0f} s")
        for task in tasks:
            if task is PHONES and speech.phones is None:
                continue
            results.append(_result(task, speech, own, drawn, plain))
            say(f"  {task.name}: {_summary(results[-1])}; at {time.monotonic() - began:.0f} s")
    return {
        "encoder": encoder.describe(),
        "parameters": count_weights(find_checkpoint(checkpoint).folder),
        "random networks": twins,
        "seed": seed,
        "penalties": {"emotions": list(CANDIDATES), "phones and speakers": FIXED},
        "versions": library_versions(),
        "seconds": round(time.monotonic() - began, 1),
        "results": results,
    }


def _result(
    task: Task, speech: ProbeSpeech, own: Features, drawn: Sequence[Features], plain: Features
) -> dict[str, Any]:
    found, cepstral = task.probe(own, speech), task.probe(plain, speech)
    twins = [task.probe(features, speech) for features in drawn]
    names = [name for name in (CHOSEN, MEAN, ALL, BEST) if name in found.scores]
    gains = {
        name: {
            RANDOM: twins
            and gain(found.truth, found.guesses[name], [t.guesses[name] for t in twins], found.speakers),
            CEPSTRA: gain(found.truth, found.guesses[name], [cepstral.guesses["mfcc"]], found.speakers),
        }
        for name in names
    }
    return {
        "task": task.name,
        "speech": speech.name,
        "synthetic": speech.phones is not None,
        "measure": task.measure,
        "chance": 1 / found.about["classes"],
        "about": found.about,
        "layers": list(own.layers),
        "best": found.best,
        "chosen": found.chosen,
        ENCODER: {name: score.to_json() for name, score in found.scores.items()},
        RANDOM: _over_twins(twins),
        CEPSTRA: cepstral.scores["mfcc"].to_json(),
        "gain": gains,
    }


def _over_twins(twins: Sequence[Scores]) -> dict[str, Any]:
    """Give each score's mean over the random networks, and their range."""
    result = {}
    for name in twins[0].scores if twins else ():
        values = [twin.scores[name].uar for twin in twins]
        result[name] = {
            "uar": float(np.mean(values)),
            "accuracy": float(np.mean([twin.scores[name].accuracy for twin in twins])),
            "low": min(values),
            "high": max(values),
        }
    return result


def _summary(result: dict[str, Any]) -> str:
    name = CHOSEN if CHOSEN in result[ENCODER] else BEST
    cells = [f"{name} {100 * result[ENCODER][name]['uar']:.1f}"]
    if result[RANDOM]:
        cells.append(f"random {100 * result[RANDOM][name]['uar']:.1f}")
    return ", ".join([*cells, f"MFCC {100 * result[CEPSTRA]['uar']:.1f} % {result['measure']}"])

"""Probe an encoder, its random twins and cepstra on everything, and gather the scores.

The document (``evidence.json``) holds per task: what it is, chance, and per set of features the scores by
name. Random twins stand as one set: each score is the mean over the twins, with their range beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mini_probes.features import Features, cepstral_features, encoder_features, random_twin
from mini_probes.probes import CANDIDATES, FIXED
from mini_probes.speech import LANGUAGES, ProbeSpeech, real_speech, synthetic_speech
from mini_probes.tasks import Scores, emotion_scores, phone_scores, speaker_scores

from layersim.encoders.load import load_encoder
from layersim.provenance import library_versions

ENCODER, RANDOM, CEPSTRA = "encoder", "random weights", "MFCC statistics"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """One question asked of one corpus's speech."""

    name: str
    measure: str
    probe: Callable[[Features, ProbeSpeech], Scores]


PHONES = Task("phones", "balanced accuracy", phone_scores)
SPEAKERS = Task("speakers", "balanced accuracy", speaker_scores)
EMOTIONS = Task("emotions", "UAR", emotion_scores)
EMOTIONS_BY_SPEAKER = Task(
    "emotions, each speaker standardised",
    "UAR",
    lambda features, speech: emotion_scores(features, speech, by_speaker=True),
)


def gather(
    checkpoint: str,
    out: Path,
    corpora: dict[str, Path],
    *,
    languages: Sequence[str] = tuple(LANGUAGES),
    tasks: Sequence[Task] = (PHONES, SPEAKERS, EMOTIONS, EMOTIONS_BY_SPEAKER),
    twins: int = 3,
    seed: int = 0,
    say: Say = print,
) -> dict[str, Any]:
    """Run the tasks.

    Parameters
    ----------
    checkpoint : str
        As `load_encoder` takes it.
    out : Path
        Where features and random twins are kept.
    corpora : dict of str to Path
        Real corpora and their folders.
    languages : sequence of str
        Synthetic speech, of `LANGUAGES`.
    twins : int
        How many networks with random weights.
    seed : int
        Of the prosody, and of the first twin.
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
    makers = {name: lambda name=name: synthetic_speech(name, seed) for name in languages}
    makers |= {name: lambda name=name, folder=folder: real_speech(name, folder)
               for name, folder in corpora.items()}  # fmt: skip
    document: dict[str, Any] = {
        "encoder": encoder.describe(),
        "parameters": sum(weight.numel() for weight in encoder.body.model.parameters()),
        "twins": twins,
        "seed": seed,
        "penalties": {"candidates": list(CANDIDATES), "phones and speakers": FIXED},
        "versions": library_versions(),
        "results": [],
    }
    for name, make in makers.items():
        speech = make()
        say(f"{name}: {len(speech.table)} utterances")
        own = encoder_features(encoder, speech, cache)
        drawn = [encoder_features(twin, speech, cache) for twin in random]
        plain = cepstral_features(speech, cache)
        say(f"{name}: features after {time.monotonic() - began:.0f} s")
        for task in tasks:
            if task is PHONES and speech.phones is None:
                continue
            document["results"].append(_result(task, speech, own, drawn, plain))
            say(f"{name}: {task.name} after {time.monotonic() - began:.0f} s; {_summary(document['results'][-1])}")
    document["seconds"] = round(time.monotonic() - began, 1)
    return document


def _result(
    task: Task, speech: ProbeSpeech, own: Features, drawn: Sequence[Features], plain: Features
) -> dict[str, Any]:
    found = task.probe(own, speech)
    return {
        "task": task.name,
        "speech": speech.name,
        "synthetic": speech.phones is not None,
        "measure": task.measure,
        "chance": 1 / found.about["classes"],
        "about": found.about,
        "layers": list(own.layers),
        "chosen": found.chosen,
        ENCODER: {name: score.to_json() for name, score in found.scores.items()},
        RANDOM: _over_twins([task.probe(features, speech) for features in drawn]),
        CEPSTRA: {name: score.to_json() for name, score in task.probe(plain, speech).scores.items()},
    }


def _over_twins(twins: Sequence[Scores]) -> dict[str, Any]:
    """Give each score's mean over the twins, and their range."""
    if not twins:
        return {}
    result = {}
    for name in twins[0].scores:
        values = [twin.scores[name].uar for twin in twins]
        accuracies = [twin.scores[name].accuracy for twin in twins]
        result[name] = {
            "uar": float(np.mean(values)), "accuracy": float(np.mean(accuracies)),
            "low": min(values), "high": max(values),
        }  # fmt: skip
    return result


def best_layer(result: dict[str, Any], kind: str) -> str:
    """Name the layer that does best on the test itself: an upper bound, no result of a choice."""
    scores = result[kind]
    layers = [name for name in (*result["layers"], "mfcc") if name in scores]
    return max(layers, key=lambda name: scores[name]["uar"])


def _summary(result: dict[str, Any]) -> str:
    cells = []
    for kind in (ENCODER, RANDOM, CEPSTRA):
        if result[kind]:
            layer = best_layer(result, kind)
            cells.append(f"{kind} {100 * result[kind][layer]['uar']:.1f} ({layer})")
    return f"best of layers, {result['measure']} %: " + ", ".join(cells)

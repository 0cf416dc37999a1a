"""What a unit is asked to do, as JSON, and in which ways two requests differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from layersim.adaptation.anchors import Anchors
from layersim.adaptation.methods import parse_method
from layersim.adaptation.settings import TrainConfig
from layersim.comparison.job import QUICK, Job
from layersim.comparison.trial import Trial

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures


def changes(before: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Name what is asked otherwise than before, with both values."""
    earlier = _flat(before)
    return [
        f"{name} was {_short(earlier.get(name))}, is {_short(value)}"
        for name, value in _flat(asked).items()
        if earlier.get(name) != value
    ]


def request_of(job: Job, seed: int) -> dict[str, Any]:
    """Everything that a unit's numbers depend on."""
    request = parse_method(job.word)
    asked = job.method_with(lambda word: Anchors(word, (), "by trial"))
    settings = asked.settings.config.model_dump(mode="json")
    unread = {"methods", "seeds", "seed", "emotions", "bootstraps", "anchors", "standardise"}
    if not asked.coral:
        unread |= {"gamma", "coral"} if isinstance(asked.settings.config, TrainConfig) else set()
    settings = {name: value for name, value in settings.items() if name not in unread}
    document = {
        "method": request.word,
        "anchors": asked.anchors.asked if asked.anchors else None,
        "rank": _ranked_by(job) if asked.anchors else None,
        "layers": list(asked.layers),
        "standardise": asked.standardise,
        "settings": settings,
        "self_training": asked.self_training.config.model_dump(mode="json") if asked.self_training else None,
        "seed": seed,
        "emotions": list(job.classes),
        "bootstraps": job.config.bootstraps,
        "protocol": job.config.protocol,
        "trials": [trial.name for trial in job.trials],
        "inputs": {name: fingerprint(corpus) for name, corpus in job.corpora.items()},
        "who": _who(job.trials),
    }
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found


def _ranked_by(job: Job) -> dict[str, Any]:
    unread = {*QUICK, "emotions", "level", "label_free", "seed"}
    return job.rank.config.model_dump(mode="json", exclude=unread)


def fingerprint(corpus: CorpusFeatures) -> str:
    """Hash what a corpus's features were made from, and the labels."""
    read = corpus.table[["corpus", "utterance_id", "speaker", "emotion"]].astype(str).to_numpy().tolist()
    text = json.dumps([dict(corpus.cache.provenance), sorted(read)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _who(trials: Sequence[Trial]) -> str:
    """Hash which utterance is where in each trial."""
    digest = hashlib.sha256()
    for trial in trials:
        for corpus in (trial.source, trial.target, trial.target_test):
            if corpus is not None:  # repeated rows count as often as they stand there
                rows = corpus.table[["corpus", "utterance_id", "split"]].astype(str).to_numpy().tolist()
                digest.update(json.dumps(sorted(rows)).encode())
    return digest.hexdigest()


def _flat(document: dict[str, Any], name: str = "") -> dict[str, Any]:
    """Return the entries of nested objects by dotted names.

    >>> _flat({"seed": 0, "settings": {"batch": 8}})
    {'seed': 0, 'settings.batch': 8}
    """
    found: dict[str, Any] = {}
    for key, value in document.items():
        path = f"{name}.{key}" if name else key
        found |= _flat(value, path) if isinstance(value, dict) else {path: value}
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return f"{text[:12]}...'" if isinstance(value, str) and len(value) == 64 else text

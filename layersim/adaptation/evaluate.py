"""What a trained network is worth: predictions, scores with intervals, and how apart the corpora stay in it.

A prediction table has one row per utterance: ``utterance`` (key), ``speaker``, ``emotion`` (the truth),
``predicted``, and one probability column per class, named ``p_`` and the class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from layersim.adaptation.coral import Form, coral_loss
from layersim.adaptation.data import LabelledFeatures
from layersim.adaptation.network import AnchoredClassifier
from layersim.adaptation.pair import PairData
from layersim.adaptation.task import Probabilities, guesses
from layersim.metrics import confusion, macro_f1, recalls, speaker_bootstrap, uar, wa

INTERVAL_SEED = 0  # one and the same for all methods: they are compared on the same draws of speakers
PROBE_ROWS = 2000  # per corpus; a linear probe of a few hundred dimensions needs no more


def predict_part(
    probabilities: Callable[[Tensor], Probabilities], part: LabelledFeatures, classes: Sequence[str]
) -> pd.DataFrame:
    """Return the prediction table of labelled, standardised utterances."""
    return prediction_table(probabilities(part.features), part, classes)


def prediction_table(shares: Probabilities, part: LabelledFeatures, classes: Sequence[str]) -> pd.DataFrame:
    """Put the probabilities of labelled utterances, in their order, beside what is known of them."""
    table = pd.DataFrame(
        {
            "utterance": list(part.keys),
            "speaker": list(part.speakers),
            "emotion": list(part.emotions),
            "predicted": guesses(shares, classes),
        }
    )
    for number, name in enumerate(classes):
        table[f"p_{name}"] = shares[:, number]
    return table


def score(predictions: pd.DataFrame, classes: Sequence[str], bootstraps: int) -> dict[str, Any]:
    """Score a prediction table.

    Returns
    -------
    dict
        ``uar``, ``wa``, ``macro_f1``, ``recalls`` per class, ``confusion`` (truth in rows), ``counts`` per
        class, ``utterances``, ``speakers``, ``uar_interval`` (95 %, over speakers; None with one speaker or
        too few) and ``chance``: the UAR of guessing and the WA of always saying the most frequent class.
        Shares are 0..1.

    Raises
    ------
    ValueError
        If the truth lacks a class.
    """
    truth, guess = predictions["emotion"].tolist(), predictions["predicted"].tolist()
    counts = {name: truth.count(name) for name in classes}
    return {
        "uar": uar(truth, guess, classes),
        "wa": wa(truth, guess),
        "macro_f1": macro_f1(truth, guess, classes),
        "recalls": recalls(truth, guess, classes),
        "confusion": confusion(truth, guess, classes).tolist(),
        "counts": counts,
        "utterances": len(truth),
        "speakers": int(predictions["speaker"].nunique()),
        "uar_interval": uar_interval([predictions], classes, bootstraps),
        "chance": {"uar": 1 / len(classes), "wa": max(counts.values()) / len(truth)},
    }


def uar_interval(
    runs: Sequence[pd.DataFrame], classes: Sequence[str], bootstraps: int
) -> dict[str, float] | None:
    """Return the speaker-bootstrap interval of the UAR, averaged over runs on the same utterances.

    Every run has the same truths, so a class's recall over all runs together is the mean of its recalls,
    and the interval of the pooled table is that of the runs' mean UAR, speakers drawn once for all runs.
    """
    pooled = pd.concat(list(runs), ignore_index=True)
    interval = speaker_bootstrap(
        pooled["emotion"].tolist(), pooled["predicted"].tolist(), pooled["speaker"].tolist(), classes,
        replicates=bootstraps, seed=INTERVAL_SEED,
    )  # fmt: skip
    return None if interval is None else {"low": interval.low, "high": interval.high}


def domain_statistics(
    network: AnchoredClassifier, data: PairData, layers: Sequence[str], form: Form
) -> dict[str, Any]:
    """Measure how apart the two train splits stand in a network's projections.

    Returns
    -------
    dict
        ``layers``: per layer the ``coral`` distance over all rows, and ``mean_distance``, the distance of
        the two means in units of the root mean variance (CORAL is blind to it). ``domain_accuracy``: how
        often a linear probe tells the corpora apart, by two-fold cross-validation on as many rows of each;
        0.5 is chance, 1.0 means that they share nothing.
    """
    with torch.no_grad():
        source = network.project(data.source_train.features)
        target = network.project(data.target_train.features)
    rows = []
    for place, layer in enumerate(layers):
        one, other = source[:, place], target[:, place]
        spread = float((one.var(dim=0).sum() + other.var(dim=0).sum()) / 2) ** 0.5
        apart = float((one.mean(dim=0) - other.mean(dim=0)).norm())
        rows.append(
            {
                "layer": layer,
                "coral": float(coral_loss(one, other, form)),
                "mean_distance": apart / spread if spread else None,
            }
        )
    return {"layers": rows, "domain_accuracy": _domain_accuracy(source.flatten(1), target.flatten(1))}


def _domain_accuracy(source: Tensor, target: Tensor) -> float | None:
    """Two-fold accuracy of a ridge classifier between the corpora; None with fewer than four rows of one."""
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    rows = min(len(source), len(target), PROBE_ROWS)
    if rows < 4:
        return None
    rng = np.random.default_rng(0)
    chosen = [side[np.sort(rng.choice(len(side), rows, replace=False))].numpy() for side in (source, target)]
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    truth = np.repeat([0, 1], rows)
    return float(cross_val_score(RidgeClassifier(), np.concatenate(chosen), truth, cv=folds).mean())

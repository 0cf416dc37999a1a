"""Does the similarity order mean anything? A linear probe on each layer, trained on the source alone.

On each layer a multinomial logistic regression learns the source's emotions (train split) from utterance
means and is scored on the target's *train* split; the target's test split stays unseen. Where similarity
predicts transfer, the layers' scores and the probe's UARs go in the same order.

Conventions
-----------
- Always utterance means, at phoneme level too.
- Two forms: ``own statistics``, each corpus standardised by its own mean and deviation (which needs no
  label), and ``source statistics``, both corpora standardised by the source's. The classifier is the same;
  what moves between the forms is the target.
- Classes weigh the same in training (UAR does so too). Big corpora are cut to a number of utterances, each
  emotion in its share.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from layersim.metrics import spearman, uar
from layersim.similarity.selection import UTTERANCES, Selection

if TYPE_CHECKING:
    from layersim.features.cache import FeatureCache

_ITERATIONS = 1000
_PENALTY = 0.1  # inverse strength of the L2 penalty: hundreds of standardised dimensions, few utterances


@dataclass(frozen=True)
class ProbeSample:
    """The utterances of one corpus that the probe reads."""

    rows: NDArray[np.int64]  # (n,) rows of the cache, in the order of the keys
    emotion: NDArray[np.str_]  # (n,)


def probe_sample(
    selection: Selection, emotions: list[str], limit: int, rng: np.random.Generator
) -> ProbeSample:
    """Take at most about ``limit`` utterances of a selection, every emotion in its share and at least two.

    Parameters
    ----------
    selection : Selection
        Of utterances.
    emotions : list of str
        Those that are compared.
    """
    names = np.array(selection.labels)[selection.label]
    wanted = np.flatnonzero(np.isin(names, emotions))
    if len(wanted) > limit:
        share = limit / len(wanted)
        kept = []
        for emotion in emotions:
            members = wanted[names[wanted] == emotion]
            count = min(len(members), max(2, round(share * len(members))))
            kept.append(rng.choice(members, count, replace=False))
        wanted = np.sort(np.concatenate(kept))
    return ProbeSample(selection.cache_rows[wanted], names[wanted])


def probe_layer(
    source: FeatureCache,
    target: FeatureCache,
    samples: tuple[ProbeSample, ProbeSample],
    layer: str,
) -> tuple[float, float, bool]:
    """Train on the source, score on the target.

    Returns
    -------
    own, plain : float, 0..1
        UAR on the target standardised by its own statistics, and by the source's.
    converged : bool
    """
    first, second = (
        cache.read(UTTERANCES, layer, sample.rows).astype(np.float64)
        for cache, sample in zip((source, target), samples, strict=True)
    )
    mean, deviation = _standard(first)
    model, converged = fit_logistic((first - mean) / deviation, samples[0].emotion, _PENALTY)
    own_mean, own_deviation = _standard(second)
    own = model.predict((second - own_mean) / own_deviation)
    plain = model.predict((second - mean) / deviation)
    truth = samples[1].emotion.tolist()
    return uar(truth, own.tolist()), uar(truth, plain.tolist()), converged


def fit_logistic(
    values: NDArray[np.float64], labels: NDArray[Any], inverse_penalty: float, balanced: bool = True
) -> tuple[Any, bool]:
    """Fit a multinomial logistic regression with an L2 penalty.

    Parameters
    ----------
    values : ndarray, shape (n, F), standardised
    labels : ndarray, shape (n,), two classes or more
    inverse_penalty : float, > 0
        scikit-learn's C.
    balanced : bool
        Whether every class weighs the same, or every utterance.

    Returns
    -------
    model : sklearn.linear_model.LogisticRegression
    converged : bool
        Told here in place of scikit-learn's warning.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    weight = "balanced" if balanced else None
    model = LogisticRegression(C=inverse_penalty, max_iter=_ITERATIONS, class_weight=weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(values, labels)
    return model, bool(model.n_iter_.max() < _ITERATIONS)


def agreement(scores: list[float], own: list[float], plain: list[float]) -> dict[str, Any]:
    """Rank correlation of the layers' scores with the probe's UARs; None where there is no order."""

    def correlation(uars: list[float]) -> dict[str, float | None]:
        rho, p = spearman(scores, uars)
        return {"rho": None if math.isnan(rho) else rho, "p": None if math.isnan(p) else p}

    return {"spearman": correlation(own), "spearman_source_statistics": correlation(plain)}


def _standard(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    deviation = values.std(axis=0)
    return values.mean(axis=0), np.where(deviation > 0, deviation, 1.0)

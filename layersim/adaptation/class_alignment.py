"""Class-conditional layer anchoring: source and target share one Gaussian per emotion at the anchored layers.

CORAL compares the covariances of *all* utterances of two corpora, and so moves with how often each emotion
occurs in them. Here the two corpora share what they should share, emotion by emotion: a mean per class and
one covariance within classes, estimated from the labelled source and the unlabelled target together. The
target's classes are not known; they are the expectations of an EM algorithm.

The anchored layers' features stand side by side and are brought to ``components`` principal components of
both corpora, x. With class-balanced source weights a_n, R = sum of a_n, and responsibilities r_nc of the
target,

    M:  mu_c  = (sum_s a_n [y_n = c] x_n + w sum_t r_nc x_n) / (... the weights alone)
        S     = sum of weight * (x - mu_c)(x - mu_c)^T over both corpora, / (1 + w) R
        S'    = (1 - shrinkage) S + shrinkage * trace(S) / d * I
    E:  r_nc  ~ exp(mu_c^T S'^-1 x_n - mu_c^T S'^-1 mu_c / 2), each row summing to 1,
        then, ten times over: r_nc / (share of class c * C)^balance, each row summing to 1

With ``balance`` above 0 the target's classes are taken to be equally frequent: ten passes bring the mean
responsibilities to within a few hundredths of 1/C, by 1 at once (Sinkhorn's iteration), by 0.5 in smaller
steps that leave single rows nearer to where they were. It is an assumption on the target's class frequencies,
made without its labels; where they are far from equal, it is wrong. Emotions are predicted by the same
Gaussians, without the balance: an utterance's prediction does not depend on others.

With no iterations this is linear discriminant analysis with shrinkage, trained on the source.

References
----------
Dempster, Laird & Rubin, JRSS B 39, 1977 (EM). Nigam, McCallum, Thrun & Mitchell, Machine Learning 39, 2000
(EM with unlabelled data, weighted). Friedman, JASA 84, 1989 (shrinkage). Asano, Rupprecht & Vedaldi, ICLR
2020 (balanced labels by Sinkhorn's iteration). Upadhyay, Busso & Lee, Interspeech 2024 (anchored layers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from layersim.adaptation.batches import class_numbers
from layersim.adaptation.settings import MethodConfig
from layersim.adaptation.task import Learned, Probabilities, Task
from layersim.settings import setting
from layersim.workspace import Progress, no_progress

Array = NDArray[np.float64]
BALANCING = 10  # passes of Sinkhorn's iteration: the shares then stand still to a thousandth


class ClassAlignmentConfig(MethodConfig):
    """Settings of ``la-class``; none is in a source."""

    section: ClassVar[str] = "train.la-class"
    paper: ClassVar[str] = "none: layersim's own form of layer anchoring"

    components: int = setting(200, "principal components of the anchored layers, side by side", ge=1)
    shrinkage: float = setting(
        0.6, "share of a multiple of the identity in the covariance within classes", gt=0, le=1
    )
    iterations: int = setting(10, "rounds of EM; 0: the source alone", ge=0)
    balance: float = setting(
        0.5,
        "step of the ten passes that make the target's classes equally frequent: 0 none, 1 whole steps",
        ge=0,
        le=1,
    )
    weight: float = setting(
        1.0, "what the target weighs in the means and the covariance, the source weighs 1", gt=0,
        allow_inf_nan=False,
    )  # fmt: skip


@dataclass(frozen=True)
class Gaussians:
    """One Gaussian per class with a common covariance, as linear scores ``x W + b``."""

    weights: Array  # (d, C)
    offsets: Array  # (C,)

    def posterior(self, rows: Array) -> Probabilities:
        """Return the class probabilities of rows (N, d), classes equally probable beforehand."""
        scores = rows @ self.weights + self.offsets
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def learn_class_aligned(
    task: Task,
    config: ClassAlignmentConfig,
    seed: int,  # noqa: ARG001 - a method's signature; nothing is drawn here
    progress: Progress = no_progress,
) -> Learned:
    """Estimate the Gaussians of both corpora; see the module.

    Parameters
    ----------
    task : Task
        With features of any shape; all of an utterance's stand side by side.

    Returns
    -------
    Learned
        Details: ``class_shares``, the mean responsibility of each class over the target in the last round,
        balanced; ``components``. There is nothing random in it: every seed gives the same.
    """
    source, target = _flat(task.source.features), _flat(task.target.features)
    centre, axes = principal_axes(np.concatenate([source, target]), config.components)
    truth = np.eye(len(task.classes))[class_numbers(task.source.emotions, task.classes).numpy()]
    labelled = truth * (len(truth) / len(task.classes) / np.maximum(truth.sum(axis=0), 1))  # balanced
    source, target = (source - centre) @ axes, (target - centre) @ axes
    model = estimate(source, labelled, config.shrinkage)
    shares = model.posterior(target)
    for done in range(config.iterations):
        shares = balanced(model.posterior(target), config.balance)
        weighed = shares * (config.weight * labelled.sum() / len(shares))
        model = estimate(
            np.concatenate([source, target]), np.concatenate([labelled, weighed]), config.shrinkage
        )
        progress("training", done + 1, config.iterations)
    details = {
        "components": axes.shape[1],
        "class_shares": dict(zip(task.classes, shares.mean(axis=0).tolist(), strict=True)),
    }
    return Learned(lambda features: model.posterior((_flat(features) - centre) @ axes), details=details)


def principal_axes(rows: Array, components: int) -> tuple[Array, Array]:
    """Return the mean, shape (F,), and the first principal axes, (F, d), of rows (N, F).

    d is ``components``, or fewer where the rows do not span as many.
    """
    centre = rows.mean(axis=0)
    _, scale, axes = np.linalg.svd(rows - centre, full_matrices=False)
    rank = int((scale > scale[0] * np.finfo(float).eps * max(rows.shape)).sum())
    return centre, axes[: max(1, min(components, rank))].T


def estimate(rows: Array, weights: Array, shrinkage: float) -> Gaussians:
    """Estimate class means and the common covariance within classes.

    Parameters
    ----------
    rows : array, shape (N, d)
    weights : array, shape (N, C), >= 0
        How much each row counts for each class; every class needs some.
    shrinkage : float, 0..1
        Share of the identity, scaled to the covariance's mean variance.
    """
    total = weights.sum(axis=0)
    means = weights.T @ rows / total[:, None]  # (C, d)
    squares = rows.T @ (rows * weights.sum(axis=1, keepdims=True))
    within = (squares - means.T @ (means * total[:, None])) / total.sum()
    width = len(within)
    within = (1 - shrinkage) * within + shrinkage * np.trace(within) / width * np.eye(width)
    solved = np.linalg.solve(within, means.T)  # (d, C)
    return Gaussians(solved, -0.5 * np.einsum("cd,dc->c", means, solved))


def balanced(shares: Array, balance: float) -> Array:
    """Bring responsibilities (N, C) to equally frequent classes, by steps; rows still sum to 1.

    >>> shares = np.array([[0.8, 0.2], [0.6, 0.4]])
    >>> balanced(shares, 1.0).mean(axis=0).round(3), balanced(shares, 0.0).mean(axis=0).round(3)
    (array([0.5, 0.5]), array([0.7, 0.3]))
    """
    for _ in range(BALANCING if balance else 0):
        shares = shares / (shares.mean(axis=0) * shares.shape[1]) ** balance
        shares = shares / shares.sum(axis=1, keepdims=True)
    return shares


def _flat(features: Tensor) -> Array:
    return features.flatten(start_dim=1).double().numpy()

"""A random forest on openSMILE's functionals: the classical baselines ``egemaps-rf`` and ``emobase-rf``.

The target is not read; what a forest learns crosses to it as it is. With WCCN, features are first rotated
and scaled so that emotions vary alike in every direction within the source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from layersim.adaptation.batches import class_numbers, streams
from layersim.adaptation.classifiers import Flat, balance, class_probabilities, flatten, validation_uar
from layersim.adaptation.settings import BalancedMethodConfig
from layersim.adaptation.task import Learned, Probabilities, Task
from layersim.settings import setting
from layersim.workspace import Progress, no_progress

TANG = "Tang et al., arXiv 2311.13678"

Whiten = Callable[[Flat, Sequence[str], float], NDArray[np.float64]]
"""Measures B (F, F) of features, their emotions and a smoothing; ``features @ B`` are whitened."""


class ForestConfig(BalancedMethodConfig):
    """Settings of the forest. Those of networks (epochs, batch, learning rate ...) mean nothing to it."""

    section: ClassVar[str] = "train.forest"
    paper: ClassVar[str] = TANG
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"trees": 100, "depth": 5}}

    trees: int = setting(100, "trees of the forest", paper=TANG, ge=1)
    depth: int = setting(5, "most splits between a tree's root and a leaf", paper=TANG, ge=1)
    wccn: bool = setting(
        False, "whiten features by the source's within-class covariance first (the source has both forms)"
    )
    smoothing: float = setting(
        0.1, "WCCN: share of the identity in the within-class covariance (not in source)", ge=0, le=1
    )


def learn_forest(
    task: Task,
    config: ForestConfig,
    seed: int,
    progress: Progress = no_progress,
    whiten: Whiten | None = None,
) -> Learned:
    """Grow a forest on the source's train split.

    Parameters
    ----------
    task : Task
        With features of any shape (N, ...): all that belongs to an utterance is laid side by side.
    config : ForestConfig
    seed : int
        Of the rows and features that each tree draws.
    progress : callable
        Called once, when the forest is grown.
    whiten : callable, optional
        How ``config.wccn`` whitens; None: `layersim.adaptation.wccn.plain_wccn`.

    Returns
    -------
    Learned
        Probabilities are the mean over the trees. ``details``: ``source_validation_uar`` and ``wccn``.

    Raises
    ------
    LayersimError
        If the within-class covariance cannot be inverted.

    References
    ----------
    Tang et al., arXiv 2311.13678, baselines. Breiman, "Random Forests", Machine Learning 45, 2001.
    """
    from sklearn.ensemble import RandomForestClassifier

    source, classes = task.source, task.classes
    rows = flatten(source.features)
    transform = _transform(rows, source.emotions, config, whiten)
    whitened = rows if transform is None else rows @ transform
    (own_seed,) = streams(seed, 1)
    forest = RandomForestClassifier(
        n_estimators=config.trees,
        max_depth=config.depth,
        class_weight=balance(config),
        random_state=own_seed,
    )
    forest.fit(whitened, class_numbers(source.emotions, classes).numpy())

    def probabilities(features: Tensor) -> Probabilities:
        flat = flatten(features)
        return class_probabilities(forest, flat if transform is None else flat @ transform, len(classes))

    score = validation_uar(probabilities(task.validation.features), task.validation, classes)
    progress("training", 1, 1)
    return Learned(probabilities, details={"source_validation_uar": score, "wccn": config.wccn})


def _transform(
    rows: Flat, emotions: Sequence[str], config: ForestConfig, whiten: Whiten | None
) -> NDArray[np.float64] | None:
    if not config.wccn:
        return None
    if whiten is None:
        from layersim.adaptation.wccn import plain_wccn

        whiten = plain_wccn
    return whiten(rows, emotions, config.smoothing)

"""Majority vote of classical classifiers: a support vector machine, a random forest and a decision tree.

Conventions
-----------
- Every member is trained on all of the source's train split and has one vote per utterance.
- The class with most votes wins. Where several have equally many, the one of them wins whose score is the
  highest on average over the members; a forest's and a tree's scores are their probabilities, a support
  vector machine's are the softmax of its decision values (one against the rest). Of equal scores the first
  class wins.
- Members stand for what Zehra et al. used, in Weka's words SMO, random forest and J48. Their constants are
  Weka's defaults where scikit-learn has the same ones. J48's pruning has no counterpart there: trees grow
  until leaves are pure or small.

References
----------
Zehra et al., "Cross corpus multi-lingual speech emotion recognition using ensemble learning", Complex &
Intelligent Systems 7, 2021. Its body was not at hand: members and constants are not from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator
from torch import Tensor

from layersim.adaptation.batches import class_numbers, streams
from layersim.adaptation.classifiers import (
    Flat,
    balance,
    class_probabilities,
    flatten,
    spread,
    validation_uar,
)
from layersim.adaptation.settings import BalancedMethodConfig
from layersim.adaptation.task import Learned, Probabilities, Task
from layersim.settings import setting
from layersim.workspace import Progress, no_progress

Member = Literal["svm", "forest", "tree"]
MEMBERS: tuple[Member, ...] = ("svm", "forest", "tree")

SCORE_SHARE = 0.01  # of a probability: one vote of up to 98 members outweighs every difference of scores


class EnsembleConfig(BalancedMethodConfig):
    """Settings of the vote. Those of networks (epochs, batch, learning rate ...) mean nothing to it."""

    section: ClassVar[str] = "train.ensemble"
    paper: ClassVar[str] = "Zehra et al. 2021, ensemble learning"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}}

    members: tuple[Member, ...] = setting(
        MEMBERS,
        "who votes: svm (SMO), forest (random forest), tree (J48) (not in source)",
        min_length=1,
    )
    kernel: Literal["linear", "rbf"] = setting("linear", "svm: kernel (not in source)")
    penalty: float = setting(1.0, "svm: C, the weight of errors (not in source)", gt=0, allow_inf_nan=False)
    trees: int = setting(100, "forest: trees, of any depth (not in source)", ge=1)
    leaf: int = setting(2, "tree: fewest utterances in a leaf; splits by entropy (not in source)", ge=1)

    @field_validator("members")
    @classmethod
    def _each_once(cls, members: tuple[Member, ...]) -> tuple[Member, ...]:
        if len(set(members)) < len(members):
            raise ValueError(f"each may stand once, got {', '.join(members)}")
        return members


def learn_ensemble(
    task: Task, config: EnsembleConfig, seed: int, progress: Progress = no_progress
) -> Learned:
    """Train every member on the source's train split; together they vote.

    Parameters
    ----------
    task : Task
        With features of any shape (N, ...): all that belongs to an utterance is laid side by side. The
        target is not read.
    config : EnsembleConfig
    seed : int
        Of what the forest draws, and of the order in which the tree looks at features.
    progress : callable
        Called after every member.

    Returns
    -------
    Learned
        Probabilities as `majority` gives them. ``details``: ``source_validation_uar`` of the vote,
        ``members`` with that of each, and ``ties``, the share of the validation split that scores decided.

    Raises
    ------
    ValueError
        If the source has one class only.

    References
    ----------
    Zehra et al., Complex & Intelligent Systems 7, 2021.
    """
    source, validation, classes = task.source, task.validation, task.classes
    rows, truth = flatten(source.features), class_numbers(source.emotions, classes).numpy()
    seeds = dict(zip(MEMBERS, streams(seed, len(MEMBERS)), strict=True))
    models = {}
    for number, name in enumerate(config.members, start=1):
        models[name] = _classifier(name, config, seeds[name]).fit(rows, truth)
        progress("training", number, len(config.members))

    def scores(features: Tensor) -> NDArray[np.float64]:
        flat = flatten(features)
        return np.stack([_scores(model, flat, len(classes)) for model in models.values()])  # (M, N, C)

    def probabilities(features: Tensor) -> Probabilities:
        return majority(scores(features))

    own = scores(validation.features)
    votes = np.sort(_votes(own), axis=1)
    details = {
        "source_validation_uar": validation_uar(majority(own), validation, classes),
        "members": {
            name: validation_uar(values, validation, classes)
            for name, values in zip(models, own, strict=True)
        },
        "ties": float((votes[:, -1] == votes[:, -2]).mean()),
    }
    return Learned(probabilities, details=details)


def majority(scores: NDArray[np.float64]) -> Probabilities:
    """Count votes, one per member, with mean scores to part equal counts.

    Parameters
    ----------
    scores : ndarray, shape (M, N, C), rows sum to 1
        A member votes for its highest; M < 99.

    Returns
    -------
    ndarray, shape (N, C), rows sum to 1
        0.99 · share of votes + 0.01 · mean score: whichever is the highest has won by the module's rule.

    >>> majority(np.array([[[0.9, 0.1]], [[0.4, 0.6]], [[0.4, 0.6]]])).round(4)  # 1 vote against 2
    array([[0.3357, 0.6643]])
    >>> majority(np.array([[[0.9, 0.1]], [[0.4, 0.6]]])).round(4)  # 1 against 1; mean scores 0.65 and 0.35
    array([[0.5015, 0.4985]])
    """
    shares = _votes(scores) / len(scores)
    return np.asarray((1 - SCORE_SHARE) * shares + SCORE_SHARE * scores.mean(axis=0))


def _votes(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count how many members have each class highest, shape (N, C)."""
    chosen = scores.argmax(axis=2)  # (M, N)
    return np.asarray((chosen[:, :, None] == np.arange(scores.shape[2])).sum(axis=0))


def _classifier(name: Member, config: EnsembleConfig, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    weight = balance(config)
    if name == "svm":
        return SVC(kernel=config.kernel, C=config.penalty, class_weight=weight)
    if name == "forest":
        return RandomForestClassifier(n_estimators=config.trees, class_weight=weight, random_state=seed)
    return DecisionTreeClassifier(
        criterion="entropy", min_samples_leaf=config.leaf, class_weight=weight, random_state=seed
    )


def _scores(model: Any, rows: Flat, classes: int) -> Probabilities:
    """Return a member's scores of every class, shape (N, C), rows sum to 1."""
    if not hasattr(model, "decision_function"):
        return class_probabilities(model, rows, classes)
    values = model.decision_function(rows)
    if values.ndim == 1:  # two classes: one decision value, positive for the second
        values = np.stack([np.zeros_like(values), values], axis=1)
    exponents = np.exp(values - values.max(axis=1, keepdims=True))
    return spread(exponents / exponents.sum(axis=1, keepdims=True), model.classes_.tolist(), classes)

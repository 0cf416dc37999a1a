"""A linear probe: multinomial logistic regression on a layer's features, or on several layers' side by side.

Trained on one layer after the other it gives the curve that a ranking is measured against: how well each
layer transfers. `layersim.similarity.probe` draws such a curve inside the ranking, on utterance means and the
target's train split; this is the method, trained, selected and tested as all others are.

Conventions
-----------
- Features are flattened, whatever their shape; they come standardised, and no random number is drawn.
- Classes weigh the same in training, as they do in UAR: ``class_weights`` balanced or none, as everywhere.
- The penalty's strength is the one with the highest UAR on the source's validation split; of equals that
  with the lowest cross-entropy there, then the strongest penalty.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import field_validator
from torch import Tensor

from layersim.adaptation.batches import class_numbers, class_weights
from layersim.adaptation.loop import VALIDATION, source_validation
from layersim.adaptation.settings import BalancedMethodConfig
from layersim.adaptation.task import Learned, Probabilities, Task
from layersim.settings import setting
from layersim.similarity.probe import fit_logistic
from layersim.workspace import Progress, no_progress


class ProbeConfig(BalancedMethodConfig):
    """How the linear probe is trained."""

    section: ClassVar[str] = "train.probe"
    paper: ClassVar[str] = "none: a simple baseline"

    inverse_penalties: tuple[float, ...] = setting(
        (0.001, 0.01, 0.1, 1.0),
        "inverse strengths of the L2 penalty (scikit-learn's C), of which the source's validation split "
        "decides; one value fixes it (not in source)",
        min_length=1,
    )

    @field_validator("inverse_penalties")
    @classmethod
    def _ordered(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < value < float("inf") for value in values):
            raise ValueError("each must be a finite number above 0")
        return tuple(sorted(set(values)))


def learn_probe(
    task: Task,
    config: ProbeConfig,
    seed: int,
    progress: Progress = no_progress,
) -> Learned:
    """Train the probe on the source's train split.

    Parameters
    ----------
    seed : int
        Changes nothing.
    progress : callable
        Called after every penalty with ``("training", done, penalties)``.

    Returns
    -------
    Learned
        ``details``: the chosen ``inverse_penalty``, whether its fit ``converged``, and ``penalties``, one
        mapping for each that was tried. A class without a source utterance has probability 0.

    Raises
    ------
    ValueError
        If the source has utterances of fewer than two classes.
    """
    del seed
    truth = class_numbers(task.source.emotions, task.classes)
    if len(truth.unique()) < 2:
        raise ValueError(f"source must have two classes or more, got {sorted(set(task.source.emotions))}")
    balanced = config.class_weights == "balanced"
    weight = class_weights(truth, len(task.classes)) if balanced else None
    source = _flat(task.source.features)
    tried: list[dict[str, Any]] = []
    best: tuple[float, float] | None = None
    chosen: Any = None
    for number, inverse_penalty in enumerate(config.inverse_penalties, 1):
        model, converged = fit_logistic(source, truth.numpy(), inverse_penalty, balanced)
        entropy, score = _validate(model, task, weight)
        tried.append(
            {"inverse_penalty": inverse_penalty, "converged": converged}
            | dict(zip(VALIDATION, (entropy, score), strict=True))
        )
        progress("training", number, len(config.inverse_penalties))
        if best is None or (score, -entropy) > best:
            best, chosen, kept = (score, -entropy), model, tried[-1]

    def probabilities(features: Tensor) -> Probabilities:
        return _probabilities(chosen, features, len(task.classes))

    details = {name: kept[name] for name in ("inverse_penalty", "converged")}
    return Learned(probabilities, details=details | {"penalties": tried})


def _validate(model: Any, task: Task, weight: Tensor | None) -> tuple[float, float]:
    """Return cross-entropy and UAR on the source's validation split."""

    def logits() -> Tensor:
        values = _probabilities(model, task.validation.features, len(task.classes))
        return torch.from_numpy(values).float().clamp(min=torch.finfo(torch.float32).tiny).log()

    return source_validation(logits, task.validation, task.classes, weight)()


def _probabilities(model: Any, features: Tensor, classes: int) -> Probabilities:
    values = np.zeros((len(features), classes))
    values[:, model.classes_] = model.predict_proba(_flat(features))
    return values


def _flat(features: Tensor) -> Probabilities:
    return features.flatten(start_dim=1).numpy().astype(np.float64)

"""Domain-adversarial training: cross-entropy on the labelled source, a domain head that learns the corpora
apart, and an encoder that learns to keep them together.

``L = CE_label(source) + CE_domain(source and target)``, where the domain loss reaches the encoder times
-lambda (Ganin et al. 2016; equal batches from both sides, one optimiser for both, one lambda). The target
comes as `UnlabelledFeatures`: no emotion of it can be read.

The weights kept are those of the best epoch on the *source's* validation split, among the epochs from
``choose_from`` on. The measure is blind to the target, and while lambda is small it prefers what a
source-only network does; from there on all candidates are adversarially trained.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from layersim.adaptation.batches import Batches, class_numbers, class_weights, streams
from layersim.adaptation.checkpoint import Checkpoint, HasState, Moving
from layersim.adaptation.dann.encoders import restart_statistics
from layersim.adaptation.dann.network import SOURCE, TARGET, DomainAdversarialNetwork, in_parts
from layersim.adaptation.dann.schedules import rate_factor, reversal_weight
from layersim.adaptation.dann.settings import DannConfig
from layersim.adaptation.loop import (
    VALIDATION,
    EpochStep,
    Fit,
    require_finite,
    run_epochs,
    source_validation,
)
from layersim.adaptation.task import Learned, Probabilities, Task
from layersim.workspace import Progress, no_progress

CURVES = (
    "epoch",
    "cross_entropy",
    "domain_cross_entropy",
    "domain_accuracy",
    "lambda",
    "learning_rate",
    *VALIDATION,
)

MOMENTUM = 0.9  # of SGD, Ganin et al. 2016

LEARNS = "tells the corpora apart better than chance in at least one epoch"
AT_CHANCE = (
    "no better than chance in any epoch, so it taught the encoder nothing: dead, not trained long enough, or "
    "the corpora do not differ in these features"
)


def learn_dann(
    task: Task,
    config: DannConfig,
    seed: int,
    progress: Progress = no_progress,
    *,
    kept: Checkpoint | None = None,
) -> Learned:
    """Train an encoder and a label head against a domain head.

    Parameters
    ----------
    task : Task
        Features (N, K, 2D) for the encoder ``features``; sequences (N, channels, frames) for ``conv1d`` and
        ``resnet50`` (for the latter with the channels of `layersim.adaptation.dann.planes`), or for
        ``resnet50`` planes (N, planes, bins, frames). Without ``config.adversarial`` nothing of the target is
        read.
    progress : callable
        Called after every epoch with ``("training", epoch, config.epochs)``.
    kept : Checkpoint, optional
        Where epochs are kept, so that a killed training goes on.

    Returns
    -------
    Learned
        Curves have the columns `CURVES`: losses and domain accuracy are means over the epoch's steps (chance
        is 0.5: both sides give as many rows), ``lambda`` and ``learning_rate`` those of its last step. What
        the domain head gives is NaN without ``config.adversarial``. Details: see `_domain_details`.

    Raises
    ------
    ValueError
        If an emotion is not a class, a side has fewer than 2 utterances, source and target features differ in
        shape, or the encoder cannot read that shape.
    LayersimError
        If the loss stops being finite.
    """
    shape = task.source.features.shape[1:]
    batch = _batch(task, config)
    truth = class_numbers(task.source.emotions, task.classes)
    weights = class_weights(truth, len(task.classes)) if config.class_weights == "balanced" else None
    own_seed, source_seed, target_seed = streams(seed, 3)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(own_seed)
        network = DomainAdversarialNetwork(config, shape, len(task.classes))
        step, moving = _training_step(
            network,
            task,
            config,
            nn.CrossEntropyLoss(weight=weights),
            truth,
            batch,
            (source_seed, target_seed),
        )
        validate = source_validation(
            lambda: in_parts(network, task.validation.features), task.validation, task.classes, weights
        )
        first = 1 + (math.floor(config.choose_from * config.epochs) if config.adversarial else 0)
        fit = run_epochs(
            network, step, validate, config.epochs, config.patience, progress,
            first=first, moving=moving, kept=kept,
        )  # fmt: skip

    def probabilities(features: Tensor) -> Probabilities:
        rows: Probabilities = in_parts(network, features).double().softmax(dim=1).numpy()
        return rows

    curves = fit.curves[list(CURVES)]
    chance = math.sqrt(0.25 / (2 * batch * (len(task.source) // batch)))
    details = _domain_details(network, task, config, fit, chance)
    return Learned(probabilities, curves, fit.best_epoch, details, network)


def _batch(task: Task, config: DannConfig) -> int:
    """Return the rows per step from each side, after a look at what there is."""
    sides = {"source": task.source.features}
    if config.adversarial:
        sides["target"] = task.target.features
    for name, features in sides.items():
        if len(features) < 2:
            raise ValueError(f"{name} must have 2 utterances or more, got {len(features)}")
        if features.shape[1:] != task.source.features.shape[1:]:
            raise ValueError(
                "source and target must have features of one shape, got "
                f"{tuple(task.source.features.shape)} and {tuple(features.shape)}"
            )
    return min(config.batch, *(len(features) for features in sides.values()))


def _training_step(
    network: DomainAdversarialNetwork,
    task: Task,
    config: DannConfig,
    label_loss: nn.CrossEntropyLoss,
    truth: Tensor,
    batch: int,
    seeds: tuple[int, int],
) -> tuple[EpochStep, Moving]:
    """Make what trains one epoch, as many steps as the source fills batches, and name what it moves."""
    steps = len(task.source) // batch
    total = config.epochs * steps
    source_order = Batches(len(task.source), batch, seeds[0])
    target_order = Batches(len(task.target), batch, seeds[1]) if config.adversarial else None
    domains = torch.tensor([SOURCE] * batch + [TARGET] * batch)
    domain_loss = nn.CrossEntropyLoss()
    optimiser = _optimiser(network, config)  # one for the whole run, as is the scheduler
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda done: rate_factor(config.rate_schedule, done / total)
    )

    def step(epoch: int) -> dict[str, float]:
        restart_statistics(network)
        rows = []
        for number in range(steps):
            weight = reversal_weight(
                config.lambda_schedule, ((epoch - 1) * steps + number) / total, config.lambda_end
            )
            chosen = next(source_order)
            features = task.source.features[chosen]
            if target_order is not None:  # one batch: see the encoders on batch normalisation
                features = torch.cat([features, task.target.features[next(target_order)]])
            encoded = network.encoder(features)
            loss = cross_entropy = label_loss(network.label_head(encoded[:batch]), truth[chosen])
            domain, accuracy = torch.tensor(math.nan), math.nan
            if target_order is not None:
                logits = network.tell_domains(encoded, weight)
                domain = domain_loss(logits, domains)
                accuracy = float((logits.argmax(dim=1) == domains).float().mean())
                loss = cross_entropy + domain
            require_finite(loss, epoch, config)
            rate = scheduler.get_last_lr()[0]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            scheduler.step()
            rows.append((float(cross_entropy.detach()), float(domain.detach()), accuracy))
        means = np.array(rows).mean(axis=0).tolist()
        last = (weight if config.adversarial else math.nan, rate)
        return dict(zip(CURVES[1:6], (*means, *last), strict=True))

    moving: dict[str, HasState] = {"optimiser": optimiser, "scheduler": scheduler, "source": source_order}
    return step, moving if target_order is None else {**moving, "target": target_order}


def _optimiser(network: nn.Module, config: DannConfig) -> torch.optim.Optimizer:
    asked: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimiser == "sgd":
        return torch.optim.SGD(network.parameters(), momentum=MOMENTUM, **asked)
    return torch.optim.AdamW(network.parameters(), **asked)


def _domain_details(
    network: DomainAdversarialNetwork, task: Task, config: DannConfig, fit: Fit, chance: float
) -> dict[str, Any]:
    """Say what became of the domain head.

    ``domain_accuracy_source`` and ``_target`` are the shares of the two train splits that it assigns rightly
    with the kept weights, ``domain_accuracy`` their mean: 0.5 at the end of a run is what the encoder is
    after, 0.5 from the first epoch on is a head that never learnt, and ``domain_head`` says which: one
    epoch's accuracy must be above 0.5 by four times ``chance``, the standard deviation that guessing has.
    ``lambda_kept`` is lambda in the kept epoch, ``lambda_end`` in the last one trained.
    """
    if not config.adversarial:
        return {"adversarial": False}
    right = []
    for features, domain in ((task.source.features, SOURCE), (task.target.features, TARGET)):
        logits = in_parts(lambda rows: network.tell_domains(network.encoder(rows), 0.0), features)
        right.append(float((logits.argmax(dim=1) == domain).double().mean()))
    best = float(fit.curves["domain_accuracy"].max())
    return {
        "adversarial": True,
        "domain_accuracy": sum(right) / 2,
        "domain_accuracy_source": right[0],
        "domain_accuracy_target": right[1],
        "domain_accuracy_first_epoch": float(fit.curves["domain_accuracy"].iloc[0]),
        "domain_head": LEARNS if best > 0.5 + 4 * chance else AT_CHANCE,
        "lambda_kept": float(fit.curves["lambda"].iloc[fit.best_epoch - 1]),
        "lambda_end": float(fit.curves["lambda"].iloc[-1]),
    }

"""Layer anchoring on cached features: cross-entropy on the labelled source, CORAL against the target.

``L = CE + gamma * sum over layers of CORAL`` (Upadhyay et al. 2024). Without the target it is the plain
classifier of ``cc`` and its standardised forms.

Every random stream (initial weights and dropout, the source's order, the target's order, the noise floor)
has a seed of its own, so that with gamma = 0 the weights are those of training without the target, and the
same seed gives the same bytes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from layersim.adaptation.batches import Batches, class_numbers, class_weights, streams
from layersim.adaptation.checkpoint import Checkpoint
from layersim.adaptation.coral import coral_noise_floor, summed_coral
from layersim.adaptation.data import MINIMUM_SOURCE
from layersim.adaptation.distributed import ALONE, Processes, SharedDropout, cross_entropy
from layersim.adaptation.loop import VALIDATION, require_finite, run_epochs, source_validation
from layersim.adaptation.network import AnchoredClassifier
from layersim.adaptation.settings import TrainConfig
from layersim.adaptation.task import Learned, Task, probabilities_of
from layersim.workspace import Progress, no_progress

CURVES = ("epoch", "cross_entropy", "coral", "gamma_coral", "coral_floor", *VALIDATION)


def learn_anchored(
    task: Task,
    config: TrainConfig,
    seed: int,
    progress: Progress = no_progress,
    *,
    with_target: bool = True,
    kept: Checkpoint | None = None,
    processes: Processes = ALONE,
) -> Learned:
    """Train an `AnchoredClassifier` on all layers of the task's features, (N, K, 2D).

    A step takes ``config.batch`` rows of each side, as many as both have where they are fewer.

    Parameters
    ----------
    with_target : bool
        False: cross-entropy alone.
    kept : Checkpoint, optional
        Where epochs are kept, so that a killed training goes on.
    processes : Processes
        Those that share every batch; all call this alike. But for rounding the numbers are those of one.

    Returns
    -------
    Learned
        Curves have the columns `CURVES`. Losses are means over the epoch's steps; ``coral`` and
        ``coral_floor`` are sums over layers, NaN without a target; the floor is what two batches of the
        source alone give (`coral_noise_floor`).

    Raises
    ------
    ValueError
        If a side has fewer than 2 rows, the source fewer than 4, or a label is not a class.
    LayersimError
        If the loss stops being finite, or there are more processes than rows in a batch.
    """
    source, target = task.source, task.target
    batch = min(config.batch, len(source), len(target))
    if batch < 2 or len(source) < MINIMUM_SOURCE:
        raise ValueError(
            f"the source must have at least {MINIMUM_SOURCE} rows and the target 2, got {len(source)} and "
            f"{len(target)}"
        )
    processes.require(batch)
    truth = class_numbers(source.emotions, task.classes)
    weights = class_weights(truth, len(task.classes)) if config.class_weights == "balanced" else None
    own_seed, source_seed, target_seed, floor_seed = streams(seed, 4)
    source_order = Batches(len(source), batch, source_seed)
    target_order = Batches(len(target), batch, target_seed)
    floor_draws = torch.Generator().manual_seed(floor_seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(own_seed)
        _, layers, width = source.features.shape
        network = AnchoredClassifier(layers, width, len(task.classes), config.projection, config.dropout)
        if processes.size > 1:
            network.dropout = SharedDropout(config.dropout, batch, processes)
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

        def step(epoch: int) -> dict[str, float]:
            losses = []
            for _ in range(len(source) // batch):
                chosen = processes.share(next(source_order))
                projected = network.project(source.features[chosen])
                entropy = cross_entropy(network.classify(projected), truth[chosen], weights, processes)
                loss, coral = entropy, torch.tensor(math.nan)
                if with_target:
                    others = network.project(target.features[processes.share(next(target_order))])
                    coral = summed_coral(projected, others, config.coral, processes)
                    loss = entropy + config.gamma * coral
                require_finite(loss, epoch, config)
                optimiser.zero_grad()
                loss.backward()
                processes.average_gradients(network.parameters())
                optimiser.step()
                losses.append((float(entropy.detach()), float(coral.detach())))
            entropy_mean, coral_mean = (
                math.fsum(column) / len(losses) for column in zip(*losses, strict=True)
            )
            floor = _floor(network, source.features, batch, config, floor_draws) if with_target else math.nan
            row = (entropy_mean, coral_mean, config.gamma * coral_mean, floor)
            return dict(zip(CURVES[1:5], row, strict=True))

        fit = run_epochs(
            network,
            step,
            source_validation(
                lambda: network(task.validation.features), task.validation, task.classes, weights
            ),
            config.epochs,
            config.patience,
            progress,
            moving={
                "optimiser": optimiser, "source": source_order, "target": target_order, "floor": floor_draws
            },
            kept=kept,
            processes=processes,
        )  # fmt: skip
    return Learned(probabilities_of(network), fit.curves, fit.best_epoch, network=network)


def _floor(
    network: AnchoredClassifier, features: Tensor, batch: int, config: TrainConfig, generator: torch.Generator
) -> float:
    """Sum over layers of what two batches of the source alone give."""
    rows = torch.randperm(len(features), generator=generator)[
        : 8 * batch
    ]  # enough for the floor's four draws
    with torch.no_grad():
        projected = network.project(features[rows])
    layers = range(projected.shape[1])
    return math.fsum(coral_noise_floor(projected[:, k], batch, config.coral, generator) for k in layers)

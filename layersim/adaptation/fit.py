"""The training loop: cross-entropy on the labelled source, CORAL against the unlabelled target.

``L = CE + gamma * sum over layers of CORAL`` (Upadhyay et al. 2024). The target comes as
`UnlabelledFeatures`, which have no emotions: no loss and no selection can read one. The epoch whose weights
are kept is chosen on the *source's* validation split.

Every random stream (initial weights and dropout, the source's order, the target's order, the noise floor)
has a seed of its own, so that with gamma = 0 the weights are those of training without the target, and the
same seed gives the same bytes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from layersim.adaptation.coral import coral_loss, coral_noise_floor
from layersim.adaptation.data import MINIMUM_SOURCE, LabelledFeatures, UnlabelledFeatures
from layersim.adaptation.network import AnchoredClassifier
from layersim.adaptation.settings import TrainConfig
from layersim.errors import LayersimError
from layersim.metrics import uar
from layersim.workspace import Progress, no_progress

CURVES = (
    "epoch",
    "cross_entropy",
    "coral",
    "gamma_coral",
    "coral_floor",
    "source_validation_cross_entropy",
    "source_validation_uar",
)


@dataclass(frozen=True)
class Fit:
    """A trained network and how its training went.

    Attributes
    ----------
    network : AnchoredClassifier
        With the weights of ``best_epoch``, in evaluation mode.
    curves : DataFrame
        One row per epoch, columns `CURVES`. Losses are means over the epoch's steps; ``coral`` and
        ``coral_floor`` are sums over layers, NaN without a target; the floor is what two batches of the
        source alone give (`coral_noise_floor`).
    best_epoch : int, >= 1
    """

    network: AnchoredClassifier
    curves: pd.DataFrame
    best_epoch: int


def fit(
    source: LabelledFeatures,
    validation: LabelledFeatures,
    target: UnlabelledFeatures | None,
    classes: Sequence[str],
    batch: int,
    settings: TrainConfig,
    seed: int,
    progress: Progress = no_progress,
) -> Fit:
    """Train one network.

    Parameters
    ----------
    source, validation : LabelledFeatures, standardised
        The source's train and validation splits; every label is one of ``classes``.
    target : UnlabelledFeatures, standardised, optional
        The target's train split. None: no CORAL.
    classes : sequence of str
        The order of the logits.
    batch : int, >= 2
        Rows per step from each side; at most the rows that each has.
    seed : int
    progress : callable
        Called after every epoch with ``("training", epoch, settings.epochs)``.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        If the batch is larger than a side, or a label is not a class.
    LayersimError
        If the loss stops being finite.
    """
    smallest = min(len(source), len(source) if target is None else len(target))
    if not 2 <= batch <= smallest:
        raise ValueError(f"batch must be 2 to {smallest} (the smaller side's rows), got {batch}")
    if len(source) < MINIMUM_SOURCE:
        raise ValueError(f"source must have at least {MINIMUM_SOURCE} rows, got {len(source)}")
    truth = _class_numbers(source, classes)
    validation_truth = _class_numbers(validation, classes)
    weights = _class_weights(truth, len(classes)) if settings.class_weights == "balanced" else None
    loss_function = nn.CrossEntropyLoss(weight=weights)
    own_seed, source_seed, target_seed, floor_seed = _streams(seed)
    source_order = _batches(len(source), batch, source_seed)
    target_order = None if target is None else _batches(len(target), batch, target_seed)
    floor_draws = torch.Generator().manual_seed(floor_seed)
    rows: list[tuple[float, ...]] = []
    best: tuple[float, float] | None = None
    best_epoch, best_weights = 0, {}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(own_seed)
        _, layers, width = source.features.shape
        network = AnchoredClassifier(layers, width, len(classes), settings.projection, settings.dropout)
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        for epoch in range(1, settings.epochs + 1):
            network.train()
            losses = []
            for _ in range(len(source) // batch):
                chosen = next(source_order)
                projected = network.project(source.features[chosen])
                cross_entropy = loss_function(network.classify(projected), truth[chosen])
                loss, coral = cross_entropy, torch.tensor(math.nan)
                if target is not None and target_order is not None:
                    coral = _coral(projected, network.project(target.features[next(target_order)]), settings)
                    loss = cross_entropy + settings.gamma * coral
                if not torch.isfinite(loss):
                    raise LayersimError(
                        f"training stopped in epoch {epoch}: the loss is {float(loss.detach())}. Lower "
                        f"learning_rate ({settings.learning_rate}) or gamma ({settings.gamma}) in "
                        "layersim.toml, table [train]."
                    )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append((float(cross_entropy.detach()), float(coral.detach())))
            floor = math.nan if target is None else _floor(network, source, batch, settings, floor_draws)
            validated, validated_entropy = _validate(
                network, validation, validation_truth, classes, loss_function
            )
            entropy, coral_mean = (math.fsum(column) / len(losses) for column in zip(*losses, strict=True))
            rows.append(
                (entropy, coral_mean, settings.gamma * coral_mean, floor, validated_entropy, validated)
            )
            progress("training", epoch, settings.epochs)
            if best is None or (validated, -validated_entropy) > best:
                best, best_epoch = (validated, -validated_entropy), epoch
                best_weights = copy.deepcopy(network.state_dict())
            elif epoch - best_epoch >= settings.patience:
                break
    network.load_state_dict(best_weights)
    network.eval()
    curves = pd.DataFrame(rows, columns=list(CURVES[1:]))
    curves.insert(0, CURVES[0], range(1, len(rows) + 1))
    return Fit(network, curves, best_epoch)


def _streams(seed: int) -> list[int]:
    """Derive independent seeds for the four random streams."""
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(4, np.uint32)]


def _batches(rows: int, batch: int, seed: int) -> Iterator[Tensor]:
    """Give batches of a random order of all rows, for ever; what fills no batch waits for a new order."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(rows, generator=generator)
        yield from order[: rows // batch * batch].split(batch)


def _class_numbers(part: LabelledFeatures, classes: Sequence[str]) -> Tensor:
    place = {name: number for number, name in enumerate(classes)}
    strange = sorted(set(part.emotions) - set(place))
    if strange:
        raise ValueError(f"emotions {strange} are not in classes {list(classes)}")
    return torch.tensor([place[name] for name in part.emotions])


def _class_weights(truth: Tensor, classes: int) -> Tensor:
    """N / (C · N_c): every class weighs the same in the sum over the train split; 0 for an absent one."""
    counts = torch.bincount(truth, minlength=classes).float()
    return torch.where(counts > 0, len(truth) / (classes * counts.clamp(min=1)), torch.zeros_like(counts))


def _coral(source: Tensor, target: Tensor, settings: TrainConfig) -> Tensor:
    """Sum over layers of the CORAL losses of projected batches, each (B, K, projection)."""
    layers = range(source.shape[1])
    return torch.stack([coral_loss(source[:, k], target[:, k], settings.coral) for k in layers]).sum()


def _floor(
    network: AnchoredClassifier,
    source: LabelledFeatures,
    batch: int,
    settings: TrainConfig,
    generator: torch.Generator,
) -> float:
    """Sum over layers of what two batches of the source alone give."""
    rows = torch.randperm(len(source), generator=generator)[: 8 * batch]  # enough for the floor's four draws
    with torch.no_grad():
        projected = network.project(source.features[rows])
    layers = range(projected.shape[1])
    return math.fsum(coral_noise_floor(projected[:, k], batch, settings.coral, generator) for k in layers)


def _validate(
    network: AnchoredClassifier,
    validation: LabelledFeatures,
    truth: Tensor,
    classes: Sequence[str],
    loss_function: nn.CrossEntropyLoss,
) -> tuple[float, float]:
    """Return UAR over the classes that the validation split has, and the cross-entropy."""
    network.eval()
    with torch.no_grad():
        logits = network(validation.features)
        entropy = float(loss_function(logits, truth))
    guess = [classes[number] for number in logits.argmax(dim=1).tolist()]
    return uar(validation.emotions, guess), entropy

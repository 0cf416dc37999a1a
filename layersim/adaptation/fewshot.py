"""Few-shot learning and unsupervised adaptation: class similarity learnt in episodes, drawn to the target.

A network embeds utterances so that those of one emotion lie together. It is trained in episodes: a few source
utterances of each class make prototypes, others are told apart by them (`layersim.adaptation.prototypes`).
Unlabelled target utterances draw the embedding to the target by CORAL: ``L = episode loss + gamma * CORAL``.
After training a prototype is the mean of *all* source train embeddings of its class; an utterance is of the
class whose prototype is nearest.

The paper at hand says so much and no more: that class similarity is learnt from source samples in episodes
and adapted to the target without target labels, from several source corpora (which here are one source, put
together). The form of the episodes, the loss, the adaptation term and every number are layersim's choice.

Conventions
-----------
- A class with fewer rows than an episode asks for makes every class's share smaller, in proportion; what was
  drawn is in the details.
- CORAL compares embeddings without dropout, as many rows of the episode as of the target, and the target's
  batches draw from a stream of their own: with ``gamma = 0`` the target changes nothing, and is measured all
  the same.
- Episodes hold each class equally often, so ``class_weights`` weighs the validation cross-entropy only (which
  decides between epochs of equal UAR), and ``batch`` is not used.
- Refined prototypes (off unless asked for) are one step of soft k-means over source and target train.

References
----------
Ahn, Lee & Shin, "Cross-Corpus Speech Emotion Recognition Based on Few-Shot Learning and Domain Adaptation",
IEEE Signal Processing Letters 28, 2021.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from layersim.adaptation.batches import Batches, class_numbers, class_weights, streams
from layersim.adaptation.checkpoint import Checkpoint
from layersim.adaptation.coral import Form, coral_loss, coral_noise_floor
from layersim.adaptation.loop import require_finite, run_epochs, source_validation
from layersim.adaptation.network import AnchoredClassifier
from layersim.adaptation.prototypes import (
    Distance,
    class_means,
    draw_episode,
    episode_loss,
    prototype_logits,
    refine,
)
from layersim.adaptation.settings import NetworkMethodConfig
from layersim.adaptation.task import Learned, Probabilities, Task
from layersim.errors import LayersimError
from layersim.settings import setting
from layersim.workspace import Progress, no_progress


class FewshotConfig(NetworkMethodConfig):
    """How episodes are drawn, compared and adapted."""

    section: ClassVar[str] = "train.fewshot"
    paper: ClassVar[str] = "Ahn, Lee & Shin 2021, few-shot learning and domain adaptation"
    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}}  # no number of it is at hand

    ways: int | None = setting(None, "classes per episode; none given: all (not in source)", ge=2)
    shots: int = setting(5, "support utterances per class and episode (not in source)", ge=1)
    queries: int = setting(5, "query utterances per class and episode (not in source)", ge=1)
    episodes: int = setting(20, "episodes per epoch, each one step (not in source)", ge=1)
    embedding: int = setting(64, "dimensions of the embedding (not in source)", ge=1)
    distance: Distance = setting(
        "euclidean", "euclidean = squared Euclidean distance; cosine = 1 - cosine (not in source)"
    )
    temperature: float = setting(
        1.0,
        "what distances are divided by; lower tells classes apart more sharply, cosine wants about 0.1 "
        "(not in source)",
        gt=0,
        allow_inf_nan=False,
    )
    gamma: float = setting(
        0.1, "weight of CORAL between embeddings, no unit (not in source)", ge=0, allow_inf_nan=False
    )
    coral: Form = setting(
        "frobenius",
        "frobenius = ||Cs - Ct||_F; squared = ||Cs - Ct||_F^2 / (4 D^2) of Deep CORAL (not in source)",
    )
    refinement: bool = setting(
        False, "whether prototypes are refined with the unlabelled target (not in source)"
    )


class PrototypeNetwork(nn.Module):
    """An embedding with a prototype per class; its logits are negative distances over the temperature.

    Parameters
    ----------
    layers, width : int
        Of the features (N, K, 2D): K and 2D.
    classes : int
    config : FewshotConfig
        Sizes, dropout, distance and temperature.
    """

    prototypes: Tensor  # (C, E)

    def __init__(self, layers: int, width: int, classes: int, config: FewshotConfig) -> None:
        super().__init__()
        self.body = AnchoredClassifier(layers, width, config.embedding, config.projection, config.dropout)
        self.distance, self.temperature = config.distance, config.temperature
        self.register_buffer("prototypes", torch.zeros(classes, config.embedding))

    def embed(self, features: Tensor) -> Tensor:
        """Embed features, with dropout in training: (n, K, 2D) to (n, E)."""
        embedded: Tensor = self.body(features)
        return embedded

    def embed_whole(self, features: Tensor) -> Tensor:
        """Embed features without dropout, in training too: no random number is drawn."""
        projected = torch.relu(self.body.project(features)).flatten(start_dim=1)
        embedded: Tensor = self.body.classifier(projected)
        return embedded

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits of features: (n, K, 2D) to (n, C)."""
        return prototype_logits(self.embed(features), self.prototypes, self.distance, self.temperature)


def learn_fewshot(
    task: Task,
    config: FewshotConfig,
    seed: int,
    progress: Progress = no_progress,
    *,
    kept: Checkpoint | None = None,
) -> Learned:
    """Train the embedding in episodes of the source, adapted to the target, and set the prototypes.

    Parameters
    ----------
    kept : Checkpoint, optional
        Where epochs are kept, so that a killed training goes on.

    Returns
    -------
    Learned
        ``curves``: per epoch ``episode_loss``, ``coral``, ``gamma_coral``, ``coral_floor`` (what two batches
        of the source alone give) and the source's validation. ``details``: ``episode`` with ``ways``,
        ``shots`` and ``queries`` as drawn, and with refinement ``target_share``, the target's rows per class
        as they moved the prototypes. ``network``: a `PrototypeNetwork`.

    Raises
    ------
    ValueError
        If the features have not the shape (N, K, 2D).
    LayersimError
        If there are fewer classes than ``ways``, a class has fewer than two source utterances, or the loss
        stops being finite.
    """
    if task.source.features.ndim != 3:
        raise ValueError(f"features must have shape (N, K, 2D), got {tuple(task.source.features.shape)}")
    truth = class_numbers(task.source.emotions, task.classes)
    ways, shots, queries = _episode_size(task, config)
    own_seed, episode_seed, target_seed, floor_seed = streams(seed, 4)
    members = [(truth == number).nonzero().flatten() for number in range(len(task.classes))]
    draws = torch.Generator().manual_seed(episode_seed)
    floor_draws = torch.Generator().manual_seed(floor_seed)
    rows = min(ways * (shots + queries), len(task.target))
    target_order = Batches(len(task.target), rows, target_seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(own_seed)
        _, layers, width = task.source.features.shape
        network = PrototypeNetwork(layers, width, len(task.classes), config)
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

        def step(epoch: int) -> dict[str, float]:
            losses = []
            for _ in range(config.episodes):
                episode = draw_episode(members, ways, shots, queries, draws)
                chosen = torch.cat([episode.support, episode.query], dim=1)  # (ways, shots + queries)
                features = task.source.features[chosen.flatten()]
                embedded = network.embed(features).unflatten(0, chosen.shape)
                entropy = episode_loss(
                    embedded[:, :shots], embedded[:, shots:], config.distance, config.temperature
                )
                coral = _coral(network, features, task, target_order, config)
                loss = entropy + config.gamma * coral if config.gamma else entropy
                require_finite(loss, epoch, config)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append((float(entropy.detach()), float(coral.detach())))
            entropy_mean, coral_mean = (
                math.fsum(column) / len(losses) for column in zip(*losses, strict=True)
            )
            with torch.no_grad():
                embedded = network.embed_whole(task.source.features)
            return {
                "episode_loss": entropy_mean,
                "coral": coral_mean,
                "gamma_coral": config.gamma * coral_mean,
                "coral_floor": coral_noise_floor(embedded, rows, config.coral, floor_draws),
            }

        def validation_logits() -> Tensor:
            embedded = network.embed(task.source.features)
            network.prototypes = class_means(embedded, truth, len(task.classes))
            logits: Tensor = network(task.validation.features)
            return logits

        weight = class_weights(truth, len(task.classes)) if config.class_weights == "balanced" else None
        validate = source_validation(validation_logits, task.validation, task.classes, weight)
        fit = run_epochs(
            network, step, validate, config.epochs, config.patience, progress, kept=kept,
            moving={"optimiser": optimiser, "episodes": draws, "target": target_order, "floor": floor_draws},
        )  # fmt: skip
    details: dict[str, Any] = {"episode": {"ways": ways, "shots": shots, "queries": queries}}
    if config.refinement:
        details["target_share"] = _refine(network, task, truth)

    def probabilities(features: Tensor) -> Probabilities:
        with torch.no_grad():
            values: Probabilities = network(features).double().softmax(dim=1).numpy()
        return values

    return Learned(probabilities, fit.curves, fit.best_epoch, details, network)


def _episode_size(task: Task, config: FewshotConfig) -> tuple[int, int, int]:
    """Return ways, shots and queries that every class has rows for."""
    ways = len(task.classes) if config.ways is None else config.ways
    if ways > len(task.classes):
        raise LayersimError(
            f"layersim.toml, table [{config.section}]: ways is {ways}, and there are {len(task.classes)} "
            f"classes ({', '.join(task.classes)}). Lower it, or leave it out for all classes."
        )
    counts = task.source.counts(task.classes)
    rarest = min(counts, key=counts.__getitem__)
    smallest, asked = counts[rarest], config.shots + config.queries
    if smallest < 2:
        raise LayersimError(
            f"few-shot learning: the source has {smallest} train utterance of {rarest}; an episode needs 2 "
            "of every class, one for support and one to be told apart. Extract more (a larger --limit, or "
            "none), or leave the class out (--emotions)."
        )
    if smallest >= asked:
        return ways, config.shots, config.queries
    shots = min(max(1, smallest * config.shots // asked), smallest - 1)
    return ways, shots, smallest - shots


def _coral(
    network: PrototypeNetwork,
    features: Tensor,
    task: Task,
    target_order: Iterator[Tensor],
    config: FewshotConfig,
) -> Tensor:
    """CORAL of as many of the episode's rows as a target batch has."""
    batch = next(target_order)
    # An episode's rows come class by class: where fewer are wanted, they are taken evenly from all.
    evenly = torch.arange(len(batch)) * len(features) // len(batch)
    source = network.embed_whole(features[evenly])
    return coral_loss(source, network.embed_whole(task.target.features[batch]), config.coral)


def _refine(network: PrototypeNetwork, task: Task, truth: Tensor) -> dict[str, float]:
    with torch.no_grad():
        source, target = network.embed(task.source.features), network.embed(task.target.features)
        network.prototypes, share = refine(
            network.prototypes, source, truth, target, network.distance, network.temperature
        )
    return dict(zip(task.classes, share.tolist(), strict=True))

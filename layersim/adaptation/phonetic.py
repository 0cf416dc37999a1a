"""Phonetic anchoring: vowels that two languages share hold their embeddings together.

``L = CE(source utterances) + CE(source segments) + weight * M``: the metric loss M (see
`layersim.adaptation.contrastive`) brings segments of one vowel of the two languages together and keeps
different vowels apart. The source's segments of these vowels carry their utterance's emotion in the second
term, which can be left out. Of the target, phones are read and emotions are not.

``pa`` sees the top layer only, ``pa-avg`` the mean of the layers, ``pa-atn`` a learnt mixture of them.

The three random streams (initial weights and dropout, the source's order, the segments) have seeds of their
own: with weight = 0 the target bears on nothing but which vowels both corpora have.

References
----------
Upadhyay et al., "Phonetic anchor-based transfer learning to facilitate unsupervised cross-lingual speech
emotion recognition", ICASSP 2023. Upadhyay, Busso & Lee, Interspeech 2024, which compares with it under the
names PA, PA-Avg and PA-Atn. Loss forms, constants and the network are layersim's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from layersim.adaptation.batches import Batches, class_numbers, class_weights, streams
from layersim.adaptation.checkpoint import Checkpoint
from layersim.adaptation.contrastive import contrastive_loss, triplet_loss
from layersim.adaptation.data import VowelSegments
from layersim.adaptation.loop import require_finite, run_epochs, source_validation
from layersim.adaptation.phonetic_network import PhoneticClassifier
from layersim.adaptation.settings import LAYER_ANCHORING, NetworkMethodConfig
from layersim.adaptation.task import Learned, Probabilities, Task
from layersim.adaptation.vowel_anchors import choose_anchors
from layersim.errors import LayersimError
from layersim.settings import setting
from layersim.workspace import Progress, no_progress

PHONETIC_ANCHORING = "Upadhyay et al. 2023, phonetic anchoring"

LayersUse = Literal["top", "average", "attention"]


class PhoneticConfig(NetworkMethodConfig):
    """Settings of ``pa``, ``pa-avg`` and ``pa-atn``."""

    section: ClassVar[str] = "train.pa"
    paper: ClassVar[str] = PHONETIC_ANCHORING
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}}  # it states no number

    layers_use: LayersUse = setting(
        "top",
        "top (pa): the top layer only; average (pa-avg): mean of the layers; attention (pa-atn): their sum, "
        "weighted by the softmax of one learnt number per layer",
        paper=LAYER_ANCHORING,
    )
    loss: Literal["triplet", "contrastive"] = setting(
        "triplet",
        "form of the metric loss between the two languages' segments: triplet = all triplets, content once "
        "the margin is kept, so that what a vowel's segments differ in, emotion too, may stay; contrastive = "
        "supervised contrastive, which draws them together further (not in source)",
    )
    weight: float = setting(
        1.0, "weight of the metric loss, no unit (not in source)", ge=0, allow_inf_nan=False
    )
    temperature: float = setting(
        0.1, "contrastive: what cosines are divided by (not in source)", gt=0, allow_inf_nan=False
    )
    margin: float = setting(
        0.2,
        "triplet: by how much another vowel shall be farther, in squared distances of unit vectors "
        "(not in source)",
        ge=0,
        le=4,
    )
    vowel_cross_entropy: bool = setting(
        True, "whether source segments learn their utterance's emotion too (not in source)"
    )
    anchor_vowels: Literal["shared", "alike"] = setting(
        "shared",
        "shared: every vowel that both corpora have; alike: those of them that stand most alike among the "
        "others in both corpora, measured without labels, for want of the source's own test, which is "
        "whether they behave alike under emotion",
    )
    alike_share: float = setting(
        0.5,
        "anchor_vowels = alike: share of the shared vowels that is kept, at least two (not in source)",
        gt=0,
        le=1,
    )
    minimum_segments: int = setting(
        5, "segments that an anchor vowel needs in each train split (not in source)", ge=1
    )
    vowels_per_batch: int = setting(8, "vowels per step; all, where there are fewer (not in source)", ge=2)
    segments_per_vowel: int = setting(
        8, "segments per step of each vowel in each language (not in source)", ge=1
    )
    attention_rate: float = setting(
        10.0,
        "attention: step size of the layers' weights, in multiples of learning_rate; they do not decay "
        "(not in source)",
        gt=0,
        allow_inf_nan=False,
    )


def learn_phonetic(
    task: Task,
    config: PhoneticConfig,
    seed: int,
    progress: Progress = no_progress,
    *,
    kept: Checkpoint | None = None,
) -> Learned:
    """Train the network of phonetic anchoring.

    Parameters
    ----------
    task : Task
        With both ``source_vowels`` and ``target_vowels``, of the same layers as ``source.features``; with
        ``layers_use = "top"`` of one layer.
    kept : Checkpoint, optional
        Where epochs are kept, so that a killed training goes on.

    Returns
    -------
    Learned
        Curves: per epoch the means of ``cross_entropy``, ``vowel_cross_entropy`` (NaN if it is switched
        off), ``metric_loss`` and ``weighted_metric_loss``. Details: ``layer_weights`` (K numbers, sum 1),
        ``anchor_vowels`` with their segment counts, ``vowel_similarity`` (see
        `layersim.adaptation.vowel_anchors`).

    Raises
    ------
    LayersimError
        If a corpus has no vowel segments, fewer than two vowels have enough of them on both sides, or the
        loss stops being finite.
    ValueError
        If the shapes of the task do not fit each other or ``layers_use``.
    """
    source_vowels, target_vowels = _require_vowels(task, config)
    anchors = choose_anchors(
        source_vowels,
        target_vowels,
        config.minimum_segments,
        config.alike_share if config.anchor_vowels == "alike" else 1.0,
        (_corpus(task.source.keys), _corpus(task.target.keys)),
    )
    truth = class_numbers(task.source.emotions, task.classes)
    vowel_truth = truth[source_vowels.utterance]
    weight, vowel_weight = (
        class_weights(numbers, len(task.classes)) if config.class_weights == "balanced" else None
        for numbers in (truth, vowel_truth[torch.cat(anchors.source_rows)])
    )
    loss_function, vowel_loss_function = nn.CrossEntropyLoss(weight), nn.CrossEntropyLoss(vowel_weight)
    own_seed, source_seed, vowel_seed = streams(seed, 3)
    batch = min(config.batch, len(task.source))
    source_order = Batches(len(task.source), batch, source_seed)
    vowel_draws = torch.Generator().manual_seed(vowel_seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(own_seed)
        network = PhoneticClassifier(
            layers=task.source.features.shape[1],
            width=source_vowels.features.shape[2],
            classes=len(task.classes),
            projection=config.projection,
            dropout=config.dropout,
            attention=config.layers_use == "attention",
        )
        optimiser = _optimiser(network, config)

        def step(epoch: int) -> dict[str, float]:
            losses = []
            for _ in range(len(task.source) // batch):
                chosen = next(source_order)
                cross_entropy = loss_function(network(task.source.features[chosen]), truth[chosen])
                source_rows, target_rows, vowels = anchors.draw(
                    config.vowels_per_batch, config.segments_per_vowel, vowel_draws
                )
                source = network.embed_vowels(source_vowels.features[source_rows])
                target = network.embed_vowels(target_vowels.features[target_rows])
                metric = _metric_loss(source, target, vowels, config)
                loss, vowel_cross_entropy = cross_entropy + config.weight * metric, torch.tensor(math.nan)
                if config.vowel_cross_entropy:
                    vowel_cross_entropy = vowel_loss_function(
                        network.classify(source), vowel_truth[source_rows]
                    )
                    loss = loss + vowel_cross_entropy
                require_finite(loss, epoch, config)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append([float(part.detach()) for part in (cross_entropy, vowel_cross_entropy, metric)])
            entropy, vowel_entropy, metric_mean = np.mean(losses, axis=0).tolist()
            return {
                "cross_entropy": entropy,
                "vowel_cross_entropy": vowel_entropy,
                "metric_loss": metric_mean,
                "weighted_metric_loss": config.weight * metric_mean,
            }

        validate = source_validation(
            lambda: network(task.validation.features), task.validation, task.classes, weight
        )
        fit = run_epochs(
            network, step, validate, config.epochs, config.patience, progress, kept=kept,
            moving={"optimiser": optimiser, "source": source_order, "vowels": vowel_draws},
        )  # fmt: skip

    def probabilities(features: Tensor) -> Probabilities:
        with torch.no_grad():
            return np.asarray(torch.softmax(network(features).double(), dim=1).numpy())

    details = {
        "layer_weights": network.layer_weights.detach().tolist(),
        "anchor_vowels": anchors.counts(),
        "vowel_similarity": anchors.similarity,
    }
    return Learned(probabilities, fit.curves, fit.best_epoch, details, network)


def _metric_loss(source: Tensor, target: Tensor, vowels: Tensor, config: PhoneticConfig) -> Tensor:
    if config.loss == "triplet":
        return triplet_loss(source, target, vowels, vowels, config.margin)
    return contrastive_loss(source, target, vowels, vowels, config.temperature)


def _optimiser(network: PhoneticClassifier, config: PhoneticConfig) -> torch.optim.Optimizer:
    """AdamW; the layers' weights, which start equal and have far to go, take larger steps."""
    rest = [part for name, part in network.named_parameters() if name != "layer_logits"]
    groups: list[dict[str, Any]] = [
        {"params": rest},
        {"params": [network.layer_logits], "lr": config.attention_rate * config.learning_rate,
         "weight_decay": 0.0},
    ]  # fmt: skip
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)


def _require_vowels(task: Task, config: PhoneticConfig) -> tuple[VowelSegments, VowelSegments]:
    """Refuse a task without vowel segments, or with such as do not fit it."""
    _, layers, width = task.source.features.shape
    if config.layers_use == "top" and layers != 1:
        raise ValueError(f"layers_use 'top' takes one layer, got {layers}")
    found = []
    for part, vowels in ((task.source, task.source_vowels), (task.target, task.target_vowels)):
        if vowels is None or not len(vowels):
            name = _corpus(part.keys)
            raise LayersimError(
                f"{name}: its train split has no vowel segments, which phonetic anchoring compares. Make "
                "them (layersim align), or name the alignments that there are (layersim.toml, "
                f"[corpora.{name}], alignments = ...); then layersim extract --force."
            )
        if vowels.features.shape != (len(vowels), layers, width / 2):
            raise ValueError(
                f"vowels of utterances (N, {layers}, {width}) must have shape ({len(vowels)}, {layers}, "
                f"{width / 2:g}), got {tuple(vowels.features.shape)}"
            )
        if not 0 <= int(vowels.utterance.min()) <= int(vowels.utterance.max()) < len(part):
            raise ValueError(
                f"vowels name utterances {int(vowels.utterance.min())} to {int(vowels.utterance.max())}, "
                f"the part has {len(part)}"
            )
        found.append(vowels)
    return found[0], found[1]


def _corpus(keys: tuple[str, ...]) -> str:
    return keys[0].partition("/")[0]

"""Layer anchoring on the encoder itself: CORAL's gradient moves the blocks, and not a projection alone.

``L = CE(source) + gamma · Σ over anchors of CORAL(source, target)`` (Upadhyay et al. 2024). The anchored
blocks' outputs are pooled over valid frames, standardised, and go through `AnchoredClassifier`; CORAL
compares the corpora in the standardised pooled outputs, or in their projections.

Standardisation: mean and scale of every feature over a corpus's train split, labels unread, each utterance
heard whole, measured with the encoder as it comes and fixed from then on (or measured anew after every
epoch). They are buffers of the network. Predictions are for the target, by the target's statistics; the
source's validation split is standardised by the source's.

Random streams (initial weights, dropout, the two orders, the two crops, the noise floor) have seeds of their
own. With gamma = 0 no utterance of the target goes through the network in training, so the weights are those
of training without a target. On a CPU the same seed gives the same bytes; a GPU adds up in varying order.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from layersim.adaptation.batches import Batches, class_numbers, class_weights, streams
from layersim.adaptation.coral import coral_noise_floor, summed_coral
from layersim.adaptation.distributed import ALONE, Processes, cross_entropy
from layersim.adaptation.finetune.anchored_network import AnchoredEncoder, Side
from layersim.adaptation.finetune.audio import FinetuneTask, LearnedFromAudio, Wave, Waveforms
from layersim.adaptation.finetune.crops import cut_at
from layersim.adaptation.finetune.epochs import run_kept_epochs, seed_torch
from layersim.adaptation.finetune.lora import add_lora, require_reached
from layersim.adaptation.finetune.settings import FinetuneConfig
from layersim.adaptation.finetune.trainable import TrainableEncoder
from layersim.adaptation.loop import require_finite, source_validation
from layersim.adaptation.task import Probabilities
from layersim.corpus.audio import SAMPLE_RATE
from layersim.encoders.encoder import Encoder
from layersim.errors import LayersimError
from layersim.workspace import Progress, no_progress

FLOOR_BATCHES = 8  # of an epoch's last source outputs: enough for the floor's four draws of two


def learn_anchored_finetune(
    task: FinetuneTask,
    encoder: Encoder,
    layers: Sequence[str],
    config: FinetuneConfig,
    seed: int,
    progress: Progress = no_progress,
    folder: Path | None = None,
    processes: Processes = ALONE,
) -> LearnedFromAudio:
    """Train the encoder and a classifier on its anchored layers; epochs are chosen by source validation.

    Parameters
    ----------
    task : FinetuneTask
    encoder : Encoder
        Stays as it is; training works on a copy, on the same device.
    layers : sequence of str
        The anchors, frame layers of the encoder.
    config : FinetuneConfig
    seed : int
    progress : callable
        Called after every epoch.
    folder : Path, optional
        Where epochs are kept, so that a killed training goes on (`layersim.adaptation.finetune.epochs`).
    processes : Processes
        Those that share every batch; all call this alike, and ``probabilities`` too. But for rounding the
        numbers are those of one process, if nothing is dropped: what is, is drawn by each for itself.

    Returns
    -------
    LearnedFromAudio
        ``details``: mode, layers, how many weights were trained in encoder and classifier, the modules with
        adapters, how features were standardised.

    Raises
    ------
    LayersimError
        If the encoder lacks a layer, peft is missing for ``lora``, a corpus is too small, the loss stops
        being finite, or the folder holds another training.
    """
    batch = _batch(task, config)
    processes.require(batch)
    own_seed, epoch_seed, step_seed = streams(seed, 3)
    validation, classes = task.validation, task.classes
    with torch.random.fork_rng(devices=[encoder.device] if encoder.device.type == "cuda" else []):
        seed_torch(own_seed)
        hearing = TrainableEncoder(encoder, layers, config.precision, config.checkpointing)
        adapted: tuple[str, ...] = ()
        if config.mode == "lora":
            adapted = add_lora(hearing, config)
        else:
            hearing.release(config.freeze_feature_extractor)
        network = AnchoredEncoder(hearing, len(classes), config.projection, config.dropout, processes)
        steps = _Steps(task, network, config, batch, step_seed)
        steps.measure()
        fit = run_kept_epochs(
            network,
            steps.optimiser,
            steps.run,
            source_validation(
                lambda: network.logits(validation.waveforms, "source", batch),
                validation.labels(),
                classes,
                steps.weight,
            ),
            epochs=config.epochs,
            patience=config.patience,
            seed=epoch_seed,
            folder=folder,
            identity=identify("la", task, encoder, seed, config.model_dump(mode="json"), list(layers)),
            progress=progress,
            processes=processes,
        )

    def probabilities(waves: Sequence[Wave]) -> Probabilities:
        return np.asarray(network.logits(waves, "target", batch).double().softmax(dim=1).numpy())

    details = {
        "mode": config.mode,
        "layers": list(layers),
        "trained_weights": {
            "encoder": sum(weight.numel() for weight in hearing.trained().values()),
            "classifier": sum(weight.numel() for weight in network.head.parameters()),
        },
        "adapted": list(adapted),
        "standardise": config.standardise,
        "measure": config.measure,
    }
    return LearnedFromAudio(probabilities, fit.curves, fit.best_epoch, network, details)


class _Steps:
    """The steps of one training: what they draw, what they add up."""

    def __init__(
        self, task: FinetuneTask, network: AnchoredEncoder, config: FinetuneConfig, batch: int, seed: int
    ) -> None:
        self.task, self.network, self.config, self.batch = task, network, config, batch
        self.truth = class_numbers(task.source.emotions, task.classes)
        balanced = config.class_weights == "balanced"
        self.weight = class_weights(self.truth, len(task.classes)) if balanced else None
        self.device = network.encoder.device
        self.processes = network.processes
        self.samples = round(config.crop_seconds * SAMPLE_RATE)
        rate = config.lora_learning_rate if config.mode == "lora" else config.encoder_learning_rate
        groups: list[dict[str, Any]] = [
            {"params": list(network.encoder.trained().values()), "lr": rate},
            {"params": list(network.head.parameters())},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
        self.seed = seed

    def measure(self) -> None:
        """Measure the statistics that features are standardised by, with the encoder as it is now."""
        network = self.network
        network.measure(self.task.source.waveforms, "source", self.batch)
        if self.config.standardise == "corpus":
            network.measure(self.task.target.waveforms, "target", self.batch)
        else:
            network.share_statistics()

    def run(self, epoch: int) -> dict[str, float]:
        """Train one epoch."""
        config, network, processes = self.config, self.network, self.processes
        weight = None if self.weight is None else self.weight.to(self.device)
        orders, target_orders, crops, target_crops, floors = streams(streams(self.seed, epoch)[-1], 5)
        source, target = self.task.source, self.task.target
        steps = len(source) // self.batch
        chosen_rows = islice(Batches(len(source), self.batch, orders), steps)
        target_rows = Batches(len(target), self.batch, target_orders) if config.gamma else None
        rng, target_rng = np.random.default_rng(crops), np.random.default_rng(target_crops)
        entropies, corals, outputs = [], [], list[Tensor]()
        for number, chosen in enumerate(chosen_rows, start=1):
            features = self._hear(source.waveforms, chosen, "source", rng)
            truth = self.truth[processes.share(chosen)].to(self.device)
            loss = entropy = cross_entropy(network.head(features), truth, weight, processes)
            if target_rows is not None:
                others = self._hear(target.waveforms, next(target_rows), "target", target_rng)
                ours = self._compared(features)
                coral = summed_coral(ours, self._compared(others), config.coral, processes)
                loss = loss + config.gamma * coral
                corals.append(float(coral.detach()))
                outputs = [*outputs, processes.gather(ours.detach().cpu(), self.batch)][-FLOOR_BATCHES:]
            require_finite(loss, epoch, config)
            (loss / config.accumulate).backward()
            if config.mode == "lora" and epoch == number == 1:
                require_reached(network.encoder)
            if number % config.accumulate == 0 or number == steps:
                processes.average_gradients(network.parameters())
                for group in self.optimiser.param_groups:  # apart: CORAL's part must not shrink the other's
                    nn.utils.clip_grad_norm_(group["params"], config.clip)
                self.optimiser.step()
                self.optimiser.zero_grad()
            entropies.append(float(entropy.detach()))
        losses = {"cross_entropy": math.fsum(entropies) / steps}
        if corals:
            mean = math.fsum(corals) / steps
            losses |= {"coral": mean, "gamma_coral": config.gamma * mean}
            losses["coral_floor"] = _floor(torch.cat(outputs), self.batch, config, floors)
        if config.measure == "epoch":
            self.measure()
        return losses

    def _hear(self, waves: Waveforms, chosen: Tensor, side: Side, rng: np.random.Generator) -> Tensor:
        """Hear this process's share of a batch, cut where one process would cut it."""
        draws = rng.random(len(chosen))
        own = self.processes.share(chosen)
        prepared = self.network.prepared(waves[own])
        places = self.processes.share(torch.from_numpy(draws)).tolist()
        cut = [cut_at(wave, self.samples, place) for wave, place in zip(prepared, places, strict=True)]
        return self.network.features(cut, side)

    def _compared(self, features: Tensor) -> Tensor:
        """What CORAL compares: (B, K, 2D) or (B, K, projection)."""
        return features if self.config.compare == "pooled" else self.network.head.project(features)


def identify(method: str, task: FinetuneTask, encoder: Encoder, seed: int, *settings: Any) -> str:
    """Hash all that a training depends on."""
    parts = [method, task.sha256(), encoder.weights_sha256, seed, settings]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _floor(outputs: Tensor, batch: int, config: FinetuneConfig, seed: int) -> float:
    """Sum over layers of what two batches of the source alone give; 0 where it has under 4 rows."""
    if len(outputs) < 4:
        return 0.0
    generator = torch.Generator().manual_seed(seed)
    layers = range(outputs.shape[1])
    return math.fsum(coral_noise_floor(outputs[:, k], batch, config.coral, generator) for k in layers)


def _batch(task: FinetuneTask, config: FinetuneConfig) -> int:
    """Rows per step: as many as asked for, or as the smaller side has."""
    reads_target = config.gamma > 0 or config.standardise == "corpus"
    if len(task.source) < 2 or (reads_target and len(task.target) < 2):
        raise LayersimError(
            f"{len(task.source)} train utterances of the source and {len(task.target)} of the target: at "
            "least two of each are needed. Check the splits of the manifests."
        )
    return min(config.batch, len(task.source), *([len(task.target)] if config.gamma else []))

"""Deep-WCCN end to end: the encoder is trained with the classifier, and with its own loss.

``L = CE + β · (contrastive + α · diversity)`` (Tang et al., arXiv 2311.13678), Adagrad at one step size for
everything. A stretch of ``crop_seconds`` of each utterance, cut at random in training and from the middle in
evaluation, is brought to zero mean and unit variance; the encoder's output (the last block's, after a final
norm if the model has one) is pooled over its valid frames to mean and standard deviation, as it is, and goes
through `WccnClassifier`. Shorter utterances are padded with zeros, which the encoder keeps out.

From `WccnConfig` come the classifier, the losses, the optimiser and the stretch; from `FinetuneConfig`
epochs, patience, and what concerns the encoder alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from layersim.adaptation.batches import Batches, class_numbers, class_weights, streams
from layersim.adaptation.finetune.anchored import identify
from layersim.adaptation.finetune.audio import FinetuneTask, LearnedFromAudio, Wave
from layersim.adaptation.finetune.crops import middle_crop, normalise, random_crop
from layersim.adaptation.finetune.epochs import run_kept_epochs, seed_torch
from layersim.adaptation.finetune.pretext import INSIDE, PretextLoss, without_quantiser
from layersim.adaptation.finetune.settings import FinetuneConfig
from layersim.adaptation.finetune.trainable import TrainableEncoder
from layersim.adaptation.loop import require_finite, source_validation
from layersim.adaptation.task import Probabilities
from layersim.adaptation.wccn import WccnClassifier, WccnConfig
from layersim.corpus.audio import SAMPLE_RATE
from layersim.encoders.encoder import Encoder
from layersim.errors import LayersimError
from layersim.workspace import Progress, no_progress


class WccnEncoder(nn.Module):
    """Encoder and `WccnClassifier`.

    Parameters
    ----------
    encoder : TrainableEncoder
        That hears the model's own output.
    classes : int, C >= 2
    config : WccnConfig
    pretext : Module, optional
        What the encoder's own loss needs beside the encoder.
    """

    def __init__(
        self, encoder: TrainableEncoder, classes: int, config: WccnConfig, pretext: nn.Module | None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = WccnClassifier(
            encoder.width, classes, config.embedding, config.dropout, config.smoothing, config.whitening
        )
        # The encoder within it is in this network already.
        beside = (
            [] if pretext is None else [part for name, part in pretext.named_children() if name != INSIDE]
        )
        self.pretext = nn.ModuleList(beside)
        self.samples = round(config.crop_seconds * SAMPLE_RATE)
        self.to(encoder.device)

    def forward(self, waves: Sequence[Wave], labels: Tensor | None = None) -> Tensor:
        """Return the logits of normalised stretches: (B, C)."""
        logits: Tensor = self.head(self.encoder(waves), labels)
        return logits

    @torch.no_grad()
    def embed(self, waves: Sequence[Wave]) -> Tensor:
        """Return the whitened embeddings of utterances, (N, E), on the CPU."""
        return torch.cat([self.head.embed(self.encoder(part)).cpu() for part in self._each(waves)])

    @torch.no_grad()
    def logits(self, waves: Sequence[Wave]) -> Tensor:
        """Return the logits of utterances, (N, C), on the CPU."""
        return torch.cat([self(part).cpu() for part in self._each(waves)])

    def _each(self, waves: Sequence[Wave]) -> Iterator[list[Wave]]:
        size = 32 if self.encoder.device.type == "cuda" else 1  # on a CPU more at a time are no faster
        for first in range(0, len(waves), size):
            places = range(first, min(first + size, len(waves)))
            yield [normalise(middle_crop(waves[place], self.samples)) for place in places]


def learn_wccn_finetune(
    task: FinetuneTask,
    encoder: Encoder,
    pretext: nn.Module | None,
    config: WccnConfig,
    finetune: FinetuneConfig,
    seed: int,
    progress: Progress = no_progress,
    folder: Path | None = None,
) -> LearnedFromAudio:
    """Train encoder and `WccnClassifier` on the source; epochs are chosen by its validation split.

    Parameters
    ----------
    task : FinetuneTask
        The target is not read and may be empty.
    encoder : Encoder
        Stays as it is; training works on a copy, on the same device.
    pretext : Module or None
        What `layersim.adaptation.finetune.pretext.load_pretext` gives for this encoder; None: with beta = 0.
    config : WccnConfig
    finetune : FinetuneConfig
        Mode ``full``.
    seed : int
    progress : callable
        Called after every epoch.
    folder : Path, optional
        Where epochs are kept, so that a killed training goes on.

    Returns
    -------
    LearnedFromAudio
        ``network.embed(waveforms)`` gives the embeddings that a picture of them needs. ``details``: how many
        weights were trained, whether there was ``whitening``, and ``measured``, the mini-batches per class
        behind its covariance (None without whitening).

    Raises
    ------
    LayersimError
        If beta is not 0 and there is no quantiser, the mode is not ``full``, the source is too small, the
        loss stops being finite, or the folder holds another training.

    References
    ----------
    Tang et al., arXiv 2311.13678.
    """
    if finetune.mode != "full":
        raise LayersimError(f"wccn trains the whole encoder, not {finetune.mode}: full in its place.")
    if config.beta and pretext is None:
        raise LayersimError(without_quantiser(encoder, "was given without a quantiser"))
    if len(task.source) < 2:
        raise LayersimError(f"{len(task.source)} train utterance of the source: at least two are needed.")
    own_seed, epoch_seed, step_seed = streams(seed, 3)
    validation, classes = task.validation, task.classes
    with torch.random.fork_rng(devices=[encoder.device] if encoder.device.type == "cuda" else []):
        seed_torch(own_seed)
        # Copied together, so that the copies share the encoder as the originals do.
        body, pretext = copy.deepcopy((encoder.body, pretext if config.beta else None))
        hearing = TrainableEncoder(encoder, None, finetune.precision, finetune.checkpointing, body)
        hearing.release(finetune.freeze_feature_extractor)
        network = WccnEncoder(hearing, len(classes), config, pretext)
        own_loss = None
        if pretext is not None:
            for part in (network.pretext, body.model.masked_spec_embed):
                part.requires_grad_(True)
            own_loss = PretextLoss(
                pretext, body, config.alpha, finetune.mask_probability, finetune.mask_frames,
                finetune.reduction,
            )  # fmt: skip
        steps = _Steps(task, network, own_loss, config, finetune, step_seed)
        settings = [part.model_dump(mode="json") for part in (config, finetune)]
        fit = run_kept_epochs(
            network,
            steps.optimiser,
            steps.run,
            source_validation(
                lambda: network.logits(validation.waveforms), validation.labels(), classes, steps.weight
            ),
            epochs=finetune.epochs,
            patience=finetune.patience,
            seed=epoch_seed,
            folder=folder,
            identity=identify("wccn", task, encoder, seed, *settings),
            progress=progress,
        )

    def probabilities(waves: Sequence[Wave]) -> Probabilities:
        return np.asarray(network.logits(waves).double().softmax(dim=1).numpy())

    layer = network.head.wccn
    details = {
        "mode": finetune.mode,
        "trained_weights": {
            "encoder": sum(weight.numel() for weight in hearing.trained().values()),
            "classifier": sum(weight.numel() for weight in network.head.parameters()),
        },
        "own_loss": own_loss is not None,
        "whitening": config.whitening,
        "measured": None if layer is None else dict(zip(classes, layer.measured.tolist(), strict=True)),
    }
    return LearnedFromAudio(probabilities, fit.curves, fit.best_epoch, network, details)


class _Steps:
    """The steps of one training: what they draw, what they add up."""

    def __init__(
        self,
        task: FinetuneTask,
        network: WccnEncoder,
        own_loss: PretextLoss | None,
        config: WccnConfig,
        finetune: FinetuneConfig,
        seed: int,
    ) -> None:
        self.source, self.network, self.own_loss = task.source, network, own_loss
        self.config, self.accumulate, self.seed = config, finetune.accumulate, seed
        self.batch = min(config.batch, len(task.source))
        self.device = network.encoder.device
        truth = class_numbers(task.source.emotions, task.classes)
        self.weight = class_weights(truth, len(task.classes)) if config.class_weights == "balanced" else None
        self.truth = truth.to(self.device)
        self.loss = nn.CrossEntropyLoss(weight=None if self.weight is None else self.weight.to(self.device))
        self.optimiser = torch.optim.Adagrad(
            [weight for weight in network.parameters() if weight.requires_grad],
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
        )

    def run(self, epoch: int) -> dict[str, float]:
        """Train one epoch."""
        network, config = self.network, self.config
        orders, crops, hidden = streams(streams(self.seed, epoch)[-1], 3)
        rng, mask_rng = np.random.default_rng(crops), np.random.default_rng(hidden)
        steps = len(self.source) // self.batch
        sums: dict[str, list[float]] = {}
        rows = islice(Batches(len(self.source), self.batch, orders), steps)
        for number, chosen in enumerate(rows, start=1):
            waves = [
                normalise(random_crop(wave, network.samples, rng)) for wave in self.source.waveforms[chosen]
            ]
            truth = self.truth[chosen.to(self.device)]
            cross_entropy = self.loss(network(waves, truth), truth)
            loss, terms = cross_entropy, {"cross_entropy": float(cross_entropy.detach())}
            if self.own_loss is not None:
                with network.encoder.arithmetic():
                    own, own_terms = self.own_loss(waves, mask_rng)
                loss = loss + config.beta * own
                terms |= {**own_terms, "beta_own": config.beta * float(own.detach())}
            require_finite(loss, epoch, config)
            (loss / self.accumulate).backward()
            if number % self.accumulate == 0 or number == steps:
                self.optimiser.step()
                self.optimiser.zero_grad()
            for name, value in terms.items():
                sums.setdefault(name, []).append(value)
        return {name: math.fsum(values) / steps for name, values in sums.items()}

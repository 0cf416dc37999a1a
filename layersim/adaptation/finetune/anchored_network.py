"""An encoder, the standardisation of each corpus, and a classifier on the anchored layers: one network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from layersim.adaptation.distributed import ALONE, Processes
from layersim.adaptation.finetune.audio import Wave
from layersim.adaptation.finetune.trainable import TrainableEncoder
from layersim.adaptation.network import AnchoredClassifier
from layersim.adaptation.standardise import measure_statistics

Side = Literal["source", "target"]


class AnchoredEncoder(nn.Module):
    """Encoder, each corpus's standardisation, and the classifier on the anchored layers.

    Parameters
    ----------
    encoder : TrainableEncoder
        That hears the anchored layers.
    classes : int, C >= 2
    projection, dropout
        As `AnchoredClassifier`.
    processes : Processes
        Those among which utterances are divided where all are heard: `measure` and `logits`.
    """

    def __init__(
        self,
        encoder: TrainableEncoder,
        classes: int,
        projection: int,
        dropout: float,
        processes: Processes = ALONE,
    ) -> None:
        super().__init__()
        self.processes = processes
        layers, width = len(encoder.layers or [0]), encoder.width
        self.encoder = encoder
        self.head = AnchoredClassifier(layers, width, classes, projection, dropout)
        for side in ("source", "target"):
            self.register_buffer(f"{side}_mean", torch.zeros(layers, width))
            self.register_buffer(f"{side}_scale", torch.ones(layers, width))
        self.to(encoder.device)

    def features(self, waves: Sequence[Wave], side: Side) -> Tensor:
        """Pool and standardise prepared waves of one corpus: (B, K, 2D)."""
        pooled: Tensor = self.encoder(waves)
        return (pooled - self.get_buffer(f"{side}_mean")) / self.get_buffer(f"{side}_scale")

    def forward(self, waves: Sequence[Wave], side: Side = "target") -> Tensor:
        """Return the logits of prepared waves of one corpus: (B, C)."""
        logits: Tensor = self.head(self.features(waves, side))
        return logits

    def prepared(self, waves: Sequence[Wave]) -> list[Wave]:
        """Do to whole utterances what the checkpoint asks for before they are cut."""
        return [self.encoder.body.prepare(wave) for wave in waves]

    def each(self, waves: Sequence[Wave], batch: int) -> Iterator[list[Wave]]:
        """Give prepared utterances, whole, in batches: on a CPU one at a time, where more are no faster."""
        size = batch if self.encoder.device.type == "cuda" else 1
        for first in range(0, len(waves), size):
            last = min(first + size, len(waves))
            yield self.prepared([waves[place] for place in range(first, last)])

    @torch.no_grad()
    def measure(self, waves: Sequence[Wave], side: Side, batch: int) -> None:
        """Measure one corpus's statistics with the encoder as it is now."""
        self.eval()
        statistics = measure_statistics(self._of_all(waves, batch, self.encoder))
        self.get_buffer(f"{side}_mean").copy_(statistics.mean)
        self.get_buffer(f"{side}_scale").copy_(statistics.scale)

    def share_statistics(self) -> None:
        """Standardise the target by the source's statistics."""
        self.get_buffer("target_mean").copy_(self.get_buffer("source_mean"))
        self.get_buffer("target_scale").copy_(self.get_buffer("source_scale"))

    @torch.no_grad()
    def logits(self, waves: Sequence[Wave], side: Side, batch: int) -> Tensor:
        """Return the logits of whole utterances, on the CPU: (N, C)."""
        return self._of_all(waves, batch, lambda part: self(part, side))

    def _of_all(
        self, waves: Sequence[Wave], batch: int, compute: Callable[[Sequence[Wave]], Tensor]
    ) -> Tensor:
        """Compute something of all utterances, each process of its share: one row each, on the CPU."""
        processes = self.processes if len(waves) >= self.processes.size else ALONE
        own = waves[processes.rank :: processes.size]
        rows = torch.cat([compute(part).cpu() for part in self.each(own, batch)])
        return processes.gather(rows, len(waves))

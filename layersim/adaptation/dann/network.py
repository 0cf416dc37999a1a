"""The network of domain-adversarial training: one encoder, two heads, and reversal before one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from layersim.adaptation.dann.encoders import make_encoder
from layersim.adaptation.dann.settings import DannConfig
from layersim.adaptation.gradient_reversal import reverse_gradient

SOURCE, TARGET = 0, 1  # the domain head's two classes
ROWS_AT_ONCE = 64  # in evaluation: a ResNet-50's maps of a whole corpus would take gigabytes


class DomainAdversarialNetwork(nn.Module):
    """An encoder whose output a label head and a domain head read.

    The domain head has two logits and a cross-entropy over them: a softmax over one unit would be constant,
    with a gradient of exactly zero. The domain head is made last and only if asked for, so encoder and label
    head start from the same weights with and without it.

    Parameters
    ----------
    config : DannConfig
    shape : sequence of int
        Shape of one utterance's features, without the batch.
    classes : int, C >= 2
    """

    def __init__(self, config: DannConfig, shape: Sequence[int], classes: int) -> None:
        super().__init__()
        self.encoder, width = make_encoder(config, shape)
        self.label_head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(width, classes))
        self.domain_head: nn.Module | None = None
        if config.adversarial:
            self.domain_head = nn.Sequential(
                nn.Linear(width, config.domain_hidden), nn.ReLU(), nn.Linear(config.domain_hidden, 2)
            )

    def tell_domains(self, encoded: Tensor, weight: float) -> Tensor:
        """Return the domain head's logits (B, 2); the encoder gets their gradient times ``-weight``.

        Raises
        ------
        ValueError
            If the network has no domain head.
        """
        if self.domain_head is None:
            raise ValueError("the network was made with adversarial=False and has no domain head")
        logits: Tensor = self.domain_head(reverse_gradient(encoded, weight))
        return logits

    def forward(self, features: Tensor) -> Tensor:
        """Return the label head's logits: (B, ...) to (B, C)."""
        logits: Tensor = self.label_head(self.encoder(features))
        return logits


def in_parts(function: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    """Apply a network in evaluation mode to many rows, some at a time and without gradients."""
    with torch.no_grad():
        return torch.cat([function(part) for part in features.split(ROWS_AT_ONCE)])

"""The network that both corpora share: one projection per layer, one classifier on all of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AnchoredClassifier(nn.Module):
    """Per-layer linear projections and an emotion classifier on their concatenation.

    ``logits = W · dropout(relu([P_1 x_1, ..., P_K x_K])) + b``. CORAL compares the corpora in ``P_k x_k``,
    before the nonlinearity. A projection draws no random numbers, so what the target's batches pass
    through leaves the source branch as it is.

    Parameters
    ----------
    layers : int, K >= 1
        How many encoder layers feed it.
    width : int
        Features per layer: mean and standard deviation, 2 D.
    classes : int, C >= 2
    projection : int
        Dimensions of each layer's projection.
    dropout : float, 0..1

    >>> network = AnchoredClassifier(layers=3, width=8, classes=4, projection=5, dropout=0.0)
    >>> network.project(torch.zeros(2, 3, 8)).shape, network(torch.zeros(2, 3, 8)).shape
    (torch.Size([2, 3, 5]), torch.Size([2, 4]))
    """

    def __init__(self, layers: int, width: int, classes: int, projection: int, dropout: float) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(width, projection) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(layers * projection, classes)

    def project(self, features: Tensor) -> Tensor:
        """Project each layer's features by its own map: (B, K, 2D) to (B, K, projection)."""
        projected = [part(features[:, layer]) for layer, part in enumerate(self.projections)]
        return torch.stack(projected, dim=1)

    def classify(self, projected: Tensor) -> Tensor:
        """Return the logits of projected features: (B, K, projection) to (B, C)."""
        logits: Tensor = self.classifier(self.dropout(torch.relu(projected)).flatten(start_dim=1))
        return logits

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits of features: (B, K, 2D) to (B, C)."""
        return self.classify(self.project(features))

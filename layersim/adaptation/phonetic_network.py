"""The network of phonetic anchoring: one embedding for utterances and vowel segments of both languages."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PhoneticClassifier(nn.Module):
    """Layers mixed into one, a projection that vowels and utterances share, and an emotion classifier.

    With x = sum over layers of a_k x_k, split into its mean and its standard deviation:
    ``utterance = P mean + Q std + b``, ``segment = P mean + b``,
    ``logits = W · dropout(relu(embedding)) + c``. What the metric loss takes out of P is gone for utterances
    too; it cannot reach Q, because a segment comes without a standard deviation. An embedding draws no
    random numbers.

    Parameters
    ----------
    layers : int, K >= 1
        How many encoder layers feed it.
    width : int, D
        Features of a segment per layer; an utterance has twice as many.
    classes : int, C >= 2
    projection : int, E
        Dimensions of the embedding.
    dropout : float, 0..1
    attention : bool
        Learn the layers' weights a (softmax of one number per layer); otherwise each is 1/K.

    >>> network = PhoneticClassifier(3, width=4, classes=2, projection=5, dropout=0.0, attention=True)
    >>> network(torch.zeros(6, 3, 8)).shape, network.embed_vowels(torch.zeros(7, 3, 4)).shape
    (torch.Size([6, 2]), torch.Size([7, 5]))
    >>> network.layer_weights.sum()
    tensor(1., grad_fn=<SumBackward0>)
    """

    def __init__(
        self, layers: int, width: int, classes: int, projection: int, dropout: float, attention: bool
    ) -> None:
        super().__init__()
        self.layer_logits = nn.Parameter(torch.zeros(layers), requires_grad=attention)
        self.mean_projection = nn.Linear(width, projection)
        self.spread_projection = nn.Linear(width, projection, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(projection, classes)

    @property
    def layer_weights(self) -> Tensor:
        """How much each layer counts, shape (K,), sum 1."""
        return torch.softmax(self.layer_logits, dim=0)

    def embed_utterances(self, features: Tensor) -> Tensor:
        """Embed mean and standard deviation: (B, K, 2D) to (B, E)."""
        mean, spread = self._mix(features).chunk(2, dim=1)
        embedding: Tensor = self.mean_projection(mean) + self.spread_projection(spread)
        return embedding

    def embed_vowels(self, features: Tensor) -> Tensor:
        """Embed segments: (B, K, D) to (B, E)."""
        embedding: Tensor = self.mean_projection(self._mix(features))
        return embedding

    def classify(self, embedding: Tensor) -> Tensor:
        """Return the logits of embeddings: (B, E) to (B, C)."""
        logits: Tensor = self.classifier(self.dropout(torch.relu(embedding)))
        return logits

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits of utterances: (B, K, 2D) to (B, C)."""
        return self.classify(self.embed_utterances(features))

    def _mix(self, features: Tensor) -> Tensor:
        """Weigh the layers: (B, K, F) to (B, F)."""
        return torch.einsum("k,bkf->bf", self.layer_weights, features)

"""Emotion classification on embeddings whitened by Deep-WCCN: the network, trained on cached features.

``features → linear to 192 → ReLU → dropout → Deep-WCCN → LayerNorm → linear`` (Tang et al., arXiv
2311.13678), cross-entropy on the labelled source, Adagrad. The target is not read. Statistics pooling over
time is in the cached features already, as mean and standard deviation; the work that the source builds on
also pools minimum and maximum, which the cache does not have.

`WccnClassifier` is also the head that is trained together with an encoder. Some of `WccnConfig` is for that
alone, and says so.
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
from layersim.adaptation.loop import require_finite, run_epochs, source_validation
from layersim.adaptation.settings import NetworkMethodConfig
from layersim.adaptation.task import Learned, Probabilities, Task
from layersim.adaptation.within_class import DeepWccn, plain_wccn
from layersim.settings import setting
from layersim.workspace import Progress, no_progress

__all__ = ["DeepWccn", "WccnClassifier", "WccnConfig", "learn_wccn", "plain_wccn"]

TANG = "Tang et al., arXiv 2311.13678"

SHARED = {
    "optimiser": "adagrad",
    "learning_rate": 3e-4,
    "batch": 14,
    "embedding": 192,
    "pooling": "mean-std",
    "alpha": 0.1,
    "crop_seconds": 2.0,
}


class WccnConfig(NetworkMethodConfig):
    """Settings of Deep-WCCN, on cached features and end to end.

    The source tuned weight decay, dropout, λ and β per training set: DECH (German + Mandarin), DEEN (German +
    English) and ENCH (English + Mandarin), each a preset. Their defaults here are the medians of the three.
    """

    section: ClassVar[str] = "train.wccn"
    paper: ClassVar[str] = TANG
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": SHARED,
        "paper-DECH": {**SHARED, "weight_decay": 4e-4, "dropout": 0.45, "smoothing": 0.2, "beta": 8e-4},
        "paper-DEEN": {**SHARED, "weight_decay": 5e-4, "dropout": 0.05, "smoothing": 0.5, "beta": 1.2e-3},
        "paper-ENCH": {**SHARED, "weight_decay": 5e-4, "dropout": 0.3, "smoothing": 0.4, "beta": 1.7e-3},
    }

    # The parent's Literal names the optimiser of the other networks; a method may have its own.
    optimiser: Literal["adagrad"] = setting("adagrad", "Adagrad", paper=TANG)  # type: ignore[assignment]
    learning_rate: float = setting(3e-4, "Adagrad step size", paper=TANG, gt=0, allow_inf_nan=False)
    batch: int = setting(
        14, "utterances per step; as many as the train split has where it is smaller", paper=TANG, ge=2
    )
    weight_decay: float = setting(
        5e-4,
        "L2 penalty in Adagrad's gradient; in the source 4e-4 (DECH) or 5e-4 (DEEN, ENCH)",
        ge=0,
        allow_inf_nan=False,
    )
    dropout: float = setting(
        0.3,
        "share of the embedding dropped in training; in the source 0.45 (DECH), 0.05 (DEEN), 0.3 (ENCH)",
        ge=0,
        lt=1,
    )
    smoothing: float = setting(
        0.4,
        "λ: share of the identity in the within-class covariance; in the source 0.2 (DECH), 0.5 (DEEN), "
        "0.4 (ENCH)",
        ge=0,
        le=1,
    )
    embedding: int = setting(192, "dimensions of the embedding", paper=TANG, ge=1)
    pooling: Literal["mean-std"] = setting(
        "mean-std",
        "statistics over time that are the input. The work that the source builds on also has minimum and "
        "maximum; the features cache does not",
        paper=TANG,
    )
    whitening: bool = setting(True, "true: with Deep-WCCN. false: without, for comparison (not in source)")
    beta: float = setting(
        1.2e-3,
        "weight of the encoder's own loss (contrastive + alpha · diversity), fine-tuning only; in the source "
        "8e-4 (DECH), 1.2e-3 (DEEN), 1.7e-3 (ENCH)",
        ge=0,
        allow_inf_nan=False,
    )
    alpha: float = setting(
        0.1,
        "weight of the codebook's diversity in the encoder's own loss, fine-tuning only",
        paper=TANG,
        ge=0,
        allow_inf_nan=False,
    )
    crop_seconds: float = setting(
        2.0,
        "seconds that an utterance is randomly cropped or zero-padded to, fine-tuning only",
        paper=TANG,
        gt=0,
        allow_inf_nan=False,
    )


class WccnClassifier(nn.Module):
    """``linear → ReLU → dropout → Deep-WCCN → LayerNorm → linear`` on pooled features.

    Parameters
    ----------
    width : int
        Input features: 2D per layer.
    classes : int, C >= 2
    embedding : int, E
        Dimensions that are whitened; 192 in the source.
    dropout : float, 0..1
    smoothing : float, 0..1
        λ of `DeepWccn`.
    whitening : bool
        False leaves Deep-WCCN out.

    References
    ----------
    Tang et al., arXiv 2311.13678.

    >>> network = WccnClassifier(width=8, classes=4, embedding=5, dropout=0.0, smoothing=0.4).eval()
    >>> network.embed(torch.zeros(3, 8)).shape, network(torch.zeros(3, 8)).shape
    (torch.Size([3, 5]), torch.Size([3, 4]))
    """

    def __init__(
        self,
        width: int,
        classes: int,
        embedding: int,
        dropout: float,
        smoothing: float,
        whitening: bool = True,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(width, embedding)
        self.dropout = nn.Dropout(dropout)
        self.wccn = DeepWccn(embedding, classes, smoothing) if whitening else None
        self.norm = nn.LayerNorm(embedding)
        self.classifier = nn.Linear(embedding, classes)

    def embed(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the whitened embeddings, before LayerNorm: (B, width) or (B, K, width / K) to (B, E).

        ``labels``, shape (B,), int64, are needed in training with Deep-WCCN, which they update.
        """
        hidden: Tensor = self.dropout(torch.relu(self.project(x.flatten(start_dim=1))))
        return hidden if self.wccn is None else self.wccn(hidden, labels)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the logits (B, C); arguments as in `embed`."""
        logits: Tensor = self.classifier(self.norm(self.embed(x, labels)))
        return logits


def learn_wccn(
    task: Task,
    config: WccnConfig,
    seed: int,
    progress: Progress = no_progress,
    *,
    kept: Checkpoint | None = None,
) -> Learned:
    """Train a `WccnClassifier` on the source; epochs are chosen by the source's validation split.

    Parameters
    ----------
    task : Task
        With features (N, K, 2D), K >= 1: all layers are laid side by side. The target is not read.
    config : WccnConfig
    seed : int
        Of the initial weights, the dropout and the order of the source.
    progress : callable
        Called after every epoch.
    kept : Checkpoint, optional
        Where epochs are kept, so that a killed training goes on.

    Returns
    -------
    Learned
        ``network.embed(features)`` gives the embeddings that a picture of them needs. ``details``: whether
        ``whitening`` was on, the input's ``width``, and ``measured``, the mini-batches per class that its
        covariance is an average of at the best epoch (None without whitening).

    Raises
    ------
    LayersimError
        If the loss stops being finite, or the smoothing is too small to invert the covariance.

    References
    ----------
    Tang et al., arXiv 2311.13678; there the encoder is trained too.
    """
    source, validation, classes = task.source, task.validation, task.classes
    truth = class_numbers(source.emotions, classes)
    weight = class_weights(truth, len(classes)) if config.class_weights == "balanced" else None
    loss_function = nn.CrossEntropyLoss(weight=weight)
    own_seed, order_seed = streams(seed, 2)
    batch = min(config.batch, len(source))
    order = Batches(len(source), batch, order_seed)
    features = source.features.flatten(start_dim=1)  # (N, K · 2D)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(own_seed)
        network = WccnClassifier(
            features.shape[1],
            len(classes),
            config.embedding,
            config.dropout,
            config.smoothing,
            config.whitening,
        )
        optimiser = torch.optim.Adagrad(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

        def step(epoch: int) -> dict[str, float]:
            losses = []
            for _ in range(len(source) // batch):
                chosen = next(order)
                loss = loss_function(network(features[chosen], truth[chosen]), truth[chosen])
                require_finite(loss, epoch, config)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append(float(loss.detach()))
            return {"cross_entropy": math.fsum(losses) / len(losses)}

        validate = source_validation(lambda: network(validation.features), validation, classes, weight)
        fit = run_epochs(
            network, step, validate, config.epochs, config.patience, progress, kept=kept,
            moving={"optimiser": optimiser, "order": order},
        )  # fmt: skip

    def probabilities(rows: Tensor) -> Probabilities:
        with torch.no_grad():
            return np.asarray(network(rows).double().softmax(dim=1).numpy())

    measured = None
    if network.wccn is not None:
        measured = dict(zip(classes, network.wccn.measured.tolist(), strict=True))
    details = {"whitening": config.whitening, "width": features.shape[1], "measured": measured}
    return Learned(probabilities, fit.curves, fit.best_epoch, details, network)

"""The encoders that both heads share: a small network, a 1-D CNN, a ResNet-50.

Batch normalisation
-------------------
The CNN and the ResNet normalise by batches. In training, source and target rows go through in *one* batch
(`layersim.adaptation.dann.learn`): both are normalised by the same statistics, which are also what is
remembered for evaluation. Two separate passes would normalise each side by its own statistics, hide the
corpora's offset from the domain head, and then evaluate by a mixture that neither side was trained with.

`restart_statistics`, called before every epoch, makes the remembered statistics the plain mean over that
epoch's batches. The usual running mean keeps a tenth of each batch: with the few batches that a small corpus
has, validation would see the initial weights' statistics for many epochs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from layersim.adaptation.dann.planes import PLANES, planes_from_sequences
from layersim.adaptation.dann.settings import DannConfig


def make_encoder(config: DannConfig, shape: Sequence[int]) -> tuple[nn.Module, int]:
    """Make an encoder with random weights, from torch's global random numbers.

    Parameters
    ----------
    shape : sequence of int
        One utterance's features: (K, 2D) or any other for ``features``, (channels, frames) for ``conv1d``,
        (92, frames) or (planes, bins, frames) for ``resnet50``.

    Returns
    -------
    encoder : Module
        Features (B, *shape) to (B, width).
    width : int

    Raises
    ------
    ValueError
        If the encoder cannot read features of this shape.
    """
    if config.encoder == "features":
        return feature_encoder(shape, config.projection, config.dropout), config.projection
    if config.encoder == "conv1d":
        if len(shape) != 2:
            raise ValueError(f"conv1d reads features (N, channels, frames), got (N, {_sizes(shape)})")
        encoder = SequenceEncoder(shape[0], config.conv_channels, config.conv_kernel, config.projection)
        return encoder, config.projection
    if len(shape) not in (2, 3):
        raise ValueError(
            f"resnet50 reads features (N, channels, frames) or (N, planes, bins, frames), got "
            f"(N, {_sizes(shape)})"
        )
    planes = shape[0] if len(shape) == 3 else len(PLANES)
    return PlaneEncoder(planes, config), config.resnet_widths[-1]


def _sizes(shape: Sequence[int]) -> str:
    return ", ".join(str(size) for size in shape)


def feature_encoder(shape: Sequence[int], width: int, dropout: float) -> nn.Sequential:
    """Two dense layers on the flattened features of an utterance; it normalises nothing by batches."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(int(torch.Size(shape).numel()), width),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(width, width),
        nn.ReLU(),
    )


class SequenceEncoder(nn.Module):
    """A 1-D CNN over frames: (B, channels, frames) to (B, width), for any number of frames.

    Convolutions of stride 2, each with batch normalisation and ReLU; then mean and maximum over time, and a
    dense layer.
    """

    def __init__(self, channels: int, widths: Sequence[int], kernel: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for entering, leaving in zip((channels, *widths), widths, strict=False):
            layers += [
                nn.Conv1d(entering, leaving, kernel, stride=2, padding=kernel // 2, bias=False),
                nn.BatchNorm1d(leaving),
                nn.ReLU(),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Linear(2 * widths[-1], width)

    def forward(self, sequences: Tensor) -> Tensor:
        """Encode utterances."""
        over_time = self.convolutions(sequences)  # (B, widths[-1], shorter)
        pooled = torch.cat([over_time.mean(dim=2), over_time.amax(dim=2)], dim=1)
        return torch.relu(self.dense(pooled))


class PlaneEncoder(nn.Module):
    """transformers' ResNet with bottlenecks and random weights: planes to (B, widths[-1]).

    Reads (B, 92, frames), of which it makes planes, or planes (B, planes, bins, frames) as they are.
    """

    def __init__(self, planes: int, config: DannConfig) -> None:
        from transformers import ResNetConfig, ResNetModel  # slow to import, and for this encoder alone

        super().__init__()
        self.size = (config.plane_bins, config.plane_frames)
        self.resnet = ResNetModel(
            ResNetConfig(
                num_channels=planes,
                embedding_size=64,
                hidden_sizes=list(config.resnet_widths),
                depths=list(config.resnet_depths),
                layer_type="bottleneck",
            )
        )

    def forward(self, features: Tensor) -> Tensor:
        """Encode utterances."""
        planes = planes_from_sequences(features, *self.size) if features.ndim == 3 else features
        pooled: Tensor = self.resnet(planes).pooler_output  # (B, widths[-1], 1, 1)
        return pooled.flatten(start_dim=1)


def restart_statistics(network: nn.Module) -> None:
    """Forget what batch normalisation remembers; what follows is remembered as a plain mean over batches."""
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.reset_running_stats()
            module.momentum = None

"""A trained encoder as a checkpoint of its own, which `layersim extract` and transformers can load."""

from __future__ import annotations

from pathlib import Path

import torch

from layersim.adaptation.finetune.lora import merged_weights
from layersim.adaptation.finetune.trainable import TrainableEncoder
from layersim.encoders.checkpoint import find_checkpoint
from layersim.encoders.load import quiet
from layersim.errors import LayersimError


def write_encoder(encoder: TrainableEncoder, checkpoint: str, folder: Path) -> None:
    """Write configuration, feature extractor and weights (safetensors), adapters added in.

    What training did not have, such as Whisper's decoder, is taken from the checkpoint. The classifier is
    not part of it.

    Parameters
    ----------
    encoder : TrainableEncoder
        As in the network that a training returned.
    checkpoint : str
        What the encoder was loaded from; a folder or hub id.
    folder : Path
        New or empty.

    Raises
    ------
    LayersimError
        If the folder holds something, or the checkpoint is of another model.
    """
    if folder.exists() and any(folder.iterdir()):
        raise LayersimError(f"{folder}: is not empty. Name a new folder.")
    from transformers import AutoFeatureExtractor, AutoModel

    weights = merged_weights(encoder)
    with quiet():
        place = str(find_checkpoint(checkpoint).folder)
        model = AutoModel.from_pretrained(
            place, use_safetensors=True, dtype=torch.float32, local_files_only=True
        )
        own = model.state_dict()
        if strange := [name for name, value in weights.items()
                       if name not in own or own[name].shape != value.shape]:  # fmt: skip
            raise LayersimError(
                f"{checkpoint}: is not what this encoder was trained from ({strange[0]} is not in it, or has "
                "another shape). Name that checkpoint."
            )
        model.load_state_dict({name: value.cpu() for name, value in weights.items()}, strict=False)
        model.save_pretrained(folder)
        AutoFeatureExtractor.from_pretrained(place, local_files_only=True).save_pretrained(folder)

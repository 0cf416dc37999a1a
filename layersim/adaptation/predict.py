"""Label new recordings with a trained model: audio in, the probability of each emotion out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor

from layersim.adaptation.model_file import TrainedModel, load_model
from layersim.adaptation.task import probabilities_of
from layersim.corpus.audio import audio_samples, read_audio
from layersim.errors import LayersimError
from layersim.features.pooling import pool_layers
from layersim.workspace import Progress, Workspace, encoder_slug, no_progress

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder, HiddenStates


def predict(
    model: Path,
    audio: Sequence[Path],
    *,
    encoder: str | None = None,
    device: str = "auto",
    progress: Progress = no_progress,
) -> pd.DataFrame:
    """Label recordings.

    They are standardised by the statistics that the model keeps: those of its target's train split (of its
    source's for a model trained without target statistics). A recording of a third corpus is out of place
    there; the result does not tell.

    Parameters
    ----------
    model : Path
        A ``model.safetensors``, or its folder.
    audio : sequence of Path
        One utterance each, any format and rate that soundfile reads.
    encoder : str, optional
        Hub id or folder of the encoder. Default: the one that was trained with the model and stands beside
        it; else that of the workspace that the model stands in, if it has the model's name; else the
        checkpoint that the model names.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Returns
    -------
    DataFrame
        One row per recording, in order: ``file``, ``emotion`` (the most probable), ``probability`` (its),
        and one column per emotion, 0..1.

    Raises
    ------
    LayersimError
        If the model or encoder cannot be read, or the encoder's weights are not those of the training.
    AudioError
        If a recording cannot be used.
    """
    trained = load_model(model)
    for file in audio:  # before the encoder is loaded: a file that cannot be used is said at once
        audio_samples(file)
    loaded = _load_encoder(trained, encoder or _find_encoder(trained, model), device)
    rows, probabilities = [], probabilities_of(trained.network)
    for done, file in enumerate(audio):
        progress("labelling", done, len(audio))
        pooled = _pool(loaded, loaded.encode([read_audio(file)]), trained.description.layers)
        rows.append(probabilities(trained.statistics.apply(pooled))[0])
    progress("labelling", len(audio), len(audio))
    classes = trained.description.classes
    table = pd.DataFrame(rows, columns=list(classes), dtype=float)
    best = [classes[int(row.argmax())] for row in rows]
    table.insert(0, "file", [str(file) for file in audio])
    table.insert(1, "emotion", best)
    table.insert(2, "probability", [float(row.max()) for row in rows])
    return table


def _find_encoder(trained: TrainedModel, model: Path) -> str:
    """Return the encoder beside the model, that of the workspace around it if it is the one, or its name."""
    described = trained.description.encoder
    beside = (model if model.is_dir() else model.parent) / described["checkpoint"]
    if beside.is_dir():
        return str(beside)
    revision = f"@{described['revision']}" if described["revision"] else ""
    checkpoint = f"{described['checkpoint']}{revision}"
    try:
        workspace = Workspace.find(model.resolve().parent)
    except LayersimError:  # a model may stand anywhere
        return checkpoint
    own = workspace.encoder.partition("@")[0]
    return workspace.encoder if encoder_slug(own) == encoder_slug(described["checkpoint"]) else checkpoint


def _load_encoder(trained: TrainedModel, checkpoint: str, device: str) -> Encoder:
    from layersim.encoders.load import load_encoder

    described = trained.description.encoder
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        encoder = load_encoder(
            checkpoint,
            device=device,
            precision=described["precision"],
            stack=described["stack"],
            max_seconds=described["max_seconds"],
            whisper_window=described.get("whisper_window", "full"),
        )
    except LayersimError as error:
        raise LayersimError(
            f"{error} The model was trained on features of {described['checkpoint']}; name its folder or hub "
            "id with --encoder."
        ) from None
    if encoder.weights_sha256 != described["weights_sha256"]:
        raise LayersimError(
            f"{checkpoint}: its weights (sha256 {encoder.weights_sha256[:12]}...) are not those the model "
            f"was trained on ({described['checkpoint']}, sha256 {described['weights_sha256'][:12]}...). Name "
            "that encoder with --encoder, or train again with this one."
        )
    return encoder


def _pool(encoder: Encoder, states: HiddenStates, layers: Sequence[str]) -> Tensor:
    """Pool one utterance as the features are: (1, K, 2D) for the model's layers."""
    mean, std = pool_layers(states.frames, states.counts, states.prompt)
    places = [encoder.layers.index(layer) for layer in layers]
    return torch.cat([mean[:, places], std[:, places]], dim=2).float().cpu()

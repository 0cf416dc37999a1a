"""Training an encoder with whichever method: the encoder is loaded, and the method's own training called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from layersim.adaptation.distributed import ALONE, Processes
from layersim.adaptation.finetune.anchored import learn_anchored_finetune
from layersim.adaptation.finetune.lora import add_lora
from layersim.adaptation.finetune.method import encoder_settings
from layersim.adaptation.finetune.pretext import load_pretext
from layersim.adaptation.finetune.settings import FinetuneConfig
from layersim.adaptation.finetune.trainable import TrainableEncoder
from layersim.adaptation.finetune.wccn import learn_wccn_finetune
from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError
from layersim.features.memory import is_out_of_memory
from layersim.workspace import Progress, no_progress

if TYPE_CHECKING:
    from layersim.adaptation.finetune.audio import FinetuneTask, LearnedFromAudio
    from layersim.adaptation.method import Method
    from layersim.encoders.encoder import Encoder


def place_of(device: str) -> str:
    """Return where to train: ``auto`` is a GPU where there is one."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def encoder_loader(
    checkpoint: str, described: Mapping[str, Any], device: str = "auto", processes: Processes = ALONE
) -> Callable[[], Encoder]:
    """Return what loads the encoder of the features when it is first asked for, and then keeps it.

    Parameters
    ----------
    described : mapping
        What the features say of their encoder: it must be this one.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Returns
    -------
    callable
        Raises LayersimError if the checkpoint's weights are not those of the features.
    """

    @functools.cache
    def load() -> Encoder:
        place = place_of(device)
        if place == "cuda" and processes.size > 1:  # each process has a GPU of its own
            place = f"cuda:{processes.local}"
        encoder = load_encoder(
            checkpoint, device=place, max_seconds=described["max_seconds"],
            whisper_window=described.get("whisper_window", "full"),
        )  # fmt: skip
        if encoder.weights_sha256 != described["weights_sha256"]:
            raise LayersimError(
                f"{checkpoint}: its weights (sha256 {encoder.weights_sha256[:12]}...) are not those that the "
                f"features were made with (sha256 {described['weights_sha256'][:12]}...). Extract again: "
                "layersim extract --force."
            )
        return encoder

    return load


def learn_from_audio(
    method: Method,
    task: FinetuneTask,
    seed: int,
    encoder: Encoder,
    checkpoint: str,
    progress: Progress = no_progress,
    folder: Path | None = None,
    processes: Processes = ALONE,
) -> LearnedFromAudio:
    """Train a copy of the encoder, and a classifier on it, with a method that trains encoders.

    Parameters
    ----------
    method : Method
        As `layersim.adaptation.finetune.method.finetune_method` gives it.
    checkpoint : str
        Where the encoder came from; Deep-WCCN reads the encoder's own loss there.
    folder : Path, optional
        Where epochs are kept, so that a killed training goes on.
    processes : Processes
        Those that share the batches of layer anchoring.

    Raises
    ------
    LayersimError
        See `learn_anchored_finetune` and `learn_wccn_finetune`.
    """
    config = method.settings.config
    try:
        if isinstance(config, FinetuneConfig):
            return learn_anchored_finetune(
                task, encoder, method.layers, config, seed, progress, folder, processes
            )
        pretext = load_pretext(checkpoint, encoder) if config.beta else None
        return learn_wccn_finetune(
            task, encoder, pretext, config, encoder_settings(config), seed, progress, folder
        )
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise LayersimError(
            f"{method.name}: the GPU has too little memory to train this encoder ({error}). The epochs that "
            "were finished are kept, for the same settings. Lower batch or crop_seconds, set checkpointing = "
            "true (layersim.toml, [train.finetune]), or train on --device cpu."
        ) from error


def require_trainable(method: Method, encoder: Encoder, checkpoint: str) -> None:
    """Refuse what `learn_from_audio` would find to be impossible only later: this takes seconds.

    Raises
    ------
    LayersimError
        If the encoder lacks a layer or a quantiser, has no module for an adapter, or peft is missing; if the
        precision is not for this device.
    """
    config = method.settings.config
    if isinstance(config, FinetuneConfig):
        hearing = TrainableEncoder(encoder, method.layers, config.precision)
        if config.mode == "lora":
            with torch.random.fork_rng(devices=[]):
                add_lora(hearing, config)
        return
    if config.beta:
        load_pretext(checkpoint, encoder)
    TrainableEncoder(encoder, None, encoder_settings(config).precision)

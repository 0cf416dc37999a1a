"""The settings of the extract stage."""

from __future__ import annotations

from typing import ClassVar, Literal

from layersim.settings import StageConfig, setting


class ExtractConfig(StageConfig):
    """Settings of the extract stage."""

    section: ClassVar[str] = "extract"

    limit: int | None = setting(
        None, "Take so many utterances per corpus, balanced over emotions and speakers (none: all).", ge=1
    )
    store: Literal["pooled", "frames"] = setting(
        "pooled", "Keep pooled vectors only, or every frame in half precision too (gigabytes per hour)."
    )
    phones: Literal["vowels", "all"] = setting("vowels", "Which aligned phones to pool.")
    middle: bool = setting(False, "Pool the middle third of each phone too, where its formants are steady.")
    stack: Literal["encoder", "decoder", "both"] = setting(
        "encoder", "Which blocks of an encoder-decoder model (Whisper); others have an encoder only."
    )
    whisper_window: Literal["full", "trim"] = setting(
        "full",
        "Whisper's windows: full (30 s, as trained), or trim (as long as the audio: much faster on short "
        "clips, and other features).",
    )
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "Where the encoder runs (auto: a GPU if any).")
    precision: Literal["fp32", "bf16", "fp16"] = setting(
        "fp32", "Arithmetic of the encoder; pooling is always fp32."
    )
    batch_seconds: float = setting(
        0.0, "Seconds of audio in a batch (0: by the GPU's memory; one utterance at a time on a CPU).", ge=0
    )
    shard_size: int = setting(256, "Utterances per HDF5 file; a killed run loses at most two.", ge=1)
    seed: int = setting(0, "Seed of the utterances that --limit takes.", ge=0)
    engine: Literal["local", "ray"] = setting(
        "local", "What makes the shards: this process, or the workers of a Ray cluster."
    )
    address: str | None = setting(
        None, "The Ray cluster: HOST:PORT of its head, or auto (none: one of this machine alone)."
    )

"""Whisper: log-mel windows of fixed length into an encoder, and a decoder on the start token alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from layersim.corpus.audio import SAMPLE_RATE
from layersim.encoders.waveform import Wave
from layersim.encoders.windows import FrameGrid
from layersim.errors import LayersimError


class WhisperBody:
    """Whisper as the encoder sees it.

    Every window is padded to the model's full length (30 s: 3,000 mel frames, 1,500 encoder frames), as in
    training, so windows never influence each other; frames beyond the audio are left out by whoever reads
    the hooks. Padding still reaches the real frames through attention, which is how the model was trained.

    Parameters
    ----------
    model, extractor : transformers WhisperModel and WhisperFeatureExtractor
    stack : "encoder", "decoder" or "both"
        Whose blocks are listened to. The decoder runs on the start-of-transcript token only.
    """

    exact_batching = True

    def __init__(self, model: Any, extractor: Any, stack: str) -> None:
        config = model.config
        if extractor.nb_max_frames != 2 * config.max_source_positions:
            raise LayersimError(
                f"{config.name_or_path}: the feature extractor makes {extractor.nb_max_frames} mel frames "
                f"and the model reads {2 * config.max_source_positions}. Take config.json and "
                "preprocessor_config.json from the same checkpoint."
            )
        self.model = model
        self.extractor = extractor
        self.width: int = config.d_model
        hop = 2 * extractor.hop_length  # the second convolution halves the mel frames' rate
        self.grid = FrameGrid(hop=hop, span=hop, partial=True)
        self.padded_frames: int = config.max_source_positions
        self.blocks: tuple[nn.Module, ...] = () if stack == "decoder" else tuple(model.encoder.layers)
        self.final_norm: nn.Module | None = None if stack == "decoder" else model.encoder.layer_norm
        self.decoder_blocks: tuple[nn.Module, ...] = ()
        self.decoder_norm: nn.Module | None = None
        if stack == "encoder":
            model.decoder = None  # not run, so its memory is given back
        else:
            self.decoder_blocks = tuple(model.decoder.layers)
            self.decoder_norm = model.decoder.layer_norm

    def prepare(self, wave: Wave) -> Wave:
        """Return the wave as it is: Whisper scales each window's spectrogram, not the wave."""
        return wave

    def run(self, windows: Sequence[Wave]) -> tuple[Tensor, Tensor | None]:
        """Run one batch; returns the encoder's (B, 1500, D) and the decoder's (B, 1, D) or None."""
        device = self.model.device
        with torch.autocast(
            device.type, enabled=False
        ):  # spectrograms in full precision, whatever the model's
            mel = self.extractor(
                list(windows), sampling_rate=SAMPLE_RATE, return_tensors="pt", device=str(device)
            )  # where the model is: a GPU makes in a moment what it would wait for
        encoded = self.model.encoder(mel["input_features"].to(device)).last_hidden_state
        if not self.decoder_blocks:
            return encoded, None
        start = self.model.config.decoder_start_token_id
        prompt = torch.full((len(windows), 1), start, dtype=torch.long, device=device)
        decoded = self.model.decoder(input_ids=prompt, encoder_hidden_states=encoded, use_cache=False)
        return encoded, decoded.last_hidden_state

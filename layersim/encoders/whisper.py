"""Whisper: log-mel windows into an encoder, and a decoder on the start token alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from layersim.corpus.audio import SAMPLE_RATE
from layersim.encoders.trimming import clear_padding, trimmed
from layersim.encoders.waveform import Wave
from layersim.encoders.windows import FrameGrid
from layersim.errors import LayersimError


class WhisperBody:
    """Whisper as the encoder sees it.

    Every window is padded to the model's full length (30 s: 3,000 mel frames, 1,500 encoder frames), as in
    training, so windows never influence each other; frames beyond the audio are left out by whoever reads
    the hooks. Padding still reaches the real frames through attention, which is how the model was trained.
    Trimmed windows are as long as their audio: see `layersim.encoders.trimming`.

    Parameters
    ----------
    model, extractor : transformers WhisperModel and WhisperFeatureExtractor
    stack : "encoder", "decoder" or "both"
        Whose blocks are listened to. The decoder runs on the start-of-transcript token only.
    trim : bool
        Whether windows are trimmed.
    """

    exact_batching = True

    def __init__(self, model: Any, extractor: Any, stack: str, trim: bool = False) -> None:
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
        self.held_frames: int = config.max_source_positions
        self.trim = trim
        self.blocks: tuple[nn.Module, ...] = () if stack == "decoder" else tuple(model.encoder.layers)
        self.final_norm: nn.Module | None = None if stack == "decoder" else model.encoder.layer_norm
        self.decoder_blocks: tuple[nn.Module, ...] = ()
        self.decoder_norm: nn.Module | None = None
        if stack == "encoder":
            model.decoder = None  # not run, so its memory is given back
        else:
            self.decoder_blocks = tuple(model.decoder.layers)
            self.decoder_norm = model.decoder.layer_norm

    @property
    def padded_frames(self) -> int | None:
        """Frames of every window; None where they are trimmed."""
        return None if self.trim else self.held_frames

    def prepare(self, wave: Wave) -> Wave:
        """Return the wave as it is: Whisper scales each window's spectrogram, not the wave."""
        return wave

    def run(self, windows: Sequence[Wave]) -> tuple[Tensor, Tensor | None]:
        """Run one batch; returns the encoder's (B, T, D) and the decoder's (B, 1, D) or None.

        T is 1500, or the longest window's frames where they are trimmed.
        """
        counts = [self.grid.count(len(window)) for window in windows]
        device = self.model.device
        mel = self._spectrograms(windows, counts).to(device)
        with trimmed(self.model, counts) if self.trim else nullcontext():
            encoded = self.model.encoder(mel).last_hidden_state
            if not self.decoder_blocks:
                return encoded, None
            start = self.model.config.decoder_start_token_id
            prompt = torch.full((len(windows), 1), start, dtype=torch.long, device=device)
            decoded = self.model.decoder(input_ids=prompt, encoder_hidden_states=encoded, use_cache=False)
            return encoded, decoded.last_hidden_state

    def _spectrograms(self, windows: Sequence[Wave], counts: Sequence[int]) -> Tensor:
        """Return the windows' log-mel spectrograms, (B, mel bins, 2 T), of 30 s each unless trimmed.

        Trimmed ones are cut from the long ones' beginning, to the bit: a column hears half an FFT beyond its
        time, so the few that still hear the audio's end are computed too (the loudest sets the floor).
        """
        hop = self.extractor.hop_length
        length = None
        if self.trim:
            length = (2 * max(counts) - (-self.extractor.n_fft // (2 * hop))) * hop
            length = min(length, self.extractor.n_samples)
        device = self.model.device  # a GPU makes in a moment what it would else wait for
        with torch.autocast(device.type, enabled=False):  # in full precision, whatever the model's
            mel: Tensor = self.extractor(
                list(windows), sampling_rate=SAMPLE_RATE, return_tensors="pt", max_length=length,
                device=str(device),
            )["input_features"]  # fmt: skip
        return clear_padding(mel[:, :, : 2 * max(counts)], counts) if self.trim else mel

"""Whisper: log-mel windows into an encoder, and a decoder on the start token alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from layersim.corpus.audio import SAMPLE_RATE
from layersim.encoders.trimming import clear_padding, trimmed
from layersim.encoders.waveform import Wave, pad, to_device
from layersim.encoders.windows import FrameGrid
from layersim.errors import LayersimError

SPECTROGRAMS = "by torch, on the encoder's device, where there is sound"
"""For provenance: caches made with the extractor's own differ in the last digits."""

_TOLERANCE = 1e-4  # of a log-mel value, which lies between -1.5 and 1.5


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
    scales = False  # but each window's spectrogram

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
        self._filters = torch.from_numpy(extractor.mel_filters.T).float().contiguous()  # (bins, frequencies)
        self._refuse_other_spectrograms(config.name_or_path)

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
        mel = self._spectrograms(windows, counts)
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

        Computed where there is sound. A column hears half an FFT beyond its time, so the few that still hear
        the audio's end are computed too (the loudest sets the floor), and one that hears nothing: so are all
        after it.
        """
        columns, device = 2 * max(counts), self.model.device
        length = columns + math.ceil(self.extractor.n_fft / (2 * self.extractor.hop_length)) + 1
        length = min(length, self.extractor.nb_max_frames)
        waves = to_device(device, pad(windows, length * self.extractor.hop_length, 0.0, device))
        with torch.autocast(device.type, enabled=False):  # in full precision, whatever the model's
            mel = self._log_mel(waves)
        if self.trim:
            return clear_padding(mel[:, :, :columns], counts)
        silence = self.extractor.nb_max_frames - length
        return torch.cat([mel, mel[:, :, -1:].expand(-1, -1, silence)], dim=2) if silence else mel

    def _log_mel(self, waves: Tensor) -> Tensor:
        """Whisper's log-mel spectrogram on the waves' device, as its extractor has it: (B, bins, columns).

        ``max(log10(mel), max(log10(mel)) - 8) / 4 + 1`` of ``mel = filters^T |STFT|^2``, at least 1e-10
        (whisper/audio.py of OpenAI's release).
        """
        if self._filters.device != waves.device:
            self._filters = self._filters.to(waves.device)
        size = self.extractor.n_fft
        window = torch.hann_window(size, device=waves.device)
        spectrum = torch.stft(waves, size, self.extractor.hop_length, window=window, return_complex=True)
        power = (spectrum[..., :-1].abs() ** 2).contiguous()
        loud = torch.clamp(self._filters @ power, min=1e-10).log10()
        return (torch.maximum(loud, loud.amax(dim=(1, 2), keepdim=True) - 8.0) + 4.0) / 4.0

    def _refuse_other_spectrograms(self, name: str) -> None:
        """Refuse a checkpoint whose extractor makes spectrograms otherwise (dithered, scaled)."""
        sound = np.sin(np.arange(SAMPLE_RATE, dtype=np.float32) ** 2 / 30_000)
        own = self.extractor(
            sound, sampling_rate=SAMPLE_RATE, return_tensors="pt", max_length=len(sound)
        )["input_features"]  # fmt: skip
        difference = float((self._log_mel(torch.from_numpy(sound)[None]) - own).abs().max())
        if not difference <= _TOLERANCE:
            raise LayersimError(
                f"{name}: its feature extractor makes other spectrograms than Whisper's (they differ by "
                f"{difference:.1e}, allowed {_TOLERANCE:.0e}): dither, or another scale? Take the "
                "preprocessor_config.json of the original checkpoint."
            )

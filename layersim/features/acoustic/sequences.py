"""Spectra of an utterance's middle three seconds, frame by frame: what a small convolutional network reads.

Conventions
-----------
- 128 frames, one every 375 samples (23.4 ms), each 1,024 samples (64 ms, Hann) long: 48,649 samples, 3.04 s.
- A longer utterance is cut to its middle, since recordings often begin and end with a pause. A shorter one
  stands in the middle of digital silence, with (for an odd difference) the extra sample behind it.
- 92 channels: mel 0..63, MFCC 64..83, spectral contrast 84..90, zero crossings 91 (`CHANNELS`).
- mel: power in 64 bands (Slaney's, 0..8 kHz), in dB of a full-scale power of 1, never below -100 dB. It is
  not relative to the utterance's loudest frame, so loudness stays. MFCC: its first 20 cosine coefficients
  (type 2, orthonormal). Contrast: dB between peaks and valleys of 7 octaves (0..200 Hz .. 6.4..8 kHz).
  Zero crossings: changes of sign per sample, 0..1.
- Frames that hold nothing of the recording have one value per channel, `SILENCE`: -100 dB in every mel band,
  hence -800 as the first MFCC and 0 in all else. -100 dB is below the rounding noise of 16-bit samples (some
  -88 dB a band), so that a pause in speech is not taken for padding, unless it was recorded as exact zeros
  (as up to 0.9 s at the start of a third of RAVDESS's recordings). `recorded_frames` says which frames are.

References
----------
McFee et al., "librosa: Audio and Music Signal Analysis in Python", SciPy 2015.
Jiang et al., "Music type classification by spectral contrast feature", ICME 2002.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from layersim.corpus.audio import SAMPLE_RATE

WINDOW, HOP, FRAMES = 1024, 375, 128  # samples, samples, frames
SPAN = (FRAMES - 1) * HOP + WINDOW  # samples that the frames cover

CHANNELS: Mapping[str, slice] = MappingProxyType({
    "mel": slice(0, 64), "mfcc": slice(64, 84), "contrast": slice(84, 91), "zero_crossings": slice(91, 92),
})  # fmt: skip
WIDTH = 92
FLOOR = -100.0  # dB: 1e-10 of full-scale power, librosa's own limit

SILENCE: npt.NDArray[np.float32] = np.array([FLOOR] * 64 + [FLOOR * 8] + [0.0] * 27, dtype=np.float32)
SILENCE.flags.writeable = False  # (92,); 8 = sqrt(64), the first cosine's weight of 64 equal bands

PARAMETERS: Mapping[str, Any] = MappingProxyType({
    "window": WINDOW, "hop": HOP, "frames": FRAMES, "mel": 64, "mfcc": 20, "contrast": 7,
    "zero_crossings": 1, "floor_db": FLOOR, "part": "middle",
})  # fmt: skip


def sequences(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Compute the channels of one utterance's middle.

    Parameters
    ----------
    wave : ndarray, shape (samples,), 16 kHz, full scale 1

    Returns
    -------
    ndarray, shape (92, 128), float32
        Channels x frames.
    """
    import librosa

    part = middle(wave)
    spectrum = np.abs(librosa.stft(part, n_fft=WINDOW, hop_length=HOP, center=False))  # (513, 128)
    power = librosa.feature.melspectrogram(S=spectrum**2, sr=SAMPLE_RATE, n_mels=64)
    mel = librosa.power_to_db(power, ref=1.0, amin=10 ** (FLOOR / 10), top_db=None)
    contrast = librosa.feature.spectral_contrast(S=spectrum, sr=SAMPLE_RATE)
    contrast[:, ~spectrum.any(axis=0)] = 0.0  # librosa's depends on the loudest frame, also in silence
    channels = (
        mel,
        librosa.feature.mfcc(S=mel, n_mfcc=20),
        contrast,
        librosa.feature.zero_crossing_rate(part, frame_length=WINDOW, hop_length=HOP, center=False),
    )
    return np.concatenate(channels).astype(np.float32)


def middle(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Cut or pad a wave to its middle `SPAN` samples.

    >>> wave = middle(np.ones(3, dtype=np.float32))
    >>> wave.shape, np.flatnonzero(wave)
    ((48649,), array([24323, 24324, 24325]))
    """
    if len(wave) >= SPAN:
        start = (len(wave) - SPAN) // 2
        return wave[start : start + SPAN]
    missing = SPAN - len(wave)
    return np.pad(wave, (missing // 2, missing - missing // 2))


def recorded_frames(samples: int) -> npt.NDArray[np.bool_]:
    """Say which frames hold some of a recording of so many samples, shape (128,); the others are padding.

    >>> np.flatnonzero(recorded_frames(16_000))[[0, -1]]  # samples 16,324 to 32,323 of the 48,649
    array([41, 86])
    """
    starts = np.arange(FRAMES) * HOP
    first = max(0, SPAN - samples) // 2
    return (starts < first + min(samples, SPAN)) & (starts + WINDOW > first)

"""What the encoder is to predict of hidden frames: units of sound, units of prosody, units of its own.

Frame i is centred at 12.5 ms + 20 ms * i, the encoder's own grid.

- *sound*, as HuBERT's first round: 13 MFCC with first and second derivatives, the clip's mean removed;
- *prosody*, which units of sound leave out and emotion lives by: pitch (log2 of the fundamental frequency by
  Praat's autocorrelation, 0 where there is no voice) and its change, voicing, loudness relative to the clip's
  loud frames and its change, and the spectrum's slope (cepstral coefficient 1).

References
----------
Hsu et al., "HuBERT: self-supervised speech representation learning by masked prediction of hidden units",
IEEE/ACM TASLP 29, 2021 (units by k-means on MFCC, then on a middle layer).
Boersma, "Accurate short-term analysis of the fundamental frequency...", IFA Proceedings 17, 1993.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import kaldi_native_fbank
import numpy as np
import parselmouth
from numpy.typing import NDArray

from layersim.corpus.audio import SAMPLE_RATE

if TYPE_CHECKING:
    import torch

WINDOW, HOP = 400, 320  # samples
_FLOOR, _CEILING = 75.0, 600.0  # Hz, the usual range of speech
_MIDDLE = np.log2(200.0)  # Hz


def vectors(clip: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Describe each frame of a clip, shape (n,): its sound, shape (T, 39), and its prosody, shape (T, 6)."""
    cepstra = _cepstra(clip)
    loudness = (cepstra[:, 0] - np.quantile(cepstra[:, 0], 0.9)).clip(min=-10.0)
    pitch = _pitch(clip, len(cepstra))
    voiced = pitch > 0.0
    height = np.where(voiced, np.log2(np.maximum(pitch, 1.0)) - _MIDDLE, 0.0)
    # A step where the voice begins or ends is no change of pitch.
    rise = np.gradient(height) * (np.convolve(voiced, np.ones(3), "same") > 2.5)
    prosody = np.stack(
        [
            2.0 * height,
            10.0 * rise,
            1.5 * voiced,
            loudness / 2.0,
            np.gradient(loudness),
            cepstra[:, 1] / 15.0,
        ],
        axis=1,
    )
    sound = cepstra - cepstra.mean(axis=0)
    first = np.gradient(sound, axis=0)
    sound = np.concatenate([sound, 1.5 * first, 1.5 * np.gradient(first, axis=0)], axis=1)
    return sound.astype(np.float32), prosody.astype(np.float32)


def _cepstra(clip: NDArray[np.float32]) -> NDArray[np.float64]:
    options = kaldi_native_fbank.MfccOptions()
    options.frame_opts.samp_freq = SAMPLE_RATE
    options.frame_opts.frame_length_ms = 1000 * WINDOW / SAMPLE_RATE
    options.frame_opts.frame_shift_ms = 1000 * HOP / SAMPLE_RATE
    options.frame_opts.snip_edges = True
    options.frame_opts.dither = 0.0
    computer = kaldi_native_fbank.OnlineMfcc(options)
    computer.accept_waveform(SAMPLE_RATE, (clip * 32768.0).tolist())  # Kaldi's scale: 16-bit integers
    computer.input_finished()
    return np.stack([computer.get_frame(number) for number in range(computer.num_frames_ready)]).astype(float)


def _pitch(clip: NDArray[np.float32], frames: int) -> NDArray[np.float64]:
    """Return the fundamental frequency at each frame's centre in Hz, 0 where there is none."""
    sound = parselmouth.Sound(clip.astype(np.float64), SAMPLE_RATE)
    track = sound.to_pitch_ac(time_step=HOP / SAMPLE_RATE, pitch_floor=_FLOOR, pitch_ceiling=_CEILING)
    centres = (WINDOW / 2 + HOP * np.arange(frames)) / SAMPLE_RATE
    nearest = np.rint((centres - track.t1) / track.dt).astype(int).clip(0, track.n_frames - 1)
    pitch: NDArray[np.float64] = np.asarray(track.selected_array["frequency"], dtype=float)[nearest]
    return pitch


@dataclass(frozen=True)
class Codebook:
    """Centres of k-means; a frame's unit is the number of the nearest."""

    centres: torch.Tensor  # (K, D)

    @classmethod
    def fit(cls, sample: NDArray[np.float32], size: int, seed: int) -> Codebook:
        """Find centres of frames' vectors, shape (N, D)."""
        import torch
        from sklearn.cluster import MiniBatchKMeans

        means = MiniBatchKMeans(size, batch_size=10_000, n_init=3, max_iter=100, random_state=seed).fit(
            sample
        )
        return cls(torch.from_numpy(means.cluster_centers_.astype(np.float32)))

    def units(self, frames: torch.Tensor) -> torch.Tensor:
        """Return each frame's unit: vectors, shape (..., D), to numbers, shape (...)."""
        # The nearest centre has the greatest x.c - |c|^2 / 2.
        centres = self.centres.to(frames)
        return (frames @ centres.T - centres.square().sum(1) / 2).argmax(-1)

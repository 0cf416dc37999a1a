"""Cepstra with their first and second derivatives: what the built-in aligner hears.

Conventions
-----------
- Frame i is centred at (i + 0.5) * `SHIFT` seconds; an utterance of n seconds has about n / `SHIFT` frames.
- 13 cepstral coefficients of 23 mel bands, the first being the frame's log energy; with both derivatives 39
  columns. Mean and variance are removed per speaker (`Normaliser`), which takes out the microphone and most
  of the voice. They are measured between the silences at both ends (`speech_range`): else a corpus with
  long ones would sound like another.

References
----------
Davis & Mermelstein 1980 (MFCC); Furui 1986 (derivatives); as in Kaldi's ``compute-mfcc-feats``, here by
kaldi-native-fbank, the same code without Kaldi.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from layersim.alignment.builtin.kaldi import native_fbank
from layersim.corpus.audio import SAMPLE_RATE

Frames = NDArray[np.float32]

# Half of what speech recognition takes: times of phones are wanted, to less than 10 ms.
SHIFT = 0.005  # seconds between frames
_WINDOW = 0.02  # seconds
_LOUD = 0.3  # of the way from an utterance's quietest to its loudest frames
_QUIETER = 8.0  # than loud speech: 35 dB as natural log; a breath, mostly, if it is not silence
_ROOM = 40  # frames
_SPAN = 2  # frames to each side that a derivative's regression reads


def cepstra(wave: NDArray[np.float32]) -> Frames:
    """Compute the cepstra of one utterance.

    Parameters
    ----------
    wave : ndarray, shape (n,), float32, 16 kHz, full scale 1

    Returns
    -------
    ndarray, shape (T, 13), float32
        Column 0 is the log energy.
    """
    options = native_fbank().MfccOptions()
    frame = options.frame_opts
    frame.samp_freq = SAMPLE_RATE
    frame.frame_shift_ms, frame.frame_length_ms = 1000 * SHIFT, 1000 * _WINDOW
    frame.dither = 0.0  # the same utterance always gives the same numbers
    frame.snip_edges = False
    options.energy_floor = 1.0
    computer = native_fbank().OnlineMfcc(options)
    computer.accept_waveform(SAMPLE_RATE, (wave * 32768.0).tolist())  # Kaldi's scale: 16-bit integers
    computer.input_finished()
    return np.stack([computer.get_frame(i) for i in range(computer.num_frames_ready)]).astype(np.float32)


def with_derivatives(frames: Frames) -> Frames:
    """Append first and second derivatives: regressions over five frames, the ends repeated.

    >>> ramp = np.arange(9, dtype=np.float32)[:, None]
    >>> with_derivatives(ramp)[4].tolist()
    [4.0, 1.0, 0.0]
    """
    first = _slope(frames)
    return np.concatenate([frames, first, _slope(first)], axis=1)


def _slope(frames: Frames) -> Frames:
    padded = np.pad(frames, ((_SPAN, _SPAN), (0, 0)), mode="edge")
    count = len(frames)
    total = sum(
        step * (padded[_SPAN + step : _SPAN + step + count] - padded[_SPAN - step : _SPAN - step + count])
        for step in range(1, _SPAN + 1)
    )
    weight = 2 * sum(step * step for step in range(1, _SPAN + 1))
    return np.asarray(total / weight, dtype=np.float32)


def loud_frames(log_energy: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the places of an utterance's frames of loud speech, ascending; there is always one.

    Parameters
    ----------
    log_energy : ndarray, shape (T,)
    """
    quiet, high = np.percentile(log_energy, (5, 95))
    threshold = max(quiet + _LOUD * (high - quiet), high - _QUIETER)
    return np.flatnonzero(log_energy >= min(threshold, log_energy.max()))


def speech_range(log_energy: NDArray[np.float32]) -> tuple[int, int]:
    """Cut the silence off both ends of an utterance, roughly.

    Parameters
    ----------
    log_energy : ndarray, shape (T,)

    Returns
    -------
    first, stop : int
        From 0.2 s before it becomes loud to 0.2 s after it was: there is room for quiet sounds.

    >>> speech_range(np.array([0.0] * 50 + [9.0, 8.0, 2.0, 9.0] * 5 + [0.0] * 45))
    (10, 110)
    """
    loud = loud_frames(log_energy)
    return max(int(loud[0]) - _ROOM, 0), min(int(loud[-1]) + 1 + _ROOM, len(log_energy))


class Normaliser(NamedTuple):
    """What is taken out of one speaker's frames.

    >>> voice = Normaliser.of([np.array([[1.0]]), np.array([[3.0]])])
    >>> voice(np.array([[4.0]])).tolist()
    [[2.0]]
    """

    mean: NDArray[np.float64]  # (columns,)
    deviation: NDArray[np.float64]  # (columns,) 1 where a column does not vary

    @classmethod
    def of(cls, utterances: Sequence[Frames]) -> Normaliser:
        """Measure one speaker's utterances, without the silence at their ends; column 0 is log energy."""
        speech = [frames[slice(*speech_range(frames[:, 0]))] for frames in utterances]
        together = np.concatenate(speech).astype(np.float64)
        deviation = together.std(axis=0)
        return cls(together.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    def __call__(self, frames: Frames) -> Frames:
        """Give every column the mean 0 and the deviation 1 over the speaker's utterances."""
        return ((frames - self.mean) / self.deviation).astype(np.float32)

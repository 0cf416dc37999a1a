"""What recordings do to speech: rooms, microphones, noise, other voices, narrow bands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from layersim.corpus.audio import SAMPLE_RATE

Waves = NDArray[np.float32]

_ROOM, _MICROPHONE, _NOISE, _VOICES, _BAND = 0.35, 0.5, 0.6, 0.15, 0.3  # how often
_LONGEST_ROOM = 0.7  # seconds
_MICROPHONE_POINTS = np.array([50.0, 150.0, 400.0, 1000.0, 2500.0, 5000.0, 8000.0])  # Hz


def corrupt(waves: Waves, rng: np.random.Generator) -> Waves:
    """Pass clips of equal length, shape (B, n), each through a recording of its own, at its own level."""
    samples = waves.shape[1]
    length = fft.next_fast_len(samples + int(_LONGEST_ROOM * SAMPLE_RATE), real=True)  # nothing wraps around
    frequencies = fft.rfftfreq(length, 1 / SAMPLE_RATE)
    heard = []
    for number, wave in enumerate(waves):
        spectrum = fft.rfft(wave, length)
        if rng.random() < _ROOM:
            spectrum = spectrum * fft.rfft(_room(rng), length)
        if rng.random() < _MICROPHONE:
            decibels = np.interp(
                frequencies, _MICROPHONE_POINTS, rng.normal(0.0, 4.0, len(_MICROPHONE_POINTS))
            )
            spectrum = spectrum * 10.0 ** (decibels / 20.0)
        mixed = fft.irfft(spectrum, length)[:samples]
        if rng.random() < _NOISE:
            mixed = mixed + _at(_coloured(samples, rng), mixed, rng.uniform(5.0, 35.0))
        if rng.random() < _VOICES and len(waves) > 1:
            other = waves[(number + rng.integers(1, len(waves))) % len(waves)]
            mixed = mixed + _at(np.roll(other, rng.integers(samples)), mixed, rng.uniform(5.0, 20.0))
        if rng.random() < _BAND:
            mixed = _band(mixed, rng)
        heard.append(mixed * 10.0 ** (rng.uniform(-20.0, 6.0) / 20.0))
    return np.stack(heard).astype(np.float32)


def _room(rng: np.random.Generator) -> NDArray[np.float64]:
    """Make an impulse response: the sound itself, then noise that has faded by 60 dB after 0.1 to 0.7 s."""
    fading = rng.uniform(0.1, _LONGEST_ROOM)
    times = np.arange(int(fading * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(times), dtype=np.float32) * 10.0 ** (-3.0 * times / fading)
    tail *= 10.0 ** (rng.uniform(-15.0, 0.0) / 20.0) / np.linalg.norm(tail)
    tail[0] += 1.0
    return tail


def _coloured(samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Make noise whose power falls with a power of the frequency: white, pink, brown and between."""
    length = fft.next_fast_len(samples, real=True)
    spectrum = fft.rfft(rng.standard_normal(length, dtype=np.float32))
    slope = np.maximum(np.arange(len(spectrum)), 1.0) ** (-rng.uniform(0.0, 2.0) / 2)
    noise: NDArray[np.float32] = fft.irfft(spectrum * slope.astype(np.float32), length)
    return noise[:samples]


def _at(noise: NDArray[np.floating], wave: NDArray[np.floating], decibels: float) -> NDArray[np.floating]:
    """Scale a noise to lie so many decibels under a wave."""
    ratio = np.linalg.norm(wave) / max(float(np.linalg.norm(noise)), 1e-9)
    return noise * float(ratio * 10.0 ** (-decibels / 20.0))


def _band(wave: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.floating]:
    """Leave out what a narrow-band microphone, line or codec leaves out, above or on both sides."""
    length = fft.next_fast_len(len(wave), real=True)
    frequencies = fft.rfftfreq(length, 1 / SAMPLE_RATE)
    low, high = rng.choice([0.0, rng.uniform(50.0, 300.0)]), rng.uniform(3000.0, 7500.0)
    passed = (frequencies >= low) & (frequencies <= high)
    kept: NDArray[np.floating] = fft.irfft(fft.rfft(wave, length) * passed, length)
    return kept[: len(wave)]

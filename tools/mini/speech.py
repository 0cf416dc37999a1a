"""Synthetic speech for pretraining: who says what and how, drawn anew for every batch.

A batch is a pure function of the seed and its number: a run that is resumed hears what it would have heard.
Two kinds of change are made to what espeak-ng says. Those of the *speaker* (rate, pitch, pitch range,
loudness, voice; playing faster or slower, which moves formants with the pitch; tilting the spectrum, as vocal
effort does) are made before the units are found, and are part of what the encoder must predict. Those of the
*recording* are in `corruption`, and are to be heard through.
"""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from pathlib import Path

import espeakng_loader
import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import fft

from layersim.alignment.pronunciation.espeak import SAMPLE_RATE as ESPEAK_RATE
from layersim.alignment.pronunciation.espeak import Line, synthesise
from layersim.corpus.audio import SAMPLE_RATE
from layersim.errors import LayersimError
from mini.corruption import corrupt
from mini.targets import vectors
from mini.texts import draw_text

BATCH_SECONDS = 24.0
_SPOKEN = 16  # batches by one process of espeak-ng, whose start costs more than a batch
_RECORDINGS = 2  # of each batch, some minutes apart: to speak and to describe costs more than to corrupt
BATCHES_PER_JOB = _SPOKEN * _RECORDINGS
_ATTEMPTS = 5  # espeak-ng breaks down over a line in some ten thousand
_SHORTEST, _LONGEST = 2.0, 4.5  # seconds, of the clips of a batch
# Beyond imitating anyone: noise, a chipmunk, music.
_NOT_VOICES = {"Demonic", "RicishayMax", "RicishayMax2", "RicishayMax3", "Tweaky", "UniRobot", "anikaRobot"}
_STRETCH = (0.85, 1.2)  # of the sampling rate
_TILT = 3.0  # decibels an octave, standard deviation


@dataclass(frozen=True)
class Batch:
    """Clips of equal length.

    Attributes
    ----------
    clean, heard : arrays, shape (B, n), float32
        Before and after corruption.
    mfcc : array, shape (B, T, 39)
    prosody : array, shape (B, T, P)
        Of the clean waves; see `targets`.
    """

    clean: NDArray[np.float32]
    heard: NDArray[np.float32]
    mfcc: NDArray[np.float32]
    prosody: NDArray[np.float32]


@functools.cache
def variants() -> tuple[str, ...]:
    """Return espeak-ng's voice variants that sound like someone."""
    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    # a blank in a name would end it
    names = {file.name for file in folder.iterdir() if " " not in file.name}
    return tuple(sorted(names - _NOT_VOICES))


def make_batches(seed: int, job: int, seconds: float = BATCH_SECONDS) -> list[Batch]:
    """Make the batches of one job, `BATCHES_PER_JOB` of them, each of about so many seconds."""
    for attempt in range(_ATTEMPTS):
        with contextlib.suppress(LayersimError):
            return _make_batches(np.random.default_rng([seed, job, attempt]), seconds)
    raise LayersimError(f"espeak-ng ended early {_ATTEMPTS} times; reinstall espeakng-loader.")


def _make_batches(rng: np.random.Generator, seconds: float) -> list[Batch]:
    lengths = [float(rng.uniform(_SHORTEST, _LONGEST)) for _ in range(_SPOKEN)]
    sizes = [round(seconds / length) for length in lengths]
    spoken = iter([speech.wave for speech in synthesise([draw_line(rng) for _ in range(sum(sizes))])])
    recordings: list[list[Batch]] = [[] for _ in range(_RECORDINGS)]
    for length, size in zip(lengths, sizes, strict=True):
        samples = int(length * SAMPLE_RATE)
        clips = [_clip(_vary(next(spoken), rng), samples, rng) for _ in range(size)]
        found = [vectors(clip) for clip in clips]
        clean = np.stack(clips)
        mfcc, prosody = (np.stack(kind) for kind in zip(*found, strict=True))
        for batches in recordings:
            batches.append(Batch(clean, corrupt(clean, rng), mfcc, prosody))
    return [batch for batches in recordings for batch in batches]


def draw_line(rng: np.random.Generator) -> Line:
    """Draw who says what and how: any voice in any language, at rates and pitches far beyond the everyday."""
    voice, text = draw_text(rng)
    return Line(
        text=text,
        voice=f"{voice}+{rng.choice(variants())}",
        rate=int(np.clip(rng.normal(180, 40), 90, 320)),
        pitch=int(rng.integers(10, 95)),
        pitch_range=int(rng.integers(0, 100)),
        volume=int(rng.integers(40, 121)),
    )


def _vary(wave: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.float32]:
    """Play a spoken line at another speed, at 16 kHz, with another spectral tilt."""
    heard = wave.astype(np.float32) / 32768.0
    speed = float(np.exp(rng.uniform(*np.log(_STRETCH))))
    heard = soxr.resample(heard, ESPEAK_RATE * speed, SAMPLE_RATE, quality="MQ")
    length = fft.next_fast_len(len(heard), real=True)
    octaves = np.log2(np.maximum(fft.rfftfreq(length, 1 / SAMPLE_RATE), 100.0) / 1000.0)
    gain = 10.0 ** (rng.normal(0.0, _TILT) * octaves / 20.0)
    tilted: NDArray[np.float32] = fft.irfft(fft.rfft(heard, length) * gain.astype(np.float32), length)
    return tilted[: len(heard)]


def _clip(wave: NDArray[np.float32], samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Cut a piece of the wanted length at random, or set a shorter line at random into faint noise."""
    spare = samples - len(wave)
    if spare < 0:
        start = rng.integers(0, -spare + 1)
        clip = wave[start : start + samples]
    else:
        start = rng.integers(0, spare + 1)
        clip = np.pad(wave, (start, spare - start))
    level = 10.0 ** (rng.uniform(-80.0, -55.0) / 20.0)
    return np.float32(level) * rng.standard_normal(samples, dtype=np.float32) + clip

"""Read recordings: any format that libsndfile knows, any rate, to mono float32 at 16 kHz.

Conventions
-----------
- Channels are averaged. Resampling is soxr's "very high quality".
- A stretch ``[start, end)`` is cut at the file's own rate before resampling.
- n samples at rate r become round(n · 16000 / r) samples, which a header alone tells.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from layersim.errors import AudioError

SAMPLE_RATE = 16_000
MINIMUM_SAMPLES = 400  # 25 ms: what one frame of a wav2vec 2.0 encoder spans
_TOLERANCE = 0.01  # seconds: label files round their times
_NO_FRAME_COUNT = 2**63 - 1  # libsndfile's SF_COUNT_MAX: a FLAC written to a pipe
_NO_BYTE_COUNT = 0x7FFF_F000  # what programs that write a WAV to a pipe give as its size, or more
_HEADER_BYTES = 1024  # some programs count the header too, so that a whole file seems to lack as much
_CUT_WAV = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)  # in libsndfile's log of the header


def read_audio(path: Path, start: float | None = None, end: float | None = None) -> npt.NDArray[np.float32]:
    """Read one utterance.

    Parameters
    ----------
    start, end : float, seconds, optional
        Both, or neither for the whole file.

    Returns
    -------
    ndarray of float32, shape (samples,), -1..1
        Mono, 16 kHz.

    Raises
    ------
    AudioError
        If the file is missing, unreadable, empty, all zero, not finite, under 25 ms, or ends before ``end``.
    """
    with _opened(path) as file:
        first, last = _extent(path, file, start, end)
        rate = int(file.samplerate)
        try:
            if first:
                file.seek(first)
            wave = file.read(last - first, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
            raise AudioError(f"{path}: cannot be decoded: {_reason(error)}. Repair or remove it.") from None
    if len(wave) < last - first:
        raise AudioError(
            f"{path}: breaks off after {len(wave)} of {last - first} samples that its header promises. "
            "Repair or remove it."
        )
    if not np.isfinite(wave).all():
        raise AudioError(f"{path}: holds NaN or infinite samples. Repair or remove it.")
    if not wave.any():
        raise AudioError(f"{path}: every sample is zero. Remove it.")
    mono = wave.mean(axis=1, dtype=np.float32)
    if not mono.any():
        raise AudioError(f"{path}: its channels cancel each other out (opposite phase). Keep one channel.")
    if rate == SAMPLE_RATE:
        return np.ascontiguousarray(mono)
    resampled = soxr.resample(mono, rate, SAMPLE_RATE, quality="VHQ").astype(np.float32)
    return _of_length(resampled, _resampled(len(mono), rate))


def scaled(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scale an utterance to mean 0 and variance 1: ``(x - mean(x)) / sqrt(var(x) + 1e-7)``.

    What wav2vec 2.0 checkpoints ask for with ``do_normalize``.
    """
    found: npt.NDArray[np.float32] = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
    return found


def audio_samples(path: Path, start: float | None = None, end: float | None = None) -> int:
    """Return how many samples `read_audio` will give, from the header alone.

    Raises
    ------
    AudioError
        If the header already shows that the utterance cannot be used.
    """
    with _opened(path) as file:
        first, last = _extent(path, file, start, end)
        return _resampled(last - first, int(file.samplerate))


def count_samples(stretch: tuple[Path, float | None, float | None]) -> int | str:
    """As `audio_samples` of a file, a start and an end; what is wrong with it is returned as text."""
    try:
        return audio_samples(*stretch)
    except AudioError as error:
        return str(error)


def _opened(path: Path) -> soundfile.SoundFile:
    """Open a recording; to be closed by a ``with``."""
    if path.suffix.lower() == ".raw":
        raise AudioError(f"{path}: raw samples do not say their rate. Convert the file to wav or flac.")
    try:
        return soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        if not os.path.isfile(path):  # which takes names that are too long for Path.is_file
            raise AudioError(f"{path}: no such file. Check the manifest's path and the audio root.") from None
        if path.stat().st_size == 0:
            raise AudioError(f"{path}: is empty (0 bytes). Fetch it again or remove it.") from None
        raise AudioError(
            f"{path}: is no audio that can be read: {_reason(error)}. Repair or remove it."
        ) from None


def _extent(path: Path, file: soundfile.SoundFile, start: float | None, end: float | None) -> tuple[int, int]:
    """Return the first and the last sample (half-open, at the file's rate) of the stretch."""
    if (start is None) != (end is None):
        raise ValueError("start and end: give both or neither")
    if file.frames <= 0:
        raise AudioError(f"{path}: holds no samples. Fetch it again or remove it.")
    if file.frames == _NO_FRAME_COUNT:
        raise AudioError(f"{path}: its header does not say how long it is. Write it anew with any converter.")
    if cut := _CUT_WAV.search(file.extra_info):
        promised, there = int(cut[1]), int(cut[2])
        if promised < _NO_BYTE_COUNT and promised - there > _HEADER_BYTES:
            raise AudioError(
                f"{path}: breaks off after {there} of {promised} bytes that its header promises. "
                "Fetch it again or remove it."
            )
    first, last = 0, int(file.frames)
    if start is not None and end is not None:
        length = file.frames / file.samplerate
        if not 0 <= start < end:
            raise AudioError(
                f"{path}: the stretch {start:g} to {end:g} s is empty or negative. Mend its times."
            )
        if not file.seekable():
            raise AudioError(f"{path}: its codec gives no stretch of it. Convert the file to wav or flac.")
        if end > length + _TOLERANCE:
            raise AudioError(
                f"{path}: lasts {length:.3f} s, and the utterance ends at {end:g} s. Mend its times."
            )
        first = round(start * file.samplerate)
        last = min(round(end * file.samplerate), last)
    samples = _resampled(last - first, int(file.samplerate))
    if samples < MINIMUM_SAMPLES:
        raise AudioError(
            f"{path}: {1000 * samples / SAMPLE_RATE:.1f} ms is under the 25 ms of one frame. Remove it."
        )
    return first, last


def _reason(error: Exception) -> str:
    """Return libsndfile's own words, without its full stops and the path that our message begins with."""
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(".")


def _resampled(samples: int, rate: int) -> int:
    """Count samples at 16 kHz, half rounded up.

    >>> _resampled(44_100, 44_100), _resampled(3, 48_000), _resampled(10, 8_000)
    (16000, 1, 20)
    """
    return (2 * samples * SAMPLE_RATE + rate) // (2 * rate)


def _of_length(wave: npt.NDArray[np.float32], samples: int) -> npt.NDArray[np.float32]:
    """Cut or pad the sample by which a resampler's rounding may differ."""
    return np.pad(wave, (0, max(0, samples - len(wave))))[:samples]

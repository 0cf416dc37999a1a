"""Speech synthesis with exact phone times: text and prosody in, samples and phones out, by espeak-ng.

Conventions
-----------
- Sound is mono, 16 bit, 22,050 Hz. Times are float seconds, half-open ``[start, end)``, and stand exactly on
  samples: espeak-ng says at which sample it began each phone.
- A phone ends where espeak-ng begins anything else (a phone, a word, a pause); silence at its end (digital
  zeros) is not part of it. The silence before a plosive or affricate is its closure and belongs to it.
  Other silence belongs to no phone. A vowel begins where espeak-ng has moved out of the consonant before it.
- Labels are espeak-ng's IPA without stress marks: the phone set ``espeak-ipa``.
- `synthesise` gives the same bytes for the same list of lines, always; a line spoken as part of another list
  may differ by a few samples, because espeak-ng's pitch wobble runs on from line to line.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

import layersim
from layersim.errors import LayersimError

SAMPLE_RATE = 22_050
_STOPS = "pbtdkɡqcɟʔ"  # first letters of plosives and affricates in the IPA


@dataclass(frozen=True)
class Line:
    """What to say and how.

    Attributes
    ----------
    text : str
        In the voice's language.
    voice : str
        espeak-ng's language and variant, such as ``en-us+f1`` or ``cmn+m4``; the variant sets formants,
        base pitch and voice quality.
    rate : int, words a minute, 80..450
    pitch : int, 0..99
        50 is the voice's own.
    pitch_range : int, 0..99
        50 is the voice's own, 0 a monotone.
    volume : int, 0..200
        100 is espeak-ng's own; above it samples may clip.
    """

    text: str
    voice: str
    rate: int = 175
    pitch: int = 50
    pitch_range: int = 50
    volume: int = 100

    def __post_init__(self) -> None:
        ranges = {"rate": (80, 450), "pitch": (0, 99), "pitch_range": (0, 99), "volume": (0, 200)}
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: expected {low}..{high}; got {getattr(self, name)}")
        if not self.text.strip():
            raise ValueError("text: expected something to say; got nothing")


@dataclass(frozen=True)
class Phone:
    """One phone: start and end in seconds, half-open, and its label."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Speech:
    """One spoken line.

    Attributes
    ----------
    wave : array, shape (samples,), int16
    phones : tuple of Phone
        In order, without overlap.
    labels : tuple of (character, label)
        Every phone in order, also one that was assimilated and has no time: the character of the text
        (counted from 0) at which espeak-ng began its word, and its label.
    """

    wave: NDArray[np.int16]
    phones: tuple[Phone, ...]
    labels: tuple[tuple[int, str], ...]

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return len(self.wave) / SAMPLE_RATE


def synthesise(lines: Sequence[Line]) -> Iterator[Speech]:
    """Speak lines in order, each as soon as it is asked for, in a fresh espeak-ng.

    Raises
    ------
    LayersimError
        If espeak-ng cannot be started, has no such voice, or ends early.
    """
    folder = Path(layersim.__file__).resolve().parents[1]
    request = {
        "library": espeakng_loader.get_library_path(),
        "data": espeakng_loader.get_data_path(),
        "lines": [astuple(line) for line in lines],
    }
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "layersim.alignment.pronunciation.espeak_engine"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, cwd=folder,
        )  # fmt: skip
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a process started with pipes has none")
        try:
            with contextlib.suppress(BrokenPipeError):  # it died at once; the reading below says so
                process.stdin.write(json.dumps(request).encode("ascii"))
                process.stdin.close()
            for line in lines:
                yield _read_speech(process.stdout, line, complaints)
        finally:
            process.kill()  # nothing is left to do when all lines are read, or the caller stopped early
            process.stdout.close()
            process.wait()


def _read_speech(stream: IO[bytes], line: Line, complaints: IO[bytes]) -> Speech:
    answer = json.loads(stream.readline() or b"null")
    if answer is not None and "error" in answer:
        raise LayersimError(f"{answer['error']} (for {line.text!r} with voice {line.voice!r}).")
    data = b"" if answer is None else stream.read(2 * answer["samples"])
    if answer is None or len(data) != 2 * answer["samples"]:
        complaints.seek(0)
        said = complaints.read().decode("utf-8", "replace").strip().splitlines()
        raise LayersimError(
            f"espeak-ng ended before it had spoken {line.text!r} with voice {line.voice!r}"
            f"{': ' + said[-1] if said else ''}. Reinstall the package espeakng-loader."
        )
    wave = np.frombuffer(data, dtype="<i2").astype(np.int16)
    phones = phones_from_events([(sample, label) for sample, label, _ in answer["events"]], wave)
    return Speech(wave, tuple(phones), tuple(_labels(answer["events"])))


def _labels(events: Sequence[tuple[int, str | None, int | None]]) -> Iterator[tuple[int, str]]:
    word = 0
    for _, raw, character in events:
        word = word if character is None else character
        if label := _bare(raw):
            yield word, label


def _bare(label: str | None) -> str:
    """Take the stress marks off a label; what is no phone, such as a switch of language, becomes nothing."""
    bare = (label or "").replace("ˈ", "").replace("ˌ", "")
    return "" if bare.startswith("(") else bare


def phones_from_events(events: Sequence[tuple[int, str | None]], wave: NDArray[np.int16]) -> list[Phone]:
    """Turn espeak-ng's events into phones, by the conventions of this module.

    Parameters
    ----------
    events : sequence of (sample, label or None)
        In order. None, or a language switch such as ``(en)``, starts something that is no phone.
    wave : array, shape (samples,), int16

    >>> wave = np.array([9, 9, 9, 0, 0, 0, 9, 9], dtype=np.int16)
    >>> [(round(p.start * 22050), round(p.end * 22050), p.label)
    ...  for p in phones_from_events([(0, "ˈɑ"), (6, "t"), (8, None)], wave)]
    [(0, 3, 'ɑ'), (3, 8, 't')]
    """
    phones: list[Phone] = []
    free_from = 0  # the first sample after the last phone or boundary: where a closure may begin
    for position, (sample, raw) in enumerate(events):
        label = _bare(raw)
        if not label:
            free_from = max(free_from, sample)
            continue
        following = events[position + 1][0] if position + 1 < len(events) else len(wave)
        if following <= sample:
            continue  # espeak-ng gave this phone no time: it was assimilated
        sounding = np.flatnonzero(wave[sample:following])
        start = free_from if label[0] in _STOPS else sample
        end = sample + int(sounding[-1]) + 1 if len(sounding) else following
        phones.append(Phone(start / SAMPLE_RATE, end / SAMPLE_RATE, label))
        free_from = end
    return phones

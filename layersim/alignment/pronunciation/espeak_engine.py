"""espeak-ng in a process of its own: lines to speak come in as JSON, sound and events go out.

Run as ``python -m layersim.alignment.pronunciation.espeak_engine`` by `espeak`, never imported by it.
espeak-ng keeps everything in global variables (the voice, noise generators, a pitch wobble that runs on from
one utterance to the next) and may not be entered twice. One short process per list of lines gives each list a
fresh, unshared engine: the same list gives the same samples, whatever was spoken before.

On stdin: one JSON document ``{"library": path, "data": path, "lines": [[text, voice, rate, pitch,
pitch_range, volume], ...]}``. On stdout, for each line: one row of JSON ``{"samples": n, "events":
[[sample, label or null, character or null], ...]}``, then n little-endian 16-bit samples; or one row
``{"error": words}`` and no more. An event with a label starts a phone; one with a character starts the word
that begins at this place of the text (counted from 0); one with neither starts a clause or a pause.

References
----------
``speak_lib.h`` of espeak-ng 1.52, whose structures and numbers stand below.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

SAMPLE_RATE = 22_050

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: espeak_Synth returns when all samples have been handed over
_PHONE_EVENTS_IN_IPA, _DO_NOT_EXIT = 0x0003, 0x8000  # espeakINITIALIZE_*
_WORD, _SENTENCE, _END, _PHONE = 1, 2, 5, 7  # espeak_EVENT_TYPE
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_UTF8 = 1  # espeakCHARS_UTF8
_BUFFER_MILLISECONDS = 200
_SEED = 1
_ADVICE = "Reinstall the package espeakng-loader, which carries espeak-ng and its data."
_LONGEST_DATA_PATH = 100  # espeak-ng keeps the path of its data in 160 bytes and appends names to it


class _Identity(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("identity", _Identity),
    )


Event = tuple[int, str | None, int | None]  # sample, label, character
_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Engine:
    """One initialised espeak-ng; at most one may exist in a process.

    Raises
    ------
    RuntimeError
        If the library cannot be loaded or does not find its data.
    """

    def __init__(self, library: str, data: str) -> None:
        self._variants = Path(data) / "voices" / "!v"
        self._samples = bytearray()
        self._events: list[Event] = []
        try:
            self._espeak = ctypes.CDLL(library)
        except OSError as error:
            raise RuntimeError(f"espeak-ng cannot be loaded: {error}. {_ADVICE}") from None
        text, size = ctypes.c_char_p, ctypes.c_size_t
        self._espeak.espeak_Initialize.argtypes = (ctypes.c_int, ctypes.c_int, text, ctypes.c_int)
        self._espeak.espeak_SetVoiceByName.argtypes = (text,)
        self._espeak.espeak_Synth.argtypes = (
            text, size, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p,
            ctypes.c_void_p,
        )  # fmt: skip
        options = _PHONE_EVENTS_IN_IPA | _DO_NOT_EXIT
        rate = self._espeak.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MILLISECONDS, os.fsencode(data), options)
        if rate != SAMPLE_RATE:
            raise RuntimeError(f"espeak-ng does not start with its data at {data}. {_ADVICE}")
        self._espeak.espeak_ng_SetRandSeed(_SEED)
        self._keep_alive = _Callback(self._receive)  # ctypes frees a callback that nobody refers to
        self._espeak.espeak_SetSynthCallback(self._keep_alive)

    def _receive(self, wave: Any, count: int, events: Any) -> int:
        if wave and count:
            self._samples += ctypes.string_at(wave, 2 * count)
        position = 0
        while kind := events[position].type:
            event = events[position]
            if kind == _PHONE:
                address = ctypes.addressof(event.identity)
                label = ctypes.string_at(address, 8).split(b"\0")[0].decode("utf-8")
                self._events.append((event.sample, label or None, None))
            elif kind == _WORD:
                self._events.append((event.sample, None, event.text_position - 1))
            elif kind in (_SENTENCE, _END):
                self._events.append((event.sample, None, None))
            position += 1
        return 0

    def speak(
        self, text: str, voice: str, rate: int, pitch: int, pitch_range: int, volume: int
    ) -> tuple[bytes, list[Event]]:
        """Return the 16-bit samples of one line and its events in order.

        Raises
        ------
        RuntimeError
            If espeak-ng has no such voice or cannot speak the line.
        """
        self._samples.clear()
        self._events.clear()
        variant = voice.partition("+")[2]
        known = not variant or (self._variants / variant).is_file()  # espeak-ng would drop an unknown one
        if not known or self._espeak.espeak_SetVoiceByName(voice.encode("utf-8")) != 0:
            raise RuntimeError(f"espeak-ng has no voice {voice!r}")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range), (_VOLUME, volume)):
            if self._espeak.espeak_SetParameter(parameter, value, 0) != 0:
                raise RuntimeError(f"espeak-ng refuses the value {value} of its parameter {parameter}")
        encoded = text.encode("utf-8")
        if self._espeak.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None) != 0:
            raise RuntimeError(f"espeak-ng cannot speak {text!r}")
        return bytes(self._samples), sorted(self._events, key=lambda event: event[0])


def reachable(data: Path, scratch: Path) -> Path:
    """Give espeak-ng's data a path that fits its buffer: a link in ``scratch`` where theirs is too long."""
    if len(os.fsencode(data)) <= _LONGEST_DATA_PATH:
        return data
    link = scratch / data.name
    link.symlink_to(data, target_is_directory=True)
    return link


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Speak every line asked for in ``source`` and write what the module's docstring says to ``sink``."""
    request = json.loads(source.read())
    with tempfile.TemporaryDirectory() as scratch:
        try:
            engine = Engine(request["library"], str(reachable(Path(request["data"]), Path(scratch))))
            for line in request["lines"]:
                samples, events = engine.speak(*line)
                _write_row(sink, {"samples": len(samples) // 2, "events": events})
                sink.write(samples)
        except (RuntimeError, OSError) as error:
            _write_row(sink, {"error": str(error)})
        sink.flush()


def _write_row(sink: BinaryIO, row: dict[str, int | str | Sequence[Event]]) -> None:
    sink.write(json.dumps(row).encode("ascii") + b"\n")


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)

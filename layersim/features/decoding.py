"""Decode and prepare the recordings of a shard in the background, while the encoder works on those before."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from layersim.corpus.audio import read_audio, scaled
from layersim.errors import AudioError, summarise_faults
from layersim.parent import end_with

if TYPE_CHECKING:
    from layersim.features.ahead import Decoders

Wave = npt.NDArray[np.float32]

_BATCHES_AHEAD = 2  # decoded while the encoder works on one: enough to hide decoding, little memory


@dataclass(frozen=True)
class Clip:
    """One utterance to encode."""

    key: str
    path: Path
    start: float | None  # seconds in the file; None: from its beginning
    end: float | None
    samples: int  # at 16 kHz; 0 where the file cannot be used


def decode(clip: Clip) -> Wave | AudioError:
    """Read one utterance; a fault is returned, not raised."""
    try:
        wave = read_audio(clip.path, clip.start, clip.end)
    except AudioError as error:
        return error
    if len(wave) != clip.samples:
        return AudioError(
            f"{clip.path}: was exchanged during this run: {clip.samples} samples at first, {len(wave)} now. "
            "Run layersim extract again."
        )
    return wave


@dataclass(frozen=True)
class Decoding:
    """Reads utterances and prepares them for an encoder; may do so in another process."""

    scales: bool  # to mean 0 and variance 1, as the encoder's checkpoint asks for

    def __call__(self, clips: Sequence[Clip]) -> list[Wave | AudioError]:
        """Return each prepared utterance, or its fault."""
        found = [decode(clip) for clip in clips]
        if not self.scales:
            return found
        return [wave if isinstance(wave, AudioError) else scaled(wave) for wave in found]


def decode_ahead(
    clips: Sequence[Clip],
    batches: Sequence[Sequence[int]],
    decoders: Decoders,
    decoding: Decoding,
    afterwards: Sequence[Clip] = (),
) -> Iterator[list[Wave | AudioError]]:
    """Decode batch after batch, the next ones in the background; a fault stands in its recording's place.

    Parameters
    ----------
    batches : sequence of sequences of int
        Places among the clips.
    afterwards : sequence of Clip
        What will be asked for next; begun when nothing else is left to begin.
    """
    upcoming = deque(batches)
    pending: deque[list[Future[list[Wave | AudioError]]]] = deque()
    try:
        for _ in range(len(batches)):
            while upcoming and len(pending) <= _BATCHES_AHEAD:
                pending.append(decoders.submit(decoding, [clips[place] for place in upcoming.popleft()]))
                if not upcoming:
                    decoders.begin(decoding, afterwards)
            yield _all(pending.popleft())
    finally:
        for piece in (piece for pieces in pending for piece in pieces):
            piece.cancel()


def raise_all_faults(clips: Sequence[Clip], decoders: Decoders) -> None:
    """Decode every recording of the shard to name all that fail, rather than one per attempt.

    Raises
    ------
    AudioError
    """
    faults = _all(decoders.submit(_faults, clips))
    advice = (
        "What was finished is kept. layersim corpus check lists every such file at once; to finish the rest "
        "without them: layersim extract --keep-going."
    )
    raise AudioError(summarise_faults(f"{len(faults)} recordings cannot be used", faults, advice))


def serve(employer: int) -> None:
    """Begin to decode for another process: leave Ctrl-C to it, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(employer)


def _faults(clips: Sequence[Clip]) -> list[str]:
    return [str(wave) for wave in map(decode, clips) if isinstance(wave, AudioError)]


def _all(pieces: Sequence[Future[list[Any]]]) -> list[Any]:
    return [found for piece in pieces for found in piece.result()]

"""Decode and prepare the recordings of a shard in the background, while the encoder works on those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from layersim.corpus.audio import read_audio
from layersim.errors import AudioError, summarise_faults

if TYPE_CHECKING:
    from layersim.features.preparation import Clip

Wave = npt.NDArray[np.float32]

_BATCHES_AHEAD = 2  # decoded while the encoder works on one: enough to hide decoding, little memory


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
    """Reads an utterance and prepares it for an encoder; two of the same encoder are equal."""

    prepare: Callable[[Wave], Wave]  # of the encoder

    def __call__(self, clip: Clip) -> Wave | AudioError:
        """Return the prepared utterance, or its fault."""
        wave = decode(clip)
        return wave if isinstance(wave, AudioError) else self.prepare(wave)


def decode_ahead(
    clips: Sequence[Clip], batches: Sequence[Sequence[int]], decoders: Executor, decoding: Decoding
) -> Iterator[list[Wave | AudioError]]:
    """Decode batch after batch, the next ones in the background; a fault stands in its recording's place."""
    upcoming = iter(batches)
    pending: deque[list[Future[Wave | AudioError]]] = deque()

    def submit(count: int) -> None:
        for batch in islice(upcoming, count):
            pending.append([decoders.submit(decoding, clips[place]) for place in batch])

    submit(1 + _BATCHES_AHEAD)
    while pending:
        found = [future.result() for future in pending.popleft()]
        submit(1)
        yield found


def raise_all_faults(clips: Sequence[Clip], decoders: Executor) -> None:
    """Decode every recording of the shard to name all that fail, rather than one per attempt.

    Raises
    ------
    AudioError
    """
    faults = [str(found) for found in decoders.map(decode, clips) if isinstance(found, AudioError)]
    advice = (
        "What was finished is kept. layersim corpus check lists every such file at once; to finish the rest "
        "without them: layersim extract --keep-going."
    )
    raise AudioError(summarise_faults(f"{len(faults)} recordings cannot be used", faults, advice))

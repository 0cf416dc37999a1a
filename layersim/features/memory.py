"""A GPU's memory, of which no one knows beforehand how much a batch takes.

A batch that does not fit is halved, and so are all later ones of its size, so that it happens once and not in
every batch. Features do not depend on it beyond what batching is exact to.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layersim.corpus.audio import SAMPLE_RATE
from layersim.errors import LayersimError
from layersim.features.batches import plan_batches

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder
    from layersim.features.decoding import Clip

logger = logging.getLogger(__name__)


@dataclass
class BatchLimit:
    """What one process has learnt of its GPU's memory; it is passed from shard to shard."""

    frames: int | None = None  # most frames of a batch, padding included; None: nothing was refused yet

    def bounded(self, max_frames: int) -> int:
        """Return how many frames a batch may cost, where ``max_frames`` were planned."""
        return max_frames if self.frames is None else min(max_frames, self.frames)

    def split(self, batch: Sequence[int], costs: Mapping[int, int]) -> list[list[int]]:
        """Cut a batch into batches within the limit.

        >>> BatchLimit(100).split([7, 3, 5], {3: 50, 5: 20, 7: 50})
        [[7, 3], [5]]
        """
        if self.frames is None:
            return [list(batch)]
        parts = plan_batches([costs[utterance] for utterance in batch], self.frames)
        return [[batch[place] for place in part] for part in parts]

    def refuse(self, batch: Sequence[int], costs: Mapping[int, int], encoder: Encoder) -> None:
        """Halve the limit after a batch of several utterances that did not fit; the first time is logged."""
        first = self.frames is None
        self.frames = max(costs[utterance] for utterance in batch) * len(batch) // 2
        if first:
            logger.warning("%s", self.notes(encoder)[0])

    def notes(self, encoder: Encoder) -> list[str]:
        """Say that batches were halved, and how to begin with smaller ones; nothing if all have fitted."""
        if self.frames is None:
            return []
        window = encoder.cost(30 * SAMPLE_RATE)  # of a clip that fills a window of any encoder
        seconds = max(1, 30 * self.frames // window)
        return [
            f"the GPU had too little memory for the batches planned, so they were halved, to {seconds} s of "
            f"audio at most. To begin with that: batch_seconds = {seconds} in layersim.toml, table [extract]"
        ]


def fits(work: Callable[..., None], *arguments: Any) -> bool:
    """Do some work; say no, and free what it left on the GPU, if the GPU's memory is too small for it."""
    try:
        work(*arguments)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    else:
        return True
    # Only here, where the error is gone: its frames hold the batch's tensors, maybe in a circle.
    import torch

    gc.collect()
    torch.cuda.empty_cache()
    return False


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a GPU lacked memory; some of its libraries, and its driver, say so in words only."""
    import torch

    said = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in said)


def too_little_memory(clip: Clip) -> LayersimError:
    """Return the error for an utterance that does not fit even alone."""
    return LayersimError(
        f"{clip.key}: the GPU has too little memory for this one utterance of "
        f"{clip.samples / SAMPLE_RATE:.1f} s. What was finished is kept. End what else runs on the "
        "GPU, cut the recording into shorter utterances, or take another device: --device cpu."
    )

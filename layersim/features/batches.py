"""Which utterances go through the encoder together.

An encoder pads a batch to its longest member, so neighbours in length go together, and a batch is limited
by the frames that it costs *after* padding. On a CPU a batch is no faster per second of audio than single
clips, so there it is one clip at a time unless asked otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from layersim.corpus.audio import SAMPLE_RATE

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder

# Seconds of audio in a batch: per gigabyte of a GPU, within which the largest encoders of a family stay; and
# at most, beyond which a GPU gains nothing and a lost batch costs more. Of a second of audio Whisper's first
# convolution makes 50 thousand values, that of waveform models 1.6 million.
_LIMITS = {"whisper": (50.0, 3_840.0)}
_OTHERS = (16.0, 960.0)  # WavLM- and XLS-R-large


def plan_batches(costs: Sequence[int], max_frames: int) -> list[list[int]]:
    """Group utterances of similar cost so that no padded batch costs more than ``max_frames``.

    Parameters
    ----------
    costs : sequence of int
        Frames that each utterance costs the encoder.
    max_frames : int
        Most frames of a batch: its longest member times its members. An utterance that costs more
        by itself gets a batch of its own.

    Returns
    -------
    list of list of int
        Every index once; the most expensive first, so that memory runs out at once or never. Equal costs
        stay in order: the same input gives the same batches.

    >>> plan_batches([10, 50, 12, 49], max_frames=100)
    [[1, 3], [2, 0]]
    >>> plan_batches([10, 500], max_frames=100)
    [[1], [0]]
    """
    batches: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(costs)), key=lambda index: (-costs[index], index)):
        if batches and longest * (len(batches[-1]) + 1) <= max_frames:
            batches[-1].append(index)
        else:
            batches.append([index])
            longest = costs[index]
    return batches


def batch_frames(encoder: Encoder, batch_seconds: float) -> int:
    """How many frames a batch may cost; 1 means one utterance at a time.

    Parameters
    ----------
    batch_seconds : float, >= 0
        Seconds of audio in a batch after padding. 0 chooses: single utterances on a CPU, and on a GPU
        by its whole memory (not by what is free just now, so that a second run makes the same batches).
    """
    if not encoder.exact_batching:
        return 1  # padding would change this encoder's features
    if batch_seconds == 0:
        if encoder.device.type != "cuda":
            return 1
        import torch

        gigabytes = torch.cuda.get_device_properties(encoder.device).total_memory / 2**30
        per_gigabyte, most = _LIMITS.get(encoder.model_type, _OTHERS)
        batch_seconds = min(most, per_gigabyte * gigabytes)
    return max(1, encoder.cost(round(batch_seconds * SAMPLE_RATE)))

"""Compute one shard: recordings are decoded in the background while the encoder works; only pooled
vectors leave the device.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from layersim.corpus.audio import SAMPLE_RATE, read_audio
from layersim.errors import AudioError, LayersimError, summarise_faults
from layersim.features.batches import plan_batches
from layersim.features.pooling import middle_thirds, pool_layers, pool_phones
from layersim.features.shards import MiddleRows, PhoneRows, ShardRows, ShardWriter

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder, HiddenStates
    from layersim.features.preparation import Clip, CorpusJob

Wave = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

_BATCHES_AHEAD = 2  # decoded while the encoder works on one: enough to hide decoding, little memory


def compute_shard(
    job: CorpusJob,
    rows: range,
    encoder: Encoder,
    max_frames: int,
    decoders: Executor,
    writer: ShardWriter,
    advance: Callable[[int], None],
) -> ShardRows:
    """Encode and pool some rows of a corpus.

    Parameters
    ----------
    rows : range
        Of the job's clips.
    max_frames : int
        Most frames of a batch, see `plan_batches`.
    writer : ShardWriter
        Takes the frames as they come, where the job stores them; otherwise only kept alive.
    advance : callable
        Called after each batch with the samples done by it.

    Raises
    ------
    AudioError
        If recordings cannot be decoded: all of this shard's are named.
    LayersimError
        If the encoder gives NaN or Inf, or the GPU has too little memory.
    """
    clips = job.clips[rows.start : rows.stop]
    begin, stop = int(job.offsets[rows.start]), int(job.offsets[rows.stop])
    offsets = job.offsets[rows.start : rows.stop + 1] - begin
    phones = job.pooled.iloc[begin:stop]
    times = phones[["start", "end"]].to_numpy(dtype=np.float64)
    layers, frame_layers, width = len(encoder.layers), len(encoder.frame_layers), encoder.width
    counts = [encoder.frame_count(clip.samples) for clip in clips]
    mean = np.empty((len(clips), layers, width), dtype=np.float32)
    std = np.empty_like(mean)
    phone_mean = np.empty((len(phones), frame_layers, width), dtype=np.float32)
    phone_frames = np.zeros(len(phones), dtype=np.int64)
    middle = None
    if job.provenance["middle"]:
        middle = MiddleRows(np.zeros_like(phone_frames), np.empty_like(phone_mean))
    store_frames = job.provenance["store"] == "frames"
    if store_frames:
        writer.reserve_frames(counts, frame_layers, width)

    batches = plan_batches([encoder.cost(clip.samples) for clip in clips], max_frames)
    for batch, waves in zip(batches, _decode_ahead(clips, batches, decoders), strict=True):
        states = _encode(encoder, waves, [clips[row] for row in batch], [counts[row] for row in batch])
        segments = [times[offsets[row] : offsets[row + 1]] for row in batch]
        with torch.inference_mode():
            means, deviations = pool_layers(states.frames, states.counts, states.prompt)
            mean[batch], std[batch] = means.cpu().numpy(), deviations.cpu().numpy()
            if any(map(len, segments)):
                centres = encoder.frame_centres(max(states.counts))
                pooled = pool_phones(states.frames, states.counts, segments, centres)
                owned = np.concatenate([np.arange(offsets[row], offsets[row + 1]) for row in batch])
                phone_mean[owned] = pooled.mean.cpu().numpy()
                phone_frames[owned] = pooled.frames
                if middle is not None:
                    thirds = [middle_thirds(part) for part in segments]
                    pooled = pool_phones(states.frames, states.counts, thirds, centres)
                    middle.mean[owned] = pooled.mean.cpu().numpy()
                    middle.frames[owned] = pooled.frames
        if store_frames:
            _store(states, writer, batch, clips)
        _refuse_not_finite(encoder, [clips[row] for row in batch], mean[batch], std[batch])
        writer.keep_claim()
        advance(sum(clips[row].samples for row in batch))

    owners = np.repeat(np.arange(len(clips)), np.diff(offsets)).tolist()
    phone_rows = PhoneRows(
        utterance=[clips[owner].key for owner in owners],
        phone=phones["phone"].tolist(),
        start=times[:, 0],
        end=times[:, 1],
        frames=phone_frames,
        mean=phone_mean,
        middle=middle,
    )
    return ShardRows(
        utterance=[clip.key for clip in clips],
        samples=np.array([clip.samples for clip in clips]),
        frames=np.array(counts),
        mean=mean,
        std=std,
        phones=phone_rows if job.aligned is not None else None,
    )


def decode(clip: Clip) -> Wave:
    """Read one utterance."""
    return read_audio(clip.path, clip.start, clip.end)


def _decode_ahead(
    clips: Sequence[Clip], batches: Sequence[Sequence[int]], decoders: Executor
) -> Iterator[list[Wave]]:
    """Decode batch after batch, the next ones in the background."""
    upcoming = iter(batches)
    pending: deque[list[Future[Wave]]] = deque()

    def submit(count: int) -> None:
        for batch in islice(upcoming, count):
            pending.append([decoders.submit(decode, clips[row]) for row in batch])

    submit(1 + _BATCHES_AHEAD)
    while pending:
        try:
            waves = [future.result() for future in pending.popleft()]
        except AudioError:
            _raise_all_faults(clips, decoders)
            raise
        submit(1)
        yield waves


def _raise_all_faults(clips: Sequence[Clip], decoders: Executor) -> None:
    """Decode every recording of the shard to name all that fail, rather than one per attempt."""

    def fault(clip: Clip) -> str | None:
        try:
            decode(clip)
        except AudioError as error:
            return str(error)
        return None

    faults = [found for found in decoders.map(fault, clips) if found is not None]
    advice = "What was finished is kept. layersim corpus check lists every such file at once."
    raise AudioError(summarise_faults(f"{len(faults)} recordings cannot be used", faults, advice)) from None


def _encode(
    encoder: Encoder, waves: Sequence[Wave], clips: Sequence[Clip], counts: Sequence[int]
) -> HiddenStates:
    try:
        states = encoder.encode(waves)
    except torch.OutOfMemoryError:
        seconds = sum(map(len, waves)) / SAMPLE_RATE
        raise LayersimError(
            f"the GPU has too little memory for a batch of {len(waves)} utterances ({seconds:.0f} s). What "
            "was finished is kept; go on with smaller batches: in layersim.toml, table [extract], "
            f"batch_seconds = {max(1, seconds / 2):.0f}."
        ) from None
    if list(states.counts) != list(counts):
        raise ValueError(
            f"{[clip.key for clip in clips]}: the encoder gave {list(states.counts)} frames, "
            f"its frame_count said {list(counts)}"
        )
    return states


def _store(states: HiddenStates, writer: ShardWriter, batch: Sequence[int], clips: Sequence[Clip]) -> None:
    halves = states.frames.half().cpu().numpy()
    stops = np.cumsum(states.counts)
    for row, stop, count in zip(batch, stops, states.counts, strict=True):
        frames = halves[:, stop - count : stop]
        if not np.isfinite(frames).all():
            raise LayersimError(
                f"{clips[row].key}: a hidden state lies beyond half precision (65,504), in which frames are "
                "stored. Extract this corpus without --store frames."
            )
        writer.write_frames(row, frames)


def _refuse_not_finite(encoder: Encoder, clips: Sequence[Clip], *pooled: Array) -> None:
    bad = np.zeros((len(clips), len(encoder.layers)), dtype=bool)
    for values in pooled:
        bad |= ~np.isfinite(values).all(axis=2)
    if bad.any():
        rows = np.flatnonzero(bad.any(axis=1))
        layers = [encoder.layers[place] for place in np.flatnonzero(bad.any(axis=0))]
        keys = [clips[int(row)].key for row in rows]
        raise LayersimError(
            f"{', '.join(keys[:10])}: the encoder gave NaN or Inf in layer {', '.join(layers)}. "
            f"Its precision is {encoder.precision}; if that is not fp32, try --precision fp32, else look at "
            "the recording."
        )

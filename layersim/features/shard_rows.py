"""Compute one shard: recordings are decoded in the background while the encoder works; only pooled
vectors leave the device.

Where the job is to keep going, an utterance that cannot be decoded, or whose features are not finite, is left
out and named; otherwise it stops the run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from layersim.encoders.waveform import to_host
from layersim.errors import AudioError, LayersimError
from layersim.features.batches import plan_batches
from layersim.features.decoding import Clip, Decoding, Wave, decode_ahead, raise_all_faults
from layersim.features.memory import BatchLimit, fits, too_little_memory
from layersim.features.pooling import PhonePooling, Segments, middle_thirds, pool_layers, pool_phones
from layersim.features.shard_writer import ShardWriter
from layersim.features.shards import FailedRows, MiddleRows, PhoneRows, ShardRows

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder, HiddenStates
    from layersim.features.ahead import Decoders
    from layersim.features.preparation import CorpusJob

Array = npt.NDArray[Any]

_ENOUGH = 8  # utterances, all without finite features: it is the encoder, not the recordings


def compute_shard(
    job: CorpusJob,
    rows: range,
    encoder: Encoder,
    max_frames: int,
    decoders: Decoders,
    decoding: Decoding,
    writer: ShardWriter,
    advance: Callable[[int], None],
    limit: BatchLimit | None = None,
    afterwards: Sequence[Clip] = (),
) -> ComputedShard:
    """Encode and pool some rows of a corpus; a GPU may still be at work on the last of them.

    Parameters
    ----------
    rows : range
        Of the job's clips.
    max_frames : int
        Most frames of a batch, see `plan_batches`.
    decoding : Decoding
        Of this encoder.
    writer : ShardWriter
        Takes the frames as they come, where the job stores them; otherwise only kept alive.
    advance : callable
        Called after each batch with the samples done by it.
    limit : BatchLimit, optional
        What is known of the GPU's memory, and learns from this shard; None: nothing is known.
    afterwards : sequence of Clip
        What the shard after this one will probably begin with; decoded as soon as there is time.

    Raises
    ------
    AudioError
        If recordings cannot be decoded: all of this shard's are named. Not where the job keeps going.
    LayersimError
        If the encoder gives NaN or Inf (where the job keeps going: for all utterances), or the GPU has too
        little memory for a single utterance.
    """
    limit = BatchLimit() if limit is None else limit
    shard = ComputedShard(job, rows, encoder, writer)
    usable = [place for place in range(len(rows)) if place not in shard.failed]
    costs = {place: encoder.cost(shard.clips[place].samples) for place in usable}
    planned = plan_batches(list(costs.values()), limit.bounded(max_frames))
    batches = [[usable[place] for place in batch] for batch in planned]
    heard = decode_ahead(shard.clips, batches, decoders, decoding, afterwards)
    for batch, found in zip(batches, heard, strict=True):
        waves = dict(zip(batch, found, strict=True))
        if faults := {place: wave for place, wave in waves.items() if isinstance(wave, AudioError)}:
            if not job.keep_going:
                raise_all_faults(shard.clips, decoders)
            shard.failed |= {place: str(error) for place, error in faults.items()}
        decoded = {place: wave for place, wave in waves.items() if not isinstance(wave, AudioError)}
        left = list(decoded)
        while left:
            part = limit.split(left, costs)[0]
            if fits(shard.launch, part, decoded):
                shard.keep_up()
                left = [place for place in left if place not in part]
            elif shard.is_waiting:  # what is on its way may have been what was too much
                shard.take_all()
            elif len(part) == 1:
                raise too_little_memory(shard.clips[part[0]])
            else:
                limit.refuse(part, costs, encoder)
        advance(sum(shard.clips[place].samples for place in batch))
    if not shard.is_waiting:
        shard.refuse_hopeless()  # before the next shard is begun
    return shard


@dataclass(frozen=True)
class _Pooled:
    """One batch's features, on their way from the device; usable after `wait`."""

    batch: Sequence[int]
    arrived: Any  # an event of CUDA; None on a CPU
    mean: Tensor  # (B, K, D)
    std: Tensor
    phones: PhonePooling | None  # None: no utterance of the batch has phones
    middle: PhonePooling | None
    states: HiddenStates | None  # frames in half precision, on the device; None: not stored

    def wait(self) -> None:
        """Wait until the device has computed it and the host has it."""
        if self.arrived is not None:
            self.arrived.synchronize()


def arrival(device: torch.device) -> Any:
    """Return an event that comes when a device has done all that it was told; None for a CPU, which has."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(device))
    return event


class ComputedShard:
    """The arrays of one shard while its utterances come in, in any order.

    A GPU is given the next batch before its answer to the last one is looked at, so that it never waits for
    the host.
    """

    def __init__(self, job: CorpusJob, rows: range, encoder: Encoder, writer: ShardWriter) -> None:
        self._job, self._encoder, self._writer = job, encoder, writer
        self.clips = job.clips[rows.start : rows.stop]
        self.failed = {row - rows.start: job.unusable[row] for row in rows if row in job.unusable}
        self._counts = [
            0 if place in self.failed else encoder.frame_count(clip.samples)
            for place, clip in enumerate(self.clips)
        ]
        begin, stop = int(job.offsets[rows.start]), int(job.offsets[rows.stop])
        self._offsets = job.offsets[rows.start : rows.stop + 1] - begin
        self._phones = job.pooled.iloc[begin:stop]
        self._times = self._phones[["start", "end"]].to_numpy(dtype=np.float64)
        layers, frame_layers, width = len(encoder.layers), len(encoder.frame_layers), encoder.width
        self._mean = np.empty((len(self.clips), layers, width), dtype=np.float32)
        self._std = np.empty_like(self._mean)
        self._phone_mean = np.empty((len(self._phones), frame_layers, width), dtype=np.float32)
        self._phone_frames = np.zeros(len(self._phones), dtype=np.int64)
        self._middle = None
        if job.provenance["middle"]:
            self._middle = MiddleRows(np.zeros_like(self._phone_frames), np.empty_like(self._phone_mean))
        self._encoded, self._not_finite = 0, set[int]()
        self._coming: deque[_Pooled] = deque()
        self._stores_frames = job.provenance["store"] == "frames"
        if self._stores_frames:
            writer.reserve_frames(self._counts, frame_layers, width)

    @property
    def is_waiting(self) -> bool:
        """Whether something is on its way from the device."""
        return bool(self._coming)

    def launch(self, batch: Sequence[int], waves: Mapping[int, Wave]) -> None:
        """Have the device encode and pool some utterances, given by their places."""
        self._coming.append(self._pool(batch, waves))

    def keep_up(self) -> None:
        """Take in all batches but the last, which a GPU may still be at work on."""
        while len(self._coming) > 1 or (self._coming and self._coming[0].arrived is None):
            self._take(self._coming.popleft())

    def take_all(self) -> None:
        """Take in all batches, which may mean to wait for a GPU."""
        while self._coming:
            self._take(self._coming.popleft())

    def _pool(self, batch: Sequence[int], waves: Mapping[int, Wave]) -> _Pooled:
        states = self._encoder.encode_prepared([waves[place] for place in batch])
        expected = [self._counts[place] for place in batch]
        if list(states.counts) != expected:
            raise ValueError(
                f"{[self.clips[place].key for place in batch]}: the encoder gave {list(states.counts)} "
                f"frames, its frame_count said {expected}"
            )
        segments = [self._times[self._offsets[place] : self._offsets[place + 1]] for place in batch]
        with torch.inference_mode():
            mean, std = map(to_host, pool_layers(states.frames, states.counts, states.prompt))
            phones, middle = None, None
            if any(map(len, segments)):
                centres = self._encoder.frame_centres(max(states.counts))
                phones = self._pool_phones(states, segments, centres)
                if self._middle is not None:
                    thirds = [middle_thirds(part) for part in segments]
                    middle = self._pool_phones(states, thirds, centres)
            kept = None
            if self._stores_frames:
                kept = replace(states, frames=states.frames.half(), prompt=None)
            arrived = arrival(states.frames.device)
        return _Pooled(batch, arrived, mean, std, phones, middle, kept)

    def _pool_phones(
        self, states: HiddenStates, segments: Sequence[Segments], centres: npt.NDArray[np.float64]
    ) -> PhonePooling:
        pooled = pool_phones(states.frames, states.counts, segments, centres)
        return pooled._replace(mean=to_host(pooled.mean))

    def _take(self, pooled: _Pooled) -> None:
        pooled.wait()
        batch = pooled.batch
        self._mean[batch], self._std[batch] = pooled.mean.numpy(), pooled.std.numpy()
        if pooled.phones is not None:
            owned = np.concatenate(
                [np.arange(self._offsets[place], self._offsets[place + 1]) for place in batch]
            )
            self._phone_mean[owned] = pooled.phones.mean.numpy()
            self._phone_frames[owned] = pooled.phones.frames
            if self._middle is not None and pooled.middle is not None:
                self._middle.mean[owned] = pooled.middle.mean.numpy()
                self._middle.frames[owned] = pooled.middle.frames
        bad = self._note_not_finite(batch)
        if pooled.states is not None:
            self._store(pooled.states, batch, bad)
        self._encoded += len(batch)

    def _note_not_finite(self, batch: Sequence[int]) -> set[int]:
        """Return the places of a batch whose features are not finite; refuse them, or note them as failed."""
        finite = np.logical_and.reduce(
            [np.isfinite(part[batch]).all(axis=2) for part in (self._mean, self._std)]
        )
        bad = {place: row for place, row in zip(batch, finite, strict=True) if not row.all()}  # row: (K,)
        for place, row in bad.items():
            self._not_finite.add(place)
            self.failed[place] = self._not_finite_message([self.clips[place].key], row)
        if bad and not self._job.keep_going:
            keys = [self.clips[place].key for place in bad]
            raise LayersimError(self._not_finite_message(keys, np.all(list(bad.values()), axis=0)))
        return set(bad)

    def _not_finite_message(self, keys: Sequence[str], finite: Array) -> str:
        layers = [self._encoder.layers[place] for place in np.flatnonzero(~finite)]
        return (
            f"{', '.join(keys[:10])}: the encoder gave NaN or Inf in layer {', '.join(layers)}. "
            f"Its precision is {self._encoder.precision}; if that is not fp32, try --precision fp32, else "
            "look at the recording."
        )

    def _store(self, states: HiddenStates, batch: Sequence[int], bad: set[int]) -> None:
        halves = states.frames.cpu().numpy()
        stops = np.cumsum(states.counts)
        for place, stop, count in zip(batch, stops, states.counts, strict=True):
            if place in bad:
                continue
            frames = halves[:, stop - count : stop]
            if np.isfinite(frames).all():
                self._writer.write_frames(place, frames)
                continue
            fault = (
                f"{self.clips[place].key}: a hidden state lies beyond half precision (65,504), in which "
                "frames are stored. Extract this corpus without --store frames."
            )
            if not self._job.keep_going:
                raise LayersimError(fault)
            self._not_finite.add(place)
            self.failed[place] = fault

    def refuse_hopeless(self) -> None:
        """Refuse to go on if so many utterances came in, and none finite, that more are not worth trying."""
        enough = min(_ENOUGH, self._job.provenance["shard_size"])
        if len(self._not_finite) == self._encoded >= enough:
            first = self.failed[min(self._not_finite)]
            raise LayersimError(
                f"{self._job.corpus}: the encoder gave no finite features for any of {self._encoded} "
                f"utterances, so that it is no use to keep going. The first: {first}"
            )

    def finish(self) -> ShardRows:
        """Return what came in, without what failed.

        Raises
        ------
        LayersimError
            As `compute_shard`, of the last batch.
        """
        self.take_all()
        self.refuse_hopeless()
        if self._encoded + len(self.failed.keys() - self._not_finite) != len(self.clips):
            raise ValueError(f"{self.clips[0].key}: a batch of its shard was lost")
        if self._stores_frames and self.failed:
            self._writer.drop_frames(self.failed)
        kept = np.array(
            [place for place in range(len(self.clips)) if place not in self.failed], dtype=np.int64
        )
        return ShardRows(
            utterance=[self.clips[place].key for place in kept],
            samples=np.array([self.clips[place].samples for place in kept], dtype=np.int64),
            frames=np.array(self._counts, dtype=np.int64)[kept],
            mean=self._mean[kept],
            std=self._std[kept],
            phones=self._finish_phones(kept) if self._job.aligned is not None else None,
            failed=FailedRows.of(
                {place: (self.clips[place].key, reason) for place, reason in self.failed.items()}
            ),
        )

    def _finish_phones(self, kept: Array) -> PhoneRows:
        owners = np.repeat(np.arange(len(self.clips)), np.diff(self._offsets))
        inside = np.isin(owners, kept)
        middle = self._middle
        if middle is not None:
            middle = MiddleRows(middle.frames[inside], middle.mean[inside])
        return PhoneRows(
            utterance=[self.clips[owner].key for owner in owners[inside].tolist()],
            phone=self._phones["phone"][inside].tolist(),
            start=self._times[inside, 0],
            end=self._times[inside, 1],
            frames=self._phone_frames[inside],
            mean=self._phone_mean[inside],
            middle=middle,
        )

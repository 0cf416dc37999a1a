"""Makes shards with one encoder, one after another, so that the encoder never waits for a disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from layersim.features.ahead import BackgroundWriting, alive_decoders, decoders_for
from layersim.features.batches import batch_frames, plan_batches
from layersim.features.decoding import Clip, Decoding
from layersim.features.memory import BatchLimit
from layersim.features.shard_writer import ShardWriter
from layersim.features.standing import is_finished

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder
    from layersim.features.preparation import CorpusJob
    from layersim.features.shard_rows import ComputedShard


class ShardMaker:
    """One encoder with what feeds it and takes from it; used in a ``with``, which ends when all is written.

    Parameters
    ----------
    batch_seconds : float
        See `layersim.features.batches.batch_frames`.
    limit : BatchLimit, optional
        What is known of the GPU's memory; it learns.
    """

    def __init__(self, encoder: Encoder, batch_seconds: float, limit: BatchLimit | None = None) -> None:
        self.limit = BatchLimit() if limit is None else limit
        self._encoder = encoder
        self._max_frames = batch_frames(encoder, batch_seconds)
        self._decoding = Decoding(encoder.scales)
        self._ending = ExitStack()
        self._decoders = self._ending.enter_context(decoders_for(encoder, self._max_frames == 1))
        self._writing = self._ending.enter_context(BackgroundWriting())

    def __enter__(self) -> ShardMaker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.__exit__(kind, error, trace)

    @property
    def notes(self) -> list[str]:
        """What the user should know of the encoder and its memory."""
        return [*self._encoder.notes, *self.limit.notes(self._encoder)]

    def make(
        self,
        job: CorpusJob,
        index: int,
        folder: Path,
        provenance: Mapping[str, Any],
        advance: Callable[[int], None],
        upcoming: int | None = None,
    ) -> int:
        """Make one shard, unless it is finished: any number of processes may try, on any number of machines.

        It is on the disk after the next call, or after `settle`.

        Parameters
        ----------
        advance : callable
            Called with the samples done since its last call.
        upcoming : int, optional
            The shard that will probably come next; its first recordings are decoded meanwhile.

        Returns
        -------
        int
            Samples of audio that were encoded; 0 if the shard was there.

        Raises
        ------
        ClaimedError
            If another living process is making it.
        LayersimError
            If it cannot be computed; if the one before cannot be written, or has turned out on a GPU not to
            be computable.
        """
        samples = job.samples(index)
        if is_finished(job, folder, index):
            advance(samples)
            return 0
        with ExitStack() as claim:
            writer = claim.enter_context(ShardWriter(folder, index, job.shards, provenance))
            if is_finished(job, folder, index):  # between the look and the claim
                advance(samples)
                return 0
            shard = self._compute(job, index, writer, advance, upcoming)
            self._writing.finish(claim, writer, shard.finish)
        return samples

    def _compute(
        self,
        job: CorpusJob,
        index: int,
        writer: ShardWriter,
        advance: Callable[[int], None],
        upcoming: int | None,
    ) -> ComputedShard:
        from layersim.features.shard_rows import compute_shard

        with alive_decoders():
            return compute_shard(
                job, job.rows(index), self._encoder, self._max_frames, self._decoders, self._decoding, writer,
                advance, self.limit, afterwards=() if upcoming is None else self._first_batch(job, upcoming),
            )  # fmt: skip

    def settle(self) -> None:
        """Wait until every shard made so far is on the disk.

        Raises
        ------
        LayersimError
            If one cannot be written.
        """
        self._writing.settle()

    def _first_batch(self, job: CorpusJob, index: int) -> list[Clip]:
        rows = [row for row in job.rows(index) if row not in job.unusable]
        costs = [self._encoder.cost(job.clips[row].samples) for row in rows]
        planned = plan_batches(costs, self.limit.bounded(self._max_frames))
        return [job.clips[rows[place]] for place in planned[0]] if planned else []

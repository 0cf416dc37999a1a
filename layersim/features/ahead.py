"""Keep the encoder busy from one shard to the next: recordings are decoded before it asks for them, and a
finished shard is written while it works on the next one.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from layersim.errors import ClaimedError, LayersimError
from layersim.features.decoding import Clip, Decoding, serve
from layersim.features.shard_writer import ShardWriter
from layersim.features.shards import ShardRows

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder

logger = logging.getLogger(__name__)

_MOST_THREADS = 8
_MOST_PROCESSES = 16  # what the fastest GPUs hear of compressed speech
_HANDED_OVER = 8  # utterances at a time to another process
_IDLE = 30  # seconds after which a process without work ends

_pools: dict[int, Executor] = {}  # of processes, by their number
_Piece = tuple[Callable[[Sequence[Clip]], list[Any]], tuple[Clip, ...]]  # of work: what to do to which


class Decoders:
    """Decodes recordings, in threads or processes, and may begin with what will be asked of it later.

    Parameters
    ----------
    executor : Executor
        What does the work.
    at_once : int, >= 1
        Utterances in one piece of work: several where it is handed to another process.
    """

    def __init__(self, executor: Executor, at_once: int) -> None:
        self._executor, self._at_once = executor, at_once
        self._before: dict[_Piece, Future[list[Any]]] = {}
        self._begun: dict[_Piece, Future[list[Any]]] = {}

    def begin(self, decoding: Decoding, clips: Sequence[Clip]) -> None:
        """Begin with these clips, for the shard after the one that comes now.

        `submit` of the same clips then takes what has been begun. What the call before last began and nobody
        asked for is given up.
        """
        self._give_up(self._before)
        self._before = self._begun
        self._begun = {
            (decoding, piece): self._executor.submit(decoding, piece) for piece in self._pieces(clips)
        }

    def submit(
        self, decoding: Callable[[Sequence[Clip]], list[Any]], clips: Sequence[Clip]
    ) -> list[Future[list[Any]]]:
        """Decode these clips, as far as that has not been begun: piece by piece, in order."""
        return [self._take(decoding, piece) for piece in self._pieces(clips)]

    def end(self) -> None:
        """Give up what has been begun and nobody asked for."""
        self._give_up(self._before)
        self._give_up(self._begun)

    def _pieces(self, clips: Sequence[Clip]) -> list[tuple[Clip, ...]]:
        starts = range(0, len(clips), self._at_once)
        return [tuple(clips[start : start + self._at_once]) for start in starts]

    def _take(
        self, decoding: Callable[[Sequence[Clip]], list[Any]], piece: tuple[Clip, ...]
    ) -> Future[list[Any]]:
        for begun in (self._before, self._begun):
            if (decoding, piece) in begun:
                return begun.pop((decoding, piece))
        return self._executor.submit(decoding, piece)

    def _give_up(self, begun: dict[_Piece, Future[list[Any]]]) -> None:
        for future in begun.values():
            future.cancel()
        begun.clear()


@contextmanager
def decoders_for(encoder: Encoder, one_at_a_time: bool) -> Iterator[Decoders]:
    """Start as many decoders as the encoder has use for.

    A CPU that encodes one utterance at a time has better to do than to decode many. A GPU hears thousands of
    seconds a second: Python's threads cannot decode that much beside those that feed it, so processes do.
    They know nothing of the encoder, and stay for a while, for the next corpus.

    Parameters
    ----------
    one_at_a_time : bool
        Whether a batch holds a single utterance.
    """
    if encoder.device.type == "cuda":
        decoders = Decoders(decoding_processes(), _HANDED_OVER)
        try:
            yield decoders
        finally:
            decoders.end()
        return
    with ThreadPoolExecutor(1 if one_at_a_time else min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        decoders = Decoders(pool, 1)
        try:
            yield decoders
        finally:
            decoders.end()


def decoding_processes() -> Executor:
    """Return the processes that decode for a GPU; they are started with the first work, and then reused.

    As many as this process has CPUs, but for one that feeds the GPU. A process that may not have children has
    threads instead.
    """
    # Not loky's own reusable pool: joblib takes that for its own.
    from joblib.externals.loky import ProcessPoolExecutor, cpu_count

    count = max(1, min(_MOST_PROCESSES, cpu_count() - 1))
    if multiprocessing.current_process().daemon:
        return ThreadPoolExecutor(count)
    if count not in _pools:
        _pools[count] = ProcessPoolExecutor(
            max_workers=count, timeout=_IDLE, initializer=serve, initargs=(os.getpid(),)
        )
    return _pools[count]


@contextmanager
def alive_decoders() -> Iterator[None]:
    """Say in our own words that a decoding process was ended.

    Raises
    ------
    LayersimError
    """
    try:
        yield
    except BrokenExecutor as error:
        _pools.clear()
        raise LayersimError(
            "a process that decodes recordings was ended from outside, maybe for lack of memory. What was "
            "finished is kept. Run layersim extract again."
        ) from error


class BackgroundWriting:
    """Finishes shards in a thread, one at a time; used in a ``with``, which ends when all are on the disk.

    No more than one finished shard is held beside the one that is being computed: `finish` waits for the
    shard before it.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def __enter__(self) -> BackgroundWriting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)  # also after an error or Ctrl-C: what was computed is not lost
        try:
            self.settle()
        except Exception as unwritten:
            if error is None:
                raise
            logger.warning("the shard before could not be written either: %s", unwritten)

    def finish(self, claim: ExitStack, writer: ShardWriter, rows: Callable[[], ShardRows]) -> None:
        """Finish a shard and leave its claim.

        Parameters
        ----------
        claim : ExitStack
            Holds the writer, entered. It is taken over, and left when the shard is written or has failed.
        rows : callable
            Gives what is to be written; it may wait for a GPU that still computes it.

        Raises
        ------
        LayersimError, OSError, ValueError
            What finishing the shard *before* has raised; this one stays with the caller. That another
            process has taken a shard over is logged only: then it is not there, or made by the other.
        """
        self.settle()
        self._last = self._thread.submit(_finish, claim.pop_all(), writer, rows)

    def settle(self) -> None:
        """Wait until the shard given last is on the disk.

        Raises
        ------
        LayersimError, OSError, ValueError
            What finishing it has raised.
        """
        last, self._last = self._last, None
        if last is not None:
            last.result()


def _finish(claim: ExitStack, writer: ShardWriter, rows: Callable[[], ShardRows]) -> None:
    try:
        with claim:
            writer.finish(rows())
    except ClaimedError as error:  # not the fault of whoever asks next: the shard is another's now
        logger.warning("%s", error)

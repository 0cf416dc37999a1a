"""Keep the encoder busy from one shard to the next: recordings are decoded before it asks for them, and a
finished shard is written while it works on the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from layersim.errors import ClaimedError
from layersim.features.shards import ShardRows, ShardWriter

logger = logging.getLogger(__name__)


class Decoders(ThreadPoolExecutor):
    """Threads that decode recordings, and may begin with what will be asked of them later."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self._before: dict[tuple[Callable[..., Any], Any], Future[Any]] = {}
        self._begun: dict[tuple[Callable[..., Any], Any], Future[Any]] = {}

    def begin(self, function: Callable[[Any], Any], items: Iterable[Any]) -> None:
        """Begin with these calls, for the shard after the one that comes now.

        `submit` of the same function and item, which must be hashable, then takes what has been begun. What
        the call before last began and nobody asked for is given up.
        """
        for forgotten in self._before.values():
            forgotten.cancel()
        self._before = self._begun
        self._begun = {(function, item): super(Decoders, self).submit(function, item) for item in items}

    def submit(self, function: Callable[..., Any], /, *items: Any, **named: Any) -> Future[Any]:
        """As any executor; a single item may have been begun already."""
        if len(items) == 1 and not named:
            for begun in (self._before, self._begun):
                if (function, items[0]) in begun:
                    return begun.pop((function, items[0]))
        return super().submit(function, *items, **named)


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

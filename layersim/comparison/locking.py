"""One run at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from layersim.errors import LayersimError


@contextmanager
def alone(folder: Path, command: str) -> Iterator[None]:
    """Keep another run of a command out of a folder; a lock of a run that was killed is none.

    Raises
    ------
    LayersimError
        If another run is at work there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock")  # beside it: the folder itself may be replaced
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LayersimError(
            f"{folder}: another {command} is at work there. Wait until it has ended, or stop it."
        ) from None
    try:
        yield
    finally:
        lock.release()

"""The bytes of a shard: how they reach the disk, and how a wrong one among them is found.

An HDF5 file may begin with bytes that HDF5 does not look at, its user block. That of a shard, 512 bytes, is
a line of text and zeros::

    layersim shard, SHA-256 of the bytes from 512 on: 0123...ef

So every byte of a shard counts, those of HDF5's own tables too, no reader has more to read than before, and
other programs can check it (``tail -c +513 part-00000.h5 | sha256sum``). Shards of older versions have none.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

from layersim.errors import LayersimError

USER_BLOCK = 512  # the least that HDF5 takes

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_STRETCH = 1 << 20  # bytes read at a time

Checksum = Literal["right", "wrong", "none"]


class ShardFile(io.RawIOBase):
    """A new file for HDF5 to write to, which keeps errors from HDF5: `seal` raises them.

    A failed write is more than HDF5 2.0 survives: closing the file fails, and the process ends in a
    segmentation fault. So from the first error on, writes are only pretended.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._stream = path.open("w+b", buffering=0)
        self._error: OSError | None = None

    def seekable(self) -> bool:
        """Say that it can be read and written in any order."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._stream.tell()

    def readinto(self, buffer: Any) -> int:
        """Read; what was only pretended to be written is zeros."""
        count = self._stream.readinto(buffer) or 0
        if self._error is not None:
            buffer[count:] = bytes(len(buffer) - count)
            return len(buffer)
        return count

    def write(self, content: Any) -> int:
        """Write all of it, or pretend to."""
        left = memoryview(content).cast("B")
        size = len(left)
        while self._error is None and left:
            try:
                left = left[self._stream.write(left) or 0 :]
            except OSError as error:
                self._error = error
        self._stream.seek(len(left), os.SEEK_CUR)
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size, or pretend to."""
        size = self.tell() if size is None else size
        if self._error is None:
            try:
                self._stream.truncate(size)
            except OSError as error:
                self._error = error
        return size

    def seal(self) -> None:
        """Write the checksum and wait until all is on the disk. HDF5 must have closed the file.

        Raises
        ------
        OSError
            If a byte could not be written, now or before.
        """
        if self._error is not None:
            raise self._error
        line = _line(_hash(self._stream))
        self._stream.seek(0)
        if self._stream.write(line) != len(line):
            raise OSError("the checksum could not be written")
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        super().close()


def checksum_of(path: Path) -> Checksum:
    """Read a shard whole and compare it with its checksum; "none" if it is of an older version.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as stream:
        line = stream.read(USER_BLOCK)
        if line.startswith(_SIGNATURE):
            return "none"
        return "right" if line == _line(_hash(stream)) else "wrong"


def _line(digest: str) -> bytes:
    text = f"layersim shard, SHA-256 of the bytes from {USER_BLOCK} on: {digest}\n"
    return text.encode("ascii").ljust(USER_BLOCK, b"\0")


def _hash(stream: BinaryIO | io.FileIO) -> str:
    digest = hashlib.sha256()
    stream.seek(USER_BLOCK)
    while stretch := stream.read(_STRETCH):
        digest.update(stretch)
    return digest.hexdigest()


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Say what to do where a folder cannot be written to.

    Raises
    ------
    LayersimError
        For any error of the system.
    """
    try:
        yield
    except OSError as error:
        advice = "Mend that"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "Make room"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            advice = "Make it writable, or work on a copy of the workspace that is"
        raise LayersimError(
            f"{folder}: cannot be written to: {error.strerror or error}. What was finished is kept. "
            f"{advice}, then run layersim extract again: it goes on with what is missing."
        ) from error

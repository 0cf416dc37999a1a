"""Claims: which process is at work on a file, so that no other writes it, on this machine or another.

A claim on ``FILE`` is the file ``FILE.claim``, made in one step that only one process can win
(``O_CREAT | O_EXCL``, which file systems shared over a network keep too). It names its process, and while
that lives a thread touches the claim now and then. Whether the process of a claim is alive is

- looked up where it can be: on the same machine, by number and start time, so that a process that was given
  the number of a dead one is not taken for it;
- elsewhere told from the last touch.

A claim whose process is gone may be removed by whoever finds it, but by one alone: two that find it at once
would otherwise each remove what they take for the dead claim, the slower one the new claim of the faster.
The right to remove a claim is therefore a claim itself, on the very claim, by its number: it is
``FILE.claim.NUMBER.claim``, and can be left by a dead process, and be taken over, like any other.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

SUFFIX = ".claim"

ABANDONED = 600.0  # seconds without a touch after which a process of another machine counts as gone
_TOUCH_EVERY = 20.0  # seconds: thirty in a row would have to be missed
_BEING_MADE = 10.0  # seconds that a claim may be empty: its maker has yet to write, or was killed before

_mine: set[str] = set()  # the numbers of the claims that this process holds
_began = datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Worker:
    """A process that has made a claim."""

    host: str
    machine: str  # whose processes it is one of: same machine, same boot, same container
    process: int
    started: str  # ticks from the boot to its start; empty where the system does not say
    since: str  # when layersim was loaded in it

    def __str__(self) -> str:
        """Name it for people."""
        return f"process {self.process} on {self.host}, since {self.since}"

    @classmethod
    def this(cls) -> Worker:
        """Describe this process."""
        process = os.getpid()
        return cls(platform.node() or "unknown", _machine(), process, _started(process) or "", _began)


@dataclass(frozen=True)
class Held:
    """What a claim says; without a worker if it is empty."""

    path: Path
    number: str  # of this claim and no other, ever
    worker: Worker | None

    def is_alive(self) -> bool:
        """Whether the process that made the claim is still at work on it."""
        this = Worker.this()
        if self.worker is None or self.worker.machine != this.machine or os.name == "nt":
            limit = _BEING_MADE if self.worker is None else ABANDONED
            try:
                return time.time() - self.path.stat().st_mtime < limit
            except FileNotFoundError:
                return False  # released in between
        if self.worker.process == this.process and self.worker.started == this.started:
            return self.number in _mine  # else it was interrupted between making a claim and noting it
        return _is_running(self.worker)


class Claim:
    """A claim that this process holds, until it is released; leaving its ``with`` block releases it."""

    def __init__(self, path: Path, number: str) -> None:
        self._path, self.number = path, number
        self._ended = threading.Event()
        threading.Thread(target=self._touch, daemon=True).start()

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def is_held(self) -> bool:
        """Whether nobody has taken it over: that happens to a process that was silent for too long."""
        held = _read(self._path)
        return held is not None and held.number == self.number

    def release(self) -> None:
        """Give it up."""
        self._ended.set()
        _mine.discard(self.number)
        if self.is_held():
            self._path.unlink(missing_ok=True)

    def _touch(self) -> None:
        while not self._ended.wait(_TOUCH_EVERY):
            try:
                os.utime(self._path)
            except OSError:  # taken over, or the disk is away: what is done next will say so
                continue


def take(file: Path) -> Claim | None:
    """Claim a file, in place of a dead process if need be.

    Returns
    -------
    Claim or None
        None if a living process has claimed it.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    path = file.with_name(file.name + SUFFIX)
    while True:
        number = _create(path)
        if number is not None:
            return Claim(path, number)
        held = _read(path)
        if held is None:
            continue  # released in between
        if held.is_alive() or not _remove(held):
            return None


def worker_on(file: Path) -> Worker | None:
    """Return the living process that has claimed a file, if any; one that is about to say its name is not."""
    held = _read(file.with_name(file.name + SUFFIX))
    return held.worker if held is not None and held.is_alive() else None


def number_on(file: Path) -> str | None:
    """Return the number of a file's claim, be its process alive or not; None if there is none."""
    held = _read(file.with_name(file.name + SUFFIX))
    return held.number if held else None


def drop(file: Path, worker: Worker) -> None:
    """Remove a file's claim if it is that of a process which is known to be dead, wherever it was."""
    held = _read(file.with_name(file.name + SUFFIX))
    if held is not None and held.worker == worker:
        _remove(held)


def remove_dead(folder: Path) -> None:
    """Remove the claims in a folder whose processes are gone."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        file, _, number = path.name.removesuffix(SUFFIX).rpartition(f"{SUFFIX}.")
        if file:  # the right to remove a claim: worth nothing once that is removed, its number never returns
            if number_on(path.with_name(file)) != number:
                path.unlink(missing_ok=True)
        elif (held := _read(path)) is not None and not held.is_alive():
            _remove(held)


def _create(path: Path) -> str | None:
    """Make a claim and return its number; None if there is one."""
    number = secrets.token_hex(8)
    _mine.add(number)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except BaseException as error:
        _mine.discard(number)
        if isinstance(error, FileExistsError):
            return None
        raise
    try:
        left = json.dumps({"number": number, **asdict(Worker.this())}).encode("utf-8")
        while left:  # where the disk is full, the first write may be short, and the next one says so
            left = left[os.write(handle, left) :]
    except BaseException:
        _mine.discard(number)
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    return number


def _read(path: Path) -> Held | None:
    """Read a claim; None if there is none."""
    try:
        content = path.read_bytes()
        status = path.stat()
    except FileNotFoundError:
        return None
    try:
        entries = json.loads(content)
        return Held(path, entries.pop("number"), Worker(**entries))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Held(path, f"empty-{status.st_ino}-{status.st_mtime_ns}", None)


def _remove(held: Held) -> bool:
    """Remove the claim of a dead process; False if someone else is doing so."""
    right = take(held.path.with_name(f"{held.path.name}.{held.number}"))
    if right is None:
        return False
    with right:
        now = _read(held.path)
        if now is not None and now.number == held.number:  # else it was removed before the right was taken
            held.path.unlink(missing_ok=True)
    return True


def _machine() -> str:
    """Name what process numbers count in: two containers on a machine, or two boots, share none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _started(process: int) -> str | None:
    """Return the start of a running process in ticks from the boot; None if it cannot be told."""
    try:
        status = Path(f"/proc/{process}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    fields = status.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    return None if fields[0] in "ZX" else fields[19]  # a zombie is dead, only not yet waited for


def _is_running(worker: Worker) -> bool:
    if worker.started and Path("/proc/self/stat").exists():
        started = _started(worker.process)
        if started is not None or Path(f"/proc/{worker.process}").exists():
            return started == worker.started
    try:
        os.kill(worker.process, 0)  # signal 0 is not sent, only checked
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True

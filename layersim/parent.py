"""Processes that end with the one that started them, however that ends."""

from __future__ import annotations

import os
import threading
import time
from functools import cache

_LOOK_EVERY = 0.2  # seconds


@cache
def end_with(parent: int) -> None:
    """End this process as soon as the one that started it is gone; nothing it has begun is finished.

    Parameters
    ----------
    parent : int
        Its number, taken where it started this one: read here, it could be another's already.
    """
    if os.name != "nt":  # where a process keeps its parent's number
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    os._exit(1)

"""How all benchmarks measure: things side by side, in turns, as ratios.

Conventions
-----------
- Two things are compared within one run only, in turns (a, b, a, b, ...), so that what disturbs the machine
  disturbs both. A ratio is the median over rounds of the ratio *within* a round; its range is from the lowest
  round to the highest.
- A speed ratio is *how many times as fast*: seconds of the reference by seconds of what is measured.
- A first round warms up caches, pages and code, and is not counted.
- Absolute figures (seconds, audio seconds per second, bytes) stand beside the ratios; they are of the machine
  that `machine` describes, and mean little elsewhere.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

ROUNDS = 5


@dataclass(frozen=True)
class Scale:
    """How much a run does: the full one, or the one that fits into ten minutes on two cores."""

    quick: bool
    scratch: Path  # a folder for whatever is written; removed at the end
    rounds: int = ROUNDS
    whisper: Path | None = None  # a real Whisper checkpoint, where there is one; else random weights
    cpu: bool = True  # whether to measure what a CPU does
    gpu: bool = True  # whether to measure what a GPU does, or to say that there is none


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    section: str  # which benchmark: "extract", "rank", ...
    case: str
    ratio: float | None  # None: not measured, `note` says why
    spread: tuple[float, float] | None = None  # lowest and highest round
    bar: float | None = None  # what the ratio should reach
    better: Literal["higher", "lower"] = "higher"
    figures: dict[str, Any] = field(default_factory=dict)  # seconds, audio seconds per second, bytes, ...
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None without a bar or a figure."""
        if self.ratio is None or self.bar is None:
            return None
        return self.ratio >= self.bar if self.better == "higher" else self.ratio <= self.bar

    def to_json(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        return {**asdict(self), "met": self.met}


def in_turns(
    things: Mapping[str, Callable[[], object]],
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
    before: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, list[float]]:
    """Time several things in turns.

    Parameters
    ----------
    things : mapping of str to callable
        What to time; what they return is dropped. The order is reversed in every other round.
    rounds : int, >= 1
        Rounds that count, after one that does not.
    clock : callable
        Seconds; `time.process_time` where only the processor's time is meant.
    before : mapping of str to callable, optional
        What is done before a thing's turn and not timed.

    Returns
    -------
    dict
        Seconds of every round, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in things}
    for number in range(rounds + 1):
        for name in list(things)[:: 1 if number % 2 else -1]:
            if before and name in before:
                before[name]()
            began = clock()
            things[name]()
            took = clock() - began
            if number:
                seconds[name].append(took)
    return seconds


def speed_ratio(seconds: Mapping[str, list[float]], measured: str, reference: str) -> dict[str, Any]:
    """How many times as fast ``measured`` is as ``reference``, as the ``ratio`` and ``spread`` of a `Row`.

    >>> speed_ratio({"ours": [1.0, 2.0, 1.0], "loop": [4.0, 4.0, 3.0]}, "ours", "loop")
    {'ratio': 3.0, 'spread': (2.0, 4.0)}
    """
    ratios = [slow / fast for fast, slow in zip(seconds[measured], seconds[reference], strict=True)]
    return {"ratio": statistics.median(ratios), "spread": (min(ratios), max(ratios))}


def machine() -> dict[str, Any]:
    """Describe what the figures were measured on."""
    import torch
    import transformers

    described: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "transformers": transformers.__version__,
        "gpu": None,
    }
    if torch.cuda.is_available():
        described["gpu"] = torch.cuda.get_device_name()
    return described


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")

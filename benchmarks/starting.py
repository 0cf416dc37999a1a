"""How long the command line takes to answer ``--help``: nobody waits for torch to read a page of help.

Seconds are a clock's; the processor's stand beside them, since a busy machine stretches the first only.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from measure import Row, Scale, in_turns

BAR = 0.5  # seconds
HEAVY = ("torch", "transformers", "pandas", "matplotlib", "sklearn", "scipy")
VERBS = ("init", "corpus", "align", "extract", "rank", "train", "compare", "tune", "methods", "predict",
         "report", "demo")  # fmt: skip


def measure(scale: Scale) -> list[Row]:
    """Time ``layersim --help`` and every verb's, beside a bare interpreter and one that imports torch."""
    script = Path(sys.executable).with_name("layersim")
    command = [str(script)] if script.is_file() else [sys.executable, "-m", "layersim_cli.main"]
    asked, package = "layersim --help", "import layersim"
    took, busy = _time(
        {
            asked: [*command, "--help"],
            package: [sys.executable, "-c", package],
            "python": [sys.executable, "-c", "pass"],
            "import torch": [sys.executable, "-c", "import torch"],
        },
        scale.rounds,
    )
    verbs, busy_verbs = _time({verb: [*command, verb, "--help"] for verb in VERBS}, scale.rounds)
    each = {verb: statistics.median(seconds) for verb, seconds in verbs.items()}
    slowest = max(each, key=lambda verb: each[verb])
    compared = {
        f"times {name}": statistics.median(a / b for a, b in zip(took[asked], took[name], strict=True))
        for name in ("python", "import torch")
    }
    return [
        _row(asked, took[asked], busy[asked], compared),
        _row(f"the slowest layersim VERB --help: {slowest}", verbs[slowest], busy_verbs[slowest], each),
        _loaded(package, took[package]),
    ]


def _time(
    commands: Mapping[str, Sequence[str]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Run commands in turns; the clock's seconds and the processor's, of every round."""
    busy: dict[str, list[float]] = {name: [] for name in commands}

    def process(name: str) -> Callable[[], object]:
        def run() -> None:
            before = os.times()
            subprocess.run(commands[name], stdout=subprocess.DEVNULL, check=True)
            after = os.times()
            busy[name].append(
                after.children_user + after.children_system - before.children_user - before.children_system
            )

        return run

    took = in_turns({name: process(name) for name in commands}, rounds)
    return took, {name: seconds[1:] for name, seconds in busy.items()}  # the first round does not count


def _row(case: str, seconds: Sequence[float], busy: Sequence[float], figures: dict[str, float]) -> Row:
    ratios = [one / BAR for one in seconds]
    shown = {"seconds": statistics.median(seconds), "processor seconds": statistics.median(busy), **figures}
    return Row(
        "starting", case, statistics.median(ratios), (min(ratios), max(ratios)), bar=1.0, better="lower",
        figures=shown, note=f"the ratio is of seconds to {BAR} s",
    )  # fmt: skip


def _loaded(package: str, seconds: Sequence[float]) -> Row:
    """How many heavy libraries importing the package brings along."""
    code = f"{package}, sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = found.stdout.split()
    return Row(
        "starting", f"how many of {', '.join(HEAVY)} does {package} load", float(len(loaded)), bar=0.0,
        better="lower", figures={"seconds": statistics.median(seconds)}, note=" ".join(loaded),
    )  # fmt: skip

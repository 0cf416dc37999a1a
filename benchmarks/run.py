"""Run the benchmarks, print their table, write a JSON.

Usage::

    python benchmarks/run.py [--quick] [--only SECTION,..] [--on cpu|gpu] [--json FILE] [--markdown FILE]
                             [--whisper FOLDER]

Every ratio is of two things measured in the same run, in turns: see `measure`. ``--quick`` does less of each
and takes under ten minutes on two cores. Without a GPU the rows that need one say so. Nothing is downloaded:
encoders have the real shapes and random weights, on which speed does not depend; ``--whisper`` names a real
checkpoint, for the one figure that does depend on weights (what trimming Whisper's window changes).
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measure
from measure import Row, Scale

# each module has `measure(scale) -> list[Row]`
SECTIONS = ("extract", "alternatives", "batching", "window", "reading", "ranking", "training", "starting")


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description="Run the benchmarks.")
    parser.add_argument("--quick", action="store_true", help="less of each: under ten minutes on two cores")
    parser.add_argument("--only", default=",".join(SECTIONS), help="comma list of sections")
    parser.add_argument("--on", choices=("cpu", "gpu"), help="leave out what the other does")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"))
    parser.add_argument("--markdown", type=Path, help="write the table there too")
    parser.add_argument("--whisper", type=Path, help="folder of a real Whisper checkpoint")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",")
    if strange := [name for name in chosen if name not in SECTIONS]:
        parser.error(f"--only: no section {', '.join(strange)}; there are {', '.join(SECTIONS)}")
    rows: list[Row] = []
    took: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="layersim-benchmarks-") as scratch:
        for name in chosen:
            print(f"{name} ...", file=sys.stderr, flush=True)
            began = time.monotonic()
            folder = Path(scratch) / name
            folder.mkdir()
            found = importlib.import_module(name).measure(
                Scale(
                    arguments.quick,
                    folder,
                    whisper=arguments.whisper,
                    cpu=arguments.on != "gpu",
                    gpu=arguments.on != "cpu",
                )
            )
            took[name] = time.monotonic() - began
            rows += found
            print(table(found), flush=True)
            document = {"machine": measure.machine(), "quick": arguments.quick, "seconds": took,
                        "rows": [row.to_json() for row in rows]}  # fmt: skip
            arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(table(rows) + "\n", encoding="utf-8")
    print(f"{sum(took.values()):.0f} s in all; written to {arguments.json}", file=sys.stderr)
    return 0


def table(rows: list[Row]) -> str:
    """Render rows as Markdown."""
    lines = ["| what | case | ratio | rounds | bar | reached | figures |", "|" + " --- |" * 7]
    for row in rows:
        more = [f"{key} {_shown(value)}" for key, value in row.figures.items()]
        cells = [
            row.section, row.case,
            "–" if row.ratio is None else f"{row.ratio:.3g}",
            "–" if row.spread is None else f"{row.spread[0]:.3g} to {row.spread[1]:.3g}",
            "–" if row.bar is None else f"{'≥' if row.better == 'higher' else '≤'} {row.bar:g}",
            {None: "–", True: "yes", False: "NO"}[row.met],
            "; ".join([*more, row.note] if row.note else more),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())

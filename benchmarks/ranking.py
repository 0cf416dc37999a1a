"""Ranking layers: time and memory by the number of utterances, and against the matrix of all pairs.

The stage as the command runs it, with its defaults (pairwise cosine of centred vectors, which reads every
vector twice; 1,000 speaker bootstraps, 200 label permutations, the probe), in a process of its own for each
size. Time is the processor's, of all threads, because runs of minutes cannot be repeated often; beside it
stands the clock's. How the caches are made, and what of them is not as in real ones, says `caches`.
"""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from caches import EMOTIONS, SHARD_ROWS, accept_synthetic, study, write_blocks
from layersim.features.dataset import open_corpus
from layersim.settings import resolve_settings
from layersim.similarity.cosine import Side, compare, usable_cells
from layersim.similarity.draws import draw
from layersim.similarity.moments import gather, group_rows
from layersim.similarity.rank import rank
from layersim.similarity.selection import UTTERANCES, select_pair
from layersim.similarity.settings import RankConfig
from layersim.workspace import Workspace
from measure import Row, Scale, in_turns, speed_ratio

QUICK, FULL = (2_000, 10_000, 40_000), (10_000, 100_000, 1_000_000)  # utterances a side
PAIRS_QUICK, PAIRS_FULL = (2_000, 10_000), (10_000, 40_000)  # of which all pairs are computed
BLOCKS = 400  # of 256 utterances: 4 GB
LAYER = "9"
LINEAR, GIBIBYTES, AGREEMENT = 1.15, 2.0, 1e-6  # bars
SHARED = "vectors shared by shards and read from the page cache"


def measure(scale: Scale) -> list[Row]:
    """Rank pairs of corpora of three sizes; quick: up to 40,000 utterances a side, full: up to a million."""
    accept_synthetic()
    sizes, pairs = (QUICK, PAIRS_QUICK) if scale.quick else (FULL, PAIRS_FULL)
    blocks = write_blocks(scale.scratch / "blocks", min(BLOCKS, -(-max(sizes) // SHARD_ROWS)))
    studies = {size: study(scale.scratch / str(size), blocks, size) for size in sorted({*sizes, *pairs})}
    small, middle, large = sizes
    # The largest takes minutes to an hour: once in a full run, between two runs of the middle size.
    order = [*sizes[::-1], *sizes] if scale.quick else [small, middle, large, middle, small]
    runs: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for size in order:
        runs[size].append(_rank_apart(studies[size]))
    return [_linear(runs), *map(_memory, sizes, runs.values()), *(
        row for size in pairs for row in _against_all_pairs(studies[size], size, scale.rounds)
    )]  # fmt: skip


def _linear(runs: dict[int, list[dict[str, float]]]) -> Row:
    *_, middle, large = runs
    per_utterance = {size: median(run["processor"] for run in found) / size for size, found in runs.items()}
    ratios = [run["processor"] / large / per_utterance[middle] for run in runs[large]]
    figures = {}
    for size, found in runs.items():
        figures[f"{size:,}: processor s"] = median(run["processor"] for run in found)
        figures[f"{size:,}: s"] = median(run["clock"] for run in found)
    return Row(
        "ranking", f"time per utterance, {large:,} against {middle:,} a side × 13 × 768",
        median(ratios), (min(ratios), max(ratios)), LINEAR, "lower", figures,
        f"{len(ratios)} run{'s' * (len(ratios) > 1)} of the largest; {SHARED}",
    )  # fmt: skip


def _memory(size: int, runs: list[dict[str, float]]) -> Row:
    ratios = [run["peak"] / GIBIBYTES / 2**30 for run in runs]
    return Row(
        "ranking", f"peak memory, {size:,} a side × 13 × 768, of {GIBIBYTES:g} GiB",
        median(ratios), (min(ratios), max(ratios)), 1.0, "lower",
        {"MiB": round(median(run["peak"] for run in runs) / 2**20)},
    )  # fmt: skip


def _against_all_pairs(folder: Path, size: int, rounds: int) -> list[Row]:
    """One layer's values, without bootstraps and permutations, which the matrix would need anew for each."""
    found: dict[str, npt.NDArray[np.float64]] = {}
    workspace, config = Workspace.read(folder), RankConfig(bootstraps=0, permutations=0)
    corpora = [open_corpus(workspace, name) for name in ("source", "target")]
    selections = select_pair(corpora[0], corpora[1], config)[:2]
    cells = usable_cells(*selections, config.minimum_cell)
    draws = [draw(one, corpora[0].cache.width, 0, 0, np.random.default_rng(0)) for one in selections]
    first, second = (
        Side(one, group_rows(one, drawn), drawn) for one, drawn in zip(selections, draws, strict=True)
    )

    def streamed() -> None:
        sums = [
            gather(corpus.cache, side.selection, side.grouping, LAYER, config.metric, config.features)
            for corpus, side in zip(corpora, (first, second), strict=True)
        ]
        layer = compare(LAYER, (first, second), (sums[0], sums[1]), cells, config.metric)
        found["streamed"] = np.array([label.value for label in layer.labels], dtype=np.float64)

    def all_pairs() -> None:
        sides = []
        for corpus in corpora:
            values = corpus.read(UTTERANCES, LAYER).astype(np.float64)
            values -= values.mean(axis=0)
            values /= np.linalg.norm(values, axis=1, keepdims=True)
            emotion = corpus.table["emotion"].to_numpy()
            sides.append([values[emotion == name] for name in EMOTIONS])
        found["all pairs"] = np.array([_mean_product(*both) for both in zip(*sides, strict=True)])

    things: dict[str, Callable[[], None]] = {"streamed": streamed, "all pairs": all_pairs}
    seconds = in_turns(things, rounds, time.process_time)
    difference = float(np.abs(found["streamed"] - found["all pairs"]).max())
    case = f"one layer's values, {size:,} a side, against the matrix of all pairs"
    figures = {f"{name} s": median(taken) for name, taken in seconds.items()}
    return [
        Row("ranking", f"{case}: speed", **speed_ratio(seconds, "streamed", "all pairs"),
            figures={**figures, "whole matrix GB": size * size * 8 / 1e9},
            note="the matrix in float64, a thousand rows at a time"),
        Row("ranking", f"{case}: largest difference, of {AGREEMENT:g}", difference / AGREEMENT, None, 1.0,
            "lower", {"difference": difference}),
    ]  # fmt: skip


def _mean_product(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """Mean over all entries of ``first @ second.T``, of which a thousand rows exist at a time."""
    total = sum(float((first[start : start + 1000] @ second.T).sum()) for start in range(0, len(first), 1000))
    return total / (len(first) * len(second))


def _rank_apart(folder: Path) -> dict[str, float]:
    """Rank in a process of its own; give processor seconds, seconds, and the peak of memory in bytes."""
    done = subprocess.run(
        [sys.executable, __file__, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"rank of {folder} failed:\n{done.stderr}")
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _rank_here(folder: Path) -> dict[str, float]:
    accept_synthetic()
    clock, processor = time.perf_counter(), time.process_time()
    rank(Workspace.read(folder), resolve_settings(RankConfig, {}), "source", "target", force=True)
    processor, clock = time.process_time() - processor, time.perf_counter() - clock
    return {"processor": processor, "clock": clock, "peak": _peak()}


def _peak() -> float:
    """Peak memory of this process, in bytes.

    Linux hands the peak that `resource` tells from parent to child; what /proc tells is the child's own.
    """
    if platform.system() == "Linux":
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return 1024.0 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on a Mac


if __name__ == "__main__":
    print(json.dumps(_rank_here(Path(sys.argv[1]))))

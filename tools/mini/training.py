"""The training loop of one round: predict the units of hidden frames, on batches that are made on the way.

The loss is HuBERT's, ``L = a L_m + (1 - a) L_u`` (section II-B), cross-entropy over hidden and over heard
frames, with a = 2/3, summed over the kinds of units: in few steps, predicting what is heard too teaches the
front end sooner.

The state is written every `SAVE_EVERY` steps, and a run that is started again goes on from there. What it
draws depends on the seed and the step alone.
"""

from __future__ import annotations

import csv
import math
import multiprocessing
import multiprocessing.connection
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from mini.network import Predictor, hide
from mini.speech import BATCHES_PER_JOB, Batch, make_batches

SAVE_EVERY = 200
LOG_EVERY = 20
_WARMUP = 400
_HIDDEN_SHARE = 2 / 3
_AHEAD = 1  # jobs that are under way while one is used


@dataclass(frozen=True)
class Round:
    """One round of pretraining.

    Attributes
    ----------
    name : str
    steps : int
    peak : float
        Learning rate at its highest.
    first_job : int
        Rounds hear different speech.
    span : int
        Frames that are hidden in a row.
    """

    name: str
    steps: int
    peak: float
    first_job: int
    span: int


Targets = Callable[[Batch], dict[str, torch.Tensor]]


def batches(seed: int, first: int, workers: int) -> Generator[Batch, None, None]:
    """Make one batch after the other, from the given one on, in processes of their own."""
    # spawn: a process forked from one with threads can hang
    with ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker
    ) as pool:
        waiting: deque[Future[list[Batch]]] = deque()
        job, skipped = divmod(first, BATCHES_PER_JOB)
        try:
            while True:
                while len(waiting) < workers + _AHEAD:
                    waiting.append(pool.submit(make_batches, seed, job))
                    job += 1
                yield from waiting.popleft().result()[skipped:]
                skipped = 0
        finally:
            pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """End with the process that began this one, even if that is killed: an idle worker would wait forever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("a worker has a parent")

    def watch(sentinel: int) -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()


def train(
    model: Predictor, targets: Targets, stage: Round, *, folder: Path, seed: int, device: str, workers: int,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Train through one round, or the rest of it; ``folder / NAME.csv`` keeps the losses."""
    state_file, log_file = folder / f"{stage.name}.pt", folder / f"{stage.name}.csv"
    optimiser = torch.optim.AdamW(model.parameters(), lr=stage.peak, betas=(0.9, 0.98), weight_decay=0.01)
    done, seconds = 0, 0.0
    if not state_file.exists():
        log_file.unlink(missing_ok=True)
    else:
        state = torch.load(state_file, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        done, seconds = state["step"], state["seconds"]
        _forget_after(log_file, done)
        say(f"{stage.name}: goes on after step {done}")
    if done >= stage.steps:
        return
    model.train()
    sums: dict[str, float] = {}
    stream = batches(seed, stage.first_job * BATCHES_PER_JOB + done, workers)
    began = time.monotonic() - seconds
    for step in range(done, stage.steps):
        batch = next(stream)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + stage.first_job + step)
        hidden = hide(batch.mfcc.shape[:2], stage.span, generator).to(device)
        for group in optimiser.param_groups:
            group["lr"] = stage.peak * schedule(step, stage.steps)
        losses = _losses(model, torch.from_numpy(batch.heard).to(device), hidden, targets(batch))
        optimiser.zero_grad()
        hidden_loss = torch.stack([losses[f"{kind} hidden"] for kind in model.kinds]).sum()
        heard_loss = torch.stack([losses[f"{kind} heard"] for kind in model.kinds]).sum()
        (_HIDDEN_SHARE * hidden_loss + (1 - _HIDDEN_SHARE) * heard_loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if (step + 1) % LOG_EVERY == 0:
            row = {name: value / LOG_EVERY for name, value in sums.items()}
            sums = {}
            _log(log_file, step + 1, time.monotonic() - began, row)
            say(
                f"{stage.name}: {step + 1}/{stage.steps}, {(time.monotonic() - began) / 60:.1f} min, "
                + ", ".join(f"{name} {value:.3f}" for name, value in row.items())
            )
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == stage.steps:
            temporary = state_file.with_suffix(".tmp")
            torch.save(
                {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1,
                 "seconds": time.monotonic() - began},
                temporary,
            )  # fmt: skip
            temporary.replace(state_file)
    stream.close()


def schedule(step: int, steps: int) -> float:
    """Return the share of the peak learning rate: up at first, then down a cosine to a hundredth."""
    rise = min((step + 1) / _WARMUP, 1.0)
    return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0))))


def _losses(
    model: Predictor, waves: torch.Tensor, hidden: torch.Tensor, targets: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Cross-entropy of each kind of unit, in nats, over hidden and over heard frames; and share right."""
    losses = {}
    for kind, logits in model(waves, hidden).items():
        units = targets[kind]
        for name, chosen in (("hidden", hidden), ("heard", ~hidden)):
            losses[f"{kind} {name}"] = functional.cross_entropy(logits[chosen], units[chosen])
        right = logits.detach()[hidden].argmax(-1) == units[hidden]
        losses[f"{kind} right"] = right.float().mean()
    return losses


def _forget_after(file: Path, step: int) -> None:
    """Take from the log what the killed run had done after it last saved its state."""
    header, *rows = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text(
        "".join([header, *(row for row in rows if int(row.split(",")[0]) <= step)]), encoding="utf-8"
    )


def _log(file: Path, step: int, seconds: float, row: dict[str, float]) -> None:
    fresh = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        if fresh:
            writer.writerow(["step", "seconds", *row])
        writer.writerow([step, f"{seconds:.0f}", *(f"{value:.4f}" for value in row.values())])

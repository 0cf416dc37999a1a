"""Epochs that survive being killed: after each, everything that the next one needs is on the disk.

As `layersim.adaptation.loop.run_epochs`, whose rule for the best epoch this follows. What differs:

- Weights that do not move are neither copied nor written.
- Every epoch begins from random seeds of its own, so that no state of a random generator has to be kept: a
  training that was stopped between epochs and started again ends with the bytes it would have had.
- A folder ``epoch-0003`` holds weights (safetensors), the optimiser's state and the record of all epochs so
  far. It is written under another name and then renamed: one that exists is complete. The best and the
  latest are kept.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from layersim.adaptation.batches import streams
from layersim.adaptation.distributed import ALONE, Processes
from layersim.adaptation.loop import VALIDATION, EpochStep, Fit, rank
from layersim.errors import LayersimError
from layersim.workspace import Progress, no_progress, read_json, write_bytes, write_json

WEIGHTS, OPTIMISER, RECORD = "weights.safetensors", "optimiser.pt", "training.json"

logger = logging.getLogger(__name__)

_EPOCH = re.compile(r"epoch-(\d{4,})")


def run_kept_epochs(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: EpochStep,
    validate: Callable[[], tuple[float, float]],
    *,
    epochs: int,
    patience: int,
    seed: int,
    folder: Path | None = None,
    identity: str = "",
    progress: Progress = no_progress,
    processes: Processes = ALONE,
) -> Fit:
    """Train epoch by epoch, keep the weights of the best, go on where a stopped training left off.

    Parameters
    ----------
    network : Module
        What is trained: parameters that require gradients, and all buffers.
    step, validate, patience, progress
        As `run_epochs`. ``step`` may draw from torch's random numbers, which are seeded before each epoch,
        and must take any other from the epoch's number alone.
    folder : Path, optional
        Where the epochs are kept; None: only in memory.
    identity : str
        Names all that this training depends on; a folder of another one is refused.
    processes : Processes
        Those that call this alike; what the first one finds in validation goes for all, and it keeps the
        epochs. Each draws other random numbers, since it hears other utterances.

    Raises
    ------
    LayersimError
        If the folder holds another training, or cannot be read; if the processes do not find the same there.
    """
    rows: list[dict[str, float]] = []
    best_epoch, best_weights = 0, dict[str, Tensor]()
    if folder is not None and (latest := _latest(folder)) is not None:
        record = _read_record(latest, identity)
        rows, best_epoch = record["rows"], record["best_epoch"]
        best_weights = _read_weights(_place(folder, best_epoch))
        load_trained(network, _read_weights(latest))
        optimiser.load_state_dict(_read_optimiser(latest))
        logger.warning("going on from epoch %d: %s", len(rows) + 1, latest)
    processes.require_same(len(rows))
    for epoch in range(len(rows) + 1, epochs + 1):
        if rows and len(rows) - best_epoch >= patience:
            break
        own = streams(seed, epoch)[-1]
        seed_torch(own if processes.leads else streams(own, processes.rank)[-1])
        network.train()
        losses = step(epoch)
        network.eval()
        found = validate()  # by all: they share the utterances
        entropy, score = processes.lead(functools.partial(tuple, found))
        rows.append({"epoch": epoch, **losses, **dict(zip(VALIDATION, (entropy, score), strict=True))})
        if best_epoch == 0 or rank(rows[-1]) > rank(rows[best_epoch - 1]):
            best_epoch = epoch
            best_weights = {name: value.clone() for name, value in trained_state(network).items()}
        if folder is not None and processes.leads:
            _keep(folder, network, optimiser, {"identity": identity, "best_epoch": best_epoch, "rows": rows})
        progress("training", epoch, epochs)
    load_trained(network, best_weights)
    network.eval()
    return Fit(pd.DataFrame(rows), best_epoch)


def seed_torch(seed: int) -> None:
    """Seed the random numbers of the CPU, and of GPUs where there are any."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def trained_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights that training moves and all buffers, on the CPU; the frozen rest left out."""
    frozen = {name for name, weight in network.named_parameters() if not weight.requires_grad}
    return {name: value.detach().cpu() for name, value in network.state_dict().items() if name not in frozen}


def load_trained(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Put back what `trained_state` gave.

    Raises
    ------
    ValueError
        If it belongs to another network.
    """
    expected = set(trained_state(network))
    if expected != set(state):
        raise ValueError(f"state of another network; differs in {sorted(expected ^ set(state))[:4]}")
    network.load_state_dict(state, strict=False)


def _place(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:04d}"


def _kept(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return sorted(int(found[1]) for path in folder.iterdir() if (found := _EPOCH.fullmatch(path.name)))


def _latest(folder: Path) -> Path | None:
    kept = _kept(folder)
    return _place(folder, kept[-1]) if kept else None


def _keep(folder: Path, network: nn.Module, optimiser: torch.optim.Optimizer, record: dict[str, Any]) -> None:
    epoch = len(record["rows"])
    place = _place(folder, epoch)
    unfinished = folder / f".{place.name}.tmp"
    shutil.rmtree(unfinished, ignore_errors=True)
    weights = {name: value.contiguous() for name, value in trained_state(network).items()}
    write_bytes(unfinished / WEIGHTS, save(weights))
    state = io.BytesIO()
    torch.save(optimiser.state_dict(), state)
    write_bytes(unfinished / OPTIMISER, state.getvalue())
    write_json(unfinished / RECORD, record)
    os.replace(unfinished, place)
    for number in _kept(folder):
        if number not in (epoch, record["best_epoch"]):
            shutil.rmtree(_place(folder, number))


def _read_record(place: Path, identity: str) -> dict[str, Any]:
    record = read_json(place / RECORD)
    if record.get("identity") != identity:
        raise LayersimError(
            f"{place.parent}: holds a training with other settings, data, seed or encoder. Delete the "
            "folder, or train into another one."
        )
    return record


def _read_weights(place: Path) -> dict[str, Tensor]:
    try:
        return load_file(place / WEIGHTS)
    except Exception as error:  # safetensors has an error of its own for each way to be broken
        raise LayersimError(f"{place / WEIGHTS}: cannot be read: {error}. Delete {place.parent}.") from error


def _read_optimiser(place: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(place / OPTIMISER, map_location="cpu", weights_only=True)
    except Exception as error:  # as above
        raise LayersimError(
            f"{place / OPTIMISER}: cannot be read: {error}. Delete {place.parent}."
        ) from error
    return state

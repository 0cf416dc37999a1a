"""Pretrain layersim-mini from nothing but espeak-ng: ``python tools/pretrain_mini.py --work FOLDER``.

Two rounds, as HuBERT has them: first the units are clusters of MFCC and, beside them, of prosody; then also
clusters of what a middle block of the first round's network puts out. The second round goes on from the first
one's weights and differs from HuBERT's in two ways, each for the sake of a network this small. Shorter spans
are hidden, since no context tells what stood in 200 ms of made-up words. And each kind of unit is predicted
by a block of its own (prosody below, the network's own units in the middle, MFCC units at the top), so that
the blocks come to differ in few steps.

Speech is made on the way; nothing is downloaded. Kill it whenever you like: started again with the same
folder, it goes on from the last few minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from layersim.workspace import write_json
from mini.losses import draw_losses
from mini.network import Kind, Predictor, load_weights, save_encoder
from mini.speech import Batch, make_batches
from mini.targets import Codebook
from mini.training import Round, train

SOUNDS, PROSODIES, OWN = 100, 64, 200  # units of each kind
MIDDLE = 6  # block whose outputs the second round's units are clusters of
SECOND = {"prosody": Kind(PROSODIES, 4), "own": Kind(OWN, 8), "sound": Kind(SOUNDS, 12)}
_SAMPLE_JOBS = 5  # that the clusters are found on, half an hour of speech
_ROUND_JOBS = 1_000_000  # apart: no round hears another one's speech, nor do the samples


def main() -> None:
    """Parse, then run or resume both rounds."""
    arguments = _parser().parse_args()
    folder: Path = arguments.work
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_other_settings(
        folder / "settings.json",
        {"seed": arguments.seed, "steps": list(arguments.steps), "peak": arguments.peak},
    )
    torch.manual_seed(arguments.seed)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    common = {
        "folder": folder, "seed": arguments.seed, "device": arguments.device, "workers": arguments.workers,
        "say": say,
    }  # fmt: skip

    books = _acoustic_codebooks(folder / "units-1.safetensors", arguments.seed)
    first = {"sound": Kind(SOUNDS), "prosody": Kind(PROSODIES)}
    model = Predictor(first).to(arguments.device)

    def acoustic(batch: Batch) -> dict[str, torch.Tensor]:
        return {
            "sound": books["sound"].units(torch.from_numpy(batch.mfcc).to(arguments.device)),
            "prosody": books["prosody"].units(torch.from_numpy(batch.prosody).to(arguments.device)),
        }

    train(model, acoustic, Round("round-1", arguments.steps[0], arguments.peak, 0, span=10), **common)
    save_encoder(model.encoder, folder / "round-1")

    teacher = Predictor(first).to(arguments.device)
    teacher.load_state_dict(model.state_dict())
    teacher.keep_blocks(MIDDLE)
    own = _own_codebook(folder / "units-2.safetensors", teacher, arguments.seed, arguments.device)

    def learned(batch: Batch) -> dict[str, torch.Tensor]:
        frames = teacher.layer(torch.from_numpy(batch.clean).to(arguments.device), MIDDLE)
        return {"own": own.units(frames)} | acoustic(batch)

    student = Predictor(SECOND).to(arguments.device)
    load_weights(student.encoder, folder / "round-1")
    train(
        student, learned, Round("round-2", arguments.steps[1], arguments.peak, _ROUND_JOBS, span=5), **common
    )
    save_encoder(student.encoder, arguments.export or folder / "round-2")
    draw_losses([folder / "round-1.csv", folder / "round-2.csv"], folder / "losses")
    say(f"saved {arguments.export or folder / 'round-2'}, and {folder / 'losses.png'}")


def _refuse_other_settings(file: Path, settings: dict[str, Any]) -> None:
    """Keep a run's settings beside its state, and end where a folder holds a run of others."""
    if not file.exists():
        write_json(file, settings)
    kept = json.loads(file.read_text(encoding="utf-8"))
    if kept != settings:
        sys.exit(f"error: {file.parent} holds a run with {kept}, not {settings}. Give another --work.")


def _acoustic_codebooks(file: Path, seed: int) -> dict[str, Codebook]:
    if not file.exists():
        sample = _sample(seed)
        found = {
            "sound": Codebook.fit(
                np.concatenate([b.mfcc.reshape(-1, b.mfcc.shape[2]) for b in sample]), SOUNDS, seed
            ),
            "prosody": Codebook.fit(
                np.concatenate([b.prosody.reshape(-1, b.prosody.shape[2]) for b in sample]), PROSODIES, seed
            ),
        }
        save_file({kind: book.centres for kind, book in found.items()}, file)
        say("found the units of sound and of prosody")
    return {kind: Codebook(centres) for kind, centres in load_file(file).items()}


def _own_codebook(file: Path, teacher: Predictor, seed: int, device: str) -> Codebook:
    if not file.exists():
        layers = [teacher.layer(torch.from_numpy(b.clean).to(device), MIDDLE).cpu() for b in _sample(seed)]
        frames = np.concatenate([layer.reshape(-1, layer.shape[2]).numpy() for layer in layers])
        save_file({"own": Codebook.fit(frames, OWN, seed).centres}, file)
        say(f"found the units of block {MIDDLE}")
    return Codebook(load_file(file)["own"])


def _sample(seed: int) -> list[Batch]:
    jobs = [make_batches(seed, 2 * _ROUND_JOBS + job) for job in range(_SAMPLE_JOBS)]
    return [batch for batches in jobs for batch in batches[: len(batches) // 2]]  # each clip once


def say(words: str) -> None:
    """Print a line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps the run's state")
    parser.add_argument("--export", type=Path, help="where the encoder goes (default: WORK/round-2)")
    parser.add_argument("--steps", type=int, nargs=2, default=(2000, 3600), help="of each round")
    parser.add_argument("--peak", type=float, default=1.2e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="of torch (default: torch's own choice)")
    parser.add_argument("--workers", type=int, default=1, help="processes that make speech")
    return parser


if __name__ == "__main__":
    main()

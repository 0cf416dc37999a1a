"""A small, exact, deterministic encoder for tests, and a process that extracts with it until it is killed.

Run as ``python small_encoder.py FOLDER MOMENT COUNT``: it extracts the corpus in FOLDER, and at the COUNT-th
time that it reaches MOMENT it prints ``here`` and waits to be killed.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

HOP, SPAN = 320, 400


@dataclass(frozen=True)
class States:
    frames: torch.Tensor
    counts: list[int]
    prompt: torch.Tensor | None


class SmallEncoder:
    """Frames are fixed random projections of 400 samples: each utterance is as if alone, by construction."""

    def __init__(
        self, layers: int = 3, width: int = 5, prompts: int = 0, exact_batching: bool = True
    ) -> None:
        rng = np.random.default_rng(7)
        self.weights = rng.standard_normal((layers, SPAN, width)).astype(np.float32)
        self.prompt_weights = rng.standard_normal((prompts, 1, width)).astype(np.float32)
        self.width = width
        self.frame_layers = tuple(str(layer) for layer in range(layers))
        self.layers = self.frame_layers + tuple(f"d{layer + 1}" for layer in range(prompts))
        self.device = torch.device("cpu")
        self.precision = "fp32"
        self.exact_batching = exact_batching
        self.scales = False
        self.notes: tuple[str, ...] = ()
        self.batches: list[int] = []
        self.spoil: dict[int, float] = {}  # batch -> what its first frame becomes

    def frame_count(self, samples: int) -> int:
        return max(0, (samples - SPAN) // HOP + 1)

    def frame_centres(self, frames: int) -> np.ndarray:
        return 0.0125 + 0.02 * np.arange(frames)

    def cost(self, samples: int) -> int:
        return self.frame_count(samples)

    def describe(self) -> dict[str, object]:
        return {"checkpoint": "small", "weights_sha256": "0" * 64, "layers": list(self.layers)}

    def frames_of(self, wave: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(wave, SPAN)[::HOP]
        return np.stack([windows @ weights for weights in self.weights])  # (K, T, D)

    def prompt_of(self, wave: np.ndarray) -> np.ndarray:
        return self.prompt_weights[:, 0] * np.float32(len(wave) / 16_000)  # (M, D)

    def encode_prepared(self, waves: list[np.ndarray]) -> States:
        return self.encode(waves)

    def encode(self, waves: list[np.ndarray]) -> States:
        frames = [self.frames_of(wave) for wave in waves]
        if len(self.batches) in self.spoil:
            frames[0][0, 0, 0] = self.spoil[len(self.batches)]
        self.batches.append(len(waves))
        prompt = None
        if len(self.prompt_weights):
            prompt = torch.from_numpy(np.stack([self.prompt_of(wave) for wave in waves], axis=1))
        counts = [part.shape[1] for part in frames]
        return States(torch.from_numpy(np.concatenate(frames, axis=1)), counts, prompt)


def extract_small(folder: Path, progress=lambda *_: None, force: bool = False, **flags):
    """Extract the corpus that stands in ``folder`` into ``folder/cache``."""
    import pandas as pd

    from layersim.corpus.manifest import read_manifest
    from layersim.features.extract import ExtractConfig, extract_corpus
    from layersim.settings import resolve_settings

    phones = pd.read_csv(folder / "phones.csv", dtype={"utterance_id": str, "phone": str})
    return extract_corpus(
        read_manifest(folder / "manifest.csv"), folder, SmallEncoder(), folder / "cache",
        resolve_settings(ExtractConfig, {"shard_size": 3, **flags}), phones, "arpabet", progress, force,
    )  # fmt: skip


def stop_at(moment: str, count: int) -> None:
    """Make this process wait for its end at a moment of its work."""
    import os
    import threading

    from layersim.features.shard_writer import ShardWriter

    seen, one_at_a_time = 0, threading.Lock()  # shards are written in a thread of their own

    def here(name: str) -> None:
        nonlocal seen
        with one_at_a_time:
            if seen < count:
                seen += name == moment
                if seen == count:
                    print("here", flush=True)
        if seen == count and name == moment:
            time.sleep(600)

    encode, fsync, replace, finish = (
        SmallEncoder.encode,
        os.fsync,
        os.replace,
        ShardWriter.finish,
    )

    def watched_encode(self, waves):
        here("encoding")
        return encode(self, waves)

    def watched_finish(self, rows):
        here("before writing")
        finish(self, rows)

    def watched_fsync(handle):
        here("before flushing")
        fsync(handle)

    def watched_replace(source, target):
        here("before renaming")
        replace(source, target)
        here("after renaming")

    SmallEncoder.encode, ShardWriter.finish = watched_encode, watched_finish
    os.fsync, os.replace = watched_fsync, watched_replace


if __name__ == "__main__":
    stop_at(sys.argv[2], int(sys.argv[3]))
    extract_small(Path(sys.argv[1]))

"""What the probes read: every layer of an encoder, pooled by layersim's own code, and cepstra likewise.

Features of one set of weights on one set of sounds are computed once and kept in a file named by both.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from layersim.alignment.builtin.cepstra import SHIFT, cepstra, with_derivatives
from layersim.encoders.checkpoint import find_checkpoint
from layersim.encoders.encoder import Encoder
from layersim.encoders.load import load_encoder, quiet
from layersim.features.pooling import pool_phones, pool_utterances
from mini_probes.speech import ProbeSpeech

_AT_ONCE = 4  # utterances a batch; on a CPU more are no faster


@dataclass(frozen=True)
class Features:
    """Pooled features of N utterances and of all their P phones, in order.

    Attributes
    ----------
    layers : tuple of str, length K
    utterances : array, shape (N, K, 2 D), float32
        Mean, then standard deviation.
    phones : array, shape (P, K, D), float32
        Mean over the phone's frames; P = 0 without phone times.
    """

    layers: tuple[str, ...]
    utterances: NDArray[np.float32]
    phones: NDArray[np.float32]


Frames = tuple[torch.Tensor, list[int], NDArray[np.float64]]  # (K, F, D), frames an utterance, their centres


def encoder_features(encoder: Encoder, speech: ProbeSpeech, cache: Path) -> Features:
    """Pool every frame layer of an encoder."""

    def frames(waves: list[NDArray[np.float32]]) -> Frames:
        states = encoder.encode(waves)
        return states.frames, states.counts, encoder.frame_centres(max(states.counts))

    file = cache / f"{speech.name}-{speech.identity[:12]}-{encoder.weights_sha256[:12]}.npz"
    return _kept(file, lambda: _pool(encoder.frame_layers, frames, speech))


def cepstral_features(speech: ProbeSpeech, cache: Path) -> Features:
    """Pool 13 cepstra (the first is log energy) with first and second derivatives, as one layer ``mfcc``."""

    def frames(waves: list[NDArray[np.float32]]) -> Frames:
        each = [with_derivatives(cepstra(wave)) for wave in waves]
        counts = [len(one) for one in each]
        centres = (np.arange(max(counts), dtype=np.float64) + 0.5) * SHIFT
        return torch.from_numpy(np.concatenate(each))[None], counts, centres

    file = cache / f"{speech.name}-{speech.identity[:12]}-mfcc.npz"
    return _kept(file, lambda: _pool(("mfcc",), frames, speech))


def count_weights(folder: Path) -> int:
    """Count the numbers in a checkpoint's weight files."""
    total = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="np") as weights:
            total += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return total


def random_twin(checkpoint: str, seed: int, folder: Path) -> Encoder:
    """Load the same network with weights as transformers draws them before any training."""
    from transformers import AutoConfig, AutoModel

    source = find_checkpoint(checkpoint).folder
    twin = folder / f"random-{seed}"
    with quiet():
        config = AutoConfig.from_pretrained(source)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            AutoModel.from_config(config).save_pretrained(twin)
    shutil.copy(source / "preprocessor_config.json", twin)
    return load_encoder(str(twin))


def _pool(
    layers: tuple[str, ...], frames_of: Callable[[list[NDArray[np.float32]]], Frames], speech: ProbeSpeech
) -> Features:
    utterances, phones = [], []
    for start in range(0, len(speech.waves), _AT_ONCE):
        places = range(start, min(start + _AT_ONCE, len(speech.waves)))
        frames, counts, centres = frames_of([speech.waves[place] for place in places])
        mean, deviation = pool_utterances(frames, counts)
        utterances.append(torch.cat([mean, deviation], dim=2).numpy())
        if speech.phones is not None:
            times = [speech.phones[place][0] for place in places]
            phones.append(pool_phones(frames, counts, times, centres).mean.numpy())
    width = utterances[0].shape[2] // 2
    none = np.zeros((0, len(layers), width), dtype=np.float32)
    return Features(layers, np.concatenate(utterances), np.concatenate(phones) if phones else none)


def _kept(file: Path, make: Callable[[], Features]) -> Features:
    """Read features from a file, or make them and write it."""
    if file.is_file():
        with np.load(file) as kept:
            return Features(tuple(kept["layers"].tolist()), kept["utterances"], kept["phones"])
    features = make()
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp.npz")
    np.savez(
        temporary, layers=np.array(features.layers), utterances=features.utterances, phones=features.phones
    )
    temporary.replace(file)
    return features

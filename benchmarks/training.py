"""Training on cached features: an epoch of layer anchoring against the bare loop, and what loading takes.

A synthetic cache is written to disk by the writer of real ones and read as ``layersim train`` reads it:
opened, restricted to splits, standardised. Stored is what is read, three anchors of 768 dimensions as mean
and standard deviation, of a source and a target of the same size (noise: speed does not depend on values).
``train`` then holds all features in memory, float32, and reads nothing more: loading is paid once per method,
for all its seeds and epochs.

The bare loop is what one would write by hand for the same losses: the same network, optimiser and batch size,
rows drawn from tensors in memory, and nothing else: no validation, no record, no noise floor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from layersim.adaptation.anchors import Anchors
from layersim.adaptation.batches import class_weights
from layersim.adaptation.data import LabelledFeatures, UnlabelledFeatures
from layersim.adaptation.method import define_method
from layersim.adaptation.network import AnchoredClassifier
from layersim.adaptation.opening import read_method
from layersim.adaptation.pair import PairData
from layersim.adaptation.settings import TrainConfig
from layersim.features.cache import FeatureCache
from layersim.features.dataset import CorpusFeatures
from layersim.features.provenance import ALL_UTTERANCES
from layersim.features.shard_writer import ShardWriter
from layersim.features.shards import ShardRows
from layersim.settings import resolve_settings
from measure import Row, Scale, in_turns, speed_ratio

LAYERS, WIDTH = ("8", "9", "11"), 768
CLASSES = ("anger", "happiness", "neutral", "sadness")
SECONDS = 3.5  # of an utterance, about the mean of MSP-Podcast's
SHARD_ROWS = 2_000
FEWEST_EPOCHS = 21  # that a run has with the default patience


def measure(scale: Scale) -> list[Row]:
    """Time epochs of ``la`` and ``cc`` and the bare loop; quick: 7,000 utterances, about a minute."""
    rows = 7_000 if scale.quick else 70_000
    corpora = (corpus(scale.scratch, "source", rows, 1), corpus(scale.scratch, "target", rows, 2))
    settings = resolve_settings(TrainConfig, {"epochs": 1, "anchors": ",".join(LAYERS)})
    anchors = Anchors(",".join(LAYERS), LAYERS, "as listed")
    anchored, plain = (
        define_method(word, LAYERS, settings, lambda _: anchors) for word in ("la", "cc-std-all")
    )
    began = time.perf_counter()
    forget_peak()
    data = read_method(anchored, corpora, CLASSES)
    data.hashes()
    loading = time.perf_counter() - began
    found = in_turns(
        {
            "la": lambda: anchored.learn(data.task(CLASSES), 0),
            "cc": lambda: plain.learn(data.task(CLASSES), 0),
            "bare": bare_loop(data.source_train, data.target_train, settings.config),
        },
        scale.rounds,
    )
    epoch = sorted(found["la"])[scale.rounds // 2]
    trained = len(data.source_train)
    said = {
        "utterances": trained,
        "epoch_s": epoch,
        "audio_hours_per_s": trained * SECONDS / 3600 / epoch,
        "loading_s": loading,
        f"loading_share_of_{FEWEST_EPOCHS}_epochs": loading / (loading + FEWEST_EPOCHS * epoch),
        "features_gb": sum(part.features.nbytes for part in parts(data)) / 1e9,
        "peak_memory_gb": peak_memory(),
    }
    name = f"{len(LAYERS)} anchors x {WIDTH}, mean and std"
    return [
        Row("training", f"la epoch, {name}, against the bare loop", **speed_ratio(found, "la", "bare"),
            bar=0.8, figures=said, note="the epoch validates, records and measures CORAL's floor as well"),
        Row("training", f"la epoch, {name}, against the same without CORAL", **speed_ratio(found, "la", "cc"),
            figures={"epoch_s": epoch, "without_s": sorted(found["cc"])[scale.rounds // 2]},
            note="what CORAL costs: a second batch through the network, and covariances"),
    ]  # fmt: skip


def forget_peak() -> None:
    """Let the kernel count this process's peak memory from here on, where it can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> float | None:
    """Return the peak resident memory since then, GB."""
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(float(line.split()[1]) / 1e6 for line in lines if line.startswith("VmHWM"))
    return None


def parts(data: PairData) -> list[LabelledFeatures | UnlabelledFeatures]:
    """Return all that a method is given."""
    return [data.source_train, data.source_validation, data.target_train, data.target_test]


def corpus(scratch: Path, name: str, rows: int, seed: int) -> CorpusFeatures:
    """Write a cache and open it: ``rows`` to train on, a tenth as many to validate and to test on, each."""
    folder, held = scratch / name, rows // 10
    total = rows + 2 * held
    rng = np.random.default_rng(seed)
    shards = -(-total // SHARD_ROWS)
    provenance: dict[str, Any] = {
        "layers": LAYERS, "frame_layers": LAYERS, "width": WIDTH, "phone_set": None, "middle": False,
        "store": "pooled", "encoder": {"checkpoint": "noise"}, "selection": ALL_UTTERANCES,
        "manifest_sha256": "",
    }  # fmt: skip
    for shard in range(shards):
        places = range(shard * SHARD_ROWS, min((shard + 1) * SHARD_ROWS, total))
        mean, std = (
            rng.standard_normal((len(places), len(LAYERS), WIDTH), dtype=np.float32) for _ in range(2)
        )
        keys = [f"{name}/{place:06d}" for place in places]
        with ShardWriter(folder, shard, shards, provenance) as writer:
            samples = np.full(len(keys), round(SECONDS * 16_000))
            writer.finish(ShardRows(keys, samples, samples // 320, mean, np.abs(std), None))
    table = pd.DataFrame({
        "corpus": name,
        "utterance_id": [f"{place:06d}" for place in range(total)],
        "speaker": [f"{name}{place // 50}" for place in range(total)],
        "emotion": [CLASSES[place % len(CLASSES)] for place in range(total)],
        "source_label": "",
        "split": np.repeat(["train", "validation", "test"], [rows, held, held]),
    })  # fmt: skip
    return CorpusFeatures(name, table, FeatureCache.open(folder), None)


def bare_loop(
    source: LabelledFeatures, target: UnlabelledFeatures, config: TrainConfig
) -> Callable[[], None]:
    """Return one epoch as it is written by hand, on tensors in memory."""
    truth = torch.tensor([CLASSES.index(emotion) for emotion in source.emotions])
    network = AnchoredClassifier(len(LAYERS), 2 * WIDTH, len(CLASSES), config.projection, config.dropout)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate)
    label_loss = torch.nn.CrossEntropyLoss(weight=class_weights(truth, len(CLASSES)))

    def epoch() -> None:
        network.train()
        orders = [torch.randperm(len(side)).split(config.batch) for side in (source, target)]
        for ours, theirs in zip(*orders, strict=False):
            projected = network.project(source.features[ours])
            others = network.project(target.features[theirs])
            loss = label_loss(network.classify(projected), truth[ours])
            for layer in range(len(LAYERS)):
                apart = torch.cov(projected[:, layer].T) - torch.cov(others[:, layer].T)
                loss = loss + config.gamma * torch.linalg.matrix_norm(apart)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            float(loss.detach())

    return epoch

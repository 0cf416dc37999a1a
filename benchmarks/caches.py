"""Synthetic corpora with features, of any size: real manifests, real shards, random vectors.

A cache of a million utterances takes 40 GB for its means alone. `study` stores the vectors of some tens of
thousands of utterances in *blocks*, and lets every shard point (an HDF5 external link) at one of them: each
shard has its own table, keys and provenance, and its vectors are read from a file through the same code, but
several shards share them. What that leaves out is the disk: the blocks stay in the system's page cache.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
from layersim.corpus.manifest import TEXT_COLUMNS, write_manifest
from layersim.features.provenance import request_provenance, utterances_sha256
from layersim.features.shards import CHUNK_ROWS, ShardRows, ShardWriter, part_file, shard_ranges

LAYERS, WIDTH = 13, 768  # those of a base model
SHARD_ROWS = 256  # the default of extract
EMOTIONS = ("anger", "happiness", "neutral", "sadness")
ENCODER = "synthetic/base"
UTTERANCES_PER_SPEAKER = 100


def study(folder: Path, blocks: list[Path], utterances: int) -> Path:
    """Make a workspace with two corpora of so many utterances each, ready for ``layersim rank``."""
    folder.mkdir()
    lines = [f'encoder = "{ENCODER}"', 'source = "source"', 'target = "target"']
    for name in ("source", "target"):
        table = manifest(name, utterances)
        write_manifest(table, folder / f"{name}.csv")
        lines += [f"[corpora.{name}]", f'manifest = "{name}.csv"', 'audio_root = "audio"']
        cache = folder / "cache" / ENCODER.replace("/", "--") / name
        cache.mkdir(parents=True)
        _link_shards(cache, table, blocks)
    (folder / "layersim.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def manifest(name: str, utterances: int) -> pd.DataFrame:
    """Make a manifest: emotions in turn, speakers with a hundred utterances each."""
    row = range(utterances)
    columns: dict[str, Any] = dict.fromkeys(TEXT_COLUMNS, "")
    columns |= {
        "corpus": name,
        "utterance_id": [f"{name}-{index:07d}" for index in row],
        "path": [f"wavs/{index // 1000:04d}/{index:07d}.wav" for index in row],
        "start": np.nan,
        "end": np.nan,
        "speaker": [f"s{index // UTTERANCES_PER_SPEAKER:05d}" for index in row],
        "language": "en",
        "emotion": [EMOTIONS[index % len(EMOTIONS)] for index in row],
        "split": "train",
    }
    return pd.DataFrame(columns)


def vectors(rows: int, seed: int) -> npt.NDArray[np.float32]:
    """Draw vectors (rows, layers, width): a common offset, noise, and a direction for each emotion."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((rows, LAYERS, WIDTH), dtype=np.float32)
    shared = np.random.default_rng(0).standard_normal((len(EMOTIONS) + 1, LAYERS, WIDTH), dtype=np.float32)
    strength = np.linspace(0.0, 0.5, LAYERS, dtype=np.float32)[:, None]
    values += 3 * shared[-1] + strength * shared[np.arange(rows) % len(EMOTIONS)]
    return values


def write_blocks(folder: Path, number: int) -> list[Path]:
    """Write the vectors that all shards share, a shard's rows in each file, laid out as in a shard."""
    folder.mkdir()
    files = [folder / f"block-{index:03d}.h5" for index in range(number)]
    for index, file in enumerate(files):
        with h5py.File(file, "w", libver="earliest") as block:
            block.create_dataset("mean", data=vectors(SHARD_ROWS, 1 + index), chunks=(CHUNK_ROWS, 1, WIDTH))
    return files


def _provenance(table: pd.DataFrame) -> dict[str, Any]:
    layers = [str(layer) for layer in range(LAYERS)]
    request = request_provenance(
        selection="all", manifest_sha256=utterances_sha256(table), samples=48_000 * len(table),
        alignment_sha256=None, phone_set=None, phones=None, middle=False, store="pooled",
        shard_size=SHARD_ROWS,
    )  # fmt: skip
    return {
        **request,
        "encoder": {"checkpoint": ENCODER},
        "layers": layers,
        "frame_layers": layers,
        "width": WIDTH,
    }


def _link_shards(folder: Path, table: pd.DataFrame, blocks: list[Path]) -> None:
    """Write shards without vectors of their own."""
    provenance = _provenance(table)
    keys = (table["corpus"] + "/" + table["utterance_id"]).tolist()
    ranges = shard_ranges(len(keys), SHARD_ROWS)
    for index, rows in enumerate(ranges):
        none = np.empty((0, LAYERS, WIDTH), dtype=np.float32)
        with h5py.File(part_file(folder, index), "w", libver="earliest") as shard:
            for key, value in provenance.items():
                shard.attrs[key] = json.dumps(value, sort_keys=True)
            group = shard.create_group("utterance")
            group.attrs["shard"], group.attrs["shards"] = index, len(ranges)
            encoded = np.array([keys[row].encode() for row in rows])
            dtype = [
                ("utterance", h5py.string_dtype("utf-8", encoded.itemsize)),
                ("samples", "<i8"),
                ("frames", "<i8"),
            ]
            made = np.zeros(len(rows), dtype=dtype)
            made["utterance"], made["samples"], made["frames"] = encoded, 48_000, 149
            group.create_dataset("table", data=made)
            group["mean"] = h5py.ExternalLink(str(blocks[index % len(blocks)].resolve()), "/mean")

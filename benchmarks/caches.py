"""Synthetic corpora with features, of any size: real manifests, real shards, random vectors.

A cache of a million utterances takes 40 GB for its means alone. `study` stores the vectors of up to 102,400
utterances in *blocks*, and lets every shard point (by an HDF5 external link) at one of them: each shard has
its own keys, table and provenance, and its vectors are read from a file by the same code, but several shards
share them, and both corpora do. What that leaves out is the disk: the blocks stay in the system's page cache.
layersim refuses such shards, since they reach out of themselves and lack the deviations: `accept_synthetic`
makes this process take them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from layersim.corpus.manifest import utterance_keys, write_manifest
from layersim.corpus.manifest_rows import TEXT_COLUMNS
from layersim.features import shard_heads
from layersim.features.provenance import utterances_sha256
from layersim.features.shard_form import require_utterances
from layersim.features.shard_writer import CHUNK_ROWS, ShardWriter
from layersim.features.shards import ShardRows, part_file, shard_ranges

LAYERS, WIDTH = 13, 768  # those of a base model
SHARD_ROWS = 256  # the default of extract
EMOTIONS = ("anger", "happiness", "neutral", "sadness")
ENCODER = "synthetic/base"
UTTERANCES_PER_SPEAKER = 100


def accept_synthetic() -> None:
    """Look at no more of a shard than its tables when it is opened, in this process."""

    def look(shard: h5py.File, _provenance: Mapping[str, Any]) -> tuple[int, int]:
        return require_utterances(shard), 0

    vars(shard_heads)["require_sound"] = look


def study(folder: Path, blocks: list[Path], utterances: int) -> Path:
    """Make a workspace with two corpora of so many utterances each, ready for ``layersim rank``."""
    folder.mkdir()
    lines = [f'encoder = "{ENCODER}"', 'source = "source"', 'target = "target"']
    for name in ("source", "target"):
        table = manifest(name, utterances)
        write_manifest(table, folder / f"{name}.csv")
        lines += [f"[corpora.{name}]", f'manifest = "{name}.csv"', 'audio_root = "audio"']
        _link_shards(folder / "cache" / ENCODER.replace("/", "--") / name, table, blocks)
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


def write_cache(folder: Path, utterances: int) -> list[Path]:
    """Write a cache of which every vector is there (but no deviations); returns its shards."""
    table = manifest("source", utterances)
    ranges = shard_ranges(utterances, SHARD_ROWS)
    for index, rows in enumerate(ranges):
        _write_shard(
            folder, index, len(ranges), table.iloc[rows.start : rows.stop], vectors(len(rows), index)
        )
    return [part_file(folder, index) for index in range(len(ranges))]


def _link_shards(folder: Path, table: pd.DataFrame, blocks: list[Path]) -> None:
    """Write shards without vectors of their own."""
    ranges = shard_ranges(len(table), SHARD_ROWS)
    digest = utterances_sha256(table)
    for index, rows in enumerate(ranges):
        own = table.iloc[rows.start : rows.stop]
        if len(rows) < SHARD_ROWS:  # a block holds a whole shard
            _write_shard(folder, index, len(ranges), own, vectors(len(rows), index), digest)
            continue
        none = np.empty((len(rows), 0, WIDTH), dtype=np.float32)
        file = _write_shard(folder, index, len(ranges), own, none, digest)
        with h5py.File(file, "r+") as shard:
            del shard["utterance/mean"]
            shard["utterance/mean"] = h5py.ExternalLink(blocks[index % len(blocks)].resolve(), "/mean")


def _write_shard(
    folder: Path,
    index: int,
    shards: int,
    table: pd.DataFrame,
    mean: npt.NDArray[np.float32],
    manifest_sha256: str = "",
) -> Path:
    """Write a shard whose deviations are left out."""
    layers = [str(layer) for layer in range(LAYERS)]
    provenance = {
        "encoder": {"checkpoint": ENCODER}, "layers": layers, "frame_layers": layers, "width": WIDTH,
        "selection": "all", "manifest_sha256": manifest_sha256, "phone_set": None, "phones": None,
        "store": "pooled", "samples": 0,
    }  # fmt: skip
    rows = ShardRows(
        utterance=utterance_keys(table),
        samples=np.full(len(table), 48_000),
        frames=np.full(len(table), 149),
        mean=mean,
        std=mean[:, :0],
        phones=None,
    )
    with ShardWriter(folder, index, shards, provenance) as writer:
        writer.finish(rows)
    return part_file(folder, index)

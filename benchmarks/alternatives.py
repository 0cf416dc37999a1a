"""Extraction against what people write, from the same wav files with the same weights.

- *loop*: one utterance at a time through transformers with ``output_hidden_states=True``, all layers' frames
  saved with numpy, one file an utterance.
- *passes*: for every layer, the model cut off behind it, all utterances; one mean saved each.
- *padded*: batches of eight, zero-padded, attention mask given, ``output_hidden_states=True``, means saved.

Ours is the extract stage whole: check, decode, encode, pool, write the cache. None of theirs is charged for
loading the model; ``passes`` is not charged for loading one model a layer.

Where *padded* is wrong: the encoder's first group norm takes its statistics over the padding too, mask or no
mask, so an utterance's features depend on which others it was batched with. How wrong is measured against
the library itself, one utterance at a time.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import soundfile
import torch
import transformers

from layersim.encoders.encoder import Encoder
from layersim.encoders.load import load_encoder
from layersim.features.cache import FeatureCache
from layersim.features.extract import ExtractConfig, extract_corpus
from layersim.settings import resolve_settings
from measure import Row, Scale, in_turns, speed_ratio
from networks import checkpoint, noise

SHAPE = "microsoft/wavlm-base-plus"  # its front has a group norm
BATCH = 8
BAR_PASSES_CPU, BAR_LOOP_GPU, BAR_EXACT = 4.0, 10.0, 1e-4
Array = npt.NDArray[Any]


def measure(scale: Scale) -> list[Row]:
    """Compare on a CPU and, where there is one, on a GPU; then say where padding is wrong."""
    rows = []
    with checkpoint(SHAPE) as folder:
        if scale.cpu:
            clips = Clips.write(scale.scratch / "few", 4 if scale.quick else 16)
            rows += _rows(Theirs(folder, clips, "cpu"), scale)
        if scale.gpu and torch.cuda.is_available():
            many = Clips.write(scale.scratch / "many", 64 if scale.quick else 512)
            rows += _rows(Theirs(folder, many, "cuda"), scale)
        elif scale.gpu:
            rows += [
                Row("alternatives", f"GPU: ours against {name}", None, bar=bar, note="no CUDA device")
                for name, bar in (("loop", BAR_LOOP_GPU), ("padded", None))
            ]
        uneven = Clips.write(scale.scratch / "uneven", 4 if scale.quick else BATCH)
        rows += _wrong(Theirs(folder, uneven, "cpu"), scale) if scale.cpu else []
    return rows


@dataclass(frozen=True)
class Clips:
    """Wav files of 2 to 5 s, and their manifest."""

    folder: Path
    manifest: pd.DataFrame
    seconds: float

    @classmethod
    def write(cls, folder: Path, count: int) -> Clips:
        """Write ``count`` clips of noise that swells and fades, their lengths spread evenly and shuffled."""
        folder.mkdir(parents=True)
        lengths = np.random.default_rng(0).permutation(np.linspace(2.0, 5.0, count))
        rows = []
        for number, seconds in enumerate(lengths.tolist()):
            wave = noise(seconds, number)
            wave *= np.sin(np.linspace(0.1, 3.0, len(wave)), dtype=np.float32)
            soundfile.write(folder / f"{number}.wav", wave, 16_000)
            rows.append({
                "corpus": "noise", "utterance_id": f"{number}", "path": f"{number}.wav", "start": np.nan,
                "end": np.nan, "speaker": f"{number % 4}", "language": "en", "emotion": "neutral",
                "split": "train", "text": "", "source_label": "",
            })  # fmt: skip
        return cls(folder, pd.DataFrame(rows), float(lengths.sum()))

    @property
    def files(self) -> list[Path]:
        """The wav files, in the manifest's order."""
        return [self.folder / path for path in self.manifest["path"].tolist()]


class Theirs:
    """What people write, on one device."""

    def __init__(self, checkpoint_folder: Path, clips: Clips, device: str) -> None:
        self.checkpoint, self.clips, self.device = checkpoint_folder, clips, device
        self.model: Any = transformers.AutoModel.from_pretrained(checkpoint_folder).eval().to(device)
        self.blocks = self.model.encoder.layers
        self.extractor: Any = transformers.AutoFeatureExtractor.from_pretrained(checkpoint_folder)
        # transformers decides in a model's first pass which blocks it listens to: all of them, not a few
        self.states([np.zeros(16_000, dtype=np.float32)])

    def states(self, waves: Sequence[Array], mask: bool = False) -> tuple[torch.Tensor, ...]:
        """Run a padded batch; returns what entered block 1 and what each block gave, (B, T, D) each."""
        inputs = self.extractor(
            list(waves), sampling_rate=16_000, return_tensors="pt", padding=True, return_attention_mask=mask
        ).to(self.device)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
            found: tuple[torch.Tensor, ...] = self.model(**inputs, output_hidden_states=True).hidden_states
        return found

    def loop(self, out: Path) -> None:
        """Save all layers' frames of each utterance."""
        for file in self.clips.files:
            states = self.states([soundfile.read(file, dtype="float32")[0]])
            np.save(out / f"{file.stem}.npy", torch.cat(states).cpu().numpy())  # (L+1, T, D)

    def passes(self, out: Path, layers: Sequence[int]) -> None:
        """Save each utterance's mean of each of these layers, a pass over all files a layer."""
        for layer in layers:
            self.model.encoder.layers = self.blocks[:layer]
            for file in self.clips.files:
                last = self.states([soundfile.read(file, dtype="float32")[0]])[-1]
                np.save(out / f"{file.stem}-{layer}.npy", last[0].mean(dim=0).cpu().numpy())
        self.model.encoder.layers = self.blocks

    def padded(self, out: Path) -> None:
        """Save each utterance's means, from batches of eight in the manifest's order."""
        files = self.clips.files
        for first in range(0, len(files), BATCH):
            group = files[first : first + BATCH]
            waves = [soundfile.read(file, dtype="float32")[0] for file in group]
            for file, means in zip(group, self.means(waves)[0], strict=True):
                np.save(out / f"{file.stem}.npy", means)

    def means(self, waves: Sequence[Array]) -> tuple[Array, Array]:
        """Pool a padded batch over its valid frames, and over all; (B, L+1, D) each."""
        states = torch.stack(self.states(waves, mask=True))  # (L+1, B, T, D)
        counts = [(len(wave) - 400) // 320 + 1 for wave in waves]
        valid = torch.stack([states[:, row, :count].mean(dim=1) for row, count in enumerate(counts)])
        return valid.cpu().numpy(), states.mean(dim=2).transpose(0, 1).cpu().numpy()


def _rows(theirs: Theirs, scale: Scale) -> list[Row]:
    """Ours against each of the others on one device; ``passes`` only on a CPU."""
    clips, device = theirs.clips, theirs.device
    encoder = load_encoder(str(theirs.checkpoint), device=device)
    number = itertools.count()
    last: dict[str, Path] = {}

    def fresh(name: str, run: Callable[[Path], object]) -> Callable[[], None]:
        def timed() -> None:
            last[name] = scale.scratch / f"{device}-{name}-{next(number)}"
            last[name].mkdir()
            run(last[name])

        return timed

    blocks = len(theirs.blocks)
    # A pass costs the front and k blocks, so all passes are a multiple of the first and the last together.
    layers = [1, blocks] if scale.quick else list(range(1, blocks + 1))
    times_passes = blocks / len(layers)
    theirs_all: dict[str, Callable[[Path], object]] = {
        "loop": theirs.loop,
        "passes": partial(theirs.passes, layers=layers),
        "padded": theirs.padded,
    }
    if device != "cpu":
        del theirs_all["passes"]  # it would take a GPU hours
    took = in_turns(
        {
            "ours": fresh("ours", lambda folder: _ours(encoder, clips, folder)),
            **{name: fresh(name, run) for name, run in theirs_all.items()},
        },
        scale.rounds,
    )
    stored = {name: _bytes(folder) for name, folder in last.items()}
    if "passes" in took:
        took["passes"] = [seconds * times_passes for seconds in took["passes"]]
        stored["passes"] = round(stored["passes"] * times_passes)
    rate = {name: clips.seconds / float(np.median(seconds)) for name, seconds in took.items()}
    bars = {"loop": (None, BAR_LOOP_GPU), "passes": (BAR_PASSES_CPU, None), "padded": (None, None)}
    notes = {
        "loop": "one utterance at a time, all layers' frames saved",
        "passes": f"{blocks} truncated models, means saved"
        + (f"; extrapolated from the passes of layers 1 and {blocks}" if scale.quick else ""),
        "padded": f"batches of {min(BATCH, len(clips.files))}, means saved; not exact, see below",
    }
    where = "CPU" if device == "cpu" else "GPU"
    return [
        Row(
            "alternatives", f"{where}: ours against {name}", **speed_ratio(took, "ours", name),
            bar=bars[name][device != "cpu"], note=notes[name],
            figures={
                "audio seconds per second": f"{rate['ours']:.3g} against {rate[name]:.3g}",
                "bytes per audio second": " against ".join(
                    f"{stored[one] / clips.seconds:,.0f}" for one in ("ours", name)
                ),
            },
        )
        for name in theirs_all
    ]  # fmt: skip


def _ours(encoder: Encoder, clips: Clips, folder: Path, **flags: Any) -> None:
    settings = resolve_settings(ExtractConfig, flags)
    extract_corpus(clips.manifest, clips.folder, encoder, folder / "cache", settings)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _wrong(theirs: Theirs, scale: Scale) -> list[Row]:
    """How far batches are from each utterance alone, through the library itself."""
    waves = [soundfile.read(file, dtype="float32")[0] for file in theirs.clips.files]
    alone = np.stack([np.stack([state[0].mean(dim=0).cpu().numpy() for state in theirs.states([wave])])
                      for wave in waves])  # fmt: skip
    encoder = load_encoder(str(theirs.checkpoint))
    _ours(encoder, theirs.clips, scale.scratch / "batched", batch_seconds=BATCH * 5.0)
    cache = FeatureCache.open(scale.scratch / "batched" / "cache")
    ours = np.stack([cache.read("utterance/mean", layer) for layer in cache.layers], axis=1)
    valid, everything = theirs.means(waves)
    found = {
        "ours, batched": (ours, BAR_EXACT),
        "padded, pooled over valid frames": (valid, None),
        "padded, pooled over all frames": (everything, None),
    }
    padding = 1 - sum(map(len, waves)) / (len(waves) * max(map(len, waves)))
    rows = []
    for name, (means, bar) in found.items():
        relative = np.linalg.norm(means - alone, axis=2) / np.linalg.norm(alone, axis=2)  # (N, L+1)
        figures = {
            "median": f"{np.median(relative):.2g}",
            "worst layer": str(int(relative.max(axis=0).argmax())),
            "padding": f"{padding:.0%}",
        }
        note = "the ratio is the largest relative deviation of an utterance's mean from it alone, over layers"
        case = f"deviation: {name}"
        rows.append(
            Row(
                "alternatives",
                case,
                float(relative.max()),
                bar=bar,
                better="lower",
                figures=figures,
                note=note,
            )
        )
    return rows

"""The whole extract stage beside the bare forward pass of the same network.

*Extract* is `extract_corpus` with a loaded encoder: headers, decoding, resampling, feature preparation, all
layers, pooling, the HDF5 cache flushed to the disk, its description. *Forward* is transformers' own model in
evaluation and inference mode on the same clips, prepared and in memory beforehand: no hooks, no pooling,
nothing stored. Clips are files, half of them WAV at 16 kHz, half FLAC at 44.1 kHz. On a CPU both take one
clip at a time, which is what extract does there.

On a GPU, forward is the best of several batch sizes, of clips of equal length that lie on the device already.
Both are without TF32 in convolutions, which extract never uses. Extract's decoding processes are started by
the round that does not count; a run of hours does not notice their half second.

Quick: two minutes on two cores. Full: more of the same and other well-known shapes, a quarter of an hour.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import torch
import transformers
from torch import Tensor

from layersim.corpus.audio import SAMPLE_RATE
from layersim.encoders.checkpoint import find_checkpoint
from layersim.encoders.encoder import Encoder
from layersim.encoders.load import load_encoder, quiet
from layersim.features.extract import ExtractConfig, extract_corpus
from layersim.settings import resolve_settings
from measure import Row, Scale, in_turns, speed_ratio
from networks import SHAPES, checkpoint, noise

MODELS = ("microsoft/wavlm-base-plus", "openai/whisper-base")
MINI = "layersim-mini"
CLIP_SECONDS = (3.0, 10.0)
BAR, GPU_BAR = 0.95, 0.8
GPU_BATCHES = (1, 4, 16, 64, 256)
GPU_AUDIO = {"fp32": 7_680.0, "bf16": 23_040.0}  # seconds: some of the largest batches, and three times that
DIFFERENT = 64  # clips of a corpus; the others are copies of these


@dataclass(frozen=True)
class Clips:
    """One corpus on disk."""

    folder: Path
    manifest: pd.DataFrame
    seconds: float  # of one clip


def measure(scale: Scale) -> list[Row]:
    """Measure on the CPU, then on a GPU where there is one."""
    rows = []
    if scale.cpu:
        audio = 18 if scale.quick else 60
        few = [
            write_clips(scale.scratch, seconds, max(2, round(audio / seconds))) for seconds in CLIP_SECONDS
        ]
        rows += [row for name in MODELS for row in _on_cpu(name, few, scale, BAR)]
        if not scale.quick:
            three = [write_clips(scale.scratch, 10.0, 3)]
            for name in (MINI, *SHAPES):
                rows += _on_cpu(name, three, scale, None) if name not in MODELS else []
    return [*rows, *(_on_gpu(scale) if scale.gpu else [])]


def write_clips(scratch: Path, seconds: float, count: int) -> Clips:
    """Write a corpus of noise, every other clip as FLAC at 44.1 kHz."""
    folder = scratch / f"clips-{seconds:g}s-{count}"
    folder.mkdir()
    rows = []
    for number in range(count):
        kind, rate = (("wav", SAMPLE_RATE), ("flac", 44_100))[number % 2]
        if number < DIFFERENT:
            wave = np.random.default_rng(number).normal(0, 0.1, round(seconds * rate)).astype(np.float32)
            soundfile.write(folder / f"{number}.{kind}", wave, rate)
        else:
            shutil.copyfile(folder / f"{number % DIFFERENT}.{kind}", folder / f"{number}.{kind}")
        rows.append(
            {"corpus": "noise", "utterance_id": f"u{number}", "path": f"{number}.{kind}", "start": np.nan,
             "end": np.nan, "speaker": f"s{number % 4}", "language": "en", "emotion": "neutral",
             "split": "train", "text": "", "source_label": "neutral"}
        )  # fmt: skip
    return Clips(folder, pd.DataFrame(rows), seconds)


def _on_cpu(name: str, corpora: Sequence[Clips], scale: Scale, bar: float | None) -> list[Row]:
    own, encoder = _load(name, "cpu", "fp32")
    rows = []
    for clips in corpora:
        inputs = [_inputs(encoder, [noise(clips.seconds, seed)]) for seed in range(len(clips.manifest))]
        seconds = _in_turns(clips, encoder, partial(_forward, own, inputs), scale)
        rows.append(_row(f"{_short(name)}, {clips.seconds:g} s clips", clips, seconds, bar))
    return rows


def _row(case: str, clips: Clips, seconds: dict[str, list[float]], bar: float | None, note: str = "") -> Row:
    audio = clips.seconds * len(clips.manifest)
    return Row(
        "extract", case, bar=bar, **speed_ratio(seconds, "extract", "forward"), note=note,
        figures={
            "extract audio s/s": audio / float(np.median(seconds["extract"])),
            "forward audio s/s": audio / float(np.median(seconds["forward"])),
        },
    )  # fmt: skip


def _load(name: str, device: str, precision: Any) -> tuple[Any, Encoder]:
    """Transformers' own model and ours, of the same weights."""
    context: AbstractContextManager[Path] = (
        nullcontext(find_checkpoint(name).folder) if name == MINI else checkpoint(name)
    )
    with context as folder:
        with quiet():
            own = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        encoder = load_encoder(name if name == MINI else str(folder), device=device, precision=precision)
    return own.to(device).requires_grad_(False), encoder


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _inputs(encoder: Encoder, waves: Sequence[Any]) -> Tensor:
    """What the model itself reads: waves, or Whisper's spectrograms; of equal length, on its device."""
    body: Any = encoder.body
    if encoder.model_type == "whisper":
        found = body.extractor(list(waves), sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_features"]
    else:
        found = torch.from_numpy(np.stack([body.prepare(wave) for wave in waves]))
    return found.to(encoder.device)  # type: ignore[no-any-return]


def _forward(model: Any, inputs: Sequence[Tensor]) -> None:
    network = model.encoder if model.config.model_type == "whisper" else model
    with torch.inference_mode():
        for batch in inputs:
            network(batch)


def _extract(clips: Clips, encoder: Encoder) -> None:
    extract_corpus(
        clips.manifest, clips.folder, encoder, clips.folder / "cache", resolve_settings(ExtractConfig, {})
    )


def _in_turns(
    clips: Clips, encoder: Encoder, forward: Callable[[], object], scale: Scale
) -> dict[str, list[float]]:
    return in_turns(
        {"extract": partial(_extract, clips, encoder), "forward": forward}, scale.rounds,
        before={"extract": partial(shutil.rmtree, clips.folder / "cache", ignore_errors=True)},
    )  # fmt: skip


def _on_gpu(scale: Scale) -> list[Row]:
    cases = [(name, precision) for name in MODELS for precision in GPU_AUDIO]
    if not torch.cuda.is_available():
        return [
            Row("extract", f"GPU {precision}, {_short(name)}", None, bar=GPU_BAR, note="no CUDA device")
            for name, precision in cases
        ]
    corpora = {
        precision: [write_clips(scale.scratch, seconds, round(audio / seconds)) for seconds in CLIP_SECONDS]
        for precision, audio in GPU_AUDIO.items()
    }
    rows = []
    for name, precision in cases:
        own, encoder = _load(name, "cuda", precision)
        for clips in corpora[precision]:
            size, forward = _best_forward(own, encoder, clips)
            seconds = _in_turns(clips, encoder, forward, scale)
            case = f"GPU {precision}, {_short(name)}, {clips.seconds:g} s clips"
            rows.append(_row(case, clips, seconds, GPU_BAR, f"best forward at batches of {size}"))
        del own, encoder
        torch.cuda.empty_cache()
    return rows


def _best_forward(own: Any, encoder: Encoder, clips: Clips) -> tuple[int, Callable[[], None]]:
    """The batch size at which the bare forward pass is fastest, and that pass over as many clips."""
    one, count = _inputs(encoder, [noise(clips.seconds)]), len(clips.manifest)
    rates: dict[int, float] = {}
    for size in GPU_BATCHES:
        try:
            few = [torch.cat([one] * size)] * 4
            _gpu_forward(own, encoder.precision, few)  # warm up
            began = time.perf_counter()
            _gpu_forward(own, encoder.precision, few)
            rates[size] = len(few) * size / (time.perf_counter() - began)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
    best = max(rates, key=lambda size: rates[size])
    whole, rest = torch.cat([one] * best), count % best
    batches = [whole] * (count // best) + ([whole[:rest]] if rest else [])
    return best, partial(_gpu_forward, own, encoder.precision, batches)


def _gpu_forward(own: Any, precision: str, batches: Sequence[Tensor]) -> None:
    dtype = {"fp32": None, "bf16": torch.bfloat16}[precision]
    with (
        torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
        torch.autocast("cuda", dtype=dtype, enabled=dtype is not None),
    ):
        _forward(own, batches)
    torch.cuda.synchronize()

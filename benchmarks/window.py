"""Whisper's windows: trimmed to the audio against padded to 30 s, and what trimming changes.

Both are timed on the same weights and clips, the forward pass and the pooling. What trimming does to the
features depends on weights and on speech: it is measured where a real checkpoint is named, on synthesised
English (espeak-ng); every run of ``layersim extract --whisper-window trim`` measures it on its own corpus.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from layersim.corpus.audio import audio_samples
from layersim.corpus.manifest import read_manifest
from layersim.demo.corpus import RECIPES, make_corpus
from layersim.encoders.encoder import Encoder
from layersim.encoders.load import load_encoder
from layersim.features.decoding import Clip
from layersim.features.pooling import pool_layers
from layersim.features.trimming import measure_trimming
from measure import Row, Scale, in_turns, speed_ratio
from networks import checkpoint, noise

SHAPE = "openai/whisper-base"
BARS = {3.0: 4.0, 10.0: None}  # seconds of a clip -> how many times as fast trimming should be
CLIPS_ON_GPU = 32


def measure(scale: Scale) -> list[Row]:
    """Time clips of 3 s and 10 s on a CPU and, where there is one, in batches on a GPU."""
    with nullcontext(scale.whisper) if scale.whisper else checkpoint(SHAPE) as folder:
        weights = scale.whisper.name if scale.whisper else f"{SHAPE}, random weights"
        trim = load_encoder(str(folder), whisper_window="trim")
        rows = [_faster(trim, seconds, 1, scale, weights) for seconds in BARS] if scale.cpu else []
        if scale.gpu and torch.cuda.is_available():
            on_gpu = load_encoder(str(folder), whisper_window="trim", device="cuda")
            rows += [_faster(on_gpu, seconds, CLIPS_ON_GPU, scale, weights) for seconds in BARS]
        elif scale.gpu:
            case = f"trim against full on a GPU, {CLIPS_ON_GPU} clips of 3 s"
            rows.append(Row("window", case, None, note="no CUDA device"))
    return [*rows, *([_deviation(trim, scale)] if scale.cpu else [])]


def _faster(trim: Encoder, seconds: float, clips: int, scale: Scale, weights: str) -> Row:
    waves = [noise(seconds, seed) for seed in range(clips)]
    both = {"trim": trim, "full": trim.in_full_windows()}

    def encode(encoder: Encoder) -> Callable[[], object]:
        def run() -> object:
            states = encoder.encode(waves)
            with torch.inference_mode():
                return pool_layers(states.frames, states.counts, states.prompt)[0].cpu()

        return run

    took = in_turns({name: encode(encoder) for name, encoder in both.items()}, scale.rounds)
    bar = BARS[seconds] if trim.device.type == "cpu" else None
    figures = {
        f"{name}: audio seconds per second": seconds * clips / float(np.median(took[name])) for name in both
    }
    where = "a CPU, one clip" if trim.device.type == "cpu" else f"a GPU, {clips} clips"
    case = f"trim against full on {where} of {seconds:g} s"
    return Row("window", case, **speed_ratio(took, "trim", "full"), bar=bar, figures=figures, note=weights)


def _deviation(trim: Encoder, scale: Scale) -> Row:
    case = "what trimming changes, utterance means of synthesised speech"
    if scale.whisper is None:
        return Row("window", case, None, note="needs real weights: name a checkpoint with --whisper")
    voices = {"train": RECIPES[0].voices["train"][:2]}
    clips = _clips(scale.scratch, voices)
    changed = measure_trimming(clips, trim, seed=0)
    layers = zip(changed.layers, changed.relative, changed.cosine, changed.of_spread, strict=True)
    figures = {
        f"layer {layer}": f"{relative:.1%} (cosine {cosine:.3f}, of spread {spread:.2f})"
        for layer, relative, cosine, spread in layers
    }
    note = "of spread: without the shift that all share, by the spread between utterances"
    return Row("window", case, None, figures=figures, note=note)


def _clips(folder: Path, voices: dict[str, tuple[tuple[str, str], ...]]) -> list[Clip]:
    """Speak a small corpus."""
    corpus = make_corpus(replace(RECIPES[0], voices=voices), folder)
    paths = [corpus.audio_root / path for path in read_manifest(corpus.manifest)["path"].tolist()]
    return [Clip(path.stem, path, None, None, audio_samples(path)) for path in paths]

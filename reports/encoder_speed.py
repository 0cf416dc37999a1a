"""Measure how fast encoders of well-known shapes encode; print the table of `reports/benchmarks.md`.

Usage::

    python reports/encoder_speed.py [CHECKPOINT ...]

Without checkpoints: networks of the shapes in `SHAPES` with random weights, since a network's speed does not
depend on what its weights are. Clips are noise of three and six seconds, about the lengths of acted and of
podcast utterances, encoded one by one as `layersim extract` does on a CPU. What is measured is processor time
on one thread, which a busy machine disturbs less than the clock. Whisper encodes a window of thirty seconds
whatever the clip's length, so that its speed grows with the clip.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import transformers

from layersim.encoders.encoder import Encoder
from layersim.encoders.load import load_encoder

LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
         "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}  # fmt: skip
# hub id -> (family, configuration); what is not named is the family's default, which is the base size
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "microsoft/wavlm-base-plus": ("WavLM", {}),
    "microsoft/wavlm-large": ("WavLM", LARGE),
    "facebook/wav2vec2-large-xlsr-53": ("Wav2Vec2", LARGE),
    "openai/whisper-base": ("Whisper", {"d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8,
                                        "encoder_ffn_dim": 2048, "decoder_layers": 1,
                                        "decoder_attention_heads": 8}),
    "openai/whisper-small": ("Whisper", {"d_model": 768, "encoder_layers": 12, "encoder_attention_heads": 12,
                                         "encoder_ffn_dim": 3072, "decoder_layers": 1,
                                         "decoder_attention_heads": 12}),
}  # fmt: skip
SECONDS = (3.0, 6.0)
CLIPS = 5


def main() -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(description="Measure how fast encoders encode.")
    parser.add_argument("checkpoints", nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    print("| encoder | layers x width | " + " | ".join(f"{s:.0f} s clips" for s in SECONDS) + " |")
    print("| --- | --- |" + " --- |" * len(SECONDS))
    for name, folder in encoders(arguments.checkpoints):
        encoder = load_encoder(folder)
        rates = " | ".join(f"{rate(encoder, seconds):.1f}" for seconds in SECONDS)
        print(f"| {name} | {len(encoder.frame_layers) - 1} x {encoder.width} | {rates} |", flush=True)


def encoders(checkpoints: list[str]) -> Iterator[tuple[str, str]]:
    """Name what is to be measured and where it lies."""
    yield from ((name, name) for name in checkpoints)
    for name, (family, settings) in {} if checkpoints else SHAPES.items():
        with TemporaryDirectory() as folder:
            torch.manual_seed(0)
            config = getattr(transformers, f"{family}Config")(**settings)
            getattr(transformers, f"{family}Model")(config).save_pretrained(folder)
            if family == "Whisper":
                transformers.WhisperFeatureExtractor().save_pretrained(folder)
            else:
                transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
            yield name, str(Path(folder))


def rate(encoder: Encoder, seconds: float) -> float:
    """Seconds of audio per second of one core, clip by clip, the median of `CLIPS` after one to warm up."""
    rng = np.random.default_rng(0)
    took = []
    for _ in range(CLIPS + 1):
        wave = rng.normal(0, 0.1, round(seconds * 16_000)).astype("float32")
        began = time.process_time()
        encoder.encode([wave])
        took.append(time.process_time() - began)
    return seconds / float(np.median(took[1:]))


if __name__ == "__main__":
    main()

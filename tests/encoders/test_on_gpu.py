"""What can only be seen where there is a CUDA device; elsewhere these are skipped, and say so."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from layersim.encoders.encoder import Encoder
from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError
from layersim.features.cache import FeatureCache
from layersim.features.extract import ExtractConfig, extract_corpus
from layersim.features.result import ExtractResult
from layersim.settings import resolve_settings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

LENGTHS = (16_000, 9_000, 30_000, 16_001)


def parts(encoder: Encoder, waves: list[np.ndarray]) -> list[np.ndarray]:
    states = encoder.encode(waves)
    return [part.cpu().numpy() for part in torch.split(states.frames, list(states.counts), dim=1)]


def deviation(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, expected, strict=True))


def test_a_batch_is_each_utterance_alone_and_what_a_cpu_gives(tiny, speech, family):
    waves = [speech(samples, seed) for seed, samples in enumerate(LENGTHS)]
    encoder = load_encoder(str(tiny(family)), device="cuda")
    together = parts(encoder, waves)
    assert deviation(together, [parts(encoder, [wave])[0] for wave in waves]) <= 1e-4
    assert deviation(together, parts(load_encoder(str(tiny(family))), waves)) <= 1e-3


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_full(tiny, speech, family, precision):
    waves = [speech(samples, seed) for seed, samples in enumerate(LENGTHS)]
    half = parts(load_encoder(str(tiny(family)), device="cuda", precision=precision), waves)
    full = parts(load_encoder(str(tiny(family)), device="cuda"), waves)
    assert 0 < deviation(half, full) <= 0.1
    assert all(np.isfinite(part).all() for part in half)


def test_trimmed_windows_are_near_those_of_a_cpu(tiny, speech):
    waves = [speech(samples, seed) for seed, samples in enumerate(LENGTHS)]
    on_gpu, on_cpu = (
        parts(load_encoder(str(tiny("whisper")), device=device, whisper_window="trim"), waves)
        for device in ("cuda", "cpu")
    )
    assert deviation(on_gpu, on_cpu) <= 1e-3


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A GPU of which this process may have 200 MB beyond what it holds."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 200e6) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def extract(encoder: Encoder, folder, seconds: tuple[float, ...], speech, **flags) -> ExtractResult:
    folder.mkdir()
    rows = []
    for number, length in enumerate(seconds):
        soundfile.write(folder / f"{number}.wav", speech(round(16_000 * length), number % 3), 16_000)
        rows.append({
            "corpus": "noise", "utterance_id": f"u{number:02d}", "path": f"{number}.wav", "start": np.nan,
            "end": np.nan, "speaker": "s", "language": "en", "emotion": "neutral", "split": "train",
            "text": "", "source_label": "",
        })  # fmt: skip
    settings = resolve_settings(ExtractConfig, flags)
    return extract_corpus(pd.DataFrame(rows), folder, encoder, folder / "cache", settings)


def test_batches_that_do_not_fit_are_halved_to_the_same_features(tiny, speech, tmp_path, little_memory):
    encoder = load_encoder(str(tiny("wav2vec2-group")), device="cuda")
    seconds = tuple(3.0 + 0.1 * number for number in range(64))
    result = extract(encoder, tmp_path / "large", seconds, speech, batch_seconds=2_000)
    assert any("too little memory" in note for note in result.notes), torch.cuda.max_memory_reserved()
    extract(encoder, tmp_path / "small", seconds, speech, batch_seconds=10)
    large, small = (FeatureCache.open(tmp_path / name / "cache") for name in ("large", "small"))
    for layer in large.layers:
        found, expected = large.read("utterance/mean", layer), small.read("utterance/mean", layer)
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_an_utterance_that_does_not_fit_alone_is_named(tiny, speech, tmp_path, little_memory):
    encoder = load_encoder(str(tiny("wav2vec2-group")), device="cuda", max_seconds=2_000)
    with pytest.raises(LayersimError, match=r"noise/u01: the GPU has too little memory for this one"):
        extract(encoder, tmp_path / "long", (2.0, 1_900.0), speech)
    assert len(parts(encoder, [speech(16_000, 0)])) == 1  # the GPU is as before

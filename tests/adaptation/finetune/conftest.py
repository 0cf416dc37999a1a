"""Tiny encoders of every family without dropout, and tones for corpora."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

from layersim.adaptation.finetune.audio import FinetuneTask, LabelledAudio, UnlabelledAudio, Waveforms
from layersim.encoders.encoder import Encoder
from layersim.encoders.load import load_encoder, quiet

TINY = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "encoders" / "conftest.py")))
DROPOUTS = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "dropout",
            "final_dropout", "feat_quantizer_dropout")  # fmt: skip
CLASSES = ("anger", "sadness")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``family`` once per family, with every kind of attention and norm."""
    if "family" in metafunc.fixturenames:
        metafunc.parametrize("family", TINY.FAMILIES)


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny checkpoint's folder, by family, its dropout at 0 so that only what we draw is random."""
    written: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in written:
            place = tmp_path_factory.mktemp("tiny") / family
            with quiet():
                TINY.save_tiny(family, place)
            config = json.loads((place / "config.json").read_text())
            config |= {name: 0.0 for name in DROPOUTS if name in config}
            (place / "config.json").write_text(json.dumps(config))
            written[family] = place
        return written[family]

    return folder


@pytest.fixture(scope="session")
def encoder_of(folder_of: Callable[[str], Path]) -> Callable[[str], Encoder]:
    """Its encoder, loaded once."""
    loaded: dict[str, Encoder] = {}

    def encoder(family: str) -> Encoder:
        if family not in loaded:
            loaded[family] = load_encoder(str(folder_of(family)))
        return loaded[family]

    return encoder


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny wav2vec 2.0 with its quantiser: 2 codebooks of 4 codes, 5 distractors."""
    place = tmp_path_factory.mktemp("tiny") / "pretrained"
    sizes = {
        "num_codevectors_per_group": 4,
        "codevector_dim": 6,
        "proj_codevector_dim": 6,
        "num_negatives": 5,
    }
    config = transformers.Wav2Vec2Config(
        **{**TINY.SMALL, **TINY.STABLE, **sizes, **dict.fromkeys(DROPOUTS, 0.0)}, layerdrop=0.5
    )
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.Wav2Vec2ForPreTraining(config)
        model.save_pretrained(place)
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(place)
    return place


def tones(count: int, seed: int, pitches: tuple[float, float] = (300.0, 1500.0)) -> LabelledAudio:
    """Utterances of 0.2 to 0.35 s, low for the first class and high for the second, speakers in turn."""
    rng = np.random.default_rng(seed)
    waves = []
    for number in range(count):
        times = np.arange(int(rng.integers(3_200, 5_600))) / 16_000
        tone = np.sin(2 * np.pi * pitches[number % 2] * times + 6 * rng.random())
        waves.append((0.3 * tone + 0.02 * rng.standard_normal(len(times))).astype("float32"))
    keys = tuple(f"tones/{seed}-{number:02d}" for number in range(count))
    emotions = tuple(CLASSES[number % 2] for number in range(count))
    return LabelledAudio(keys, Waveforms(waves), emotions, tuple(f"s{number % 3}" for number in range(count)))


@pytest.fixture
def make_task() -> Callable[..., FinetuneTask]:
    """Source, validation and an unlabelled target of tones: ``make_task(count=8, target_seed=3)``."""

    def make(count: int = 8, target_seed: int = 3, target_count: int = 6) -> FinetuneTask:
        target = tones(target_count, target_seed)
        return FinetuneTask(
            tones(count, 1), tones(4, 2), UnlabelledAudio(target.keys, target.waveforms), CLASSES
        )

    return make


@pytest.fixture
def make_tones() -> Callable[..., LabelledAudio]:
    return tones

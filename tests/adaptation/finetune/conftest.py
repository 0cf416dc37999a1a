"""Tiny encoders of every family without dropout, and tones for corpora."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import transformers

from layersim.adaptation.finetune.audio import FinetuneTask, LabelledAudio, UnlabelledAudio, Waveforms
from layersim.corpus.manifest import write_manifest
from layersim.encoders.encoder import Encoder
from layersim.encoders.load import load_encoder, quiet
from layersim.features.extract import ExtractConfig, extract
from layersim.settings import resolve_settings
from layersim.similarity.rank import rank
from layersim.similarity.settings import RankConfig
from layersim.workspace import CorpusEntry, Workspace

TINY = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "encoders" / "conftest.py")))
DROPOUTS = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "dropout",
            "final_dropout", "feat_quantizer_dropout")  # fmt: skip
CLASSES = ("anger", "sadness")
SPLITS = ("train", "train", "train", "validation", "test", "test")  # of the speakers of a corpus of tones


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


def write_corpus(root: Path, name: str, seed: int) -> None:
    """Six speakers say two low and two high tones each; in the target one more that is neither."""
    rng = np.random.default_rng(seed)
    rows = []
    for speaker, split in enumerate(SPLITS):
        for number, emotion in enumerate([*CLASSES, *CLASSES, *(["fear"] if name == "english" else [])]):
            times = np.arange(int(rng.integers(3_200, 4_800))) / 16_000
            pitch = {"anger": 300.0, "sadness": 1500.0, "fear": 700.0}[emotion]
            wave = 0.3 * np.sin(2 * np.pi * pitch * times) + 0.02 * rng.standard_normal(len(times))
            identity = f"{speaker}-{number}"
            (root / name).mkdir(exist_ok=True)
            soundfile.write(root / name / f"{identity}.wav", wave.astype("float32"), 16_000)
            rows.append(
                {"corpus": name, "utterance_id": identity, "path": f"{identity}.wav", "start": np.nan,
                 "end": np.nan, "speaker": f"{name}{speaker}", "language": "en", "emotion": emotion,
                 "split": split, "text": "", "source_label": emotion}
            )  # fmt: skip
    write_manifest(pd.DataFrame(rows), root / f"{name}.csv")


@pytest.fixture(scope="session")
def extracted(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two corpora of tones, extracted and ranked; copy it before you change it."""
    root = tmp_path_factory.mktemp("study")
    for seed, name in enumerate(("german", "english")):
        write_corpus(root, name, seed)
    entries = {
        name: CorpusEntry(manifest=root / f"{name}.csv", audio_root=root / name)
        for name in ("german", "english")
    }
    workspace = Workspace.create(root, str(pretrained), entries)
    extract(workspace, resolve_settings(ExtractConfig))
    rank(
        workspace,
        resolve_settings(RankConfig, {"bootstraps": 20, "permutations": 20, "probe_limit": 0}),
        "german",
        "english",
    )
    return root


@pytest.fixture
def workspace(extracted: Path, tmp_path: Path) -> Workspace:
    """A copy of that study."""
    shutil.copytree(extracted, tmp_path / "study")
    return Workspace.read(tmp_path / "study")

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from layersim.adaptation.anchors import Anchors
from layersim.adaptation.model_file import load_model, save_model
from layersim.adaptation.predict import predict
from layersim.adaptation.run import Run
from layersim.adaptation.train import train_pair
from layersim.corpus.audio import read_audio
from layersim.encoders.load import load_encoder
from layersim.errors import AudioError, LayersimError
from layersim.features.cache import FeatureCache
from layersim.features.dataset import CorpusFeatures


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wav2vec 2.0 with two blocks and random weights."""
    import transformers

    folder = tmp_path_factory.mktemp("checkpoints") / "tiny-wav2vec2"
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        config = transformers.Wav2Vec2Config(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
            num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, conv_dim=(8,) * 7,
            feat_extract_norm="layer", do_stable_layer_norm=True,
        )  # fmt: skip
        transformers.Wav2Vec2Model(config).save_pretrained(folder)
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


class EncodedCache:
    """Features of audio files by the encoder itself, pooled with numpy."""

    def __init__(self, files: list[Path], encoder: Any) -> None:
        self.layers, self.width = encoder.layers, encoder.width
        self.provenance = {"encoder": encoder.describe()}
        frames = [encoder.encode([read_audio(file)]).frames.numpy() for file in files]
        self.products = {
            "utterance/mean": np.stack([states.mean(axis=1) for states in frames]),
            "utterance/std": np.stack([states.std(axis=1) for states in frames]),
        }

    def read(self, product: str, layer: str, rows: np.ndarray) -> np.ndarray:
        return cast("np.ndarray", self.products[product][rows, self.layers.index(layer)])

    vectors = FeatureCache.vectors


@pytest.fixture
def trained(
    checkpoint: Path, write_tone: Callable[..., Path], settings_of: Callable[..., Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Path, CorpusFeatures]:  # fmt: skip
    """A model trained on tones, and the target corpus with its files in the column ``path``."""
    monkeypatch.setattr(Run, "_draw", lambda *_: None)
    encoder = load_encoder(str(checkpoint))
    corpora = []
    for name, seconds in (("low", 0.3), ("high", 0.35)):
        rows = [
            (name, f"s{speaker}-{emotion}-{number}", f"{speaker}", emotion,
             ("train", "train", "train", "validation", "test")[speaker])
            for speaker in range(5) for emotion in ("anger", "sadness") for number in range(2)
        ]  # fmt: skip
        table = pd.DataFrame(rows, columns=["corpus", "utterance_id", "speaker", "emotion", "split"])
        table["source_label"] = table["emotion"]
        rate = 22050 if name == "high" else 16000
        audio = tmp_path / "audio" / name
        files = [write_tone(audio / f"{row}.wav", seconds, rate=rate, seed=row) for row in range(len(table))]
        table["path"] = [str(file) for file in files]
        corpora.append(CorpusFeatures(name, table, cast("Any", EncodedCache(files, encoder)), None))
    settings = settings_of(methods=("la",), anchors="1,2", seeds=1, batch=8)
    train_pair(corpora[0], corpora[1], settings, Anchors("1,2", ("1", "2"), "as listed"), tmp_path / "train")
    return tmp_path / "train" / "la-1-2" / "seed-0", corpora[1]


def test_predicting_audio_gives_what_the_test_predictions_say_of_it(
    trained: tuple[Path, CorpusFeatures], checkpoint: Path
) -> None:
    """From the file on disk through the encoder, pooling, statistics and network: the same probabilities."""
    folder, target = trained
    expected = pd.read_csv(folder / "predictions.csv")
    table = target.table.assign(key="high/" + target.table["utterance_id"]).set_index("key")
    files = [Path(str(table.loc[key, "path"])) for key in expected["utterance"]]
    found = predict(folder, files, encoder=str(checkpoint), device="cpu")
    assert list(found.columns) == ["file", "emotion", "probability", "anger", "sadness"]
    assert found["file"].tolist() == [str(file) for file in files]
    assert found["emotion"].tolist() == expected["predicted"].tolist()
    np.testing.assert_allclose(found["anger"], expected["p_anger"], atol=1e-4)
    np.testing.assert_allclose(found["probability"], found[["anger", "sadness"]].max(axis=1))
    by_file = predict(folder / "model.safetensors", files[:1], encoder=str(checkpoint), device="cpu")
    assert by_file["anger"].iloc[0] == pytest.approx(found["anger"].iloc[0])


def test_an_encoder_with_other_weights_is_refused(
    trained: tuple[Path, CorpusFeatures], checkpoint: Path, tmp_path: Path
) -> None:
    folder, target = trained
    model = load_model(folder)
    described = {**model.description.encoder, "weights_sha256": "0" * 64}
    save_model(
        tmp_path / "other.safetensors",
        replace(model, description=replace(model.description, encoder=described)),
    )
    audio = [Path(target.table["path"].iloc[0])]
    with pytest.raises(
        LayersimError, match=r"not those the model was trained on \(tiny-wav2vec2, sha256 000"
    ):
        predict(tmp_path / "other.safetensors", audio, encoder=str(checkpoint), device="cpu")


def test_without_its_encoder_the_error_names_it_and_the_flag(trained: tuple[Path, CorpusFeatures]) -> None:
    folder, target = trained
    with pytest.raises(LayersimError, match=r"features of tiny-wav2vec2; name its folder .* --encoder"):
        predict(folder, [Path(target.table["path"].iloc[0])], encoder="/nowhere/tiny-wav2vec2", device="cpu")


def test_the_encoder_of_the_workspace_around_the_model_is_taken(
    trained: tuple[Path, CorpusFeatures], checkpoint: Path, tmp_path: Path
) -> None:
    folder, target = trained
    (tmp_path / "layersim.toml").write_text(f'encoder = "{checkpoint}"\n', "utf-8")
    found = predict(folder, [Path(target.table["path"].iloc[0])], device="cpu")
    assert len(found) == 1


def test_a_recording_that_cannot_be_used_is_named_before_anything_is_loaded(
    trained: tuple[Path, CorpusFeatures], tmp_path: Path
) -> None:
    folder, _ = trained
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError, match=r"broken\.wav"):
        predict(folder, [tmp_path / "broken.wav"], encoder="/nowhere", device="cpu")


def test_a_model_file_round_trips_and_holds_its_description(
    trained: tuple[Path, CorpusFeatures], tmp_path: Path
) -> None:
    folder, _ = trained
    model = load_model(folder)
    save_model(tmp_path / "copy.safetensors", model)
    assert (tmp_path / "copy.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    with safe_open(folder / "model.safetensors", framework="pt") as stored:
        document = json.loads(stored.metadata()["layersim"])
    assert document["classes"] == ["anger", "sadness"]
    assert (document["source"], document["target"], document["method"]) == ("low", "high", "la")
    assert document["encoder"]["checkpoint"] == "tiny-wav2vec2"


def test_files_that_are_no_models_are_refused(trained: tuple[Path, CorpusFeatures], tmp_path: Path) -> None:
    with pytest.raises(LayersimError, match=r"no such model\. Train one first"):
        load_model(tmp_path / "nothing")
    (tmp_path / "text.safetensors").write_text("text", "utf-8")
    with pytest.raises(LayersimError, match=r"text.safetensors: cannot be read as safetensors"):
        load_model(tmp_path / "text.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(LayersimError, match=r"bare.safetensors: is not a layersim model"):
        load_model(tmp_path / "bare.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "new.safetensors", {"layersim": json.dumps({"format": 99})})
    with pytest.raises(LayersimError, match="written in format 99, this layersim reads format 1"):
        load_model(tmp_path / "new.safetensors")

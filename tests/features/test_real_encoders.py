"""The extract stage with encoders of transformers: tiny random ones, and a pretrained one where at hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from layersim.corpus.audio import read_audio
from layersim.corpus.manifest import utterance_keys
from layersim.encoders.load import load_encoder
from layersim.features.cache import FeatureCache
from layersim.features.extract import extract_corpus

TINY = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "conv_dim": (8,) * 7,
    "num_feat_extract_layers": 7, "feat_extract_norm": "group",
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny_wavlm(tmp_path_factory):
    """A random WavLM whose group norm padding would reach."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("tiny-wavlm")
    torch.manual_seed(0)
    transformers.WavLMModel(transformers.WavLMConfig(**TINY)).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)
    return load_encoder(str(folder))


def largest_relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float((np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())


def test_pooled_features_do_not_depend_on_the_batch(corpus, settings, tiny_wavlm):
    caches = []
    for folder, seconds in (("alone", 0.0), ("together", 5.0)):
        extract_corpus(
            corpus.manifest, corpus.folder, tiny_wavlm, corpus.folder / folder,
            settings(batch_seconds=seconds, shard_size=11), corpus.phones, "arpabet",
        )  # fmt: skip
        caches.append(FeatureCache.open(corpus.folder / folder))
    alone, together = caches
    for layer in alone.layers:
        for product in ("utterance/mean", "utterance/std", "phone/mean"):
            difference = largest_relative_difference(
                together.read(product, layer), alone.read(product, layer)
            )
            assert difference < 1e-4


def test_pooled_features_are_those_of_the_encoder_called_by_hand(corpus, settings, tiny_wavlm):
    extract_corpus(corpus.manifest, corpus.folder, tiny_wavlm, corpus.folder / "cache", settings())
    cache = FeatureCache.open(corpus.folder / "cache")
    assert cache.layers == ("0", "1", "2")
    for row in (0, 7):
        states = tiny_wavlm.encode([read_audio(corpus.folder / corpus.manifest["path"][row])])
        expected = states.frames.double().numpy().mean(axis=1)
        for place, layer in enumerate(cache.layers):
            np.testing.assert_allclose(
                cache.read("utterance/mean", layer)[row], expected[place], rtol=1e-4, atol=1e-6
            )


@pytest.mark.slow
def test_hand_labelled_vowels_of_real_speech_are_pooled_under_a_real_encoder(shared, tmp_path, settings):
    """Two Emo-DB recordings; Whisper frame i covers 20 i .. 20 (i + 1) ms, so its centre is at 20 i + 10."""
    table = pd.read_csv(shared / "data/emodb/metadata.csv", dtype=str).set_index("utt_id", drop=False)
    table = table.loc[["03a01Fa", "03a01Wa"]]
    manifest = pd.DataFrame({
        "corpus": "emodb", "utterance_id": table["utt_id"].tolist(), "path": table["path"].tolist(),
        "start": np.nan, "end": np.nan, "speaker": table["speaker"].tolist(), "language": "de",
        "emotion": table["emotion"].tolist(), "split": "train", "text": "", "source_label": "",
    })  # fmt: skip
    phones = pd.read_csv(
        shared / "data/emodb/phones_merged.csv", dtype={"utt_id": str, "phone": str}, keep_default_na=False
    ).rename(columns={"utt_id": "utterance_id"})
    encoder = load_encoder(str(shared / "models/whisper-base"), stack="both")
    result = extract_corpus(
        manifest, shared / "data/emodb", encoder, tmp_path, settings(phones="all"), phones, "sampa-de"
    )
    cache = FeatureCache.open(tmp_path)
    assert cache.keys == utterance_keys(manifest)
    assert cache.frame_layers == tuple("0123456")
    assert cache.layers == (*cache.frame_layers, *(f"d{layer}" for layer in range(1, 7)))
    assert 12 <= result.phones.vowels <= 18  # two readings of a sentence of eight vowels, some swallowed
    wave = read_audio(shared / "data/emodb" / manifest["path"][0])
    assert cache.table["frames"][0] == -(-len(wave) // 320)
    frames = encoder.encode([wave]).frames.numpy()
    longest = (cache.phones["end"] - cache.phones["start"])[
        cache.phones["utterance"] == cache.keys[0]
    ].idxmax()
    phone = cache.phones.loc[longest]
    inside = [
        frame for frame in range(frames.shape[1]) if phone["start"] <= 0.02 * frame + 0.01 < phone["end"]
    ]
    assert phone["frames"] == len(inside) > 1
    np.testing.assert_allclose(
        cache.read("phone/mean", "4")[longest], frames[4][inside].mean(axis=0), rtol=1e-3, atol=1e-4
    )

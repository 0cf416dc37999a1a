"""layersim-mini as it is shipped: whole, small, the same every time, and better than random weights."""

from __future__ import annotations

import hashlib
import json
import time

import numpy as np
import pytest
import soxr
import torch
from safetensors import safe_open
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import HubertConfig, HubertModel

from layersim.alignment.pronunciation.espeak import SAMPLE_RATE, Line, synthesise
from layersim.demo.sentences import ENGLISH
from layersim.encoders.checkpoint import EMBEDDED, find_checkpoint
from layersim.encoders.load import load_encoder
from layersim.features.pooling import pool_phones

VOICES = {"train": ("f1", "m1", "Annie", "m3", "belinda", "robert"), "test": ("f4", "m7", "steph")}
SENTENCES = {"train": ENGLISH[:9], "test": ENGLISH[9:]}


@pytest.fixture(scope="module")
def shipped():
    return find_checkpoint(EMBEDDED).folder


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(EMBEDDED)


@pytest.fixture(scope="module")
def speech():
    """Return for each side of the split: waves at 16 kHz, phone times and labels."""
    sides = {}
    for side in VOICES:
        lines = [
            Line(text=text, voice=f"en-us+{voice}") for voice in VOICES[side] for text in SENTENCES[side]
        ]
        sides[side] = [
            (soxr.resample(spoken.wave.astype(np.float32) / 32768.0, SAMPLE_RATE, 16_000), spoken.phones)
            for spoken in synthesise(lines)
        ]
    return sides


def phone_features(encoder, spoken):
    waves = [wave for wave, _ in spoken]
    hidden = encoder.encode(waves)
    times = [np.array([(phone.start, phone.end) for phone in phones]) for _, phones in spoken]
    pooled = pool_phones(hidden.frames, hidden.counts, times, encoder.frame_centres(max(hidden.counts)))
    return pooled.mean.numpy(), np.array([phone.label for _, phones in spoken for phone in phones])


def phone_accuracy(encoder, speech, layer):
    """Balanced accuracy of a linear probe on unseen voices and sentences."""
    train, known = phone_features(encoder, speech["train"])
    test, truth = phone_features(encoder, speech["test"])
    phones = [name for name in np.unique(truth) if (known == name).sum() >= 12 and (truth == name).sum() >= 3]
    learned, asked = np.isin(known, phones), np.isin(truth, phones)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    probe.fit(train[learned, layer], known[learned])
    return balanced_accuracy_score(truth[asked], probe.predict(test[asked, layer]))


def test_the_weights_are_small_half_precision_and_those_of_the_card(shipped):
    file = shipped / "model.safetensors"
    assert file.stat().st_size < 12e6
    assert hashlib.sha256(file.read_bytes()).hexdigest() in (shipped / "README.md").read_text(
        encoding="utf-8"
    )
    with safe_open(file, framework="pt") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"F16"}  # noqa: SIM118


def test_it_has_twelve_blocks_behind_a_front_end_with_a_group_norm(shipped, encoder):
    config = json.loads((shipped / "config.json").read_text(encoding="utf-8"))
    assert config["feat_extract_norm"] == "group"
    assert encoder.layers == tuple(str(number) for number in range(13))
    assert encoder.frame_count(16_000) == 49
    assert encoder.frame_centres(2).tolist() == pytest.approx([0.0125, 0.0325])


def test_it_loads_in_a_moment(encoder):  # the fixture has imported what takes long
    began = time.monotonic()
    load_encoder(EMBEDDED)
    assert time.monotonic() - began < 5.0  # under one on a machine with nothing else to do


def test_two_loads_give_the_same_bytes(encoder, speech):
    waves = [wave for wave, _ in speech["test"][:3]]
    again = load_encoder(EMBEDDED)
    assert torch.equal(encoder.encode(waves).frames, again.encode(waves).frames)


def test_an_utterance_does_not_depend_on_its_company(encoder, speech):
    waves = [wave for wave, _ in speech["test"][:3]]
    batched = encoder.encode(waves)
    alone = torch.cat([encoder.encode([wave]).frames for wave in waves], dim=1)
    assert (batched.frames - alone).abs().max() <= 1e-4 * alone.abs().max()


@pytest.mark.slow
def test_it_tells_phones_apart_far_better_than_random_weights(shipped, encoder, speech, tmp_path):
    from transformers import Wav2Vec2FeatureExtractor

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        HubertModel(HubertConfig.from_pretrained(shipped)).save_pretrained(tmp_path / "random")
    Wav2Vec2FeatureExtractor.from_pretrained(shipped).save_pretrained(tmp_path / "random")
    random = load_encoder(str(tmp_path / "random"))
    for layer in (4, 8):
        ours, theirs = phone_accuracy(encoder, speech, layer), phone_accuracy(random, speech, layer)
        assert ours > 0.4
        assert ours > theirs + 0.2

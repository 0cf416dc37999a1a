"""Deep-WCCN end to end: tones are told apart, the encoder's own loss trains, a kill changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from layersim.adaptation.finetune.audio import UnlabelledAudio, Waveforms
from layersim.adaptation.finetune.pretext import load_pretext
from layersim.adaptation.finetune.settings import FinetuneConfig
from layersim.adaptation.finetune.wccn import learn_wccn_finetune
from layersim.adaptation.wccn import WccnConfig
from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError


def learn(task, encoder, pretext=None, seed=0, folder=None, progress=lambda *_: None, **settings):
    own = {name: settings.pop(name) for name in list(settings) if name in FinetuneConfig.model_fields
           and name in ("epochs", "patience", "mode", "reduction", "freeze_feature_extractor")}  # fmt: skip
    head = {"embedding": 6, "batch": 4, "crop_seconds": 0.25, "smoothing": 0.5, "dropout": 0.0}
    return learn_wccn_finetune(
        task, encoder, pretext, WccnConfig(**{**head, **settings}),
        FinetuneConfig(**{"mode": "full", "epochs": 2, "mask_frames": 3, **own}), seed, progress, folder,
    )  # fmt: skip


def weights(learned) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in learned.network.state_dict().items()}


@pytest.fixture
def encoder(pretrained):
    return load_encoder(str(pretrained))


@pytest.fixture
def pretext(pretrained, encoder):
    return load_pretext(str(pretrained), encoder)


def test_tones_of_two_pitches_are_told_apart(encoder, pretext, make_task, make_tones):
    task = replace(make_task(16), target=UnlabelledAudio((), Waveforms([])))  # the target is not read
    learned = learn(
        task, encoder, pretext, epochs=5, learning_rate=0.02, embedding=12, batch=8,
        freeze_feature_extractor=False,
    )  # fmt: skip
    entropy = learned.curves["cross_entropy"]
    assert entropy.iloc[-1] < 0.5 * entropy.iloc[0]
    test = make_tones(6, 9)
    probabilities = learned.probabilities(test.waveforms)
    assert [task.classes[guess] for guess in probabilities.argmax(axis=1)] == list(test.emotions)
    assert learned.network.embed(test.waveforms).shape == (6, 12)
    # 16 utterances in batches of 8 give 2 batches an epoch; each class counts those with two of its rows
    assert all(0 < count <= 2 * learned.best_epoch for count in learned.details["measured"].values())


def test_the_encoder_s_own_loss_trains_encoder_and_quantiser(encoder, pretext, make_task):
    """With beta = 0 there is no quantiser; with beta it moves, and the encoder goes another way."""
    before = {name: value.clone() for name, value in pretext.state_dict().items()}
    settings = {"epochs": 1, "weight_decay": 0.0}
    without = learn(make_task(), encoder, pretext, beta=0.0, **settings)
    much = learn(make_task(), encoder, pretext, beta=1.0, **settings)
    assert "contrastive" not in without.curves
    row = much.curves.iloc[0]
    assert row["beta_own"] == pytest.approx(row["contrastive"] + 0.1 * row["diversity"])
    quantised = [value for name, value in much.network.state_dict().items() if "codevectors" in name]
    assert len(quantised) == 1
    assert not torch.equal(quantised[0], before["quantizer.codevectors"])
    block = "encoder.model.encoder.layers.0.attention.q_proj.weight"
    ways = [learned.network.state_dict()[block] for learned in (without, much)]
    assert not torch.equal(*ways)
    assert not any(torch.equal(way, before[block.replace("encoder.model.", "wav2vec2.", 1)]) for way in ways)
    front = "encoder.model.feature_extractor.conv_layers.0.conv.weight"
    assert torch.equal(much.network.state_dict()[front], without.network.state_dict()[front])  # frozen
    after = pretext.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())  # the caller's, untouched


def test_a_killed_training_resumes_to_the_same_bytes(encoder, pretext, make_task, tmp_path):
    task, settings = make_task(), {"epochs": 3, "dropout": 0.3}
    whole = learn(task, encoder, pretext, **settings)

    def kill(_label: str, done: float, _total: float) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(task, encoder, pretext, folder=tmp_path, progress=kill, **settings)
    resumed = learn(task, encoder, pretext, folder=tmp_path, **settings)
    assert weights(resumed) == weights(whole)
    pd.testing.assert_frame_equal(resumed.curves, whole.curves, check_exact=True)


def test_evaluation_hears_the_middle_normalised(encoder, make_task, make_tones):
    """Loudness and offset of a whole recording, and what lies outside its middle 0.25 s, change nothing."""
    learned = learn(make_task(), encoder, beta=0.0, epochs=1)
    wave = make_tones(1, 9, pitches=(700.0, 700.0)).waveforms[0][:4_000]
    noise = np.random.default_rng(0).standard_normal(1_000).astype("float32")
    around = np.concatenate([noise, wave, noise])
    expected = learned.probabilities([wave])
    np.testing.assert_allclose(learned.probabilities([around]), expected, atol=1e-6)
    np.testing.assert_allclose(learned.probabilities([0.1 * wave + 0.5]), expected, atol=1e-3)


@pytest.mark.parametrize("name", ["hubert-group", "wavlm-group", "whisper"])
def test_models_without_a_quantiser_train_with_beta_zero_only(name, encoder_of, make_task):
    with pytest.raises(LayersimError, match=r"given without a quantiser.*Set beta = 0"):
        learn(make_task(), encoder_of(name))
    learned = learn(make_task(4), encoder_of(name), beta=0.0, epochs=1)
    assert not learned.details["own_loss"]


def test_adapters_are_refused(encoder, make_task):
    with pytest.raises(LayersimError, match="wccn trains the whole encoder, not lora: full in its place"):
        learn(make_task(), encoder, beta=0.0, mode="lora")

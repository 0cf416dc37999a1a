"""Layer anchoring on the encoder: what it learns from, that it resumes, that a seed decides all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from layersim.adaptation.finetune.anchored import learn_anchored_finetune
from layersim.adaptation.finetune.audio import UnlabelledAudio, Waveforms
from layersim.adaptation.finetune.settings import FinetuneConfig
from layersim.adaptation.finetune.trainable import TrainableEncoder
from layersim.errors import LayersimError
from layersim.features.pooling import pool_utterances

QUICK = {"epochs": 2, "batch": 4, "crop_seconds": 0.2, "projection": 5, "mode": "full"}


def learn(task, encoder, seed=0, folder=None, progress=lambda *_: None, layers=("1", "2"), **settings):
    config = FinetuneConfig(**{**QUICK, **settings})
    return learn_anchored_finetune(task, encoder, layers, config, seed, progress, folder)


def weights(learned) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in learned.network.state_dict().items()}


def test_tones_of_two_pitches_are_told_apart_in_the_target(encoder_of, make_task, make_tones):
    task = make_task(count=8)
    learned = learn(task, encoder_of("whisper"), epochs=8, learning_rate=0.02, gamma=0.001, dropout=0.0)
    assert learned.curves["source_validation_uar"].max() == 1.0
    assert learned.curves["cross_entropy"].iloc[-1] < learned.curves["cross_entropy"].iloc[0]
    test = make_tones(6, 9)  # other draws of the target's tones
    probabilities = learned.probabilities(test.waveforms)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert [task.classes[guess] for guess in probabilities.argmax(axis=1)] == list(test.emotions)
    assert learned.details["layers"] == ["1", "2"]


@pytest.mark.parametrize("mode", ["full", "lora"])
def test_a_killed_training_resumes_to_the_same_bytes(mode, encoder_of, make_task, tmp_path):
    """With dropout in classifier and adapters, crops and orders of its own in each epoch."""
    task, encoder = make_task(), encoder_of("wav2vec2-stable")
    settings = {"mode": mode, "epochs": 3, "encoder_learning_rate": 1e-3, "accumulate": 2}
    whole = learn(task, encoder, **settings)

    def kill(_label: str, done: float, _total: float) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(task, encoder, folder=tmp_path / "kept", progress=kill, **settings)
    (tmp_path / "kept" / ".epoch-0003.tmp").mkdir()  # killed while it wrote: never read
    seen: list[float] = []
    torch.manual_seed(99)  # the caller's random numbers decide nothing
    resumed = learn(
        task, encoder, folder=tmp_path / "kept", progress=lambda _l, done, _t: seen.append(done), **settings
    )
    assert seen == [3]
    assert weights(resumed) == weights(whole)
    pd.testing.assert_frame_equal(resumed.curves, whole.curves, check_exact=True)
    assert resumed.best_epoch == whole.best_epoch
    kept = {f"epoch-{epoch:04d}" for epoch in (3, whole.best_epoch)}
    assert {path.name for path in (tmp_path / "kept").iterdir()} == kept
    finished = learn(task, encoder, folder=tmp_path / "kept", progress=lambda *_: seen.append(0), **settings)
    assert seen == [3]  # nothing left to do
    assert weights(finished) == weights(whole)
    with pytest.raises(LayersimError, match="holds a training with other settings, data, seed or encoder"):
        learn(task, encoder, seed=1, folder=tmp_path / "kept", **settings)


def test_the_same_seed_gives_the_same_bytes_and_the_caller_s_random_numbers_stay(encoder_of, make_task):
    task, encoder = make_task(), encoder_of("wav2vec2-stable")
    settings = {"epochs": 1, "mode": "lora"}
    torch.manual_seed(4)
    first = learn(task, encoder, **settings)
    drawn = torch.rand(1)
    torch.manual_seed(4)
    assert torch.equal(drawn, torch.rand(1))
    assert weights(learn(task, encoder, **settings)) == weights(first)
    assert weights(learn(task, encoder, seed=1, **settings)) != weights(first)


def test_without_gamma_the_target_changes_nothing(encoder_of, make_task):
    encoder = encoder_of("wav2vec2-stable")
    settings = {"gamma": 0.0, "standardise": "source", "epochs": 1}
    one, other = (learn(make_task(target_seed=seed), encoder, **settings) for seed in (3, 4))
    assert weights(one) == weights(other)
    assert "coral" not in one.curves
    empty = replace(make_task(), target=UnlabelledAudio((), Waveforms([])))
    assert weights(learn(empty, encoder, **settings)) == weights(one)
    with_target = [
        learn(make_task(target_seed=seed), encoder, **{**settings, "gamma": 0.1}) for seed in (3, 4)
    ]
    assert weights(with_target[0]) != weights(with_target[1])
    assert not with_target[0].curves[["coral", "gamma_coral", "coral_floor"]].isna().any(axis=None)


def test_coral_alone_moves_blocks_below_the_anchor(encoder_of, make_task, monkeypatch):
    """One class's cross-entropy has no gradient (its only logit is sure): what moves blocks is CORAL."""
    encoder = encoder_of("wav2vec2-stable")
    task = make_task()
    alike = replace(task.source, emotions=("anger",) * len(task.source))
    sure = replace(task.validation, emotions=("anger",) * len(task.validation))
    task = replace(task, source=alike, validation=sure, classes=("anger",))
    settings = {"weight_decay": 0.0, "encoder_learning_rate": 1e-3, "epochs": 1}
    still, moved = learn(task, encoder, gamma=0.0, **settings), learn(task, encoder, gamma=1.0, **settings)
    own = encoder.body.model.state_dict()
    blocks = [name for name in own if name.startswith(("encoder.layers.0.", "encoder.layers.1."))]
    for learned, expected in ((still, False), (moved, True)):
        now = learned.network.get_submodule("encoder.model").state_dict()
        assert any(not torch.equal(now[name], own[name]) for name in blocks) == expected


def test_statistics_are_each_corpus_s_own_over_whole_utterances_of_the_untrained_encoder(
    encoder_of, make_task
):
    task, encoder = make_task(), encoder_of("wav2vec2-stable")
    learned = learn(task, encoder, epochs=1, encoder_learning_rate=1e-3)
    for side, part in (("source", task.source), ("target", task.target)):
        states = [encoder.encode([wave]) for wave in part.waveforms]
        pooled = torch.cat([torch.cat(pool_utterances(one.frames, one.counts), 2) for one in states])
        rows = pooled[:, 1:3].numpy().astype(np.float64)  # layers 1 and 2
        buffers = dict(learned.network.named_buffers())
        np.testing.assert_allclose(buffers[f"{side}_mean"], rows.mean(0), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(buffers[f"{side}_scale"], rows.std(0), rtol=1e-2, atol=1e-4)
    anew = learn(task, encoder, epochs=1, encoder_learning_rate=1e-3, measure="epoch")
    assert weights(anew)["source_mean"] != weights(learned)["source_mean"]
    shared = learn(task, encoder, epochs=1, standardise="source")
    assert (
        weights(shared)["target_scale"] == weights(shared)["source_scale"] == weights(learned)["source_scale"]
    )


def test_predictions_are_by_the_target_s_statistics(encoder_of, make_task):
    task, encoder = make_task(), encoder_of("wav2vec2-stable")
    learned = learn(task, encoder, epochs=1)
    network = learned.network
    wave = task.target.waveforms[0]
    hearing = network.get_submodule("encoder")
    assert isinstance(hearing, TrainableEncoder)
    pooled = hearing([hearing.body.prepare(wave)]).detach()
    buffers = dict(network.named_buffers())
    scaled = (pooled - buffers["target_mean"]) / buffers["target_scale"]
    logits = network.get_submodule("head")(scaled).detach().double().numpy()[0]
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(learned.probabilities([wave])[0], expected, atol=1e-6)


def test_too_little_data_is_refused(encoder_of, make_task):
    task = replace(make_task(), target=UnlabelledAudio((), Waveforms([])))
    with pytest.raises(LayersimError, match="8 train utterances of the source and 0 of the target"):
        learn(task, encoder_of("wav2vec2-stable"))


def test_a_loss_that_is_not_finite_stops_the_training(encoder_of, make_task):
    with pytest.raises(LayersimError, match=r"training stopped in epoch 1: .*table \[train.finetune\]"):
        learn(make_task(), encoder_of("wav2vec2-stable"), learning_rate=1e30, clip=1e30, weight_decay=0.0)

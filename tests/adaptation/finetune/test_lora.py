"""Adapters: which weights they are, that the model listens to them, that the base never changes."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from layersim.adaptation.finetune.anchored import learn_anchored_finetune
from layersim.adaptation.finetune.export import write_encoder
from layersim.adaptation.finetune.lora import add_lora, merged_weights, require_reached
from layersim.adaptation.finetune.settings import FinetuneConfig
from layersim.adaptation.finetune.trainable import TrainableEncoder
from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError

CONFIG = FinetuneConfig(lora_rank=2, lora_alpha=6.0, lora_dropout=0.0)


def adapted(encoder, layers=("2",), config=CONFIG, spread: float = 0.0) -> TrainableEncoder:
    """With adapters; ``spread`` gives the second factor, which begins at zero, values of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hearing = TrainableEncoder(encoder, layers)
        add_lora(hearing, config)
        for name, weight in hearing.trained().items():
            if ".lora_B." in name and spread:
                torch.nn.init.normal_(weight, std=spread)
    return hearing


def test_adapters_alone_are_trained_in_the_blocks_below_the_anchor_and_are_heard(
    family, encoder_of, make_tones
):
    encoder = encoder_of(family)
    hearing = adapted(encoder)
    trained = hearing.trained()
    # 2 blocks of 4 projections of 16 by 16, each with factors (2, 16) and (16, 2)
    assert len(trained) == 2 * 4 * 2
    assert sum(weight.numel() for weight in trained.values()) == 2 * 4 * (2 * 16 + 16 * 2)
    assert all(".lora_" in name for name in trained)
    waves = [hearing.body.prepare(wave) for wave in make_tones(2, 8).waveforms]
    plain = TrainableEncoder(encoder, ["2"])(waves)
    torch.testing.assert_close(hearing(waves).detach(), plain, rtol=1e-3, atol=1e-4)  # B is 0 at first
    hearing.train()
    hearing(waves).square().sum().backward()
    require_reached(hearing)  # WavLM reads its weights past its projections: its adapters would be deaf
    moved = adapted(encoder, spread=0.1)
    assert float((moved(waves) - plain).detach().abs().max()) > 1e-3


def test_merging_is_w_plus_alpha_over_rank_times_b_a_and_leaves_the_base_to_the_byte(encoder_of):
    encoder = encoder_of("wavlm-stable")
    hearing = adapted(encoder, spread=0.1)
    before = {name: value.numpy().tobytes() for name, value in hearing.model.state_dict().items()}
    merged = merged_weights(hearing)
    after = {name: value.numpy().tobytes() for name, value in hearing.model.state_dict().items()}
    assert before == after
    own = encoder.body.model.state_dict()
    assert list(merged) == list(own) or set(merged) == set(own)
    state, changed = hearing.model.state_dict(), []
    for name, value in own.items():
        expected = value.numpy()
        stem = name.removesuffix(".weight")
        if f"{stem}.lora_A.default.weight" in state:
            a, b = (state[f"{stem}.lora_{factor}.default.weight"].numpy() for factor in "AB")
            expected = expected + 3.0 * (b @ a)  # alpha 6 over rank 2
            changed.append(stem.rpartition(".")[2])
        np.testing.assert_allclose(merged[name].numpy(), expected, atol=1e-6)
    assert sorted(changed) == sorted(["q_proj", "k_proj", "v_proj", "out_proj"] * 2)


@pytest.mark.parametrize("name", ["wavlm-group", "wav2vec2-stable", "whisper"])
def test_a_written_encoder_is_a_checkpoint_that_hears_the_same(
    name, encoder_of, folder_of, tmp_path, make_tones
):
    hearing = adapted(encoder_of(name), spread=0.1)
    write_encoder(hearing, str(folder_of(name)), tmp_path / "trained")
    loaded = load_encoder(str(tmp_path / "trained"))
    assert loaded.weights_sha256 != encoder_of(name).weights_sha256
    waves = list(make_tones(2, 8).waveforms)
    expected = hearing([hearing.body.prepare(wave) for wave in waves]).detach()
    heard = TrainableEncoder(loaded, ["2"])
    torch.testing.assert_close(
        heard([heard.body.prepare(wave) for wave in waves]), expected, rtol=1e-3, atol=1e-4
    )
    with pytest.raises(LayersimError, match="is not empty"):
        write_encoder(hearing, str(folder_of(name)), tmp_path / "trained")


def test_training_by_adapters_leaves_every_other_weight_as_it_was(encoder_of, make_task):
    encoder = encoder_of("wavlm-group")
    before = {name: value.clone() for name, value in encoder.body.model.state_dict().items()}
    config = FinetuneConfig(epochs=1, batch=4, crop_seconds=0.2, lora_learning_rate=0.01)
    learned = learn_anchored_finetune(make_task(), encoder, ["1", "2"], config, seed=0)
    after = learned.network.get_submodule("encoder.model").state_dict()
    for name, value in before.items():
        stem, _, last = name.rpartition(".")
        base = after[name] if name in after else after[f"{stem}.base_layer.{last}"]
        assert torch.equal(base, value), name
        assert torch.equal(encoder.body.model.state_dict()[name], value)
    second = [value for name, value in after.items() if ".lora_B." in name]
    assert len(second) == 8
    assert all(value.any() for value in second)
    assert len(learned.details["adapted"]) == 8


def test_what_cannot_be_adapted_is_refused(encoder_of, monkeypatch):
    encoder = encoder_of("wav2vec2-group")
    with pytest.raises(
        LayersimError, match=r"no linear module query. Name some of .*q_proj.* in lora_targets"
    ):
        adapted(encoder, config=FinetuneConfig(lora_targets=("query",)))
    with pytest.raises(LayersimError, match="layer 0 is what enters the first block"):
        adapted(encoder, layers=("0",))
    hearing = adapted(encoder)
    for weight in hearing.trained().values():
        weight.grad = torch.zeros_like(weight)
    with pytest.raises(
        LayersimError, match=r"no gradient reaches the adapters of encoder\.layers\.0\.attention"
    ):
        require_reached(hearing)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(LayersimError, match=r"pip install 'layersim\[finetune\]'"):
        adapted(encoder)

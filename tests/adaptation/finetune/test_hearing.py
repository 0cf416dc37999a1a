"""What a training hears keeps the layer contract: hooks, valid frames, nothing random but dropout."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from layersim.adaptation.finetune.hearing import pool
from layersim.adaptation.finetune.trainable import TrainableEncoder
from layersim.errors import LayersimError
from layersim.features.pooling import pool_utterances


def heard_by_extraction(encoder, waves) -> torch.Tensor:
    """Pooled layers as the extract stage gives them, (B, L+1, 2D)."""
    states = encoder.encode(waves)
    return torch.cat(pool_utterances(states.frames, states.counts), dim=2).clone()


def test_training_mode_hears_what_extraction_heard_and_each_alone_the_same(family, encoder_of, make_tones):
    encoder, waves = encoder_of(family), list(make_tones(3, 5).waveforms)
    hearing = TrainableEncoder(encoder, encoder.frame_layers)
    hearing.release(freeze_feature_extractor=False)
    hearing.train()
    prepared = [hearing.body.prepare(wave) for wave in waves]
    together = hearing(prepared)
    assert together.requires_grad
    expected = heard_by_extraction(encoder, waves)
    torch.testing.assert_close(together.detach(), expected, rtol=1e-3, atol=1e-4)
    alone = torch.cat([hearing([wave]) for wave in prepared])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


def test_layers_are_the_library_s_hidden_states_in_training_mode(folder_of, encoder_of, make_tones):
    """Layers 0..L-1: the last has had two meanings. With a layerdrop of 0.9 left on, most would differ."""
    encoder = encoder_of("wav2vec2-stable")
    untouched = encoder.body.model.config.layerdrop
    body = copy.deepcopy(encoder.body)
    body.model.config.layerdrop = 0.9
    hearing = TrainableEncoder(encoder, encoder.frame_layers, body=body).train()
    wave = hearing.body.prepare(make_tones(1, 5).waveforms[0])
    states = body.model(torch.from_numpy(wave)[None], output_hidden_states=True).hidden_states
    assert len(states) == len(encoder.frame_layers)
    heard = hearing([wave])[0]
    for layer, state in enumerate(states[:-1]):
        own = torch.cat([state[0].mean(0), state[0].std(0, correction=0)])
        torch.testing.assert_close(heard[layer], own, rtol=1e-4, atol=1e-5)
    assert encoder.body.model.config.layerdrop == untouched


def test_gradients_reach_the_blocks_below_the_anchor_and_none_above(family, encoder_of, make_tones):
    encoder = encoder_of(family)
    hearing = TrainableEncoder(encoder, ["2"])
    hearing.release(freeze_feature_extractor=True)
    hearing.train()
    waves = [hearing.body.prepare(wave) for wave in make_tones(2, 5).waveforms]
    hearing(waves).square().sum().backward()
    for block in hearing.body.blocks[:2]:
        gradients = [weight.grad for weight in block.parameters()]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
        assert sum(float(gradient.abs().sum()) for gradient in gradients if gradient is not None) > 0
    above = [weight for block in hearing.body.blocks[2:] for weight in block.parameters()]
    assert above
    assert not any(weight.requires_grad for weight in above)
    front = "conv1" if family == "whisper" else "feature_extractor"
    assert not any(f"{front}." in name for name in hearing.trained())
    hearing.release(freeze_feature_extractor=False)
    assert any(f"{front}." in name for name in hearing.trained())
    # and the caller's encoder has none of it
    assert not any(weight.requires_grad for weight in encoder.body.model.parameters())


def test_an_utterance_s_gradient_does_not_depend_on_its_batch(encoder_of, make_tones):
    """Padding kept out of values must be kept out of gradients too: group norm, the hardest case."""
    encoder = encoder_of("wavlm-group")
    waves = list(make_tones(2, 8).waveforms)
    gradients = []
    for batch in (waves[:1], waves):
        hearing = TrainableEncoder(encoder, ["1", "3"])
        hearing.release(freeze_feature_extractor=False)
        hearing([hearing.body.prepare(wave) for wave in batch])[0].square().sum().backward()
        gradients.append({name: weight.grad for name, weight in hearing.trained().items()})
    for name, alone in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["wavlm-group", "hubert-batch-norm", "whisper"])
def test_checkpointing_changes_no_gradient(name, encoder_of, make_tones):
    """Among waves of two lengths: what is computed again must be guarded against padding again."""
    encoder, waves = encoder_of(name), list(make_tones(2, 8).waveforms)
    gradients = []
    for checkpointing in (False, True):
        hearing = TrainableEncoder(encoder, ["1", "2"], checkpointing=checkpointing)
        hearing.release(freeze_feature_extractor=False)
        hearing.train()
        hearing([hearing.body.prepare(wave) for wave in waves]).square().sum().backward()
        gradients.append({name: weight.grad for name, weight in hearing.trained().items()})
    assert gradients[0].keys() == gradients[1].keys()
    for key, plain in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], plain)


def test_pooling_equals_the_features_and_has_a_gradient_without_spread():
    frames = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0))
    frames[:, 4:6] = 1.0  # an utterance that never changes; the last has a single frame
    counts = [4, 2, 2, 1]
    torch.testing.assert_close(pool(frames, counts), torch.cat(pool_utterances(frames, counts), dim=2))
    frames.requires_grad_(True)
    pool(frames, counts).square().sum().backward()
    assert frames.grad is not None
    assert frames.grad.isfinite().all()
    inputs = torch.randn(1, 5, 2, dtype=torch.float64, requires_grad=True)
    numeric = _numeric_gradient(lambda x: float(pool(x, [3, 2])[..., 2:].sum()), inputs.detach())
    pool(inputs, [3, 2])[..., 2:].sum().backward()
    np.testing.assert_allclose(inputs.grad, numeric, atol=2e-2)  # float32 inside


def _numeric_gradient(function, at: torch.Tensor, step: float = 1e-2) -> np.ndarray:
    gradient = np.zeros(at.shape)
    for place in np.ndindex(*at.shape):
        moved = [at.clone(), at.clone()]
        moved[0][place] += step
        moved[1][place] -= step
        gradient[place] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return gradient


def test_batch_norm_statistics_stay_as_they_came(encoder_of, make_tones):
    encoder = encoder_of("hubert-batch-norm")
    hearing = TrainableEncoder(encoder, ["1"]).train()
    before = {name: value.clone() for name, value in hearing.model.named_buffers()}
    hearing([hearing.body.prepare(wave) for wave in make_tones(2, 8).waveforms])
    assert all(torch.equal(value, before[name]) for name, value in hearing.model.named_buffers())
    assert any(name.endswith("running_mean") for name in before)


def test_what_cannot_be_trained_is_refused(encoder_of, folder_of):
    from layersim.encoders.load import load_encoder

    encoder = encoder_of("wavlm-group")
    with pytest.raises(LayersimError, match="has no layer 9; its layers are 0 to 3"):
        TrainableEncoder(encoder, ["1", "9"])
    with pytest.raises(LayersimError, match="precision bf16 on cpu"):
        TrainableEncoder(encoder, ["1"], precision="bf16")
    with pytest.raises(LayersimError, match="stack 'both' was asked for"):
        TrainableEncoder(load_encoder(str(folder_of("whisper")), stack="both"), ["1"])

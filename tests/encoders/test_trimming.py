"""Trimmed windows of Whisper: the model's own arithmetic on less, each utterance as if alone."""

from __future__ import annotations

import pytest
import torch
import transformers

from layersim.encoders import trimming
from layersim.encoders.check import self_check
from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError

LENGTHS = (16_000, 400, 24_321, 5_000, 32_000)  # the tiny Whisper holds 32,000 samples


def relative(one, other):
    """Largest difference in a layer relative to the layer's largest value, the worst layer's."""
    differences = (one - other).abs().flatten(1).amax(1) / other.abs().flatten(1).amax(1)
    return float(differences.max())


@pytest.fixture
def trimming_encoder(tiny):
    return load_encoder(str(tiny("whisper")), stack="both", whisper_window="trim")


@pytest.mark.parametrize("samples", LENGTHS)
def test_a_trimmed_window_is_what_the_library_computes_when_built_for_that_length(
    samples, trimming_encoder, tiny, speech
):
    """A Whisper configured for ceil(n / 320) positions, on the first columns of the long spectrogram."""
    folder, count = tiny("whisper"), -(-samples // 320)
    weights = transformers.WhisperModel.from_pretrained(folder).state_dict()
    weights["encoder.embed_positions.weight"] = weights["encoder.embed_positions.weight"][:count]
    config = transformers.AutoConfig.from_pretrained(folder)
    config.max_source_positions = count
    model = transformers.WhisperModel(config).eval()
    model.load_state_dict(weights)
    wave = speech(samples, 1)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    mel = extractor(wave, sampling_rate=16_000, return_tensors="pt")["input_features"][:, :, : 2 * count]
    with torch.no_grad():
        own = model(mel, decoder_input_ids=torch.tensor([[3]]), output_hidden_states=True)
        states = trimming_encoder.encode([wave])
        last = model.encoder.layer_norm(states.frames[3])
    assert states.counts == [count]
    for layer in range(3):
        torch.testing.assert_close(
            states.frames[layer], own.encoder_hidden_states[layer][0], rtol=1e-5, atol=1e-5
        )
    torch.testing.assert_close(last, own.encoder_last_hidden_state[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(states.prompt[0, 0], own.decoder_hidden_states[1][0, 0], rtol=1e-5, atol=1e-5)


def test_batched_equals_alone_in_encoder_and_decoder_also_in_several_windows(trimming_encoder, speech):
    waves = [speech(length, seed) for seed, length in enumerate((*LENGTHS, 70_000))]
    together = trimming_encoder.encode(waves)
    assert trimming_encoder.exact_batching
    for place, frames in enumerate(torch.split(together.frames, together.counts, dim=1)):
        alone = trimming_encoder.encode([waves[place]])
        assert relative(frames, alone.frames) < 1e-5
        assert relative(together.prompt[:, place : place + 1], alone.prompt) < 1e-5


def test_a_window_as_long_as_the_model_s_is_the_full_one_and_a_short_one_is_not(
    trimming_encoder, tiny, speech
):
    full = load_encoder(str(tiny("whisper")), stack="both")
    long, short = speech(32_000, 1), speech(8_000, 1)
    assert relative(trimming_encoder.encode([long]).frames, full.encode([long]).frames) < 1e-5
    assert relative(trimming_encoder.encode([short]).frames, full.encode([short]).frames) > 1e-2


def test_the_model_is_as_it_was_afterwards_also_after_an_error(trimming_encoder, tiny, speech, monkeypatch):
    waves = [speech(16_000, 1), speech(8_000, 2)]
    expected = load_encoder(str(tiny("whisper")), stack="both").encode(waves)
    trimming_encoder.encode(waves)
    block = trimming_encoder.body.model.encoder.layers[1]
    with monkeypatch.context() as broken:
        broken.setattr(block, "forward", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            trimming_encoder.encode(waves)
    full = trimming_encoder.in_full_windows()
    found = full.encode(waves)
    assert torch.equal(found.frames, expected.frames)
    assert torch.equal(found.prompt, expected.prompt)
    assert (full.whisper_window, trimming_encoder.whisper_window) == ("full", "trim")
    assert full.cost(8_000) == 100
    assert trimming_encoder.cost(8_000) == 25


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_a_library_that_loses_the_mask_is_refused_at_load(stack, tiny, monkeypatch):
    encoder = load_encoder(str(tiny("whisper")), stack=stack, whisper_window="trim")
    nothing = trimming.padding_mask
    monkeypatch.setattr(trimming, "padding_mask", lambda *given: 0 * nothing(*given).nan_to_num(neginf=0))
    with pytest.raises(LayersimError, match=r"padding reaches real frames: half a second of sound"):
        self_check(encoder)


def test_the_mask_goes_with_half_precision(tiny, speech):
    waves = [speech(16_000, 1), speech(6_000, 2)]
    encoder = load_encoder(str(tiny("whisper")), precision="bf16", whisper_window="trim")
    full = load_encoder(str(tiny("whisper")), whisper_window="trim").encode(waves).frames
    assert 0 < relative(encoder.encode(waves).frames, full) < 0.1


def test_the_description_says_it_only_where_windows_are_trimmed(trimming_encoder, tiny):
    assert trimming_encoder.describe()["whisper_window"] == "trim"
    assert "whisper_window" not in load_encoder(str(tiny("whisper"))).describe()


def test_windows_that_cannot_be_trimmed_are_refused(tiny):
    with pytest.raises(LayersimError, match=r"'trim' was asked for, and this is a 'wavlm' model"):
        load_encoder(str(tiny("wavlm-group")), whisper_window="trim")
    with pytest.raises(ValueError, match=r"whisper_window: expected one of \('full', 'trim'\), got 'cut'"):
        load_encoder(str(tiny("whisper")), whisper_window="cut")
    with pytest.raises(LayersimError, match=r"max_seconds is 3 and the model holds 2"):
        load_encoder(str(tiny("whisper")), whisper_window="trim", max_seconds=3)
    with pytest.raises(ValueError, match=r"only Whisper's windows can be trimmed or full"):
        load_encoder(str(tiny("wavlm-group"))).in_full_windows()

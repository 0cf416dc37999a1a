"""The layer and frame contracts, against transformers' own hidden states."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
import transformers

from layersim.encoders.load import load_encoder

pytestmark = [
    pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask"),  # when we call the library
]


def library_states(folder, wave):
    """What transformers itself gives for one wave: (hidden states of the encoder, last hidden state)."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(wave, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        if model.config.model_type == "whisper":
            prompt = torch.full((1, 1), model.config.decoder_start_token_id)
            return model(**inputs, decoder_input_ids=prompt, output_hidden_states=True)
        return model(inputs["input_values"], output_hidden_states=True)


def test_layers_below_the_last_are_the_librarys_hidden_states(family, tiny, speech):
    wave = speech(12_345, 1)
    states = load_encoder(str(tiny(family))).encode([wave])
    library = library_states(tiny(family), wave)
    expected = library.encoder_hidden_states if family == "whisper" else library.hidden_states
    assert states.frames.shape == (4, states.counts[0], 16)
    for layer in range(3):
        own = expected[layer][0, : states.counts[0]]
        torch.testing.assert_close(states.frames[layer], own, rtol=1e-4, atol=1e-5)


def test_the_last_layer_is_before_the_final_norm(family, tiny, speech):
    """Normed (where the family norms) it is the last hidden state; as it is, it is not."""
    wave = speech(9_000, 2)
    encoder = load_encoder(str(tiny(family)))
    last_block = encoder.encode([wave]).frames[-1]
    library = library_states(tiny(family), wave)
    last = library.encoder_last_hidden_state if family == "whisper" else library.last_hidden_state
    last = last[0, : len(last_block)]
    normed = family == "whisper" or family.endswith("stable")
    with torch.no_grad():
        if normed:
            weight, bias = encoder.body.final_norm.weight, encoder.body.final_norm.bias
            mean = last_block.mean(dim=-1, keepdim=True)
            variance = ((last_block - mean) ** 2).mean(dim=-1, keepdim=True)
            by_hand = (last_block - mean) / torch.sqrt(variance + 1e-5) * weight + bias
            torch.testing.assert_close(by_hand, last, rtol=1e-4, atol=1e-4)
            assert (last_block - last).abs().max() > 0.1
        else:
            assert encoder.body.final_norm is None
            torch.testing.assert_close(last_block, last, rtol=1e-4, atol=1e-5)


def test_decoder_layers_are_the_librarys_for_the_start_token(tiny, speech):
    waves = [speech(8_000, 1), speech(20_000, 2)]
    encoder = load_encoder(str(tiny("whisper")), stack="both")
    assert encoder.layers == ("0", "1", "2", "3", "d1", "d2")
    assert encoder.frame_layers == ("0", "1", "2", "3")
    states = encoder.encode(waves)
    assert states.prompt.shape == (2, 2, 16)
    for place, wave in enumerate(waves):
        own = library_states(tiny("whisper"), wave)
        torch.testing.assert_close(
            states.prompt[0, place], own.decoder_hidden_states[1][0, 0], rtol=1e-4, atol=1e-5
        )
        normed = encoder.body.decoder_norm(states.prompt[1, place])
        torch.testing.assert_close(normed, own.last_hidden_state[0, 0], rtol=1e-4, atol=1e-4)


def test_the_decoder_alone_has_no_frame_layers_and_the_same_vectors(tiny, speech):
    waves = [speech(8_000, 1), speech(20_000, 2)]
    both = load_encoder(str(tiny("whisper")), stack="both").encode(waves)
    encoder = load_encoder(str(tiny("whisper")), stack="decoder")
    states = encoder.encode(waves)
    assert encoder.layers == ("d1", "d2")
    assert encoder.frame_layers == ()
    assert states.frames.shape == (0, sum(states.counts), 16)
    torch.testing.assert_close(states.prompt, both.prompt, rtol=0, atol=0)


def test_a_second_of_sound_gives_49_frames_in_the_wav2vec2_family(waveform_family, tiny, speech):
    encoder = load_encoder(str(tiny(waveform_family)))
    assert encoder.encode([speech(16_000)]).counts == [49]
    assert (encoder.frame_count(16_000), encoder.frame_count(399), encoder.cost(16_000)) == (49, 0, 49)
    np.testing.assert_allclose(encoder.frame_centres(3), [0.0125, 0.0325, 0.0525])


@pytest.mark.parametrize(("samples", "frames"), [(400, 2), (16_000, 50), (16_001, 51), (32_000, 100)])
def test_whisper_owns_a_frame_for_each_begun_20_milliseconds(samples, frames, tiny, speech):
    encoder = load_encoder(str(tiny("whisper")))
    states = encoder.encode([speech(samples)])
    assert states.counts == [frames]
    assert states.frames.shape[1] == encoder.frame_count(samples) == frames
    assert encoder.cost(samples) == 100  # a window is padded whole, whatever the audio
    np.testing.assert_allclose(encoder.frame_centres(2), [0.010, 0.030])


def test_an_unknown_family_is_read_one_window_at_a_time_like_the_library(unknown_family, tiny, speech):
    encoder = load_encoder(str(tiny(unknown_family)))
    assert not encoder.exact_batching
    assert "utterances run one at a time" in encoder.notes[0]
    waves = [speech(16_000, 1), speech(5_000, 2)]
    states = encoder.encode(waves)
    assert states.counts == [49, 15]
    start = 0
    for wave, count in zip(waves, states.counts, strict=True):
        library = library_states(tiny(unknown_family), wave).hidden_states
        for layer in range(3):
            torch.testing.assert_close(
                states.frames[layer, start : start + count], library[layer][0], rtol=1e-4, atol=1e-5
            )
        start += count


def test_an_adapter_behind_the_blocks_is_no_layer(tiny, speech):
    """Such models return frames at half the rate; their blocks are read like any other's."""
    wave = speech(16_000, 1)
    states = load_encoder(str(tiny("wav2vec2-adapter"))).encode([wave, speech(7_000, 2)])
    library = library_states(tiny("wav2vec2-adapter"), wave)
    assert library.last_hidden_state.shape[1] == 25
    assert states.counts == [49, 21]
    for layer in range(3):
        torch.testing.assert_close(
            states.frames[layer, :49], library.hidden_states[layer][0], rtol=1e-4, atol=1e-5
        )


def test_encoding_leaves_no_hook_behind(tiny, speech):
    encoder = load_encoder(str(tiny("data2vec-audio")))
    encoder.encode([speech(16_000), speech(8_000)])
    modules = encoder.body.model.modules()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def test_library_classes_are_as_they_were(tiny):
    """Exact batching is a matter of one instance: nobody else's model may change."""
    before = inspect.getsource(transformers.Wav2Vec2Model), transformers.Wav2Vec2Model.forward
    load_encoder(str(tiny("wav2vec2-group")))
    assert (inspect.getsource(transformers.Wav2Vec2Model), transformers.Wav2Vec2Model.forward) == before

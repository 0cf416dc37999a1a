"""An utterance's features do not depend on which utterances share its batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layersim.encoders.load import load_encoder

LENGTHS = (16_000, 400, 24_321, 5_000, 11_111)


def split(states):
    return torch.split(states.frames, states.counts, dim=1)


def relative(one, other):
    """Largest difference in a layer relative to the layer's largest value, the worst layer's."""
    differences = (one - other).abs().flatten(1).amax(1) / other.abs().flatten(1).amax(1)
    return float(differences.max())


def test_batched_equals_alone_in_every_family(family, tiny, speech):
    encoder = load_encoder(str(tiny(family)))
    waves = [speech(length, seed) for seed, length in enumerate(LENGTHS)]
    together = encoder.encode(waves)
    assert encoder.exact_batching
    for wave, batched in zip(waves, split(together), strict=True):
        assert relative(batched, encoder.encode([wave]).frames) < 1e-5  # the contract says 1e-4


def test_whisper_decoder_batched_equals_alone(tiny, speech):
    encoder = load_encoder(str(tiny("whisper")), stack="decoder")
    waves = [speech(length, seed) for seed, length in enumerate(LENGTHS)]
    together = encoder.encode(waves).prompt
    for place, wave in enumerate(waves):
        assert relative(together[:, place : place + 1], encoder.encode([wave]).prompt) < 1e-5


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
@pytest.mark.parametrize(
    "leaky", ["wavlm-group", "wav2vec2-group", "hubert-group", "hubert-batch-norm", "data2vec-audio"]
)
def test_the_library_alone_would_let_padding_in_where_we_mend_it(leaky, tiny, speech):
    """The test above has teeth: the same batch through transformers, mask given, is not exact."""
    folder = tiny(leaky)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    short, long = speech(8_000, 1), speech(16_000, 2)
    values = torch.zeros(2, 16_000)
    values[0, :8_000], values[1] = torch.from_numpy(short), torch.from_numpy(long)
    mask = torch.zeros(2, 16_000, dtype=torch.long)
    mask[0, :8_000], mask[1] = 1, 1
    with torch.no_grad():
        batched = model(values, attention_mask=mask).last_hidden_state[:1, :24]
        alone = model(values[:1, :8_000]).last_hidden_state
    assert relative(batched, alone) > 1e-3


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(400, 12_000), min_size=2, max_size=4), data=st.data())
def test_any_order_and_company_gives_the_same_frames(tiny, speech, lengths, data):
    encoder = load_encoder(str(tiny("wavlm-group")))
    waves = [speech(length, seed) for seed, length in enumerate(lengths)]
    order = data.draw(st.permutations(range(len(waves))))
    straight = split(encoder.encode(waves))
    shuffled = split(encoder.encode([waves[place] for place in order]))
    for place, frames in zip(order, shuffled, strict=True):
        assert relative(frames, straight[place]) < 1e-5


def test_twice_the_same_call_gives_the_same_bits(family, tiny, speech):
    encoder = load_encoder(str(tiny(family)))
    waves = [speech(10_000, 1), speech(7_000, 2)]
    first, second = encoder.encode(waves).frames, encoder.encode(waves).frames
    np.testing.assert_array_equal(first.numpy(), second.numpy())

"""The self-check refuses a model that does something else than its layers say."""

from __future__ import annotations

import pytest
import torch

from layersim.encoders.check import self_check
from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError


def test_a_model_that_changes_its_last_layer_is_refused(family, tiny):
    encoder = load_encoder(str(tiny(family)))

    def louder(_module, _args, output):
        return type(output)(last_hidden_state=1.1 * output.last_hidden_state)

    encoder.body.model.encoder.register_forward_hook(louder)
    with pytest.raises(LayersimError, match=r"block 3: its output after .* differs from the model's own"):
        self_check(encoder)


def test_a_model_whose_final_norm_is_not_seen_is_refused(tiny):
    encoder = load_encoder(str(tiny("hubert-stable")))
    encoder.body.final_norm = None
    with pytest.raises(LayersimError, match=r"block 3: its output after nothing \(no final layer norm\)"):
        self_check(encoder)


def test_a_decoder_without_its_norm_is_refused(tiny):
    encoder = load_encoder(str(tiny("whisper")), stack="decoder")
    encoder.body.decoder_norm = torch.nn.Identity()
    with pytest.raises(LayersimError, match=r"decoder block d2: its output after"):
        self_check(encoder)


def test_a_model_that_skips_a_block_is_refused(tiny):
    encoder = load_encoder(str(tiny("hubert-group")))
    layers = encoder.body.model.encoder.layers
    encoder.body.model.encoder.layers = torch.nn.ModuleList([layers[0], layers[2]])
    with pytest.raises(LayersimError, match=r"the model does not run its layers 2"):
        self_check(encoder)


@pytest.mark.parametrize("leaky", ["wavlm-group", "hubert-batch-norm", "data2vec-audio"])
def test_a_model_that_lets_padding_in_is_refused(leaky, tiny):
    encoder = load_encoder(str(tiny(leaky)))
    encoder.body._guard = None
    with pytest.raises(LayersimError, match=r"padding reaches real frames: half a second of sound"):
        self_check(encoder)

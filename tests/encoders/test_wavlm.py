"""WavLM's fused attention is transformers' own, and learns as it does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from layersim.encoders.load import load_encoder
from layersim.encoders.wavlm import _QUERIES, ATTENTION, _relative_bias, fuse_attention
from layersim.errors import LayersimError

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")

LONG = 16_000 * 6  # 299 frames: the queries go in two parts


def own(folder):
    """The model as transformers makes it."""
    return transformers.AutoModel.from_pretrained(folder).eval()


def fused(folder):
    model = own(folder)
    fuse_attention(model)
    return model


def batch(speech, *lengths):
    values, mask = torch.zeros(len(lengths), max(lengths)), torch.zeros(len(lengths), max(lengths)).long()
    for row, length in enumerate(lengths):
        values[row, :length], mask[row, :length] = torch.from_numpy(speech(length, row)), 1
    return values, mask


def blocks_outputs(model, values, mask):
    """What every block gives, by hooks; blocks answer with a tuple or a tensor."""
    kept = []
    hooks = [block.register_forward_hook(lambda _m, _i, out: kept.append(out[0])) for block in
             model.encoder.layers]  # fmt: skip
    with torch.no_grad():
        model(values, attention_mask=mask)
    for hook in hooks:
        hook.remove()
    return kept


@pytest.mark.parametrize("kind", ["wavlm-group", "wavlm-stable"])
@pytest.mark.parametrize("lengths", [(LONG,), (16_000, LONG, 5_000)], ids=["alone", "padded"])
def test_every_block_gives_what_transformers_own_attention_gives(kind, lengths, tiny, speech):
    values, mask = batch(speech, *lengths)
    expected = blocks_outputs(own(tiny(kind)), values, mask)
    found = blocks_outputs(fused(tiny(kind)), values, mask)
    assert expected[0].shape[1] > _QUERIES
    for ours, theirs in zip(found, expected, strict=True):
        for row, length in enumerate(lengths):
            count = (length - 400) // 320 + 1
            assert (ours - theirs)[row, :count].abs().max() <= 1e-5 * theirs[row, :count].abs().max()


def test_the_bias_from_one_look_up_per_distance_is_the_library_s_own_to_the_bit(tiny):
    attention = own(tiny("wavlm-group")).encoder.layers[0].attention
    with torch.no_grad():
        for frames in (1, 2, 299):
            torch.testing.assert_close(
                _relative_bias(attention, frames), attention.compute_bias(frames, frames), rtol=0, atol=0
            )


def test_gradients_are_those_of_transformers_own_attention(tiny, speech):
    values, mask = batch(speech, 16_000, LONG)
    gradients = []
    for make in (own, fused):
        model = make(tiny("wavlm-group"))
        heard = model(values, attention_mask=mask).last_hidden_state[0, :49]  # the shorter, beside padding
        heard.square().sum().backward()
        gradients.append(
            {name: weight.grad for name, weight in model.encoder.layers.named_parameters()
             if weight.grad is not None}
        )  # fmt: skip
    theirs, ours = gradients
    assert theirs.keys() == ours.keys()
    for part in ("rel_attn_embed.weight", "gru_rel_pos_const", "gru_rel_pos_linear.weight", "q_proj.weight"):
        assert f"0.attention.{part}" in ours
    for name, gradient in theirs.items():
        # a key's bias moves all scores of a query alike, so its gradient is noise around zero
        allowed = 1e-4 * gradient.abs().max() if "k_proj.bias" not in name else 1e-2
        assert (ours[name] - gradient).abs().max() <= allowed, name


def test_a_library_that_computes_otherwise_is_refused(tiny, monkeypatch):
    model = own(tiny("wavlm-group"))
    kind = type(model.encoder.layers[0].attention)
    forward = kind.forward

    def halved(self, hidden_states, **more):
        output, *others = forward(self, hidden_states, **more)
        return (0.5 * output, *others)

    monkeypatch.setattr(kind, "forward", halved)
    with pytest.raises(LayersimError, match=r"computes WavLM's attention otherwise .*Install one that"):
        fuse_attention(model)


def test_provenance_names_the_attention_of_wavlm_and_leaves_other_families_as_they_were(tiny):
    assert load_encoder(str(tiny("wavlm-stable"))).describe()["attention"] == ATTENTION
    assert "attention" not in load_encoder(str(tiny("hubert-group"))).describe()


def test_other_instances_keep_their_own_attention(tiny, speech):
    folder = tiny("wavlm-group")
    before, encoder = own(folder), load_encoder(str(folder))
    assert "forward" in vars(encoder.body.blocks[0].attention)
    assert "forward" not in vars(before.encoder.layers[0].attention)
    wave = speech(16_000, 0)
    ours = encoder.encode([wave]).frames[-1].numpy()
    with torch.no_grad():
        theirs = before(torch.from_numpy(wave)[None]).last_hidden_state[0].numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())

"""wav2vec 2.0's own loss: what is hidden, among whom it is found again, how the sum is divided."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layersim.adaptation.finetune.pretext import PretextLoss, draw_distractors, draw_mask, load_pretext
from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    probability=st.floats(0.05, 1.0),
    frames=st.integers(1, 12),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_only_valid_frames_are_hidden_never_one_alone_and_distractors_are_others_of_the_row(
    counts, probability, frames, seed
):
    mask = draw_mask(counts, probability, frames, np.random.default_rng(seed))
    distractors = draw_distractors(mask, 7, np.random.default_rng(seed))
    for row, count in enumerate(counts):
        assert not mask[row, count:].any()
        hidden = set(np.flatnonzero(mask[row]).tolist())
        assert len(hidden) >= 2 if count > 1 else not hidden
        for frame in hidden:
            chosen = set((distractors[row, frame] - row * mask.shape[1]).tolist())
            assert chosen <= hidden - {frame}


def test_the_share_of_hidden_frames_is_that_of_the_pretraining():
    """wav2vec 2.0 begins a stretch of 10 at 6.5 % of the frames, which hides "about 49 %" of all."""
    mask = draw_mask([5_000] * 4, 0.65, 10, np.random.default_rng(0))
    assert abs(mask.mean() - 0.49) < 0.015


def test_every_other_hidden_frame_is_as_likely_a_distractor():
    mask = np.array([[True, False, True, True]])
    drawn = draw_distractors(mask, 3_000, np.random.default_rng(0))[0, 2]
    assert np.bincount(drawn, minlength=4)[[1, 2]].sum() == 0
    assert abs(np.mean(drawn == 0) - 0.5) < 0.05


def test_contrastive_and_diversity_equal_a_plain_loop(pretrained, make_tones):
    """In evaluation mode the codes are the nearest ones, so the loop can follow; waves of two lengths."""
    encoder = load_encoder(str(pretrained))
    body, model = copy.deepcopy((encoder.body, load_pretext(str(pretrained), encoder)))
    waves = [body.prepare(wave) for wave in make_tones(2, 4).waveforms]
    waves[1] = waves[1][:2_000]
    losses = {}
    for reduction in ("mean", "sum"):
        own = PretextLoss(model, body, 0.1, 0.5, 3, reduction)
        with torch.no_grad():
            losses[reduction] = own(waves, np.random.default_rng(6))
    loss, terms = losses["mean"]

    counts = [body.grid.count(len(wave)) for wave in waves]
    rng = np.random.default_rng(6)
    mask = draw_mask(counts, 0.5, 3, rng)
    distractors = draw_distractors(mask, 5, rng)  # the configuration's number
    values, codes, states = [], [], []
    with torch.no_grad():
        for row, wave in enumerate(waves):  # each alone: no padding anywhere
            hidden = torch.from_numpy(mask[row : row + 1, : counts[row]])
            output = model(torch.from_numpy(wave)[None], mask_time_indices=hidden)
            states.append(output.projected_states[0].numpy())
            codes.append(output.projected_quantized_states[0].numpy())
            features = model.wav2vec2(torch.from_numpy(wave)[None]).extract_features[0]
            values.append(model.quantizer.weight_proj(features).view(counts[row], 2, 4).argmax(-1).numpy())
    entropies, chosen = [], []
    for row, frame in np.argwhere(mask).tolist():
        others = (distractors[row, frame] - row * mask.shape[1]).tolist()
        truth = codes[row][frame]
        candidates = [truth] + [codes[row][k] for k in others if not np.array_equal(codes[row][k], truth)]
        similarities = [
            states[row][frame] @ code / np.linalg.norm(states[row][frame]) / np.linalg.norm(code) / 0.1
            for code in candidates
        ]
        entropies.append(-similarities[0] + math.log(sum(math.exp(value) for value in similarities)))
        chosen.append(values[row][frame])
    perplexity = 0.0
    for group in range(2):
        share = np.bincount([codebook[group] for codebook in chosen], minlength=4) / len(chosen)
        perplexity += math.exp(-sum(p * math.log(p) for p in share if p > 0))
    contrastive, diversity = sum(entropies) / len(entropies), (8 - perplexity) / 8
    assert terms["contrastive"] == pytest.approx(contrastive, rel=1e-3)
    assert terms["diversity"] == pytest.approx(diversity, rel=1e-4)
    assert float(loss) == pytest.approx(contrastive + 0.1 * diversity, rel=1e-3)
    assert float(losses["sum"][0]) == pytest.approx(float(loss) * mask.sum(), rel=1e-4)
    assert contrastive > 0.1


def test_frames_are_really_hidden_whatever_the_configuration_says_of_masking(pretrained, make_tones):
    """With apply_spec_augment off, transformers would leave them in sight and the task would be a copy."""
    encoder = load_encoder(str(pretrained))
    body, model = copy.deepcopy((encoder.body, load_pretext(str(pretrained), encoder)))
    model.wav2vec2.config.apply_spec_augment = False
    own = PretextLoss(model, body, 0.1, 0.5, 3)
    wave = body.prepare(make_tones(1, 4).waveforms[0])
    before = float(own([wave], np.random.default_rng(6))[0])
    with torch.no_grad():
        model.wav2vec2.masked_spec_embed.add_(3.0)
    assert float(own([wave], np.random.default_rng(6))[0]) != before


def test_a_wave_of_one_frame_has_no_loss(pretrained):
    encoder = load_encoder(str(pretrained))
    body, model = copy.deepcopy((encoder.body, load_pretext(str(pretrained), encoder)))
    loss, terms = PretextLoss(model, body, 0.1, 0.5, 3)([np.ones(400, np.float32)], np.random.default_rng(0))
    assert (float(loss), terms) == (0.0, {"contrastive": 0.0, "diversity": 0.0})


def test_the_quantiser_surrounds_the_very_encoder_and_others_are_refused(
    pretrained, folder_of, encoder_of, tmp_path
):
    encoder = load_encoder(str(pretrained))
    assert load_pretext(str(pretrained), encoder).get_submodule("wav2vec2") is encoder.body.model
    for family in ("hubert-group", "wavlm-group", "whisper"):
        with pytest.raises(LayersimError, match=r"is no wav2vec 2\.0 model.* Set beta = 0"):
            load_pretext(str(folder_of(family)), encoder_of(family))
    with pytest.raises(LayersimError, match=r"has no quantiser in its checkpoint .*Set beta = 0"):
        load_pretext(str(folder_of("wav2vec2-stable")), encoder_of("wav2vec2-stable"))
    with pytest.raises(LayersimError, match="is not the checkpoint that the encoder was loaded from"):
        load_pretext(str(folder_of("wav2vec2-stable")), encoder)
    config = json.loads((pretrained / "config.json").read_text())
    for file in ("model.safetensors", "preprocessor_config.json"):
        (tmp_path / file).write_bytes((pretrained / file).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({**config, "mask_time_prob": 0.0}))
    with pytest.raises(LayersimError, match="masks nothing"):
        load_pretext(str(tmp_path), load_encoder(str(tmp_path)))

from __future__ import annotations

import numpy as np
import torch
from safetensors.torch import load_file

from layersim.demo.encoder import BLOCKS, NAME, WIDTH, make_encoder
from layersim.encoders.load import load_encoder


def test_the_random_encoder_goes_through_the_ordinary_loader(tmp_path):
    encoder = load_encoder(str(make_encoder(tmp_path)))
    assert encoder.layers == tuple(str(layer) for layer in range(BLOCKS + 1))
    assert encoder.width == WIDTH
    states = encoder.encode([np.random.default_rng(0).standard_normal(16_000).astype(np.float32)])
    assert states.frames.shape == (BLOCKS + 1, 49, WIDTH)


def test_its_weights_are_the_same_each_time_and_leave_the_callers_randomness_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (load_file(make_encoder(tmp_path / name) / "model.safetensors") for name in ("a", "b"))
    assert torch.equal(torch.rand(3), expected)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_nobody_can_take_it_for_a_trained_model(tmp_path):
    folder = make_encoder(tmp_path)
    assert folder.name == NAME
    assert "random" in NAME
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "random weights, not a trained model" in text
    assert "never trained" in text


def test_saving_it_shows_nothing(tmp_path, capfd):
    make_encoder(tmp_path)
    assert capfd.readouterr() == ("", "")

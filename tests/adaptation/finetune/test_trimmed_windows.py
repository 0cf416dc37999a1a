"""Models are trained and applied with the windows that their features were made with."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from layersim.adaptation.distributed import ALONE
from layersim.adaptation.finetune.learn import encoder_loader
from layersim.adaptation.finetune.trainable import TrainableEncoder
from layersim.adaptation.predict import _load_encoder
from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError


@pytest.mark.parametrize("window", ["full", "trim"])
def test_a_model_s_encoder_is_loaded_with_the_windows_of_its_features(window, folder_of):
    folder = str(folder_of("whisper"))
    described = load_encoder(folder, whisper_window=window).describe()
    trained = SimpleNamespace(description=SimpleNamespace(encoder=described))
    for encoder in (_load_encoder(trained, folder, "cpu"), encoder_loader(folder, described, "cpu", ALONE)()):
        assert encoder.whisper_window == window
        assert encoder.describe() == described
    others = encoder_loader(folder, {**described, "weights_sha256": "0" * 64}, "cpu")
    with pytest.raises(LayersimError, match="are not those that the features were made with"):
        others()


def test_in_training_a_shorter_utterance_gets_the_gradients_it_has_alone(folder_of):
    """Also where blocks are computed again in the backward pass, after the mask's hooks are gone."""
    encoder = load_encoder(str(folder_of("whisper")), whisper_window="trim")
    rng = np.random.default_rng(0)
    waves = [0.1 * rng.standard_normal(samples).astype("float32") for samples in (5_000, 12_000)]
    gradients = []
    for checkpointing, batches in ((False, [[waves[0]], [waves[1]]]), (False, [waves]), (True, [waves])):
        hearing = TrainableEncoder(encoder, ["1", "3"], checkpointing=checkpointing)
        hearing.release(freeze_feature_extractor=False)
        hearing.train()
        for batch in batches:
            hearing(batch).square().sum().backward()
        gradients.append(
            {name: weight.grad for name, weight in hearing.trained().items() if weight.grad is not None}
        )
    alone, *together = gradients
    assert len(alone) > 20
    for found in together:
        assert found.keys() == alone.keys()
        for name, gradient in alone.items():
            torch.testing.assert_close(
                found[name], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max() + 1)
            )

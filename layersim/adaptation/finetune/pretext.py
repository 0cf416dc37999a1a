"""wav2vec 2.0's own training task beside the emotions: guess hidden frames among distractors.

``L_w2v = contrastive + α · diversity`` (Baevski et al. 2020, eq. 2). Stretches of a waveform's frames are
hidden; for each hidden frame, the transformer's output is to be nearest, by cosine over a temperature, to the
quantised code of what was there, among those of other hidden frames *of the same waveform*. The diversity
term falls as the codes in use become more even.

What is computed, and what no source says:

- The model is transformers' `Wav2Vec2ForPreTraining`, with the checkpoint's quantiser, number of distractors
  and temperatures. It gives both terms *summed* over the hidden frames of the batch (the diversity multiplied
  by their number). Here they are divided by that number, unless ``reduction`` is "sum". Tang et al. do not
  say which of the two their β weighs.
- The emotions are classified from a pass of its own, in which nothing is hidden: that is what the classifier
  meets afterwards, and 65 % hidden frames would change every statistic over time.
- Hidden stretches and distractors are drawn among valid frames alone, from a generator of the caller's
  (transformers draws them from numpy's global one).

References
----------
Baevski et al., "wav2vec 2.0", NeurIPS 2020. Tang et al., arXiv 2311.13678 (α = 0.1).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from layersim.adaptation.finetune.audio import Wave
from layersim.adaptation.finetune.settings import Reduction
from layersim.encoders.checkpoint import find_checkpoint
from layersim.encoders.encoder import Encoder
from layersim.encoders.exact import PaddingGuard
from layersim.encoders.families import Body
from layersim.encoders.load import quiet
from layersim.errors import LayersimError

INSIDE = "wav2vec2"  # the encoder's name within transformers' pretraining model
_HEADS = ("quantizer", "project_q", "project_hid", "wav2vec2.masked_spec_embed")


def load_pretext(checkpoint: str, encoder: Encoder) -> nn.Module:
    """Load the quantiser of a wav2vec 2.0 checkpoint around the encoder that was loaded from it.

    Parameters
    ----------
    checkpoint : str
        As `layersim.encoders.load.load_encoder`, of which ``encoder`` came.

    Returns
    -------
    Module
        `Wav2Vec2ForPreTraining` whose ``wav2vec2`` *is* ``encoder.body.model``.

    Raises
    ------
    LayersimError
        If the encoder is of another family, the checkpoint has no quantiser, or it is another one.
    """
    if encoder.model_type != "wav2vec2":
        raise LayersimError(without_quantiser(encoder, "is no wav2vec 2.0 model"))
    from transformers import Wav2Vec2ForPreTraining

    with quiet():
        found = find_checkpoint(checkpoint)
        if found.weights_sha256 != encoder.weights_sha256:
            raise LayersimError(
                f"{checkpoint}: is not the checkpoint that the encoder was loaded from "
                f"({encoder.checkpoint}). Name that one."
            )
        model, info = Wav2Vec2ForPreTraining.from_pretrained(
            str(found.folder), use_safetensors=True, dtype=torch.float32, output_loading_info=True,
            local_files_only=True,
        )  # fmt: skip
    if missing := sorted(key for key in info["missing_keys"] if key.startswith(_HEADS)):
        what = f"has no quantiser in its checkpoint (missing: {missing[0]}, ...; was it fine-tuned already?)"
        raise LayersimError(without_quantiser(encoder, what))
    if not hasattr(model.wav2vec2, "masked_spec_embed"):
        raise LayersimError(without_quantiser(encoder, "masks nothing (mask_time_prob is 0 in config.json)"))
    model.wav2vec2 = encoder.body.model
    model.requires_grad_(False)
    pretext: nn.Module = model.to(encoder.device).eval()
    return pretext


def without_quantiser(encoder: Encoder, what: str) -> str:
    """Say why an encoder has no such loss, and what to do."""
    return (
        f"{encoder.checkpoint} ({encoder.model_type}) {what}, so the loss contrastive + alpha · diversity "
        "cannot be had. Set beta = 0 in layersim.toml, table [train.wccn], or take a pretrained wav2vec 2.0 "
        "encoder such as facebook/wav2vec2-large-xlsr-53."
    )


class PretextLoss:
    """The loss of one batch of waveforms.

    Parameters
    ----------
    model : Wav2Vec2ForPreTraining
        Around ``body.model``.
    body : Body
    alpha : float, >= 0
        Weight of the diversity.
    mask_probability, mask_frames
        As `draw_mask`.
    reduction : "mean" or "sum"
        Over the hidden frames.
    """

    def __init__(
        self,
        model: nn.Module,
        body: Body,
        alpha: float,
        mask_probability: float,
        mask_frames: int,
        reduction: Reduction = "mean",
    ) -> None:
        self.model: Any = model
        self.body = body
        self.alpha = alpha
        self.mask_probability, self.mask_frames = mask_probability, mask_frames
        self.reduction = reduction
        inside: Any = self.model.wav2vec2
        inside.config.apply_spec_augment = True  # without it the model would leave hidden frames in sight
        self._guard = PaddingGuard(inside, body.grid)

    def __call__(self, waves: Sequence[Wave], rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Hide frames and compute the loss.

        Returns
        -------
        Tensor, shape ()
            0, without a gradient, if no waveform is long enough for a frame and a distractor to be hidden.
        dict
            ``contrastive`` and ``diversity``, each as it is in the loss, before alpha.
        """
        lengths = [len(wave) for wave in waves]
        mask = draw_mask(
            [self.body.grid.count(length) for length in lengths], self.mask_probability, self.mask_frames, rng
        )
        hidden = int(mask.sum())
        if not hidden:
            return torch.zeros((), device=self.model.device), {"contrastive": 0.0, "diversity": 0.0}
        values = np.zeros((len(waves), max(lengths)), dtype=np.float32)
        heard = np.zeros(values.shape, dtype=np.int64)
        for row, wave in enumerate(waves):
            values[row, : len(wave)], heard[row, : len(wave)] = wave, 1
        inputs = (values, heard, mask, draw_distractors(mask, self.model.config.num_negatives, rng))
        sound, attention, masked, distractors = (torch.from_numpy(x).to(self.model.device) for x in inputs)
        with self._guard.over(lengths), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
            output = self.model(
                sound,
                attention_mask=attention,
                mask_time_indices=masked,
                sampled_negative_indices=distractors,
            )
        share = 1 / hidden if self.reduction == "mean" else 1.0
        contrastive, diversity = output.contrastive_loss * share, output.diversity_loss * share
        terms = {"contrastive": float(contrastive.detach()), "diversity": float(diversity.detach())}
        return contrastive + self.alpha * diversity, terms


def draw_mask(
    counts: Sequence[int], probability: float, frames: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Choose the frames to hide, in stretches that may overlap.

    ``probability · count / frames`` stretches per row, rounded up or down at random, and at least one.

    Parameters
    ----------
    counts : sequence of int, length B
        Valid frames per row.
    probability : float, 0..1
        Share of the frames that would be hidden if no stretches overlapped.
    frames : int, >= 1
        Length of a stretch; at most half a row.

    Returns
    -------
    ndarray of bool, shape (B, max(counts))
        A row has none or at least two: one hidden frame has no distractor. A row of one frame has none.
    """
    mask = np.zeros((len(counts), max(counts)), dtype=bool)
    for row, count in enumerate(counts):
        length = max(1, min(frames, count // 2))
        number = max(1, int(probability * count / length + rng.random()))
        places = count - length + 1
        starts = rng.choice(places, min(number, places), replace=False)
        for start in starts.tolist():
            mask[row, start : start + length] = True
        if mask[row].sum() == 1:
            lone = int(mask[row].argmax())
            mask[row, lone + 1 if lone + 1 < count else lone - 1] = count > 1
        if count < 2:
            mask[row] = False
    return mask


def draw_distractors(
    mask: npt.NDArray[np.bool_], number: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Choose distractors for each hidden frame: other hidden frames of its own row, uniformly.

    Returns
    -------
    ndarray of int, shape (B, T, number)
        Places in a batch laid end to end (row · T + frame); 0 for frames that are not hidden.
    """
    rows, frames = mask.shape
    distractors = np.zeros((rows, frames, number), dtype=np.int64)
    for row in range(rows):
        hidden = np.flatnonzero(mask[row])
        if not len(hidden):
            continue
        drawn = rng.integers(0, len(hidden) - 1, size=(len(hidden), number))
        drawn += drawn >= np.arange(len(hidden))[:, None]  # skip the frame itself
        distractors[row, hidden] = hidden[drawn] + row * frames
    return distractors

"""Exact batching beside plain padded batching of the same model: its cost, and what plain padding gets wrong.

Plain: waves padded with zeros, the attention mask given, as transformers documents it. In group-norm models
that changes every frame: the norm after the first convolution counts the padding. Ours takes its statistics
over each utterance's own frames. Deviations are from the same utterance alone, the largest difference in the
last layer relative to its largest value; the worst utterance's.

On a GPU both copy their inputs there, in batches of 64 over 1 to 6 s.

Quick: about a minute on two cores. Full: about four.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor

from layersim.corpus.audio import SAMPLE_RATE
from layersim.encoders.encoder import Encoder
from layersim.encoders.load import load_encoder, quiet
from measure import Row, Scale, in_turns, speed_ratio
from networks import checkpoint, noise

MODELS = ("microsoft/wavlm-base-plus", "facebook/wav2vec2-base")
BATCH, GPU_BATCH = 8, 64
BAR = 0.95
EXACT = 1e-4  # DESIGN's bound


def measure(scale: Scale) -> list[Row]:
    """Measure all models."""
    rows = []
    if scale.cpu:
        waves = _waves(*((0.5, 1.5) if scale.quick else (1.0, 6.0)), BATCH)
        rows += [row for name in MODELS for row in _rows(name, waves, scale.rounds, "cpu")]
    if scale.gpu and torch.cuda.is_available():
        waves = _waves(1.0, 6.0, GPU_BATCH)
        rows += [row for name in MODELS for row in _rows(name, waves, scale.rounds, "cuda")]
    elif scale.gpu:
        rows.append(Row("batching", f"GPU, {GPU_BATCH} utterances", None, bar=BAR, note="no CUDA device"))
    return rows


def _waves(shortest: float, longest: float, count: int) -> list[Any]:
    return [noise(seconds, seed) for seed, seconds in enumerate(np.linspace(shortest, longest, count))]


def _rows(name: str, waves: Sequence[Any], rounds: int, device: str) -> list[Row]:
    with checkpoint(name) as folder:
        with quiet():
            own = transformers.AutoModel.from_pretrained(folder).eval().to(device)
        encoder = load_encoder(str(folder), device=device)
    lengths = [len(wave) for wave in waves]
    values = np.zeros((len(waves), max(lengths)), dtype=np.float32)
    for row, wave in enumerate(waves):
        values[row, : len(wave)] = encoder.body.prepare(wave)
    inputs = torch.from_numpy(values)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    plain: dict[str, Callable[[], Tensor]] = {"plain": lambda: _forward(own, inputs, mask)}
    if encoder.model_type == "wavlm":  # the same blocks as ours, so that the norm alone is compared
        plain["plain, our attention"] = lambda: _forward(encoder.body.model, inputs, mask)
    seconds = in_turns({"ours": lambda: _last(encoder.encode(waves).frames), **plain}, rounds)
    deviations = _deviations(encoder, waves, _forward(own, inputs, mask))
    audio = sum(lengths) / SAMPLE_RATE
    short = ("" if device == "cpu" else "GPU: ") + name.rpartition("/")[2]
    rows = [
        Row(
            "batching", f"{short}, {len(waves)} utterances of {min(lengths) / SAMPLE_RATE:g} to "
            f"{max(lengths) / SAMPLE_RATE:g} s, beside {reference}", bar=BAR,
            **speed_ratio(seconds, "ours", reference),
            figures={
                "ours audio s/s": audio / float(np.median(seconds["ours"])),
                "plain audio s/s": audio / float(np.median(seconds[reference])),
            },
        )
        for reference in plain
    ]  # fmt: skip
    rows.append(
        Row(
            "batching", f"{short}, deviation from each utterance alone", deviations["ours"], bar=EXACT,
            better="lower", figures={"plain deviates by": deviations["plain"]},
        )
    )  # fmt: skip
    return rows


def _forward(model: Any, inputs: Tensor, mask: Tensor) -> Tensor:
    with (
        torch.inference_mode(),
        torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
        return _last(model(inputs.to(model.device), attention_mask=mask.to(model.device)).last_hidden_state)


def _last(states: Tensor) -> Tensor:
    """Wait for a GPU to have computed them."""
    if states.is_cuda:
        torch.cuda.synchronize()
    return states


def _deviations(encoder: Encoder, waves: Sequence[Any], plain: Tensor) -> dict[str, float]:
    """The base models have no norm after the last block: its output is the model's own."""
    together = encoder.encode(waves)
    worst = {"ours": 0.0, "plain": 0.0}
    for row, ours in enumerate(torch.split(together.frames[-1], together.counts)):
        alone = encoder.encode([waves[row]]).frames[-1]
        for name, values in (("ours", ours), ("plain", plain[row, : len(alone)])):
            difference = float((values - alone).abs().max() / alone.abs().max())
            worst[name] = max(worst[name], difference)
    return worst

"""Exact batching beside plain padded batching of the same model: its cost, and what plain padding gets wrong.

Plain: waves padded with zeros, the attention mask given, as transformers documents it. In group-norm models
that changes every frame: the norm after the first convolution counts the padding. Ours takes its statistics
over each utterance's own frames. Deviations are from the same utterance alone, the largest difference in the
last layer relative to its largest value; the worst utterance's.

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
BATCH = 8
BAR = 0.95
EXACT = 1e-4  # DESIGN's bound


def measure(scale: Scale) -> list[Row]:
    """Measure all models."""
    shortest, longest = (0.5, 1.5) if scale.quick else (1.0, 6.0)
    waves = [noise(seconds, seed) for seed, seconds in enumerate(np.linspace(shortest, longest, BATCH))]
    return [row for name in MODELS for row in _rows(name, waves, scale.rounds)]


def _rows(name: str, waves: Sequence[Any], rounds: int) -> list[Row]:
    with checkpoint(name) as folder:
        with quiet():
            own = transformers.AutoModel.from_pretrained(folder).eval()
        encoder = load_encoder(str(folder))
    lengths = [len(wave) for wave in waves]
    values = np.zeros((len(waves), max(lengths)), dtype=np.float32)
    for row, wave in enumerate(waves):
        values[row, : len(wave)] = encoder.body.prepare(wave)
    inputs = torch.from_numpy(values)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    plain: dict[str, Callable[[], Tensor]] = {"plain": lambda: _forward(own, inputs, mask)}
    if encoder.model_type == "wavlm":  # the same blocks as ours, so that the norm alone is compared
        plain["plain, our attention"] = lambda: _forward(encoder.body.model, inputs, mask)
    seconds = in_turns({"ours": lambda: encoder.encode(waves), **plain}, rounds)
    deviations = _deviations(encoder, waves, _forward(own, inputs, mask))
    audio = sum(lengths) / SAMPLE_RATE
    short = name.rpartition("/")[2]
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
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
        last: Tensor = model(inputs, attention_mask=mask).last_hidden_state
    return last


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

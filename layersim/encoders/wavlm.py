"""WavLM's attention by torch's fused kernels.

transformers computes WavLM's attention eagerly: it repeats the position bias for every utterance, and keeps
the scores, their softmax, and its mean over heads. All that it adds to plain attention is a *gated relative
position bias* on the scores, which `scaled_dot_product_attention` takes as a mask::

    softmax(q k / sqrt(d) + gate * bias) v

``gate`` (batch, heads, T, 1) follows from the hidden states, ``bias`` (heads, T, T) from the distance of two
frames; the first block owns it and hands it on. The sums are the same, in another order: results differ from
transformers' own in the last digits of float32. They are differentiable, and go by way of the projections, so
that adapters on those are heard.

References
----------
Chen et al., "WavLM: Large-Scale Self-Supervised Pre-Training for Full Stack Speech Processing", IEEE Journal
of Selected Topics in Signal Processing 16 (6), 2022.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from layersim.corpus.audio import SAMPLE_RATE
from layersim.errors import LayersimError

ATTENTION = "fused, gated position bias as its mask"
"""For provenance: caches made by transformers' own attention differ in the last digits."""

_TOLERANCE = 1e-4  # relative to the largest value: what the self-check at load allows too
_QUERIES = 256  # at a time: the gated bias of that many stays in the cache, and of all need not be held


def fuse_attention(model: Any) -> None:
    """Replace the attention of one loaded WavLM, if that gives what the model itself gives.

    Parameters
    ----------
    model : transformers WavLMModel
        In evaluation mode.

    Raises
    ------
    LayersimError
        If the model's last hidden states change: this transformers computes WavLM otherwise.
    """
    sound = torch.linspace(-1, 1, SAMPLE_RATE // 5)[None]
    with torch.inference_mode():
        before = model(sound).last_hidden_state
        for block in model.encoder.layers:
            block.attention.forward = MethodType(_attend, block.attention)
        after = model(sound).last_hidden_state
    difference = float((after - before).abs().max() / before.abs().max().clamp_min(1e-12))
    if not difference <= _TOLERANCE:
        raise LayersimError(
            f"{model.config.name_or_path}: this version of transformers computes WavLM's attention otherwise "
            f"(relative difference {difference:.1e}, allowed {_TOLERANCE:.0e}). Install one that layersim is "
            "tested with."
        )


def _attend(
    self: Any,
    hidden_states: Tensor,
    attention_mask: Tensor | None = None,
    position_bias: Tensor | None = None,
    **_unused: Any,
) -> tuple[Tensor, None, Tensor]:
    """`WavLMAttention.forward`: (B, T, D) in and out; the bias (heads, T, T) is for the next block."""
    batch, frames, width = hidden_states.shape
    bias = _relative_bias(self, frames) if position_bias is None else position_bias
    query, key, value = (
        project(hidden_states).view(batch, frames, self.num_heads, self.head_dim).transpose(1, 2)
        for project in (self.q_proj, self.k_proj, self.v_proj)
    )  # (B, heads, T, d)
    gate = _gate(self, hidden_states)
    padding = torch.zeros((batch, 1, 1, frames), dtype=bias.dtype, device=bias.device)
    if attention_mask is not None:
        padding = padding.masked_fill(attention_mask.ne(1)[:, None, None, :], float("-inf"))
    mixed = []
    for start in range(0, frames, _QUERIES):
        some = slice(start, start + _QUERIES)
        gated = torch.addcmul(padding, gate[:, :, some], bias[:, some])  # (B, heads, queries, T)
        mixed.append(
            nn.functional.scaled_dot_product_attention(
                query[:, :, some], key, value,
                attn_mask=gated.to(query.dtype), dropout_p=self.dropout if self.training else 0.0,
            )
        )  # fmt: skip
    heads = torch.cat(mixed, dim=2).transpose(1, 2).reshape(batch, frames, width)
    return self.out_proj(heads), None, bias


def _relative_bias(self: Any, frames: int) -> Tensor:
    """What `WavLMAttention.compute_bias` gives, from one look-up per distance: (heads, T, T)."""
    distances = torch.arange(1 - frames, frames, device=self.rel_attn_embed.weight.device)  # key - query
    values = self.rel_attn_embed(self._relative_positions_bucket(distances))  # (2T - 1, heads)
    # a window of T distances per query: the first query's begins with distance 0, the last's ends with it
    bias: Tensor = values.T.contiguous().unfold(1, frames, 1).flip(1)
    return bias


def _gate(self: Any, hidden_states: Tensor) -> Tensor:
    """How much of the bias each query takes, per head: (B, heads, T, 1)."""
    batch, frames, _ = hidden_states.shape
    parts = hidden_states.view(batch, frames, self.num_heads, self.head_dim).transpose(1, 2)
    sums = self.gru_rel_pos_linear(parts).view(batch, self.num_heads, frames, 2, 4).sum(-1)
    update, reset = torch.sigmoid(sums).chunk(2, dim=-1)
    gate: Tensor = update * (reset * self.gru_rel_pos_const - 1.0) + 2.0
    return gate

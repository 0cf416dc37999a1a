"""Low-rank adapters on the attention of the blocks below the highest anchor, by `peft`.

A projection's weight W becomes ``W + (alpha / rank) · B A`` with A (rank, in) and B (out, rank); B begins at
zero, so training begins at the checkpoint. W itself never changes: `merged_weights` adds up into new tensors.

References
----------
Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from layersim.adaptation.finetune.settings import FinetuneConfig
from layersim.adaptation.finetune.trainable import TrainableEncoder
from layersim.errors import LayersimError

ADAPTER = "default"
# The attention's query, key, value and output, by config.model_type; what is not here is named as most are.
TARGETS = {
    "wav2vec2-conformer": ("linear_q", "linear_k", "linear_v", "linear_out"),
    "wav2vec2-bert": ("linear_q", "linear_k", "linear_v", "linear_out"),
}
USUAL_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj")


def add_lora(encoder: TrainableEncoder, config: FinetuneConfig) -> tuple[str, ...]:
    """Put adapters into the blocks up to the highest layer in use; they alone are trained.

    Initial values of A are drawn from torch's random numbers.

    Returns
    -------
    tuple of str
        The names of the modules that got one.

    Raises
    ------
    LayersimError
        If peft is not installed, no layer above 0 is in use, or a block has no linear module of the names
        asked for.
    """
    peft = _import_peft()
    model: Any = encoder.model
    wanted = config.lora_targets or TARGETS.get(model.config.model_type, USUAL_TARGETS)
    names = _find_targets(encoder, wanted)
    settings = peft.LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(names),
        bias="none",
    )
    peft.inject_adapter_in_model(settings, model, adapter_name=ADAPTER)
    for name, weight in model.named_parameters():
        weight.requires_grad_(".lora_" in name)
    return names


def merged_weights(encoder: TrainableEncoder) -> dict[str, Tensor]:
    """Return all weights of the model under the checkpoint's own names, adapters added in.

    The model stays as it is, to the byte: nothing is added to a weight in place and taken off again.
    """
    weights = dict(encoder.model.state_dict())
    for name, module in encoder.model.named_modules():
        if not _has_adapter(module):
            continue
        with torch.no_grad():
            key = f"{name}.base_layer.weight"
            weights[key] = weights[key] + module.get_delta_weight(ADAPTER)
    return {
        name.replace(".base_layer.", "."): weight.detach()
        for name, weight in weights.items()
        if ".lora_" not in name
    }


def require_reached(encoder: TrainableEncoder) -> None:
    """After the first backward pass: refuse adapters that the model does not listen to.

    A model may read a projection's weight without calling the projection; then its adapter has no say and no
    gradient, and nothing else would show it.

    Raises
    ------
    LayersimError
    """
    deaf = sorted(
        name.partition(".lora_")[0]
        for name, weight in encoder.trained().items()
        if ".lora_B." in name and (weight.grad is None or not weight.grad.any())
    )
    if deaf:
        raise LayersimError(
            f"no gradient reaches the adapters of {', '.join(deaf[:4])}{', ...' if len(deaf) > 4 else ''}: "
            "this model does not compute with them. Name other modules in lora_targets, or train it whole: "
            "full in place of lora."
        )


def _import_peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise LayersimError(
            f"lora needs peft, which cannot be imported ({error}). Install it: pip install "
            "'layersim[finetune]'; or train the encoder whole: full in place of lora."
        ) from error
    return peft


def _find_targets(encoder: TrainableEncoder, wanted: Sequence[str]) -> tuple[str, ...]:
    model: Any = encoder.model
    own = {module: name for name, module in model.named_modules()}
    found, linear = [], set[str]()
    for block in encoder.body.blocks[: encoder.top]:
        for name, module in block.named_modules():
            if not isinstance(module, nn.Linear):
                continue
            last = name.rpartition(".")[2]
            linear.add(last)
            if last in wanted:
                found.append(f"{own[block]}.{name}")
    if not encoder.top:
        raise LayersimError(
            "layer 0 is what enters the first block, so adapters in blocks cannot change it. Anchor a higher "
            "layer, or train the encoder whole: full in place of lora."
        )
    missing = [target for target in wanted if not any(name.endswith(f".{target}") for name in found)]
    if missing:
        raise LayersimError(
            f"a block of this {model.config.model_type!r} model has no linear module {', '.join(missing)}. "
            f"Name some of {', '.join(sorted(linear))} in lora_targets."
        )
    return tuple(found)


def _has_adapter(module: Any) -> bool:
    return hasattr(module, "get_delta_weight") and ADAPTER in getattr(module, "lora_A", {})

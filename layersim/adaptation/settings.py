"""The settings of training: what the papers state, and what they leave open.

`TrainConfig` is the table ``[train]`` of ``layersim.toml``. A method with settings of its own has a
`MethodConfig` in its module and the table ``[train.NAME]``; what both have (`NetworkConfig`) is taken from
``[train]`` where the method's table does not say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from layersim.adaptation.anchors import parse_anchors
from layersim.adaptation.coral import Form
from layersim.errors import LayersimError
from layersim.settings import StageConfig, setting

LAYER_ANCHORING = "Upadhyay et al. 2024, layer anchoring"

Standardise = Literal["corpus", "speaker", "source"]
Mode = Literal["full", "lora"]  # of training the encoder itself


class BalancedConfig(StageConfig):
    """What everything that learns from labels shares."""

    class_weights: Literal["balanced", "none"] = setting(
        "balanced",
        "cross-entropy weight per class: balanced = N / (C · N_c) over the source's train split "
        "(not in source)",
    )


class NetworkConfig(BalancedConfig):
    """What every small network on cached features is trained with."""

    epochs: int = setting(100, "most passes over the source's train split (not in source)", ge=1)
    patience: int = setting(
        20,
        "epochs without a better source validation UAR (or the same UAR at a lower validation "
        "cross-entropy) after which a run ends (not in source)",
        ge=1,
    )
    batch: int = setting(
        64,
        "utterances per step from each corpus; as many as both train splits have where they are smaller "
        "(not in source)",
        ge=2,
    )
    optimiser: Literal["adamw"] = setting("adamw", "AdamW (not in source)")
    learning_rate: float = setting(1e-3, "AdamW step size (not in source)", gt=0, allow_inf_nan=False)
    weight_decay: float = setting(1e-2, "AdamW decay (not in source)", ge=0, allow_inf_nan=False)
    projection: int = setting(
        128, "dimensions of each layer's projection, where layers are tied (not in source)", ge=1
    )
    dropout: float = setting(
        0.3, "share of projected features dropped in training (not in source)", ge=0, lt=1
    )


class MethodConfig(StageConfig):
    """One method's own settings: ``section`` is ``train.NAME``; what no source states is marked so.

    A preset holds values that the method's source states, and nothing else.
    """

    paper: ClassVar[str]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    unstated: ClassVar[str] = "default (not in source)"


class BalancedMethodConfig(MethodConfig, BalancedConfig):
    """A method without epochs."""


class NetworkMethodConfig(MethodConfig, NetworkConfig):
    """A method that trains a network."""


class TrainConfig(NetworkConfig):
    """What `layersim.adaptation.train` can be told; a field without a paper is layersim's own choice."""

    section: ClassVar[str] = "train"
    subtables: ClassVar[bool] = True
    # What the layer-anchoring paper states. These are the defaults too: the preset only says so of `la`.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"anchors": "auto", "coral": "frobenius"}}

    anchors: str = setting(
        "auto",
        "la: layers to anchor. auto (the ranking's Group), best, worst, each also with :phoneme or "
        ":label-free; all; random:SEED (as many as a Group has); or a list such as 8,9,11",
        paper=LAYER_ANCHORING,
    )
    methods: tuple[str, ...] = setting(
        ("cc", "cc-std", "la"),
        "names of layersim.adaptation.methods.METHODS, each with an argument (la:best) or +self-train where "
        "wanted. cc: top layer, source only. cc-std: the same, each corpus standardised by itself. la: layer "
        "anchoring",
        min_length=1,
    )
    gamma: float = setting(
        0.1, "la: weight of the summed CORAL losses, no unit (not in source)", ge=0, allow_inf_nan=False
    )
    coral: Form = setting(
        "frobenius",
        "la: frobenius = ||Cs - Ct||_F as the anchoring paper writes it; squared = ||Cs - Ct||_F^2 / (4 D^2) "
        "of Deep CORAL",
        paper=LAYER_ANCHORING,
    )
    standardise: Standardise = setting(
        "corpus",
        "la: corpus = each corpus by its own unlabelled train statistics; speaker = each speaker by their "
        "own unlabelled utterances; source = both by the source's, the plain form (not in source)",
    )
    emotions: tuple[str, ...] | None = setting(
        None, "classes to tell apart; none given: all that both corpora have"
    )
    seeds: int = setting(5, "runs per method, each with a seed of its own (not in source)", ge=1)
    seed: int = setting(0, "seed of the first run; the others count up", ge=0)
    bootstraps: int = setting(1000, "speaker bootstrap replicates of an interval (not in source)", ge=100)

    @field_validator("anchors")
    @classmethod
    def _anchors_can_be_read(cls, anchors: str) -> str:
        try:
            parse_anchors(anchors)
        except LayersimError as error:
            raise ValueError(str(error)) from None
        return anchors

    @field_validator("methods", "emotions")
    @classmethod
    def _each_once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None and len(set(names)) < len(names):
            raise ValueError(f"each may stand once, got {', '.join(names)}")
        return names

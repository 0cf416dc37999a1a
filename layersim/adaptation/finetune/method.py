"""What ``--finetune`` makes of a method: which ones can, under which settings, and what they are called.

Layer anchoring takes its settings from ``[train.finetune]``. Deep-WCCN has its own in ``[train.wccn]``,
presets included, and takes from ``[train.finetune]`` what concerns the encoder (`OF_THE_ENCODER`).
A flag of all methods, such as ``--epochs``, counts as one of ``[train.finetune]``; the table ``[train]`` does
not, since it is meant for small networks on cached features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from pydantic import create_model

from layersim.adaptation.finetune.settings import FinetuneConfig
from layersim.adaptation.method import Method, OwnSettings, refuse_unknown_flags
from layersim.adaptation.methods import FINETUNE_SUFFIXES, METHODS, MethodRequest
from layersim.adaptation.settings import TrainConfig
from layersim.adaptation.wccn import WccnConfig
from layersim.errors import UsageError
from layersim.settings import FLAG, Settings, resolve_settings

OF_THE_ENCODER = (
    "epochs", "patience", "accumulate", "mode", "freeze_feature_extractor", "mask_probability", "mask_frames",
    "reduction", "checkpointing", "precision",
)  # fmt: skip


class _OfTwoTables(WccnConfig):
    @classmethod
    def section_of(cls, name: str) -> str:
        """Return the table of a setting: what concerns the encoder stands in ``[train.finetune]``."""
        return FinetuneConfig.section if name in OF_THE_ENCODER else cls.section


WccnFinetuneConfig = cast(
    "type[WccnConfig]",
    create_model(
        "WccnFinetuneConfig",
        __base__=_OfTwoTables,
        __doc__="Settings of Deep-WCCN end to end: its own, and those of `OF_THE_ENCODER`.",
        **cast(
            "dict[str, Any]",
            {
                name: (FinetuneConfig.model_fields[name].annotation, FinetuneConfig.model_fields[name])
                for name in OF_THE_ENCODER
            },
        ),
    ),
)


def refuse_others(requests: Sequence[MethodRequest], mode: str) -> None:
    """Refuse methods that cannot train the encoder in this mode.

    Raises
    ------
    UsageError
        Naming those that can.
    """
    unable = [one for one in requests if mode not in one.definition.finetune_modes or one.self_trained]
    if unable and mode in FINETUNE_SUFFIXES:  # an unknown mode is the settings' to refuse
        able = [name for name, definition in METHODS.items() if mode in definition.finetune_modes]
        elsewhere = sorted({other for one in unable for other in one.definition.finetune_modes})
        advice = f"Use --finetune {elsewhere[0]}" if elsewhere else "Run the others without --finetune"
        raise UsageError(
            f"--finetune {mode}: {', '.join(one.word for one in unable)} cannot train the encoder so; "
            f"{' and '.join(able)} can. {advice}."
        )


def finetune_method(
    method: Method,
    settings: Settings[TrainConfig],
    own: OwnSettings,
    mode: str,
    asked_by: str = "user (--finetune)",
) -> Method:
    """Turn a method on cached features into the one that trains the encoder.

    Parameters
    ----------
    method : Method
        Of a name that has this mode among its definition's ``finetune_modes``.
    mode : "full" or "lora"
    asked_by : str
        Where the mode comes from, for ``run.json``.

    Raises
    ------
    LayersimError
        If a setting is wrong.
    """
    resolved = resolve_finetune(settings, own, mode)
    finetune = Settings(resolved.config, {**resolved.origins, "mode": asked_by})
    suffix = f"-finetune-{mode}"
    named = replace(
        method, name=method.name + suffix, folder=method.folder + suffix, finetune=finetune.config.mode
    )
    if method.name == "la":
        return replace(named, settings=finetune, standardise=finetune.config.standardise)
    taken = {name: getattr(finetune.config, name) for name in OF_THE_ENCODER}
    values = {**method.settings.config.model_dump(), **taken}
    origins = {**method.settings.origins, **{name: finetune.origins[name] for name in OF_THE_ENCODER}}
    return replace(
        named, settings=Settings(WccnFinetuneConfig.model_validate(values), origins), standardise=None
    )


def resolve_finetune(
    settings: Settings[TrainConfig], own: OwnSettings, mode: str
) -> Settings[FinetuneConfig]:
    """Resolve ``[train.finetune]``: ``--set finetune.KEY``, flags of all methods, the table, the defaults.

    Raises
    ------
    LayersimError
        If a key is unknown or a value not allowed.
    """
    refuse_unknown_flags(own, FinetuneConfig)
    flags = {
        name: getattr(settings.config, name)
        for name, origin in settings.origins.items()
        if origin == FLAG and name in FinetuneConfig.model_fields
    }
    flags |= {**own.flags.get("finetune", {}), "mode": mode}
    return resolve_settings(FinetuneConfig, flags, own.tables.get("finetune"))


def encoder_settings(config: WccnConfig) -> FinetuneConfig:
    """Return what a `WccnFinetuneConfig` says of the encoder, all else as by default."""
    return FinetuneConfig(**{name: getattr(config, name) for name in OF_THE_ENCODER})

"""A method spelt out for the layers at hand, with its settings and where each comes from."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from layersim.adaptation.anchors import Anchors, parse_anchors
from layersim.adaptation.checkpoint import Checkpoint
from layersim.adaptation.distributed import ALONE, Processes
from layersim.adaptation.methods import METHODS, SUFFIX, Definition, parse_method
from layersim.adaptation.self_training import SelfTrainingConfig, self_train
from layersim.adaptation.settings import MethodConfig, Mode, NetworkConfig, Standardise, TrainConfig
from layersim.adaptation.task import Learned, Task
from layersim.errors import LayersimError, UsageError
from layersim.settings import Settings, refuse_unknown, resolve_settings
from layersim.workspace import Progress, no_progress


@dataclass(frozen=True)
class OwnSettings:
    """What was said of single methods' settings: tables ``[train.NAME]``, flags ``--set NAME.KEY=VALUE``.

    Methods that share their settings (``dann``, ``dann-conv1d``, ``dann-resnet50``) share a table, named in
    `layersim.adaptation.method_list`; what is said under a method's own name goes before it.
    """

    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    flags: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    preset: str | None = None

    def of_variant(self, name: str, config: type[MethodConfig]) -> OwnSettings:
        """Put what was said of one method by its name into the table that its settings have."""
        shared = table_of(config)
        if name == shared:
            return self
        tables, flags = (
            {**said, shared: {**said.get(shared, {}), **said.get(name, {})}}
            for said in (self.tables, self.flags)
        )
        return OwnSettings(tables, flags, self.preset)


@dataclass(frozen=True)
class Method:
    """One way to train, spelt out for the layers at hand.

    Attributes
    ----------
    folder : str
        Its folder's name; of layer anchoring with the anchors in it.
    layers : tuple of str
        The layers that it reads; of layer anchoring also those that are anchored. None of acoustic features.
    standardise : "corpus", "speaker" or "source", or None
        Each corpus by its own unlabelled train statistics, each speaker by their own, or all by the source's.
        None: each recording by itself, as Deep-WCCN end to end does.
    settings : Settings
        Of the method's configuration.
    self_training : Settings, optional
        Of the pseudo-labels, where they are asked for.
    finetune : "full" or "lora", optional
        How the encoder itself is trained; see `layersim.adaptation.finetune.method`.
    """

    word: str
    name: str
    folder: str
    layers: tuple[str, ...]
    standardise: Standardise | None
    definition: Definition
    settings: Settings[Any]
    anchors: Anchors | None = None
    self_training: Settings[SelfTrainingConfig] | None = None
    finetune: Mode | None = None

    @property
    def coral(self) -> bool:
        """Whether the corpora's covariances are compared in the loss."""
        return self.definition.coral

    def learn(
        self,
        task: Task,
        seed: int,
        progress: Progress = no_progress,
        *,
        kept: Checkpoint | None = None,
        processes: Processes = ALONE,
    ) -> Learned:
        """Train on a task.

        Parameters
        ----------
        kept : Checkpoint, optional
            Where a method that trains a network keeps its epochs, so that a killed training goes on.
        processes : Processes
            Those that call this alike; more than one only for a method that is `Definition.shared`.
        """
        config, trainings = self.settings.config, itertools.count(1)

        def once(task: Task, seed: int, progress: Progress) -> Learned:
            number, more = next(trainings), dict[str, Any]()
            if isinstance(config, NetworkConfig):
                more["kept"] = kept and kept.numbered(number)
            if self.definition.shared:
                more["processes"] = processes
            return self.definition.learn(task, config, seed, progress, **more)

        if self.self_training is None:
            return once(task, seed, progress)
        return self_train(once, task, seed, self.self_training.config, progress)


def top_layer(layers: Sequence[str]) -> str:
    """Return the last encoder block; of a decoder-only cache, the last decoder block.

    >>> top_layer(["0", "1", "2", "d1", "d2"]), top_layer(["d1", "d2"])
    ('2', 'd2')
    """
    frame_layers = [layer for layer in layers if not layer.startswith("d")]
    return (frame_layers or list(layers))[-1]


def define_method(
    word: str,
    layers: Sequence[str],
    settings: Settings[TrainConfig],
    choose: Callable[[str], Anchors] | None = None,
    own: OwnSettings | None = None,
) -> Method:
    """Spell out a method on features for the layers at hand.

    One that trains the encoder itself: `layersim.adaptation.finetune.method.finetune_method`.

    Parameters
    ----------
    layers : sequence of str
        Those of the encoder's features, in order; may be empty for a method on acoustic features.
    choose : callable, optional
        Turns a word such as ``auto`` into anchors; needed by ``la``.
    own : OwnSettings, optional
        What was said of methods' own settings.

    Raises
    ------
    LayersimError
        If the word cannot be read, a layer is not there, or a setting is wrong.
    """
    request = parse_method(word)
    if request.finetune is not None:
        raise ValueError(f"word: expected a method on features, got {word!r}")
    definition, own = request.definition, own or OwnSettings()
    _require_known(own)
    folder = request.word.replace(":", "-").replace(",", "-")
    anchors = None
    if definition.layers == "anchors":
        if choose is None:
            raise ValueError(f"choose: method {request.name!r} needs anchors, got None")
        anchors = choose(request.argument or definition.anchors or settings.config.anchors)
        folder = f"{request.name}-{parse_anchors(anchors.asked).slug}" + SUFFIX * request.self_trained
        read = anchors.layers
    elif definition.layers == "all":
        read = tuple(layer for layer in layers if layer != "0")
    elif definition.layers == "none":
        read = ()
    else:
        read = (request.argument or top_layer(layers),)
        if read[0] not in layers:
            raise LayersimError(
                f"methods: {word!r}: layer {read[0]} is not in the features; they have {', '.join(layers)}."
            )
    return Method(
        request.word,
        request.name,
        folder,
        read,
        definition.standardise or settings.config.standardise,
        definition,
        _settings_of(request.name, settings, own),
        anchors,
        _resolve(SelfTrainingConfig, settings, own) if request.self_trained else None,
    )


def _settings_of(name: str, settings: Settings[TrainConfig], own: OwnSettings) -> Settings[Any]:
    definition = METHODS[name]
    if definition.config is TrainConfig:
        return settings
    config = cast("type[MethodConfig]", definition.config)
    return _resolve(config, settings, own.of_variant(name, config), definition.fixed)


def _resolve(
    model: type[MethodConfig],
    settings: Settings[TrainConfig],
    own: OwnSettings,
    fixed: Mapping[str, Any] | None = None,
) -> Settings[Any]:
    """Resolve a method's settings: its name's, then flags, its table, its preset, what ``[train]`` says."""
    name = table_of(model)
    common = settings.config.model_dump()
    said = {  # by the user, of all methods: in [train] or by a flag
        field: (common[field], origin)
        for field, origin in settings.origins.items()
        if field in model.model_fields and field != "optimiser" and origin.startswith("user")
    }
    preset = None
    if own.preset in model.presets:
        preset = f"paper: {model.paper} (preset {own.preset})", model.presets[cast("str", own.preset)]
    refuse_unknown_flags(own, model)
    resolved = resolve_settings(model, own.flags.get(name), own.tables.get(name), preset=preset)
    values, origins = resolved.config.model_dump(), dict(resolved.origins)
    for field_name, (value, origin) in said.items():
        if not origins[field_name].startswith(("user", "paper")):
            values[field_name], origins[field_name] = value, origin
    for field_name, value in (fixed or {}).items():
        values[field_name], origins[field_name] = value, "the method's name"
    return Settings(model.model_validate(values), origins)


def table_of(model: type[MethodConfig]) -> str:
    """Return NAME of a configuration's table ``[train.NAME]``."""
    return model.section.removeprefix("train.")


def preset_notes(words: Iterable[str], preset: str | None) -> list[str]:
    """Say which methods a preset does not bear on, since their sources state nothing under that name."""
    lacking = [word for word in words if preset and preset not in parse_method(word).definition.presets]
    if not lacking:
        return []
    return [f"preset {preset}: {', '.join(lacking)} have none and keep their settings."]


def _require_known(own: OwnSettings) -> None:
    """Refuse tables, flags and presets of methods that there are not.

    Raises
    ------
    LayersimError
        For a table of ``layersim.toml``; for a flag a `UsageError`.
    """
    configs: list[type[MethodConfig]] = [
        one.config for one in METHODS.values() if issubclass(one.config, MethodConfig)
    ]
    configs.append(SelfTrainingConfig)
    own_names = {name for name, one in METHODS.items() if issubclass(one.config, MethodConfig)}
    tables = {table_of(config) for config in configs} | own_names | {"finetune"}
    refuse_unknown(own.tables, tables, "layersim.toml, table [train]")
    presets = {name for config in configs for name in config.presets}
    try:
        refuse_unknown(own.flags, tables, "--set")
        refuse_unknown([own.preset] if own.preset else [], presets, "--preset")
    except LayersimError as error:
        raise UsageError(str(error)) from None


def refuse_unknown_flags(own: OwnSettings, model: type[MethodConfig]) -> None:
    """Refuse ``--set NAME.KEY`` of a key that a method's configuration does not have.

    Raises
    ------
    UsageError
    """
    name = table_of(model)
    try:
        refuse_unknown(own.flags.get(name, {}), model.model_fields, f"--set {name}")
    except LayersimError as error:
        raise UsageError(str(error)) from None

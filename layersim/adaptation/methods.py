"""The methods by name: what each reads, by whose statistics it is standardised, and how it learns.

A word such as ``la:best+self-train`` is a method's name, an argument that some methods take, and
``+self-train`` where pseudo-labels of the target are to be added. What a name stands for is one line of
`METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from layersim.adaptation.anchored import learn_anchored
from layersim.adaptation.anchors import Anchors, parse_anchors
from layersim.adaptation.class_alignment import ClassAlignmentConfig, learn_class_aligned
from layersim.adaptation.dann.learn import learn_dann
from layersim.adaptation.dann.settings import DannConfig
from layersim.adaptation.ensemble import EnsembleConfig, learn_ensemble
from layersim.adaptation.fewshot import FewshotConfig, learn_fewshot
from layersim.adaptation.finetune.settings import Mode
from layersim.adaptation.forest import ForestConfig, learn_forest
from layersim.adaptation.linear_probe import ProbeConfig, learn_probe
from layersim.adaptation.phonetic import PhoneticConfig, learn_phonetic
from layersim.adaptation.self_training import SelfTrainingConfig, self_train
from layersim.adaptation.settings import MethodConfig, Standardise, TrainConfig
from layersim.adaptation.task import Learned, Task
from layersim.adaptation.wccn import WccnConfig, learn_wccn
from layersim.errors import LayersimError, UsageError
from layersim.settings import Settings, refuse_unknown, resolve_settings
from layersim.workspace import Progress, no_progress

Inputs = Literal["encoder", "egemaps", "emobase", "sequences"]
Layers = Literal["top", "all", "anchors", "argument", "none"]
Learn = Callable[..., Learned]

SELF_TRAINING = "self-train"
SUFFIX = f"+{SELF_TRAINING}"


@dataclass(frozen=True)
class Definition:
    """What a method's name stands for.

    Attributes
    ----------
    says : str
        One line for people.
    learn : callable
        ``(task, config, seed, progress) -> Learned``.
    config : type
        Its settings; `TrainConfig`, the table ``[train]``, or a `MethodConfig` with a table of its own.
    layers : str
        Which layers it reads: ``argument`` those named after the colon, else the top one.
    standardise : str or None
        By whose statistics; None: by the setting ``standardise``.
    fixed : mapping
        Settings that the name fixes.
    inputs : str
        ``encoder``: an encoder's cache; else the set of acoustic features.
    vowels : bool
        Whether it compares vowel segments.
    coral : bool
        Whether the setting ``gamma`` bears on it.
    anchors : str, optional
        Which anchors it takes unless told others; None: the setting ``anchors``.
    seeded : bool
        Whether a seed bears on it; a comparison runs a method once on which none does.
    supervised : bool
        Whether it learns from the target's own labelled train split: an upper row, no transfer.
    """

    says: str
    learn: Learn
    config: type[TrainConfig] | type[MethodConfig]
    layers: Layers
    standardise: Standardise | None = "corpus"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    inputs: Inputs = "encoder"
    vowels: bool = False
    coral: bool = False
    anchors: str | None = None
    seeded: bool = True
    supervised: bool = False


def _classify(task: Task, config: TrainConfig, seed: int, progress: Progress) -> Learned:
    return learn_anchored(task, config, seed, progress, with_target=False)


METHODS: dict[str, Definition] = {
    "cc": Definition("top layer, source only", _classify, TrainConfig, "top", "source"),
    "cc-std": Definition("top layer, each corpus standardised", _classify, TrainConfig, "top"),
    "cc-std-all": Definition("all layers, each corpus standardised", _classify, TrainConfig, "all"),
    "cc-spk": Definition("top layer, each speaker standardised", _classify, TrainConfig, "top", "speaker"),
    "cc-spk-all": Definition(
        "all layers, each speaker standardised", _classify, TrainConfig, "all", "speaker"
    ),
    "probe": Definition(
        "logistic regression on one layer", learn_probe, ProbeConfig, "argument", seeded=False
    ),
    "la": Definition("layer anchoring", learn_anchored, TrainConfig, "anchors", None, coral=True),
    "la-class": Definition(
        "layer anchoring by classes, no label of the target", learn_class_aligned, ClassAlignmentConfig,
        "anchors", "speaker", anchors="auto:label-free", seeded=False,
    ),
    "pa": Definition(
        "phonetic anchoring, top layer", learn_phonetic, PhoneticConfig, "top",
        fixed={"layers_use": "top"}, vowels=True,
    ),
    "pa-avg": Definition(
        "phonetic anchoring, layers averaged", learn_phonetic, PhoneticConfig, "all",
        fixed={"layers_use": "average"}, vowels=True,
    ),
    "pa-atn": Definition(
        "phonetic anchoring, attention over layers", learn_phonetic, PhoneticConfig, "all",
        fixed={"layers_use": "attention"}, vowels=True,
    ),
    "ensemble": Definition(
        "majority vote of SVM, forest and tree", learn_ensemble, EnsembleConfig, "top", "source"
    ),
    "ensemble-egemaps": Definition(
        "majority vote on eGeMAPS", learn_ensemble, EnsembleConfig, "none", inputs="egemaps"
    ),
    "fewshot": Definition(
        "episodes on the source, adapted without labels", learn_fewshot, FewshotConfig, "top"
    ),
    "dann": Definition(
        "gradient reversal on the top layer", learn_dann, DannConfig, "top", fixed={"encoder": "features"}
    ),
    "dann-conv1d": Definition(
        "gradient reversal, 1-D CNN on acoustic sequences", learn_dann, DannConfig, "none",
        fixed={"encoder": "conv1d"}, inputs="sequences",
    ),
    "dann-resnet50": Definition(
        "gradient reversal, ResNet-50 on acoustic planes", learn_dann, DannConfig, "none",
        fixed={"encoder": "resnet50"}, inputs="sequences",
    ),
    "wccn": Definition("Deep-WCCN, top layer", learn_wccn, WccnConfig, "top"),
    "wccn-off": Definition(
        "the same network without Deep-WCCN", learn_wccn, WccnConfig, "top", fixed={"whitening": False}
    ),
    "supervised": Definition(
        "all layers, labelled target", _classify, TrainConfig, "all", supervised=True
    ),
    "supervised-conv1d": Definition(
        "1-D CNN on acoustic sequences, labelled target", learn_dann, DannConfig, "none",
        fixed={"encoder": "conv1d", "adversarial": False}, inputs="sequences", supervised=True,
    ),
}  # fmt: skip
_FUNCTIONALS: tuple[Inputs, ...] = ("egemaps", "emobase")
for _set in _FUNCTIONALS:
    for _suffix, _whitened in (("", False), ("-wccn", True)):
        METHODS[f"{_set}-rf{_suffix}"] = Definition(
            f"forest on {_set}" + (", whitened within classes" if _whitened else ""),
            learn_forest, ForestConfig, "none", fixed={"wccn": _whitened}, inputs=_set,
        )  # fmt: skip


@dataclass(frozen=True)
class MethodRequest:
    """A method's word, taken apart."""

    word: str
    name: str
    argument: str | None
    self_trained: bool

    @property
    def definition(self) -> Definition:
        """What the name stands for."""
        return METHODS[self.name]


def parse_method(word: str) -> MethodRequest:
    """Read a method's word.

    Raises
    ------
    LayersimError
        If the name is unknown, or the argument is not one that the method takes.

    >>> parse_method("la:best+self-train")
    MethodRequest(word='la:best+self-train', name='la', argument='best', self_trained=True)
    >>> parse_method("self-train").word  # by itself: on the standardised layers
    'cc-std-all+self-train'
    """
    text = "".join(word.split())
    if text == SELF_TRAINING:
        text = f"cc-std-all{SUFFIX}"
    bare = text.removesuffix(SUFFIX)
    name, colon, argument = bare.partition(":")
    refuse_unknown([name], METHODS, "methods")
    definition = METHODS[name]
    if colon:
        if definition.layers == "anchors":
            parse_anchors(argument)
        elif definition.layers != "argument" or not argument:
            raise LayersimError(
                f"methods: {word!r}: {name} takes nothing after a colon. la and probe do: la:best, probe:3."
            )
    return MethodRequest(text, name, argument or None, bare != text)


def full_word(word: str, anchors: str) -> str:
    """Write a method's word with its anchors, and without spaces: one word for one thing.

    Parameters
    ----------
    anchors : str
        The setting ``anchors``, for methods that have none of their own.

    >>> full_word("la+self-train", "best"), full_word("la-class", "best"), full_word("cc", "best")
    ('la:best+self-train', 'la-class:auto:label-free', 'cc')
    """
    request = parse_method(word)
    argument = request.argument
    if request.definition.layers == "anchors":
        argument = parse_anchors(argument or request.definition.anchors or anchors).text
    return request.name + (f":{argument}" if argument else "") + SUFFIX * request.self_trained


@dataclass(frozen=True)
class OwnSettings:
    """What was said of single methods' settings: tables ``[train.NAME]``, flags ``--set NAME.KEY=VALUE``."""

    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    flags: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    preset: str | None = None


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

    def learn(self, task: Task, seed: int, progress: Progress = no_progress) -> Learned:
        """Train on a task."""

        def once(task: Task, seed: int, progress: Progress) -> Learned:
            return self.definition.learn(task, self.settings.config, seed, progress)

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
    """Spell out a method for the layers at hand.

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
        _settings_of(definition, settings, own),
        anchors,
        _resolve(SelfTrainingConfig, settings, own) if request.self_trained else None,
    )


def _settings_of(definition: Definition, settings: Settings[TrainConfig], own: OwnSettings) -> Settings[Any]:
    if definition.config is TrainConfig:
        return settings
    return _resolve(cast("type[MethodConfig]", definition.config), settings, own, definition.fixed)


def _resolve(
    model: type[MethodConfig],
    settings: Settings[TrainConfig],
    own: OwnSettings,
    fixed: Mapping[str, Any] | None = None,
) -> Settings[Any]:
    """Resolve a method's settings: its name's, then flags, its table, its preset, what ``[train]`` says."""
    name = model.section.removeprefix("train.")
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
    tables = {config.section.removeprefix("train.") for config in configs} | {"finetune"}
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
    name = model.section.removeprefix("train.")
    try:
        refuse_unknown(own.flags.get(name, {}), model.model_fields, f"--set {name}")
    except LayersimError as error:
        raise UsageError(str(error)) from None


@dataclass(frozen=True)
class MethodList:
    """All methods, for people and programs."""

    def to_json(self) -> dict[str, Any]:
        """Return every method with its settings: default, meaning, and the paper that states it."""
        return {name: self._describe(definition) for name, definition in METHODS.items()}

    def _describe(self, definition: Definition) -> dict[str, Any]:
        own = issubclass(definition.config, MethodConfig)
        return {
            "says": definition.says,
            "reads": definition.inputs if definition.layers == "none" else f"layers: {definition.layers}",
            "standardise": definition.standardise or "standardise",
            "table": definition.config.section,
            "fixed": dict(definition.fixed),
            "presets": sorted(definition.config.presets)
            if issubclass(definition.config, MethodConfig)
            else [],
            "settings": resolve_settings(definition.config).as_rows() if own else [],
        }

    def to_table(self) -> str:
        """Return a line per method, then how words are put together."""
        rows = [["method", "what", "reads", "statistics of", "own settings", "presets"]]
        for name, one in self.to_json().items():
            table = one["table"] if one["settings"] else "train"
            rows.append(
                [
                    name,
                    one["says"],
                    one["reads"],
                    one["standardise"],
                    f"[{table}]",
                    ", ".join(one["presets"]) or "-",
                ]
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join(
            [
                *lines,
                "",
                "la takes its anchors after a colon: la:auto, la:best, la:8,9,11; probe a layer: probe:3.",
                f"{SUFFIX} after any of them adds pseudo-labels of the target: la:auto{SUFFIX}.",
                "la and wccn train the encoder itself with --finetune full, la also with --finetune lora; "
                "their settings are in [train.finetune] too.",
            ]
        )


def describe_methods() -> MethodList:
    """List all methods."""
    return MethodList()

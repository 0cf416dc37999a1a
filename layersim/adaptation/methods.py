"""The methods by name: what each reads, by whose statistics it is standardised, and how it learns.

A word such as ``la:best+self-train`` is a method's name, an argument that some methods take, and
``+self-train`` where pseudo-labels of the target are to be added, or ``+finetune-full`` or ``+finetune-lora``
where the encoder itself is to be trained. What a name stands for is one line of `METHODS`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from layersim.adaptation.anchored import learn_anchored
from layersim.adaptation.anchors import parse_anchors
from layersim.adaptation.class_alignment import ClassAlignmentConfig, learn_class_aligned
from layersim.adaptation.dann.learn import learn_dann
from layersim.adaptation.dann.settings import DannConfig
from layersim.adaptation.ensemble import EnsembleConfig, learn_ensemble
from layersim.adaptation.fewshot import FewshotConfig, learn_fewshot
from layersim.adaptation.forest import ForestConfig, learn_forest
from layersim.adaptation.linear_probe import ProbeConfig, learn_probe
from layersim.adaptation.phonetic import PhoneticConfig, learn_phonetic
from layersim.adaptation.settings import MethodConfig, Mode, Standardise, TrainConfig
from layersim.adaptation.task import Learned
from layersim.adaptation.wccn import WccnConfig, learn_wccn
from layersim.errors import LayersimError
from layersim.settings import refuse_unknown

Inputs = Literal["encoder", "egemaps", "emobase", "sequences"]
Layers = Literal["top", "all", "anchors", "argument", "none"]
Learn = Callable[..., Learned]

SELF_TRAINING = "self-train"
SUFFIX = f"+{SELF_TRAINING}"
FINETUNE_SUFFIXES: dict[Mode, str] = {"full": "+finetune-full", "lora": "+finetune-lora"}


@dataclass(frozen=True)
class Definition:
    """What a method's name stands for.

    Attributes
    ----------
    says : str
        One line for people.
    learn : callable
        ``(task, config, seed, progress) -> Learned``; where the configuration is a `NetworkConfig` with a
        keyword ``kept``, a `Checkpoint` or None.
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
    finetune_modes : tuple of "full" and "lora"
        The ways in which it can train the encoder itself (`layersim.adaptation.finetune`).
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
    finetune_modes: tuple[Mode, ...] = ()

    @property
    def shared(self) -> bool:
        """Whether several processes can share its batches: ``learn`` has a keyword ``processes`` then."""
        return self.config is TrainConfig

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """What its source states, by the preset's name; a method without a source has none."""
        if self.config is TrainConfig and not self.coral:
            return {}
        return self.config.presets


_classify = functools.partial(learn_anchored, with_target=False)


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
    "la": Definition(
        "layer anchoring", learn_anchored, TrainConfig, "anchors", None, coral=True,
        finetune_modes=("full", "lora"),
    ),
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
    "wccn": Definition("Deep-WCCN, top layer", learn_wccn, WccnConfig, "top", finetune_modes=("full",)),
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
    self_trained: bool = False
    finetune: Mode | None = None

    @property
    def definition(self) -> Definition:
        """What the name stands for."""
        return METHODS[self.name]

    @property
    def suffix(self) -> str:
        """What the word says after name and argument."""
        return SUFFIX * self.self_trained + (FINETUNE_SUFFIXES[self.finetune] if self.finetune else "")

    def with_finetuning(self, mode: Mode) -> MethodRequest:
        """Return the same method with the encoder itself trained.

        Raises
        ------
        LayersimError
            If the method cannot.
        """
        if mode not in self.definition.finetune_modes:
            so = f" so ({mode})" if self.definition.finetune_modes else ""
            raise LayersimError(
                f"methods: {self.name}: cannot train the encoder itself{so}. These can: "
                f"{', '.join(FINETUNED_WORDS)}."
            )
        return replace(self, word=f"{self.word}{FINETUNE_SUFFIXES[mode]}", finetune=mode)


FINETUNED_WORDS = tuple(
    f"{name}{FINETUNE_SUFFIXES[mode]}"
    for name, definition in METHODS.items()
    for mode in definition.finetune_modes
)
"""Words of the methods that can train the encoder, without an argument."""


def parse_method(word: str) -> MethodRequest:
    """Read a method's word.

    Raises
    ------
    LayersimError
        If the name is unknown, the argument is not one that the method takes, or the method cannot train the
        encoder so.

    >>> parse_method("la:best+self-train")
    MethodRequest(word='la:best+self-train', name='la', argument='best', self_trained=True, finetune=None)
    >>> parse_method("la+finetune-lora").finetune
    'lora'
    >>> parse_method("self-train").word  # by itself: on the standardised layers
    'cc-std-all+self-train'
    """
    text = "".join(word.split())
    if text == SELF_TRAINING:
        text = f"cc-std-all{SUFFIX}"
    bare, _, ending = text.partition("+")
    if ending or text.endswith("+"):
        endings = {SUFFIX: None, **{suffix: mode for mode, suffix in FINETUNE_SUFFIXES.items()}}
        if f"+{ending}" not in endings:
            raise LayersimError(
                f"methods: {word!r}: '+{ending}' is not known. A word may end in one of {', '.join(endings)}."
            )
        if (mode := endings[f"+{ending}"]) is not None:
            return parse_method(bare).with_finetuning(mode)
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
    return request.name + (f":{argument}" if argument else "") + request.suffix

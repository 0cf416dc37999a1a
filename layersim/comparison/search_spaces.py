"""Which settings a search tries for each method, and between which ends.

`SPACES` has the default space of every method's settings, in one place; ``KEY=LOW:HIGH[:log]``, ``KEY=A|B|C``
and ``KEY=VALUE`` replace an entry of it, add one, or fix one.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tomlkit
from pydantic import ValidationError
from tomlkit.exceptions import TOMLKitError

from layersim.adaptation.class_alignment import ClassAlignmentConfig
from layersim.adaptation.dann.settings import DannConfig
from layersim.adaptation.ensemble import EnsembleConfig
from layersim.adaptation.fewshot import FewshotConfig
from layersim.adaptation.forest import ForestConfig
from layersim.adaptation.linear_probe import ProbeConfig
from layersim.adaptation.method import Method
from layersim.adaptation.phonetic import PhoneticConfig
from layersim.adaptation.settings import TrainConfig
from layersim.adaptation.wccn import WccnConfig
from layersim.errors import LayersimError
from layersim.settings import FLAG, StageConfig, refuse_unknown

DIGITS = 4  # a setting is tried with so many: more would be noise in layersim.toml


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included.

    Attributes
    ----------
    log : bool
        Whether all magnitudes are tried alike.
    whole : bool
        Whole numbers only.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    @property
    def ends(self) -> tuple[float, float]:
        """What a configuration must allow, so that it allows all."""
        return self.low, self.high

    def rounded(self, value: float) -> float:
        """Cut a value to `DIGITS`, within the ends."""
        if self.whole:
            return int(value)
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}" + ", log" * self.log


@dataclass(frozen=True)
class Choice:
    """Some values, none nearer to another than the rest; one alone is fixed."""

    values: tuple[Any, ...]

    def __contains__(self, value: object) -> bool:
        return value in self.values

    @property
    def ends(self) -> tuple[Any, ...]:
        """What a configuration must allow."""
        return self.values

    def rounded(self, value: Any) -> Any:
        """Leave a value as it is."""
        return value

    def __str__(self) -> str:
        return " or ".join(map(str, self.values))


Dimension = Range | Choice
Space = Mapping[str, Dimension]

_NETWORK: dict[str, Dimension] = {
    "learning_rate": Range(1e-4, 1e-2, log=True),
    "weight_decay": Range(1e-5, 1e-1, log=True),
    "dropout": Range(0.0, 0.6),
}
_PROJECTION: dict[str, Dimension] = {"projection": Choice((32, 64, 128, 256))}

SPACES: dict[type[StageConfig], dict[str, Dimension]] = {
    TrainConfig: {**_NETWORK, **_PROJECTION, "gamma": Range(1e-3, 10.0, log=True)},
    WccnConfig: {  # alpha, beta and crop_seconds are of fine-tuning only, which is not searched
        **_NETWORK,
        "smoothing": Range(0.0, 1.0),
        "embedding": Choice((64, 128, 192, 256)),
    },
    DannConfig: {
        **_NETWORK,
        **_PROJECTION,
        "lambda_end": Range(0.03, 3.0, log=True),
        "domain_hidden": Choice((32, 64, 128)),
    },
    PhoneticConfig: {
        **_NETWORK,
        **_PROJECTION,
        "weight": Range(1e-2, 10.0, log=True),
        "margin": Range(0.05, 1.0),
        "temperature": Range(0.03, 1.0, log=True),
        "attention_rate": Range(1.0, 100.0, log=True),
    },
    FewshotConfig: {
        **_NETWORK,
        **_PROJECTION,
        "embedding": Choice((32, 64, 128)),
        "temperature": Range(0.1, 10.0, log=True),
        "gamma": Range(1e-3, 10.0, log=True),
    },
    EnsembleConfig: {
        "kernel": Choice(("linear", "rbf")),
        "penalty": Range(1e-3, 1e2, log=True),
        "leaf": Range(1, 20, whole=True),
    },
    ForestConfig: {"depth": Range(2, 12, whole=True), "smoothing": Range(0.0, 1.0)},
    ClassAlignmentConfig: {
        "components": Choice((50, 100, 200, 400)),
        "shrinkage": Range(0.05, 1.0),
        "balance": Range(0.0, 1.0),
        "weight": Range(0.1, 10.0, log=True),
    },
    ProbeConfig: {},  # chooses its one setting by the source's validation split itself
}

# A setting that means something only while another has one of these values.
ONLY_WITH: dict[type[StageConfig], dict[str, tuple[str, tuple[Any, ...]]]] = {
    WccnConfig: {"smoothing": ("whitening", (True,))},
    DannConfig: {
        "projection": ("encoder", ("features", "conv1d")),
        "lambda_end": ("adversarial", (True,)),
        "domain_hidden": ("adversarial", (True,)),
    },
    PhoneticConfig: {
        "margin": ("loss", ("triplet",)),
        "temperature": ("loss", ("contrastive",)),
        "attention_rate": ("layers_use", ("attention",)),
    },
    ForestConfig: {"smoothing": ("wccn", (True,))},
}

# What a search does not vary: what is read, and how often and on what a method is scored.
_NOT_SEARCHED = ("anchors", "methods", "standardise", "emotions", "seeds", "seed", "bootstraps")


def search_space(method: Method, words: Sequence[str] = ()) -> dict[str, Dimension]:
    """Return what is tried for a method: its default space, with what was asked for.

    A setting that was given by a flag, or that the method's name fixes, is left as it is; one that means
    nothing to the method as it is set is left out.

    Parameters
    ----------
    words : sequence of str
        ``KEY=LOW:HIGH[:log]``, ``KEY=A|B|C`` or ``KEY=VALUE``.

    Raises
    ------
    LayersimError
        If a word cannot be read, names a setting that the method does not have or that cannot be searched, or
        a value that it does not allow; if nothing is left to try.
    """
    config, origins = method.settings.config, method.settings.origins
    model, fixed = type(config), method.definition.fixed
    asked: dict[str, Dimension] = {}
    for word in words:
        name, dimension = parse_dimension(word, model)
        if name in asked:
            raise LayersimError(f"space: {name} is given twice.")
        if name in fixed:
            raise LayersimError(f"space: {word!r}: the name {method.name} fixes {name} = {fixed[name]}.")
        asked[name] = dimension
    kept = {name for name, origin in origins.items() if origin == FLAG} | set(fixed)
    if model is TrainConfig and not method.coral:
        kept.add("gamma")
    space = {name: one for name, one in SPACES[model].items() if name not in kept} | asked
    for name, (other, values) in ONLY_WITH.get(model, {}).items():
        possible = space[other].ends if other in space else (getattr(config, other),)
        if name in space and name not in asked and not set(possible) & set(values):
            del space[name]
    for name, dimension in space.items():
        for value in dimension.ends:
            _require_allowed(config, name, value)
    if all(isinstance(one, Choice) and len(one.values) == 1 for one in space.values()):
        raise LayersimError(
            f"{method.word}: there is nothing to try. Name settings of [{model.section}]: "
            "--space KEY=LOW:HIGH."
        )
    return space


def parse_dimension(word: str, model: type[StageConfig]) -> tuple[str, Dimension]:
    """Read ``KEY=LOW:HIGH``, ``KEY=LOW:HIGH:log``, ``KEY=A|B|C`` or ``KEY=VALUE``.

    Raises
    ------
    LayersimError
        If it is of another form, the key is no setting of the method, or the range is none.

    >>> parse_dimension("gamma=0.01:1:log", TrainConfig)
    ('gamma', Range(low=0.01, high=1.0, log=True, whole=False))
    >>> parse_dimension("projection=32|64", TrainConfig)
    ('projection', Choice(values=(32, 64)))
    """
    name, equals, text = "".join(word.split()).partition("=")
    if not (name and equals and text):
        raise _unreadable(word)
    refuse_unknown([name], [key for key in model.model_fields if key not in _NOT_SEARCHED], "space")
    if "|" in text or ":" not in text:
        values = tuple(_value(part) for part in text.split("|"))
        if any(not isinstance(value, int | float | str) or value == "" for value in values):
            raise _unreadable(word)
        if len(set(values)) < len(values):
            raise LayersimError(f"space: {word!r} names a value twice.")
        return name, Choice(values)
    first, last, *rest = text.split(":")
    try:
        low, high = float(first), float(last)
    except ValueError:
        raise _unreadable(word) from None
    if rest not in ([], ["log"]) or not (math.isfinite(low) and math.isfinite(high)):
        raise _unreadable(word)
    if not low < high or (rest and low <= 0):
        above = ", and above 0 for log" * bool(rest)
        raise LayersimError(f"space: {word!r}: expected LOW below HIGH{above}.")
    annotation = model.model_fields[name].annotation
    if int not in (annotation, *typing.get_args(annotation)):
        return name, Range(low, high, log=bool(rest))
    if not (low.is_integer() and high.is_integer()):
        raise LayersimError(f"space: {word!r}: {name} is a whole number.")
    return name, Range(int(low), int(high), log=bool(rest), whole=True)


def _unreadable(word: str) -> LayersimError:
    return LayersimError(
        f"space: {word!r} cannot be read. Write KEY=LOW:HIGH, KEY=LOW:HIGH:log, KEY=A|B|C, or KEY=VALUE to "
        "fix it."
    )


def _value(text: str) -> Any:
    """Read a value as TOML has it, else as a plain word."""
    try:
        return tomlkit.value(text).unwrap()
    except TOMLKitError:
        return text


def _require_allowed(config: StageConfig, name: str, value: Any) -> None:
    try:
        type(config).model_validate({**config.model_dump(), name: value})
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise LayersimError(f"space: {name} = {value!r} is not allowed: {said}.") from None

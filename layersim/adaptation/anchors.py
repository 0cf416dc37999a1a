"""Which layers are anchored: read from words such as ``auto`` or ``8,9,11`` and from a ranking.

Conventions
-----------
- A layer is named as in the cache: ``"1"`` .. ``"L"``, ``"d1"`` .. for Whisper's decoder blocks. Chosen
  layers are listed in the cache's order, whatever order they were given or ranked in.
- ``auto`` is the ranking's Group; ``auto``, ``best`` and ``worst`` read the utterance-level ranking of the
  pair and encoder, ``auto:phoneme`` .. the phoneme-level one, ``auto:label-free`` .. the label-free one.
  Where only the phoneme-level ranking was made, plain ``auto``, ``best`` and ``worst`` take that one, and say
  so; the label-free one is taken only by its name.
- Layer 0 is taken only when it is listed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from layersim.documents import require_form
from layersim.errors import LayersimError, StageMissingError
from layersim.similarity.ranking import set_size
from layersim.workspace import files_sha256, read_json

Kind = Literal["utterance", "phoneme", "phoneme-label-free"]
_KINDS: dict[str, Kind] = {
    "utterance": "utterance",
    "phoneme": "phoneme",
    "label-free": "phoneme-label-free",
}  # word -> folder
_FLAGS: dict[Kind, str] = {
    "utterance": "",
    "phoneme": " --level phoneme",
    "phoneme-label-free": " --label-free",
}
_NAMES: dict[Kind, str] = {
    "utterance": "utterance-level",
    "phoneme": "phoneme-level",
    "phoneme-label-free": "label-free",
}
_SETS = {"auto": "group", "best": "best", "worst": "worst"}  # word -> key of ranking.json
_RANKING = {  # form of what is read of it beside the layers
    "metric": (str, None, ...),
    "features": (str, None, ...),
    "emotions": ([str], None, ...),
    "resolved": (bool, None, ...),
}
_FORMS = (
    "auto, best, worst (each also with :phoneme or :label-free), all, random:SEED, or a list of layers such "
    "as 8,9,11"
)


@dataclass(frozen=True)
class AnchorRequest:
    """What the word asks for; exactly one of ``ranked``, ``everything``, ``seed`` and ``layers`` is set."""

    text: str
    ranked: str | None = None  # key of ranking.json
    kind: Kind = "utterance"
    either_level: bool = False  # no level was named: the other one will do where this one is missing
    everything: bool = False
    seed: int | None = None
    layers: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """Name it in a folder's name.

        >>> parse_anchors("random:3").slug, parse_anchors("8, 9,11").slug
        ('random-3', '8-9-11')
        """
        return "-".join(self.layers) or self.text.replace(":", "-")


@dataclass(frozen=True)
class Anchors:
    """The chosen layers and where the choice comes from."""

    asked: str
    layers: tuple[str, ...]
    said: str  # one sentence for people
    ranking: dict[str, Any] | None = None  # file, sha256, level, label_free, metric, features, emotions, ...
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"asked": self.asked, "layers": list(self.layers), "said": self.said, "ranking": self.ranking}


def parse_anchors(text: str) -> AnchorRequest:
    """Read what ``--anchors`` was given.

    Raises
    ------
    LayersimError
        If it is none of the known forms, or names a layer twice.

    >>> parse_anchors("auto:label-free").kind, parse_anchors("8,d1").layers
    ('phoneme-label-free', ('8', 'd1'))
    """
    word = "".join(text.split())
    if word == "all":
        return AnchorRequest(word, everything=True)
    if match := re.fullmatch(r"(auto|best|worst)(?::(utterance|phoneme|label-free))?", word):
        return AnchorRequest(
            word.removesuffix(":utterance"),
            ranked=_SETS[match[1]],
            kind=_KINDS[match[2] or "utterance"],
            either_level=match[2] is None,
        )
    if match := re.fullmatch(r"random:(\d+)", word):
        return AnchorRequest(word, seed=int(match[1]))
    if re.fullmatch(r"d?\d+(,d?\d+)*", word):
        layers = tuple(word.split(","))
        if len(set(layers)) < len(layers):
            raise LayersimError(f"anchors {text!r}: a layer stands twice. List each once.")
        return AnchorRequest(word, layers=layers)
    raise LayersimError(f"anchors {text!r} cannot be read. Known: {_FORMS}.")


def choose_anchors(text: str, layers: Sequence[str], ranking_file: Callable[[Kind], Path]) -> Anchors:
    """Turn what ``--anchors`` was given into layers.

    Parameters
    ----------
    text : str
        See `parse_anchors`.
    layers : sequence of str
        Those of the features, in order.
    ranking_file : callable
        Gives the pair's ``ranking.json`` for ``"utterance"``, ``"phoneme"`` or ``"phoneme-label-free"``;
        read only where a ranking is asked for.

    Raises
    ------
    StageMissingError
        If a ranking is asked for and there is none.
    LayersimError
        If the word cannot be read, the ranking is broken, or a layer is not in the features.
    """
    request = parse_anchors(text)
    if request.ranked is not None:
        file = ranking_file(request.kind)
        if not file.is_file() and request.either_level and ranking_file("phoneme").is_file():
            request, file = replace(request, kind="phoneme"), ranking_file("phoneme")
        return _ranked(request, layers, file)
    candidates = [layer for layer in layers if layer != "0"]
    if request.everything:
        return Anchors(request.text, tuple(candidates), f"all {len(candidates)} layers but 0")
    if request.seed is not None:
        count = set_size(len(candidates))  # as many as a Group has, so that the two compare
        drawn = np.random.default_rng(request.seed).choice(len(candidates), size=count, replace=False)
        chosen = tuple(candidates[index] for index in sorted(drawn.tolist()))
        return Anchors(request.text, chosen, f"{count} layers drawn with seed {request.seed}")
    return Anchors(request.text, _in_order(request.layers, layers, f"anchors {text!r}"), "as listed")


def _ranked(request: AnchorRequest, layers: Sequence[str], file: Path) -> Anchors:
    if not file.is_file():
        raise StageMissingError(
            f"{file}: there is no ranking for --anchors {request.text}. Run "
            f"'layersim rank{_FLAGS[request.kind]}' first "
            "(for the same pair and encoder), or name the layers: --anchors 8,9,11."
        )
    ranking = read_json(file)
    require_form(ranking, _RANKING, str(file), "Run 'layersim rank' again.")
    named = ranking.get(request.ranked or "")
    if isinstance(named, str):
        named = [named]
    if not isinstance(named, list) or not named or not all(isinstance(layer, str) for layer in named):
        raise LayersimError(
            f"{file}: {request.ranked!r} must list layer names, found {named!r}. Run 'layersim rank' again."
        )
    notes, name = [], _NAMES[request.kind]
    if ranking.get("resolved") is False:
        notes.append(
            f"the {name} ranking does not resolve its cut: the intervals of layers inside and "
            "outside the Group overlap"
        )
    return Anchors(
        asked=request.text,
        layers=_in_order(named, layers, str(file)),
        said=f"{request.ranked} of the {name} ranking "
        f"({ranking.get('metric')}, {ranking.get('features')} features)",
        ranking={
            "file": str(file),
            "sha256": files_sha256([file]),
            "level": "utterance" if request.kind == "utterance" else "phoneme",
            "label_free": request.kind == "phoneme-label-free",
            "set": request.ranked,
            **{key: ranking.get(key) for key in ("metric", "features", "emotions", "resolved")},
        },
        notes=tuple(notes),
    )


def _in_order(named: Sequence[str], layers: Sequence[str], where: str) -> tuple[str, ...]:
    strange = [layer for layer in named if layer not in layers]
    if strange:
        raise LayersimError(
            f"{where}: layer {', '.join(strange)} is not in the features (they have {', '.join(layers)}). "
            "Name others, or extract with the stack that has them."
        )
    return tuple(layer for layer in layers if layer in named)

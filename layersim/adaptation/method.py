"""The methods: which layers each reads, by whose statistics features are standardised, whether CORAL acts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layersim.adaptation.anchors import Anchors, parse_anchors
from layersim.adaptation.settings import MethodName, Standardise, TrainConfig


@dataclass(frozen=True)
class Method:
    """One way to train.

    Attributes
    ----------
    folder : str
        Its folder's name; of layer anchoring with the anchors in it.
    layers : tuple of str
        The layers that the classifier reads; with ``coral`` also those that are anchored.
    standardise : "corpus" or "source"
        Each corpus by its own unlabelled train statistics, or both by the source's.
    coral : bool
        Whether the unlabelled target takes part in the loss.
    """

    name: MethodName
    folder: str
    layers: tuple[str, ...]
    standardise: Standardise
    coral: bool


def top_layer(layers: Sequence[str]) -> str:
    """Return the last encoder block; of a decoder-only cache, the last decoder block.

    >>> top_layer(["0", "1", "2", "d1", "d2"]), top_layer(["d1", "d2"])
    ('2', 'd2')
    """
    frame_layers = [layer for layer in layers if not layer.startswith("d")]
    return (frame_layers or list(layers))[-1]


def define_method(
    name: MethodName, layers: Sequence[str], settings: TrainConfig, anchors: Anchors | None
) -> Method:
    """Spell out a method for the layers at hand.

    Parameters
    ----------
    layers : sequence of str
        Those of the features, in order.
    anchors : Anchors, optional
        Needed by ``la``.
    """
    if name == "la":
        if anchors is None:
            raise ValueError("anchors: method 'la' needs them, got None")
        folder = f"la-{parse_anchors(anchors.asked).slug}"
        return Method("la", folder, anchors.layers, settings.standardise, coral=True)
    top = (top_layer(layers),)
    return Method(name, name, top, "corpus" if name == "cc-std" else "source", coral=False)

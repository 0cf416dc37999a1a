"""Trained models as safetensors files: weights, the target's statistics, and what is needed to use them.

The file holds the network's weights under ``network.`` and the statistics that a recording is standardised
by under ``statistics.mean`` and ``statistics.scale``; its metadata hold one JSON document, ``layersim``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from layersim.adaptation.network import AnchoredClassifier
from layersim.adaptation.standardise import Statistics
from layersim.documents import parse_json, require_form
from layersim.errors import LayersimError
from layersim.workspace import write_bytes

FORMAT = 1  # goes up when older files cannot be read any more
FILE_NAME = "model.safetensors"


@dataclass(frozen=True)
class ModelDescription:
    """What a model was trained for and on.

    Attributes
    ----------
    classes, layers : tuple of str
        In the order of the logits and of the features.
    width, projection : int
        Features per layer (2D), and dimensions of a projection.
    source, target : str
        Names of the corpora.
    encoder : dict
        Its description in the features' provenance: checkpoint, weights_sha256, stack, precision ...
    """

    method: str
    classes: tuple[str, ...]
    layers: tuple[str, ...]
    width: int
    projection: int
    source: str
    target: str
    encoder: dict[str, Any]
    format: int = FORMAT


@dataclass(frozen=True)
class TrainedModel:
    """A network ready to label features."""

    description: ModelDescription
    network: AnchoredClassifier
    statistics: Statistics


_DESCRIPTION = {
    "method": str, "classes": [str], "layers": [str], "width": int, "projection": int, "source": str,
    "target": str, "encoder": {"checkpoint": str},
}  # form; see layersim.documents  # fmt: skip


def save_model(file: Path, model: TrainedModel) -> None:
    """Write a model whole or not at all; the same model gives the same bytes."""
    tensors = {f"network.{name}": value.contiguous() for name, value in model.network.state_dict().items()}
    tensors["statistics.mean"] = model.statistics.mean.contiguous()
    tensors["statistics.scale"] = model.statistics.scale.contiguous()
    # One metadata entry: with several, their order in the file would change from run to run.
    content = save(tensors, {"layersim": json.dumps(asdict(model.description), ensure_ascii=False)})
    write_bytes(file, content)


def load_model(path: Path) -> TrainedModel:
    """Read a model file, or the one in a run's folder.

    Raises
    ------
    LayersimError
        If there is none, or it is not a layersim model.
    """
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        raise LayersimError(
            f"{file}: no such model. Train one first (layersim train), or name its {FILE_NAME} or folder."
        )
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise LayersimError(f"{file}: cannot be read as safetensors: {error}.") from None
    if "layersim" not in metadata:
        raise LayersimError(f"{file}: is not a layersim model (its metadata have no 'layersim' entry).")
    return _assemble(file, parse_json(metadata["layersim"], str(file)), tensors)


def _assemble(file: Path, document: Any, tensors: Mapping[str, Tensor]) -> TrainedModel:
    require_form(document, {"format": int}, str(file), "Train again.")
    if document["format"] != FORMAT:
        raise LayersimError(
            f"{file}: was written in format {document['format']}, this layersim reads format {FORMAT}. "
            "Train again, or install the version that wrote it."
        )
    require_form(document, _DESCRIPTION, str(file), "Train again.")
    known = {name: document[name] for name in (*_DESCRIPTION, "format")}
    description = ModelDescription(
        **{**known, "classes": tuple(known["classes"]), "layers": tuple(known["layers"])}
    )
    layers, classes = len(description.layers), len(description.classes)
    _require_tensors(file, description, tensors)
    network = AnchoredClassifier(layers, description.width, classes, description.projection, dropout=0.0)
    prefix = "network."
    network.load_state_dict(
        {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    )
    network.eval()
    return TrainedModel(
        description, network, Statistics(tensors["statistics.mean"], tensors["statistics.scale"])
    )


def _require_tensors(file: Path, description: ModelDescription, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not of the sizes that the description names, before a network has these."""
    layers, width, projection = len(description.layers), description.width, description.projection
    classes = len(description.classes)
    expected = {
        "network.classifier.weight": (classes, layers * projection),
        "network.classifier.bias": (classes,),
        "statistics.mean": (layers, width),
        "statistics.scale": (layers, width),
    }
    for layer in range(layers):
        expected[f"network.projections.{layer}.weight"] = (projection, width)
        expected[f"network.projections.{layer}.bias"] = (projection,)
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    differing = sorted(
        name for name in expected.keys() | found.keys() if found.get(name) != expected.get(name)
    )
    if differing or not layers or not classes:
        named = ", ".join(differing[:3]) or "no layers or classes"
        raise LayersimError(f"{file}: its weights are not those of its description ({named}). Train again.")
    if odd := [name for name, tensor in tensors.items() if not tensor.is_floating_point()]:
        raise LayersimError(f"{file}: {odd[0]} holds no numbers with a point. Train again.")

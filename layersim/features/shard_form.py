"""Whether an open shard is what its name says: a file from elsewhere, or a damaged one, can claim anything.

What is looked at costs little against reading: names, types, shapes and how much of the file each dataset
has. Nothing is followed out of the file (links, external storage, virtual datasets), and nothing is larger in
memory than the file is on disk. That the values are those that were written only a checksum can say; and
libhdf5 itself can hang or crash on damaged metadata, which only a look at the bytes before can spare it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from layersim.documents import parse_json, require_form
from layersim.errors import LayersimError
from layersim.features.provenance import ALL_UTTERANCES

_ADVICE = "Delete this file and run layersim extract again: it makes only what is missing."
_BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError, AttributeError)
"""What h5py raises on damaged files: it hands on libhdf5's errors as whatever suits the call."""

_TABLES: dict[str, dict[str, str]] = {
    "utterance": {"utterance": "S", "samples": "i", "frames": "i"},
    "phone": {"utterance": "S", "phone": "S", "start": "f", "end": "f", "frames": "i"},
}  # column -> kind of its type, in NumPy's letters
_FAILED = {"utterance": "S", "place": "i", "reason": "S"}
_PROVENANCE = {
    "layers": [str],
    "frame_layers": [str],
    "width": int,
    "middle": bool,
    "phone_set": (str, None),
    "selection": (str, {"limit": int, "seed": int}),
    "manifest_sha256": str,
    "encoder": {"checkpoint": str},
    "store": (str, ...),
    "shard_size": (int, ...),
    "versions": ({...: object}, ...),
    "shape": ([int], ...),
}  # form; see layersim.documents


@contextmanager
def damage_refused(file: Path | str) -> Iterator[None]:
    """Turn what h5py raises on a damaged file into a LayersimError; for calls of h5py and nothing else.

    Raises
    ------
    LayersimError
    """
    try:
        yield
    except _BROKEN as error:
        raise LayersimError(f"{file}: is damaged: {error}. {_ADVICE}") from None


def text_attributes(shard: h5py.File) -> dict[str, Any]:
    """Read the JSON that the root's attributes hold.

    Raises
    ------
    LayersimError
        If one is no text, or no JSON.
    """
    texts: dict[str, Any] = {}
    with damage_refused(shard.filename):
        for name in shard.attrs:
            stored = shard.attrs.get_id(name)
            if stored.shape != () or h5py.check_string_dtype(stored.dtype) is None:
                raise ValueError(f"its attribute {name!r} is no text")
            texts[name] = shard.attrs[name]
    return {name: parse_json(text, f"{shard.filename}, attribute {name!r}") for name, text in texts.items()}


def whole_number(group: h5py.Group, name: str) -> int:
    """Read an attribute that counts.

    Raises
    ------
    LayersimError
        If it is missing, or no whole number.
    """
    with damage_refused(group.file.filename):
        stored = group.attrs.get_id(name)
        if stored.shape != () or stored.dtype.kind not in "iu":
            raise ValueError(f"its attribute {name!r} is no whole number")
        return int(group.attrs[name])


def inner_dataset(shard: h5py.File, name: str) -> h5py.Dataset | None:
    """Return a dataset, None where there is none; it and its group must stand in this very file.

    Raises
    ------
    LayersimError
        If a link leads out of the file or elsewhere in it, or it is no dataset.
    """
    with damage_refused(shard.filename):
        place: Any = shard
        for part in name.split("/"):
            if not isinstance(place, h5py.Group):
                raise ValueError(f"{place.name} is no group")
            link = place.get(part, getlink=True)
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{name} is a link to elsewhere, which layersim never writes")
            place = place[part]
        if not isinstance(place, h5py.Dataset):
            raise ValueError(f"{name} is no dataset")
        return place


def require_sound(shard: h5py.File, provenance: Mapping[str, Any]) -> tuple[int, int]:
    """Refuse a shard that lacks what its provenance promises, or holds it in another form.

    Parameters
    ----------
    provenance : mapping
        Its own, which `require_provenance` has looked at.

    Returns
    -------
    (int, int)
        How many utterances and phones it has.

    Raises
    ------
    LayersimError
        Saying what is wrong.
    """
    layers, frame_layers, width = (provenance[key] for key in ("layers", "frame_layers", "width"))
    utterances = require_utterances(shard)
    if (shape := provenance.get("shape")) is not None:
        _require(shard, "utterance/values", (utterances, *shape), "f4")
    else:
        _require(shard, "utterance/mean", (utterances, len(layers), width), "f4")
        _require(shard, "utterance/std", (utterances, len(layers), width), "f4")
    phones = 0
    if inner_dataset(shard, "phone/table") is not None:
        phones = _require_table(shard, "phone", {"middle_frames": "i"} if provenance["middle"] else {})
        _require(shard, "phone/mean", (phones, len(frame_layers), width), "f4")
        if provenance["middle"]:
            _require(shard, "phone/middle", (phones, len(frame_layers), width), "f4")
    if provenance.get("store") == "frames":
        _require_frames(shard, utterances, len(frame_layers), width)
    return utterances, phones


def require_utterances(shard: h5py.File) -> int:
    """Refuse a shard whose tables of utterances are not what they should be; return how many it has.

    Raises
    ------
    LayersimError
        Saying what is wrong.
    """
    held, failed = _require_table(shard, "utterance"), 0
    if inner_dataset(shard, "utterance/failed") is not None:
        failed = _require_table(shard, "utterance", name="failed")
        with damage_refused(shard.filename):
            places = shard["utterance/failed"]["place"]
        if failed and (len(np.unique(places)) < failed or places.min() < 0 or places.max() >= held + failed):
            raise _damaged(shard, "utterance/failed names places that there are not")
    return held


def require_provenance(provenance: Mapping[str, Any], where: str) -> None:
    """Refuse a provenance that lacks what every reader needs of it.

    Raises
    ------
    LayersimError
        Naming what is missing or otherwise.
    """
    require_form(provenance, _PROVENANCE, where, _ADVICE)
    if isinstance(selection := provenance["selection"], str) and selection != ALL_UTTERANCES:
        raise LayersimError(f"{where}: selection is {selection!r}, not {ALL_UTTERANCES!r}. {_ADVICE}")
    if (size := provenance.get("shard_size")) is not None and size < 1:
        raise LayersimError(f"{where}: shard_size is {size}, not 1 or more. {_ADVICE}")


def _require_table(
    shard: h5py.File, group: str, more: Mapping[str, str] | None = None, name: str = "table"
) -> int:
    """Check a table's columns; return how many rows it has."""
    columns = _FAILED if name == "failed" else {**_TABLES[group], **(more or {})}
    name = f"{group}/{name}"
    table = _require(shard, name, (-1,))
    kinds = {column: table.dtype[column] for column in table.dtype.names or ()}
    for column, kind in columns.items():
        if column not in kinds or kinds[column].kind != kind or kinds[column].shape:
            raise _damaged(shard, f"{name} has no column {column!r} of its type")
    return int(table.shape[0])


def _require_frames(shard: h5py.File, utterances: int, layers: int, width: int) -> None:
    name = "frame_offsets"
    offsets = _require(shard, name, (utterances + 1,), "i8")
    with damage_refused(shard.filename):
        stops = offsets[:]
    if stops[0] != 0 or (np.diff(stops) < 0).any():
        raise _damaged(shard, f"{name} do not ascend from 0")
    _require(shard, "frames", (layers, int(stops[-1]), width), "f2")


def _require(shard: h5py.File, name: str, shape: Sequence[int], kind: str | None = None) -> h5py.Dataset:
    """Check one dataset; -1 in its shape is any length."""
    dataset = inner_dataset(shard, name)
    if dataset is None:
        raise _damaged(shard, f"{name} is missing")
    with damage_refused(shard.filename):
        found, dtype = dataset.shape, dataset.dtype
        plan, stored, size = dataset.id.get_create_plist(), dataset.id.get_storage_size(), dataset.nbytes
        outside = bool(plan.get_external_count()) or dataset.is_virtual
        filters = plan.get_nfilters()
    if (
        found is None
        or len(found) != len(shape)
        or any(n not in (-1, m) for n, m in zip(shape, found, strict=True))
    ):
        raise _damaged(shard, f"{name} has the shape {found}, not {tuple(shape)}")
    if dtype.hasobject or (kind is not None and (dtype.kind + str(dtype.itemsize)) != kind):
        raise _damaged(shard, f"{name} has values of the type {dtype}")
    if outside:
        raise _damaged(shard, f"{name} keeps its values in other files")
    if filters:
        raise _damaged(shard, f"{name} is compressed or filtered, which layersim never does")
    if stored < size or size > os.path.getsize(shard.filename):
        raise _damaged(shard, f"{name} claims {size} bytes, of which the file has {stored}")
    return dataset


def _damaged(shard: h5py.File, what: str) -> LayersimError:
    return LayersimError(f"{shard.filename}: is no whole shard: {what}. {_ADVICE}")

"""Several corpora of one encoder as one: merged training sets, and pieces of corpora put together.

Conventions
-----------
- A joined corpus is a view: features stay in the caches of its parts and are read from there.
- Its rows are numbered anew, part after part. Only utterances of the train split are repeated. A repeated
  utterance has as many rows as it stands there, all with its one key ``corpus/utterance_id``: rows, and not
  keys, keep repetitions apart. They are the index of the table, and phones name them in their column ``row``.
- Speakers are named ``CORPUS/SPEAKER``: two corpora may both have a speaker 03.
- What becomes of phones is said in `layersim.features.joined_phones`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from layersim.corpus.manifest import utterance_keys
from layersim.errors import LayersimError
from layersim.features.cache import FeatureCache, Product, Rows, Vectors
from layersim.features.dataset import CorpusFeatures
from layersim.features.joined_phones import JoinedPhones, classes_sha256, join_phones, joint_phone_set
from layersim.features.provenance import disagreements


class VectorReader(Protocol):
    """What a cache needs to be joined, phones aside: acoustic features have no more."""

    def vectors(self, layers: Sequence[str], rows: Rows) -> Vectors:
        """Read all of some layers, shape (n, K, F): of an encoder, mean and standard deviation in a row."""
        ...


@dataclass(frozen=True, eq=False)
class JoinedCache:
    """Reads like a `FeatureCache`, from the caches of the parts; made by `join_corpora`."""

    name: str
    parts: tuple[CorpusFeatures, ...]
    keys: list[str]  # utterance keys, row by row
    part_of_row: Rows  # (R,)
    row_in_part: Rows  # (R,) the utterance's row in its part's own cache
    provenance: dict[str, Any]
    phone_set: str | None

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers, frame layers first."""
        return tuple(self.parts[0].cache.layers)

    @property
    def frame_layers(self) -> tuple[str, ...]:
        """Names of the layers that have frames: those of phones."""
        return tuple(self.parts[0].cache.frame_layers)

    @property
    def width(self) -> int:
        """D, features per layer."""
        return self.parts[0].cache.width

    @property
    def has_middle(self) -> bool:
        """Whether the middle thirds of phones are there, in every part."""
        return all(part.cache.has_middle for part in self.parts)

    def __len__(self) -> int:
        """R, utterances, the repeated ones as often as they stand there."""
        return len(self.keys)

    @property
    def phone_count(self) -> int:
        """P, pooled phones, counted likewise."""
        return len(self.phones)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per utterance: ``utterance`` (its key), ``samples`` at 16 kHz, ``frames``."""
        tables: list[pd.DataFrame] = [
            part.cache.table.iloc[self.row_in_part[self.part_of_row == number]]
            for number, part in enumerate(self.parts)
        ]
        return pd.concat(tables, ignore_index=True, join="inner")

    @property
    def phones(self) -> pd.DataFrame:
        """One row per pooled phone, as in `FeatureCache.phones`, and ``row``: its utterance's row here."""
        return self._phones.table

    @cached_property
    def _phones(self) -> JoinedPhones:
        return join_phones(self.parts, self.part_of_row, self.row_in_part, self.phone_set)

    def read(self, product: Product, layer: str, rows: Rows | None = None) -> Vectors:
        """Read one layer of a product, see `FeatureCache.read`.

        Raises
        ------
        LayersimError, ValueError
            As there.
        """
        return self._gather(product, rows, lambda cache, own: cache.read(product, layer, own))

    def chunks(
        self, product: Product, layer: str, rows_mask: npt.NDArray[np.bool_] | None = None, size: int = 4096
    ) -> Iterator[tuple[Rows, Vectors]]:
        """Stream one layer of a product, see `FeatureCache.chunks`.

        Raises
        ------
        LayersimError, ValueError
            As there.
        """
        if size < 1:
            raise ValueError(f"size: expected at least 1, got {size}")
        total = len(self._places(product)[0])
        if rows_mask is not None and rows_mask.shape != (total,):
            raise ValueError(f"rows_mask: expected shape ({total},), got {rows_mask.shape}")
        rows = np.arange(total) if rows_mask is None else np.flatnonzero(rows_mask)
        for first in range(0, len(rows), size):
            chosen = rows[first : first + size]
            yield chosen, self.read(product, layer, chosen)

    def vectors(self, layers: Sequence[str], rows: Rows) -> Vectors:
        """Read what a method learns from: some layers whole, shape (n, K, F), see `VectorReader`.

        Raises
        ------
        LayersimError, ValueError
            As `read`.
        """
        return self._gather(
            "utterance", rows, lambda cache, own: cast("VectorReader", cache).vectors(layers, own)
        )

    def _places(self, product: str) -> tuple[Rows, Rows]:
        """Part, and row in the part's cache, of every row of a product."""
        if not product.startswith("phone/"):
            return self.part_of_row, self.row_in_part
        if self.phone_set is None:
            lacking = ", ".join(part.name for part in self.parts if part.phone_set is None)
            raise LayersimError(
                f"{self.name}: has no phones, because there are none of {lacking}. "
                "Make them (layersim align), then layersim extract --force."
            )
        return self._phones.part_of_row, self._phones.row_in_part

    def _gather(
        self, product: str, rows: Rows | None, read: Callable[[FeatureCache, Rows], Vectors]
    ) -> Vectors:
        """Read every wanted row from its part, each row of a cache once however often it is wanted."""
        parts, places = self._places(product)
        wanted = np.arange(len(parts)) if rows is None else np.asarray(rows, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(parts)):
            raise ValueError(f"rows: expected 0..{len(parts) - 1}, got {wanted.min()}..{wanted.max()}")
        values: Vectors | None = None
        for number, part in enumerate(self.parts):
            inside = np.flatnonzero(parts[wanted] == number)
            if inside.size:
                once, place = np.unique(places[wanted[inside]], return_inverse=True)
                found = read(part.cache, once)
                if values is None:
                    values = np.empty((len(wanted), *found.shape[1:]), dtype=np.float32)
                values[inside] = found[place]
        return read(self.parts[0].cache, _none()) if values is None else values


def join_corpora(
    name: str, parts: Sequence[CorpusFeatures], repeats: Sequence[int] | None = None
) -> CorpusFeatures:
    """Make one corpus of several, or of pieces of them.

    Parameters
    ----------
    parts : sequence of CorpusFeatures
        Of one encoder; no utterance is in two of them.
    repeats : sequence of int, >= 1, optional
        How often the train split of each part stands there; None: once.

    Returns
    -------
    CorpusFeatures
        See the conventions above for its rows, speakers and phones.

    Raises
    ------
    LayersimError
        If the encoders differ, or an utterance is in two parts.
    ValueError
        If there are no parts, or ``repeats`` does not fit them.
    """
    times = [1] * len(parts) if repeats is None else list(repeats)
    if not parts:
        raise ValueError("parts: expected at least one, got none")
    if len(times) != len(parts) or min(times) < 1:
        raise ValueError(f"repeats: expected {len(parts)} numbers of at least 1, got {times}")
    for other in parts[1:]:
        _refuse_other_encoder(parts[0], other)
    _refuse_shared_utterances(parts)
    pieces = [_repeated(part.table, count) for part, count in zip(parts, times, strict=True)]
    columns = list(dict.fromkeys(column for piece in pieces for column in piece.columns))
    table = pd.concat(
        [
            piece.assign(**{column: "" for column in columns if column not in piece})[columns]
            for piece in pieces
        ]
    )
    cache = JoinedCache(
        name,
        tuple(parts),
        utterance_keys(table),
        np.repeat(np.arange(len(parts)), [len(piece) for piece in pieces]),
        table.index.to_numpy(dtype=np.int64),
        _joined_provenance(parts, times),
        joint_phone_set(parts),
    )
    return CorpusFeatures(
        name, table.reset_index(drop=True), cast("FeatureCache", cache), cache.phone_set,
        tuple(note for part in parts for note in part.notes),
    )  # fmt: skip


def qualified_speakers(table: pd.DataFrame) -> list[str]:
    """Return ``CORPUS/SPEAKER`` of every row, in order; a speaker already named so is left as it is."""
    pairs = zip(table["corpus"].tolist(), table["speaker"].tolist(), strict=True)
    return [
        speaker if speaker.startswith(f"{corpus}/") else f"{corpus}/{speaker}" for corpus, speaker in pairs
    ]


def _repeated(table: pd.DataFrame, times: int) -> pd.DataFrame:
    train = np.flatnonzero((table["split"] == "train").to_numpy())
    places = np.concatenate([np.arange(len(table)), np.tile(train, times - 1)])
    return table.assign(speaker=qualified_speakers(table)).iloc[places]


def _refuse_other_encoder(first: CorpusFeatures, second: CorpusFeatures) -> None:
    ours, theirs = (
        {
            "layers": tuple(corpus.cache.layers),
            "width": corpus.cache.width,
            **corpus.cache.provenance.get("encoder", {}),
        }
        for corpus in (first, second)
    )
    if differing := disagreements(ours, theirs):
        raise LayersimError(
            f"{first.name} and {second.name} have features of different encoders ({'; '.join(differing)}). "
            "To join them, extract both with one: layersim extract --force."
        )


def _refuse_shared_utterances(parts: Sequence[CorpusFeatures]) -> None:
    owner: dict[str, str] = {}
    for part in parts:
        keys = set(utterance_keys(part.table))
        if shared := sorted(keys & owner.keys()):
            raise LayersimError(
                f"{owner[shared[0]]} and {part.name} share {len(shared)} utterance{'s' * (len(shared) > 1)} "
                f"(first: {shared[0]}), so that they cannot be joined. Give the manifests different corpus "
                "names, or take each utterance out of one of them."
            )
        owner |= dict.fromkeys(keys, part.name)


def _joined_provenance(parts: Sequence[CorpusFeatures], times: Sequence[int]) -> dict[str, Any]:
    """What all parts agree on, and each part's own; of phones, what all parts have."""
    own = [dict(part.cache.provenance) for part in parts]
    phone_set = joint_phone_set(parts)
    return {
        **{key: value for key, value in own[0].items() if all(value == other.get(key) for other in own[1:])},
        "phone_set": phone_set,
        "phones": "all" if all(one.get("phones") == "all" for one in own) else phone_set and "vowels",
        "middle": all(bool(one.get("middle")) for one in own),
        "parts": [
            {"name": part.name, "repeats": count, "phone_classes": classes_sha256(part), "provenance": one}
            for part, count, one in zip(parts, times, own, strict=True)
        ],
    }


def _none() -> Rows:
    return np.empty(0, dtype=np.int64)

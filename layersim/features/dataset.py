"""A corpus as the later stages see it: its cached features joined, by key, with its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from layersim.corpus.manifest import read_manifest, utterance_keys
from layersim.errors import LayersimError, ProvenanceError, StageMissingError
from layersim.features.cache import FeatureCache, Product, Rows, Vectors
from layersim.features.provenance import ALL_UTTERANCES, describe_selection, refuse_other, utterances_sha256
from layersim.workspace import Workspace, files_sha256


@dataclass(frozen=True)
class CorpusFeatures:
    """Utterances of one corpus and the cache that holds their features.

    What it does not hold it cannot give away: `restrict` it to the splits that a stage may see, and hide the
    labels that it may not, before passing it on.
    """

    name: str
    table: pd.DataFrame  # manifest rows in cache order; the index is the utterance's row in the cache
    cache: FeatureCache
    phone_set: str | None

    @property
    def rows(self) -> Rows:
        """Rows of these utterances in the cache, ascending, shape (N,)."""
        return self.table.index.to_numpy(dtype=np.int64)

    def restrict(self, *splits: str) -> CorpusFeatures:
        """Return the utterances of some splits only.

        Raises
        ------
        LayersimError
            If none is left.
        """
        table = self.table[self.table["split"].isin(splits)]
        if table.empty:
            raise LayersimError(
                f"{self.name}: no utterance with features is in split {' or '.join(splits)}. Check the "
                "column split of its manifest, or take more utterances (layersim extract without --limit)."
            )
        return replace(self, table=table)

    def without_labels(self) -> CorpusFeatures:
        """Return the same utterances with nothing said of their emotion."""
        return replace(self, table=self.table.assign(emotion="", source_label=""))

    def read(self, product: Product, layer: str) -> Vectors:
        """Read one layer of a product, see `FeatureCache.read`; rows as in `table` or in `phones`."""
        rows = self.phones.index.to_numpy(dtype=np.int64) if product.startswith("phone/") else self.rows
        return self.cache.read(product, layer, rows)

    @cached_property
    def phones(self) -> pd.DataFrame:
        """The pooled phones of these utterances; the index is the phone's row in the cache.

        Columns as in `FeatureCache.phones`, and ``row``: the utterance's row in the cache (the index of
        `table`).
        """
        phones = self.cache.phones
        if "row" in phones:  # of a joined cache, where a repeated utterance has several rows and one key
            rows = phones["row"].to_numpy(dtype=np.int64)
        else:
            row_of = {key: row for row, key in enumerate(self.cache.keys)}
            rows = np.array([row_of[key] for key in phones["utterance"].tolist()], dtype=np.int64)
        return phones.assign(row=rows)[np.isin(rows, self.rows)]


def _named_encoder(workspace: Workspace) -> dict[str, str]:
    """What is known of the workspace's encoder without loading it: a folder's weights, a hub id's name."""
    folder = Path(workspace.encoder)
    if not (folder.is_absolute() and folder.is_dir()):
        return {"checkpoint": workspace.encoder.partition("@")[0]}
    return {"weights_sha256": files_sha256(sorted(folder.glob("model*.safetensors")))}


def open_corpus(workspace: Workspace, name: str, encoder: Mapping[str, Any] | None = None) -> CorpusFeatures:
    """Open one corpus's cache under the workspace's encoder and join it with its manifest.

    Parameters
    ----------
    encoder : mapping, optional
        Entries of the encoder's description that the cache must agree with (``Encoder.describe()``).

    Raises
    ------
    StageMissingError
        If the corpus has not been extracted, or not to the end.
    ProvenanceError
        If the cache was made with another encoder or from other recordings than the manifest now names.
    """
    entry = workspace.corpus(name)
    folder = workspace.cache_folder(name)
    try:
        cache = FeatureCache.open(folder)
    except StageMissingError as error:
        raise StageMissingError(f"{name}: {error}") from None
    refuse_other(folder, cache.provenance, {"encoder": {**_named_encoder(workspace), **(encoder or {})}})
    if entry.phone_set is not None:
        refuse_other(folder, cache.provenance, {"phone_set": entry.phone_set})
    return join_manifest(name, entry.manifest, cache)


def join_manifest(name: str, file: Path, cache: FeatureCache) -> CorpusFeatures:
    """Join a corpus's features, by key, with its manifest as it is now.

    Raises
    ------
    ProvenanceError
        If they were made from other recordings than the manifest names.
    """
    manifest = read_manifest(file)
    keys, cached = utterance_keys(manifest), cache.keys
    rows: list[int] | None = None
    gone: list[str] = []
    if keys != cached:  # mostly they are the same: of a million, no table of where each stands is needed
        row_of = {key: row for row, key in enumerate(keys)}
        gone = [key for key in cached if key not in row_of]
        rows = [row_of[key] for key in cached if key in row_of]
    selection = cache.provenance["selection"]
    if gone or (selection == ALL_UTTERANCES and len(cache) != len(manifest)):
        shown = f" (first: {gone[0]})" if gone else ""
        raise ProvenanceError(
            f"{cache.folder}: the cache holds {len(cache)} utterances ({describe_selection(selection)}), "
            f"{len(gone)} of them not in the manifest{shown}; {file} has {len(manifest)}. "
            "The manifest has changed since: run layersim extract --force."
        )
    del keys, cached
    table = manifest if rows is None else manifest.iloc[rows].reset_index(drop=True)
    found, expected = cache.provenance["manifest_sha256"], utterances_sha256(table)
    if found != expected:
        raise ProvenanceError(
            f"{cache.folder}: the files or times that {file} names have changed since these features "
            f"were made: manifest_sha256: the cache has {found}, the manifest {expected}. "
            "Run layersim extract --force."
        )
    return CorpusFeatures(name, table, cache, cache.phone_set)

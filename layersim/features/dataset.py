"""A corpus as the later stages see it: its cached features joined, by key, with its manifest."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from layersim.corpus.manifest import utterance_keys
from layersim.corpus.recordings import read_corpus_manifest
from layersim.errors import LayersimError, ProvenanceError, StageMissingError
from layersim.features.cache import FeatureCache, Product, Rows, Vectors
from layersim.features.failures import failure_note
from layersim.features.provenance import (
    ALL_UTTERANCES,
    UNSAID_OF_ENCODER,
    describe_selection,
    refuse_other,
    utterances_sha256,
)
from layersim.workspace import CorpusEntry, Workspace, files_sha256

logger = logging.getLogger(__name__)


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
    notes: tuple[str, ...] = ()  # what a reader of any result from these features should know

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
            if strange := set(phones["utterance"].tolist()) - row_of.keys():
                raise LayersimError(
                    f"{self.cache.folder}: is damaged: it has phones of {min(strange)!r}, an utterance that "
                    "it does not have. Make it again: layersim extract --force."
                )
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
    if encoder is None:  # whether its windows were trimmed is the cache's to say
        said = cache.provenance["encoder"]
        encoder = {key: said[key] for key in UNSAID_OF_ENCODER if key in said}
    refuse_other(folder, cache.provenance, {"encoder": {**_named_encoder(workspace), **encoder}})
    if entry.phone_set is not None:
        refuse_other(folder, cache.provenance, {"phone_set": entry.phone_set})
    return join_manifest(name, entry, cache)


def join_manifest(name: str, entry: CorpusEntry, cache: FeatureCache) -> CorpusFeatures:
    """Join a corpus's features, by key, with its manifest as it is now.

    Utterances that failed at extraction are left out; how many, by emotion, is logged and noted.

    Raises
    ------
    ProvenanceError
        If they were made from other recordings than the manifest names.
    """
    manifest = read_corpus_manifest(name, entry)
    row_of = {key: row for row, key in enumerate(utterance_keys(manifest))}
    requested = cache.requested
    gone = [key for key in requested if key not in row_of]
    selection = cache.provenance["selection"]
    if gone or (selection == ALL_UTTERANCES and len(requested) != len(manifest)):
        shown = f" (first: {gone[0]})" if gone else ""
        raise ProvenanceError(
            f"{cache.folder}: the cache holds {len(requested)} utterances ({describe_selection(selection)}), "
            f"{len(gone)} of them not in the manifest{shown}; {entry.manifest} has {len(manifest)}. "
            "The manifest has changed since: run layersim extract --force."
        )
    whole = manifest.iloc[[row_of[key] for key in requested]]
    found, expected = cache.provenance["manifest_sha256"], utterances_sha256(whole)
    if found != expected:
        raise ProvenanceError(
            f"{cache.folder}: the files or times that {entry.manifest} names have changed since these "
            f"features were made: manifest_sha256: the cache has {found}, the manifest {expected}. "
            "Run layersim extract --force."
        )
    notes = []
    if (note := failure_note(manifest, cache)) is not None:
        notes.append(f"{name}: {note}")
        logger.warning("%s", notes[-1])
    table = manifest.iloc[[row_of[key] for key in cache.keys]].reset_index(drop=True)
    return CorpusFeatures(name, table, cache, cache.phone_set, tuple(notes))

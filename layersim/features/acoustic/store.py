"""A corpus's acoustic features on disk, as the later stages read them.

They stand in shards like hidden states (`layersim.features.shards`), in ``acoustic/SET/CORPUS`` of the
workspace. Provenance has the same entries: ``encoder`` names the set and its parameters, ``layers`` is the
set's name alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from layersim.errors import LayersimError, StageMissingError
from layersim.features.acoustic.sets import AcousticSet, acoustic_set
from layersim.features.cache import FeatureCache, Rows, Vectors
from layersim.features.dataset import CorpusFeatures, join_manifest
from layersim.features.preparation import CorpusJob
from layersim.workspace import Workspace

ACOUSTIC_VERSION = 1
"""Goes up when the same input gives other bytes: a change of numbers or of the layout."""


@dataclass(frozen=True)
class AcousticCache(FeatureCache):
    """The complete acoustic features of one corpus: a cache with one vector or picture per utterance.

    It has no layers to read one by one and no phones; `vectors` is what there is to read.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Of one utterance: (1, F) functionals, (channels, frames) sequences."""
        first, second = self.provenance["shape"]
        return int(first), int(second)

    def vectors(self, layers: Sequence[str], rows: Rows) -> Vectors:  # noqa: ARG002 - there is one only
        """Read the features of some utterances.

        Parameters
        ----------
        layers : sequence of str
            Not looked at.
        rows : ndarray of int, shape (n,)
            In any order.

        Returns
        -------
        ndarray, shape (n, 1, F) or (n, channels, frames), float32
            In the order of ``rows``.

        Raises
        ------
        ValueError
            If a row is out of range.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        channels, width = self.shape
        values = np.empty((channels, len(wanted), width), dtype=np.float32)
        stored = self._stored("utterance/values", self._utterances)
        for channel in range(channels):
            stored.fill(values[channel], channel, wanted)
        return np.ascontiguousarray(values.transpose(1, 0, 2))

    def _place(self, product: str, layer: str) -> NoReturn:
        raise LayersimError(
            f"{self.folder}: holds {self.provenance['encoder']['checkpoint']}, not the {product} of layer "
            f"{layer!r}: acoustic features have no layers. Take the features of an encoder: layersim extract."
        )


def acoustic_folder(workspace: Workspace, corpus: str, set_name: str) -> Path:
    """Where the shards of one corpus's acoustic features stand."""
    return workspace.root / "acoustic" / acoustic_set(set_name).name / corpus


def describe_request(job: CorpusJob, features: AcousticSet, shard_size: int) -> dict[str, Any]:
    """Return the provenance of a corpus's acoustic features.

    Raises
    ------
    LayersimError
        If a library that they need is not installed.
    """
    kept = ("selection", "manifest_sha256", "sample_rate", "dtype", "phone_set")
    return {
        **{name: job.provenance[name] for name in kept},
        "acoustic_version": ACOUSTIC_VERSION,
        "encoder": features.describe(),
        "layers": [features.name],
        "frame_layers": [],
        "shape": list(features.shape),
        "width": features.shape[1],
        "shard_size": shard_size,
        "versions": features.versions(),
    }


def open_acoustic(workspace: Workspace, corpus_name: str, set_name: str) -> CorpusFeatures:
    """Open one corpus's acoustic features and join them with its manifest.

    Raises
    ------
    StageMissingError
        If they have not been extracted, or not to the end.
    ProvenanceError
        If they were made with other parameters, or from other recordings than the manifest now names.
    LayersimError
        If the corpus or the set is unknown.
    """
    features, entry = acoustic_set(set_name), workspace.corpus(corpus_name)
    folder = acoustic_folder(workspace, corpus_name, set_name)
    expected = {
        "acoustic_version": ACOUSTIC_VERSION, "encoder": features.describe(), "shape": list(features.shape),
    }  # fmt: skip
    with naming_command(set_name):
        try:
            cache = AcousticCache.open(folder, expected)
        except StageMissingError as error:
            raise StageMissingError(f"{corpus_name}: {error}") from None
        return join_manifest(corpus_name, entry, cache)


def name_command(message: str, set_name: str) -> str:
    """Let a message that advises ``layersim extract`` advise the extraction of this set.

    >>> name_command("Replace it: layersim extract --force.", "egemaps")
    'Replace it: layersim extract --acoustic egemaps --force.'
    """
    return message.replace("layersim extract", f"layersim extract --acoustic {set_name}")


@contextmanager
def naming_command(set_name: str) -> Iterator[None]:
    """Let the errors of what acoustic features share with others advise the extraction of this set."""
    try:
        yield
    except LayersimError as error:
        raise type(error)(name_command(str(error), set_name)) from None

"""What a ranking was made from: caches of one encoder, and a hash of all that was read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from layersim.errors import LayersimError
from layersim.features.provenance import differences

if TYPE_CHECKING:
    import pandas as pd

    from layersim.features.dataset import CorpusFeatures


def same_encoder(source: CorpusFeatures, target: CorpusFeatures) -> str:
    """Name the encoder of both caches.

    Raises
    ------
    LayersimError
        If their layers, widths or weights differ.
    """
    first, second = source.cache.provenance, target.cache.provenance
    # Either may have an entry that the other lacks: what one does not name is not compared with it.
    differing = [
        difference
        for key in ("layers", "width", "encoder")
        for difference in (
            differences(second[key], first[key], key) or differences(first[key], second[key], key)
        )
    ]
    if differing:
        raise LayersimError(
            f"{source.name} and {target.name} were extracted differently; for {target.name} "
            f"{'; '.join(differing)}. Extract both with the same encoder and settings."
        )
    return str(source.cache.provenance["encoder"]["checkpoint"])


def fingerprint(corpus: CorpusFeatures, label_free: bool = False) -> str:
    """Hash what rank reads: what the cache was made from, its phone classes, the train split's labels.

    Parameters
    ----------
    label_free : bool
        For a ranking that reads no emotion label: then none is hashed.
    """
    train = corpus.restrict("train")
    if label_free:
        train = train.without_labels()
    read = train.table[["corpus", "utterance_id", "speaker", "emotion"]]
    classes = None
    if corpus.phone_set is not None:
        from layersim.alignment.phone_set import load_phone_set

        classes = {kind: dict(table) for kind, table in load_phone_set(corpus.phone_set).classes.items()}
    digest = hashlib.sha256()
    for piece in _texts([dict(corpus.cache.provenance), classes], read.astype(str)):
        digest.update(piece.encode())
    return digest.hexdigest()


def _texts(described: list[Any], rows: pd.DataFrame) -> Iterator[str]:
    """Write ``[*described, sorted rows]`` as JSON, piece by piece: of a million rows it is long."""
    yield json.dumps(described, sort_keys=True, ensure_ascii=False).removesuffix("]") + ", ["
    same: dict[str, str] = {}  # equal cells of a column with few share their memory
    columns = [
        cells if name == "utterance_id" else [same.setdefault(cell, cell) for cell in cells]
        for name, cells in ((name, rows[name].tolist()) for name in rows)
    ]
    for number, row in enumerate(sorted(zip(*columns, strict=True))):
        yield (", " if number else "") + json.dumps(row, ensure_ascii=False)
    yield "]]"

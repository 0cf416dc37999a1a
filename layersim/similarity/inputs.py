"""What a ranking was made from: caches of one encoder, and a hash of all that was read."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from layersim.errors import LayersimError
from layersim.features.provenance import differences

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures


def same_encoder(source: CorpusFeatures, target: CorpusFeatures) -> str:
    """Name the encoder of both caches.

    Raises
    ------
    LayersimError
        If their layers, widths or weights differ.
    """
    differing = [
        difference
        for key in ("layers", "width", "encoder")
        for difference in differences(target.cache.provenance[key], source.cache.provenance[key], key)
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
    text = json.dumps(
        [dict(corpus.cache.provenance), classes, sorted(read.astype(str).to_numpy().tolist())],
        sort_keys=True, ensure_ascii=False,
    )  # fmt: skip
    return hashlib.sha256(text.encode()).hexdigest()

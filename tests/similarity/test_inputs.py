"""What a ranking was made from is hashed as one JSON text, however it is put together."""

from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from layersim.errors import LayersimError
from layersim.similarity.inputs import fingerprint, same_encoder


def test_the_fingerprint_is_the_hash_of_provenance_classes_and_sorted_train_rows(make_corpus):
    names = [f"s{number}" for number in (3, 1, 2)] + ["ü", "s1"]
    splits = ["train", "train", "test", "train", "train"]
    emotions = ["sadness", "anger", "anger", 'quoted "', "anger"]
    corpus = make_corpus("corpus", np.zeros((5, 1, 2)), emotions, names, splits)
    rows = sorted(
        ["corpus", f"u{row:04d}", names[row], emotions[row]] for row in range(5) if splits[row] == "train"
    )
    for label_free in (False, True):
        if label_free:
            rows = [[*row[:3], ""] for row in rows]
        text = json.dumps([corpus.cache.provenance, None, rows], sort_keys=True, ensure_ascii=False)
        assert fingerprint(corpus, label_free) == hashlib.sha256(text.encode()).hexdigest()


def test_an_entry_that_only_one_encoder_has_tells_them_apart_whichever_is_the_source():
    encoder = {"checkpoint": "some/tiny", "weights_sha256": "0"}
    old, new = (
        SimpleNamespace(
            name=name,
            cache=SimpleNamespace(
                provenance={"layers": ["0", "1"], "width": 4, "encoder": {**encoder, **more}}
            ),
        )
        for name, more in (("old", {}), ("new", {"attention": "fused"}))
    )
    assert same_encoder(old, old) == "some/tiny"
    for source, target in ((old, new), (new, old)):
        with pytest.raises(LayersimError, match=r"encoder\.attention"):
            same_encoder(source, target)

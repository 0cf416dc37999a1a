from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from layersim.features.provenance import alignment_sha256, differences, utterances_sha256

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(max_size=3), json_values, max_size=4))
def test_a_provenance_never_differs_from_itself_nor_from_a_part_of_itself(value):
    assert differences(value, value) == []
    assert differences(value, dict(list(value.items())[:1])) == []


def test_every_difference_is_named_with_its_path_and_both_values():
    found = {"encoder": {"stack": "both", "revision": None}, "width": 512}
    expected = {"encoder": {"stack": "encoder", "revision": "abc"}, "width": 512, "store": "frames"}
    assert differences(found, expected) == [
        "encoder.stack: the cache has 'both', asked for 'encoder'",
        "encoder.revision: the cache has None, asked for 'abc'",
        "store: the cache has None, asked for 'frames'",
    ]


def test_the_manifest_hash_covers_key_file_times_and_order_and_nothing_else(corpus):
    manifest = corpus.manifest
    whole = utterances_sha256(manifest)
    assert utterances_sha256(manifest.assign(emotion="fear", split="test", text="x", speaker="y")) == whole
    for changed in (
        manifest.assign(utterance_id=[f"v{row}" for row in range(11)]),
        manifest.assign(path="other.wav"),
        manifest.assign(start=0.1, end=0.2),
        manifest.assign(corpus="other"),
        manifest.iloc[::-1],
        manifest.head(10),
    ):
        assert utterances_sha256(changed) != whole


def test_the_alignment_hash_covers_labels_and_times():
    phones = pd.DataFrame({"utterance_id": ["u"], "phone": ["a"], "start": [0.1], "end": [0.2]})
    whole = alignment_sha256(phones)
    assert alignment_sha256(phones.assign(vowel="a")) == whole
    for column, value in [("utterance_id", "v"), ("phone", "b"), ("start", 0.11), ("end", 0.19)]:
        assert alignment_sha256(phones.assign(**{column: value})) != whole

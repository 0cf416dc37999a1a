"""Label maps: the shipped ones, the user's own, and what is not in them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from layersim.corpus.labels import apply_label_map, label_map
from layersim.corpus.manifest_rows import EMOTIONS
from layersim.errors import LayersimError

# From the corpora's own documentation, restated by hand: (label, emotion).
DOCUMENTED = {
    "emodb": {"W": "anger", "L": "boredom", "E": "disgust", "A": "fear", "F": "happiness", "T": "sadness",
              "N": "neutral"},
    "ravdess": {"01": "neutral", "02": "calm", "03": "happiness", "04": "sadness", "05": "anger",
                "06": "fear", "07": "disgust", "08": "surprise"},
    "esd": {"Angry": "anger", "Happy": "happiness", "Neutral": "neutral", "Sad": "sadness",
            "Surprise": "surprise"},
    "casia": {"angry": "anger", "fear": "fear", "happy": "happiness", "neutral": "neutral",
              "sad": "sadness", "surprise": "surprise"},
    "crema-d": {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happiness", "NEU": "neutral",
                "SAD": "sadness"},
    "iemocap": {"ang": "anger", "hap": "happiness", "exc": "excitement", "sad": "sadness", "neu": "neutral",
                "fru": "frustration", "fea": "fear", "sur": "surprise", "dis": "disgust"},
    "emovo": {"dis": "disgust", "gio": "happiness", "neu": "neutral", "pau": "fear", "rab": "anger",
              "sor": "surprise", "tri": "sadness"},
    "msp-podcast": {"A": "anger", "S": "sadness", "H": "happiness", "U": "surprise", "F": "fear",
                    "D": "disgust", "C": "contempt", "N": "neutral"},
    "biic-podcast": {"A": "anger", "S": "sadness", "H": "happiness", "U": "surprise", "F": "fear",
                     "D": "disgust", "C": "contempt", "N": "neutral"},
}  # fmt: skip


@pytest.mark.parametrize("corpus", DOCUMENTED)
def test_the_documented_labels_of_each_corpus_map_to_their_emotions(corpus):
    mapping = label_map(corpus)
    table = pd.DataFrame({"source_label": list(DOCUMENTED[corpus])})
    mapped, unmapped = apply_label_map(table, mapping)
    assert list(mapped["emotion"]) == list(DOCUMENTED[corpus].values())
    assert unmapped == {}
    assert set(mapping.values()) <= set(EMOTIONS)


@pytest.mark.parametrize("corpus", ["msp-podcast", "biic-podcast", "iemocap"])
def test_no_agreement_and_other_are_not_emotions(corpus):
    assert not {"o", "x", "oth", "xxx"} & set(label_map(corpus))


def test_the_same_letter_means_what_its_own_corpus_says():
    assert (label_map("emodb")["a"], label_map("msp-podcast")["a"]) == ("fear", "anger")


def test_spellings_of_a_corpus_name_meet_and_an_unknown_corpus_gets_the_generic_words():
    assert label_map("CREMA_D") == label_map("crema-d")
    generic = label_map("my-recordings")
    assert generic["angry"] == "anger"
    assert "w" not in generic


def test_unmapped_labels_are_left_out_and_counted_most_frequent_first():
    table = pd.DataFrame({"source_label": ["xxx", "hap", "oth", "xxx", " HAP"], "row": range(5)})
    mapped, unmapped = apply_label_map(table, {"hap": "happiness"})
    assert list(mapped["row"]) == [1, 4]
    assert list(mapped.index) == [0, 1]
    assert list(unmapped.items()) == [("xxx", 2), ("oth", 1)]


def test_a_map_of_the_users_own_stands_alone(tmp_path):
    file = write_map(tmp_path, 'exc = "happiness"')
    assert label_map("iemocap", file) == {"exc": "happiness"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('exc = "joyful"', "label 'exc': 'joyful' is not an emotion name"),
        ('A = "anger"\na = "fear"', "label 'a' differs from another one in case only"),
    ],
)
def test_a_wrong_map_says_what_is_wrong_and_names_the_emotions(tmp_path, lines, message):
    with pytest.raises(LayersimError, match=message) as caught:
        label_map("any", write_map(tmp_path, lines))
    assert "contempt" in str(caught.value)
    assert "my.toml" in str(caught.value)


def test_a_map_without_its_source_or_with_unknown_keys_is_refused_with_all_faults(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text('version = 1\nlabels = 2\n[map]\na = "anger"\n')
    with pytest.raises(LayersimError, match=r"unknown key 'labels'\n  no key 'source'"):
        label_map("any", file)


def test_a_file_that_is_not_toml_or_not_there_is_named(tmp_path):
    file = tmp_path / "my.toml"
    with pytest.raises(LayersimError, match=r"my\.toml: the label map cannot be read"):
        label_map("any", file)
    file.write_text("angry -> anger")
    with pytest.raises(LayersimError, match=r"my\.toml: the label map cannot be read"):
        label_map("any", file)


def test_a_table_without_labels_is_the_callers_mistake():
    with pytest.raises(ValueError, match="needs a column source_label"):
        apply_label_map(pd.DataFrame({"emotion": ["a"]}), {})


def write_map(folder: Path, lines: str) -> Path:
    file = folder / "my.toml"
    file.write_text(f'version = 1\nsource = "a test"\n[map]\n{lines}\n')
    return file

from __future__ import annotations

import csv
import logging
from collections import Counter
from pathlib import Path

import pytest

from layersim.alignment.pronunciation.frequent_words import likelier_language
from layersim.alignment.pronunciation.pronounce import pronounce

ENGLISH = ["Kids are talking by the door.", "Dogs are sitting by the door."]
GERMAN = ["Der Lappen liegt auf dem Eisschrank.", "Das will sie am Mittwoch abgeben."]


def counted(texts: list[str]) -> Counter[str]:
    return Counter(word.strip(".,?") for text in texts for word in text.split())


@pytest.mark.parametrize(
    ("texts", "named", "expected"),
    [
        (ENGLISH * 5, "de", "en"), (ENGLISH * 5, "fr", "en"), (ENGLISH * 5, "en-us", None),
        (GERMAN * 5, "en-us", "de"), (GERMAN * 5, "de", None),
        (ENGLISH, "de", None),  # twelve words are too few to tell
        (ENGLISH * 5, "sw", None),  # what Swahili's commonest words are is not in the table
    ],
)  # fmt: skip
def test_the_commonest_words_betray_a_language(texts, named, expected):
    assert likelier_language(counted(texts), named) == expected


@pytest.mark.parametrize(("corpus", "right", "wrong"), [("emodb", "de", "en-us"), ("ravdess", "en-us", "de")])
def test_whole_corpora_are_taken_for_what_they_are(shared: Path, corpus: str, right: str, wrong: str):
    with (shared / "data" / corpus / "metadata.csv").open(encoding="utf-8", newline="") as stream:
        words = counted([row["text"] for row in csv.DictReader(stream)])
    assert likelier_language(words, right) is None
    assert likelier_language(words, wrong) == right.partition("-")[0]


def test_texts_in_another_language_of_the_same_script_are_named(caplog):
    with caplog.at_level(logging.WARNING, logger="layersim"):
        notes = pronounce(ENGLISH * 5, "de").notes
    assert any("look like English, and the manifest says 'de'" in note for note in notes)
    assert "Check the column language" in caplog.text
    assert not any("look like" in note for note in pronounce(GERMAN * 5, "de").notes)

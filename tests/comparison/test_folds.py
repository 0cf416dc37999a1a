"""Folds by speaker: the published ones to the letter, dealt ones fair, and neither moved by row order."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layersim.comparison.folds import speaker_folds
from layersim.errors import LayersimError

SPEAKERS = {
    "emodb": ["03", "08", *(f"{number:02d}" for number in range(9, 17))],
    "ravdess": [f"{number:02d}" for number in range(1, 25)],
    "esd": [f"{number:04d}" for number in range(1, 11)],
}


def manifest(sizes: dict[str, int], genders: dict[str, str] | None = None) -> pd.DataFrame:
    speakers = [speaker for speaker, size in sizes.items() for _ in range(size)]
    table = pd.DataFrame({"corpus": "small", "speaker": speakers, "split": "train"})
    return table if genders is None else table.assign(gender=[genders[speaker] for speaker in speakers])


def published(papers: str, corpus: str, part: str) -> list[tuple[str, ...]]:
    """Read a row of the five folds' table, such as ``| Emo-DB valid | 13, 14 | 11, 12 | ...``."""
    found = re.search(rf"^\| {corpus} {part} \|(.*)\|$", papers, re.MULTILINE)
    assert found, (corpus, part)
    cells = []
    for cell in found[1].split("|"):
        first, dash, last = cell.strip().partition("–")
        width = len(first)
        numbers = [f"{n:0{width}d}" for n in range(int(first), int(last) + 1)] if dash else cell.split(",")
        cells.append(tuple(number.strip() for number in numbers))
    return cells


@pytest.mark.parametrize(("name", "title"), [("emodb", "Emo-DB"), ("ravdess", "RAVDESS"), ("esd", "ESD")])
def test_the_five_folds_are_those_of_the_paper(shared: Path, name: str, title: str):
    file = shared / "papers" / "PAPERS.md"
    if not file.is_file():
        pytest.skip("no papers/PAPERS.md in the folder 'shared' beside the repository")
    papers = file.read_text(encoding="utf-8")
    found = speaker_folds(manifest(dict.fromkeys(SPEAKERS[name], 2)), name)
    assert found.published
    assert [fold.validation_speakers for fold in found.folds] == published(papers, title, "valid")
    assert [fold.test_speakers for fold in found.folds] == published(papers, title, "test")


def test_published_folds_name_speakers_as_the_table_does_and_count_round():
    found = speaker_folds(manifest({f"Actor_{name}": 1 for name in SPEAKERS["ravdess"]}), "RAVDESS")
    assert found[0].test_speakers == ("Actor_21", "Actor_22", "Actor_23", "Actor_24")
    assert found[6] == found[1]
    assert found.origin == "published folds"


@pytest.mark.parametrize(
    ("speakers", "count"),
    [(SPEAKERS["emodb"][1:], 5), ([*SPEAKERS["emodb"], "17"], 5), (SPEAKERS["emodb"], 3)],
    ids=["one is missing", "one more", "another number of folds"],
)
def test_where_the_published_folds_do_not_fit_speakers_are_dealt(speakers: list[str], count: int):
    found = speaker_folds(manifest(dict.fromkeys(speakers, 3)), "emodb", count)
    assert not found.published
    assert sorted(name for fold in found.folds for name in fold.test_speakers) == speakers


def test_four_speakers_give_four_folds_of_one_test_and_one_validation_speaker():
    found = speaker_folds(manifest({"a": 9, "b": 9, "c": 9, "d": 9}), "casia")
    assert [(fold.test_speakers, fold.validation_speakers) for fold in found.folds] == [
        (("a",), ("b",)), (("b",), ("c",)), (("c",), ("d",)), (("d",), ("a",)),
    ]  # fmt: skip


def test_dealt_folds_are_balanced_by_utterances_and_by_gender():
    """By hand: women 8, 6, 4, 2 and men 8, 6, 4, 2 into two groups: 8 + 2 against 6 + 4 of each."""
    sizes = {f"{gender}{size}": size for gender in "fm" for size in (8, 6, 4, 2)}
    found = speaker_folds(manifest(sizes, {name: name[0] for name in sizes}), "small", 2)
    for fold in found.folds:
        for gender in "fm":
            assert sum(sizes[name] for name in fold.test_speakers if name[0] == gender) == 10


speakers_with_sizes = st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(1, 9), min_size=2)


@given(sizes=speakers_with_sizes, count=st.integers(2, 6), seed=st.integers(0, 99), data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_speaker_tests_once_validates_once_and_never_both_at_once(sizes, count, seed, data):
    genders = None
    if data.draw(st.booleans()):
        genders = {name: data.draw(st.sampled_from(["female", "male", ""])) for name in sizes}
    table = manifest(sizes, genders)
    found = speaker_folds(table, "small", count)
    assert len(found) == min(count, len(sizes))
    for part in ("test_speakers", "validation_speakers"):
        assert Counter(name for fold in found.folds for name in getattr(fold, part)) == dict.fromkeys(
            sizes, 1
        )
    assert all(not set(fold.test_speakers) & set(fold.validation_speakers) for fold in found.folds)
    shuffled = table.sample(frac=1, random_state=seed).reset_index(drop=True)
    assert speaker_folds(shuffled, "small", count) == found


def test_no_group_is_heavier_than_another_by_more_than_the_largest_speaker():
    sizes = {f"s{number:02d}": 1 + number * 7 % 13 for number in range(23)}
    found = speaker_folds(manifest(sizes), "small", 5)
    held = [sum(sizes[name] for name in fold.test_speakers) for fold in found.folds]
    assert max(held) - min(held) <= max(sizes.values())


def test_what_has_no_split_takes_no_part():
    table = manifest({"a": 2, "b": 2, "c": 2})
    found = speaker_folds(table.assign(split=["", "", "train", "train", "test", ""]), "small")
    assert {name for fold in found.folds for name in fold.test_speakers} == {"b", "c"}


def test_one_speaker_and_one_fold_are_refused():
    with pytest.raises(
        LayersimError, match=r"small: 1 speaker with a split; folds by speaker need two\. Check"
    ):
        speaker_folds(manifest({"a": 5}), "small")
    with pytest.raises(ValueError, match="count: expected at least 2, got 1"):
        speaker_folds(manifest({"a": 5, "b": 5}), "small", 1)

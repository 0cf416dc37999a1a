"""What MFA wrote, read utterance by utterance."""

from __future__ import annotations

from pathlib import Path

import pytest

from layersim.alignment.aligned import Alignment, Failure, Recording
from layersim.alignment.montreal.corpus import Entry
from layersim.alignment.montreal.output import read_alignment, read_likelihoods, read_unknown_words
from layersim.alignment.segments import Segment


def read(folder: Path, content: str | None) -> Alignment | Failure:
    recording = Recording("u", "s", folder / "u.wav", None, None, "noise xyzzy")
    entry = Entry(recording, "s", "u", 1.0, None, link=True)
    if content is not None:
        (folder / "s").mkdir()
        (folder / "s/u.TextGrid").write_text(content, "utf-8")
    return read_alignment(entry, folder, {"u": -60.25}, {})[0]


def grid(**tiers: str) -> str:
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n0 1 <exists> 2\n'
    return head + "".join(f'"IntervalTier" "{name}" 0 1 9\n{rows}\n' for name, rows in tiers.items())


def test_words_that_are_named_like_silence_are_words_and_phones_are_not(tmp_path: Path) -> None:
    words = '0 0.2 "" 0.2 0.5 "noise" 0.5 0.9 "<unk>" 0.9 1.003 "<eps>"'
    phones = '0 0.2 "" 0.2 0.3 "n" 0.3 0.5 "oj" 0.5 0.9 "spn" 0.9 1.003 "z"'
    assert read(tmp_path, grid(words=words, phones=phones)) == Alignment(
        "u",
        1.0,
        (Segment(0.2, 0.5, "noise"), Segment(0.5, 0.9, "<unk>")),
        (Segment(0.2, 0.3, "n"), Segment(0.3, 0.5, "oj"), Segment(0.9, 1.0, "z")),
        -60.25,
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "u.TextGrid: is no TextGrid in text form. Save it in Praat as a text file."),
        (grid(phones='0 1 "n"'), "no word tier. Tiers: phones; looked for words, word. Rename the tier."),
        (grid(words='0 1 "one"', phones='0.5 0.2 "n"'),
         "u: 'n' ends at 0.2 s, before its start at 0.5 s"),
        (None, "MFA wrote no alignment of it. Check that the transcript is what is said: 'noise xyzzy'."),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_a_failure(tmp_path: Path, content: str | None, reason: str) -> None:
    found = read(tmp_path, content)
    assert isinstance(found, Failure)
    assert found.reason.endswith(reason)


def test_likelihoods_that_mfa_left_empty_are_missing(tmp_path: Path) -> None:
    table = tmp_path / "alignment_analysis.csv"
    table.write_text("file,speaker,overall_log_likelihood\na,s,-70.5\nb,s,\n", "utf-8")
    assert read_likelihoods(table) == {"a": -70.5}
    table.write_text("file,speaker\na,s\n", "utf-8")
    assert read_likelihoods(table) == {}


def test_unknown_words_of_several_dictionaries_are_added_up(tmp_path: Path) -> None:
    (tmp_path / "oov_counts_a.txt").write_text("one\t1\ntwo\t2\n", "utf-8")
    (tmp_path / "oov_counts_b.txt").write_text("one\t4\n", "utf-8")
    assert list(read_unknown_words(tmp_path).items()) == [("one", 5), ("two", 2)]

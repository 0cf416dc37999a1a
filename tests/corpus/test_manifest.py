"""Manifests: what is refused, in which words, and that nothing is lost between file and table."""

from __future__ import annotations

import csv
import math
import time
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layersim.corpus.manifest import (
    ManifestError,
    check_manifest,
    manifest_sha256,
    read_manifest,
    shared_emotions,
    utterance_keys,
    write_manifest,
)
from layersim.corpus.manifest_rows import COLUMNS, EMOTIONS

GOOD = {
    "corpus": "emodb", "utterance_id": "03a01Fa", "path": "wav/03a01Fa.wav", "start": "", "end": "",
    "speaker": "03", "language": "de", "emotion": "happiness", "split": "train", "text": "Der Lappen.",
    "source_label": "F",
}  # fmt: skip


def written(folder: Path, *changes: dict[str, str], encoding: str = "utf-8") -> Path:
    """Write one good row per change; row n is utterance u<n>."""
    file = folder / "manifest.csv"
    with file.open("w", encoding=encoding, newline="") as stream:
        writer = csv.DictWriter(
            stream, [*COLUMNS, *(["gender"] if any("gender" in c for c in changes) else [])]
        )
        writer.writeheader()
        for number, change in enumerate(changes, start=2):
            writer.writerow({**GOOD, "utterance_id": f"u{number}", "path": f"{number}.wav", **change})
    return file


def table(*changes: dict[str, object]) -> pd.DataFrame:
    nothing = {"start": math.nan, "end": math.nan}
    rows = [
        {**GOOD, **nothing, "utterance_id": f"u{n}", **change} for n, change in enumerate(changes, start=2)
    ]
    return pd.DataFrame(rows)


def test_a_good_manifest_is_read_as_plain_text_and_seconds(tmp_path):
    file = written(tmp_path, {"speaker": "007"}, {"start": "0.5", "end": "1.25", "text": "NA"})
    manifest = read_manifest(file)
    assert list(manifest.columns) == list(COLUMNS)
    assert list(manifest.index) == [0, 1]
    assert manifest["speaker"].tolist() == ["007", "03"]  # no number is made of it
    assert manifest["text"].tolist() == ["Der Lappen.", "NA"]  # nor a missing value of a word
    assert manifest["start"].dtype == float
    assert math.isnan(manifest["start"][0])
    assert manifest[["start", "end"]].iloc[1].tolist() == [0.5, 1.25]
    assert all(
        type(cell) is str for name in COLUMNS if name not in ("start", "end") for cell in manifest[name]
    )


def test_columns_come_in_one_order_whatever_the_files_and_gender_is_last(tmp_path):
    file = written(tmp_path, {"gender": "female"})
    moved = pd.read_csv(file, dtype=str, keep_default_na=False)
    moved[moved.columns[::-1]].to_csv(file, index=False)
    assert list(read_manifest(file).columns) == [*COLUMNS, "gender"]


def test_a_byte_order_mark_is_tolerated(tmp_path):
    assert len(read_manifest(written(tmp_path, {}, encoding="utf-8-sig"))) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corpus": ""}, r"row 3 \(u3\): corpus is empty\. Fill it in"),
        ({"corpus": "a/b"}, r"row 3 \(u3\): corpus 'a/b' has a '/'"),
        ({"utterance_id": ""}, r"row 3: utterance_id is empty"),
        ({"utterance_id": "u2"}, r"row 3 \(u2\): emodb/u2 stands in row 2 too\. Remove or rename one"),
        ({"path": ""}, "path is empty"),
        ({"path": "/data/a.wav"}, r"path '/data/a\.wav' leaves the audio root\. Make it relative"),
        ({"path": "C:/a.wav"}, "path 'C:/a.wav' leaves the audio root"),
        ({"path": "../a.wav"}, r"path '\.\./a\.wav' leaves the audio root"),
        ({"path": "a/../../b.wav"}, "leaves the audio root"),
        ({"path": "a\\b.wav"}, r"has a backslash\. Separate folders by '/'"),
        ({"start": "0.5"}, "only one of start and end is given. Give both or neither"),
        ({"end": "0.5"}, "only one of start and end is given"),
        ({"start": "2", "end": "1.5"}, "start 2 s is not before end 1.5 s. Are they swapped"),
        ({"start": "1", "end": "1"}, "start 1 s is not before end 1 s"),
        ({"start": "-1", "end": "1"}, "start -1 s is before the file"),
        ({"start": "0,5", "end": "1"}, "start '0,5' is not a time in seconds"),
        ({"start": "0", "end": "inf"}, "end 'inf' is not a time in seconds"),
        ({"start": "nan", "end": "1"}, "start 'nan' is not a time in seconds"),
        ({"speaker": ""}, "speaker is empty"),
        ({"speaker": "03 "}, r"speaker '03 ' begins or ends with a space\. Remove the space"),
        ({"emotion": ""}, "emotion is empty"),
        ({"emotion": "exc"}, r"emotion 'exc' is not among anger, happiness, .*Map it in the label map"),
        ({"emotion": "Anger"}, "emotion 'Anger' is not among"),
        ({"split": "dev"}, "split 'dev' is none of train, validation, test, or empty"),
        ({"split": "test"}, r"speaker '03' is in train \(row 2\) and test \(row 3\): splits must be"),
    ],
)
def test_every_fault_names_file_row_and_utterance_and_says_what_to_do(tmp_path, change, message):
    file = written(tmp_path, {}, change)
    with pytest.raises(ManifestError, match=message) as caught:
        read_manifest(file)
    assert f"{file}, row 3" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speaker": ""}, r"^a table, row 3 \(u3\): speaker is empty\. Fill it in or remove the row\.$"),
        ({"start": 0.5}, "only one of start and end is given"),
        ({"start": 2.0, "end": 1.5}, "start 2 s is not before end 1.5 s"),
        ({"split": "test"}, r"speaker '03' is in train \(row 2\) and test \(row 3\)"),
    ],
)
def test_a_table_made_in_python_is_checked_as_a_file_is(change, message):
    with pytest.raises(ManifestError, match=message):
        check_manifest(table({}, change), "a table")


def test_all_bad_rows_are_counted_and_the_first_ten_shown_in_order(tmp_path):
    file = written(tmp_path, *({} if n % 2 else {"speaker": "", "emotion": "x"} for n in range(24)))
    with pytest.raises(ManifestError) as caught:
        read_manifest(file)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{file}: 12 bad rows:"
    shown = [line.split(", row ")[1].split(" ")[0] for line in lines[1:11]]
    assert shown == ["2", "2", "4", "4", "6", "6", "8", "8", "10", "10"]
    assert lines[11] == "  ... and 14 more"


def test_rows_are_numbered_as_a_spreadsheet_numbers_them(tmp_path):
    file = written(tmp_path, {"text": "two\nlines"}, {"emotion": "x"})
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:-1], "\n", ",,,,,,,,,,\n", lines[-1]]))
    with pytest.raises(ManifestError, match=r"row 5 \(u3\): emotion 'x'"):
        read_manifest(file)


def test_a_speaker_may_have_rows_outside_every_split_and_a_namesake_in_another_corpus(tmp_path):
    file = written(tmp_path, {}, {"split": ""}, {"corpus": "ravdess", "split": "test"})
    assert len(read_manifest(file)) == 3


def test_each_leaking_speaker_is_named_once_however_many_rows(tmp_path):
    file = written(tmp_path, *({"split": ("train", "test", "validation")[n % 3]} for n in range(30)))
    with pytest.raises(ManifestError) as caught:
        read_manifest(file)
    expected = r"speaker '03' is in train (row 2) and test (row 3) and validation (row 4)"
    assert expected in str(caught.value)
    assert str(caught.value).count("speaker '03'") == 1


@pytest.mark.parametrize("cells", ["emodb,u2,a.wav,,,03,de,anger,train,Hello, you,W", "emodb,u2,a.wav,,,03"])
def test_a_row_with_too_many_or_too_few_cells_is_never_shifted_or_filled_up(tmp_path, cells):
    file = tmp_path / "manifest.csv"
    file.write_text(",".join(COLUMNS) + "\n" + cells + "\n")
    with pytest.raises(ManifestError, match=r"row 2: (12|6) cells under 11 columns\. Quote cells that hold"):
        read_manifest(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty. Its first row must be corpus,utterance_id"),
        (",".join(COLUMNS).encode(), "has no rows"),
        (b"corpus,speaker\nx,y\n", "columns utterance_id, path, .*source_label missing"),
        (";".join(COLUMNS).encode() + b"\n", "not separated by commas. Save it as CSV with commas"),
        (",".join([*COLUMNS, "age"]).encode() + b"\n", r"unknown columns 'age'\. Known: corpus"),
        (",".join([*COLUMNS, "text"]).encode() + b"\n", "the header names a column twice: text"),
        (",".join(COLUMNS).encode() + b"\nfr\xe9d", "cannot be read as UTF-8 text.*Save it as UTF-8"),
        (",".join(COLUMNS).encode() + b'\n"open,', "line 2: cannot be read as CSV: unexpected end of data"),
    ],
)
def test_a_file_that_is_no_manifest_says_why(tmp_path, content, message):
    file = tmp_path / "manifest.csv"
    file.write_bytes(content)
    with pytest.raises(ManifestError, match=message) as caught:
        read_manifest(file)
    assert str(file) in str(caught.value)


def test_a_missing_manifest_says_how_to_make_one(tmp_path):
    with pytest.raises(
        ManifestError, match=r"no such manifest\. Make it with layersim init or corpus import"
    ):
        read_manifest(tmp_path / "manifest.csv")


def test_a_wrong_manifest_is_not_written(tmp_path):
    file = tmp_path / "manifest.csv"
    with pytest.raises(ManifestError, match=r"row 2 \(u2\): speaker is empty"):
        write_manifest(table({"speaker": None}), file)
    with pytest.raises(ManifestError, match=r"0\.5 to inf s is not finite"):
        write_manifest(table({"start": 0.5, "end": math.inf}), file)
    strange = table({}).astype({"path": object})  # a column of text could not hold it
    strange["path"] = pd.Series(["caf\udce9.wav"], dtype=object)
    with pytest.raises(ManifestError, match=r"cannot be written as UTF-8\. Rename the audio file"):
        write_manifest(strange, file)
    with pytest.raises(ValueError, match=r"manifest: expected columns corpus, .*; missing: text"):
        write_manifest(table({}).drop(columns="text"), file)
    assert not file.exists()


SECONDS = st.floats(0, 1e6, allow_nan=False).map(abs)


@st.composite
def manifests(draw: st.DrawFn) -> pd.DataFrame:
    words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8)
    names = draw(st.lists(words.map(str.strip).filter(bool), min_size=1, max_size=6, unique=True))
    rows: list[dict[str, object]] = []
    for name in names:
        start, end = sorted((draw(SECONDS), draw(SECONDS)))
        whole = draw(st.booleans()) or start == end
        times = {"start": math.nan if whole else start, "end": math.nan if whole else end}
        said = {"text": draw(words), "source_label": draw(words), "language": draw(words)}
        emotion = draw(st.sampled_from(EMOTIONS))
        rows.append({**GOOD, **times, **said, "utterance_id": name, "emotion": emotion})
    return pd.DataFrame(rows)


@given(manifest=manifests())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_manifest_survives_the_file_bit_by_bit(tmp_path, manifest):
    file = tmp_path / "manifest.csv"
    write_manifest(manifest, file)
    found = read_manifest(file)
    first = file.read_bytes()
    for name in COLUMNS:
        cells = zip(found[name].tolist(), manifest[name].tolist(), strict=True)
        assert all(a == b or (a != a and b != b) for a, b in cells), name
    assert manifest_sha256(found) == manifest_sha256(manifest)
    write_manifest(found, file)
    assert file.read_bytes() == first


def test_the_hash_ignores_the_order_of_rows_and_sees_every_cell():
    manifest = table({}, {"start": 0.5, "end": 1.0, "speaker": "08"}, {"emotion": "fear"})
    whole = manifest_sha256(manifest)
    assert manifest_sha256(manifest.iloc[[2, 0, 1]]) == whole
    for name in COLUMNS:
        changed = manifest.copy()
        changed.loc[1, name] = 0.75 if name in ("start", "end") else "other"
        assert manifest_sha256(changed) != whole, name


def test_keys_are_corpus_and_utterance_in_row_order():
    assert utterance_keys(table({}, {"corpus": "esd"})) == ["emodb/u2", "esd/u3"]


def test_shared_emotions_are_those_of_both_corpora_in_alphabetical_order():
    first, second = table({"emotion": "sadness"}, {"emotion": "anger"}), table({"emotion": "fear"})
    assert shared_emotions(first, pd.concat([first, second])) == ("anger", "sadness")
    assert shared_emotions(first, second) == ()


def test_a_hundred_thousand_rows_are_checked_in_seconds(tmp_path):
    count = 100_000
    manifest = pd.DataFrame(
        {**{name: GOOD[name] for name in COLUMNS}, "start": math.nan, "end": math.nan,
         "utterance_id": [f"u{n}" for n in range(count)], "path": [f"wav/{n}.wav" for n in range(count)],
         "speaker": [f"s{n % 999}" for n in range(count)],
         "split": [("train", "validation", "test")[n % 999 % 3] for n in range(count)]}
    )  # fmt: skip
    write_manifest(manifest, tmp_path / "manifest.csv")
    begun = time.process_time()
    assert len(read_manifest(tmp_path / "manifest.csv")) == count
    assert time.process_time() - begun < 10  # measured: 1.2 s


def test_only_line_ends_end_a_row(tmp_path):
    texts = ["vertical\x0btab", "form\x0cfeed", "separator\u2028here", "next\x85line", "two\r\nlines", "a\rb"]
    file = written(tmp_path, *({"text": text} for text in texts))
    assert read_manifest(file)["text"].tolist() == texts
    for end in ("\r", "\r\n"):
        plain = written(tmp_path, {}, {"speaker": "04"}).read_text(encoding="utf-8").splitlines()
        file.write_text(end.join(plain), encoding="utf-8", newline="")
        assert len(read_manifest(file)) == 2


def test_reading_a_manifest_takes_little_more_memory_than_its_cells(tmp_path):
    rows = "emodb,{0:07d},wav/{0:07d}.wav,,,s{1},de,anger,train,,F"
    lines = [",".join(COLUMNS), *(rows.format(number, number // 100) for number in range(5_000))]
    file = tmp_path / "manifest.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    tracemalloc.start()
    try:
        read_manifest(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / 5_000 < 1000  # bytes a row; all rows at once, each a list of strings, took 1,400

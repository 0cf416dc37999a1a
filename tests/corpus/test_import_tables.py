"""Importing plain tables: usual and unusual columns, their faults, and the real ones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from layersim.corpus.importers import import_corpus
from layersim.corpus.manifest import read_manifest, write_manifest
from layersim.corpus.manifest_rows import EMOTIONS
from layersim.errors import LayersimError

HEADER = "utt_id,path,speaker,gender,language,emotion,text\n"
ROWS = "".join(f"u{n},wav/{n}.wav,s{n % 4},{'mf'[n % 2]},en,happy,Hello.\n" for n in range(8))


def corpus(folder: Path, table: str, audio: int = 8, name: str = "metadata.csv") -> Path:
    (folder / "wav").mkdir(exist_ok=True)
    for number in range(audio):
        (folder / "wav" / f"{number}.wav").touch()
    (folder / name).write_bytes(table.encode("utf-8-sig"))
    return folder


def test_metadata_csv_is_recognised_and_its_columns_are_found_by_their_usual_names(tmp_path):
    result = import_corpus("mine", corpus(tmp_path, HEADER + ROWS))
    manifest = result.manifest
    first = manifest.iloc[0]
    assert (result.layout, result.audio_root) == ("table", tmp_path)
    assert list(first[["utterance_id", "path", "speaker", "gender"]]) == ["u0", "wav/0.wav", "s0", "male"]
    assert list(first[["language", "emotion", "text", "source_label"]]) == [
        "en",
        "happiness",
        "Hello.",
        "happy",
    ]
    assert set(manifest["split"]) == {"train", "validation", "test"}
    assert manifest.groupby("speaker")["split"].nunique().max() == 1


def test_a_table_may_have_any_name_separator_and_columns(tmp_path):
    table = "Datei;Wer;Gefühl\n" + "".join(f"{n}.flac;s{n % 4};Freude\n" for n in range(8))
    corpus(tmp_path, table, name="liste.csv")
    own = tmp_path / "own.toml"
    own.write_text('version = 1\nsource = "a test"\n[map]\nfreude = "happiness"\n')
    columns = {"path": "Datei", "speaker": "Wer", "emotion": "Gefühl"}
    result = import_corpus("mine", tmp_path, None, columns, own)
    # The table says .flac and the files are .wav; bare names are looked for in all folders.
    assert list(result.manifest["path"][:2]) == ["wav/0.wav", "wav/1.wav"]
    assert list(result.manifest["utterance_id"][:2]) == ["0", "1"]
    assert any("no column for the language" in note for note in result.notes)
    again = import_corpus("mine", tmp_path / "liste.csv", columns=columns, label_map_file=own)
    pd.testing.assert_frame_equal(again.manifest, result.manifest)


def test_rows_without_audio_and_audio_without_rows_are_listed_by_their_row_in_a_spreadsheet(tmp_path):
    folder = corpus(tmp_path, HEADER + ROWS, audio=7)
    (folder / "wav" / "extra.wav").touch()
    result = import_corpus("mine", folder)
    assert len(result.manifest) == 7
    assert "rows without audio (1): row 9 (u7)" in result.notes
    assert "audio files that the table does not name (1): wav/extra.wav" in result.notes


def test_rows_without_speaker_or_with_bad_times_are_listed(tmp_path):
    table = HEADER.replace("text", "start,end") + "".join(
        f"u{n},wav/{n}.wav,{who},f,en,happy,{times}\n"
        for n, (who, times) in enumerate(
            [("a", "0.5,1.5"), ("b", ","), ("c", "0,1"), ("", ","), ("a", "2,1"), ("b", "x,1"), ("c", "1,")]
        )
    )
    result = import_corpus("mine", corpus(tmp_path, table))
    assert list(result.manifest["utterance_id"]) == ["u0", "u1", "u2"]
    assert list(result.manifest["start"].fillna(-1)) == [0.5, -1, 0]
    assert list(result.manifest["end"].fillna(-1)) == [1.5, -1, 1]
    assert "rows without path, speaker or emotion (1): row 5 (u3)" in result.notes
    assert "rows whose start is not before their end (2): row 6 (u4), row 8 (u6)" in result.notes
    assert "rows whose start or end is no number of seconds (1): row 7 (u5)" in result.notes


def test_a_file_in_another_folder_never_stands_in_for_a_missing_one(tmp_path):
    table = "path,speaker,emotion\n" + "".join(f"s{n}/happy/1.wav,s{n},happy\n" for n in range(4))
    for name in ("s0", "s1", "s2"):
        (tmp_path / name / "happy").mkdir(parents=True)
        (tmp_path / name / "happy" / "1.wav").touch()
    result = import_corpus("mine", corpus(tmp_path, table, audio=0))
    assert list(result.manifest["path"]) == ["s0/happy/1.wav", "s1/happy/1.wav", "s2/happy/1.wav"]
    assert list(result.manifest["utterance_id"]) == ["s0_happy_1", "s1_happy_1", "s2_happy_1"]
    assert "rows without audio (1): row 5 (s3/happy/1.wav)" in result.notes


def test_the_tables_own_split_is_kept_and_what_it_lacks_is_said(tmp_path):
    table = HEADER.replace("text", "split") + "".join(
        f"u{n},wav/{n}.wav,s{n},f,en,sad,{split}\n" for n, split in enumerate(("Train", "training", "TEST"))
    )
    result = import_corpus("mine", corpus(tmp_path, table))
    assert list(result.manifest["split"]) == ["train", "train", "test"]
    assert "splits: the corpus's own; no utterance is in validation" in result.notes


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (HEADER.replace("emotion", "mood") + ROWS, r"no column for emotion\. Its columns: utt_id, path"),
        (HEADER.replace("utt_id", "text") + ROWS, "the header names a column twice: text"),
        (HEADER + "u0,wav/0.wav,s0\n", r"row 2: 3 cells under 7 columns"),
        ("", "the table has no header"),
        (
            HEADER.replace("text", "split") + "u0,wav/0.wav,s0,f,en,sad,eval\n",
            "row 2: split 'eval' is none of",
        ),
        (HEADER, "no utterance of corpus mine found"),
        ("path,speaker,emotion\nwav/0.wav,s,sad\nwav/0.wav,s,sad\n", "several rows name the same file"),
    ],
)
def test_a_table_that_cannot_be_used_says_why_and_where(tmp_path, table, message):
    with pytest.raises(LayersimError, match=message) as caught:
        import_corpus("mine", corpus(tmp_path, table))
    assert str(tmp_path) in str(caught.value)


def test_a_column_mapping_names_known_columns_on_both_sides(tmp_path):
    corpus(tmp_path, HEADER + ROWS)
    with pytest.raises(LayersimError, match=r"'mood' is no manifest column\. Known: utterance_id, path"):
        import_corpus("mine", tmp_path, columns={"mood": "emotion"})
    with pytest.raises(LayersimError, match=r"metadata\.csv: no column 'mood'"):
        import_corpus("mine", tmp_path, columns={"emotion": "mood"})


def test_two_tables_and_no_metadata_ask_for_a_choice(tmp_path):
    corpus(tmp_path, HEADER + ROWS, name="a.csv")
    corpus(tmp_path, HEADER + ROWS, name="b.csv")
    with pytest.raises(LayersimError, match=r"not exactly one other csv\. Name the table itself"):
        import_corpus("mine", tmp_path, "table")
    assert len(import_corpus("mine", tmp_path / "b.csv").manifest) == 8


@pytest.mark.parametrize(
    ("name", "utterances", "speakers", "language"),
    [("emodb", 387, 10, "de"), ("ravdess", 671, 24, "en"), ("casia", 800, 4, "zh")],
)
def test_the_real_corpora_are_imported_whole(shared, tmp_path, name, utterances, speakers, language):
    folder = shared / "data" / name
    result = import_corpus(name, folder)
    manifest = result.manifest
    assert (result.layout, result.unmapped) == ("table", {})
    assert (len(manifest), manifest["speaker"].nunique()) == (utterances, speakers)
    assert set(manifest["language"]) == {language}
    assert set(manifest["emotion"]) <= set(EMOTIONS)
    assert set(manifest["split"]) == {"train", "validation", "test"}
    assert manifest.groupby("speaker")["split"].nunique().max() == 1
    assert all((folder / path).is_file() for path in manifest["path"])
    told = pd.read_csv(folder / "metadata.csv", dtype=str)
    assert manifest["emotion"].value_counts().to_dict() == told["emotion"].value_counts().to_dict()
    assert set(manifest["utterance_id"]) == set(told["utt_id"])
    assert len(result.notes) == 1  # the splits: nothing was left out
    write_manifest(manifest, tmp_path / "m.csv")
    assert len(read_manifest(tmp_path / "m.csv")) == utterances


def test_the_first_fold_of_emodb_and_ravdess_is_that_of_the_published_study(shared):
    emodb = import_corpus("emodb", shared / "data" / "emodb").manifest
    ravdess = import_corpus("ravdess", shared / "data" / "ravdess").manifest
    assert set(emodb.loc[emodb["split"] == "validation", "speaker"]) == {"13", "14"}
    assert set(emodb.loc[emodb["split"] == "test", "speaker"]) == {"15", "16"}
    assert set(ravdess.loc[ravdess["split"] == "validation", "speaker"]) == {"16", "17", "18", "19", "20"}
    assert set(ravdess.loc[ravdess["split"] == "test", "speaker"]) == {"21", "22", "23", "24"}


def test_the_naming_schemes_agree_with_the_real_tables(shared):
    """Without its metadata.csv each corpus is read by its file names, and says the same."""
    for name in ("emodb", "ravdess", "casia"):
        folder = shared / "data" / name
        table = import_corpus(name, folder).manifest.set_index("utterance_id").sort_index()
        files = import_corpus(name, folder, name).manifest.set_index("utterance_id").sort_index()
        columns = ["path", "speaker", "language", "emotion", "gender"] + (["text"] if name != "casia" else [])
        pd.testing.assert_frame_equal(files[columns], table[columns])

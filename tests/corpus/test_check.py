"""The check of a corpus counts what there is and finds every fault, in words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from layersim.corpus.check import check_corpus
from layersim.corpus.importers import import_corpus
from layersim.corpus.manifest import ManifestError


@pytest.fixture
def corpus(tmp_path, write_tone):
    """Eight half-second tones: four speakers, two emotions, all splits."""
    rows = []
    for number in range(8):
        speaker = number // 2
        write_tone(tmp_path / f"{number}.wav", 0.5, seed=number)
        rows.append(
            {"corpus": "tones", "utterance_id": f"u{number}", "path": f"{number}.wav", "start": np.nan,
             "end": np.nan, "speaker": f"s{speaker}", "language": "en",
             "emotion": ("anger", "sadness")[number % 2],
             "split": ("train", "train", "validation", "test")[speaker], "text": f"Sentence {number}.",
             "source_label": ""}
        )  # fmt: skip
    return pd.DataFrame(rows), tmp_path


def test_a_sound_corpus_is_counted(corpus):
    manifest, root = corpus
    report = check_corpus(manifest, root)
    assert (report.corpus, report.utterances, report.speakers) == ("tones", 8, 4)
    assert report.hours == pytest.approx(8 * 0.5 / 3600)
    assert report.counts == {
        emotion: {"train": 2, "validation": 1, "test": 1} for emotion in ("anger", "sadness")
    }
    assert report.split_speakers == {"train": 2, "validation": 1, "test": 1}
    assert (report.sentences, report.without_text) == (8, 0)
    assert report.overlap == {"validation": 0.0, "test": 0.0}
    assert (report.duplicates, report.faults) == ([], [])
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["counts"] == report.counts


def test_the_table_shows_the_counts_and_the_splits(corpus):
    manifest, root = corpus
    manifest.loc[7, "split"] = ""
    lines = check_corpus(manifest, root).to_table().splitlines()
    assert lines[0] == "tones: 8 utterances, 4 speakers, 0.00 h, 8 different sentences"
    assert [line.split() for line in lines[1:5]] == [
        ["emotion", "train", "validation", "test", "(none)", "all"],
        ["anger", "2", "1", "1", "0", "4"],
        ["sadness", "2", "1", "0", "1", "4"],
        ["speakers", "2", "1", "1", "1", "4"],
    ]
    assert len({len(line) for line in lines[1:5]}) == 1
    assert lines[-1] == "  no faults"


def test_sentences_are_the_same_whatever_their_case_and_punctuation(corpus):
    manifest, root = corpus
    manifest["text"] = ["Come here!", "Go.", "", "他来了。", "come  HERE", "Nothing.", "他来了", ""]
    report = check_corpus(manifest, root)
    # validation says "come HERE" (in train) and "Nothing."; test says 他来了 (in train), and one has no text
    assert report.overlap == {"validation": 0.5, "test": 1.0}
    assert (report.sentences, report.without_text) == (4, 2)
    table = report.to_table()
    assert "4 different sentences (2 utterances without text)" in table
    assert "sentences of test also in train: 100 % of its utterances with text" in table


def test_every_unusable_recording_is_a_fault_with_its_key_and_file(corpus):
    manifest, root = corpus
    (root / "0.wav").unlink()
    (root / "1.wav").write_bytes(b"")
    soundfile.write(root / "2.wav", np.zeros(8_000), 16_000)
    soundfile.write(root / "3.wav", np.full(100, 0.1), 16_000)
    manifest.loc[4, ["start", "end"]] = [0.25, 9.0]
    report = check_corpus(manifest, root)
    said = ("no such file", "is empty (0 bytes)", "every sample is zero", "under the 25 ms", "lasts 0.500 s")
    assert len(report.faults) == 5
    for number, (fault, words) in enumerate(zip(report.faults, said, strict=True)):
        assert fault.startswith(f"tones/u{number}: {root / f'{number}.wav'}: ")
        assert words in fault
    assert report.hours == pytest.approx(3 * 0.5 / 3600)
    table = report.to_table()
    assert "  5 faults" in table
    assert all(fault in table for fault in report.faults)


def test_every_fault_is_printed_also_when_there_are_many(corpus):
    manifest, root = corpus
    many = pd.concat(
        [manifest.assign(utterance_id=lambda t, n=n: f"m{n}-" + t["utterance_id"]) for n in range(5)]
    )
    report = check_corpus(many.assign(path="nowhere.wav"), root)
    assert len(report.faults) == 40
    assert report.to_table().count("nowhere.wav: no such file") == 40


def test_the_same_samples_in_two_files_are_found_whatever_the_format(corpus):
    manifest, root = corpus
    wave, rate = soundfile.read(root / "0.wav")
    soundfile.write(root / "2.flac", wave, rate, subtype="PCM_16")
    manifest.loc[2, "path"] = "2.flac"
    report = check_corpus(manifest, root)
    assert report.duplicates == [["tones/u0", "tones/u2"]]
    assert report.faults == []  # one split, one emotion
    assert "1 groups of utterances with the same samples:\n    tones/u0, tones/u2" in report.to_table()


@pytest.mark.parametrize(
    ("twin", "conflict"),
    [
        (6, "the same recording is in several splits: tones/u0 (train), tones/u6 (test). Keep one"),
        (3, "the same recording is in several emotions: tones/u0 (anger), tones/u3 (sadness). Keep one"),
    ],
)
def test_one_recording_in_two_splits_or_under_two_emotions_is_named(corpus, twin, conflict):
    manifest, root = corpus
    manifest.loc[twin, "path"] = "0.wav"
    report = check_corpus(manifest, root)
    assert len(report.faults) == 1
    assert conflict in report.faults[0]
    assert report.faults[0] in report.to_table()


def test_stretches_of_one_file_are_no_duplicates_of_each_other(corpus):
    manifest, root = corpus
    manifest["path"] = "0.wav"
    manifest["start"] = np.arange(8) * 0.05
    manifest["end"] = manifest["start"] + 0.05
    report = check_corpus(manifest, root)
    assert report.duplicates == []
    assert report.hours == pytest.approx(0.4 / 3600)


def test_a_split_without_utterances_is_a_fault(corpus):
    manifest, root = corpus
    report = check_corpus(manifest[manifest["split"] != "test"], root)
    assert report.faults == ["no utterance is in test: this corpus cannot be used where test is needed"]


def test_a_manifest_with_wrong_rows_is_refused_before_anything_is_decoded(corpus):
    manifest, root = corpus
    manifest.loc[2, "speaker"] = ""
    with pytest.raises(ManifestError, match=r"row 4 \(u2\): speaker is empty"):
        check_corpus(manifest, root / "nowhere")


def test_progress_counts_to_the_last_utterance(corpus):
    manifest, root = corpus
    calls: list[tuple[str, float, float]] = []
    check_corpus(manifest, root, lambda *call: calls.append(call))
    assert calls[-1] == ("tones: checking audio", 8, 8)
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)


@pytest.mark.parametrize("name", ["emodb", "ravdess", "casia"])
def test_the_real_corpora_are_sound_and_share_their_sentences_across_splits(shared, name):
    folder: Path = shared / "data" / name
    manifest = import_corpus(name, folder).manifest
    report = check_corpus(manifest, folder)
    told = pd.read_csv(folder / "metadata.csv")
    assert report.faults == []
    assert report.utterances == len(told)
    assert report.hours == pytest.approx(told["duration"].sum() / 3600, rel=1e-3)
    assert report.overlap == {"validation": 1.0, "test": 1.0}
    assert report.sentences == told["text"].nunique()

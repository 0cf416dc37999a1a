"""Importing corpora by their real naming schemes; the audio itself is not read, so the files are empty."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest

from layersim.corpus.importers import LAYOUTS, import_corpus
from layersim.corpus.manifest_rows import COLUMNS
from layersim.errors import LayersimError

EMODB_SPEAKERS = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")


def touch(folder: Path, names: Iterable[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write(file: Path, text: str, encoding: str = "utf-8") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode(encoding))
    return file


def row(manifest: pd.DataFrame, utterance_id: str) -> pd.Series:
    found = manifest[manifest["utterance_id"] == utterance_id]
    assert len(found) == 1
    return found.iloc[0]


def speakers_of(manifest: pd.DataFrame, split: str) -> set[str]:
    return set(manifest.loc[manifest["split"] == split, "speaker"])


def noted(notes: list[str], part: str) -> bool:
    return any(part in note for note in notes)


@pytest.fixture
def emodb(tmp_path: Path) -> Path:
    return touch(tmp_path, [f"wav/{s}{code}.wav" for s in EMODB_SPEAKERS for code in ("a01Fa", "b10Wc")])


def test_emodb_gives_speaker_sentence_emotion_and_the_first_fold(emodb):
    result = import_corpus("emodb", emodb)
    found = row(result.manifest, "03a01Fa")
    assert result.layout == "emodb"
    assert list(result.manifest.columns) == [*COLUMNS, "gender"]
    assert found["path"] == "wav/03a01Fa.wav"
    assert (found["speaker"], found["language"], found["source_label"]) == ("03", "de", "F")
    assert (found["emotion"], found["gender"]) == ("happiness", "male")
    assert found["text"] == "Der Lappen liegt auf dem Eisschrank."
    assert pd.isna(found["start"])
    assert pd.isna(found["end"])
    assert speakers_of(result.manifest, "validation") == {"13", "14"}
    assert speakers_of(result.manifest, "test") == {"15", "16"}
    assert noted(result.notes, "fold 1 of emodb")


def test_a_corpus_of_another_name_is_recognised_by_its_files(emodb):
    result = import_corpus("berlin", emodb)
    assert result.layout == "emodb"
    assert set(result.manifest["corpus"]) == {"berlin"}
    assert set(result.manifest["emotion"]) == {"happiness", "anger"}
    assert speakers_of(result.manifest, "test") == {"15", "16"}


def test_names_that_do_not_fit_are_counted_and_listed_and_hidden_files_are_no_audio(emodb):
    touch(emodb, ["wav/noise.wav", "wav/._03a01Fa.wav", "wav/readme.txt", ".cache/03a02Fa.wav"])
    result = import_corpus("emodb", emodb)
    assert len(result.manifest) == 20
    assert noted(result.notes, "files not named like 03a01Fa.wav (1): wav/noise.wav")


def test_an_emotion_outside_the_map_is_counted_and_left_out(emodb):
    touch(emodb, ["wav/03a01Xa.wav", "wav/08a01Xa.wav"])
    result = import_corpus("emodb", emodb)
    assert result.unmapped == {"X": 2}
    assert noted(result.notes, "utterances with labels outside the label map (2): 'X' 2")


def test_a_fold_whose_speakers_are_missing_is_not_used(tmp_path):
    touch(tmp_path, [f"{s}a01Fa.wav" for s in ("03", "08", "09", "10")])
    result = import_corpus("emodb", tmp_path)
    assert set(result.manifest["split"]) == {"train", "validation", "test"}
    assert noted(result.notes, "a part of fold 1 of emodb has no speaker here")


def test_a_fold_goes_without_the_speakers_that_are_missing_and_says_so(emodb):
    for file in (emodb / "wav").glob("16*"):
        file.unlink()
    result = import_corpus("emodb", emodb)
    assert speakers_of(result.manifest, "test") == {"15"}
    assert noted(result.notes, "fold 1 of emodb, without the speakers 16")


def test_a_file_found_twice_is_taken_once_and_listed(emodb):
    touch(emodb, ["copy/03a01Fa.wav"])
    result = import_corpus("emodb", emodb)
    assert row(result.manifest, "03a01Fa")["path"] == "copy/03a01Fa.wav"
    assert noted(result.notes, "files or rows that repeat another utterance's name (1): wav/03a01Fa.wav")


def test_ravdess_takes_spoken_audio_only(tmp_path):
    names = [f"Actor_{a:02d}/03-01-05-01-02-01-{a:02d}.wav" for a in range(1, 25)]
    touch(tmp_path, [*names, "Actor_01/03-02-05-01-02-01-01.wav", "Actor_01/01-01-05-01-02-01-01.wav"])
    result = import_corpus("ravdess", tmp_path)
    found = row(result.manifest, "03-01-05-01-02-01-12")
    assert (found["speaker"], found["gender"], found["emotion"]) == ("12", "female", "anger")
    assert (found["text"], found["language"]) == ("Dogs are sitting by the door.", "en")
    assert len(result.manifest) == 24
    assert noted(result.notes, "files of song (vocal channel 02) (1)")
    assert noted(result.notes, "files of video (only modality 03, audio-only, is taken) (1)")
    assert speakers_of(result.manifest, "test") == {"21", "22", "23", "24"}


def esd(folder: Path) -> Path:
    for speaker in range(1, 21):
        name = f"{speaker:04d}"
        inner = "/train" if speaker % 2 else ""
        touch(folder, [f"{name}/Angry{inner}/{name}_000351.wav", f"{name}/Neutral{inner}/{name}_000001.wav"])
    return folder


def test_esd_reads_transcripts_in_all_their_encodings(tmp_path):
    esd(tmp_path)
    mandarin = "{0}_000001\t打远一看，它们的确很是美丽，\t中立\r\n{0}_000351\t他从不浪费一分钟。\t愤怒\r\n"
    english = "{0}_000001\tThe nine the eggs, I keep.\tNeutral\n{0}_000351\tThat’s not mine.\tAngry\n"
    write(tmp_path / "0001/0001.txt", mandarin.format("0001"), "gb18030")
    write(tmp_path / "0002/0002.txt", mandarin.format("0002"), "utf-16")
    write(tmp_path / "0003/0003.txt", mandarin.format("0003"), "utf-8-sig")
    write(tmp_path / "0004/0004.txt", mandarin.format("0004"), "utf-16-le")
    write(tmp_path / "0011/0011.txt", english.format("0011"), "cp1252")
    write(tmp_path / "0012/0012.txt", english.format("0012").replace("\t", " "), "utf-16")
    manifest = import_corpus("esd", tmp_path).manifest
    for speaker in ("0001", "0002", "0003", "0004"):
        assert row(manifest, f"{speaker}_000001")["text"] == "打远一看，它们的确很是美丽，"
        assert row(manifest, f"{speaker}_000351")["text"] == "他从不浪费一分钟。"
    for speaker in ("0011", "0012"):
        assert row(manifest, f"{speaker}_000001")["text"] == "The nine the eggs, I keep."
        assert row(manifest, f"{speaker}_000351")["text"] == "That’s not mine."
    assert row(manifest, "0005_000001")["text"] == ""


def test_esd_folds_its_mandarin_speakers_and_splits_the_english_ones_too(tmp_path):
    result = import_corpus("esd", esd(tmp_path))
    manifest = result.manifest
    assert speakers_of(manifest[manifest["language"] == "zh"], "test") == {"0009", "0010"}
    assert set(manifest.loc[manifest["language"] == "en", "split"]) == {"train", "validation", "test"}
    assert noted(result.notes, "languages en and zh")
    assert row(manifest, "0001_000351")["path"] == "0001/Angry/train/0001_000351.wav"
    assert row(manifest, "0002_000351")["path"] == "0002/Angry/0002_000351.wav"
    assert set(manifest["emotion"]) == {"anger", "neutral"}


@pytest.mark.parametrize(("name", "language"), [("esd-zh", "zh"), ("esd_en", "en")])
def test_half_of_esd_is_a_corpus_of_its_own(tmp_path, name, language):
    result = import_corpus(name, esd(tmp_path))
    assert set(result.manifest["language"]) == {language}
    assert result.manifest["speaker"].nunique() == 10
    assert noted(result.notes, "files of other speakers (20)")


def test_casia_is_named_by_speaker_emotion_and_number(tmp_path):
    speakers = ("liuchanhg", "wangzhe", "zhaoquanyin", "ZhaoZuoxiang")
    touch(tmp_path, [f"{s}/{e}/201.wav" for s in speakers for e in ("angry", "surprise")])
    write(tmp_path / "相同的文本201--250.txt", "201 就是下雨也去。\r\n202 我马上拿来。\r\n", "gb18030")
    result = import_corpus("mandarin", tmp_path)
    found = row(result.manifest, "ZhaoZuoxiang_angry_201")
    assert result.layout == "casia"
    assert (found["path"], found["language"]) == ("ZhaoZuoxiang/angry/201.wav", "zh")
    assert (found["text"], found["emotion"], found["gender"]) == ("就是下雨也去。", "anger", "male")
    assert set(result.manifest["split"]) == {"train", "validation", "test"}


def test_crema_d_knows_its_sentences_and_the_actors_sex(tmp_path):
    touch(tmp_path, [f"AudioWAV/{a}_{s}_ANG_XX.wav" for a in range(1001, 1007) for s in ("DFA", "IEO")])
    touch(tmp_path, ["AudioWAV/1001_ITH_SAD_X.wav"])
    sexes = "".join(
        f"{a},51,{'Male' if a % 2 else 'Female'},Caucasian,Not Hispanic\n" for a in range(1001, 1007)
    )
    write(tmp_path / "VideoDemographics.csv", "ActorID,Age,Sex,Race,Ethnicity\n" + sexes)
    result = import_corpus("cremad", tmp_path)
    found = row(result.manifest, "1001_DFA_ANG_XX")
    assert result.layout == "crema-d"
    assert (found["speaker"], found["gender"], found["emotion"]) == ("1001", "male", "anger")
    assert (found["text"], found["language"]) == ("Don't forget a jacket.", "en")
    assert row(result.manifest, "1001_ITH_SAD_X")["emotion"] == "sadness"


def test_emovo_is_italian(tmp_path):
    touch(tmp_path, [f"{s}/{e}-{s}-l4.wav" for s in ("f1", "f2", "m1", "m3") for e in ("dis", "gio", "rab")])
    result = import_corpus("italian", tmp_path)
    found = row(result.manifest, "gio-f2-l4")
    assert result.layout == "emovo"
    assert (found["speaker"], found["gender"], found["language"]) == ("f2", "female", "it")
    assert (found["emotion"], found["text"]) == (
        "happiness",
        "Vorrei il numero telefonico del Signor Piatti.",
    )


def iemocap(folder: Path, sessions: Iterable[int]) -> Path:
    for n in sessions:
        turns = [f"Ses0{n}F_impro01_{who}00{k}" for who in "FM" for k in range(2)]
        touch(folder, [f"Session{n}/sentences/wav/Ses0{n}F_impro01/{turn}.wav" for turn in turns])
        touch(folder, [f"Session{n}/dialog/wav/Ses0{n}F_impro01.wav"])
        lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
        for turn, label in zip(turns, ("neu", "exc", "ang", "xxx"), strict=True):
            lines += [f"[6.2901 - 8.2357]\t{turn}\t{label}\t[2.5000, 2.5000, 2.5000]",
                      "C-E2:\tNeutral;\t()", ""]  # fmt: skip
        write(folder / f"Session{n}/dialog/EmoEvaluation/Ses0{n}F_impro01.txt", "\n".join(lines))
        write(
            folder / f"Session{n}/dialog/EmoEvaluation/Categorical/{n}_e1_cat.txt", f"{turns[0]} :Anger; ()"
        )
        words = "".join(f"{turn} [006.2901-008.2357]: Excuse me.\n" for turn in turns) + "M: Yeah.\n"
        write(folder / f"Session{n}/dialog/transcriptions/Ses0{n}F_impro01.txt", words)
    return folder


def test_iemocap_joins_labels_words_and_audio_and_folds_by_session(tmp_path):
    result = import_corpus("iemocap", iemocap(tmp_path, range(1, 6)))
    found = row(result.manifest, "Ses01F_impro01_M000")
    assert found["path"] == "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav"
    assert (found["speaker"], found["gender"]) == ("Ses01M", "male")
    assert (found["emotion"], found["text"]) == ("anger", "Excuse me.")
    assert row(result.manifest, "Ses01F_impro01_F001")["emotion"] == "excitement"
    assert result.unmapped == {"xxx": 5}
    assert speakers_of(result.manifest, "validation") == {"Ses04F", "Ses04M"}
    assert speakers_of(result.manifest, "test") == {"Ses05F", "Ses05M"}
    assert noted(result.notes, "sessions are the folds")


def test_some_sessions_of_iemocap_are_split_by_speaker_and_gaps_are_listed(tmp_path):
    folder = iemocap(tmp_path, (1, 2))
    (folder / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav").unlink()
    touch(folder, ["Session2/sentences/wav/Ses02F_impro01/Ses02F_impro01_F009.wav"])
    result = import_corpus("dialogues", folder)
    assert result.layout == "iemocap"
    assert set(result.manifest["split"]) == {"train", "validation", "test"}
    assert noted(result.notes, "labels without audio (1): Ses01F_impro01_F000")
    assert noted(result.notes, "audio files without label (1): Session2/sentences/wav")


PODCAST = """FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
MSP-PODCAST_0001_0008.wav,N,5.0,4.2,4.8,127,Male,Test1
MSP-PODCAST_0001_0019.wav,H,5.0,4.2,4.8,127,Male,Train
MSP-PODCAST_0002_0001.wav,A,5.0,4.2,4.8,5,Female,Train
MSP-PODCAST_0002_0002.wav,X,5.0,4.2,4.8,5,Female,Train
MSP-PODCAST_0003_0001.wav,U,5.0,4.2,4.8,Unknown,Unknown,Train
MSP-PODCAST_0004_0001.wav,C,5.0,4.2,4.8,Unknown,Unknown,Development
MSP-PODCAST_0005_0001.wav,S,5.0,4.2,4.8,9,Female,Test2
MSP-PODCAST_0006_0001.wav,,,,,11,Female,Test3
MSP-PODCAST_0007_0001.wav,D,5.0,4.2,4.8,12,Female,Train
"""


def podcast(folder: Path) -> Path:
    write(folder / "Labels/labels_consensus.csv", PODCAST)
    touch(folder, [f"Audios/{line.split(',')[0]}" for line in PODCAST.splitlines()[1:-1]])
    write(folder / "Transcripts/MSP-PODCAST_0001_0008.txt", "well I mean\n")
    return folder


def test_msp_podcast_keeps_its_own_splits_and_its_speakers_apart(tmp_path):
    result = import_corpus("msp", podcast(tmp_path))
    manifest = result.manifest
    assert result.layout == "msp-podcast"
    found = row(manifest, "MSP-PODCAST_0001_0008")
    assert (found["path"], found["split"]) == ("Audios/MSP-PODCAST_0001_0008.wav", "test")
    assert (found["speaker"], found["gender"], found["language"]) == ("127", "male", "en")
    assert found["text"] == "well I mean"
    # Speaker 127 is in Test1 and in Train: the test segment stays, the other is used nowhere.
    assert row(manifest, "MSP-PODCAST_0001_0019")["split"] == ""
    assert noted(result.notes, "utterances of speakers who are also in a later split are in none (1)")
    assert row(manifest, "MSP-PODCAST_0003_0001")["speaker"] == "Unknown-0003"
    assert row(manifest, "MSP-PODCAST_0004_0001")["split"] == "validation"
    assert noted(result.notes, "segments of unknown speakers (2)")
    assert noted(result.notes, "segments without label (1): MSP-PODCAST_0006_0001")
    assert noted(result.notes, "labels without audio (1): MSP-PODCAST_0007_0001")
    assert noted(result.notes, "Development 1, Test1 1, Test2 1, Train 4")
    assert result.unmapped == {"X": 1}


def test_biic_podcast_is_the_same_in_mandarin(tmp_path):
    folder = podcast(tmp_path)
    for file in folder.rglob("MSP*.wav"):
        file.rename(file.with_name(file.name.replace("MSP", "BIIC")))
    write(folder / "Labels/labels_consensus.csv", PODCAST.replace("MSP", "BIIC").replace("Test1", "Test"))
    result = import_corpus("podcasts", folder)
    assert result.layout == "biic-podcast"
    assert set(result.manifest["language"]) == {"zh"}


def test_a_podcast_table_without_a_needed_column_names_it(tmp_path):
    write(podcast(tmp_path) / "Labels/labels_consensus.csv", PODCAST.replace("SpkrID", "Who"))
    with pytest.raises(
        LayersimError, match=r"labels_consensus\.csv: no column SpkrID\. Its columns: FileName"
    ):
        import_corpus("msp-podcast", tmp_path)


def test_an_empty_folder_says_what_was_looked_for(tmp_path):
    with pytest.raises(
        LayersimError, match=r"no utterance of corpus emodb found.*named like 03a01Fa\.wav.*no audio"
    ):
        import_corpus("emodb", tmp_path)
    with pytest.raises(LayersimError, match="layout of corpus thing is not recognised"):
        import_corpus("thing", tmp_path)
    with pytest.raises(LayersimError, match="EmoEvaluation/Ses01F_impro01"):
        import_corpus("iemocap", tmp_path)
    with pytest.raises(LayersimError, match=r"Looked for labels_consensus\.csv"):
        import_corpus("msp-podcast", tmp_path)


def test_files_of_another_scheme_are_shown_in_the_error(tmp_path):
    touch(tmp_path, ["a/one.wav"])
    with pytest.raises(LayersimError, match=r"files not named like 03a01Fa\.wav \(1\): a/one\.wav"):
        import_corpus("emodb", tmp_path)


def test_wrong_names_and_layouts_are_refused_with_what_is_known(tmp_path):
    with pytest.raises(LayersimError, match="corpus name 'a/b'"):
        import_corpus("a/b", tmp_path)
    with pytest.raises(LayersimError, match="nowhere: no such folder"):
        import_corpus("emodb", tmp_path / "nowhere")
    with pytest.raises(LayersimError, match=r"no layout 'tess'\. Known: emodb, ravdess"):
        import_corpus("emodb", tmp_path, "tess")
    with pytest.raises(LayersimError, match="columns belong to the layout table"):
        import_corpus("emodb", tmp_path, "emodb", {"emotion": "label"})


def test_labels_that_no_map_knows_are_an_error_that_lists_them(tmp_path, emodb):
    own = write(tmp_path / "own.toml", 'version = 1\nsource = "a test"\n[map]\nglad = "happiness"\n')
    with pytest.raises(
        LayersimError, match="none of the labels is in the label map of corpus emodb: 'F', 'W'"
    ):
        import_corpus("emodb", emodb, label_map_file=own)


def test_layouts_are_found_under_every_spelling(emodb):
    assert "crema-d" in LAYOUTS
    assert import_corpus("any", emodb, "Emo-DB").layout == "emodb"


def test_a_file_name_that_is_no_utf8_is_refused_before_a_table_is_made():
    from layersim.corpus.importers import _require_utf8

    _require_utf8("café.wav")
    with pytest.raises(
        LayersimError, match=r"caf\\udce9\.wav': the name is not UTF-8\. Rename the audio file"
    ):
        _require_utf8("caf\udce9.wav")

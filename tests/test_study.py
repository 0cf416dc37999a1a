from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from layersim.corpus.manifest import read_manifest
from layersim.errors import LayersimError
from layersim.study import CorpusSource, create_study
from layersim.workspace import Workspace

Corpus = Callable[..., Path]


@pytest.fixture
def corpus(tmp_path: Path, write_tone: Callable[..., Path]) -> Corpus:
    """Write a corpus of four speakers with a metadata.csv and, if asked for, phones of some labels."""

    def write(name: str, emotions: tuple[str, ...] = ("anger", "sadness"), phones: str = "") -> Path:
        rows, times = ["utt_id,path,speaker,language,emotion"], ["utt_id,start,end,phone"]
        for number, speaker in enumerate("abcd"):
            for place, emotion in enumerate(emotions):
                path = f"{speaker}_{emotion}.wav"
                write_tone(tmp_path / name / path, 0.5, seed=10 * number + place)
                rows.append(f"{speaker}_{emotion},{path},{speaker},en,{emotion}")
                times += [
                    f"{speaker}_{emotion},{0.1 * i},{0.1 * i + 0.1},{p}" for i, p in enumerate(phones.split())
                ]
        (tmp_path / name / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
        (tmp_path / name / "phones.csv").write_text("\n".join(times), encoding="utf-8")
        return tmp_path / name

    return write


def test_a_study_is_a_workspace_with_checked_manifests_and_the_phone_set_that_fits(
    corpus: Corpus, tmp_path: Path
) -> None:
    one, two = corpus("one", phones="HH AA1 L OW0"), corpus("two")
    sources = {"one": CorpusSource(one, alignments=one / "phones.csv"), "two": CorpusSource(two)}
    study = create_study(tmp_path / "ws", sources, "openai/whisper-base")
    workspace = Workspace.read(tmp_path / "ws")
    assert workspace == study.workspace
    assert workspace.pair() == ("one", "two")
    assert workspace.corpus("one").phone_set == "arpabet"
    assert workspace.corpus("two").alignments is None
    manifest = read_manifest(workspace.corpus("one").manifest)
    assert sorted(set(manifest["split"])) == ["test", "train", "validation"]
    assert "one: phone set arpabet (covers 100.0% of 32 phones)" in study.to_table()


def test_a_phone_set_file_is_kept_by_its_absolute_path(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = corpus("one", phones="⊙"), corpus("two")
    (tmp_path / "clicks.csv").write_text("phone,vowel,source\n⊙,,mine\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    sources = {
        "one": CorpusSource(one, alignments=one / "phones.csv", phone_set="clicks.csv"),
        "two": CorpusSource(two),
    }
    create_study(tmp_path / "ws", sources, "openai/whisper-base")
    assert Workspace.read(tmp_path / "ws").corpus("one").phone_set == str(tmp_path / "clicks.csv")


def test_labels_of_no_known_phone_set_ask_for_one(corpus: Corpus, tmp_path: Path) -> None:
    one, two = corpus("one", phones="⊙ ⊛ ⊝ AA1"), corpus("two")
    sources = {"one": CorpusSource(one, alignments=one / "phones.csv"), "two": CorpusSource(two)}
    with pytest.raises(LayersimError, match=r"no built-in phone set covers these.*--phone-set one=SET"):
        create_study(tmp_path / "ws", sources, "openai/whisper-base")
    assert not (tmp_path / "ws").exists()


def test_corpora_that_share_no_emotion_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    sources = {"one": CorpusSource(corpus("one", ("anger",))), "two": CorpusSource(corpus("two", ("fear",)))}
    with pytest.raises(LayersimError, match="corpora one and two share no emotion"):
        create_study(tmp_path / "ws", sources, "openai/whisper-base")


def test_an_encoder_folder_that_is_not_there_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    sources = {"one": CorpusSource(corpus("one")), "two": CorpusSource(corpus("two"))}
    with pytest.raises(LayersimError, match=r"encoder \./models/none: no such folder"):
        create_study(tmp_path / "ws", sources, "./models/none")


def test_without_an_encoder_the_shipped_one_is_taken_and_called_a_demonstration(
    corpus: Corpus, tmp_path: Path
) -> None:
    sources = {"one": CorpusSource(corpus("one")), "two": CorpusSource(corpus("two"))}
    study = create_study(tmp_path / "ws", sources)
    assert Workspace.read(tmp_path / "ws").encoder == "layersim-mini"
    assert "encoder layersim-mini: a small one for demonstration" in study.to_table()
    named = create_study(tmp_path / "named", sources, "openai/whisper-base")
    assert not any("demonstration" in note for note in named.notes)


def test_a_folder_of_the_shipped_encoders_name_is_taken_before_it(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {"one": CorpusSource(corpus("one")), "two": CorpusSource(corpus("two"))}
    (tmp_path / "layersim-mini").mkdir()
    monkeypatch.chdir(tmp_path)
    study = create_study(tmp_path / "ws", sources, "layersim-mini")
    assert study.workspace.encoder == str(tmp_path / "layersim-mini")
    assert study.notes == []

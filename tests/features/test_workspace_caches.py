"""The extract stage in a workspace, and the caches as later stages open them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from layersim.alignment.textgrid import write_textgrid
from layersim.corpus.manifest import read_manifest, write_manifest
from layersim.errors import LayersimError, ProvenanceError, StageMissingError
from layersim.features.dataset import open_corpus
from layersim.features.extract import extract
from layersim.workspace import CorpusEntry, Workspace


@pytest.fixture
def workspace(tmp_path, make_corpus):
    """Two corpora; the first has phone times."""
    for name in ("english", "german"):
        made = make_corpus(tmp_path / name, count=20, name=name)
        write_manifest(read_manifest(made.folder / "manifest.csv"), made.folder / "manifest.csv")
    entries = {
        name: CorpusEntry(
            manifest=tmp_path / name / "manifest.csv", audio_root=tmp_path / name,
            alignments=tmp_path / name / "phones.csv" if name == "english" else None,
            phone_set="arpabet" if name == "english" else None,
        )
        for name in ("english", "german")
    }  # fmt: skip
    return Workspace.create(tmp_path / "study", "small", entries)


def test_all_corpora_are_extracted_and_open_joined_by_key(workspace, small, settings):
    results = extract(workspace, settings(), encoder=small.SmallEncoder())
    assert [(result.corpus, result.utterances) for result in results] == [("english", 20), ("german", 20)]
    assert results[1].phones is None
    for name in ("english", "german"):
        corpus = open_corpus(workspace, name, small.SmallEncoder().describe())
        assert corpus.cache.keys == [f"{name}/{row}" for row in corpus.table["utterance_id"]]
        assert (
            corpus.table["emotion"].tolist()
            == read_manifest(workspace.corpus(name).manifest)["emotion"].tolist()
        )
    assert open_corpus(workspace, "english").phone_set == "arpabet"
    assert open_corpus(workspace, "german").phone_set is None
    assert (workspace.cache_folder("german") / "run.json").exists()


def test_faults_of_all_corpora_come_at_once_and_before_the_encoder_is_loaded(workspace, settings):
    for name in ("english", "german"):
        (workspace.root.parent / name / "audio/u04.wav").unlink()
    # an encoder "small" does not exist: loading it would fail otherwise
    with pytest.raises(LayersimError, match=r"2 faults(.|\n)*english: .*u04.wav(.|\n)*german: .*u04.wav"):
        extract(workspace, settings())


def test_a_cache_made_otherwise_is_found_before_the_encoder_is_loaded(workspace, small, settings):
    extract(workspace, settings(limit=10), encoder=small.SmallEncoder())
    with pytest.raises(ProvenanceError, match="full run, replace the quick try: layersim extract --force"):
        extract(workspace, settings())


def test_one_corpus_can_be_extracted_by_name(workspace, small, settings):
    extract(workspace, settings(), corpora=["german"], encoder=small.SmallEncoder())
    with pytest.raises(StageMissingError, match=r"english: .*layersim extract"):
        open_corpus(workspace, "english")
    with pytest.raises(LayersimError, match=r"no corpus 'french'. Known: english, german"):
        extract(workspace, settings(), corpora=["french"], encoder=small.SmallEncoder())


def test_alignments_need_a_phone_set(workspace, small, settings):
    entry = workspace.corpora["english"].model_copy(update={"phone_set": None})
    workspace.corpora["english"] = entry
    with pytest.raises(LayersimError, match=r"\[corpora.english\]: alignments need a phone_set.*arpabet"):
        extract(workspace, settings(), encoder=small.SmallEncoder())


def test_alignment_files_that_end_elsewhere_than_their_audio_are_counted_and_named(
    workspace, small, settings
):
    folder = workspace.root.parent / "grids"
    for number in range(20):
        # Utterance n lasts 0.2 + 0.03 (n mod 5) s. Up to 0.1 s is rounding; u01 to u08 say 0.11 s more.
        seconds = 0.2 + 0.03 * (number % 5) + (0.11 if 1 <= number <= 8 else 0.09)
        write_textgrid(folder / f"u{number:02d}.TextGrid", seconds, {"phones": [(0.05, 0.1, "AA1")]})
    entry = workspace.corpora["english"].model_copy(update={"alignments": folder})
    workspace = replace(workspace, corpora={**workspace.corpora, "english": entry})
    result, _ = extract(workspace, settings(), encoder=small.SmallEncoder())
    assert [note for note in result.notes if "alignment files" in note] == [
        "8 alignment files end more than 0.1 s from the end of their audio: u01 (0.340 s, audio 0.230 s), "
        "u02 (0.370 s, audio 0.260 s), u03 (0.400 s, audio 0.290 s), u04 (0.430 s, audio 0.320 s), "
        "u05 (0.310 s, audio 0.200 s) and 3 more. Are they of these recordings?"
    ]
    assert result.notes == json.loads((result.folder / "run.json").read_text("utf-8"))["notes"]


def test_a_shorter_alignment_file_is_named_too_and_phones_beyond_the_audio_are_a_fault(
    workspace, small, settings, caplog
):
    folder = workspace.root.parent / "grids"
    for number in range(20):
        write_textgrid(folder / f"u{number:02d}.TextGrid", 0.2, {"phones": [(0.05, 0.1, "AA1")]})
    entry = workspace.corpora["english"].model_copy(update={"alignments": folder})
    workspace = replace(workspace, corpora={**workspace.corpora, "english": entry})
    result, _ = extract(workspace, settings(), encoder=small.SmallEncoder())
    assert any(note.startswith("4 alignment files end more than 0.1 s") for note in result.notes)  # 0.32 s
    assert "u04 (0.200 s, audio 0.320 s), u09" in caplog.text

    write_textgrid(folder / "u07.TextGrid", 0.5, {"phones": [(0.2, 0.5, "AA1")]})
    with pytest.raises(LayersimError, match=r"u07: phone 'AA1' at 0.200..0.500 s lies beyond the audio"):
        extract(workspace, settings(), encoder=small.SmallEncoder())
    assert "u07 (0.500 s, audio 0.260 s)" in caplog.text


def test_a_manifest_of_another_corpus_is_refused(workspace, small, settings):
    entries = workspace.corpora
    entries["english"] = entries["english"].model_copy(update={"manifest": entries["german"].manifest})
    with pytest.raises(LayersimError, match="holds rows of corpus german; expected english only"):
        extract(workspace, settings(), encoder=small.SmallEncoder())


def test_a_quick_try_covers_emotions_and_splits_and_serves_the_later_stages(workspace, small, settings):
    extract(workspace, settings(limit=12), encoder=small.SmallEncoder())
    corpus = open_corpus(workspace, "english")
    assert len(corpus.table) == len(corpus.cache) == 12
    assert set(corpus.table["split"]) == {"train", "validation", "test"}
    assert set(corpus.table["emotion"]) == {"anger", "happiness", "neutral", "sadness"}


def test_labels_and_splits_may_change_after_extraction_and_rows_may_move(workspace, small, settings):
    extract(workspace, settings(), encoder=small.SmallEncoder())
    file = workspace.corpus("english").manifest
    manifest = read_manifest(file)
    write_manifest(manifest.assign(emotion="fear").iloc[::-1], file)
    corpus = open_corpus(workspace, "english")
    assert set(corpus.table["emotion"]) == {"fear"}
    assert [f"english/{name}" for name in corpus.table["utterance_id"]] == corpus.cache.keys


@pytest.mark.parametrize("limit", [None, 12])
def test_changed_files_or_missing_utterances_are_refused(workspace, small, settings, limit):
    extract(workspace, settings(limit=limit), encoder=small.SmallEncoder())
    file = workspace.corpus("english").manifest
    manifest = read_manifest(file)
    held = open_corpus(workspace, "english").table["utterance_id"].iloc[0]
    is_held = manifest["utterance_id"] == held
    write_manifest(manifest.assign(path=manifest["path"].where(~is_held, "audio/u19.wav")), file)
    with pytest.raises(ProvenanceError, match=r"manifest_sha256: the cache has .*layersim extract --force"):
        open_corpus(workspace, "english")
    write_manifest(manifest[~is_held], file)
    with pytest.raises(ProvenanceError, match=rf"1 of them not in the manifest \(first: english/{held}\)"):
        open_corpus(workspace, "english")


def test_an_utterance_added_after_a_full_run_is_noticed_and_after_a_quick_try_is_not(
    workspace, small, settings
):
    file = workspace.corpus("english").manifest
    manifest = read_manifest(file)
    added = manifest.head(1).assign(utterance_id="new")
    extract(workspace, settings(limit=12), encoder=small.SmallEncoder())
    write_manifest(pd.concat([manifest, added], ignore_index=True), file)
    assert len(open_corpus(workspace, "english").table) == 12
    write_manifest(manifest, file)
    extract(workspace, settings(), encoder=small.SmallEncoder(), force=True)
    write_manifest(pd.concat([manifest, added], ignore_index=True), file)
    with pytest.raises(ProvenanceError, match=r"the cache holds 20 utterances.*has 21"):
        open_corpus(workspace, "english")


def test_another_encoder_than_the_caches_is_refused(workspace, small, settings):
    extract(workspace, settings(), encoder=small.SmallEncoder())
    with pytest.raises(
        ProvenanceError, match=r"encoder.checkpoint: the cache has 'small', asked for 'large'"
    ):
        open_corpus(workspace, "english", {"checkpoint": "large"})


def test_a_restricted_corpus_cannot_give_away_what_it_does_not_hold(workspace, small, settings):
    extract(workspace, settings(), encoder=small.SmallEncoder())
    whole = open_corpus(workspace, "english")
    train = whole.restrict("train")
    assert set(train.table["split"]) == {"train"}
    rows = np.flatnonzero(whole.table["split"] == "train")
    np.testing.assert_array_equal(train.rows, rows)
    np.testing.assert_array_equal(
        train.read("utterance/mean", "1"), whole.cache.read("utterance/mean", "1")[rows]
    )
    owners = set(train.phones["utterance"])
    assert owners <= {f"english/{name}" for name in train.table["utterance_id"]}
    assert len(train.read("phone/mean", "1")) == len(train.phones) < len(whole.phones)
    emotions = train.table["emotion"].loc[train.phones["row"]]
    assert emotions.index.isin(train.table.index).all()
    assert set(train.without_labels().table["emotion"]) == {""}
    with pytest.raises(LayersimError, match="no utterance with features is in split none"):
        whole.restrict("none")


def test_a_cache_of_an_encoder_folder_with_the_same_name_and_other_weights_is_refused(
    workspace, small, settings, tmp_path
):
    extract(workspace, settings(), encoder=small.SmallEncoder())
    (tmp_path / "elsewhere/small").mkdir(parents=True)
    (tmp_path / "elsewhere/small/model.safetensors").write_bytes(b"other weights")
    other = replace(workspace, encoder=str(tmp_path / "elsewhere/small"))
    with pytest.raises(ProvenanceError, match=r"encoder\.weights_sha256: the cache has .*, asked for"):
        open_corpus(other, "german")


def test_a_cache_pooled_by_another_phone_set_than_the_workspace_names_is_refused(workspace, small, settings):
    extract(workspace, settings(), encoder=small.SmallEncoder())
    name = next(name for name in workspace.corpora if workspace.corpus(name).phone_set)
    entry = workspace.corpus(name).model_copy(update={"phone_set": "pinyin"})
    other = replace(workspace, corpora={**workspace.corpora, name: entry})
    with pytest.raises(ProvenanceError, match=r"phone_set: the cache has .*, asked for 'pinyin'"):
        open_corpus(other, name)

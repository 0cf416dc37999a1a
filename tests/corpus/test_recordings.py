"""Manifest paths that leave the audio root, and who may let them."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from layersim.corpus import recordings
from layersim.corpus.audio import read_audio
from layersim.corpus.manifest import ManifestError, read_manifest
from layersim.corpus.manifest_rows import COLUMNS
from layersim.corpus.recordings import audio_file, read_corpus_manifest
from layersim.errors import LayersimError
from layersim.workspace import CorpusEntry, Workspace


def manifest_file(folder, *paths):
    rows = [f"c,u{row},{path},,,s{row},en,anger,train,," for row, path in enumerate(paths)]
    file = folder / "manifest.csv"
    file.write_text("\n".join([",".join(COLUMNS), *rows, ""]), "utf-8")
    return file


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "C:/secret.wav", "../other/a.wav", "wav/../../a.wav", "..", "wav/.."]
)
def test_a_path_that_leaves_the_audio_root_is_refused_with_its_row_unless_allowed_by_name(tmp_path, path):
    file = manifest_file(tmp_path, "a.wav", path)
    with pytest.raises(ManifestError) as caught:
        read_manifest(file)
    message = str(caught.value)
    assert f"row 3 (u1): path {path!r} leaves the audio root" in message
    assert "set outside_audio_root = true in the corpus's table of layersim.toml" in message
    entry = CorpusEntry(manifest=file, audio_root=tmp_path, outside_audio_root=True)
    assert read_corpus_manifest("c", entry)["path"].tolist() == ["a.wav", path]
    with pytest.raises(ManifestError, match="leaves the audio root"):
        read_corpus_manifest("c", entry.model_copy(update={"outside_audio_root": False}))


@pytest.mark.parametrize("path", ["a..b/c.wav", "...wav", "wav/.hidden/a.wav", "ab:c.wav", "./a.wav"])
def test_dots_and_colons_within_names_are_no_way_out(tmp_path, path):
    assert read_manifest(manifest_file(tmp_path, path))["path"].tolist() == [path]


def test_the_other_faults_of_a_path_stay_faults_where_leaving_is_allowed(tmp_path):
    with pytest.raises(ManifestError, match="has a backslash"):
        read_manifest(manifest_file(tmp_path, "..\\a.wav"), outside_audio_root=True)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_links_below_the_root_and_a_root_that_is_a_link_are_followed(tmp_path, write_tone):
    write_tone(tmp_path / "disk/speaker/a.wav", 0.5)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/speaker").symlink_to(tmp_path / "disk/speaker")
    (tmp_path / "corpus/b.wav").symlink_to(tmp_path / "disk/speaker/a.wav")
    (tmp_path / "root").symlink_to(tmp_path / "corpus")
    file = manifest_file(tmp_path, "speaker/a.wav", "b.wav")
    entry = CorpusEntry(manifest=file, audio_root=tmp_path / "root")
    for path in read_corpus_manifest("c", entry)["path"]:
        assert len(read_audio(audio_file(entry.audio_root, path))) == 8_000


def test_rows_of_another_corpus_are_refused(tmp_path):
    entry = CorpusEntry(manifest=manifest_file(tmp_path, "a.wav"), audio_root=tmp_path)
    with pytest.raises(LayersimError, match="holds rows of corpus c; expected emodb only"):
        read_corpus_manifest("emodb", entry)


def test_the_key_is_read_from_layersim_toml_and_written_only_where_it_is_set(tmp_path):
    entries = {
        "shut": CorpusEntry(manifest=tmp_path / "a.csv", audio_root=tmp_path),
        "open": CorpusEntry(manifest=tmp_path / "b.csv", audio_root=tmp_path, outside_audio_root=True),
    }
    workspace = Workspace.create(tmp_path / "study", "layersim-mini", entries)
    assert {name: entry.outside_audio_root for name, entry in workspace.corpora.items()} == {
        "shut": False, "open": True,
    }  # fmt: skip
    text = (workspace.root / "layersim.toml").read_text("utf-8")
    assert text.count("outside_audio_root") == 1
    (workspace.root / "layersim.toml").write_text(text.replace("= true", '= "yes"'), "utf-8")
    with pytest.raises(LayersimError, match=r"table \[corpora\.open\]: outside_audio_root: .*valid boolean"):
        Workspace.read(workspace.root)


def test_every_stage_that_opens_recordings_goes_by_the_key(tmp_path, write_tone):
    from layersim.alignment.preparation import read_utterances
    from layersim.corpus.check import check_corpus
    from layersim.features.extract import ExtractConfig, extract
    from layersim.report.outputs import corpus_outputs
    from layersim.settings import resolve_settings
    from layersim.workspace import no_progress

    elsewhere = write_tone(tmp_path / "elsewhere/a.wav", 0.5)
    write_tone(tmp_path / "root/b.wav", 0.5, seed=1)
    file = manifest_file(tmp_path, elsewhere, "../elsewhere/a.wav", "b.wav")
    entry = CorpusEntry(manifest=file, audio_root=tmp_path / "root", outside_audio_root=True)
    workspace = Workspace.create(tmp_path / "study", "layersim-mini", {"c": entry})
    shut = replace(workspace, corpora={"c": entry.model_copy(update={"outside_audio_root": False})})

    utterances, _ = read_utterances("c", entry, no_progress)
    assert [utterance.failure for utterance in utterances] == [None] * 3
    report = check_corpus(read_corpus_manifest("c", entry), entry.audio_root, outside_audio_root=True)
    assert report.duplicates == [["c/u0", "c/u1"]]
    with pytest.raises(ManifestError, match="leaves the audio root"):
        check_corpus(read_corpus_manifest("c", entry), entry.audio_root)
    assert len(corpus_outputs(workspace)[0].manifest) == 3
    settings = resolve_settings(ExtractConfig, {})
    with pytest.raises(ManifestError, match=r"2 bad rows(.|\n)*leaves the audio root"):
        extract(shut, settings)
    (result,) = extract(workspace, settings)
    assert result.utterances == 3


@pytest.mark.parametrize("disk", ["fast", "slow", "processes"])
def test_files_are_looked_at_in_order_whatever_the_disk(disk, monkeypatch):
    monkeypatch.setattr(recordings, "_SLOW", 1e9 if disk == "fast" else 0.0)
    threads = set()

    def look(item):
        threads.add(threading.get_ident())
        time.sleep(0.001)
        return -item

    items = list(range(200))
    with ThreadPoolExecutor(2) as pool:
        found = list(recordings.map_files(look, items, pool if disk == "processes" else None))
    assert found == [-item for item in items]
    here = threading.get_ident() in threads
    assert (here, len(threads) > 1) == {"fast": (True, False), "slow": (True, True)}.get(disk, (False, True))


def test_an_error_of_one_file_comes_through():
    with pytest.raises(OSError, match="3 is broken"):
        list(recordings.map_files(broken_third, range(5)))


def broken_third(item):
    if item == 3:
        raise OSError("3 is broken")
    return item

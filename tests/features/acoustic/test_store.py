"""The store on disk: what later stages read of it, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from layersim.adaptation.data import read_labelled, read_unlabelled
from layersim.corpus.audio import read_audio
from layersim.corpus.manifest import read_manifest, write_manifest
from layersim.errors import LayersimError, ProvenanceError, StageMissingError
from layersim.features.acoustic import sets
from layersim.features.acoustic.extract import extract_acoustic
from layersim.features.acoustic.store import open_acoustic
from layersim.features.dataset import CorpusFeatures
from layersim.workspace import CorpusEntry, Workspace


def quantiles(wave: np.ndarray) -> np.ndarray:
    """Stand in for openSMILE: 88 quantiles, none for less than 60 ms; quick, and there without the extra."""
    if len(wave) < 960:
        return np.full((1, 88), np.nan, dtype=np.float32)
    return np.quantile(wave, np.linspace(0, 1, 88))[None].astype(np.float32)


def grid(wave: np.ndarray) -> np.ndarray:
    return np.outer(np.linspace(1, 2, 92), np.resize(wave, 128)).astype(np.float32)


@pytest.fixture
def workspace(tmp_path, make_corpus, monkeypatch) -> Workspace:
    """Two corpora of 11 utterances, and quick stand-ins for the sets' computation."""
    monkeypatch.setattr(
        sets, "SETS",
        {"egemaps": replace(sets.SETS["egemaps"], compute=quantiles, libraries=()),
         "sequences": replace(sets.SETS["sequences"], compute=grid)},
    )  # fmt: skip
    for name in ("english", "german"):
        file = make_corpus(tmp_path / name, name=name).folder / "manifest.csv"
        write_manifest(read_manifest(file), file)
    entries = {
        name: CorpusEntry(manifest=tmp_path / name / "manifest.csv", audio_root=tmp_path / name)
        for name in ("english", "german")
    }
    return Workspace.create(tmp_path / "study", "small", entries)


def extract(workspace: Workspace, set_name: str = "egemaps", **options) -> list:
    return extract_acoustic(workspace, set_name, n_jobs=1, **{"shard_size": 4, **options})


def parts(workspace: Workspace, corpus: str = "english", set_name: str = "egemaps") -> dict[str, bytes]:
    folder = workspace.root / "acoustic" / set_name / corpus
    return {file.name: file.read_bytes() for file in sorted(folder.glob("part-*"))}


def waves(workspace: Workspace, corpus: str) -> list[np.ndarray]:
    entry = workspace.corpus(corpus)
    return [read_audio(entry.audio_root / path) for path in read_manifest(entry.manifest)["path"]]


@pytest.mark.parametrize(("set_name", "compute"), [("egemaps", quantiles), ("sequences", grid)])
def test_what_was_computed_is_read_by_row_whatever_layers_are_named(workspace, set_name, compute):
    results = extract(workspace, set_name)
    assert [(result.corpus, result.utterances, result.computed) for result in results] == [
        ("english", 11, 11), ("german", 11, 11),
    ]  # fmt: skip
    corpus = open_acoustic(workspace, "english", set_name)
    assert isinstance(corpus, CorpusFeatures)
    expected = np.stack([compute(wave) for wave in waves(workspace, "english")])
    rows = np.array([10, 3, 4, 0, 3])
    for layers in ((), (set_name,), ("3", "11")):
        found = corpus.cache.vectors(layers, rows)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected[rows])
    assert corpus.cache.vectors((), np.empty(0, dtype=np.int64)).shape == (0, *expected.shape[1:])
    with pytest.raises(ValueError, match=r"rows: expected 0..10, got 0..11"):
        corpus.cache.vectors((), np.array([0, 11]))


def test_it_is_a_cache_whose_provenance_says_what_was_computed(workspace):
    extract(workspace)
    extract(workspace, "sequences")
    cache = open_acoustic(workspace, "german", "egemaps").cache
    assert cache.layers == ("egemaps",)
    assert cache.keys == [f"german/u{number:02d}" for number in range(11)]
    assert cache.provenance["encoder"]["checkpoint"] == "opensmile:eGeMAPSv02"
    assert cache.table["samples"].tolist() == [len(wave) for wave in waves(workspace, "german")]
    assert cache.table["frames"].tolist() == [0] * 11
    pictures = open_acoustic(workspace, "german", "sequences")
    assert pictures.cache.provenance["encoder"]["parameters"]["hop"] == 375
    assert pictures.cache.provenance["versions"].keys() >= {"librosa", "scipy", "soxr", "numpy"}
    assert pictures.phone_set is None
    frames = [int(sets.recorded_frames(len(wave)).sum()) for wave in waves(workspace, "german")]
    assert pictures.cache.table["frames"].tolist() == frames
    run = json.loads((cache.folder / "run.json").read_text())
    assert run["command"].startswith("layersim extract --corpus german --acoustic egemaps")
    assert run["results"]["shape"] == [1, 88]


def test_training_reads_it_as_it_reads_layers(workspace):
    extract(workspace)
    corpus = open_acoustic(workspace, "english", "egemaps")
    classes = ("anger", "happiness", "neutral", "sadness")
    part, table = read_labelled(corpus, "train", ("egemaps",), classes), corpus.restrict("train").table
    computed = np.stack([quantiles(wave) for wave in waves(workspace, "english")])
    assert part.features.shape == (len(table), 1, 88)
    np.testing.assert_array_equal(part.features.numpy(), computed[table.index])
    assert part.emotions == tuple(table["emotion"])
    assert len(read_unlabelled(corpus, "train", ("egemaps",))) == len(table)


def test_layers_and_phones_are_refused(workspace):
    extract(workspace)
    corpus = open_acoustic(workspace, "english", "egemaps")
    with pytest.raises(LayersimError, match=r"holds opensmile:eGeMAPSv02.*acoustic features have no layers"):
        corpus.read("utterance/mean", "3")
    assert corpus.phones.empty


def test_what_is_there_is_kept_and_its_bytes_do_not_depend_on_the_time(workspace):
    extract(workspace)
    before = parts(workspace)
    assert list(before) == ["part-00000.h5", "part-00001.h5", "part-00002.h5"]
    (workspace.root / "acoustic/egemaps/english/part-00001.h5").unlink()
    results = extract(workspace)
    assert [result.computed for result in results] == [4, 0]
    assert parts(workspace) == before
    assert "already complete" in results[1].to_table()


def test_other_parameters_are_refused_with_both_values_and_replaced_with_force(workspace, monkeypatch):
    extract(workspace)
    with pytest.raises(ProvenanceError, match="shard_size: the cache has 4, asked for 5"):
        extract(workspace, shard_size=5)
    other = {"egemaps": replace(sets.SETS["egemaps"], checkpoint="opensmile:eGeMAPSv03")}
    monkeypatch.setattr(sets, "SETS", other)
    said = (
        r"encoder.checkpoint: the cache has 'opensmile:eGeMAPSv02', asked for 'opensmile:eGeMAPSv03'"
        r"(.|\n)*layersim extract --acoustic egemaps --force"
    )
    with pytest.raises(ProvenanceError, match=said):
        open_acoustic(workspace, "english", "egemaps")
    with pytest.raises(ProvenanceError, match=said):
        extract(workspace)
    assert [result.computed for result in extract(workspace, force=True)] == [11, 11]
    open_acoustic(workspace, "english", "egemaps")


def test_a_changed_manifest_is_noticed(workspace):
    extract(workspace)
    file = workspace.corpus("english").manifest
    table = read_manifest(file)
    write_manifest(table.iloc[:-1], file)
    with pytest.raises(ProvenanceError, match=r"u10(.|\n)*layersim extract --acoustic egemaps --force"):
        open_acoustic(workspace, "english", "egemaps")
    write_manifest(table.assign(emotion=table["source_label"].str.upper().str.lower()), file)
    open_acoustic(workspace, "english", "egemaps")  # labels decide no number
    assert open_acoustic(workspace, "german", "egemaps").name == "german"


def test_what_is_missing_says_which_command_makes_it(workspace):
    with pytest.raises(StageMissingError, match=r"english: .*holds no features.*extract --acoustic egemaps"):
        open_acoustic(workspace, "english", "egemaps")
    extract(workspace)
    (workspace.root / "acoustic/egemaps/english/part-00001.h5").unlink()
    with pytest.raises(StageMissingError, match="2 of 3 shards are there"):
        open_acoustic(workspace, "english", "egemaps")
    with pytest.raises(LayersimError, match=r"no acoustic features 'mfcc'. Known: egemaps, sequences"):
        open_acoustic(workspace, "english", "mfcc")


def test_recordings_too_short_for_a_set_are_named_and_the_other_shards_kept(workspace, write_tone):
    for number in (4, 6):
        write_tone(workspace.corpus("english").audio_root / f"audio/u{number:02d}.wav", 0.05)
    said = (
        r"english: 2 recordings cannot be used(.|\n)*english/u04 \(u04.wav\): opensmile:eGeMAPSv02 gives no "
        r"number for 88 of 88 values; its 50 ms are too short(.|\n)*u06(.|\n)*are kept"
    )
    with pytest.raises(LayersimError, match=said):
        extract(workspace)
    assert list(parts(workspace)) == ["part-00000.h5", "part-00002.h5"]


def test_a_recording_that_cannot_be_read_is_named_before_anything_is_computed(workspace):
    (workspace.corpus("german").audio_root / "audio/u03.wav").unlink()
    with pytest.raises(LayersimError, match=r"german: 1 recordings(.|\n)*u03.wav: no such file"):
        extract(workspace)
    assert parts(workspace) == {}


def test_an_interrupted_run_leaves_whole_shards_and_no_temporary_file(workspace):
    def interrupt(label: str, done: float, total: float) -> None:
        if label == "extracting egemaps of english" and done > 1.5:  # of 2.9 s; a shard is 1.0
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(workspace, progress=interrupt)
    assert list(parts(workspace)) == ["part-00000.h5"]


def test_progress_counts_seconds_of_audio(workspace):
    told: list[SimpleNamespace] = []
    extract(
        workspace, corpora=["english"],
        progress=lambda label, done, total: told.append(SimpleNamespace(label=label, done=done, total=total)),
    )  # fmt: skip
    own = [word for word in told if word.label == "extracting egemaps of english"]
    seconds = sum(map(len, waves(workspace, "english"))) / 16_000
    assert (own[0].done, own[-1].done) == (0, own[-1].total)
    assert own[-1].total == pytest.approx(seconds)


def test_a_missing_library_is_said_before_recordings_are_read(workspace, monkeypatch):
    lacking = replace(sets.SETS["egemaps"], libraries=("opensmile-that-is-not-there",))
    monkeypatch.setattr(sets, "SETS", {"egemaps": lacking})
    with pytest.raises(LayersimError, match="egemaps: opensmile-that-is-not-there is not installed"):
        extract(workspace, progress=lambda *_: pytest.fail("a recording was read"))

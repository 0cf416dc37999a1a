"""Recordings that fail in the middle of a corpus: the rest is finished; mended, a clean run comes out."""

from __future__ import annotations

import csv
import json

import h5py
import numpy as np
import pandas as pd
import pytest
import soundfile

from layersim.corpus.manifest import read_manifest, write_manifest
from layersim.errors import AudioError, LayersimError, ProvenanceError
from layersim.features.cache import FeatureCache
from layersim.features.dataset import open_corpus
from layersim.features.extract import extract, extract_corpus
from layersim.workspace import CorpusEntry, Workspace


@pytest.fixture
def run(corpus, small, settings):
    def run(keep_going=True, encoder=None, force=False, phones=None, **flags):
        return extract_corpus(
            corpus.manifest, corpus.folder, encoder or small.SmallEncoder(), corpus.folder / "cache",
            settings(**flags), corpus.phones if phones is None else phones, "arpabet", force=force,
            keep_going=keep_going,
        )  # fmt: skip

    return run


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.glob("part-*"))}


def bad_header(file):
    file.write_bytes(b"no audio at all")


def silent(file):
    soundfile.write(file, np.zeros(4_000), 16_000)


def not_a_number(file):
    wave = np.full(4_000, 0.1, dtype=np.float32)
    wave[17] = np.nan
    soundfile.write(file, wave, 16_000, subtype="FLOAT")


def too_short(file):
    soundfile.write(file, np.full(399, 0.1), 16_000)


def cut_off(file):
    """A FLAC whose header promises all of it, under the name of a WAV."""
    whole = file.with_suffix(".flac")
    soundfile.write(whole, 0.3 * np.random.default_rng(1).standard_normal(8_000), 16_000)
    file.write_bytes(whole.read_bytes()[:6_000])


FAULTS = {
    "is no audio that can be read": bad_header,
    "every sample is zero": silent,
    "holds NaN or infinite samples": not_a_number,
    "24.9 ms is under the 25 ms of one frame": too_short,
    "u04.wav: ": cut_off,
    "no such file": lambda file: file.unlink(),
}


@pytest.mark.parametrize(("reason", "batch_seconds"), list(zip(FAULTS, [0, 2] * 3, strict=True)))
def test_one_bad_recording_is_left_out_and_mended_gives_the_bytes_of_a_clean_run(
    run, corpus, small, reason, batch_seconds
):
    run(batch_seconds=batch_seconds)
    clean = contents(corpus.folder / "cache")
    means = FeatureCache.open(corpus.folder / "cache").read("utterance/mean", "1")
    for file in (corpus.folder / "cache").iterdir():
        file.unlink()

    file = corpus.folder / "audio/u04.wav"
    whole = file.read_bytes()
    FAULTS[reason](file)
    result = run(batch_seconds=batch_seconds)
    cache = FeatureCache.open(corpus.folder / "cache")
    assert list(cache.failed) == ["tones/u04"]
    assert reason in cache.failed["tones/u04"]
    assert "u04.wav" in cache.failed["tones/u04"]
    others = [row for row in range(11) if row != 4]
    assert cache.keys == [f"tones/u{row:02d}" for row in others]
    assert cache.requested == [f"tones/u{row:02d}" for row in range(11)]
    # alone they are what they were, byte by byte; in another batch up to rounding
    np.testing.assert_allclose(
        cache.read("utterance/mean", "1"), means[others], rtol=1e-5 if batch_seconds else 0, atol=1e-7
    )
    assert {name: content for name, content in clean.items() if name != "part-00001.h5"} == {
        name: content
        for name, content in contents(corpus.folder / "cache").items()
        if name != "part-00001.h5"
    }
    assert (result.failed, result.failures[0].utterance) == (1, "tones/u04")
    rows = list(csv.reader((corpus.folder / "cache/failed.csv").read_text("utf-8").splitlines()))
    assert rows == [
        ["utterance", "path", "reason"],
        ["tones/u04", "audio/u04.wav", cache.failed["tones/u04"]],
    ]

    again = small.SmallEncoder()
    run(encoder=again, batch_seconds=batch_seconds)  # still bad: tried again, and nothing but its shard
    assert sum(again.batches) == 2

    file.write_bytes(whole)
    mended = small.SmallEncoder()
    result = run(keep_going=False, encoder=mended, batch_seconds=batch_seconds)
    assert sum(mended.batches) == 3
    assert contents(corpus.folder / "cache") == clean
    assert result.failed == 0
    assert not (corpus.folder / "cache/failed.csv").exists()


def test_the_result_counts_failures_by_emotion_and_shows_the_first_ten(corpus, small, settings, tmp_path):
    for number in range(11):
        if number != 6:
            bad_header(corpus.folder / f"audio/u{number:02d}.wav")
    result = extract_corpus(
        corpus.manifest.iloc[:11], corpus.folder, small.SmallEncoder(), tmp_path / "c", settings(),
        keep_going=True,
    )  # fmt: skip
    assert (result.utterances, result.of, result.failed, len(result.failures)) == (1, 11, 10, 10)
    # u06 is neutral, one of 3; anger and happiness have 3 utterances, sadness 2
    assert result.notes[0].startswith(
        "10 of 11 utterances have no features and are left out: anger 3 of 3, happiness 3 of 3, "
        f"neutral 2 of 3, sadness 2 of 2. Why is in {tmp_path / 'c' / 'failed.csv'}; "
    )
    lines = result.to_table().splitlines()
    assert lines[0].startswith("tones: 1 of 11 utterances")
    assert "  10 failed:" in lines
    assert lines[-1].startswith("    tones/u10: ")
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert document["failures"][0]["path"] == "audio/u00.wav"
    assert json.loads((tmp_path / "c/run.json").read_text())["results"]["failed"] == 10


def test_phones_middle_thirds_and_frames_close_up_over_what_failed(run, corpus, small):
    silent(corpus.folder / "audio/u03.wav")  # known when it is decoded
    not_a_number(corpus.folder / "audio/u05.wav")
    too_short(corpus.folder / "audio/u07.wav")  # known from its header
    result = run(store="frames", middle=True, batch_seconds=2)
    cache = FeatureCache.open(corpus.folder / "cache")
    kept = [row for row in range(11) if row not in (3, 5, 7)]
    assert cache.keys == [f"tones/u{row:02d}" for row in kept]
    with_phones = [row for row in kept if row % 4 != 3]
    assert cache.phones["utterance"].tolist() == [
        f"tones/u{row:02d}" for row in with_phones for _ in range(2)
    ]
    assert cache.phones["phone"].tolist() == ["AA1", "IY0"] * len(with_phones)
    assert (result.phones.utterances, result.phones.pooled) == (8, 2 * len(with_phones))
    assert result.phones.vowels == result.phones.pooled
    encoder = small.SmallEncoder()
    for place, row in enumerate(kept):
        wave, _ = soundfile.read(corpus.folder / f"audio/u{row:02d}.wav", dtype="float32")
        frames = encoder.frames_of(wave)
        np.testing.assert_allclose(
            cache.read("utterance/mean", "2")[place], frames[2].mean(axis=0), rtol=1e-4, atol=1e-6
        )
        np.testing.assert_allclose(
            cache.frames(f"tones/u{row:02d}"), frames.astype(np.float16), rtol=2e-3, atol=1e-3
        )
        if row in with_phones:
            np.testing.assert_allclose(
                cache.read("phone/mean", "2")[2 * with_phones.index(row)],
                frames[2, 2:5].mean(axis=0), rtol=1e-4, atol=1e-6,
            )  # fmt: skip
    with h5py.File(corpus.folder / "cache/part-00001.h5") as shard:  # u03, u04, u05
        assert shard["utterance/failed"]["place"].tolist() == [0, 2]
        assert shard["frame_offsets"][:].tolist() == [0, 15]  # u04 has 0.32 s
        assert shard["frames"].shape == (3, 15, 5)


def test_a_shard_in_which_all_fail_is_empty_and_the_rest_is_there(run, corpus):
    for number in (3, 4, 5):
        bad_header(corpus.folder / f"audio/u{number:02d}.wav")
    for store in ("pooled", "frames"):
        run(store=store, force=True)
        cache = FeatureCache.open(corpus.folder / "cache")
        assert cache.keys == [f"tones/u{row:02d}" for row in (0, 1, 2, 6, 7, 8, 9, 10)]
        assert cache.read("utterance/mean", "0").shape == (8, 5)
        assert sum(len(rows) for rows, _ in cache.chunks("phone/mean", "0")) == cache.phone_count == 14


def test_without_keep_going_a_file_that_is_still_bad_is_refused_and_nothing_is_lost(run, corpus, small):
    silent(corpus.folder / "audio/u04.wav")
    bad_header(corpus.folder / "audio/u09.wav")
    run()
    before = contents(corpus.folder / "cache")
    encoder = small.SmallEncoder()
    with pytest.raises(LayersimError, match=r"1 faults, found before anything was computed(.|\n)*u09\.wav"):
        run(keep_going=False, encoder=encoder)
    assert encoder.batches == []
    (corpus.folder / "audio/u09.wav").write_bytes((corpus.folder / "audio/u08.wav").read_bytes())
    with pytest.raises(
        AudioError, match=r"u04\.wav: every sample is zero(.|\n)*layersim extract --keep-going"
    ):
        run(keep_going=False)
    assert contents(corpus.folder / "cache") == before
    assert FeatureCache.open(corpus.folder / "cache").failed.keys() == {"tones/u04", "tones/u09"}


def test_features_that_are_not_finite_are_a_failure_of_that_utterance_alone(run, corpus, small):
    encoder = small.SmallEncoder()
    encoder.spoil = {4: float("nan")}  # utterances run one at a time here, the longest of a shard first
    result = run(encoder=encoder)
    (failure,) = result.failures
    assert failure.utterance in {"tones/u03", "tones/u04", "tones/u05"}
    assert "the encoder gave NaN or Inf in layer 0" in failure.reason
    assert run().failed == 0


def test_frames_beyond_half_precision_are_a_failure_of_that_utterance_alone(run, small):
    encoder = small.SmallEncoder()
    encoder.spoil = {0: 1e6, 5: float("nan")}
    result = run(encoder=encoder, store="frames")
    assert result.failed == 2
    assert "half precision" in result.failures[0].reason
    assert "NaN" in result.failures[1].reason


@pytest.mark.parametrize("shard_size", [3, 11])
def test_an_encoder_that_never_gives_a_number_stops_at_the_first_shard(run, corpus, small, shard_size):
    encoder = small.SmallEncoder()
    encoder.weights[1] = np.nan
    with pytest.raises(LayersimError) as caught:
        run(encoder=encoder, shard_size=shard_size)
    message = str(caught.value)
    count = min(shard_size, 11)
    assert f"tones: the encoder gave no finite features for any of {count} utterances" in message
    assert "no use to keep going" in message
    assert "NaN or Inf in layer 1. Its precision is fp32" in message
    assert sum(encoder.batches) == count
    assert contents(corpus.folder / "cache") == {}


def test_a_corpus_of_which_nothing_can_be_used_is_refused(run, corpus, small):
    for number in range(11):
        silent(corpus.folder / f"audio/u{number:02d}.wav")
    with pytest.raises(LayersimError, match=r"tones: none of 11 utterances has features:(.|\n)*and 1 more"):
        run()
    for number in range(11):
        bad_header(corpus.folder / f"audio/u{number:02d}.wav")
    with pytest.raises(LayersimError, match="11 faults, found before anything was computed"):
        run(force=True)


def test_phones_beyond_the_audio_are_refused_all_the_same(run, corpus):
    bad_header(corpus.folder / "audio/u03.wav")
    late = pd.DataFrame({"utterance_id": ["u00"], "start": [0.3], "end": [0.4], "phone": ["AA1"]})
    with pytest.raises(LayersimError, match=r"1 faults(.|\n)*u00: phone 'AA1' at 0\.300"):
        run(phones=pd.concat([corpus.phones, late], ignore_index=True))


def test_a_recording_that_is_lost_after_its_features_were_made_keeps_them(run, corpus, small):
    run()
    before = contents(corpus.folder / "cache")
    (corpus.folder / "audio/u04.wav").unlink()
    encoder = small.SmallEncoder()
    result = run(encoder=encoder)
    assert (result.failed, result.utterances, encoder.batches) == (0, 11, [])
    assert any(
        note.startswith("1 recordings cannot be used any more and keep the features that they have (first: "
                        "tones/u04)")
        for note in result.notes
    )  # fmt: skip
    assert contents(corpus.folder / "cache") == before


def test_a_recording_exchanged_while_the_run_is_on_is_a_fault_and_not_a_bug(
    corpus, small, settings, write_tone
):
    def run(keep_going):
        for row in range(11):
            write_tone(corpus.folder / f"audio/u{row:02d}.wav", 0.2 + 0.03 * (row % 5), seed=row)

        def exchange(label, done, total):
            if label.startswith("extracting"):
                write_tone(corpus.folder / "audio/u10.wav", 0.4)

        return extract_corpus(
            corpus.manifest, corpus.folder, small.SmallEncoder(), corpus.folder / "cache", settings(),
            progress=exchange, keep_going=keep_going,
        )  # fmt: skip

    with pytest.raises(
        AudioError, match=r"u10\.wav: was exchanged during this run: 3200 samples at first, 6400"
    ):
        run(keep_going=False)
    assert run(keep_going=True).failed == 1


def test_caches_of_older_versions_which_said_the_samples_of_all_audio_serve_and_are_finished(run, corpus):
    run(keep_going=False)
    clean = contents(corpus.folder / "cache")
    (corpus.folder / "cache/part-00002.h5").unlink()
    for file in (corpus.folder / "cache").glob("part-*.h5"):
        with h5py.File(file, "a") as shard:
            shard.attrs["samples"] = json.dumps(45_440)
    run(keep_going=False)
    cache = FeatureCache.open(corpus.folder / "cache")
    assert contents(corpus.folder / "cache")["part-00002.h5"] == clean["part-00002.h5"]
    # 2 of each of 0.2, 0.23, 0.26, 0.29 and 0.32 s, and one more of 0.2: what older versions said, said still
    assert cache.provenance["samples"] == (2 * (3200 + 3680 + 4160 + 4640 + 5120) + 3200)


@pytest.fixture
def workspace(tmp_path, make_corpus):
    """Two corpora; the second's u03 (sadness) and u04 (anger) cannot be used."""
    entries = {}
    for name in ("english", "german"):
        made = make_corpus(tmp_path / name, count=20, name=name)
        write_manifest(read_manifest(made.folder / "manifest.csv"), made.folder / "manifest.csv")
        entries[name] = CorpusEntry(manifest=made.folder / "manifest.csv", audio_root=made.folder)
    bad_header(tmp_path / "german/audio/u03.wav")
    silent(tmp_path / "german/audio/u04.wav")
    return Workspace.create(tmp_path / "study", "small", entries)


def test_later_stages_leave_out_what_failed_and_say_so_by_emotion(workspace, small, settings, caplog):
    results = extract(workspace, settings(), encoder=small.SmallEncoder(), keep_going=True)
    assert [result.failed for result in results] == [0, 2]
    assert open_corpus(workspace, "english").notes == ()
    corpus = open_corpus(workspace, "german")
    keys = [f"german/u{row:02d}" for row in range(20) if row not in (3, 4)]
    assert [f"german/{name}" for name in corpus.table["utterance_id"]] == corpus.cache.keys == keys
    assert corpus.notes[0].startswith(
        "german: 2 of 20 utterances have no features and are left out: anger 1 of 5, sadness 1 of 5. Why is"
    )
    assert corpus.notes[0] in caplog.text
    file = workspace.corpus("german").manifest
    manifest = read_manifest(file)
    write_manifest(manifest.assign(emotion="fear").iloc[::-1], file)  # rows may move, labels may change
    corpus = open_corpus(workspace, "german")
    assert [f"german/{name}" for name in corpus.table["utterance_id"]] == keys
    write_manifest(manifest[manifest["utterance_id"] != "u03"], file)
    with pytest.raises(ProvenanceError, match=r"1 of them not in the manifest \(first: german/u03\)"):
        open_corpus(workspace, "german")


def test_a_ranking_is_made_of_what_is_there_notes_it_and_is_stale_once_the_rest_is_mended(
    workspace, small, settings
):
    from layersim.similarity.inputs import fingerprint
    from layersim.similarity.rank import RankConfig, rank_layers

    extract(workspace, settings(), encoder=small.SmallEncoder(), keep_going=True)
    corpora = [open_corpus(workspace, name) for name in ("english", "german")]
    ranking = rank_layers(*corpora, RankConfig(bootstraps=0, permutations=20, minimum_cell=2))
    assert any(note.startswith("german: 2 of 20 utterances have no features") for note in ranking.notes)
    before = fingerprint(corpora[1], False)
    audio = workspace.corpus("german").audio_root / "audio"
    for number in (3, 4):
        (audio / f"u{number:02d}.wav").write_bytes((audio / "u08.wav").read_bytes())
    (mended,) = extract(workspace, settings(), ["german"], encoder=small.SmallEncoder())
    assert mended.failed == 0
    assert fingerprint(open_corpus(workspace, "german"), False) != before


def test_acoustic_features_keep_going_too(workspace, small, settings):
    from layersim.features.acoustic.extract import extract_acoustic
    from layersim.features.acoustic.store import acoustic_folder, open_acoustic

    with pytest.raises(LayersimError, match=r"german: 1 recordings cannot be used(.|\n)*u03\.wav"):
        extract_acoustic(workspace, "sequences", n_jobs=1)
    results = extract_acoustic(workspace, "sequences", keep_going=True, n_jobs=1, shard_size=3)
    assert [(result.failed, result.utterances) for result in results] == [(0, 20), (2, 18)]
    assert [failure.utterance for failure in results[1].failures] == ["german/u03", "german/u04"]
    assert any("layersim extract --acoustic sequences" in note for note in results[1].notes)
    corpus = open_acoustic(workspace, "german", "sequences")
    assert len(corpus.table) == len(corpus.cache.vectors([], corpus.rows)) == 18

    audio, folder = (
        workspace.corpus("german").audio_root / "audio",
        acoustic_folder(workspace, "german", "sequences"),
    )
    kept = (folder / "part-00002.h5").read_bytes()
    for number in (3, 4):
        (audio / f"u{number:02d}.wav").write_bytes((audio / "u08.wav").read_bytes())
    (mended,) = extract_acoustic(workspace, "sequences", ["german"], n_jobs=1, shard_size=3)
    assert (mended.failed, mended.computed) == (0, 3)
    assert (folder / "part-00002.h5").read_bytes() == kept
    assert not (folder / "failed.csv").exists()

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

from layersim.corpus.audio import read_audio
from layersim.errors import AudioError, LayersimError, ProvenanceError, StageMissingError
from layersim.features.cache import FeatureCache
from layersim.features.extract import extract_corpus


@pytest.fixture
def run(corpus, small, settings):
    """Extract the small corpus; keyword arguments beyond a few are settings."""

    def run(encoder=None, force=False, phones=True, manifest=None, progress=lambda *_: None, **flags):
        return extract_corpus(
            corpus.manifest if manifest is None else manifest,
            corpus.folder, encoder or small.SmallEncoder(), corpus.folder / "cache", settings(**flags),
            corpus.phones if phones is True else (phones if isinstance(phones, pd.DataFrame) else None),
            "arpabet" if phones is not False else None, progress, force,
        )  # fmt: skip

    return run


def files(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.glob("part-*"))}


def test_every_vector_is_a_plain_loops_over_that_utterance_alone(run, corpus, small):
    run()
    encoder, cache = small.SmallEncoder(), FeatureCache.open(corpus.folder / "cache")
    assert cache.keys == [f"tones/u{number:02d}" for number in range(11)]
    for layer in cache.layers:
        mean, std = cache.read("utterance/mean", layer), cache.read("utterance/std", layer)
        phones = cache.read("phone/mean", layer)
        place = 0
        for row, path in enumerate(corpus.manifest["path"]):
            frames = encoder.frames_of(read_audio(corpus.folder / path))[int(layer)].astype(np.float64)
            np.testing.assert_allclose(mean[row], frames.mean(axis=0), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(std[row], frames.std(axis=0), rtol=1e-4, atol=1e-6)
            if row % 4 != 3:
                # AA1 50..100 ms holds the centres 52.5, 72.5, 92.5; IY0 102..107 ms none: 112.5 is nearest
                np.testing.assert_allclose(phones[place], frames[2:5].mean(axis=0), rtol=1e-4, atol=1e-6)
                np.testing.assert_allclose(phones[place + 1], frames[5], rtol=1e-4, atol=1e-6)
                place += 2
    assert place == cache.phone_count == 18
    assert cache.phones["phone"].tolist() == ["AA1", "IY0"] * 9
    assert cache.phones["frames"].tolist() == [3, 0] * 9
    assert cache.table["frames"].tolist() == [encoder.frame_count(n) for n in cache.table["samples"]]


def test_all_phones_are_pooled_on_request(run, corpus):
    result = run(phones=True)
    assert (result.phones.phones, result.phones.vowels, result.phones.pooled) == (36, 18, 18)
    cache = FeatureCache.open(corpus.folder / "cache")
    assert set(cache.phones["phone"]) == {"AA1", "IY0"}


def test_middle_thirds_are_a_plain_loops_and_the_rest_stays_as_without_them(run, corpus, small):
    run()
    plain = FeatureCache.open(corpus.folder / "cache")
    means = {layer: plain.read("phone/mean", layer) for layer in plain.layers}
    assert not plain.has_middle
    assert "middle_frames" not in plain.phones
    with pytest.raises(StageMissingError, match=r"whole phones only.*layersim extract --middle --force"):
        plain.read("phone/middle", "0")

    with pytest.raises(ProvenanceError, match=r"middle: the cache has False, asked for True(.|\n)*--force"):
        run(middle=True)
    # AA1 lasts 50..170 ms here, so its middle third is 90..130 ms: the centres 92.5 and 112.5. That of IY0,
    # 170..173 ms, holds none: 172.5 is nearest.
    phones = corpus.phones.copy()
    phones.loc[phones["phone"] == "AA1", "end"] = 0.17
    phones.loc[phones["phone"] == "T", ["start", "end"]] = (0.1725, 0.173)
    phones.loc[phones["phone"] == "IY0", ["start", "end"]] = (0.17, 0.1725)
    result = run(middle=True, force=True, phones=phones)
    encoder, cache = small.SmallEncoder(), FeatureCache.open(corpus.folder / "cache")
    assert cache.provenance["middle"] is True
    assert cache.phones["frames"].tolist() == [6, 0] * 9
    assert cache.phones["middle_frames"].tolist() == [2, 0] * 9
    for layer in cache.layers:
        middles, place = cache.read("phone/middle", layer), 0
        for row, path in enumerate(corpus.manifest["path"]):
            if row % 4 == 3:
                continue
            frames = encoder.frames_of(read_audio(corpus.folder / path))[int(layer)].astype(np.float64)
            np.testing.assert_allclose(middles[place], frames[4:6].mean(axis=0), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(middles[place + 1], frames[8], rtol=1e-4, atol=1e-6)
            place += 2
        np.testing.assert_array_equal(cache.read("phone/middle", layer, np.array([5, 2])), middles[[5, 2]])
        streamed = [part for _, part in cache.chunks("phone/middle", layer, size=4)]
        np.testing.assert_array_equal(np.concatenate(streamed), middles)
    assert result.phones.nearest_in_middle == result.phones.nearest_frame == 9
    assert any(note.startswith("the middle thirds of 9 of 18 pooled phones hold no") for note in result.notes)
    with pytest.raises(ProvenanceError, match=r"middle: the cache has True, asked for False(.|\n)*--force"):
        run(phones=phones)

    run(force=True)
    again = FeatureCache.open(corpus.folder / "cache")
    for layer, values in means.items():
        np.testing.assert_array_equal(again.read("phone/mean", layer), values)


def test_a_run_with_middle_thirds_goes_on_to_the_same_bytes_also_when_batched(run, corpus, small):
    run(middle=True)
    before = files(corpus.folder / "cache")
    (corpus.folder / "cache/part-00001.h5").unlink()
    encoder = small.SmallEncoder()
    run(encoder=encoder, middle=True, batch_seconds=2)
    assert sum(encoder.batches) == 3
    assert files(corpus.folder / "cache") == before


def test_a_corpus_without_phones_has_no_middle_thirds_to_ask_for(run, corpus, small):
    run(phones=False)
    encoder = small.SmallEncoder()
    run(encoder=encoder, phones=False, middle=True)  # the cache serves as it is
    assert encoder.batches == []
    with pytest.raises(LayersimError, match="holds no phones"):
        FeatureCache.open(corpus.folder / "cache").read("phone/middle", "0")


def test_setting_phones_to_all_keeps_consonants(corpus, small, settings):
    result = extract_corpus(
        corpus.manifest, corpus.folder, small.SmallEncoder(), corpus.folder / "all", settings(phones="all"),
        corpus.phones, "arpabet",
    )  # fmt: skip
    assert (result.phones.phones, result.phones.vowels, result.phones.pooled) == (36, 18, 36)


def test_batched_utterances_are_those_encoded_alone(run, corpus, small):
    run()
    alone = FeatureCache.open(corpus.folder / "cache").read("utterance/mean", "1")
    encoder = small.SmallEncoder()
    for file in (corpus.folder / "cache").iterdir():
        file.unlink()
    run(encoder=encoder, batch_seconds=0.7)
    assert max(encoder.batches) > 1
    np.testing.assert_allclose(
        FeatureCache.open(corpus.folder / "cache").read("utterance/mean", "1"), alone, rtol=1e-5, atol=1e-6
    )


def test_decoder_layers_hold_the_prompts_vector_deviation_zero_and_no_phones(run, corpus, small):
    encoder = small.SmallEncoder(prompts=2)
    run(encoder=encoder)
    cache = FeatureCache.open(corpus.folder / "cache")
    assert cache.layers == ("0", "1", "2", "d1", "d2")
    assert cache.frame_layers == ("0", "1", "2")
    for number in (0, 10):
        wave = read_audio(corpus.folder / corpus.manifest["path"][number])
        np.testing.assert_allclose(
            cache.read("utterance/mean", "d2")[number], encoder.prompt_of(wave)[1], rtol=1e-6
        )
    assert not cache.read("utterance/std", "d1").any()
    assert cache.read("phone/mean", "2").shape == (18, 5)
    with pytest.raises(LayersimError, match=r"phone/mean has no layer 'd1'. It has: 0, 1, 2"):
        cache.read("phone/mean", "d1")


def test_a_decoder_alone_has_utterances_and_phones_without_layers(run, corpus, small):
    encoder = small.SmallEncoder(prompts=1)
    frames_of = encoder.frames_of
    encoder.frame_layers, encoder.layers = (), ("d1",)
    encoder.frames_of = lambda wave: frames_of(wave)[:0]
    run(encoder=encoder)
    cache = FeatureCache.open(corpus.folder / "cache")
    assert cache.read("utterance/mean", "d1").shape == (11, 5)
    with pytest.raises(LayersimError, match="It has: none"):
        cache.read("phone/mean", "0")


def test_stored_frames_are_the_encoders_in_half_precision(run, corpus, small):
    result = run(store="frames", batch_seconds=0.7)
    cache = FeatureCache.open(corpus.folder / "cache")
    for number in (0, 4, 10):
        wave = read_audio(corpus.folder / corpus.manifest["path"][number])
        expected = small.SmallEncoder().frames_of(wave).astype(np.float16)
        np.testing.assert_allclose(cache.frames(f"tones/u{number:02d}"), expected, rtol=2e-3, atol=1e-3)
    with pytest.raises(LayersimError, match="has no utterance 'tones/u99'"):
        cache.frames("tones/u99")
    assert result.store == "frames"


def test_a_pooled_cache_says_how_to_get_frames(run, corpus):
    run()
    with pytest.raises(LayersimError, match="layersim extract --store frames --force"):
        FeatureCache.open(corpus.folder / "cache").frames("tones/u00")


@pytest.mark.parametrize("store", ["pooled", "frames"])
def test_too_little_disk_is_found_before_anything_is_computed(run, corpus, small, monkeypatch, store):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000))
    encoder = small.SmallEncoder()
    with pytest.raises(LayersimError, match=r"take about 0.0 MB, and 0.0 MB are free.*--limit N"):
        run(encoder=encoder, store=store)
    assert encoder.batches == []
    assert not (corpus.folder / "cache").exists()


@pytest.mark.parametrize("middle", [False, True])
def test_the_size_estimate_is_what_the_datasets_take(run, corpus, small, middle):
    import h5py

    from layersim.features.disk import estimate_bytes
    from layersim.features.preparation import Phones, prepare_corpus

    run(store="frames", middle=middle)
    job, _ = prepare_corpus(
        corpus.manifest, corpus.folder, Phones(corpus.phones, "arpabet", "vowels"),
        limit=None, seed=0, store="frames", shard_size=3, middle=middle,
    )  # fmt: skip
    stored = 0
    for file in sorted((corpus.folder / "cache").glob("part-*.h5")):
        with h5py.File(file) as shard:
            names = ["utterance/mean", "utterance/std", "phone/mean", "frames", *["phone/middle"] * middle]
            stored += sum(shard[name].nbytes for name in names)
    assert estimate_bytes(job, small.SmallEncoder(), range(11)) == stored


def test_all_faults_are_found_before_the_encoder_works(run, corpus, small):
    manifest = corpus.manifest.copy()
    (corpus.folder / "audio/u03.wav").unlink()
    soundfile.write(corpus.folder / "audio/u05.wav", np.full(200, 0.1), 16_000)
    late = pd.DataFrame({"utterance_id": ["u00"], "start": [0.3], "end": [0.4], "phone": ["AA1"]})
    encoder = small.SmallEncoder()
    with pytest.raises(LayersimError) as caught:
        run(encoder=encoder, manifest=manifest, phones=pd.concat([corpus.phones, late], ignore_index=True))
    message = str(caught.value)
    assert message.startswith("3 faults, found before anything was computed")
    assert "u03.wav" in message
    assert "u05.wav" in message
    assert "u00: phone 'AA1' at 0.300..0.400 s lies beyond the audio, which is 0.200 s long" in message
    assert encoder.batches == []


def test_a_phone_may_end_within_a_frame_after_the_audio(run, corpus):
    late = pd.DataFrame({"utterance_id": ["u00"], "start": [0.18], "end": [0.219], "phone": ["AA1"]})
    run(phones=pd.concat([corpus.phones, late], ignore_index=True))


def test_all_recordings_of_a_shard_that_cannot_be_decoded_are_named_and_finished_shards_stay(run, corpus):
    for number in (6, 8):
        soundfile.write(corpus.folder / f"audio/u{number:02d}.wav", np.zeros(4_000), 16_000)
    with pytest.raises(AudioError) as caught:
        run()
    assert "2 recordings cannot be used" in str(caught.value)
    assert "u06.wav" in str(caught.value)
    assert "u08.wav" in str(caught.value)
    assert "layersim corpus check" in str(caught.value)
    assert sorted(files(corpus.folder / "cache")) == ["part-00000.h5", "part-00001.h5"]


def test_nan_from_the_encoder_is_refused_and_names_utterance_and_layer(run, corpus, small):
    encoder = small.SmallEncoder()
    encoder.spoil = {4: float("nan")}
    with pytest.raises(LayersimError, match=r"tones/u0[345]: the encoder gave NaN or Inf in layer 0.*fp32"):
        run(encoder=encoder)
    assert sorted(files(corpus.folder / "cache")) == ["part-00000.h5"]


def test_a_hidden_state_beyond_half_precision_is_not_stored_as_infinity(run, corpus, small):
    encoder = small.SmallEncoder()
    encoder.spoil = {0: 1e6}
    with pytest.raises(LayersimError, match=r"tones/u0[012]: a hidden state lies beyond half precision"):
        run(encoder=encoder, store="frames")


def test_segments_of_one_long_file_are_utterances_of_their_own(run, corpus, small, write_tone):
    write_tone(corpus.folder / "audio/long.wav", 3.0)
    manifest = corpus.manifest.head(2).assign(path="audio/long.wav", start=[0.5, 1.25], end=[0.75, 2.0])
    run(manifest=manifest, phones=False)
    wave = read_audio(corpus.folder / "audio/long.wav")
    encoder = small.SmallEncoder()
    mean = FeatureCache.open(corpus.folder / "cache").read("utterance/mean", "2")
    for row, (start, end) in enumerate([(8_000, 12_000), (20_000, 32_000)]):
        np.testing.assert_allclose(
            mean[row], encoder.frames_of(wave[start:end])[2].mean(axis=0), rtol=1e-4, atol=1e-6
        )


def test_the_result_counts_phones_missing_alignments_and_nearest_frames_by_emotion(run, corpus):
    result = run()
    # u03 and u07 (sadness) have no phones; 11 utterances: anger, happiness and neutral 3 each, sadness 2
    assert result.by_emotion["sadness"].without_alignment == 2
    assert result.by_emotion["sadness"].phones == 0
    anger = result.by_emotion["anger"]
    assert (anger.utterances, anger.phones, anger.vowels, anger.pooled, anger.nearest_frame) == (
        3,
        12,
        6,
        6,
        3,
    )
    assert (result.phones.without_alignment, result.phones.nearest_frame) == (2, 9)
    assert "2 utterances have no phones: sadness 2 of 2" in result.notes
    document = json.loads((corpus.folder / "cache/run.json").read_text())
    assert document["results"]["by_emotion"]["anger"]["nearest_frame"] == 3
    assert document["notes"] == result.notes
    assert document["inputs"]["encoder"] == "0" * 64


def test_phones_that_the_set_does_not_know_are_counted_and_pooled_only_on_request(run, corpus):
    odd = pd.DataFrame({"utterance_id": ["u00"], "start": [0.11], "end": [0.15], "phone": ["WAH"]})
    result = run(phones=pd.concat([corpus.phones, odd], ignore_index=True))
    assert result.unknown_phones == {"WAH": 1}
    assert any("'WAH' (1)" in note for note in result.notes)
    assert "WAH" not in set(FeatureCache.open(corpus.folder / "cache").phones["phone"])


def test_the_line_for_people_and_the_document_for_programs(run, corpus):
    result = run()
    line = result.to_table().splitlines()[0]
    assert line.startswith("tones: 11 utterances (0.00 h), 3 layers x 5, 36 phones (18 vowels) -> ")
    assert line.endswith("x real time")
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["utterances"] == 11
    again = run()
    assert again.to_table().splitlines()[0].endswith("already complete")
    assert again.real_time is None


def test_progress_counts_seconds_of_audio_and_goes_on_where_a_run_stopped(run, corpus):
    heard = []
    total = sum(0.2 + 0.03 * (number % 5) for number in range(11))
    run(progress=lambda label, done, whole: heard.append((label, done, whole)))
    encoding = [(done, whole) for label, done, whole in heard if label == "extracting tones"]
    assert encoding[0][0] == 0
    assert encoding[-1] == pytest.approx((total, total))
    assert [done for done, _ in encoding] == sorted(done for done, _ in encoding)
    (corpus.folder / "cache/part-00003.h5").unlink()
    heard.clear()
    run(progress=lambda label, done, whole: heard.append((label, done, whole)))
    first = next(done for label, done, _ in heard if label == "extracting tones")
    assert first == pytest.approx(total - 0.2 - 0.03 * 4 - 0.2)  # all but the last shard: u09, u10


def test_a_second_run_computes_only_what_is_missing_to_the_same_bytes(run, corpus, small):
    run()
    before = files(corpus.folder / "cache")
    (corpus.folder / "cache/part-00001.h5").unlink()
    encoder = small.SmallEncoder()
    run(encoder=encoder)
    assert sum(encoder.batches) == 3
    assert files(corpus.folder / "cache") == before


def test_other_settings_are_refused_with_both_values_and_replaced_by_force(run, corpus, small):
    run()
    other = small.SmallEncoder()
    other.describe = lambda: {"checkpoint": "other", "weights_sha256": "0" * 64, "layers": list(other.layers)}
    with pytest.raises(
        ProvenanceError, match=r"encoder.checkpoint: the cache has 'small', asked for 'other'(.|\n)*--force"
    ):
        run(encoder=other)
    run(encoder=other, force=True)
    cache = FeatureCache.open(corpus.folder / "cache")
    assert cache.provenance["encoder"]["checkpoint"] == "other"


def test_force_keeps_a_cache_that_is_already_what_is_asked_for(run, small):
    run()
    encoder = small.SmallEncoder()
    run(encoder=encoder, force=True)
    assert encoder.batches == []


def test_from_the_quick_try_to_the_full_run_the_message_says_how(run, corpus):
    quick = run(limit=5)
    assert (quick.utterances, quick.of, quick.limit) == (5, 11, 5)
    assert "tones: 5 of 11 utterances" in quick.to_table()
    with pytest.raises(ProvenanceError) as caught:
        run()
    message = str(caught.value)
    assert "holds a quick try (--limit 5 --seed 0); you asked for all utterances" in message
    assert "For the full run, replace the quick try: layersim extract --force" in message
    with pytest.raises(ProvenanceError, match=r"--limit 5 --seed 0(.|\n)*--limit 7 --seed 0 --force"):
        run(limit=7)
    assert run(force=True).utterances == 11
    with pytest.raises(ProvenanceError, match="The full cache serves every later stage: leave out --limit"):
        run(limit=5)


def test_a_limit_beyond_the_corpus_is_the_full_run(run):
    assert run(limit=50).limit is None
    assert run().computed_hours == 0


def test_another_recording_under_the_same_name_shows(run, corpus, write_tone):
    run()
    write_tone(corpus.folder / "audio/u02.wav", 0.5)
    with pytest.raises(ProvenanceError) as caught:
        run()
    assert "the recordings of 1 utterances are not those of these features" in str(caught.value)
    assert "tones/u02: 0.260 s there, 0.500 s now (" in str(caught.value)
    assert "make these shards anew: layersim extract --force" in str(caught.value)


def test_force_makes_only_the_shards_of_exchanged_recordings_anew(run, corpus, small, write_tone):
    run()
    before = files(corpus.folder / "cache")
    write_tone(corpus.folder / "audio/u04.wav", 0.5)
    encoder = small.SmallEncoder()
    run(encoder=encoder, force=True)
    after = files(corpus.folder / "cache")
    assert sum(encoder.batches) == 3
    assert [name for name in before if before[name] != after[name]] == ["part-00001.h5"]
    for file in (corpus.folder / "cache").iterdir():
        file.unlink()
    run()
    assert files(corpus.folder / "cache") == after


def test_a_changed_label_or_split_keeps_the_features_and_another_order_does_not(run, corpus):
    run()
    relabelled = corpus.manifest.assign(split="train", emotion="fear")
    assert run(manifest=relabelled).computed_hours == 0
    with pytest.raises(ProvenanceError, match="manifest_sha256"):
        run(manifest=corpus.manifest.iloc[::-1])


def test_a_changed_alignment_shows(run, corpus):
    run()
    moved = corpus.phones.assign(end=corpus.phones["end"] + (corpus.phones["phone"] == "AA1") * 0.001)
    with pytest.raises(ProvenanceError, match="alignment_sha256"):
        run(phones=moved)


def test_phones_need_a_phone_set(corpus, small, settings):
    with pytest.raises(ValueError, match="phone_set: expected a name"):
        extract_corpus(
            corpus.manifest,
            corpus.folder,
            small.SmallEncoder(),
            corpus.folder / "c",
            settings(),
            corpus.phones,
        )


def test_a_manifest_of_two_corpora_or_none_is_refused(run, corpus):
    mixed = corpus.manifest.assign(corpus=["a"] * 5 + ["b"] * 6)
    with pytest.raises(LayersimError, match="11 rows of a, b"):
        run(manifest=mixed)
    with pytest.raises(LayersimError, match="0 rows of no corpus"):
        run(manifest=corpus.manifest.head(0))


def test_too_little_gpu_memory_for_a_single_utterance_is_an_error(run, small):
    import torch

    encoder = small.SmallEncoder()

    def encode(waves):
        raise torch.OutOfMemoryError("CUDA out of memory")

    encoder.encode = encode
    with pytest.raises(
        LayersimError,
        match=r"tones/u02: the GPU has too little memory for this one utterance of 0.3 s\. What",
    ):
        run(encoder=encoder)

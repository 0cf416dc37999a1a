from __future__ import annotations

import hashlib
import re
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from layersim.alignment.phone_set import load_phone_set
from layersim.alignment.vowels import map_classes
from layersim.corpus.audio import read_audio
from layersim.corpus.manifest import read_manifest
from layersim.demo.corpus import RECIPES, make_corpus
from layersim.demo.sentences import ENGLISH, MANDARIN

EMOTIONS = ["anger", "happiness", "neutral", "sadness"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, {recipe.name: make_corpus(recipe, folder) for recipe in RECIPES}


@pytest.fixture(params=["demo-en", "demo-zh"])
def corpus(made, request):
    entry = made[1][request.param]
    phones = pd.read_csv(entry.alignments, keep_default_na=False, dtype={"utterance": str, "phone": str})
    return entry, read_manifest(entry.manifest), phones


def test_every_speaker_says_the_same_sentences_in_all_four_emotions(corpus):
    _, manifest, _ = corpus
    assert len(manifest) == 288
    assert manifest["speaker"].nunique() == 24
    counts = manifest.groupby(["speaker", "text"])["emotion"].agg(lambda found: sorted(found))
    assert len(counts) == 72
    assert all(found == EMOTIONS for found in counts)


def test_no_speaker_and_no_sentence_stands_in_two_splits(corpus):
    _, manifest, _ = corpus
    for column in ("speaker", "text"):
        assert not manifest[[column, "split"]].drop_duplicates()[column].duplicated().any()
    per_split = manifest.groupby("split").agg(speakers=("speaker", "nunique"), genders=("gender", "nunique"))
    assert per_split["speakers"].to_dict() == {"test": 10, "train": 10, "validation": 4}
    assert (per_split["genders"] == 2).all()


def test_no_voice_speaks_both_languages(made):
    names = [
        set(read_manifest(entry.manifest)["speaker"].str.split("-").str[1]) for entry in made[1].values()
    ]
    assert len(names[0]) == len(names[1]) == 24
    assert not names[0] & names[1]


def test_all_sentences_are_said(corpus):
    _, manifest, _ = corpus
    assert manifest.groupby("split")["text"].nunique().to_dict() == {"test": 6, "train": 9, "validation": 3}


def test_the_audio_is_16_bit_mono_of_one_to_five_seconds_that_layersim_reads(corpus):
    entry, manifest, _ = corpus
    seconds = []
    for path in manifest["path"]:
        with wave.open(str(entry.audio_root / path)) as stream:
            assert (stream.getnchannels(), stream.getsampwidth(), stream.getframerate()) == (1, 2, 22_050)
            seconds.append(stream.getnframes() / 22_050)
            samples = np.frombuffer(stream.readframes(stream.getnframes()), dtype="<i2")
        assert np.abs(samples.astype(int)).max() < 32_767, f"{path} clips"
    assert min(seconds) > 1.0
    assert max(seconds) < 5.0
    assert read_audio(entry.audio_root / manifest["path"].iloc[0]).dtype == np.float32


def test_phones_are_sorted_and_end_before_their_utterance_does(corpus):
    entry, manifest, phones = corpus
    assert list(phones.columns) == ["utterance", "start", "end", "phone"]
    assert set(phones["utterance"]) == set(manifest["utterance_id"])
    assert (phones["start"] < phones["end"]).all()
    assert (phones["phone"] != "").all()
    paths = dict(zip(manifest["utterance_id"], manifest["path"], strict=True))
    for utterance, found in phones.groupby("utterance", sort=False):
        assert (found["start"].to_numpy()[1:] >= found["end"].to_numpy()[:-1]).all()
        with wave.open(str(entry.audio_root / paths[utterance])) as stream:
            assert found["end"].max() <= stream.getnframes() / 22_050


def test_sad_speech_is_slower_and_softer_than_angry_speech(corpus):
    entry, manifest, _ = corpus
    table = manifest.assign(seconds=0.0, loudness=0.0)
    for row, path in zip(table.index, table["path"], strict=True):
        samples = read_audio(entry.audio_root / path)
        table.loc[row, ["seconds", "loudness"]] = len(samples) / 16_000, float(np.sqrt(np.mean(samples**2)))
    means = table.groupby("emotion")[["seconds", "loudness"]].mean()
    assert means.loc["sadness", "seconds"] > 1.15 * means.loc["anger", "seconds"]
    assert means.loc["sadness", "loudness"] < 0.75 * means.loc["anger", "loudness"]


def test_speakers_are_equally_loud_on_average_however_loud_their_voices_are(corpus):
    entry, manifest, _ = corpus
    levels = []
    for _, paths in manifest.groupby("speaker")["path"]:
        samples = np.concatenate([read_audio(entry.audio_root / path) for path in paths])
        levels.append(float(np.sqrt(np.mean(samples**2))))
    assert max(levels) < 1.1 * min(levels)


def test_the_same_seed_makes_the_same_bytes_and_another_seed_makes_others(tmp_path):
    small = replace(RECIPES[0], voices={split: voices[:1] for split, voices in RECIPES[0].voices.items()})

    def hashes(root: Path) -> dict[str, str]:
        files = sorted(file for file in root.rglob("*") if file.is_file())
        return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        make_corpus(small, tmp_path / name, seed=seed)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two") != hashes(tmp_path / "three")


def test_progress_counts_every_utterance(tmp_path):
    small = replace(RECIPES[1], voices={"test": RECIPES[1].voices["test"][:1]})
    calls = []
    make_corpus(small, tmp_path, progress=lambda *call: calls.append(call))
    assert calls == [("speaking demo-zh", number, 12) for number in range(1, 13)]


def test_the_phone_set_knows_every_phone(made):
    known = load_phone_set("espeak-ipa")
    for entry in made[1].values():
        phones = pd.read_csv(entry.alignments, keep_default_na=False)
        for kind in ("vowel", "consonant"):
            assert map_classes(phones, known, kind)[1] == {}


def test_sentences_are_eighteen_and_in_their_own_script():
    assert len(set(ENGLISH)) == len(set(MANDARIN)) == 18
    assert all(re.fullmatch(r"[A-Z][a-z]*( [a-z]+| Monday| I)+\.", text) for text in ENGLISH)
    assert all(re.fullmatch(r"[\u4e00-\u9fff]{8,12}。", text) for text in MANDARIN)

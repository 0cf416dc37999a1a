"""Sound as a method's input: which utterances, in which order, which stretches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from layersim.adaptation.finetune.audio import LabelledAudio, Waveforms, audio_task, find_recordings
from layersim.adaptation.finetune.crops import middle_crop, normalise, random_crop
from layersim.corpus.audio import read_audio
from layersim.errors import LayersimError


def manifest(name: str, count: int = 8) -> pd.DataFrame:
    """Speakers 0 and 1 train, 2 validates, 3 tests; a third is of an emotion outside the classes."""
    rows = [
        {"corpus": name, "utterance_id": f"u{count - number:02d}",
         "path": f"{name}/u{count - number:02d}.wav",
         "start": np.nan, "end": np.nan, "speaker": f"s{number % 4}", "language": "en",
         "emotion": ("anger", "sadness", "fear")[number // 4 % 3],
         "split": ("train", "train", "validation", "test")[number % 4], "text": "", "source_label": "x"}
        for number in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def pair(tmp_path: Path, write_tone: Callable[..., Path]) -> tuple[pd.DataFrame, pd.DataFrame, Path]:
    source, target = manifest("german", 12), manifest("english", 12)
    for place, path in enumerate([*source["path"], *target["path"]]):
        write_tone(tmp_path / path, 0.1 + 0.01 * place, rate=8_000, seed=place)
    return source, target, tmp_path


def read_audio_task(source, target, root, classes):
    return audio_task(source, target, (find_recordings(source, root), find_recordings(target, root)), classes)


def test_a_task_holds_the_right_splits_by_key_and_no_target_emotion(pair):
    source, target, root = pair
    task = read_audio_task(source, target, root, ("anger", "sadness"))
    of_classes = source[(source["split"] == "train") & source["emotion"].isin(["anger", "sadness"])]
    assert list(task.source.keys) == sorted(f"german/{name}" for name in of_classes["utterance_id"])
    emotion_of = dict(zip("german/" + source["utterance_id"], source["emotion"], strict=True))
    assert task.source.emotions == tuple(emotion_of[key] for key in task.source.keys)
    assert set(task.validation.speakers) == {"s2"}
    # all of the target's train split, also of the emotion outside the classes; no test utterance anywhere
    train = target[target["split"] == "train"]
    assert list(task.target.keys) == sorted(f"english/{name}" for name in train["utterance_id"])
    assert not hasattr(task.target, "emotions")
    wave = task.source.waveforms[1]
    assert np.array_equal(wave, read_audio(root / f"{task.source.keys[1]}.wav"))
    assert task.source.waveforms.samples[1] == len(wave)  # known from the header, at 16 kHz


def test_all_unusable_recordings_are_named_before_anything_is_trained(pair):
    source, target, root = pair
    train = source.index[source["split"] == "train"][:2]
    for path in source.loc[train, "path"]:
        (root / path).unlink()
    with pytest.raises(LayersimError, match="2 recordings cannot be used") as caught:
        read_audio_task(source, target, root, ("anger", "sadness"))
    assert all(path in str(caught.value) for path in source.loc[train, "path"])


def test_a_class_without_examples_and_a_shared_speaker_are_refused(pair):
    source, target, root = pair
    with pytest.raises(LayersimError, match="german: no train utterance of calm"):
        read_audio_task(source, target, root, ("anger", "calm"))
    mixed = target.assign(speaker="s0")
    with pytest.raises(LayersimError, match="s0"):
        read_audio_task(source, mixed, root, ("anger", "sadness"))


def test_waveforms_are_indexed_as_tensors_of_places_and_files_are_read_late(tmp_path, write_tone, make_tones):
    waves = make_tones(3, 0).waveforms
    chosen = waves[torch.tensor([2, 0, 2])]
    assert [np.array_equal(wave, waves[place]) for wave, place in zip(chosen, (2, 0, 2), strict=True)] == [
        True
    ] * 3
    assert len(waves[1:]) == 2
    with pytest.raises(ValueError, match="one length, got \\[2, 1, 2, 2\\]"):
        LabelledAudio(("a", "b"), Waveforms([np.zeros(400)]), ("anger", "anger"), ("s", "s"))


def test_crops_by_hand():
    wave = np.arange(10, dtype=np.float32)
    assert middle_crop(wave, 4).tolist() == [3, 4, 5, 6]
    assert middle_crop(wave, 10).tolist() == middle_crop(wave, 99).tolist() == wave.tolist()
    starts = {int(random_crop(wave, 8, np.random.default_rng(seed))[0]) for seed in range(60)}
    assert starts == {0, 1, 2}  # 8 of 10 samples fit in three places
    first = [random_crop(wave, 3, rng).tolist() for rng in [np.random.default_rng(5)] for _ in range(9)]
    again = [random_crop(wave, 3, rng).tolist() for rng in [np.random.default_rng(5)] for _ in range(9)]
    assert first == again


def test_an_utterance_s_length_moves_no_other_s_crop():
    long, short = np.arange(1_000, dtype=np.float32), np.arange(2, dtype=np.float32)
    after = []
    for before in (long, short):
        rng = np.random.default_rng(1)
        random_crop(before, 10, rng)
        after.append(random_crop(long, 10, rng).tolist())
    assert after[0] == after[1]


def test_a_waveform_is_normalised_to_zero_mean_and_unit_variance():
    # mean 2, deviations -2, 0, 0, 2, variance (4 + 4) / 4 = 2
    expected = np.array([-2, 0, 0, 2]) / np.sqrt(2)
    np.testing.assert_allclose(normalise(np.array([0, 2, 2, 4], dtype=np.float32)), expected, atol=1e-6)
    assert normalise(np.full(5, 3, dtype=np.float32)).tolist() == [0.0] * 5  # silence stays finite

"""Audio: every format and rate becomes mono 16 kHz, headers tell the length, faults name the file."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from layersim.corpus.audio import MINIMUM_SAMPLES, SAMPLE_RATE, audio_samples, read_audio
from layersim.errors import AudioError


def sine(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def save(file: Path, wave: np.ndarray, rate: int = 16_000, **how: str) -> Path:
    soundfile.write(file, wave, rate, **how)
    return file


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_a_tone_keeps_pitch_loudness_and_length_at_every_rate(tmp_path, rate):
    wave = read_audio(save(tmp_path / "tone.wav", sine(1, rate), rate, subtype="FLOAT"))
    assert wave.dtype == np.float32
    assert wave.shape == (16_000,)
    inner = slice(800, -800)  # away from the edges, where a resampler knows nothing of what was before
    np.testing.assert_allclose(wave[inner], sine(1, SAMPLE_RATE)[inner], atol=2e-4)


def test_what_lies_above_the_new_bandwidth_is_removed_and_not_folded_down(tmp_path):
    wave = read_audio(save(tmp_path / "high.wav", sine(0.5, 48_000, hertz=12_000), 48_000))
    assert np.abs(wave[800:-800]).max() < 1e-4


@pytest.mark.parametrize("rate", [7_350, 8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_the_header_tells_the_length_of_what_is_read(tmp_path, rate):
    rng = np.random.default_rng(rate)
    least = -(-MINIMUM_SAMPLES * rate // SAMPLE_RATE)
    for frames in (least, least + 1, *rng.integers(least, 2 * rate, 12).tolist()):
        file = save(tmp_path / "noise.wav", 0.1 * rng.standard_normal(frames), rate)
        samples = audio_samples(file)
        assert samples == len(read_audio(file))
        assert abs(samples - frames * SAMPLE_RATE / rate) <= 0.5


@pytest.mark.parametrize("subtype", ["GSM610", "NMS_ADPCM_32"])
def test_telephone_codecs_that_cannot_be_sought_are_read_whole_and_refused_in_stretches(tmp_path, subtype):
    file = save(tmp_path / "call.wav", sine(1, 8_000), 8_000, subtype=subtype)
    wave = read_audio(file)
    assert len(wave) == audio_samples(file)
    assert 0.1 < np.abs(wave).max() < 1.2
    with pytest.raises(AudioError, match=r"its codec gives no stretch.*Convert the file to wav or flac"):
        audio_samples(file, 0.2, 0.6)


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [("wav", "PCM_16"), ("wav", "PCM_U8"), ("wav", "FLOAT"), ("flac", "PCM_24"), ("aiff", "PCM_16"),
     ("au", "ULAW"), ("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III")],
)  # fmt: skip
def test_formats_agree_on_what_they_hold(tmp_path, suffix, subtype):
    if suffix == "mp3" and "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile has no mp3: it is older than 1.1")
    wave = sine(0.5, 44_100)
    file = save(tmp_path / f"tone.{suffix}", np.stack([wave, wave], axis=1), 44_100, subtype=subtype)
    found = read_audio(file)
    assert len(found) == audio_samples(file) == 8_000
    assert np.corrcoef(found[800:-800], sine(0.5, SAMPLE_RATE)[800:-800])[0, 1] > 0.99


def test_channels_are_averaged(tmp_path):
    left, right = np.full(1_000, 0.5), np.full(1_000, -0.25)
    wave = read_audio(save(tmp_path / "stereo.wav", np.stack([left, right], axis=1)))
    np.testing.assert_array_equal(wave, np.full(1_000, 0.125, dtype=np.float32))


def test_a_stretch_is_cut_by_seconds_half_open(tmp_path):
    ramp = np.arange(1, 16_001) / 32_000
    file = save(tmp_path / "ramp.wav", ramp, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(file, 0.25, 0.5), ramp[4_000:8_000].astype(np.float32))
    parts = [read_audio(file, start, start + 0.25) for start in (0.0, 0.25, 0.5, 0.75)]
    np.testing.assert_array_equal(np.concatenate(parts), read_audio(file))
    assert audio_samples(file, 0.25, 0.5) == 4_000


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_the_header_tells_the_length_of_a_stretch_too(tmp_path, rate):
    rng = np.random.default_rng(rate)
    file = save(tmp_path / "noise.wav", 0.1 * rng.standard_normal(2 * rate), rate)
    for start, length in zip(rng.uniform(0, 1, 20), rng.uniform(0.03, 1, 20), strict=True):
        assert audio_samples(file, start, start + length) == len(read_audio(file, start, start + length))


def test_an_end_that_was_rounded_up_means_the_end_of_the_file(tmp_path):
    file = save(tmp_path / "tone.wav", sine(0.9951, 16_000))
    assert len(read_audio(file, 0.5, 1.0)) == audio_samples(file, 0.5, 1.0) == round(0.9951 * 16_000) - 8_000
    with pytest.raises(AudioError, match=r"tone\.wav: lasts 0\.995 s, and the utterance ends at 1\.5 s"):
        read_audio(file, 0.5, 1.5)


def test_times_that_are_none_or_half_given_are_refused(tmp_path):
    file = save(tmp_path / "tone.wav", sine(1, 16_000))
    for start, end in ((0.5, 0.5), (0.6, 0.5), (-0.1, 0.5)):
        with pytest.raises(AudioError, match=r"tone\.wav: the stretch .* is empty or negative"):
            audio_samples(file, start, end)
    with pytest.raises(ValueError, match="start and end: give both or neither"):
        read_audio(file, start=0.5)


FAULTS = {
    "missing": "no such file. Check the manifest's path and the audio root",
    "folder": "no such file",
    "empty": "is empty (0 bytes)",
    "header only": "holds no samples",
    "text": "is no audio that can be read: Format not recognised. Repair or remove it",
    "raw": "raw samples do not say their rate. Convert the file to wav or flac",
    "cut wav": "breaks off after 15956 of 32000 bytes that its header promises. Fetch it again",
    "cut flac": "cannot be decoded: flac decoder lost sync. Repair or remove it",
    "endless flac": "its header does not say how long it is. Write it anew",
    "zeros": "every sample is zero. Remove it",
    "opposite": "its channels cancel each other out (opposite phase). Keep one channel",
    "nan": "holds NaN or infinite samples",
    "inf": "holds NaN or infinite samples",
    "short": "24.9 ms is under the 25 ms of one frame",
    "short stretch": "20.0 ms is under the 25 ms of one frame",
}


def faulty(folder: Path, fault: str) -> tuple[Path, tuple[float, float] | tuple[()]]:
    """Make one file that cannot be used."""
    file = folder / ("x.flac" if "flac" in fault else "x.raw" if fault == "raw" else "x.wav")
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000)
    if fault == "folder":
        file.mkdir()
    elif fault in ("empty", "text", "raw"):
        file.write_bytes(b"" if fault == "empty" else b"These are words, and no audio. " * 40)
    elif fault == "header only":
        save(file, np.zeros(0))
    elif fault.startswith("cut"):
        save(file, wave)
        file.write_bytes(file.read_bytes()[:16_000])
    elif fault == "endless flac":
        data = bytearray(save(file, wave).read_bytes())
        data[21] &= 0xF0  # the 36 bits of STREAMINFO that count samples begin in the low half of this byte
        data[22:26] = bytes(4)
        file.write_bytes(bytes(data))
    elif fault in ("nan", "inf"):
        wave[5_000] = float(fault)
        save(file, wave, subtype="FLOAT")
    elif fault == "opposite":
        save(file, np.stack([wave, -wave], axis=1), subtype="FLOAT")
    elif fault != "missing":
        save(file, np.zeros(16_000) if fault == "zeros" else wave[:398] if fault == "short" else wave)
    return file, (0.1, 0.12) if fault == "short stretch" else ()


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_used_is_named_with_the_reason(tmp_path, fault):
    file, times = faulty(tmp_path, fault)
    with pytest.raises(AudioError) as caught:
        read_audio(file, *times)
    assert str(caught.value).startswith(f"{file}: ")
    assert FAULTS[fault] in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    ["missing", "empty", "header only", "text", "raw", "cut wav", "endless flac", "short", "short stretch"],
)
def test_what_a_header_shows_is_found_without_decoding(tmp_path, fault):
    file, times = faulty(tmp_path, fault)
    with pytest.raises(AudioError) as caught:
        audio_samples(file, *times)
    assert FAULTS[fault] in str(caught.value)


def test_a_wav_of_a_pipe_or_with_a_size_that_counts_the_header_is_whole(tmp_path):
    file = save(tmp_path / "tone.wav", sine(1, 16_000))
    data = bytearray(file.read_bytes())
    for size in (0xFFFF_FFFF, 0x7FFF_FFFF, 32_000 + 44):
        data[40:44] = struct.pack("<I", size)
        file.write_bytes(bytes(data))
        assert len(read_audio(file)) == audio_samples(file) == 16_000


def test_a_stretch_of_zeros_in_a_file_with_sound_is_refused(tmp_path):
    file = save(tmp_path / "late.wav", np.concatenate([np.zeros(8_000), sine(0.5, 16_000)]))
    assert len(read_audio(file, 0.25, 0.75)) == 8_000
    with pytest.raises(AudioError, match="every sample is zero"):
        read_audio(file, 0.0, 0.25)


@pytest.mark.parametrize("name", ["emodb", "ravdess", "casia"])
def test_real_recordings_last_as_long_as_their_table_says(shared, name):
    import pandas as pd

    folder = shared / "data" / name
    told = pd.read_csv(folder / "metadata.csv").iloc[::40]
    for path, seconds in zip(told["path"], told["duration"], strict=True):
        assert abs(audio_samples(folder / path) / SAMPLE_RATE - seconds) < 1e-3
        assert len(read_audio(folder / path)) == audio_samples(folder / path)

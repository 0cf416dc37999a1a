"""The frame grid and the windows cut on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from layersim.encoders.windows import FrameGrid, cut_windows

WAV2VEC2 = FrameGrid(hop=320, span=400, partial=False)
WHISPER = FrameGrid(hop=320, span=320, partial=True)
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)

grids = st.sampled_from([WAV2VEC2, WHISPER, FrameGrid(hop=3, span=7, partial=False)])


def test_a_second_gives_49_frames_and_under_400_samples_none():
    assert [WAV2VEC2.count(samples) for samples in (0, 399, 400, 719, 720, 16_000)] == [0, 0, 1, 1, 2, 49]


def test_whisper_counts_a_frame_that_audio_begins():
    assert [WHISPER.count(samples) for samples in (0, 1, 320, 321, 480_000)] == [0, 1, 1, 2, 1_500]


@pytest.mark.parametrize("samples", [400, 719, 720, 16_000, 23_457])
def test_the_grid_counts_what_convolutions_in_a_row_put_out(samples):
    wave = torch.zeros(1, 1, samples)
    for kernel, stride in zip(KERNELS, STRIDES, strict=True):
        wave = torch.nn.functional.conv1d(wave, torch.zeros(1, 1, kernel), stride=stride)
    assert FrameGrid.of_convolutions(KERNELS, STRIDES).count(samples) == wave.shape[2]


def test_a_frame_is_centred_where_an_impulse_moves_it_most():
    # Gradient of frame 5 of all-ones convolutions with respect to the wave: symmetric about its centre.
    wave = torch.zeros(1, 1, 8_000, requires_grad=True)
    hidden = wave
    for kernel, stride in zip(KERNELS, STRIDES, strict=True):
        hidden = torch.nn.functional.conv1d(hidden, torch.ones(1, 1, kernel), stride=stride)
    hidden[0, 0, 5].backward()
    weight = wave.grad[0, 0].numpy()
    centre = (weight * (np.arange(8_000) + 0.5)).sum() / weight.sum() / 16_000
    assert WAV2VEC2.centres(6)[5] == pytest.approx(centre)
    assert centre == pytest.approx(0.0125 + 0.020 * 5)


def test_whisper_frames_are_centred_in_their_20_milliseconds():
    np.testing.assert_allclose(WHISPER.centres(3), [0.010, 0.030, 0.050])


@given(grid=grids, samples=st.integers(0, 50_000), most=st.integers(1, 200))
def test_windows_own_every_frame_once_and_are_as_equal_as_can_be(grid, samples, most):
    windows = cut_windows(samples, grid, most)
    frames = [window.frames for window in windows]
    assert sum(frames) == grid.count(samples)
    assert len(windows) == -(-grid.count(samples) // most)
    assert not frames or (max(frames) <= most and max(frames) - min(frames) <= 1)
    assert not windows or (windows[0].start == 0 and windows[-1].stop == samples)
    before = 0
    for window in windows:
        assert grid.count(window.stop - window.start) == window.frames  # the encoder will see as many
        assert window.start == before * grid.hop  # so that its first frame is the whole's next one
        before += window.frames


def test_audio_that_fits_is_one_window_with_all_its_samples():
    [window] = cut_windows(16_000, WAV2VEC2, 49)
    assert (window.start, window.stop, window.frames) == (0, 16_000, 49)


def test_wav2vec2_windows_overlap_by_span_less_hop():
    first, second = cut_windows(32_000, WAV2VEC2, 50)
    assert first.stop - second.start == 80


def test_a_window_of_no_frames_is_refused():
    with pytest.raises(ValueError, match="max_frames must be at least 1, got 0"):
        cut_windows(1_000, WAV2VEC2, 0)

from __future__ import annotations

import numpy as np
import pytest
import torch

from layersim.adaptation.dann.planes import CHANNELS, PLANES, planes_from_sequences


@pytest.fixture
def sequences() -> torch.Tensor:
    return torch.randn(2, 92, 30, generator=torch.Generator().manual_seed(0))


def test_channels_are_mel_mfcc_contrast_and_zero_crossings_in_this_order() -> None:
    assert (list(PLANES.values()), CHANNELS) == ([64, 20, 7, 1], 92)
    assert list(PLANES) == ["log_mel", "mfcc", "spectral_contrast", "zero_crossing_rate"]


def test_a_plane_of_the_sequence_s_own_size_is_the_sequence(sequences: torch.Tensor) -> None:
    planes = planes_from_sequences(sequences, bins=64, frames=30)
    assert planes.shape == (2, 4, 64, 30)
    torch.testing.assert_close(planes[:, 0], sequences[:, :64], rtol=0, atol=1e-6)
    for row in range(64):  # the only channel of its kind, in all bins
        torch.testing.assert_close(planes[:, 3, row], sequences[:, 91], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("plane", "first", "count"), [(1, 64, 20), (2, 84, 7)])
def test_a_kind_with_fewer_channels_is_interpolated_linearly(
    sequences: torch.Tensor, plane: int, first: int, count: int
) -> None:
    planes = planes_from_sequences(sequences, bins=64, frames=30)
    centres = (np.arange(64) + 0.5) * count / 64 - 0.5  # in channels
    for frame in (0, 17):
        column = sequences[1, first : first + count, frame].numpy()
        expected = np.interp(centres, np.arange(count), column)
        np.testing.assert_allclose(planes[1, plane, :, frame].numpy(), expected, atol=1e-5)


def test_kinds_do_not_mix() -> None:
    for plane, kind in enumerate(PLANES):
        first = sum(list(PLANES.values())[:plane])
        one = torch.zeros(1, 92, 12)
        one[:, first : first + PLANES[kind]] = 1.0
        planes = planes_from_sequences(one, bins=16, frames=5)
        expected = torch.zeros(1, 4, 16, 5)
        expected[:, plane] = 1.0
        torch.testing.assert_close(planes, expected, rtol=0, atol=1e-6)


def test_every_frame_counts_where_a_plane_has_fewer() -> None:
    for frame in range(64):
        one = torch.zeros(1, 92, 64)
        one[:, :, frame] = 1.0
        assert planes_from_sequences(one, bins=8, frames=8)[0, 3, 0].sum() > 0.05


@pytest.mark.parametrize("shape", [(2, 91, 30), (92, 30), (2, 4, 64, 30)])
def test_other_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must have shape \(N, 92, T\), .* 7 spectral_contrast, .* got"):
        planes_from_sequences(torch.zeros(shape), 64, 30)

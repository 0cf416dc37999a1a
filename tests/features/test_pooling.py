from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layersim.features.pooling import (
    middle_thirds,
    nearest_frames,
    phone_frames,
    pool_in_bags,
    pool_phones,
    pool_utterances,
)

counts_strategy = st.lists(st.integers(1, 12), min_size=1, max_size=5)


def random_frames(counts: list[int], layers: int = 2, width: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn((layers, sum(counts), width), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("pool", [pool_utterances, pool_in_bags])
@given(counts=counts_strategy, seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_utterance_statistics_are_numpys_over_the_utterances_own_frames(pool, counts, seed):
    frames = random_frames(counts, seed=seed)
    mean, std = pool(frames, counts)
    edges = np.cumsum([0, *counts])
    for row, (start, stop) in enumerate(itertools.pairwise(edges)):
        own = frames[:, start:stop].double().numpy()
        np.testing.assert_allclose(mean[row], own.mean(axis=1), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(std[row], own.std(axis=1, ddof=0), rtol=1e-5, atol=1e-6)


def test_half_precision_frames_are_pooled_in_single_precision():
    frames = torch.tensor([[[300.0], [-300.0], [300.0], [-300.0]]]).half()  # squares overflow half precision
    mean, std = pool_utterances(frames, [4])
    assert mean.dtype == std.dtype == torch.float32
    assert (mean.item(), std.item()) == (0.0, 300.0)
    phone = pool_phones(frames, [4], [np.array([[0.0, 0.02]])], np.array([0.01, 0.03, 0.05, 0.07]))
    assert phone.mean.dtype == torch.float32


def test_an_utterance_that_is_not_finite_leaves_the_others_alone_on_a_gpu_too():
    frames = random_frames([3, 2, 4])
    frames[:, 3] = float("nan")
    mean, std = pool_in_bags(frames, [3, 2, 4])
    assert mean[1].isnan().all()
    assert mean[[0, 2]].isfinite().all()
    assert std[[0, 2]].isfinite().all()


def test_a_single_frame_has_deviation_zero():
    mean, std = pool_utterances(torch.tensor([[[2.0, -1.0]]]), [1])
    assert mean.tolist() == [[[2.0, -1.0]]]
    assert std.tolist() == [[[0.0, 0.0]]]


@given(counts=counts_strategy, data=st.data())
@settings(max_examples=60, deadline=None)
def test_phone_means_agree_with_a_plain_loop(counts, data):
    frames = random_frames(counts)
    centres = 0.0125 + 0.02 * np.arange(max(counts))
    millisecond = st.integers(0, 280)
    segments = []
    for _ in counts:
        times = data.draw(st.lists(st.tuples(millisecond, st.integers(1, 60)), max_size=4))
        segments.append(np.array([[start, start + length] for start, length in times]).reshape(-1, 2) / 1000)
    pooled = pool_phones(frames, counts, segments, centres)
    row = offset = 0
    for count, times in zip(counts, segments, strict=True):
        own = frames[:, offset : offset + count].numpy()
        for start, end in times:
            # 100 microsecond units, whole numbers: centres are 125, 325, ...
            low, high = round(start * 10_000), round(end * 10_000)
            inside = [index for index in range(count) if low <= 125 + 200 * index < high]
            assert pooled.frames[row] == len(inside)
            assert pooled.nearest[row] == (not inside)
            if not inside:
                inside = [min(range(count), key=lambda index: abs(2 * (125 + 200 * index) - low - high))]
            np.testing.assert_allclose(pooled.mean[row], own[:, inside].mean(axis=1), rtol=1e-5, atol=1e-6)
            row += 1
        offset += count
    assert pooled.mean.shape == (row, 2, 3)


@given(count=st.integers(1, 30), data=st.data())
@settings(max_examples=100, deadline=None)
def test_middle_thirds_agree_with_a_plain_loop_in_whole_numbers(count, data):
    frames = random_frames([count])
    centres = 0.0125 + 0.02 * np.arange(count)
    times = data.draw(st.lists(st.tuples(st.integers(0, 600_000), st.integers(1, 200_000)), max_size=5))
    segments = np.array([[start, start + length] for start, length in times]).reshape(-1, 2) / 1e6
    pooled = pool_phones(frames, [count], [middle_thirds(segments)], centres)
    whole = pool_phones(frames, [count], [segments], centres)
    own = frames.numpy()
    for row, (start, length) in enumerate(times):
        # Thirds of microseconds, so that no time is a fraction; bounds are rounded to whole microseconds.
        low, high = (3 * start + length + 1) // 3 * 3, (3 * start + 2 * length + 1) // 3 * 3
        inside = [index for index in range(count) if low <= 3 * (12_500 + 20_000 * index) < high]
        assert pooled.frames[row] == len(inside) <= whole.frames[row]
        if not inside:
            middle = 2 * start + length
            inside = [min(range(count), key=lambda index: abs(2 * (12_500 + 20_000 * index) - middle))]
        np.testing.assert_allclose(pooled.mean[row], own[:, inside].mean(axis=1), rtol=1e-5, atol=1e-6)


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(1e-4, 2)), min_size=1, max_size=8))
def test_the_middle_third_lies_within_its_phone_and_has_its_nearest_frame(times):
    segments = np.array([[start, start + length] for start, length in times])
    thirds = middle_thirds(segments)
    assert (thirds[:, 0] >= segments[:, 0] - 1e-6).all()
    assert (thirds[:, 1] <= segments[:, 1] + 1e-6).all()
    np.testing.assert_allclose(np.diff(thirds)[:, 0], np.diff(segments)[:, 0] / 3, atol=2e-6)
    centres = 0.0125 + 0.02 * np.arange(1200)
    assert nearest_frames(thirds, centres).tolist() == nearest_frames(segments, centres).tolist()


def test_a_centre_at_the_start_counts_and_one_at_the_end_does_not():
    centres = 0.0125 + 0.02 * np.arange(5)
    first, stop = phone_frames(np.array([[0.0325, 0.0725]]), centres)  # centres 0.0325 and 0.0525
    assert (first[0], stop[0]) == (1, 3)
    # 0.1 + 0.2 style float noise on either side does not move a boundary
    first, stop = phone_frames(np.array([[0.0325 + 1e-9, 0.0725 - 1e-9]]), centres)
    assert (first[0], stop[0]) == (1, 3)


def test_of_two_nearest_frames_the_earlier_is_taken_and_beyond_the_end_the_last():
    centres = np.array([0.01, 0.03, 0.05])
    assert nearest_frames(np.array([[0.019, 0.021], [0.2, 0.3], [0.0, 0.002]]), centres).tolist() == [0, 2, 0]


def test_phones_of_a_batch_are_those_of_each_utterance_alone():
    counts = [4, 9, 6]
    frames = random_frames(counts)
    centres = 0.0125 + 0.02 * np.arange(9)
    segments = [np.array([[0.0, 0.05]]), np.empty((0, 2)), np.array([[0.02, 0.1], [0.1, 0.101]])]
    together = pool_phones(frames, counts, segments, centres).mean
    alone = [
        pool_phones(part, [count], [times], centres).mean
        for part, count, times in zip(frames.split(counts, dim=1), counts, segments, strict=True)
    ]
    assert torch.equal(together, torch.cat(alone))


def test_an_encoder_without_frame_layers_pools_to_nothing():
    mean, std = pool_utterances(torch.empty((0, 5, 3)), [2, 3])
    assert mean.shape == std.shape == (2, 0, 3)
    pooled = pool_phones(
        torch.empty((0, 5, 3)), [2, 3], [np.array([[0.0, 0.1]])] * 2, np.array([0.01, 0.03, 0.05])
    )
    assert pooled.mean.shape == (2, 0, 3)


def test_wrong_shapes_are_the_callers_error():
    frames = random_frames([3])
    with pytest.raises(ValueError, match="add up to 3 frames, got \\[2\\]"):
        pool_utterances(frames, [2])
    with pytest.raises(ValueError, match="add up to 3 frames, got \\[3, 0\\]"):
        pool_utterances(frames, [3, 0])
    with pytest.raises(ValueError, match="expected shape \\(K, F, D\\)"):
        pool_utterances(frames[0], [3])
    with pytest.raises(ValueError, match="one array per utterance, 1, got 0"):
        pool_phones(frames, [3], [], np.array([0.01, 0.03, 0.05]))
    with pytest.raises(ValueError, match="at least 3, got 1"):
        pool_phones(frames, [3], [np.empty((0, 2))], np.array([0.01]))

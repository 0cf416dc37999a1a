from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from layersim.features.batches import batch_frames, plan_batches


@given(costs=st.lists(st.integers(1, 2000), max_size=60), max_frames=st.integers(1, 5000))
def test_batches_hold_every_utterance_once_within_the_limit_and_longest_first(costs, max_frames):
    batches = plan_batches(costs, max_frames)
    assert sorted(index for batch in batches for index in batch) == list(range(len(costs)))
    for batch in batches:
        padded = max(costs[index] for index in batch) * len(batch)
        assert len(batch) == 1 or padded <= max_frames
    flat = [costs[index] for batch in batches for index in batch]
    assert flat == sorted(flat, reverse=True)


def test_equal_costs_stay_in_order_so_that_a_second_run_makes_the_same_batches():
    assert plan_batches([5, 5, 5, 5, 5], max_frames=10) == [[0, 1], [2, 3], [4]]


def test_on_a_cpu_utterances_go_one_by_one_unless_asked_otherwise(small):
    encoder = small.SmallEncoder()
    assert batch_frames(encoder, 0) == 1
    assert batch_frames(encoder, 10.0) == (160_000 - 400) // 320 + 1


def test_an_encoder_whose_padding_leaks_gets_single_utterances_even_when_asked_otherwise(small):
    assert batch_frames(small.SmallEncoder(exact_batching=False), 60.0) == 1

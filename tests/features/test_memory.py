"""A GPU whose memory is too small for the batches planned; an encoder that raises stands in for it."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from layersim.errors import LayersimError
from layersim.features.batches import plan_batches
from layersim.features.cache import FeatureCache
from layersim.features.extract import extract_corpus
from layersim.features.memory import BatchLimit, fits


@pytest.fixture
def crowded(small):
    """An encoder that has memory for so many padded frames in a batch; ``tried`` has every attempt."""

    def make(
        room: int, error: type[RuntimeError] = torch.OutOfMemoryError, words: str = "CUDA out of memory"
    ):
        encoder = small.SmallEncoder()
        encode, encoder.tried = encoder.encode, []

        def cramped(waves):
            cost = max(encoder.cost(len(wave)) for wave in waves) * len(waves)
            encoder.tried.append(len(waves))
            if cost > room:
                raise error(words)
            return encode(waves)

        encoder.encode = cramped
        return encoder

    return make


@pytest.fixture
def run(corpus, settings):
    def run(encoder, folder="cache", **flags):
        return extract_corpus(
            corpus.manifest, corpus.folder, encoder, corpus.folder / folder, settings(**flags),
            corpus.phones, "arpabet",
        )  # fmt: skip

    return run


@pytest.mark.parametrize("store", ["pooled", "frames"])
def test_a_batch_that_does_not_fit_is_halved_and_gives_the_same_features(
    run, corpus, small, crowded, store, caplog, monkeypatch
):
    emptied = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    run(small.SmallEncoder(), "roomy", batch_seconds=30, shard_size=11, store=store)
    # 11 utterances of up to 0.32 s, 15 frames: one batch of 165. Room for 45: halved to 82, then to 37.
    encoder = crowded(45)
    with caplog.at_level(logging.WARNING, "layersim"):
        result = run(encoder, batch_seconds=30, shard_size=11, store=store)
    assert (encoder.tried[0], encoder.tried[1]) == (11, 5)
    assert sum(encoder.batches) == 11
    assert len(encoder.tried) - len(encoder.batches) == len(emptied) == 2
    first, second = (FeatureCache.open(corpus.folder / name) for name in ("roomy", "cache"))
    for product in ("utterance/mean", "utterance/std", "phone/mean"):
        for layer in first.layers:
            np.testing.assert_allclose(
                first.read(product, layer), second.read(product, layer), rtol=1e-4, atol=1e-6
            )
    if store == "frames":
        np.testing.assert_array_equal(first.frames("tones/u07"), second.frames("tones/u07"))
    told = [record.message for record in caplog.records if "too little memory" in record.message]
    assert len(told) == 1
    # A second has 50 frames or one less: 37 frames are 0.7 s, for which 1 stands as the least
    assert [note for note in result.notes if "too little memory" in note] == [
        "the GPU had too little memory for the batches planned, so they were halved, to 1 s of audio at "
        "most. To begin with that: batch_seconds = 1 in layersim.toml, table [extract]"
    ]


def test_what_was_learnt_serves_all_later_batches_and_shards(run, crowded):
    encoder = crowded(32)
    run(encoder, batch_seconds=30)  # shards of 3 utterances, 15 frames at most: 45 do not fit, 22 of one do
    assert encoder.tried[0] == 3
    assert encoder.tried[1:] == encoder.batches  # never again more than what fits
    assert max(encoder.batches) <= 2


def test_a_batch_size_that_fits_is_left_alone(run, crowded):
    encoder = crowded(45)
    result = run(encoder, batch_seconds=30)
    assert encoder.tried == encoder.batches == [3, 3, 3, 2]
    assert not any("memory" in note for note in result.notes)


def test_what_fits_before_a_single_utterance_that_does_not_is_kept(run, corpus, crowded):
    # u00 to u02 have up to 12 frames; u04 of the second shard has 15
    with pytest.raises(LayersimError, match=r"tones/u04: .*this one utterance of 0\.3 s.*--device cpu"):
        run(crowded(13), batch_seconds=30)
    assert [file.name for file in sorted((corpus.folder / "cache").glob("part-*"))] == ["part-00000.h5"]


@pytest.mark.parametrize("words", ["CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling"])
def test_drivers_and_libraries_that_say_it_in_other_words_are_understood(run, crowded, words):
    encoder = crowded(32, RuntimeError, words)
    run(encoder, batch_seconds=30)
    assert sum(encoder.batches) == 11


def test_another_error_of_the_encoder_stays_what_it_is(run, crowded):
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(crowded(1, RuntimeError, "shapes do not match"))


def test_the_batchs_tensors_are_gone_before_the_next_try(monkeypatch):
    import gc
    import weakref

    kept, alive = [], []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(kept[0]() is not None))

    def work():
        frames = torch.zeros(3)
        kept.append(weakref.ref(frames))
        raise torch.OutOfMemoryError("CUDA out of memory")

    gc.disable()
    try:
        assert not fits(work)
    finally:
        gc.enable()
    assert alive == [False]
    assert fits(lambda: None)


def test_a_limit_cuts_batches_as_they_are_planned(small):
    costs = {7: 50, 3: 50, 5: 20, 1: 10}
    limit = BatchLimit()
    assert limit.split([7, 3, 5, 1], costs) == [[7, 3, 5, 1]]
    assert limit.bounded(500) == 500
    limit.refuse([7, 3, 5, 1], costs, small.SmallEncoder())
    assert limit.frames == 100  # half of 4 times 50
    assert limit.split([7, 3, 5, 1], costs) == [[7, 3], [5, 1]]
    assert [len(batch) for batch in plan_batches([50, 50, 20, 10], 100)] == [2, 2]
    assert (limit.bounded(500), limit.bounded(60)) == (100, 60)

"""A GPU gets the next batch before its answer to the last is taken in; a CPU that lags stands for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from layersim.corpus.audio import read_audio
from layersim.errors import LayersimError
from layersim.features import shard_rows
from layersim.features.cache import FeatureCache
from layersim.features.extract import extract_corpus


class Event:
    """Stands for one of CUDA's."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def synchronize(self) -> None:
        self.log.append("taken")


@pytest.fixture
def lagging(small, monkeypatch):
    """Make encoders lag; gives what was launched and taken, in order."""
    log: list[str] = []
    encode = small.SmallEncoder.encode

    def launch(self, waves):
        log.append("launched")
        return encode(self, waves)

    monkeypatch.setattr(small.SmallEncoder, "encode", launch)
    monkeypatch.setattr(shard_rows, "arrival", lambda _device: Event(log))
    return log


@pytest.fixture
def run(corpus, settings):
    def run(encoder, folder, keep_going=False, **flags):
        return extract_corpus(
            corpus.manifest, corpus.folder, encoder, corpus.folder / folder, settings(**flags),
            corpus.phones, "arpabet", keep_going=keep_going,
        )  # fmt: skip

    return run


def test_the_next_batch_is_launched_before_the_last_one_is_taken_to_the_same_bytes(
    run, corpus, small, request
):
    flags = {"middle": True, "store": "frames", "phones": "all", "shard_size": 6}
    run(small.SmallEncoder(), "at once", **flags)
    log = request.getfixturevalue("lagging")
    run(small.SmallEncoder(), "later", **flags)
    for file in sorted((corpus.folder / "at once").glob("part-*")):
        assert (corpus.folder / "later" / file.name).read_bytes() == file.read_bytes()
    assert log.count("launched") == log.count("taken") == 11
    assert log[:5] == ["launched", "launched", "taken", "launched", "taken"]


def test_failures_of_early_batches_do_not_end_a_shard_whose_last_is_on_its_way(run, small, lagging):
    encoder = small.SmallEncoder()
    encoder.spoil = dict.fromkeys(range(10), np.nan)  # all but the last, each in its own batch
    result = run(encoder, "cache", keep_going=True, shard_size=11)
    assert (result.utterances, result.failed) == (1, 10)


def test_an_encoder_that_never_gives_a_number_is_noticed_late_and_no_shard_is_left(
    run, corpus, small, lagging
):
    encoder = small.SmallEncoder()
    encoder.weights[1] = np.nan
    with pytest.raises(LayersimError, match="no finite features for any of 3 utterances"):
        run(encoder, "cache", keep_going=True)
    assert not list((corpus.folder / "cache").glob("part-*"))


def test_a_batch_that_does_not_fit_beside_one_on_its_way_is_tried_again_alone(run, small, lagging):
    encoder = small.SmallEncoder()
    encode, refused = encoder.encode, []

    def cramped(waves):
        if lagging.count("launched") == 3 and not refused:
            refused.append(lagging.count("taken"))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(waves)

    encoder.encode = cramped
    result = run(encoder, "cache", shard_size=11)
    assert refused == [2]  # one was on its way
    assert result.utterances == 11
    assert not any("memory" in note for note in result.notes)  # nothing was halved


def test_a_batch_that_is_lost_is_noticed(run, small, lagging, monkeypatch):
    take = shard_rows.ComputedShard._take
    lost = []

    def forgetful(self, pooled):
        if lost:
            take(self, pooled)
        lost.append(pooled)

    monkeypatch.setattr(shard_rows.ComputedShard, "_take", forgetful)
    with pytest.raises(ValueError, match="a batch of its shard was lost"):
        run(small.SmallEncoder(), "cache")


def test_an_encoder_that_scales_gets_scaled_waves(run, corpus, small):
    encoder = small.SmallEncoder()
    encoder.scales = True
    run(encoder, "cache")
    wave = read_audio(corpus.folder / corpus.manifest["path"][3])
    expected = encoder.frames_of((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)).mean(axis=1)
    cache = FeatureCache.open(corpus.folder / "cache")
    for place, layer in enumerate(cache.layers):
        np.testing.assert_allclose(
            cache.read("utterance/mean", layer)[3], expected[place], rtol=1e-4, atol=1e-5
        )

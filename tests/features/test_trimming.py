"""Extraction with trimmed windows: what it changes is measured and said, and no cache mixes the two."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from layersim.corpus.audio import read_audio
from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError, ProvenanceError
from layersim.features.cache import FeatureCache
from layersim.features.dataset import CorpusFeatures, open_corpus
from layersim.features.extract import extract, extract_corpus
from layersim.features.provenance import differences
from layersim.features.trimming import compare_means, spread_sample
from layersim.similarity.inputs import same_encoder
from layersim.workspace import CorpusEntry, Workspace

TINY = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "encoders" / "conftest.py")))


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return TINY.save_tiny("whisper", tmp_path_factory.mktemp("tiny") / "whisper")


@pytest.fixture
def run(corpus, settings, whisper):
    """Extract the corpus of tones, 0.2 to 0.32 s, with the tiny Whisper of 2 s."""

    def run(window, **given):
        encoder = load_encoder(str(whisper), whisper_window=window)
        return extract_corpus(
            corpus.manifest, corpus.folder, encoder, corpus.folder / "cache", settings(), **given
        )

    return run


def test_a_trimming_run_measures_what_it_changes_and_writes_it_down(run, corpus, whisper):
    result = run("trim")
    measured = result.trimming
    assert measured.layers == result.layers == ("0", "1", "2", "3")
    assert len(set(measured.utterances)) == 8
    assert measured.seconds == (0.2, 0.32)
    # by hand: numpy means of both encoders' frames, over the utterances that were drawn
    waves = [read_audio(corpus.folder / f"audio/{key.partition('/')[2]}.wav") for key in measured.utterances]
    means = [
        np.stack([encoder.encode([wave]).frames.double().numpy().mean(axis=1) for wave in waves])
        for encoder in (load_encoder(str(whisper), whisper_window=window) for window in ("trim", "full"))
    ]
    for layer in range(4):
        ours, full = means[0][:, layer], means[1][:, layer]
        apart = [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(ours, full, strict=True)]
        assert measured.relative[layer] == pytest.approx(np.median(apart), rel=1e-3, abs=1e-6)
        left = (ours - ours.mean(0)) - (full - full.mean(0))
        spread = np.sqrt(np.square(left).sum() / np.square(full - full.mean(0)).sum())
        assert measured.of_spread[layer] == pytest.approx(spread, rel=1e-2, abs=1e-6)
    assert measured.relative[3] > 0.01
    note = next(note for note in result.notes if "windows are trimmed" in note)
    assert f"3: {measured.relative[3]:.1%} ({measured.cosine[3]:.3f}; {measured.of_spread[3]:.2f})" in note
    document = json.loads((corpus.folder / "cache/run.json").read_text())
    assert note in document["notes"]
    assert document["results"]["trimming"]["relative"] == list(measured.relative)
    cached = FeatureCache.open(corpus.folder / "cache")
    assert cached.provenance["encoder"]["whisper_window"] == "trim"
    row = cached.keys.index(measured.utterances[0])
    np.testing.assert_allclose(cached.read("utterance/mean", "3")[row], means[0][0, 3], rtol=1e-4, atol=1e-5)
    again = run("trim")
    assert again.trimming is None
    assert not any("trimmed" in note for note in again.notes)


def test_full_and_trimmed_never_share_a_cache_and_older_caches_count_as_full(run, corpus):
    run("full")
    whole = FeatureCache.open(corpus.folder / "cache")
    assert "whisper_window" not in whole.provenance["encoder"]  # as caches that are older than the setting
    assert "whisper_window" not in whole.provenance
    with pytest.raises(
        ProvenanceError, match=r"encoder.whisper_window: the cache has 'full', asked for 'trim'"
    ):
        run("trim")
    (corpus.folder / "cache/part-00000.h5").rename(corpus.folder / "part-00000.h5")
    run("trim", force=True)
    with pytest.raises(
        ProvenanceError, match=r"encoder.whisper_window: the cache has 'trim', asked for 'full'"
    ):
        run("full")
    (corpus.folder / "part-00000.h5").replace(corpus.folder / "cache/part-00000.h5")
    with pytest.raises(ProvenanceError, match=r"whisper_window: the cache has 'trim', asked for 'full'"):
        FeatureCache.open(corpus.folder / "cache")


def test_a_pair_of_full_and_trimmed_is_refused_whichever_is_the_source(run, corpus):
    run("full")
    full = FeatureCache.open(corpus.folder / "cache")
    run("trim", force=True)
    trim = FeatureCache.open(corpus.folder / "cache")
    pair = [CorpusFeatures(name, corpus.manifest, cache, None) for name, cache in (("a", full), ("b", trim))]
    for source, target in (pair, pair[::-1]):
        with pytest.raises(
            LayersimError, match=r"encoder.whisper_window: the cache has '(full|trim)', asked"
        ):
            same_encoder(source, target)


def test_the_setting_reaches_the_encoder_and_later_stages_open_what_it_made(
    corpus, settings, whisper, tmp_path
):
    entry = CorpusEntry(manifest=corpus.folder / "manifest.csv", audio_root=corpus.folder)
    workspace = Workspace.create(tmp_path / "study", str(whisper), {"tones": entry})
    extract(workspace, settings(whisper_window="trim", limit=4))
    opened = open_corpus(workspace, "tones")
    assert opened.cache.provenance["encoder"]["whisper_window"] == "trim"
    full = load_encoder(str(whisper)).describe()
    with pytest.raises(ProvenanceError, match=r"whisper_window: the cache has 'trim', asked for 'full'"):
        open_corpus(workspace, "tones", full)


def test_an_entry_of_the_encoder_that_is_left_out_counts_as_its_old_value():
    assert differences({"encoder": {}}, {"encoder": {"whisper_window": "full"}}) == []
    assert differences({"encoder": {"whisper_window": "full"}}, {"encoder": {}}) == []
    assert differences({"encoder": {"whisper_window": "trim"}, "width": 3}, {"width": 3}) == []


def test_a_sample_is_spread_over_lengths_and_the_same_for_the_same_seed():
    lengths = list(range(100, 0, -1))
    sample = spread_sample(lengths, 8, seed=3)
    assert sample == spread_sample(lengths, 8, seed=3) != spread_sample(lengths, 8, seed=4)
    # eight groups of 12 or 13 neighbours: one from each
    assert [(lengths[place] - 1) // 13 for place in sample][:4] == [0, 1, 2, 3]
    assert len({lengths[place] // 13 for place in sample}) >= 7


def test_a_shift_that_all_utterances_share_is_no_distance_between_them():
    rng = np.random.default_rng(0)
    full = rng.standard_normal((5, 2, 3))
    relative, cosine, of_spread = compare_means(full + 10.0, full)
    assert (relative > 1).all()
    assert (cosine < 1).all()
    np.testing.assert_allclose(of_spread, 0, atol=1e-12)
    assert compare_means(full[:1] + 1, full[:1])[2].tolist() == [0, 0]

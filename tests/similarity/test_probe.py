from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from layersim.similarity.probe import agreement, probe_layer, probe_sample
from layersim.similarity.selection import select

EMOTIONS = ["anger", "happiness", "neutral", "sadness"]


def samples(pair, limit=1000, emotions=EMOTIONS):
    rng = np.random.default_rng(0)
    return tuple(probe_sample(select(corpus, emotions), emotions, limit, rng) for corpus in pair)


def test_both_forms_equal_a_scikit_learn_pipeline(planted_pair):
    pair = planted_pair([0.6, 0.6], own_offset=3.0)
    values = [
        corpus.cache.products["utterance/mean"][:, 1].astype(np.float32).astype(float) for corpus in pair
    ]
    label = [corpus.table["emotion"].to_numpy() for corpus in pair]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))
    model.fit(values[0], label[0])
    own = model[-1].predict(StandardScaler().fit_transform(values[1]))
    expected = [recall_score(label[1], guess, average="macro") for guess in (own, model.predict(values[1]))]
    found = probe_layer(pair[0].cache, pair[1].cache, samples(pair), "1")
    assert found[:2] == pytest.approx(expected)
    assert found[2]
    assert found[0] > found[1]  # the target's own offset misleads the source's statistics


def test_a_layer_that_shares_emotion_transfers_and_one_that_does_not_stays_at_chance(planted_pair):
    pair = planted_pair([0.0, 1.5], utterances=400)
    nothing, shared = (probe_layer(pair[0].cache, pair[1].cache, samples(pair), layer)[0] for layer in "01")
    assert nothing == pytest.approx(0.25, abs=0.08)
    assert shared > 0.95


def test_a_big_corpus_is_cut_to_the_limit_with_every_emotion_in_its_share(make_corpus):
    label = np.repeat(["anger", "sadness"], [900, 100])
    corpus = make_corpus("a", np.zeros((1000, 1, 2)), label, ["s1", "s2"] * 500)
    sample = samples([corpus], limit=200, emotions=["anger", "sadness"])[0]
    assert np.unique(sample.emotion, return_counts=True)[1].tolist() == [180, 20]
    assert len(set(sample.rows.tolist())) == 200
    assert (label[sample.rows] == sample.emotion).all()


def test_agreement_is_the_rank_correlation_of_scores_and_uars_and_none_without_an_order():
    found = agreement([0.1, 0.2, 0.3], [0.3, 0.5, 0.6], [0.5, 0.5, 0.5])
    assert found["spearman"] == {"rho": 1.0, "p": pytest.approx(1 / 3)}
    assert found["spearman_source_statistics"] == {"rho": None, "p": None}

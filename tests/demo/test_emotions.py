from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import cross_val_predict

from layersim.demo.emotions import EMOTIONS, draw_prosody


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    rows = {name: [draw_prosody(name, rng) for _ in range(400)] for name in EMOTIONS}
    return {
        name: np.array([[p.rate, p.pitch, p.pitch_range, p.volume] for p in found])
        for name, found in rows.items()
    }


def test_emotions_move_the_way_the_literature_says(drawn):
    """Rate, pitch, range and loudness: Murray & Arnott 1993; Juslin & Laukka 2003; Scherer 2003."""
    neutral = drawn["neutral"].mean(axis=0)
    assert (drawn["anger"].mean(axis=0) > neutral).all()
    assert (drawn["happiness"].mean(axis=0) > neutral).all()
    assert (drawn["sadness"].mean(axis=0) < neutral).all()
    assert drawn["anger"][:, 3].mean() > drawn["happiness"][:, 3].mean()
    assert drawn["happiness"][:, 1].mean() > drawn["anger"][:, 1].mean()


def test_emotions_overlap_but_can_be_told_apart_better_than_by_chance(drawn):
    features = np.concatenate(list(drawn.values()))
    labels = np.repeat(list(drawn), 400)
    guess = cross_val_predict(LinearDiscriminantAnalysis(), features, labels, cv=5)
    recalls = np.diag(confusion_matrix(labels, guess, labels=list(drawn), normalize="true"))
    assert (recalls > 0.45).all()
    assert (recalls < 0.97).all()
    assert 0.6 < recalls.mean() < 0.9


def test_every_draw_is_a_setting_espeak_speaks_clearly(drawn):
    rows = np.concatenate(list(drawn.values()))
    assert (rows.min(axis=0) >= [0.7, 20, 5, 30]).all()
    assert (rows.max(axis=0) <= [1.4, 90, 99, 95]).all()


def test_the_same_seed_draws_the_same_prosody():
    first, second = (draw_prosody("anger", np.random.default_rng(3)) for _ in range(2))
    assert first == second

"""The label-free form: vowels compared across corpora, without any emotion label."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from layersim.errors import UsageError
from layersim.settings import resolve_settings
from layersim.similarity.inputs import fingerprint
from layersim.similarity.rank import RankConfig, rank, rank_layers
from layersim.workspace import CorpusEntry, Workspace

QUICK = {"bootstraps": 40, "permutations": 30, "probe_limit": 0}
VOWELS = {"AA1": "a", "IY0": "i", "UW1": "u"}


def label_free(**changes):
    return RankConfig(label_free=True, **{**QUICK, **changes})


def scores(ranking):
    return [layer.score.value for layer in ranking.layers]


def segments_of(corpus, layer):
    phones = corpus.cache.phones.reset_index()
    rows = phones.merge(
        corpus.table.assign(utterance=corpus.cache.keys), on="utterance", how="left", validate="many_to_one"
    )
    rows["vowel"] = rows["phone"].map(VOWELS)
    rows = rows[rows["vowel"].notna()]
    vectors = corpus.cache.products["phone/mean"][rows["index"], layer].astype(np.float32).astype(float)
    return rows["vowel"].to_numpy(), rows["speaker"].to_numpy(), vectors


def weights_of(vowel, speaker, cap):
    pairs = list(zip(vowel, speaker, strict=True))
    return np.array([min(1.0, cap / pairs.count(pair)) for pair in pairs])


def prepared(vowel, weight, vectors, features):
    """By numpy alone: vowel means, their plain mean, and the plain mean of squared distances to it."""
    own = [vowel == name for name in sorted(set(vowel))]
    mean = np.mean([np.average(vectors[rows], axis=0, weights=weight[rows]) for rows in own], axis=0)
    squares = [np.average((vectors[rows] - mean) ** 2, axis=0, weights=weight[rows]) for rows in own]
    if features == "raw":
        return vectors
    return (vectors - mean) / (np.sqrt(np.mean(squares, axis=0)) if features == "zscored" else 1)


@pytest.mark.parametrize("features", ["raw", "centred", "zscored"])
@pytest.mark.parametrize("metric", ["pairwise", "centroid"])
def test_every_vowel_is_the_weighted_mean_of_all_cross_pairs_around_the_mean_of_vowels(
    segment_pair, metric, features
):
    pair = segment_pair(vowel_strength=1.0)
    ranking = rank_layers(
        *pair, label_free(metric=metric, features=features, speaker_cap=4, bootstraps=0, permutations=0)
    )
    sides = []
    for corpus in pair:
        vowel, speaker, vectors = segments_of(corpus, 1)
        weight = weights_of(vowel, speaker, 4)
        assert weight.min() < 1
        ready = prepared(vowel, weight, vectors, features)
        if metric == "pairwise":
            ready = ready / np.linalg.norm(ready, axis=1)[:, None]
        sides.append(
            {name: np.average(ready[vowel == name], axis=0, weights=weight[vowel == name]) for name in "aiu"}
        )
    scale = {
        name: [np.linalg.norm(side[name]) if metric == "centroid" else 1.0 for side in sides]
        for name in "aiu"
    }

    def cosine(one, other):
        return sides[0][one] @ sides[1][other] / (scale[one][0] * scale[other][1])

    found = ranking.layers[1].labels
    assert {name: found[name].value for name in "aiu"} == pytest.approx(
        {v: cosine(v, v) for v in "aiu"}, abs=1e-6
    )
    others = np.mean([[cosine("a", w), cosine(w, "a")] for w in "iu"])
    assert found["a"].different == pytest.approx(others, abs=1e-6)
    assert ranking.layers[1].score.value == pytest.approx(np.mean([cosine(v, v) for v in "aiu"]), abs=1e-6)
    spread = ranking.layers[1].spread[""]
    assert spread.value == pytest.approx(np.std([cosine(v, v) for v in "aiu"]), abs=1e-6)


def test_a_common_offset_without_shared_vowels_scores_nothing_centred_and_everything_raw(segment_pair):
    pair = segment_pair(vowel_strength=0.0, utterances=300, width=24, offset=10.0)
    centred = rank_layers(*pair, label_free())
    assert scores(centred) == pytest.approx([0, 0, 0], abs=0.02)
    assert all(layer.score.p > 0.02 for layer in centred.layers)
    raw = rank_layers(*pair, label_free(features="raw"))
    assert min(scores(raw)) > 0.95
    assert all(layer.score.different == pytest.approx(layer.score.value, abs=0.01) for layer in raw.layers)


def test_the_layer_in_which_vowels_are_alike_wins(segment_pair):
    pair = segment_pair(vowel_strength=[0.0, 0.2, 2.0, 0.1, 0.0], layers=5, utterances=120, width=16)
    ranking = rank_layers(*pair, label_free())
    assert ranking.sets.best == "2"
    best = ranking.layers[2].score
    assert best.value > best.null_high
    assert best.p == pytest.approx(1 / 31)
    assert best.low < best.value
    assert best.different < 0  # around their mean the other vowels lie on the other side


def test_no_emotion_label_of_either_corpus_is_read(segment_pair):
    pair = segment_pair(vowel_strength=1.0)
    expected = json.dumps(rank_layers(*pair, label_free()).to_json())
    rng = np.random.default_rng(1)
    for change in (
        lambda table: table.assign(emotion=rng.permutation(table["emotion"].to_numpy())),
        lambda table: table.assign(emotion=[f"made up {row}" for row in range(len(table))]),
        lambda table: table.drop(columns="emotion"),
    ):
        changed = [replace(corpus, table=change(corpus.table)) for corpus in pair]
        ranking = rank_layers(*changed, label_free())
        assert json.dumps(ranking.to_json()) == expected
        assert "no emotion label of either corpus was read" in ranking.notes[0]
        assert [fingerprint(one, label_free=True) for one in changed] == [
            fingerprint(one, label_free=True) for one in pair
        ]
    assert "anger" not in expected


def test_only_the_train_split_is_read(segment_pair):
    splits = ["train"] * 16 + ["test"] * 8
    before, after = (segment_pair(vowel_strength=1.0, splits=splits) for _ in range(2))
    for corpus in after:
        corpus.cache.products["phone/mean"][16 * 5 :] = 1e6
        corpus.table.loc[16:, "speaker"] = "another"
        corpus.cache.phones.loc[16 * 5 :, "phone"] = "IY0"
    first, second = (rank_layers(*pair, label_free()) for pair in (before, after))
    assert json.dumps(first.to_json()) == json.dumps(second.to_json())
    assert all(row < 16 * 5 for corpus in after for _, _, row in corpus.cache.reads)


def test_row_order_never_matters(segment_pair):
    pair = segment_pair(vowel_strength=1.0)
    expected = rank_layers(*pair, label_free(permutations=30))
    moved = []
    for seed, corpus in enumerate(segment_pair(vowel_strength=1.0)):
        order = np.random.default_rng(seed).permutation(len(corpus.table))
        rows = np.concatenate([np.arange(5 * row, 5 * row + 5) for row in order])
        corpus.cache.products["phone/mean"] = corpus.cache.products["phone/mean"][rows]
        corpus.cache.phones = corpus.cache.phones.iloc[rows].reset_index(drop=True)
        corpus.cache.names = [corpus.cache.names[row] for row in order]
        moved.append(replace(corpus, table=corpus.table.iloc[order].reset_index(drop=True)))
    found = rank_layers(*moved, label_free(permutations=30))
    for one, other in zip(found.layers, expected.layers, strict=True):
        assert list(one.score.as_row("score").values()) == pytest.approx(
            list(other.score.as_row("score").values())
        )


def test_a_rare_vowel_is_refused_shown_and_no_part_of_the_mean(segment_pair):
    pair = segment_pair(vowel_strength=1.0, shares=(0.57, 0.4, 0.03, 0.0))
    ranking = rank_layers(*pair, label_free(minimum_cell=8))
    assert ranking.labels == ("a", "i")
    assert ranking.refused == ("u",)
    assert ranking.similarity.loc[ranking.similarity["vowel"] == "u", "similarity"].isna().all()
    without = rank_layers(*pair, label_free(minimum_cell=8, vowels=("a", "i")))
    assert scores(ranking) == pytest.approx(scores(without))
    assert any(note.startswith("u refused, fewer than 8 segments") for note in ranking.notes)
    assert "(" in ranking.to_table().split("in brackets where refused as too few: ")[1].splitlines()[0]


def test_a_vowel_that_one_speaker_says_keeps_the_scores_interval(segment_pair):
    source, target = segment_pair(vowel_strength=1.0, utterances=60)
    speaker = dict(zip(target.cache.keys, target.table["speaker"], strict=True))
    phones = target.cache.phones
    others = (phones["phone"] == "UW1") & (phones["utterance"].map(speaker) != "loud")
    phones.loc[others, "phone"] = "T"
    ranking = rank_layers(source, target, label_free())
    assert ranking.layers[1].labels["u"].interval is None
    assert ranking.layers[1].score.interval is not None
    assert "u: spoken by one speaker in a corpus; its interval is refused." in ranking.notes


@pytest.fixture
def study(segment_pair, tmp_path, monkeypatch):
    """A workspace of two corpora with vowels, without files."""
    corpora = {corpus.name: corpus for corpus in segment_pair(vowel_strength=1.0)}
    monkeypatch.setattr("layersim.features.dataset.open_corpus", lambda _, name: corpora[name])
    entries = {name: CorpusEntry(manifest=tmp_path / "m.csv", audio_root=tmp_path) for name in corpora}
    return Workspace(tmp_path, "planted", "source", "target", entries, {}), corpora


def flags(**given):
    return resolve_settings(RankConfig, {**QUICK, **given})


def test_the_stage_writes_a_folder_of_its_own_and_relabelling_changes_no_byte(study):
    workspace, corpora = study
    rank(workspace, flags(label_free=True), "source", "target")
    folder = workspace.rank_folder("source", "target", "phoneme-label-free")
    names = {file.name for file in folder.iterdir()}
    assert names == {
        "ranking.json", "similarity.csv", "layers.csv", "spread.csv", "heatmap.png", "heatmap.svg",
        "spread.png", "spread.svg", "run.json",
    }  # fmt: skip
    before = {name: (folder / name).read_bytes() for name in names - {"run.json"}}
    run = json.loads((folder / "run.json").read_text("utf-8"))
    assert "--label-free" in run["command"]
    assert next(row for row in run["settings"] if row["name"] == "level")["origin"] == "label_free"
    for corpus in corpora.values():
        corpus.table["emotion"] = corpus.table["emotion"].to_numpy()[::-1]
    rank(workspace, flags(label_free=True), "source", "target")  # the same inputs: no --force
    assert before == {name: (folder / name).read_bytes() for name in names - {"run.json"}}
    document = json.loads(before["ranking.json"])
    assert (document["level"], document["label_free"], document["compared"]) == ("phoneme", True, "vowels")
    assert document["emotions"] == []
    assert document["vowels"] == ["a", "i", "u"]
    assert document["probe"] == {"reason": "it needs emotion labels, and none was read."}
    assert document["agreement"] is None
    table = pd.read_csv(folder / "spread.csv")
    assert list(table.columns) == [
        "layer",
        "spread",
        "low",
        "high",
        "null_mean",
        "null_low",
        "null_high",
        "p",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"label_free": True, "level": "utterance"}, "--label-free compares vowels: leave --level out"),
        (
            {"label_free": True, "emotions": ["anger"]},
            "--label-free reads no emotion label: leave --emotions out",
        ),
        ({"middle": True}, "--middle is about vowel segments: add --level phoneme"),
        ({"speaker_cap": 5, "vowels": ["a"]}, "--vowels, --speaker-cap is about vowel segments"),
        ({"level": "phoneme", "paper": True, "speaker_cap": 5}, "paper is set and fixes the speaker_cap"),
    ],
)
def test_flags_that_contradict_each_other_are_usage_errors(study, given, message):
    with pytest.raises(UsageError, match=message):
        rank(study[0], flags(**given), "source", "target")


def test_settings_of_the_file_about_other_levels_are_no_error(study):
    workspace, _ = study
    settings = resolve_settings(RankConfig, QUICK, {"vowels": ["a"], "min_frames": 2, "emotions": ["anger"]})
    assert rank(workspace, settings, "source", "target").level == "utterance"
    settings = resolve_settings(
        RankConfig, {**QUICK, "label_free": True}, {"level": "utterance", "emotions": ["x"]}
    )
    assert rank(workspace, settings, "source", "target").labels == ("a", "i", "u")


def test_many_vowels_leave_their_columns_to_the_tables(segment_pair):
    vowels = ("AA1", "IY0", "UW1", "AE1", "EH1", "AO1", "OW1", "EY1", "AY1", "AW1")
    pair = segment_pair(utterances=60, vowels=vowels, shares=[0.1] * 10)
    text = rank_layers(*pair, label_free()).to_table()
    assert text.splitlines()[5].split() == ["layer", "score", "interval", "null", "other", "probe", "sets"]
    assert "segments in source/target, in brackets where refused as too few: a " in text

"""The rank stage on corpora with planted similarity."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from layersim.errors import LayersimError
from layersim.settings import resolve_settings
from layersim.similarity.inputs import fingerprint
from layersim.similarity.rank import RankConfig, rank, rank_layers
from layersim.similarity.settings import PAPER
from layersim.workspace import CorpusEntry, Workspace

QUICK = {"bootstraps": 100, "permutations": 50, "probe_limit": 0}
SHAPES = [0.0, 0.0, 0.3, 0.2, 1.0, 0.9, 1.1, 0.1]  # layers 0..7: 4, 5 and 6 share emotion


def scores(ranking):
    return [layer.score.value for layer in ranking.layers]


@pytest.mark.parametrize("metric", ["pairwise", "centroid"])
@pytest.mark.parametrize("features", ["centred", "zscored"])
def test_the_planted_layers_win_and_the_cut_is_resolved(planted_pair, metric, features):
    ranking = rank_layers(*planted_pair(SHAPES), RankConfig(metric=metric, features=features, **QUICK))
    assert ranking.sets.group == ("4", "5", "6")
    assert ranking.resolved
    assert all(layer.score.p == pytest.approx(1 / 51) for layer in ranking.layers if layer.layer in "456")
    if metric == "pairwise":
        assert ranking.sets.best == "6"


def test_the_default_is_pairwise_centred():
    assert (RankConfig().metric, RankConfig().features) == ("pairwise", "centred")


def test_a_common_offset_alone_looks_alike_raw_and_not_centred(planted_pair):
    pair = planted_pair([0.0] * 7, own_offset=0.0)
    raw = rank_layers(*pair, RankConfig(paper=True, **QUICK))
    centred = rank_layers(*pair, RankConfig(**QUICK))
    assert (raw.config.metric, raw.config.features) == ("pairwise", "raw")
    for one, other in zip(raw.layers, centred.layers, strict=True):
        assert one.score.value == pytest.approx(1, abs=0.01)
        assert one.score.different == pytest.approx(one.score.value, abs=0.001)  # the baseline gives it away
        assert other.score.value == pytest.approx(0, abs=0.02)
    assert not raw.resolved


def test_the_planted_layer_wins_centred_where_raw_is_ruled_by_the_offset(make_corpus):
    rng = np.random.default_rng(1)
    width, emotions = 16, ["anger", "neutral", "sadness"]
    directions = np.linalg.qr(rng.standard_normal((width, 4)))[0].T
    strength, offset = [0.0, 0.0, 0.0, 1.2, 0.0, 0.0, 0.0], [30.0, 30.0, 20.0, 2.0, 9.0, 8.0, 7.0]
    pair = []
    for name in ("a", "b"):
        label = np.arange(90) % 3
        vectors = rng.standard_normal((90, 7, width)) / 4 + np.outer(offset, directions[3])[None]
        vectors += np.asarray(strength)[None, :, None] * directions[label][:, None]
        speakers = [f"s{index // 3 % 5}" for index in range(90)]
        pair.append(make_corpus(name, vectors, [emotions[index] for index in label], speakers))
    assert rank_layers(*pair, RankConfig(**QUICK)).sets.best == "3"
    raw = rank_layers(*pair, RankConfig(paper=True, **QUICK))
    assert "3" in raw.sets.worst
    assert raw.sets.best == "1"


def test_test_and_validation_rows_change_nothing_and_are_never_read(planted_pair):
    splits = ["train"] * 80 + ["test"] * 20 + ["validation"] * 20
    config = RankConfig(**{**QUICK, "probe_limit": 2000})
    before = planted_pair(SHAPES, splits=splits)
    after = planted_pair(SHAPES, splits=splits)
    rng = np.random.default_rng(9)
    for corpus in after:
        corpus.cache.products["utterance/mean"][80:] = 1e6 * rng.standard_normal((40, len(SHAPES), 24))
        corpus.table.loc[80:, "emotion"] = "surprise"
        corpus.table.loc[80:, "speaker"] = "another"
    first, second = rank_layers(*before, config), rank_layers(*after, config)
    assert json.dumps(first.to_json()) == json.dumps(second.to_json())
    assert first.to_table() == second.to_table()
    assert all(row < 80 for corpus in after for _, _, row in corpus.cache.reads)


def test_test_rows_change_nothing_at_phoneme_level(planted_pair, add_phones):
    splits = ["train"] * 80 + ["test"] * 40
    rankings = []
    for changed in (False, True):
        pair = []
        for seed, corpus in enumerate(planted_pair(SHAPES, splits=splits)):
            labels = [["AA1", "IY0"]] * 80 + ([["UW1", "XYZ"]] * 40 if changed else [["AA1", "IY0"]] * 40)
            vectors = np.random.default_rng(seed).standard_normal((240, len(SHAPES), 24))
            vectors[160:] += 1e5 * changed
            pair.append(add_phones(corpus, labels, vectors))
        rankings.append(rank_layers(*pair, RankConfig(level="phoneme", **QUICK)))
    assert json.dumps(rankings[0].to_json()) == json.dumps(rankings[1].to_json())


def test_row_order_never_matters(planted_pair):
    config = RankConfig(**{**QUICK, "probe_limit": 60})
    pair = planted_pair(SHAPES)
    expected = rank_layers(*pair, config)
    moved = []
    for seed, corpus in enumerate(planted_pair(SHAPES)):
        order = np.random.default_rng(seed).permutation(len(corpus.table))
        corpus.cache.products["utterance/mean"] = corpus.cache.products["utterance/mean"][order]
        corpus.cache.names = [corpus.cache.names[row] for row in order]
        moved.append(replace(corpus, table=corpus.table.iloc[order].reset_index(drop=True)))
    found = rank_layers(*moved, config)
    assert found.sets == expected.sets
    for one, other in zip(found.layers, expected.layers, strict=True):
        # The same speakers and labels are drawn: intervals and null agree too, to rounding.
        assert list(one.score.as_row("score").values()) == pytest.approx(
            list(other.score.as_row("score").values())
        )
        assert one.probe_uar == other.probe_uar


def test_layer_zero_is_scored_and_shown_but_picked_only_on_request(planted_pair):
    pair = planted_pair([2.0, *SHAPES[1:]])
    shown = rank_layers(*pair, RankConfig(**QUICK))
    assert shown.layers[0].layer == "0"
    assert scores(shown)[0] == max(scores(shown))
    assert shown.sets.group == ("4", "5", "6")
    assert shown.layers[0].in_group is None
    asked = rank_layers(*pair, RankConfig(include_layer_zero=True, **QUICK))
    assert asked.sets.best == "0"


def test_a_small_encoder_gets_smaller_sets_and_says_so(planted_pair):
    ranking = rank_layers(*planted_pair([0.0, 0.1, 1.0, 0.1, 0.1]), RankConfig(**QUICK))
    assert len(ranking.sets.group) == len(ranking.sets.worst) == 2
    assert any(
        "with 4 layers to pick from, Group and Worst have 2 instead of 3" in note for note in ranking.notes
    )


def test_decoder_layers_are_ranked_by_name(planted_pair):
    pair = [
        replace(corpus, cache=replace(corpus.cache, layers=("0", "1", "2", "d1", "d2", "d3", "d4", "d5")))
        for corpus in planted_pair(SHAPES)
    ]
    assert rank_layers(*pair, RankConfig(**QUICK)).sets.group == ("d2", "d3", "d4")


def test_like_layers_leave_the_cut_unresolved_and_the_table_says_so(planted_pair):
    ranking = rank_layers(*planted_pair([0.5] * 9), RankConfig(**QUICK))
    assert not ranking.resolved
    assert ranking.to_json()["resolved"] is False
    assert "cut: NOT resolved: the intervals of layer" in ranking.to_table()
    shares = [layer.in_group for layer in ranking.layers[1:]]
    assert sum(shares) == pytest.approx(3)  # every draw has a Group of three


def test_one_speaker_refuses_every_interval_and_says_so(planted_pair):
    source, target = planted_pair(SHAPES)
    target.table["speaker"] = "alone"
    ranking = rank_layers(source, target, RankConfig(**QUICK))
    assert all(layer.score.interval is None and layer.in_group is None for layer in ranking.layers)
    assert not ranking.resolved
    assert any("target has one speaker in its train split: intervals" in note for note in ranking.notes)
    assert "cut: NOT resolved: no intervals for layers" in ranking.to_table()


def test_small_cells_are_refused_and_shown(planted_pair):
    source, target = planted_pair(SHAPES)
    angry = target.table.index[target.table["emotion"] == "anger"]
    target.table.loc[angry[2:], "emotion"] = "fear"
    ranking = rank_layers(source, target, RankConfig(**QUICK))
    assert ranking.labels == ("happiness", "neutral", "sadness")
    assert ranking.refused == ("anger",)
    refused = ranking.similarity[ranking.similarity["emotion"] == "anger"]
    assert len(refused) == len(ranking.layers)
    assert refused["refused"].all()
    assert refused["similarity"].isna().all()
    assert refused["target"].tolist() == [2] * len(ranking.layers)
    assert "anger refused, fewer than 3 utterances in a corpus: source 30, target 2." in ranking.notes
    assert "few" in ranking.to_table()
    with pytest.raises(LayersimError, match=r"no cell has 99 or more utterances(?s:.*)lower minimum_cell"):
        rank_layers(source, target, RankConfig(minimum_cell=99, **QUICK))


def test_one_emotion_alone_is_ranked_without_baseline_and_probe(planted_pair):
    config = RankConfig(emotions=("anger",), bootstraps=10, permutations=0)
    ranking = rank_layers(*planted_pair(SHAPES), config)
    assert ranking.labels == ("anger",)
    assert ranking.layers[4].score.different is None
    assert ranking.probe == {"reason": "it needs two emotions, and only anger has a value."}
    assert "probe: not run: it needs two emotions" in ranking.to_table()


def test_the_probe_goes_with_the_planted_similarity(planted_pair):
    ranking = rank_layers(*planted_pair(SHAPES), RankConfig(bootstraps=0, permutations=0))
    assert ranking.probe["spearman"]["rho"] > 0.8
    assert ranking.probe["spearman"]["p"] < 0.05
    assert ranking.probe["layers"] == 7  # layer 0 is not among them
    assert ranking.layers[4].probe_uar > 0.9
    assert "no intervals: bootstraps = 0." in ranking.notes
    assert "probe: layer score against transfer UAR over 7 layers: rho +" in ranking.to_table()


def test_caches_of_different_encoders_are_refused_with_both_values(planted_pair):
    source, target = planted_pair(SHAPES)
    other = replace(target, cache=replace(target.cache, checkpoint="another"))
    with pytest.raises(LayersimError, match=r"for target encoder\.checkpoint: .*'another'.*'planted'"):
        rank_layers(source, other, RankConfig(**QUICK))


def vowel_pair(planted_pair, add_phones, identity=8.0, seed=0):
    """Two vowels whose identity is a strong shared direction, and emotions that use them unequally."""
    pair = []
    rng = np.random.default_rng(seed)
    vowels = {"AA1": identity * rng.standard_normal((1, 8)), "IY1": identity * rng.standard_normal((1, 8))}
    for corpus in planted_pair([0.0, 0.0, 0.0], width=8):
        favourite = [["AA1"] * 5 + ["IY1"] if label in ("anger", "neutral") else ["AA1"] + ["IY1"] * 5
                     for label in corpus.table["emotion"]]  # fmt: skip
        flat = [phone for phones in favourite for phone in phones]
        vectors = np.array([vowels[phone] for phone in flat]) + 0.3 * rng.standard_normal((len(flat), 3, 8))
        pair.append(add_phones(corpus, [[*phones] for phones in favourite], vectors))
    return pair


def test_vowel_identity_does_not_pose_as_emotion(planted_pair, add_phones):
    pair = vowel_pair(planted_pair, add_phones)
    ranking = rank_layers(*pair, RankConfig(level="phoneme", **QUICK))
    assert scores(ranking) == pytest.approx([0, 0, 0], abs=0.02)
    raw = rank_layers(*pair, RankConfig(level="phoneme", paper=True, **QUICK))
    assert min(scores(raw)) > 0.9


@pytest.mark.parametrize("features", ["raw", "centred", "zscored"])
def test_phoneme_level_is_the_mean_over_vowels_with_enough_segments(planted_pair, add_phones, features):
    rng = np.random.default_rng(4)
    pair = []
    for corpus in planted_pair([0.0, 0.0, 0.0], utterances=24, width=5, speakers=3):
        labels = [list(rng.choice(["AA1", "IY0", "UW1", "T"], 5, p=[0.5, 0.3, 0.1, 0.1])) for _ in range(24)]
        pair.append(add_phones(corpus, labels, 1 + rng.standard_normal((120, 3, 5))))
    config = RankConfig(level="phoneme", features=features, minimum_cell=5, bootstraps=0, permutations=0)
    ranking = rank_layers(*pair, config)
    sides = []
    for corpus in pair:
        phones = corpus.cache.phones.merge(
            corpus.table.assign(utterance=corpus.cache.keys),
            on="utterance",
            how="left",
            validate="many_to_one",
        )
        vectors = corpus.cache.products["phone/mean"][:, 1].astype(np.float32).astype(float)
        for vowel in ("AA1", "IY0", "UW1"):
            rows = (phones["phone"] == vowel).to_numpy()
            if features != "raw":
                vectors[rows] -= vectors[rows].mean(axis=0)
            if features == "zscored":
                vectors[rows] /= vectors[rows].std(axis=0)
        sides.append((phones, vectors))
    expected, used, refused = {}, 0, 0
    for emotion in ranking.similarity["emotion"].unique():
        values = []
        for vowel in ("AA1", "IY0", "UW1"):
            one, other = (
                vectors[((phones["phone"] == vowel) & (phones["emotion"] == emotion)).to_numpy()]
                for phones, vectors in sides
            )
            if min(len(one), len(other)) < 5:
                refused += 1
                continue
            used += 1
            lengths = np.linalg.norm(one, axis=1)[:, None] * np.linalg.norm(other, axis=1)[None]
            values.append((one @ other.T / lengths).mean())
        expected[emotion] = np.mean(values) if values else None
    assert used > 4
    assert refused > 0
    found = {name: estimate.value for name, estimate in ranking.layers[1].labels.items()}
    assert found == {
        name: value if value is None else pytest.approx(value, abs=1e-6) for name, value in expected.items()
    }
    layer = ranking.cells[ranking.cells["layer"] == "1"]
    assert int((~layer["refused"]).sum()) == used
    assert layer.loc[layer["refused"], "similarity"].isna().all()
    assert layer["source"].sum() == sides[0][0]["phone"].isin(["AA1", "IY0", "UW1"]).sum()


def test_phoneme_level_leaves_decoder_layers_out(planted_pair, add_phones):
    pair = [
        replace(corpus, cache=replace(corpus.cache, layers=("0", "1", "d1")))
        for corpus in vowel_pair(planted_pair, add_phones)
    ]
    ranking = rank_layers(*pair, RankConfig(level="phoneme", **QUICK))
    assert [layer.layer for layer in ranking.layers] == ["0", "1"]


def test_a_paper_run_records_the_paper_as_origin_and_a_default_run_does_not(
    planted_pair, tmp_path, monkeypatch
):
    workspace = study(tmp_path, planted_pair(SHAPES), monkeypatch)
    rank(workspace, resolve_settings(RankConfig, {**QUICK, "paper": True}), "source", "target")
    run = json.loads((workspace.rank_folder("source", "target", "utterance") / "run.json").read_text())
    rows = {row["name"]: row for row in run["settings"]}
    assert (rows["features"]["value"], rows["features"]["origin"]) == ("raw", f"paper: {PAPER}")
    assert rows["minimum_cell"]["origin"] == "default"


def study(folder: Path, pair, monkeypatch) -> Workspace:
    """Make a workspace whose corpora are these, without files."""
    corpora = {corpus.name: corpus for corpus in pair}
    monkeypatch.setattr("layersim.features.dataset.open_corpus", lambda _, name: corpora[name])
    entries = {name: CorpusEntry(manifest=folder / "m.csv", audio_root=folder) for name in corpora}
    return Workspace(folder, "planted", "source", "target", entries, {})


def test_rank_writes_json_tables_and_heatmaps_and_run_json_last(planted_pair, tmp_path, monkeypatch):
    workspace = study(tmp_path, planted_pair(SHAPES), monkeypatch)
    seen = []
    ranking = rank(
        workspace, resolve_settings(RankConfig, QUICK), "source", "target",
        progress=lambda label, done, total: seen.append((label, done, total)),
    )  # fmt: skip
    folder = workspace.rank_folder("source", "target", "utterance")
    names = {file.name for file in folder.iterdir()}
    assert names == {"ranking.json", "similarity.csv", "layers.csv", "heatmap.png", "heatmap.svg", "run.json"}
    document = json.loads((folder / "ranking.json").read_text())
    assert document == json.loads(json.dumps(ranking.to_json()))
    promised = (
        "source target encoder level metric features emotions layers group best worst resolved probe notes"
    )
    assert set(promised.split()) <= set(document)
    assert document["group"] == ["4", "5", "6"]
    assert document["layers"][6]["score"] == ranking.layers[6].score.value
    table = pd.read_csv(folder / "similarity.csv", dtype={"layer": str})
    assert len(table) == len(SHAPES) * 4
    assert {"low", "high", "null_mean", "p", "different", "source", "target", "refused"} <= set(table.columns)
    layers = pd.read_csv(folder / "layers.csv", dtype={"layer": str})
    assert layers.loc[layers["group"], "layer"].tolist() == ["4", "5", "6"]
    run = json.loads((folder / "run.json").read_text())
    assert run["command"].startswith("layersim rank --source source --target target")
    assert set(run["results"]["files"]) == names - {"run.json"}
    assert "emotion labels of both corpora were used, target's included" in run["notes"][0]
    assert seen[0] == ("comparing layers", 0, 8)
    assert seen[-1] == ("comparing layers", 8, 8)


def test_phoneme_level_writes_vowels_and_one_heatmap_an_emotion(
    planted_pair, add_phones, tmp_path, monkeypatch
):
    workspace = study(tmp_path, vowel_pair(planted_pair, add_phones), monkeypatch)
    rank(workspace, resolve_settings(RankConfig, {**QUICK, "level": "phoneme"}), "source", "target")
    folder = workspace.rank_folder("source", "target", "phoneme")
    table = pd.read_csv(folder / "vowels.csv", dtype={"layer": str})
    assert len(table) == 3 * 4 * 2  # layers, emotions, vowels
    for emotion in ("anger", "happiness", "neutral", "sadness"):
        assert (folder / f"vowels-{emotion}.png").exists()
        assert (folder / f"vowels-{emotion}.svg").exists()


def test_the_same_run_is_replaced_byte_for_byte_and_another_only_by_force(
    planted_pair, tmp_path, monkeypatch
):
    workspace = study(tmp_path, planted_pair(SHAPES), monkeypatch)
    folder = workspace.rank_folder("source", "target", "utterance")

    def run(force=False, **changes):
        return rank(
            workspace, resolve_settings(RankConfig, {**QUICK, **changes}), "source", "target", force=force
        )

    run()
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "run.json"}
    run()
    assert before == {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "run.json"}
    with pytest.raises(
        LayersimError, match=r"features: centred there, raw now.*seed: 0 there, 1 now.*--force"
    ):
        run(features="raw", seed=1)
    assert before["ranking.json"] == (folder / "ranking.json").read_bytes()
    run(force=True, features="raw", seed=1)
    assert json.loads((folder / "ranking.json").read_text())["features"] == "raw"


def test_other_labels_in_the_train_split_need_force_and_in_the_test_split_do_not(
    planted_pair, tmp_path, monkeypatch
):
    pair = planted_pair(SHAPES, splits=["train"] * 100 + ["test"] * 20)
    workspace = study(tmp_path, pair, monkeypatch)
    settings = resolve_settings(RankConfig, QUICK)
    rank(workspace, settings, "source", "target")
    pair[1].table.loc[110, "emotion"] = "fear"
    rank(workspace, settings, "source", "target")
    pair[1].table.loc[10, "emotion"] = "anger"
    with pytest.raises(LayersimError, match="input 'target' has changed"):
        rank(workspace, settings, "source", "target")


def test_an_unfinished_ranking_is_replaced_and_files_of_an_earlier_one_are_removed(
    planted_pair, add_phones, tmp_path, monkeypatch
):
    workspace = study(tmp_path, vowel_pair(planted_pair, add_phones), monkeypatch)
    folder = workspace.rank_folder("source", "target", "phoneme")
    folder.mkdir(parents=True)
    (folder / "ranking.json").write_text("{")
    (folder / "my own notes.txt").write_text("kept")
    flags = {**QUICK, "level": "phoneme"}
    rank(workspace, resolve_settings(RankConfig, flags), "source", "target")
    assert (folder / "vowels-anger.png").exists()
    fewer = {**flags, "emotions": ["neutral", "sadness"]}
    rank(workspace, resolve_settings(RankConfig, fewer), "source", "target", force=True)
    assert not (folder / "vowels-anger.png").exists()
    assert (folder / "my own notes.txt").exists()


def test_a_probe_that_does_not_converge_is_said(planted_pair, monkeypatch):
    monkeypatch.setattr("layersim.similarity.probe._ITERATIONS", 1)
    ranking = rank_layers(*planted_pair([0.0, 0.5]), RankConfig(bootstraps=0, permutations=0))
    assert "the probe's classifier did not converge on layers 0, 1." in ranking.notes


def test_an_edited_phone_set_is_another_input(planted_pair, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("phone,vowel,source\nIH,ɪ,mine\n", encoding="utf-8")
    corpus = replace(planted_pair(SHAPES)[0], phone_set=str(file))
    before = fingerprint(corpus)
    assert fingerprint(corpus) == before
    file.write_text("phone,vowel,source\nIH,i,mine\n", encoding="utf-8")
    assert fingerprint(corpus) != before

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from matplotlib.figure import Figure

from layersim.adaptation.method import Method, OwnSettings
from layersim.adaptation.settings import TrainConfig
from layersim.adaptation.task import Learned
from layersim.adaptation.wccn import WccnClassifier
from layersim.comparison import corpora_drawing, running, score_drawing, training_drawing
from layersim.comparison.drawing import draw_comparison
from layersim.comparison.job import rankings_folder
from layersim.comparison.running import Units
from layersim.comparison.settings import CompareConfig
from layersim.comparison.table import Cell, Column, Row, RowGroup, Table
from layersim.comparison.view import Drawn, views
from layersim.features.dataset import CorpusFeatures
from layersim.settings import resolve_settings
from layersim.similarity.settings import RankConfig
from layersim.workspace import CorpusEntry, Workspace, encoder_slug

CLASSES = ["anger", "happiness", "neutral", "sadness"]
QUICK = {"epochs": 3, "batch": 16}
G_TO_E, E_TO_G = "german → english", "english → german"

Study = Callable[..., Units]


@pytest.fixture
def corpora(
    corpus_of: Callable[..., CorpusFeatures], monkeypatch: pytest.MonkeyPatch
) -> dict[str, CorpusFeatures]:
    """Two corpora of five speakers, opened by their names; the second has an emotion more."""
    found = {
        "german": corpus_of("german", seed=1),
        "english": corpus_of("english", seed=2, shift=1.0, emotions=(*CLASSES, "disgust")),
    }
    monkeypatch.setattr("layersim.features.dataset.open_corpus", lambda _, name: found[name])
    return found


@pytest.fixture
def study(corpora: dict[str, CorpusFeatures], tmp_path: Path) -> Study:
    """Make the units of a comparison as if they had run; nothing is trained."""
    entries = {name: CorpusEntry(manifest=tmp_path / f"{name}.csv", audio_root=tmp_path) for name in corpora}
    workspace = Workspace.create(tmp_path, "some/tiny", entries)

    def make(
        methods: Sequence[str], details: Callable[[int, int], Any] = lambda *_: {}, **flags: Any
    ) -> Units:
        config = resolve_settings(CompareConfig, {"methods": list(methods), "seeds": 2, **flags}).config
        train = resolve_settings(TrainConfig, QUICK)
        rank = resolve_settings(RankConfig)
        jobs = tuple(running._jobs(workspace, config, train, rank, OwnSettings()))
        rows = []
        for job in jobs:
            for seed in job.seeds:
                folder = job.folder(seed)
                folder.mkdir(parents=True)
                (folder / "metrics.json").write_text(json.dumps(metrics(seed, details)), "utf-8")
                rows.append((job.name, encoder_slug(job.workspace.encoder), job.situation.source,
                             job.situation.tested, seed, str(folder)))  # fmt: skip
        columns = ["method", "encoder", "source", "target", "seed", "folder"]
        return Units(jobs, pd.DataFrame(rows, columns=columns))

    return make


def metrics(seed: int, details: Callable[[int, int], Any]) -> dict[str, Any]:
    """Two folds; the counts of seed 1 are twice those of seed 0."""
    return {
        "test": {
            "confusion": ((seed + 1) * np.arange(16).reshape(4, 4)).tolist(),
            "recalls": dict.fromkeys(CLASSES, 0.5),
            "utterances": 100,
            "speakers": 5,
            "chance": {"uar": 0.25},
        },
        "trials": [
            {"trial": f"pair/fold-{fold}", "layers": ["1", "2"], "best_epoch": 1 + fold,
             "details": details(seed, fold)}
            for fold in (1, 2)
        ],
    }  # fmt: skip


def table_of(
    cells: Mapping[str, Sequence[float | None]],
    directions: Sequence[str] = (G_TO_E, E_TO_G),
    encoder: str = "some--tiny",
    half: float = 0.1,
) -> Table:
    """Make a table of rows, each interval reaching ``half`` to both sides."""
    rows = [
        Row(name, tuple(
            Cell() if value is None else Cell(value, low=value - half, high=value + half) for value in values
        ))
        for name, values in cells.items()
    ]  # fmt: skip
    columns = tuple(Column(direction, encoder) for direction in directions)
    return Table("scores", "method", columns, (RowGroup("", tuple(rows)),))


class Calls(list[dict[str, Any]]):
    """Stands in for a figure function: keeps what it is called with."""

    def __call__(self, *values: Any, **named: Any) -> Figure:
        self.append({"values": values, **named})
        return Figure()


@pytest.fixture
def calls_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str], Calls]:
    def replace(module: Any, name: str) -> Calls:
        calls = Calls()
        monkeypatch.setattr(module, name, calls)
        return calls

    return replace


def test_the_figure_of_methods_has_the_tables_numbers_and_says_seeds_and_speakers(
    study: Study, calls_of: Callable[[Any, str], Calls]
) -> None:
    calls = calls_of(score_drawing, "method_intervals")
    (view,) = views(study(["cc", "la:2,3"]))
    table = table_of({"cc": [0.3, 0.4], "cc-std-all": [0.5, None], "la-2-3": [0.6, 0.7]})
    (drawn,) = score_drawing.draw_methods(view, table)
    (call,) = calls
    values, low, high, directions, methods, _ = call["values"]
    np.testing.assert_array_equal(values, [[0.3, 0.5, 0.6], [0.4, np.nan, 0.7]])
    np.testing.assert_allclose(low, [[0.2, 0.4, 0.5], [0.3, np.nan, 0.6]])
    np.testing.assert_allclose(high, [[0.4, 0.6, 0.7], [0.5, np.nan, 0.8]])
    assert (directions, methods) == ([G_TO_E, E_TO_G], ["cc", "cc-std-all", "la-2-3"])
    assert (call["baselines"], call["chance"]) == (["cc", "cc-std-all"], [0.25, 0.25])
    assert drawn.name == "methods"
    assert "mean of 2 seeds, with 95 % intervals over the target's test speakers" in drawn.caption
    assert "(english: 5, german: 5)" in drawn.caption


def test_the_caption_names_the_methods_that_learn_the_targets_labels(study: Study) -> None:
    (view,) = views(study(["cc", "supervised"]))
    (drawn,) = score_drawing.draw_methods(view, table_of({"cc": [0.3, 0.4], "supervised": [0.8, 0.9]}))
    assert "Learnt from the target's labels: supervised." in drawn.caption


def test_what_no_seed_bears_on_is_said_to_have_one(study: Study) -> None:
    (view,) = views(study(["la:2,3", "la-class:2"]))
    (drawn,) = score_drawing.draw_methods(view, table_of({"la-2-3": [0.6, 0.7]}))
    assert "mean of 2 seeds (one where a seed bears on nothing)" in drawn.caption
    (view,) = views(study(["cc"], seeds=1, protocol="splits"))
    (drawn,) = score_drawing.draw_methods(view, table_of({"cc": [0.6, 0.7]}))
    assert "under some--tiny, one seed, with" in drawn.caption


def test_more_directions_than_fit_a_page_go_on_in_a_second_figure(
    study: Study, calls_of: Callable[[Any, str], Calls], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = calls_of(score_drawing, "method_intervals")
    monkeypatch.setattr(score_drawing, "_PANELS", 2)
    (view,) = views(study(["cc"]))
    table = table_of({"cc": [0.3, 0.4, 0.35]}, (G_TO_E, E_TO_G, "mean"))
    names = [drawn.name for drawn in score_drawing.draw_methods(view, table)]
    assert names == ["methods", "methods-2"]
    assert [call["values"][3] for call in calls] == [[G_TO_E, E_TO_G], ["mean"]]
    assert [call["values"][0].tolist() for call in calls] == [[[0.3], [0.4]], [[0.35]]]
    assert calls[1]["chance"] == [0.25]


def test_every_encoder_has_its_own_figures(study: Study, calls_of: Callable[[Any, str], Calls]) -> None:
    calls = calls_of(score_drawing, "method_intervals")
    units = study(["cc"], encoders=["some/tiny", "some/large"], pairs=["german:english"])
    first = table_of({"cc": [0.3], "la-2-3": [None]}, [G_TO_E])
    second = table_of({"cc": [0.4], "la-2-3": [0.5]}, [G_TO_E], "some--large")
    columns = (*first.columns, *second.columns)
    rows = tuple(
        Row(one.name, (*one.cells, *other.cells))
        for one, other in zip(first.rows(), second.rows(), strict=True)
    )
    table = Table("scores", "method", columns, (RowGroup("", rows),))
    names = [drawn.name for view in views(units) for drawn in score_drawing.draw_methods(view, table)]
    assert names == ["methods-some--tiny", "methods-some--large"]
    assert [call["values"][4] for call in calls] == [["cc"], ["cc", "la-2-3"]]  # nothing of what was not run
    assert [call["values"][0].tolist() for call in calls] == [[[0.3]], [[0.4, 0.5]]]


def test_anchor_sets_are_drawn_with_their_numbers(
    study: Study, calls_of: Callable[[Any, str], Calls]
) -> None:
    calls = calls_of(score_drawing, "anchor_ablation")
    (view,) = views(study(["la:auto", "la:all"]))
    (drawn,) = score_drawing.draw_anchors(view, table_of({"Group": [0.6, 0.7], "All": [0.5, 0.4]}))
    (call,) = calls
    values, low, _, directions, sets, _ = call["values"]
    assert values.tolist() == [[0.6, 0.5], [0.7, 0.4]]
    np.testing.assert_allclose(low, [[0.5, 0.4], [0.6, 0.3]])
    assert (directions, sets, call["chance"]) == ([G_TO_E, E_TO_G], ["Group", "All"], 0.25)
    assert drawn.name == "anchors"
    assert "mean of 2 seeds" in drawn.caption


def test_confusions_are_summed_over_seeds_of_methods_named_beforehand(
    study: Study, calls_of: Callable[[Any, str], Calls]
) -> None:
    calls = calls_of(score_drawing, "confusion_matrices")
    (view,) = views(study(["cc", "la:auto", "la-class"]))
    drawn = list(score_drawing.draw_confusions(view))
    assert [one.name for one in drawn] == ["confusion-german-to-english", "confusion-english-to-german"]
    counts, labels, _ = calls[0]["values"]
    assert list(counts) == ["cc-std-all", "la", "la-class"]
    once = np.arange(16).reshape(4, 4)
    assert counts["la"].tolist() == (3 * once).tolist()  # 1 + 2 times, see `metrics`
    assert counts["la-class"].tolist() == once.tolist()  # no seed bears on it
    assert labels == CLASSES
    assert "5 test speakers of english" in drawn[0].caption
    assert "once for each seed (cc-std-all: 2, la: 2, la-class: 1)" in drawn[0].caption


def test_attention_is_the_mean_over_a_seeds_folds(
    study: Study, calls_of: Callable[[Any, str], Calls]
) -> None:
    calls = calls_of(training_drawing, "attention_weights")

    def weights(seed: int, fold: int) -> dict[str, list[float]]:
        share = 0.2 * seed + 0.1 * fold
        return {"layer_weights": [share, 1 - share]}

    (view,) = views(study(["pa-atn"], weights))
    (drawn,) = training_drawing.draw_attention(view)
    layers, given, _ = calls[0]["values"]
    assert (layers, list(given)) == (["1", "2"], [G_TO_E, E_TO_G])
    np.testing.assert_allclose(given[G_TO_E], [[0.15, 0.85], [0.35, 0.65]])
    assert (drawn.name, "mean of 2 seeds" in drawn.caption) == ("attention", True)


def write_rankings(units: Units, kind: str, scores: Sequence[Sequence[float]]) -> None:
    """Write the ranking of each trial of the first direction; Group is the best layer, Worst the last."""
    for number, row in enumerate(scores, start=1):
        file = rankings_folder(units.jobs[0]) / f"trial-{number}" / kind / "ranking.json"
        file.parent.mkdir(parents=True)
        document = {
            "metric": "pairwise", "features": "centred",
            "layers": [{"layer": str(layer), "score": score} for layer, score in enumerate(row)],
            "group": [str(np.argmax(row))], "worst": [str(np.argmin(row))],
        }  # fmt: skip
        file.write_text(json.dumps(document), "utf-8")


def test_similarity_stands_against_the_probes_of_the_same_layers(
    study: Study, calls_of: Callable[[Any, str], Calls]
) -> None:
    calls = calls_of(training_drawing, "similarity_and_transfer")
    units = study(["probe:1", "probe:2", "probe:3"])
    write_rankings(units, "utterance", [[0.1, 0.2, 0.9, 0.3], [0.2, 0.4, 0.7, 0.1], [0.3, 0.3, 0.8, 0.2]])
    write_rankings(units, "phoneme-label-free", [[0.4, 0.3, 0.2, 0.1]])
    (view,) = views(units)
    table = table_of({"probe-3": [0.5, 0.6], "probe-1": [0.3, 0.4], "cc": [0.2, 0.2], "probe-2": [0.4, 0.5]})
    drawn = list(training_drawing.draw_layer_curves(view, table))
    assert [one.name for one in drawn] == [
        "layer-curve-german-to-english", "layer-curve-label-free-german-to-english",
    ]  # fmt: skip
    layers, similarity, uar, marked = calls[0]["values"]
    assert layers == ["0", "1", "2", "3"]
    np.testing.assert_allclose(similarity, [[0.2, 0.3, 0.8, 0.2], [0.1, 0.2, 0.7, 0.1], [0.3, 0.4, 0.9, 0.3]])
    np.testing.assert_allclose(
        uar, [[np.nan, 0.3, 0.4, 0.5], [np.nan, 0.2, 0.3, 0.4], [np.nan, 0.4, 0.5, 0.6]]
    )
    assert marked == {"Group": ["2"], "Worst": ["3"]}  # layer 0 is lowest in one fold of three only
    assert "rankings of 3 folds" in drawn[0].caption
    assert "one seed, with 95 % intervals over the target's test speakers (english: 5)" in drawn[0].caption
    _, (value, low, high), _, _ = calls[1]["values"]
    assert (value.tolist(), low, high) == ([0.4, 0.3, 0.2, 0.1], None, None)
    assert "label-free" in drawn[1].caption


def test_two_probes_are_no_curve(study: Study) -> None:
    units = study(["probe:1", "probe:2"])
    write_rankings(units, "utterance", [[0.1, 0.2, 0.9, 0.3]])
    (view,) = views(units)
    assert not list(
        training_drawing.draw_layer_curves(view, table_of({"probe-1": [0.3, 0.4], "probe-2": [0.4, 0.5]}))
    )


def test_target_data_curves_run_over_the_labelled_clips(
    study: Study, calls_of: Callable[[Any, str], Calls]
) -> None:
    calls = calls_of(score_drawing, "target_data_curves")
    (view,) = views(study(["cc", "la:2,3"], clips=[8, 0], pairs=["german:english"]))
    directions = [f"{G_TO_E} (8 labelled)", f"{G_TO_E} (0 labelled)", "mean"]
    table = table_of({"cc": [0.5, 0.3, 0.4], "la-2-3": [None, 0.6, None], "fewshot": [None] * 3}, directions)
    (drawn,) = score_drawing.draw_target_data(view, table)
    clips, lines, _ = calls[0]["values"]
    assert (clips, list(lines)) == ([0, 8], ["cc", "la-2-3"])
    np.testing.assert_allclose(lines["cc"], [[0.3, 0.5], [0.2, 0.4], [0.4, 0.6]])
    np.testing.assert_array_equal(lines["la-2-3"][0], [0.6, np.nan])
    assert drawn.name == "target-data-german-to-english"
    assert "mean of 2 seeds" in drawn.caption
    assert len(list(score_drawing.draw_confusions(view))) == 1  # not one for each number of clips


def test_the_schedule_is_that_of_the_first_fold_of_the_first_seed(
    study: Study, calls_of: Callable[[Any, str], Calls]
) -> None:
    calls = calls_of(training_drawing, "training_curves")
    units = study(["dann"])
    job = next(job for job in units.jobs if job.name == "dann")
    curves = pd.DataFrame({
        "epoch": [1, 2, 1], "cross_entropy": [1.0, 0.9, 1.1], "domain_accuracy": [0.9, 0.5, 0.8],
        "lambda": [0.0, 0.5, 0.1], "learning_rate": [0.01, 0.005, 0.02],
        "trial": ["pair/fold-1", "pair/fold-1", "pair/fold-2"],
    })  # fmt: skip
    curves.to_csv(job.folder(0) / "curves.csv", index=False)
    (view,) = views(units)
    (drawn,) = training_drawing.draw_schedule(view)
    table = calls[0]["values"][0]
    assert table.to_dict("list") == {
        "epoch": [1, 2], "learning_rate": [0.01, 0.005], "lambda": [0.0, 0.5], "domain_accuracy": [0.9, 0.5],
    }  # fmt: skip
    assert calls[0]["chosen_epoch"] == 2
    assert drawn.name == "learning-rate"
    assert "pair/fold-1, seed 0" in drawn.caption


def test_embeddings_are_those_of_the_networks_that_were_trained_for_them(
    study: Study, calls_of: Callable[[Any, str], Calls], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = calls_of(training_drawing, "embedding_scatter")
    learned: dict[str, tuple[Any, int, Learned]] = {}
    real = Method.learn

    def keeping(self: Method, task: Any, seed: int, *further: Any) -> Learned:
        learned[self.word] = (task, seed, real(self, task, seed, *further))
        return learned[self.word][2]

    monkeypatch.setattr(Method, "learn", keeping)
    (view,) = views(study(["wccn"]))
    (drawn,) = training_drawing.draw_embeddings(view)
    assert (list(learned), {seed for _, seed, _ in learned.values()}) == (["wccn-off", "wccn"], {0})
    (variants,) = calls[0]["values"][:1]
    assert list(variants) == ["without Deep-WCCN", "with Deep-WCCN"]
    for (task, _, found), parts in zip(learned.values(), variants.values(), strict=True):
        assert found.details["whitening"] == (parts is variants["with Deep-WCCN"])
        for part, (embeddings, emotions) in zip((task.source, task.validation), parts.values(), strict=True):
            assert emotions == part.emotions
            network = found.network
            assert isinstance(network, WccnClassifier)
            logits = network.classifier(network.norm(torch.from_numpy(embeddings)))
            np.testing.assert_allclose(
                logits.softmax(dim=1).detach(), found.probabilities(part.features), atol=1e-5
            )
    assert drawn.name == "embeddings"
    assert "german-to-english/fold-1, seed 0" in drawn.caption


def test_what_has_no_data_has_no_figure(study: Study) -> None:
    units = study(["cc"])
    (view,) = views(units)
    table = table_of({"cc": [0.3, 0.4]})
    nothing: list[list[Drawn]] = [
        list(score_drawing.draw_anchors(view, table_of({"Group": [0.3, 0.4]}))),
        list(score_drawing.draw_target_data(view, table)),
        list(training_drawing.draw_layer_curves(view, table)),
        list(training_drawing.draw_attention(view)),
        list(training_drawing.draw_schedule(view)),
        list(training_drawing.draw_embeddings(view)),
    ]
    assert nothing == [[]] * 6


def test_classes_are_counted_in_every_corpus(
    study: Study, corpora: dict[str, CorpusFeatures], calls_of: Callable[[Any, str], Calls]
) -> None:
    calls = calls_of(corpora_drawing, "class_distribution")
    (drawn,) = corpora_drawing.draw_classes(study(["cc"]))
    counts, names, emotions = calls[0]["values"]
    assert (names, emotions) == (["german", "english"], sorted([*CLASSES, "disgust"]))
    assert counts == [
        [(corpora[name].table["emotion"] == emotion).sum() for emotion in emotions] for name in names
    ]
    assert counts[0] == [20, 0, 20, 20, 20]  # 5 speakers, 4 utterances each
    assert "(german: 5, english: 5). Told apart are anger, happiness, neutral, sadness." in drawn.caption


@pytest.fixture
def recordings(corpora: dict[str, CorpusFeatures], tmp_path: Path) -> dict[str, int]:
    """Give each utterance a length, and the few that are nearest to the median (4,000) a recording."""
    lengths = {}
    for name, corpus in corpora.items():
        count = len(corpus.table)
        samples = np.where(np.arange(count) % 2 == 0, 2000, 6000) + np.arange(count)
        for emotion in CLASSES:
            place = np.flatnonzero(corpus.table["emotion"] == emotion)[3]
            samples[place] = 4000
            lengths[f"{name}/{corpus.table['utterance_id'].iloc[place]}"] = 4000
        corpus.table["path"] = corpus.table["utterance_id"] + ".wav"
        corpus.table["start"] = corpus.table["end"] = np.nan
        corpus.cache.keys = [f"{name}/{one}" for one in corpus.table["utterance_id"]]
        corpus.cache.table = pd.DataFrame({"samples": samples})
    return lengths


def test_each_spectrogram_is_of_the_utterance_nearest_to_the_median_length(
    study: Study, recordings: dict[str, int], tmp_path: Path, calls_of: Callable[[Any, str], Calls]
) -> None:
    calls = calls_of(corpora_drawing, "mel_spectrograms")
    for key in recordings:
        tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(4000) / 16_000)
        soundfile.write(tmp_path / f"{key.partition('/')[2]}.wav", tone, 16_000)
    (drawn,) = corpora_drawing.draw_spectrograms(study(["cc"]))
    cells, emotions, names, centres, step, _ = calls[0]["values"]
    assert set(cells) == {(emotion, name) for emotion in CLASSES for name in ("german", "english")}
    assert (emotions, names, step) == (CLASSES, ["german", "english"], 375 / 16_000)
    level = cells["anger", "german"]
    assert level.shape == (64, 1 + (4000 - 1024) // 375)
    assert level.max() == 0
    loudest = int(level.mean(axis=1).argmax())
    assert loudest == np.abs(centres - 1000).argmin()
    for key in recordings:
        assert key.partition("/")[2] in drawn.caption


def test_without_the_recordings_there_are_no_spectrograms_and_the_log_says_why(
    study: Study, recordings: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    assert not list(corpora_drawing.draw_spectrograms(study(["cc"])))
    (record,) = caplog.records
    assert record.getMessage().startswith("no figure of spectrograms: ")
    assert "no such file" in record.getMessage()


def test_figures_are_written_in_the_pages_order_and_older_ones_go(
    study: Study, recordings: dict[str, int], tmp_path: Path
) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / "anchors.png").write_bytes(b"of an earlier comparison")
    units = study(["cc", "la:auto"], pairs=["german:english"])
    found = draw_comparison(units, {"methods": table_of({"cc": [0.3], "la": [0.4]}, [G_TO_E])}, folder)
    names = ["methods", "confusion-german-to-english", "classes"]
    assert [one["name"] for one in found] == names
    assert {file.name for file in folder.iterdir()} == {
        f"{name}{suffix}" for name in names for suffix in (".png", ".svg")
    }
    assert all(one["caption"].endswith(".") for one in found)

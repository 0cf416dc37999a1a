from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from layersim.figures.anchors import anchor_ablation
from layersim.figures.attention import attention_weights
from layersim.figures.bars import bars_with_intervals
from layersim.figures.confusion import confusion_matrix
from layersim.figures.curves import layer_curve, training_curves
from layersim.figures.distribution import class_distribution
from layersim.figures.embeddings import embedding_scatter
from layersim.figures.heatmap import heatmap
from layersim.figures.methods import method_intervals
from layersim.figures.save import save
from layersim.figures.spectrograms import mel_spectrograms
from layersim.figures.target_data import target_data_curves
from layersim.figures.transfer import similarity_and_transfer

VOWELS = ["a", "ɪ", "ɛ", "ɔ", "ʊ", "ə", "ɚ", "ø", "œ", "æ", "ʌ", "aj"]


def every_figure() -> list[Figure]:
    values = np.linspace(-0.4, 0.6, 24).reshape(12, 2)
    return [
        heatmap(
            values,
            VOWELS,
            ["1", "2"],
            "anger",
            "cosine",
            marked_columns={"Best": ["2"]},
            refused=values > 0.5,
        ),
        layer_curve(["1", "2"], [0.1, 0.2], [0, 0.1], [0.2, 0.3], [0, 0], [0.1, 0.1]),
        training_curves(pd.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5]}), chosen_epoch=1),
        confusion_matrix([[3, 1], [0, 2]], ["anger", "sadness"], "LA"),
        bars_with_intervals([[0.3, 0.4]], [[0.2, 0.3]], [[0.4, 0.5]], ["a → b"], ["CC", "LA"]),
        *figures_of_a_comparison(),
    ]


def figures_of_a_comparison() -> list[Figure]:
    table = np.linspace(0.3, 0.8, 10).reshape(2, 5)
    directions = ["Emo-DB → RAVDESS", "RAVDESS → Emo-DB"]
    rng = np.random.default_rng(0)
    layers = [str(layer) for layer in range(25)]
    curve = np.linspace(0.2, 0.6, 25)
    rows = rng.normal(size=(1600, 3)), ["anger", "joy"] * 800  # many: drawn as an image inside the SVG
    return [
        method_intervals(table, table - 0.1, table + 0.1, directions, ["cc", "la", "pa", "wccn", "dann"],
                         "Methods", baselines=["cc"], chance=0.25),
        anchor_ablation(table, None, None, directions, ["Group", "All", "Best", "Worst", "Random"], "Sets"),
        embedding_scatter({"with Deep-WCCN": {"train": rows}}, "Embeddings"),
        target_data_curves([0, 150], {"wccn": ([0.3, 0.5], [0.2, 0.4], [0.4, 0.6])}, "Target", chance=0.2),
        class_distribution([[900, 1], [0, 3]], ["Emo-DB", "RAVDESS"], ["anger", "happiness"], title="Counts"),
        mel_spectrograms({("happiness", "Emo-DB"): rng.uniform(-60, 0, (8, 9))}, ["happiness"], ["Emo-DB"],
                         np.linspace(50, 8000, 8), 0.01, "Spectrograms"),
        attention_weights(layers, {name: np.full((2, 25), 0.04) for name in directions}, "Attention"),
        similarity_and_transfer(layers, (curve, curve - 0.1, curve + 0.1), (curve, curve - 0.1, curve + 0.1),
                                {"Best": ["24"]}, title="Layers",
                                similarity_label="similarity (centred cosine)"),
    ]  # fmt: skip


def test_the_same_numbers_give_the_same_bytes_whatever_the_users_own_matplotlib_settings(tmp_path):
    figures = every_figure()
    for number, figure in enumerate(figures):
        save(figure, tmp_path / "first" / str(number))
    with matplotlib.rc_context(
        {"font.size": 20, "font.family": "serif", "axes.facecolor": "red", "savefig.dpi": 30}
    ):
        for number, figure in enumerate(every_figure()):
            save(figure, tmp_path / "second" / str(number))
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert len(names) == 2 * len(figures)
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_both_files_stand_where_told_and_nothing_else(tmp_path):
    png, svg = save(heatmap([[0.1]], ["a"], ["1"]), tmp_path / "new folder" / "gamma-0.5")
    assert sorted(path.name for path in png.parent.iterdir()) == ["gamma-0.5.png", "gamma-0.5.svg"]
    assert png.read_bytes().startswith(b"\x89PNG")
    text = svg.read_text(encoding="utf-8")
    assert text.startswith("<?xml")
    assert "<dc:date>" not in text


def test_a_suffix_in_the_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected a name without \.png"):
        save(Figure(), tmp_path / "heatmap.png")


def test_nothing_reaches_over_the_edge_of_its_figure():
    for figure in every_figure():
        inked = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
        width, height = figure.get_size_inches()
        assert inked.x0 >= 0
        assert inked.y0 >= 0
        assert inked.x1 <= width
        assert inked.y1 <= height


def test_drawing_leaves_no_figure_in_pyplots_global_list(tmp_path):
    program = """
import pathlib, sys
from layersim.figures.heatmap import heatmap
from layersim.figures.save import save
save(heatmap([[0.1]], ["a"], ["1"]), pathlib.Path(sys.argv[1]))
import matplotlib.pyplot
print(matplotlib.pyplot.get_fignums())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "figure")],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.strip() == "[]"

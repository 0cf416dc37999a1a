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

from layersim.figures.bars import bars_with_intervals
from layersim.figures.confusion import confusion_matrix
from layersim.figures.curves import layer_curve, training_curves
from layersim.figures.heatmap import heatmap
from layersim.figures.save import save

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
    ]


def test_the_same_numbers_give_the_same_bytes_whatever_the_users_own_matplotlib_settings(tmp_path):
    for number, figure in enumerate(every_figure()):
        save(figure, tmp_path / "first" / str(number))
    with matplotlib.rc_context(
        {"font.size": 20, "font.family": "serif", "axes.facecolor": "red", "savefig.dpi": 30}
    ):
        for number, figure in enumerate(every_figure()):
            save(figure, tmp_path / "second" / str(number))
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert len(names) == 10
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_both_files_stand_where_told_and_nothing_else(tmp_path):
    png, svg = save(every_figure()[0], tmp_path / "new folder" / "gamma-0.5")
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

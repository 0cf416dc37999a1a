from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from layersim.comparison import cells
from layersim.comparison.latex import escaped
from layersim.comparison.table import Cell, Column, Row, RowGroup, Table, Versus

AGAINST = Versus("cc_std", 0.25, 0.1, 0.4, p=0.01, p_holm=0.02, smallest_p_holm=0.004)


@pytest.fixture
def table() -> Table:
    return Table(
        title="Methods: UAR %",
        rows_are="method",
        columns=(
            Column("emodb → my_own", "wavlm"),
            Column("emodb → my_own", "whisper"),
            Column("mean", "wavlm"),
        ),
        groups=(
            RowGroup("top layer only", (Row("cc", (Cell(0.5, 0.01, 0.4, 0.62), Cell(0.4567), Cell())),)),
            RowGroup(
                "with layers",
                (
                    Row("la", (Cell(1.0, 0.0, 0.9, 1.0, "+↑", (AGAINST,)), Cell(0.3, mark="-"), Cell(0.75))),
                    Row("pa-avg", (Cell(), Cell(0.25), Cell())),
                ),
            ),
        ),
        notes=("50 % & more",),
    )


def test_the_text_has_intervals_under_values_and_marks_beside_them(table):
    # Names take 8 characters and a gap of 2. The first column has 13 for numbers, 1 and 2 for marks; the
    # second 5 for numbers, so that with a mark it is as wide as "whisper".
    assert table.to_text() == (
        "Methods: UAR %\n"
        "\n"
        "          emodb → my_own             mean\n"
        "method            wavlm     whisper  wavlm\n"
        "top layer only\n"
        "  cc         50.0 ± 1.0      45.7        –\n"
        "           40.0 to 62.0\n"
        "with layers\n"
        "  la        100.0 ± 0.0 +↑   30.0 -   75.0\n"
        "          90.0 to 100.0\n"
        "  pa-avg              –      25.0        –\n"
        "\n"
        "50 % & more\n"
    )


def test_latex_escapes_and_uses_the_rules_of_booktabs(table):
    assert table.to_latex() == (
        r"""\begin{table}
\centering
\caption{Methods: UAR \%}
\begin{tabular}{lrrr}
\toprule
 & \multicolumn{2}{c}{emodb $\rightarrow$ my\_own} & \multicolumn{1}{c}{mean} \\
\cmidrule(lr){2-3} \cmidrule(lr){4-4}
method & wavlm & whisper & wavlm \\
\midrule
\multicolumn{4}{l}{\textit{top layer only}} \\
cc & 50.0 $\pm$ 1.0 & 45.7 & -- \\
 & {\scriptsize 40.0 to 62.0} &  &  \\
\midrule
\multicolumn{4}{l}{\textit{with layers}} \\
la & 100.0 $\pm$ 0.0\textsuperscript{+$\uparrow$} & 30.0\textsuperscript{$-$} & 75.0 \\
 & {\scriptsize 90.0 to 100.0} &  &  \\
pa-avg & -- & 25.0 & -- \\
\bottomrule
\end{tabular}

\medskip
\parbox{\linewidth}{\footnotesize
50 \% \& more\par
}
\end{table}
"""
    )


def test_latex_writes_every_sign_of_tables_and_notes_so_that_plain_latex_sets_it():
    """Whatever `layersim.comparison` writes into titles, notes and cells beyond ASCII."""
    folder = Path(cells.__file__).parent
    written = {sign for file in folder.glob("*.py") for sign in file.read_text(encoding="utf-8")}
    left = {sign for sign in written if not escaped(sign).isascii()}
    assert not left


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_sets_the_table(table, tmp_path):
    noted = replace(table, notes=("UAR ≥ 50 %, p ≤ 0.05, γ = 0.1 & more_or_less",))
    document = (
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
        + noted.to_latex()
        + "\\end{document}\n"
    )
    (tmp_path / "table.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_latex_escapes_every_character_that_is_a_command():
    assert escaped(r"\a_b{c}^~#$") == (r"\textbackslash{}a\_b\{c\}\textasciicircum{}\textasciitilde{}\#\$")


def test_csv_has_a_line_per_value_in_shares_with_every_comparison(table):
    frame = pd.read_csv(io.StringIO(table.to_csv()))
    assert list(frame.columns) == [
        "group", "method", "direction", "encoder", "value", "sd", "low", "high", "mark", "minus_cc_std",
        "minus_cc_std_low", "minus_cc_std_high", "minus_cc_std_p", "minus_cc_std_p_holm",
        "minus_cc_std_smallest_p_holm",
    ]  # fmt: skip
    assert frame["method"].tolist() == ["cc", "cc", "la", "la", "la", "pa-avg"]  # three cells have no value
    assert table.to_csv().splitlines()[3] == (
        "with layers,la,emodb → my_own,wavlm,1.0,0.0,0.9,1.0,+↑,0.25,0.1,0.4,0.01,0.02,0.004"
    )


def test_the_body_for_html_has_group_rows_and_cells_in_parts(table):
    rows = table.to_html_rows()
    assert [(row["kind"], row["name"]) for row in rows] == [
        ("group", "top layer only"), ("row", "cc"),
        ("group", "with layers"), ("row", "la"), ("row", "pa-avg"),
    ]  # fmt: skip
    assert rows[0]["span"] == 4
    assert rows[1]["cells"][0] == {"value": "50.0 ± 1.0", "interval": "40.0 to 62.0", "mark": ""}
    assert rows[3]["cells"][1] == {"value": "30.0", "interval": "", "mark": "-"}
    assert table.directions() == [("emodb → my_own", 2), ("mean", 1)]


def test_rows_without_a_group_stand_without_heading_and_indent():
    plain = Table(
        "Anchor sets", "anchors", (Column("a → b", "w"),), (RowGroup("", (Row("Group", (Cell(0.5),)),)),)
    )
    assert plain.to_text() == (
        "Anchor sets\n"
        "\n"
        "         a → b\n"
        "anchors      w\n"
        "Group     50.0\n"
    )  # fmt: skip
    assert plain.to_html_rows()[0]["kind"] == "row"
    assert "textit" not in plain.to_latex()


def test_a_row_with_too_few_cells_is_refused():
    with pytest.raises(ValueError, match="row 'cc': expected one cell for each of 2 columns, got 1"):
        Table("t", "method", (Column("a", "x"), Column("a", "y")), (RowGroup("", (Row("cc", (Cell(),)),)),))

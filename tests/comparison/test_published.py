"""The published figures, held against the sheet that restates the papers, where that is at hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from layersim.comparison.published import beside, published, published_names, published_table
from layersim.comparison.table import Cell, Column, Row, RowGroup, Table
from layersim.errors import LayersimError

DIRECTIONS = [("MSP-Podcast", "BIIC-Podcast"), ("BIIC-Podcast", "MSP-Podcast")]
NUMBER = r"(\d+(?:\.\d+)?)"
FOUR = [(*direction, encoder) for direction in DIRECTIONS for encoder in ("WavLM", "Whisper")]


@pytest.fixture(scope="module")
def papers(shared: Path) -> str:
    file = shared / "papers" / "PAPERS.md"
    if not file.is_file():
        pytest.skip("no sheet of the papers' figures beside the repository")
    return file.read_text("utf-8")


def markdown_table(text: str, heading: str) -> list[list[str]]:
    """The body of the table whose head begins so, cells without their marks."""
    lines = iter(text[text.index(heading) :].splitlines()[2:])
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("*").strip() for cell in line.strip("|").split("|")])
    return rows


def printed(name: str, **wanted: str) -> list[str]:
    figures = published([name])
    for key, value in wanted.items():
        figures = figures[figures[key] == value]
    return figures["printed"].tolist()


def paragraph(text: str, start: str) -> str:
    return text[text.index(start) :].split("\n", maxsplit=1)[0]


def test_the_methods_of_layer_anchoring(papers):
    body = markdown_table(papers, "| group | method |")
    group, expected = "", {}
    for row in body:
        group = row[0] or group
        name = row[1].partition(" (")[0]
        expected[group, name] = row[2:]
    found = published(["layer-anchoring"])
    assert {
        key: part["printed"].tolist() for key, part in found.groupby(["group", "printed_as"], sort=False)
    } == expected
    assert_columns(found, len(expected))


def test_the_anchor_sets(papers):
    expected = {row[0]: row[1:] for row in markdown_table(papers, "| anchors |")}
    found = published(["anchor-sets"])
    assert {
        key: part["printed"].tolist() for key, part in found.groupby("printed_as", sort=False)
    } == expected
    assert_columns(found, len(expected))


def assert_columns(found: pd.DataFrame, rows: int) -> None:
    columns = list(zip(found["source"], found["target"], found["encoder"], strict=True))
    assert columns == FOUR * rows


def test_the_follow_up(papers):
    found = re.search(r"2509\.20373\), ([\d.]+) / ([\d.]+) UAR", papers)
    assert printed("speaker-style") == list(found.groups())
    assert list(published(["speaker-style"])["source"]) == [source for source, _ in DIRECTIONS]


def test_deep_wccn_and_what_it_adds(papers):
    line = paragraph(papers, "**Results** cross-language UA / WA")
    pair = rf"{NUMBER} / {NUMBER}"
    for target, word in (("RAVDESS", "→ EN"), ("ESD", "→ CH"), ("Emo-DB", "→ DE")):
        uar, wa = re.search(rf"{word} {pair}", line).groups()
        assert printed("deep-wccn", group="cross-language", target=target) == [uar, wa]
    for corpus in ("RAVDESS", "Emo-DB"):
        uar, wa = re.search(rf"{corpus} {pair}", line).groups()
        assert printed("deep-wccn", group="within-language", target=corpus) == [uar, wa]
    adds = re.search(
        r"up to ([\d.]+) UA / ([\d.]+) WA \(DECH→EN\), ([\d.]+) \(DEEN→CH\), ([\d.]+) \(ENCH", line
    )
    assert printed("deep-wccn-gains", printed_as="Deep-WCCN") == list(adds.groups())
    study = re.search(r"at 300 s, \+([\d.]+) / \+([\d.]+) / \+([\d.]+) UA for →EN / →CH / →DE", papers)
    assert printed("deep-wccn-gains", printed_as="300 s of labelled target speech") == list(study.groups())
    assert published(["deep-wccn"])["score"].tolist() == ["uar", "wa"] * 5


def test_what_others_reached_on_the_same_test_sets(papers):
    line = paragraph(papers, "Others' cross-language figures")
    expected = [
        (name, score, value)
        for name, score, values in re.findall(
            r"((?:\w+ & \w+|\w+ \d{4})) Emo-DB (UA|WA) (\d+(?:\.\d+)?(?:–\d+\.\d+)?)", line
        )
        for value in values.split("–")
    ]
    found = published(["deep-wccn-others"])
    words = {"uar": "UA", "wa": "WA"}
    assert [
        (name, words[score], value)
        for name, score, value in zip(found["printed_as"], found["score"], found["printed"], strict=True)
    ] == expected
    assert len(expected) == 6


def test_the_poster(papers):
    body = markdown_table(papers, "| model | encoder |")
    found = published(["dann"])
    assert [
        [name, encoder, *part["printed"]]
        for (name, encoder), part in found.groupby(["printed_as", "encoder"], sort=False)
    ] == [[cell.removesuffix(" (as printed)") for cell in row] for row in body]
    assert found["source"].str[4:].tolist() == ["English", "English", "Mandarin", "Mandarin"] * 3
    assert found["score"].tolist() == ["wa", "f1"] * 6


def test_emobox(papers):
    line = paragraph(papers, "EmoBox, within-corpus").split(": ", maxsplit=1)[1]
    for part in line.split("; "):
        encoder = part.split()[0]
        values = re.findall(r"(?<![\w.-])\d\d\.\d", part)
        assert printed("emobox", encoder=encoder) == values
    assert len(published(["emobox"])) == 16
    assert published(["emobox"])["target"].tolist() == ["Emo-DB", "RAVDESS", "ESD", "CASIA"] * 4


def test_ser_evals(papers):
    line = paragraph(papers, "SER-Evals, cross-lingual").split(": ", maxsplit=1)[1]
    expected = re.findall(r"\.\d{3}", line)
    assert printed("ser-evals") == expected
    parts = re.findall(r"(\w+)→(\w+)", line)
    found = published(["ser-evals"])
    assert list(zip(found["source"], found["target"], strict=True))[::2] == [*parts, ("Emo-DB", "Emo-DB")]


def test_every_figure_has_its_origin_and_its_mark():
    figures = published(published_names())
    for key in ("publication", "corpora", "protocol", "target", "score", "unit", "printed"):
        assert (figures[key] != "").all(), key
    assert figures["mark"].str.endswith("other protocol").all()
    assert figures["value"].between(0, 1).all()
    assert not figures.duplicated(
        ["name", "group", "printed_as", "source", "target", "encoder", "score", "remark"]
    ).any()


def test_values_are_shares_whatever_the_unit():
    figures = published(["layer-anchoring", "dann", "deep-wccn-gains"]).set_index("name")
    first = {name: figures.loc[name].iloc[0] for name in ("layer-anchoring", "dann", "deep-wccn-gains")}
    assert [(row["printed"], row["value"]) for row in first.values()] == [
        ("52.01", 0.5201), ("0.373", 0.373), ("2.6", 0.026),
    ]  # fmt: skip


def test_the_margins_that_the_paper_names():
    def uars(name: str, method: str) -> list[float]:
        figures = published([name])
        return figures[figures["method"] == method]["value"].tolist()

    def margins(name: str, one: str, other: str) -> Sequence[float]:
        pairs = zip(uars(name, one), uars(name, other), strict=True)
        return [round(100 * (a - b), 1) for a, b in pairs]

    assert margins("layer-anchoring", "la", "cc") == [8.2, 7.8, 8.3, 7.4]
    assert uars("anchor-sets", "la") == uars("layer-anchoring", "la")
    group_over_all = margins("anchor-sets", "la", "la-all")
    assert (min(group_over_all), max(group_over_all)) == (1.3, 1.7)
    group_over_worst = margins("anchor-sets", "la", "la-worst")
    assert (min(group_over_worst), max(group_over_worst)) == (1.9, 2.6)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(LayersimError, match=r"'layer-anchor': not known. Did you mean 'layer-anchoring'\?"):
        published(["layer-anchor"])
    with pytest.raises(LayersimError, match="not known"):
        published_table("tables")
    with pytest.raises(ValueError, match="at least one"):
        published([])


@pytest.mark.parametrize("name", published_names())
def test_every_table_can_be_laid_out_and_holds_every_figure(name):
    table = published_table(name)
    values = [cell.value for row in table.rows() for cell in row.cells if cell.value is not None]
    assert sorted(values) == sorted(published([name])["value"].tolist())
    assert table.title.startswith("PUBLISHED, other")
    assert "Not to be compared" in table.notes[0]
    directions = [direction for direction, _ in table.directions()]
    assert len(directions) == len(set(directions))  # columns of one direction stand together
    assert table.to_latex().count(r"\toprule") == 1


def test_a_printed_table_reads_as_it_was_printed():
    assert published_table("anchor-sets").to_text().splitlines()[:6] == [
        "PUBLISHED, other corpora, other protocol: Layer anchoring: anchor sets, UAR %",
        "",
        "          MSP-Podcast → BIIC-Podcast  BIIC-Podcast → MSP-Podcast",
        "anchors         WavLM        Whisper        WavLM        Whisper",
        "Group           60.21          59.65        56.68          56.37",
        "All             58.54          57.97        55.39          54.91",
    ]
    deep = published_table("deep-wccn")
    assert [cell.value_text() for cell in deep.rows()[0].cells] == [
        "64", "61.2", "75.4", "75.4", "94", "94.6", "–", "–", "–", "–",
    ]  # fmt: skip


def own(rows: dict[str, float], rows_are: str) -> Table:
    return Table(
        "mine", rows_are, (Column("a → b", "w"),),
        (RowGroup("", tuple(Row(name, (Cell(value),)) for name, value in rows.items())),), ("own note",),
    )  # fmt: skip


def test_published_columns_stand_beside_ones_own_rows_and_are_marked():
    table = beside(own({"cc": 0.3, "cc-std": 0.4, "la": 0.5}, "method"), "layer-anchoring")
    assert [column.direction for column in table.columns] == [
        "a → b",
        *["published, other corpora: MSP-Podcast → BIIC-Podcast"] * 2,
        *["published, other corpora: BIIC-Podcast → MSP-Podcast"] * 2,
    ]
    assert [[cell.value_text() for cell in row.cells] for row in table.rows()] == [
        ["30.0", "52.01", "51.87", "48.39", "49.01"],
        ["40.0", "–", "–", "–", "–"],
        ["50.0", "60.21", "59.65", "56.68", "56.37"],
    ]
    assert table.notes[0] == "own note"
    assert table.notes[1].startswith("published, other corpora, other protocol: Upadhyay")
    assert table.notes[2] == "Published, but no row of this table: Ensemble, Few-shot, PA, PA-Avg, PA-Atn."


def test_anchor_sets_are_matched_by_their_names():
    table = beside(own({"Group": 0.5, "Random-2": 0.4}, "anchors"), "anchor-sets")
    assert [row.cells[1].value_text() for row in table.rows()] == ["60.21", "58.55"]


def test_a_table_of_another_form_does_not_go_beside():
    with pytest.raises(ValueError, match="a column per encoder, got 'emobox'"):
        beside(own({"cc": 0.3}, "method"), "emobox")

from __future__ import annotations

import pandas as pd
import pytest

from layersim.comparison.table import Cell, Column, Table
from layersim.comparison.tables import anchor_table, method_table
from layersim.comparison.tested import Unit
from layersim.errors import LayersimError

SPEAKERS = {"a": 2, "b": 8}
DIRECTIONS = [("a", "b"), ("b", "a")]


def utterances_of(corpus: str) -> pd.DataFrame:
    """Two angry and two sad utterances of each speaker."""
    rows = [
        (f"{corpus}/{speaker}-{number}", f"s{speaker}", "angry" if number < 2 else "sad")
        for speaker in range(SPEAKERS[corpus])
        for number in range(4)
    ]
    return pd.DataFrame(rows, columns=["utterance", "speaker", "emotion"])


def guessed(corpus: str, uar: float) -> pd.DataFrame:
    """Predictions that are alike for every speaker: anger is always found; sadness never, half, always."""
    table = utterances_of(corpus)
    found = {0.5: 2, 0.75: 3, 1.0: 4}[uar]
    number = table["utterance"].str[-1].astype(int)
    return table.assign(predicted=table["emotion"].where(number < found, "angry"))


def results_of(uars: dict[str, dict[tuple[str, str], tuple[float, ...]]], encoder: str = "enc"):
    """Make results and predictions of methods: direction to the UAR of each seed."""
    rows, tables = [], {}
    for method, directions in uars.items():
        for (source, target), scores in directions.items():
            for seed, uar in enumerate(scores):
                unit = Unit(method, encoder, source, target, seed)
                rows.append({**unit._asdict(), "uar": uar, "wa": uar})
                tables[unit] = guessed(target, uar).sample(frac=1, random_state=seed)  # order never matters
    return pd.DataFrame(rows), tables.__getitem__


def both_ways(*scores: float) -> dict[tuple[str, str], tuple[float, ...]]:
    return dict.fromkeys(DIRECTIONS, scores)


def cell(table: Table, name: str, direction: str, encoder: str = "enc") -> Cell:
    row = next(row for row in table.rows() if row.name == name)
    return row.cells[table.columns.index(Column(direction, encoder))]


THREE = {
    "la": {("a", "b"): (1.0, 1.0), ("b", "a"): (0.75, 0.75)},
    "cc": both_ways(0.5, 0.75),
    "cc-std-all": both_ways(0.75, 0.75),
}


def test_the_methods_table_by_hand():
    # cc: mean of 0.5 and 0.75, sd 0.25 / sqrt(2) = 0.177. All speakers are alike, so that no draw differs.
    # a → b has 8 speakers: p = 2 / 2^8, times the two rows that are compared = 0.016. b → a has 2 speakers:
    # p = 2 / 2^2, times two = 1. In the mean, cc is worse for all 10 speakers (p = 2 / 2^10), la better than
    # cc-std-all for those of b and alike for those of a (p = 2 · 2^2 / 2^10 = 0.008).
    assert method_table(*results_of(THREE)).to_text() == (
        "Methods: UAR %, mean ± sd over 2 seeds, and the 95 % interval over test speakers\n"
        "\n"
        "              a → b              b → a         mean\n"
        "method                   enc              enc           enc\n"
        "top layer only\n"
        "  cc             62.5 ± 17.7 -↓   62.5 ± 17.7   62.5 ± 17.7 -↓\n"
        "                62.5 to 62.5     62.5 to 62.5  62.5 to 62.5\n"
        "with layers\n"
        "  cc-std-all      75.0 ± 0.0 ↓     75.0 ± 0.0    75.0 ± 0.0 ↓\n"
        "                75.0 to 75.0     75.0 to 75.0  75.0 to 75.0\n"
        "  la             100.0 ± 0.0 +     75.0 ± 0.0    87.5 ± 0.0 +\n"
        "              100.0 to 100.0     75.0 to 75.0  87.5 to 87.5\n"
        "\n"
        "+ above, - below cc-std-all; ↑ above, ↓ below la: two-sided paired permutation test over whole "
        "speakers, Holm-corrected over the rows of a column, p ≤ 0.05.\n"
        "Too few test speakers for any mark among so many rows: b → a (corrected p ≥ 1).\n"
        "mean: of 2 directions of equal weight; a target's speakers are drawn and swapped together in all of "
        "its directions.\n"
        "Fewer than 10 test speakers, over which intervals come out too narrow: a → b, b → a.\n"
        "a → b: angry, sad; chance 50.0 %; tested on 32 utterances of 8 speakers.\n"
        "b → a: angry, sad; chance 50.0 %; tested on 8 utterances of 2 speakers.\n"
    )


def test_every_comparison_is_kept_with_its_p_values():
    table = method_table(*results_of(THREE))
    against_std, against_la = cell(table, "cc", "mean").versus
    assert (against_std.reference, against_la.reference) == ("cc-std-all", "la")
    assert (against_std.difference, against_la.difference) == pytest.approx((-0.125, -0.25))
    assert (against_std.p, against_std.p_holm) == pytest.approx((2 / 1024, 2 * 2 / 1024))
    only = cell(table, "la", "mean").versus
    assert [found.reference for found in only] == ["cc-std-all"]  # a method is not compared with itself
    assert (only[0].p, only[0].p_holm) == pytest.approx((8 / 1024, 8 / 1024))  # the larger of two: times one
    assert (only[0].low, only[0].high) == pytest.approx((0.125, 0.125))


def test_rows_stand_in_their_groups_self_trained_ones_behind_and_strangers_last():
    uars = dict.fromkeys(
        ["mine", "cc+self-train", "la-all", "la", "supervised", "cc", "la+self-train", "pa-avg"],
        both_ways(0.75),
    )
    table = method_table(*results_of(uars))
    assert [(group.name, [row.name for row in group.rows]) for group in table.groups] == [
        ("top layer only", ["cc", "cc+self-train"]),
        ("with layers", ["pa-avg", "la", "la+self-train"]),
        ("learns the target's labels", ["supervised"]),
        ("others", ["mine"]),
    ]
    own = method_table(*results_of(uars), groups={"first": ["pa-avg", "cc"]})
    assert [row.name for row in own.groups[0].rows] == ["pa-avg", "cc", "cc+self-train"]


def test_the_anchor_sets_stand_in_the_papers_order_and_are_compared_with_the_group():
    names = [
        "la-random-10",
        "la-8-9",
        "la-worst",
        "la-random-2",
        "cc",
        "la-best",
        "la-all",
        "la",
        "la-best-phoneme",
    ]
    uars = {name: {("a", "b"): (1.0 if name == "la" else 0.5,)} for name in names}
    table = anchor_table(*results_of(uars))
    assert [row.name for row in table.rows()] == [
        "Group", "All", "Best", "Best, phoneme", "Worst", "Random-2", "Random-10", "8, 9",
    ]  # fmt: skip
    # Seven rows below the Group: p = 7 · 2 / 2^8 = 0.055 corrected, so no mark; with the six it would be one.
    assert cell(table, "All", "a → b").mark == ""
    assert cell(table, "All", "a → b").versus[0].p_holm == pytest.approx(14 / 256)
    del uars["la-8-9"]
    fewer = anchor_table(*results_of(uars))
    assert cell(fewer, "All", "a → b").mark == "↓"
    assert "Not compared with cc-std-all: it was not run." in fewer.notes
    assert [column.direction for column in fewer.columns] == ["a → b"]  # no mean of one direction
    assert cell(fewer, "Group", "a → b").sd is None  # one seed
    assert fewer.title.startswith("Anchor sets: UAR %, mean ± sd over 1 seed,")


def test_the_anchor_table_is_compared_with_a_method_that_is_no_row_of_it():
    uars = {
        name: {("a", "b"): (score,)} for name, score in (("la", 1.0), ("cc-std-all", 0.5), ("la-all", 0.5))
    }
    table = anchor_table(*results_of(uars))
    assert [(row.name, row.cells[0].mark) for row in table.rows()] == [("Group", "+"), ("All", "↓")]


def test_without_layer_anchoring_there_is_no_anchor_table():
    assert anchor_table(*results_of({"cc": both_ways(0.5)})) is None


def test_a_method_that_was_not_run_everywhere_has_dashes_and_no_mean():
    table = method_table(*results_of({"cc": both_ways(0.75), "la": {("a", "b"): (1.0,)}}))
    assert cell(table, "la", "b → a") == Cell()
    assert cell(table, "la", "mean") == Cell()
    assert cell(table, "cc", "mean").value == 0.75
    assert table.notes[0] == "–: not run, or not in all directions."


def test_encoders_are_columns_and_a_method_without_one_stands_in_each():
    first, read_first = results_of({"la": both_ways(1.0)}, "wavlm")
    second, read_second = results_of({"la": both_ways(0.75)}, "whisper")
    third, read_third = results_of({"egemaps-rf": both_ways(0.5)}, "")
    readers = {"wavlm": read_first, "whisper": read_second, "": read_third}
    table = method_table(pd.concat([first, second, third]), lambda unit: readers[unit.encoder](unit))
    assert table.directions() == [("a → b", 2), ("b → a", 2), ("mean", 2)]
    assert [cell(table, "egemaps-rf", "mean", name).value for name in ("wavlm", "whisper")] == [0.5, 0.5]
    assert [cell(table, "la", "mean", name).value for name in ("wavlm", "whisper")] == [1.0, 0.75]
    differences = [
        cell(table, "egemaps-rf", "mean", name).versus[0].difference for name in ("wavlm", "whisper")
    ]
    assert differences == pytest.approx([-0.5, -0.25])


def test_one_test_speaker_gives_no_interval_and_says_so(monkeypatch):
    monkeypatch.setitem(SPEAKERS, "a", 1)
    table = method_table(*results_of({"la": {("b", "a"): (1.0,)}, "cc": {("b", "a"): (0.5,)}}))
    assert cell(table, "cc", "b → a").low is None
    assert cell(table, "cc", "b → a").versus[0].p is None
    assert "One test speaker, so no interval and no test: b → a." in table.notes
    assert table.title == "Methods: UAR %, mean ± sd over 1 seed"


def test_results_that_are_not_of_their_predictions_are_refused():
    results, predictions = results_of({"cc": both_ways(0.75)})
    with pytest.raises(
        LayersimError, match=r"cc, a → b, enc, seed 0: .* UAR of 0\.900000, .* give 0\.750000"
    ):
        method_table(results.assign(uar=0.9), predictions)


def test_methods_tested_on_other_utterances_are_not_compared():
    results, predictions = results_of({"cc": both_ways(0.75), "la": both_ways(0.75)})

    def fewer(unit: Unit) -> pd.DataFrame:
        table = predictions(unit)
        return table[table["utterance"] != "b/0-1"] if unit.method == "la" else table

    with pytest.raises(
        LayersimError, match=r"la, a → b, enc, seed 0: not tested on .* as cc.*: 1 utterances are"
    ):
        method_table(results, fewer)

    def relabelled(unit: Unit) -> pd.DataFrame:
        table = predictions(unit)
        return table.assign(emotion="sad") if unit.method == "la" else table

    with pytest.raises(LayersimError, match="speakers or emotions differ"):
        method_table(results, relabelled)


def test_a_table_that_cannot_be_read_is_refused():
    results, predictions = results_of({"cc": both_ways(0.75)})
    with pytest.raises(ValueError, match=r"missing: \['encoder'\]"):
        method_table(results.drop(columns="encoder"), predictions)
    with pytest.raises(LayersimError, match="4 rows of 2 runs"):
        method_table(pd.concat([results, results]), predictions)
    with pytest.raises(ValueError, match="references: expected 2 at most"):
        method_table(results, predictions, references=("a", "b", "c"))

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from praatio import textgrid

from layersim.alignment.readers import read_alignments, write_textgrid
from layersim.errors import LayersimError

INTERVALS = [(0.0, 0.1, "sil"), (0.1, 0.25, "h"), (0.25, 0.4, "aː"), (0.4, 0.5, ""), (0.5, 0.6, "spn")]
EXPECTED = [("u1", 0.1, 0.25, "h"), ("u1", 0.25, 0.4, "aː")]


def rows(table: pd.DataFrame) -> list[tuple[object, ...]]:
    return [tuple(row) for row in table.to_numpy().tolist()]


def long_form(size: int = len(INTERVALS), tier: str = "phones") -> str:
    head = f"""File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.6
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "{tier}"
        xmin = 0
        xmax = 0.6
        intervals: size = {size}
"""
    for number, (start, end, label) in enumerate(INTERVALS, start=1):
        head += f"""        intervals [{number}]:
            xmin = {start}
            xmax = {end}
            text = "{label}"
"""
    return head


def short_form() -> str:
    body = "".join(f'{start}\n{end}\n"{label}"\n' for start, end, label in INTERVALS)
    return (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n0.6\n<exists>\n1\n'
        f'"IntervalTier"\n"phones"\n0\n0.6\n{len(INTERVALS)}\n{body}'
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize("form", ["long", "short", "wrong size"])
def test_every_form_and_encoding_of_a_textgrid_gives_the_same_phones(
    tmp_path: Path, form: str, encoding: str
) -> None:
    text = {"long": long_form(), "short": short_form(), "wrong size": long_form(size=99)}[form]
    (tmp_path / "u1.TextGrid").write_text(text, encoding=encoding)
    result = read_alignments(tmp_path, ["u1", "u2"])
    assert rows(result.phones) == EXPECTED
    assert result.missing == ["u2"]
    assert result.notes == ["1 silence segments left out", "1 unnamed segments left out"]


@pytest.mark.parametrize("tier", ["phones", "Phone", "MAU", "segments", "anna - phones"])
def test_the_phone_tier_is_found_by_any_of_its_usual_names(tmp_path: Path, tier: str) -> None:
    (tmp_path / "u1.TextGrid").write_text(long_form(tier=tier), encoding="utf-8")
    assert rows(read_alignments(tmp_path, ["u1"]).phones) == EXPECTED


def test_a_textgrid_without_a_phone_tier_names_its_tiers(tmp_path: Path) -> None:
    (tmp_path / "u1.TextGrid").write_text(long_form(tier="pitch"), encoding="utf-8")
    with pytest.raises(LayersimError, match=r"u1.TextGrid: no phone tier. Tiers: pitch; looked for phones"):
        read_alignments(tmp_path, ["u1"])


@pytest.mark.parametrize("text", ["", "no TextGrid at all", 'File type = "ooTextFile"\n', long_form()[:300]])
def test_a_broken_textgrid_is_a_named_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "u1.TextGrid").write_text(text, encoding="utf-8")
    with pytest.raises(LayersimError, match=r"u1\.TextGrid"):
        read_alignments(tmp_path, ["u1"])


def test_mfa_json_and_csv_and_a_table_give_what_the_textgrid_gives(tmp_path: Path) -> None:
    entries = [list(interval) for interval in INTERVALS]
    words = {"type": "interval", "entries": [[0.1, 0.4, "ha"]]}
    document = {
        "start": 0,
        "end": 0.6,
        "tiers": {"words": words, "phones": {"type": "interval", "entries": entries}},
    }
    for kind in ("json", "csv", "table"):
        (tmp_path / kind).mkdir()
    (tmp_path / "json/u1.json").write_text(json.dumps(document), encoding="utf-8")
    lines = ["Begin,End,Label,Type,Speaker", "0.1,0.4,ha,words,s"]
    lines += [f"{start},{end},{label},phones,s" for start, end, label in INTERVALS]
    (tmp_path / "csv/u1.csv").write_text("\n".join(lines), encoding="utf-8")
    lines = ["utt_id\tbegin\tend\tphone"] + [
        f"u1\t{start}\t{end}\t{label}" for start, end, label in INTERVALS
    ]
    (tmp_path / "table/phones.tsv").write_text("\n".join(lines), encoding="utf-8")
    for path in ("json", "csv", "json/u1.json", "table/phones.tsv"):
        assert rows(read_alignments(tmp_path / path, ["u1"]).phones) == EXPECTED


def test_files_are_found_by_name_path_and_last_part_of_the_id(tmp_path: Path) -> None:
    for place in ("s1/a", "s2/a", "s2/b"):
        file = tmp_path / f"{place}.TextGrid"
        file.parent.mkdir(exist_ok=True)
        file.write_text(long_form(), encoding="utf-8")
    result = read_alignments(tmp_path, ["s1/a", "s2_a", "b"])
    assert sorted(set(result.phones["utterance_id"])) == ["b", "s1/a", "s2_a"]
    with pytest.raises(
        LayersimError, match=r"a: 2 files could be its alignment \(s1/a.TextGrid, s2/a.TextGrid\)"
    ):
        read_alignments(tmp_path, ["a"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("u1,0.3,0.2,a", "u1: 'a' ends at 0.2 s, before its start at 0.3 s"),
        ("u1,-1,0.2,a", "u1: 'a' starts at -1 s, before the recording"),
        ("u1,0.2,0.2,a", "u1: 'a' at 0.2 s has no length"),
        ("u1,0.5,0.8,a", "u1: 'a' starts at 0.5 s, inside 'b', which ends at 0.6 s"),
        ("u1,inf,0.8,a", "u1: 'a' has times inf"),
        ("u1,x,0.8,a", "row 2: start 'x' is no time in seconds"),
    ],
)
def test_wrong_times_are_named(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(f"utterance,start,end,phone\n{row}\nu1,0.4,0.6,b\n", encoding="utf-8")
    with pytest.raises(LayersimError, match=message):
        read_alignments(tmp_path / "t.csv", ["u1"])


def test_neighbours_that_overlap_by_rounding_are_mended(tmp_path: Path) -> None:
    text = "utterance,start,end,phone\nu1,0.1,0.2000004,a\nu1,0.2,0.3,b\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    table = read_alignments(tmp_path / "t.csv", ["u1"]).phones
    assert rows(table) == [("u1", 0.1, 0.2, "a"), ("u1", 0.2, 0.3, "b")]


def test_all_faults_are_collected_and_ten_are_shown(tmp_path: Path) -> None:
    lines = [f"u1,{0.3 + n},{0.2 + n},a" for n in range(12)]
    (tmp_path / "t.csv").write_text("utterance,start,end,phone\n" + "\n".join(lines), encoding="utf-8")
    with pytest.raises(LayersimError, match=r"12 segments with wrong times(.|\n)*and 2 more"):
        read_alignments(tmp_path / "t.csv", ["u1"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "utterance,start,end\nu1,0,1\n", "no column for phone; has utterance, start, end"),
        ("t.csv", "utterance,start,end,phone\nu9,0,1,a\n", "no alignment of the 1 utterances asked for"),
        ("t.csv", "", "cannot be read as a table"),
        ("gone.csv", None, "no such file or folder"),
    ],
)
def test_a_useless_table_is_a_named_error(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(LayersimError, match=message):
        read_alignments(tmp_path / name, ["u1"])


def test_a_folder_without_alignments_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(LayersimError, match=r"Looked for .textgrid, .json, .csv"):
        read_alignments(tmp_path, ["u1"])


def test_a_written_textgrid_is_what_praatio_reads_back(tmp_path: Path) -> None:
    tiers = {"words": [(0.1, 0.4, "ha")], "phones": [(0.1, 0.25, "h"), (0.2500000001, 0.4, "aː")]}
    write_textgrid(tmp_path / "u1.TextGrid", 0.6, tiers)
    grid = textgrid.openTextgrid(str(tmp_path / "u1.TextGrid"), includeEmptyIntervals=True)
    assert grid.tierNames == ("words", "phones")
    assert [tuple(entry) for entry in grid.getTier("phones").entries] == [
        (0.0, 0.1, ""), (0.1, 0.25, "h"), (0.25, 0.4, "aː"), (0.4, 0.6, ""),
    ]  # fmt: skip
    assert rows(read_alignments(tmp_path, ["u1"]).phones) == EXPECTED


def test_intervals_beyond_the_recording_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(LayersimError, match=r"tier phones reaches beyond 0 to 0.3 s"):
        write_textgrid(tmp_path / "u1.TextGrid", 0.3, {"phones": [(0.1, 0.4, "a")]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_real_run_of_mfa_is_read_whole(shared: Path, language: str) -> None:
    reference = json.loads((shared / f"mfa_run/{language}.ref.json").read_text("utf-8"))
    result = read_alignments(shared / "mfa_run/output" / language, list(reference))
    assert result.missing == []
    assert result.phones["utterance_id"].nunique() == 30
    counts = result.phones.groupby("utterance_id").size()
    for name in ("s0/u00", "s2/u29"):  # an independent count, straight from the file's text
        if name in reference:
            text = (shared / f"mfa_run/output/{language}/{name}.TextGrid").read_text("utf-8")
            tier = text.split('name = "phones"')[1]
            labels = [line.split('"')[1] for line in tier.splitlines() if line.strip().startswith("text =")]
            assert counts[name] == len([label for label in labels if label not in ("", "sil", "spn")])


def test_the_hand_labels_of_emodb_are_read_whole(shared: Path) -> None:
    manifest = pd.read_csv(shared / "data/emodb/metadata.csv", dtype=str)
    result = read_alignments(shared / "data/emodb/phones_merged.csv", manifest["utt_id"].tolist())
    assert result.missing == ["08a01Ab", "08a01Wa"]  # their label files are empty in the corpus itself
    assert len(result.phones) == 12_476 - 104
    assert result.notes == ["104 silence segments left out"]

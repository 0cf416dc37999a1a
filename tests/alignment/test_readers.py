from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio import textgrid

from layersim.alignment.readers import read_alignments, write_textgrid
from layersim.alignment.textgrid import read_textgrid
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
    assert result.durations == {"u1": 0.6}
    assert result.notes == ["2 silence segments left out", "1 unnamed segments left out"]


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
        result = read_alignments(tmp_path / path, ["u1"])
        assert rows(result.phones) == EXPECTED
        assert result.durations == ({"u1": 0.6} if "json" in path else {})  # a table does not say it
    for unsaid in ({}, {"end": None}, {"end": "0.6"}):
        (tmp_path / "json/u1.json").write_text(json.dumps({"tiers": document["tiers"], **unsaid}), "utf-8")
        assert read_alignments(tmp_path / "json", ["u1"]).durations == {}


@pytest.mark.parametrize("last_line_end", ["\n", "", "\r\n"])
def test_times_that_praatio_would_change_lose_or_refuse_are_read_as_written(
    tmp_path: Path, last_line_end: str
) -> None:
    text = short_form().replace("0.25\n0.4\n", "0.2500004\n0.4\n").replace('0.1\n"sil"', '1e-05\n"sil"')
    (tmp_path / "u1.TextGrid").write_text(text.rstrip("\n") + last_line_end, encoding="utf-8", newline="")
    result = read_alignments(tmp_path, ["u1"])
    assert rows(result.phones) == EXPECTED
    assert result.notes == ["2 silence segments left out", "1 unnamed segments left out"]
    (tmp_path / "u1.TextGrid").write_text(long_form().replace("= 0.25\n", "= -0.25\n"), encoding="utf-8")
    with pytest.raises(LayersimError, match=r"u1: 'aː' starts at -0.25 s, before the recording"):
        read_alignments(tmp_path, ["u1"])


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_what_is_written_praatio_and_we_read_alike(data: st.DataObject) -> None:
    bounds = data.draw(st.lists(st.integers(0, 30_000), min_size=2, max_size=12, unique=True).map(sorted))
    label = st.text(
        st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), min_size=1, max_size=4
    )
    intervals = [
        (start / 1e4, end / 1e4, data.draw(label))
        for start, end in pairwise(bounds)
        if data.draw(st.booleans())
    ]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "a.TextGrid"
        write_textgrid(file, 3.0, {"words": [(0.0, 3.0, 'say "a"')], "phones": intervals})
        ours = read_textgrid(file).segments
        grid = textgrid.openTextgrid(str(file), includeEmptyIntervals=True)
    assert [tuple(segment) for segment in ours] == [tuple(entry) for entry in grid.getTier("phones").entries]
    assert [tuple(segment) for segment in ours if segment.label] == intervals


def test_several_speakers_tiers_and_points_do_not_confuse(tmp_path: Path) -> None:
    text = (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n1\n<exists>\n4\n'
        '"TextTier"\n"phones"\n0\n1\n1\n0.5\n"click"\n'
        '"IntervalTier"\n"empty"\n0\n1\n0\n'
        '"IntervalTier"\n"B - phones"\n0\n1\n1\n0.5\n1\n"IntervalTier"\n'
        '"IntervalTier"\n"A - phones"\n0\n1\n1\n0\n0.5\n"say ""a"""\n'
    )
    (tmp_path / "u1.TextGrid").write_text(text, encoding="utf-8")
    expected = [("u1", 0.0, 0.5, 'say "a"'), ("u1", 0.5, 1.0, "IntervalTier")]
    assert rows(read_alignments(tmp_path, ["u1"]).phones) == expected


@pytest.mark.parametrize("cut", range(120, 900, 60))
def test_a_textgrid_that_breaks_off_is_never_read_as_if_it_were_another(tmp_path: Path, cut: int) -> None:
    (tmp_path / "u1.TextGrid").write_text(long_form()[:cut], encoding="utf-8")
    message = ""
    try:
        found = rows(read_alignments(tmp_path, ["u1"]).phones)
    except LayersimError as error:
        found, message = [], str(error)
    assert found == EXPECTED[: len(found)]
    assert found or "u1.TextGrid" in message or "no alignment of the 1 utterances" in message


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


def test_another_speakers_file_of_the_same_name_is_never_taken(tmp_path: Path) -> None:
    for place in ("s1/a", "b"):
        file = tmp_path / f"{place}.TextGrid"
        file.parent.mkdir(exist_ok=True)
        file.write_text(long_form(), encoding="utf-8")
    result = read_alignments(tmp_path, ["s1/a", "s2/a", "s2_a"])
    assert result.missing == ["s2/a", "s2_a"]
    assert result.notes[0] == "1 of 2 alignment files belong to no utterance asked for"
    with pytest.raises(LayersimError, match=r"b.TextGrid: could be that of 's1/b' or 's2/b'"):
        read_alignments(tmp_path, ["s1/b", "s2/b"])


def test_only_the_files_asked_for_are_opened_and_progress_is_told(tmp_path: Path) -> None:
    for number in range(250):
        text = long_form() if number < 201 else "broken"
        (tmp_path / f"u{number:03}.TextGrid").write_text(text, encoding="utf-8")
    for rubbish in ("._u000.TextGrid", ".cache/u000.TextGrid", "alignment_analysis.csv"):
        (tmp_path / rubbish).parent.mkdir(exist_ok=True)
        (tmp_path / rubbish).write_text("broken", encoding="utf-8")
    told: list[tuple[str, float, float]] = []
    wanted = [f"u{number:03}" for number in range(201)]
    result = read_alignments(tmp_path, wanted, lambda *news: told.append(news))
    assert result.phones["utterance_id"].unique().tolist() == wanted
    assert [(done, total) for _, done, total in told] == [(0, 201), (100, 201), (200, 201), (201, 201)]
    with pytest.raises(LayersimError, match=r"49 alignments or segments are wrong(.|\n)*and 39 more"):
        read_alignments(tmp_path, [f"u{number:03}" for number in range(250)])


def test_a_tables_names_may_be_paths_and_its_rows_in_any_order(tmp_path: Path) -> None:
    lines = ["s2/a.wav;0.1;0.2;x", "s1\\a.wav;0.2;0.3;b", "s1/a.wav;0.1;0.2;a", "", "s9/a.wav;?;?;x"]
    text = "\n".join(["\ufefffile;Begin;End;Label", *lines])
    for encoding in ("utf-8", "utf-16-le"):
        (tmp_path / "t.csv").write_text(text, encoding=encoding)
        result = read_alignments(tmp_path / "t.csv", ["corpus/s1/a", "c"])
        assert rows(result.phones) == [("corpus/s1/a", 0.1, 0.2, "a"), ("corpus/s1/a", 0.2, 0.3, "b")]
        assert (result.missing, result.notes) == (["c"], ["2 utterances of t.csv are not in the corpus"])


def test_a_column_of_other_types_than_mfas_is_left_alone(tmp_path: Path) -> None:
    text = "utterance,start,end,phone,type\nu1,0,0.1,a,vowel\nu1,0.1,0.2,b,consonant\nu1,0,0.2,ab,word\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    result = read_alignments(tmp_path / "t.csv", ["u1"])
    assert result.phones["phone"].tolist() == ["a", "b"]
    assert result.notes == ["1 rows of words left out"]


@given(st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_rows_never_matters(order: list[int]) -> None:
    lines = [f"u{n % 2},{n / 10},{n / 10 + 0.1},{'abcdef'[n]}" for n in range(6)]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "t.csv"
        file.write_text("\n".join(["utt,start,end,phone", *(lines[n] for n in order)]), encoding="utf-8")
        found = rows(read_alignments(file, ["u1", "u0"]).phones)
    assert found == [(f"u{u}", n / 10, pytest.approx(n / 10 + 0.1), "abcdef"[n])
                     for u in (0, 1) for n in range(u, 6, 2)]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("u1,0.3,0.2,a", "u1: 'a' ends at 0.2 s, before its start at 0.3 s"),
        ("u1,-1,0.2,a", "u1: 'a' starts at -1 s, before the recording"),
        ("u1,0.2,0.2,a", "u1: 'a' at 0.2 s has no length"),
        ("u1,0.5,0.8,a", "u1: 'a' starts at 0.5 s, inside 'b', which ends at 0.6 s"),
        ("u1,inf,0.8,a", "u1: 'a' has times inf"),
        ("u1,x,0.8,a", "t.csv, row 2: start 'x' is no time in seconds"),
        ("\n\nu1,0.1,,a", "t.csv, row 4: end '' is no time in seconds"),
        ("u1,0.1,0.2", "t.csv, row 2: has 3 cells; the header has 4"),
        ("u1,0.1,0.2,a,b", "t.csv, row 2: has 5 cells; the header has 4"),
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
    with pytest.raises(LayersimError, match=r"12 alignments or segments are wrong(.|\n)*and 2 more"):
        read_alignments(tmp_path / "t.csv", ["u1"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "utterance,start,end\nu1,0,1\n", "no column for phone; has utterance, start, end"),
        ("t.csv", "utterance,start,end,phone\nu9,0,1,a\n", "no alignment of the 1 utterances asked for"),
        ("t.csv", "", "cannot be read as a table"),
        ("t.lab", "x", "t.lab: is of no known kind. Known: .textgrid, .json, .csv, .tsv, .txt"),
        ("t.csv", "utterance,start,end,phone\nu1,0,1,\xe9\n", "cannot be read as UTF-8 or UTF-16 text"),
        ("gone.csv", None, "no such file or folder"),
    ],
)
def test_a_useless_table_is_a_named_error(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text, encoding="latin-1")
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
    for name, seconds in result.durations.items():
        assert seconds == pytest.approx(
            soundfile.info(shared / f"mfa_run/{language}/{name}.wav").duration, abs=0.01
        )
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

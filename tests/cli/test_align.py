"""``layersim align`` as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from layersim.corpus.manifest import read_manifest, write_manifest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def study(run_cli: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of two corpora of noise; the first has no texts, the second has alignments."""
    folder = tmp_path_factory.mktemp("study")
    noise = np.random.default_rng(0).normal(0, 0.1, 8_000)
    for name, text in (("one", ""), ("two", "hello")):
        rows = ["utt_id,path,speaker,language,emotion,text"]
        for speaker in "abc":
            for emotion in ("anger", "sadness"):
                rows.append(f"{speaker}_{emotion},{speaker}_{emotion}.wav,{speaker},en,{emotion},{text}")
                (folder / name).mkdir(exist_ok=True)
                soundfile.write(folder / name / f"{speaker}_{emotion}.wav", noise, 16_000)
        (folder / name / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "phones.csv").write_text("utterance_id,start,end,phone\na_anger,0.1,0.2,AH0\n", "utf-8")
    code, _, err = run_cli(
        ["init", "ws", "--encoder", "openai/whisper-base", "--corpus", "one=one", "--corpus", "two=two",
         "--alignments", "two=phones.csv", "--phone-set", "two=arpabet"],
        folder,
    )  # fmt: skip
    assert code == 0, err
    assert "For the phoneme level, before that: layersim align" in err
    return folder / "ws"


def test_a_corpus_without_texts_is_an_error_that_says_what_to_do(run_cli: Run, study: Path) -> None:
    code, out, err = run_cli(["align"], study)
    assert (code, out) == (1, "")
    assert "no utterance has a text" in err
    assert "layersim align --transcribe MODEL" in err
    assert "Traceback" not in err


def test_a_study_whose_corpora_all_have_alignments_says_so_and_is_done(
    run_cli: Run, study: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "ws"
    copy.mkdir()
    text = (study / "layersim.toml").read_text("utf-8")
    text = text.replace("[corpora.one]", '[corpora.one]\nalignments = "phones.csv"\nphone_set = "arpabet"')
    (copy / "layersim.toml").write_text(text, encoding="utf-8")
    code, out, err = run_cli(["align", "--json"], copy)
    assert code == 0, err
    assert [(row["corpus"], row["left_alone"]) for row in json.loads(out)] == [("one", True), ("two", True)]
    code, out, err = run_cli(["align"], copy)
    assert code == 0, err
    assert "two: left alone, layersim.toml names its alignments" in out
    assert "layersim align --corpus two" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--corpus", "three"], 1, "no corpus 'three'. Known: one, two"),
        (["--corpus", "two", "--aligner", "htk"], 2, "setting 'aligner'"),
        (["--corpus", "two", "--jobs", "-1"], 2, "setting 'jobs'"),
        (["--corpus", "two", "--dictionary", "no.dict"], 1, "no.dict: no such file"),
        (
            ["--corpus", "two", "--aligner", "builtin", "--dictionary", "english_mfa"],
            1,
            "no dictionaries by name",
        ),
        (["--corpus", "two", "--aligner", "builtin", "--acoustic-model", "x"], 1, "trains its own"),
    ],
)
def test_what_is_wrong_with_a_command_is_named(
    run_cli: Run, study: Path, arguments: list[str], code: int, message: str
) -> None:
    found, out, err = run_cli(["align", *arguments], study)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_real_speech_is_aligned_with_nothing_downloaded_and_a_killed_run_goes_on(
    run_cli: Run, shared: Path, tmp_path: Path
) -> None:
    import parselmouth

    data = shared / "data"
    code, _, err = run_cli(
        ["init", "ws", "--encoder", "none/needed", "--corpus", f"emodb={data / 'emodb'}",
         "--corpus", f"casia={data / 'casia'}"],
        tmp_path,
    )  # fmt: skip
    assert code == 0, err
    workspace = tmp_path / "ws"
    for file in (workspace / "manifests").glob("*.csv"):
        manifest = read_manifest(file)
        speakers = sorted(set(manifest["speaker"]))[:3]
        place = manifest.groupby("speaker").cumcount()
        write_manifest(manifest[manifest["speaker"].isin(speakers) & (place < 12)].assign(split=""), file)
    code, out, err = run_cli(["align", "--json", "--jobs", "1"], workspace)
    assert code == 0, err
    results = json.loads(out)
    assert [(row["corpus"], row["failed"], row["words_unknown"]) for row in results] == [
        ("emodb", 0, 0), ("casia", 0, 0),
    ]  # fmt: skip
    files = sorted((workspace / "align").rglob("*.TextGrid"))
    assert len(files) == sum(row["utterances"] for row in results)
    for file in files:
        assert parselmouth.praat.call(parselmouth.Data.read(str(file)), "Get number of tiers") == 2
    before = {file: file.read_bytes() for file in (workspace / "align").rglob("*.csv")}

    # Killed while it aligned: no run.json, some parts gone. What is missing is made, to the same times.
    (workspace / "align/emodb/run.json").unlink()
    (workspace / "align/emodb/work/builtin-de/parts/00001.json").unlink()
    code, out, err = run_cli(["align", "--jobs", "2"], workspace)
    assert code == 0, err
    assert out.count("done already") == 1  # casia
    assert {file: file.read_bytes() for file in before} == before

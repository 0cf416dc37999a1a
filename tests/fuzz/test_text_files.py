"""Spoilt text files: manifests, tables, TextGrids, MFA's JSON and CSV, dictionaries, TOML."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest

from layersim.alignment.textgrid import write_textgrid
from layersim.corpus.manifest import write_manifest
from layersim.workspace import CorpusEntry, Workspace
from mutations import mutated, toml_values, whole_files
from reading import ReaderProcess
from spoiling import refuse_faults

EMOTIONS = ("anger", "happiness", "neutral", "sadness")
PHONES = [(0.0, 0.1, "HH"), (0.1, 0.25, "AA1"), (0.25, 0.3, "T"), (0.3, 0.5, "IY0"), (0.5, 0.6, "")]


def manifest(folder: Path) -> bytes:
    rows = [
        {
            "corpus": "tones",
            "utterance_id": f"u{n:02d}",
            "path": f"a/u{n:02d}.wav",
            "start": n / 2 if n % 3 else None,
            "end": n / 2 + 1.25 if n % 3 else None,
            "speaker": f"{n % 5:02d}",
            "language": "de",
            "emotion": EMOTIONS[n % 4],
            "split": ("train", "validation", "test", "", "train")[n % 5],
            "text": 'sagt: "äh", ja',
            "source_label": "W",
        }
        for n in range(10)
    ]
    write_manifest(pd.DataFrame(rows), folder / "manifest.csv")
    return (folder / "manifest.csv").read_bytes()


def textgrid(folder: Path) -> bytes:
    words = [(0.0, 0.3, 'say "hot"'), (0.3, 0.5, "ea")]
    write_textgrid(folder / "a.TextGrid", 0.6, {"words": words, "phones": PHONES})
    return (folder / "a.TextGrid").read_bytes()


def mfa_json(folder: Path) -> bytes:
    entries = [list(phone) for phone in PHONES]
    tiers = {name: {"type": "interval", "entries": entries} for name in ("words", "phones")}
    return json.dumps({"start": 0.0, "end": 0.6, "tiers": tiers}, indent=1).encode()


def mfa_csv(folder: Path) -> bytes:
    rows = [
        f"{start},{end},{label},{kind},s0\n" for start, end, label in PHONES for kind in ("words", "phones")
    ]
    return ("Begin,End,Label,Type,Speaker\n" + "".join(rows)).encode()


def phone_table(folder: Path) -> bytes:
    rows = [
        f"{name}\t{start:.6f}\t{end:.6f}\t{label}\n"
        for name in ("u00", "u01")
        for start, end, label in PHONES
    ]
    return ("utterance_id\tstart\tend\tphone\n" + "".join(rows)).encode()


def phone_set(folder: Path) -> bytes:
    return "# based on arpabet\nphone,vowel,consonant,source\nAA,ɑ,,mine\nTS,,ts,mine\n\nZZ,,,\n".encode()


def dictionary(folder: Path) -> bytes:
    rows = [
        "always\tAO1 L W EY2 Z",
        "always 0.5 0.1 1.0 0.9 AO L W IY Z",
        "don't\tD OW1 N T",
        "read(2)  R EH1 D",
        ";;; a comment",
        "café\tK AE0 F EY1",
        "<unk>\tspn",
        "kid  K IH1 D",
        "'s\tZ",
    ]
    return ("\n".join(rows) + "\n").encode()


def label_map(folder: Path) -> bytes:
    return resources.files("layersim_data").joinpath("label_maps", "iemocap.toml").read_bytes()


def workspace(folder: Path) -> bytes:
    entry = CorpusEntry(
        manifest=folder / "a.csv", audio_root=folder, alignments=folder / "phones", phone_set="arpabet"
    )
    Workspace.create(folder, "microsoft/wavlm-base-plus", {"a": entry, "b": entry})
    tables = (
        '\n[align]\nseed = 3\n[extract]\nstore = "pooled"\nlimit = 20\n[rank]\nmetric = "pairwise"\n'
        'permutations = 100\nemotions = ["anger", "sadness"]\n[train]\nbatch = 32\ngamma = 1e-1\n'
        '[train.la]\ngamma = 10.0\n[compare]\nmethods = ["la", "cc"]\n[tune]\ntrials = 5\n'
    )
    return (folder / "layersim.toml").read_bytes() + tables.encode()


def corpus_table(folder: Path) -> bytes:
    return (
        b"utt_id,path,speaker,gender,language,emotion,text,split,start,end\n"
        b'03a01Fa,flac/03a01Fa.flac,03,male,de,happiness,"Der Lappen, ""hier"".",train,0.5,1.75\n'
        b"03a01Nc,flac/03a01Nc.flac,08,f,de,neutral,Der Lappen,dev,,\nb,a/b.wav,1,w,de,anger,,test,0,2e0\n"
    )


def corpus_folder(folder: Path) -> bytes:
    return (
        "FileName,EmoClass,SpkrID,Split_Set,Gender,ActorID,Sex\n"
        "MSP-PODCAST_0001_0008.wav,A,12,Train,Female,1001,Male\n"
        "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\n"
        "Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.\n0011_000351\tThe nine eggs.\tAngry\n"
        "201  什么东西\n"
    ).encode()


def mfa_output(folder: Path) -> bytes:
    return b"file,begin,end,speaker,overall_log_likelihood\nu10,0.0,2.86,s1,-81.5\nu11,0.0,1,s1,\nword\t12\n"


def transcripts(folder: Path) -> bytes:
    header = b"utterance_id,path,start,end,language,model,text\n"
    return header + b'u1,a.wav,,,en,whisper,"say, it"\nu2,a.wav,0.5,1,en,w,x\n'


WRITERS: dict[str, Callable[[Path], bytes]] = {
    writer.__name__: writer
    for writer in (
        manifest,
        textgrid,
        mfa_json,
        mfa_csv,
        phone_table,
        phone_set,
        dictionary,
        label_map,
        workspace,
        corpus_table,
        corpus_folder,
        mfa_output,
        transcripts,
    )
}
REAL = {
    "textgrid": ["mfa_run/output/en/s0/u00.TextGrid", "mfa_run/output/en/s0/u03.TextGrid"],
    "dictionary": ["mfa_run/en.dict", "mfa_run/zh.dict"],
    "corpus_table": ["data/emodb/metadata.csv"],
    "phone_table": ["data/emodb/phones_merged.csv"],
    "mfa_output": ["mfa_run/output/en/alignment_analysis.csv"],
}
LINES = 60  # of a real file: enough to be it


@pytest.mark.parametrize("reader", WRITERS)
def test_a_spoilt_file_is_read_or_refused(reader: str, process: ReaderProcess, tmp_path: Path) -> None:
    good = WRITERS[reader](tmp_path)
    spoilt = [
        *whole_files(good),
        *([*toml_values(good)][::5] if reader in ("workspace", "label_map") else []),
    ]
    answers = refuse_faults(process, reader, [good], spoilt, mutated([good]))
    wanted = {"read"} if reader == "corpus_folder" else {"read", "refu"}  # of a folder what can be is read
    assert {answer[:4] for answer in answers} == wanted


@pytest.mark.parametrize("reader", REAL)
def test_a_spoilt_real_file_is_read_or_refused(
    reader: str, process: ReaderProcess, real: Path | None, tmp_path: Path
) -> None:
    if real is None:
        pytest.skip("no folder 'shared' with real files beside the repository")
    files = [(real / name).read_bytes().splitlines(keepends=True)[:LINES] for name in REAL[reader]]
    seeds = [b"".join(lines) for lines in files]
    refuse_faults(process, reader, [WRITERS[reader](tmp_path)], seeds, mutated(seeds), examples=100)

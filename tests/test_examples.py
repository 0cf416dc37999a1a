"""The examples: every command and setting fits the program, and made-up corpora go through them."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomlkit
import typer
from click import Command, Context
from typer.testing import CliRunner

from layersim.adaptation.settings import TrainConfig
from layersim.alignment.align import AlignConfig
from layersim.corpus.importers import LAYOUTS
from layersim.corpus.labels import plain_name
from layersim.corpus.manifest import read_manifest
from layersim.corpus.manifest_rows import EMOTIONS
from layersim.features.extract import ExtractConfig
from layersim.settings import StageConfig, resolve_settings
from layersim.similarity.settings import RankConfig
from layersim.workspace import Workspace
from layersim_cli.main import app

ROOT = Path(__file__).resolve().parents[1] / "examples"
FOLDERS = sorted(file.parent for file in ROOT.glob("*/layersim.toml"))
STAGES: dict[str, type[StageConfig]] = {
    "align": AlignConfig,
    "extract": ExtractConfig,
    "rank": RankConfig,
    "train": TrainConfig,
}
HUB_ID = r"[\w.-]+/[\w.-]+"
LISTS = ("emotions", "methods", "vowels")


def commands(folder: Path) -> list[str]:
    """The layersim commands of an example's README in their order, those in running text last."""
    text = (folder / "README.md").read_text("utf-8")
    lines = [
        line.strip().partition("  #")[0].strip() for line in text.splitlines() if line.startswith("    ")
    ]
    inline = [" ".join(found.split()) for found in re.findall(r"`(layersim [^`]+)`", text)]
    return [line for line in (*lines, *inline) if line.startswith("layersim ")]


def parse(line: str) -> tuple[str, dict[str, Any]]:
    """Let the real program read a command: its full name and its parameters, nothing run."""
    words = shlex.split(line)[1:]
    command: Command = typer.main.get_command(app)
    name = []
    while words and words[0] in getattr(command, "commands", {}):
        name.append(words.pop(0))
        command = command.commands[name[-1]]  # type: ignore[attr-defined]
    context = command.make_context(" ".join(name), words, parent=Context(command))
    return " ".join(name), context.params


ALL = [(folder, line) for folder in FOLDERS for line in dict.fromkeys(commands(folder))]


def test_the_examples_and_their_commands_are_found_by_these_tests() -> None:
    assert [folder.name for folder in FOLDERS] == ["emodb-ravdess-esd", "msp-biic-podcast"]
    for folder in FOLDERS:
        assert {line.split()[1] for line in commands(folder)} >= {
            "corpus", "align", "extract", "rank", "train", "report",
        }  # fmt: skip
        assert f"({folder.name}/README.md)" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize(("folder", "line"), ALL, ids=[f"{f.name}: {line}" for f, line in ALL])
def test_a_command_is_read_by_the_program_and_names_what_the_example_has(folder: Path, line: str) -> None:
    workspace = Workspace.read(folder)
    name, parameters = parse(line)
    given = {key: value for key, value in parameters.items() if value not in (None, [], ())}
    if name in STAGES:
        fields = {key: value for key, value in given.items() if key in STAGES[name].model_fields}
        lists = {key: fields[key].split(",") for key in LISTS if key in fields}
        resolve_settings(STAGES[name], {**fields, **lists})
        named = [given.get("source"), given.get("target"), *given.get("corpus", [])]
        assert {corpus for corpus in named if corpus is not None} <= set(workspace.corpora)
    if name == "corpus import":
        entry = workspace.corpus(given["name"])
        assert folder / given["out"] == entry.manifest
        inside = folder / given["folder"]
        assert entry.audio_root in (inside, inside.parent)  # a folder, or a table in it
        assert given.get("layout", given["name"]) in LAYOUTS
    for model in ("encoder", "transcribe"):
        assert re.fullmatch(HUB_ID, given.get(model, workspace.encoder))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_workspace_file_holds_known_corpora_settings_and_an_encoders_id(folder: Path) -> None:
    workspace = Workspace.read(folder)
    assert re.fullmatch(HUB_ID, workspace.encoder)
    assert workspace.pair() == (workspace.source, workspace.target)
    assert {plain_name(name) for name in workspace.corpora} <= {plain_name(name) for name in LAYOUTS}
    for name, entry in workspace.corpora.items():
        assert entry.manifest == folder / "manifests" / f"{name}.csv"
        assert entry.audio_root == folder / "data" / name
    for model in STAGES.values():
        workspace.settings(model)
    for section in ("rank", "train"):
        assert set(workspace.tables[section]["emotions"]) <= set(EMOTIONS)
    document = tomlkit.parse((folder / "layersim.toml").read_text("utf-8"))
    imported = [parse(line)[1]["name"] for line in commands(folder) if " import " in line]
    assert set(imported) == set(document["corpora"])  # type: ignore[arg-type]


def acted(write: Callable[[str], Path]) -> None:
    """Emo-DB, RAVDESS and both halves of ESD as they unpack, one utterance a speaker and emotion."""
    for speaker in ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16"):
        for letter in "WFNTL":
            write(f"emodb/wav/{speaker}a01{letter}a.wav")
    for actor in range(1, 25):
        for emotion in ("01", "03", "04", "05"):
            write(f"ravdess/Actor_{actor:02d}/03-01-{emotion}-01-01-01-{actor:02d}.wav")
    for speaker in range(1, 21):
        for number, emotion in enumerate(("Angry", "Happy", "Neutral", "Sad")):
            write(f"esd/Emotion Speech Dataset/{speaker:04d}/{emotion}/{speaker:04d}_{number:06d}.wav")


def podcasts(write: Callable[[str], Path]) -> None:
    """MSP-Podcast and BIIC-Podcast: one table each, official splits, an unknown speaker, labels O and X."""
    for corpus, sets in (
        ("msp-podcast", ("Train", "Train", "Train", "Train", "Development", "Test1", "Test2")),
        ("biic-podcast", ("Train", "Train", "Train", "Train", "Development", "Test", "Test")),
    ):
        rows = ["FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"]
        for speaker, split in enumerate(sets):
            for number, letter in enumerate("AHNSOX"):
                name = f"{corpus.upper()}_{speaker:04d}_{number:04d}"
                audio = write(f"{corpus}/Audios/{name}.wav")
                who = "Unknown" if speaker == 3 else str(speaker)
                rows.append(f"{name}.wav,{letter},4,4,4,{who},Female,{split}")
                text = audio.parents[1] / "Transcripts" / f"{name}.txt"
                text.parent.mkdir(exist_ok=True)
                text.write_text("hello there", encoding="utf-8")
        labels = audio.parents[1] / "Labels" / "labels_consensus.csv"
        labels.parent.mkdir()
        labels.write_text("\n".join(rows), encoding="utf-8")


@pytest.fixture(
    params=[("emodb-ravdess-esd", acted), ("msp-biic-podcast", podcasts)], ids=lambda pair: pair[0]
)
def study(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    write_tone: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A copy of an example with made-up audio in its corpora's own folders; the current folder."""
    name, make = request.param
    folder = tmp_path / name
    shutil.copytree(
        ROOT / name, folder, ignore=lambda where, names: [n for n in names if (Path(where) / n).is_dir()]
    )
    seeds = iter(range(10_000))
    make(lambda path: write_tone(folder / "data" / path, 0.3, seed=next(seeds)))
    monkeypatch.chdir(folder)
    return folder


def run(line: str) -> str:
    result = CliRunner().invoke(app, shlex.split(line)[1:])
    assert result.exit_code == 0, f"{line}: {result.output}{result.exception!r}"
    return result.output


def test_made_up_corpora_are_imported_as_the_example_says(study: Path) -> None:
    for line in commands(study)[: len(Workspace.read(study).corpora)]:
        assert line.startswith("layersim corpus import ")
        run(line)
    for name, entry in Workspace.read(study).corpora.items():
        manifest = read_manifest(entry.manifest)
        used = manifest[manifest["emotion"].isin(Workspace.read(study).tables["rank"]["emotions"])]
        assert set(used["emotion"]) == {"anger", "happiness", "neutral", "sadness"}, name
        assert set(used["split"]) == {"train", "validation", "test"}, name
    run("layersim corpus check")  # exits with 1 if there is a fault


QUICK = {"rank": " --bootstraps 20 --permutations 5", "train": " --seeds 1 --epochs 1"}
# The made-up corpora hold tones, and so no phones; the other directions differ in names alone.
NOT_RUN = ("align", "phoneme", "label-free", "--source")


@pytest.mark.slow
def test_the_examples_commands_run_one_after_the_other_on_made_up_corpora(study: Path) -> None:
    settings = study / "layersim.toml"
    small = settings.read_text("utf-8").replace("microsoft/wavlm-base-plus", "layersim-mini")
    settings.write_text(small, encoding="utf-8")
    text = (study / "README.md").read_text("utf-8")
    blocks = [
        line for line in commands(study) if f"\n    {line}" in text
    ]  # those in running text are variants
    for line in blocks:
        if not any(word in line for word in NOT_RUN):
            run(line + QUICK.get(line.split()[1], ""))
    assert (study / "report" / "index.html").is_file()
    pair = "-to-".join(Workspace.read(study).pair())
    assert list(study.glob(f"train/*/{pair}/la-auto/seed-0/model.safetensors"))

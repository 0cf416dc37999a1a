"""``layersim extract --keep-going`` as a user meets it: what is printed, what is written, how it exits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from layersim.corpus.manifest_rows import COLUMNS
from layersim.errors import LayersimError
from layersim.workspace import CorpusEntry, Workspace


@pytest.fixture
def study(tmp_path: Path, write_tone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace of one corpus of three recordings, the second of which is no audio."""
    rows = [f"c,u{row},u{row}.wav,,,s{row},en,anger,train,," for row in range(3)]
    (tmp_path / "manifest.csv").write_text("\n".join([",".join(COLUMNS), *rows, ""]), "utf-8")
    for row in range(3):
        write_tone(tmp_path / f"u{row}.wav", 0.5, seed=row)
    (tmp_path / "u1.wav").write_bytes(b"no audio")
    entry = CorpusEntry(manifest=tmp_path / "manifest.csv", audio_root=tmp_path)
    workspace = Workspace.create(tmp_path / "study", "layersim-mini", {"c": entry})
    monkeypatch.chdir(workspace.root)
    return workspace


def test_the_rest_is_finished_the_failures_are_listed_and_the_exit_status_is_1(study: Workspace) -> None:
    from layersim_cli.main import app

    run = CliRunner().invoke
    refused = run(app, ["extract"])
    assert isinstance(refused.exception, LayersimError)
    assert not study.cache_folder("c").exists()

    done = run(app, ["extract", "--keep-going"])
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("c: 2 of 3 utterances")
    assert "  1 of 3 utterances have no features and are left out: anger 1 of 3." in done.stdout
    assert lines[-2] == "  1 failed:"
    assert lines[-1].startswith("    c/u1: ")
    assert "u1.wav: is no audio that can be read" in lines[-1]
    listed = (study.cache_folder("c") / "failed.csv").read_text("utf-8").splitlines()
    assert listed[0] == "utterance,path,reason"
    assert listed[1].startswith("c/u1,u1.wav,")

    (document,) = json.loads(run(app, ["extract", "--keep-going", "--json"]).stdout)
    assert (document["failed"], document["failures"][0]["utterance"]) == (1, "c/u1")

    (study.root.parent / "u1.wav").write_bytes((study.root.parent / "u0.wav").read_bytes())
    mended = run(app, ["extract"])
    assert (mended.exit_code, "3 utterances" in mended.stdout) == (0, True)

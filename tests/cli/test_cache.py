"""``layersim extract --num-shards`` and ``layersim cache`` as a user meets them."""

from __future__ import annotations

import json
import sys

import pytest
import typer

from layersim.workspace import CorpusEntry, Workspace


@pytest.fixture
def workspace(tmp_path, write_tone):
    rows = ["corpus,utterance_id,path,start,end,speaker,language,emotion,split,text,source_label"]
    for number in range(5):
        write_tone(tmp_path / f"tones/u{number}.wav", 0.3, seed=number)
        rows.append(f"tones,u{number},u{number}.wav,,,s{number},en,anger,train,,anger")
    (tmp_path / "tones.csv").write_text("\n".join(rows) + "\n")
    entry = CorpusEntry(manifest=tmp_path / "tones.csv", audio_root=tmp_path / "tones")
    made = Workspace.create(tmp_path / "study", "layersim-mini", {"tones": entry})
    file = made.root / "layersim.toml"
    file.write_text(file.read_text() + "\n[extract]\nshard_size = 2\n")
    return Workspace.read(made.root)


@pytest.fixture
def layersim(workspace, monkeypatch, capsys):
    """Run a command in this process, in the workspace; gives (exit code, stdout, stderr)."""
    import layersim_cli.main as command_line

    monkeypatch.chdir(workspace.root)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["layersim", *arguments])
        try:
            command_line.main()
            code = 0
        except (SystemExit, typer.Exit) as ended:
            code = ended.code if isinstance(ended, SystemExit) else ended.exit_code
        captured = capsys.readouterr()
        return code or 0, captured.out, captured.err

    return run


def test_two_shares_make_a_cache_that_status_and_verify_show(workspace, layersim):
    code, out, err = layersim("extract", "--num-shards", "2", "--shard", "1")
    assert code == 0, err
    assert out.startswith("tones: --num-shards 2 --shard 1: its 1 shards (2 utterances) are there, 1")
    assert "missing are those of --shard 0 (2)" in out
    code, out, err = layersim("cache", "status")
    assert code == 0, err
    assert out.splitlines()[1].split()[:10] == [
        "tones",
        "layersim-mini",
        "1",
        "of",
        "3",
        "2",
        "of",
        "5",
        "3",
        "0",
    ]
    code, out, err = layersim("cache", "verify")
    assert code == 1
    assert "2 of 3 shards are not there, the first part-00000.h5: layersim extract makes them." in out
    code, out, err = layersim("extract", "--num-shards", "2", "--shard", "0", "--json")
    assert code == 0, err
    assert json.loads(out)[0]["complete"] is True
    code, out, err = layersim("cache", "verify", "--corpus", "tones")
    assert (code, out.strip().endswith("all is right")) == (0, True), err
    code, out, err = layersim("cache", "status", "--json")
    assert json.loads(out)["caches"][0]["left"] == 0

    file = workspace.cache_folder("tones") / "part-00001.h5"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    code, out, err = layersim("cache", "verify", "--json")
    assert code == 1
    assert json.loads(out)[0]["faults"][0].startswith(f"{file}: is damaged")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-shards", "2"], "--shard I is missing"),
        (["--shard", "0"], "--num-shards K is missing"),
        (["--num-shards", "2", "--shard", "2"], "--shard 2: expected 0..1"),
        (["--num-shards", "2", "--shard", "0", "--acoustic", "sequences"], "leave it out with --acoustic"),
    ],
)
def test_shares_that_there_are_not_exit_2(layersim, arguments, message):
    code, out, err = layersim("extract", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_an_unknown_corpus_and_a_workspace_without_features_exit_1(layersim):
    code, _, err = layersim("cache", "status", "--corpus", "noise")
    assert (code, "no corpus 'noise'. Known: tones" in err) == (1, True)
    code, _, err = layersim("cache", "verify")
    assert (code, "holds no features. Make them first: layersim extract" in err) == (1, True)

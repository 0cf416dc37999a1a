from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from layersim_cli.app import method_list

Run = Callable[..., tuple[int, str, str]]

COMMANDS = [
    "init", "corpus", "align", "extract", "cache", "rank", "train", "compare", "tune", "methods", "predict",
    "report", "demo",
]  # fmt: skip


def test_help_lists_the_commands_in_the_order_of_use(run_cli: Run, tmp_path: Path) -> None:
    code, out, _ = run_cli(["--help"], tmp_path)
    listed = [line.split()[0] for line in out.split("Commands:")[1].splitlines() if line.strip()]
    assert (code, listed) == (0, COMMANDS)


@pytest.mark.parametrize(
    "command", [*COMMANDS, "corpus check", "corpus import", "cache status", "cache verify"]
)
def test_every_command_and_every_option_has_help(command: str) -> None:
    from layersim_cli.main import app

    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    click_command = typer.main.get_command(app)
    for part in command.split():
        click_command = click_command.commands[part]  # type: ignore[attr-defined]
    assert click_command.help
    for parameter in click_command.params:
        assert getattr(parameter, "help", None), f"{command}: {parameter.name} has no help"


def test_help_loads_neither_torch_nor_transformers_nor_pandas() -> None:
    code = (
        "import sys; from layersim_cli.main import app; from typer.testing import CliRunner;"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0;"
        "print([name for name in ('torch', 'transformers', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cc,la:8,9,11,pa", ["cc", "la:8,9,11", "pa"]),
        ("la:8,d1+self-train,cc", ["la:8,d1+self-train", "cc"]),
        ("la:8,9+finetune-lora,wccn+finetune-full", ["la:8,9+finetune-lora", "wccn+finetune-full"]),
        ("la:best,probe:3", ["la:best", "probe:3"]),
    ],
)
def test_methods_are_told_apart_from_the_layers_of_one(text: str, words: list[str]) -> None:
    assert method_list(text) == words


def test_a_command_outside_a_workspace_says_how_to_make_one_and_exits_1(run_cli: Run, tmp_path: Path) -> None:
    for command in (
        ["align"],
        ["extract"],
        ["cache", "status"],
        ["cache", "verify"],
        ["rank"],
        ["train"],
        ["compare"],
        ["tune", "cc"],
        ["report"],
        ["corpus", "check"],
    ):
        code, out, err = run_cli(command, tmp_path)
        assert (code, out) == (1, "")
        assert err.startswith("error: ")
        assert "layersim init DIR --corpus NAME=PATH" in err
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["extrat"], "Did you mean 'extract'"),
        (["rank", "--no-such-option"], "No such option"),
        (["init", "ws", "--encoder", "x", "--corpus", "emodb=a"], "give two"),
        (["init", "ws", "--encoder", "x", "--corpus", "emodb", "--corpus", "b=c"], "expected NAME=VALUE"),
        (["init", "ws", "--encoder", "x", "--corpus", "a=b", "--corpus", "a=c"], "given twice"),
        (
            ["init", "ws", "--encoder", "x", "--corpus", "a=b", "--corpus", "b=c", "--alignments", "d=e"],
            "no --corpus d=PATH goes with it",
        ),
    ],
)
def test_a_usage_error_exits_2_and_says_what_was_expected(
    run_cli: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, out, err = run_cli(arguments, tmp_path)
    assert (code, out) == (2, "")
    assert message in " ".join(err.replace("│", " ").split())


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import layersim_cli.main as command_line

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("layersim.workspace.Workspace.find", broken)
    monkeypatch.setattr(sys, "argv", ["layersim", "extract"])
    with pytest.raises(ZeroDivisionError, match="a bug"):
        command_line.main()


def test_init_writes_a_workspace_and_says_what_it_found(
    run_cli: Run, tmp_path: Path, write_tone: Callable[..., Path]
) -> None:
    for name, language in (("one", "en"), ("two", "zh")):
        rows = ["utt_id,path,speaker,language,emotion,text"]
        places = [(speaker, emotion) for speaker in "abcd" for emotion in ("anger", "sadness")]
        for seed, (speaker, emotion) in enumerate(places):
            path = f"{speaker}/{emotion}.wav"
            write_tone(tmp_path / name / path, 0.5, seed=seed)
            rows.append(f"{speaker}_{emotion},{path},{speaker},{language},{emotion},hello")
        (tmp_path / name / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    arguments = [
        "init",
        "ws",
        "--corpus",
        "one=one",
        "--corpus",
        "two=two",
        "--encoder",
        "openai/whisper-base",
    ]
    code, out, err = run_cli([*arguments, "--json"], tmp_path)
    assert code == 0, err
    document = json.loads(out)
    assert document["corpora"]["one"]["utterances"] == 8
    assert document["corpora"]["two"]["emotions"] == {"anger": 4, "sadness": 4}
    assert (document["source"], document["target"]) == ("one", "two")

    code, out, err = run_cli(arguments, tmp_path)
    assert code == 1
    assert "--force" in err

    code, out, err = run_cli(["init", "mini", *arguments[2:6]], tmp_path)
    assert code == 0, err
    assert "encoder layersim-mini: a small one for demonstration" in out
    assert (tmp_path / "mini" / "layersim.toml").read_text("utf-8").count('encoder = "layersim-mini"') == 1

    code, out, err = run_cli(["corpus", "check"], tmp_path / "ws")
    assert code == 0, err
    assert "one" in out
    assert "two" in out

    code, out, err = run_cli(["rank"], tmp_path / "ws")
    assert code == 1
    assert "layersim extract" in err

    code, out, err = run_cli(["train"], tmp_path / "ws")
    assert code == 1
    assert "layersim extract" in err or "layersim rank" in err

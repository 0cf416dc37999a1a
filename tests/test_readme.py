from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from layersim_cli.main import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
CODE = [line.strip() for line in README.splitlines() if line.startswith("    ")]
CODE += re.findall(r"`(layersim [^`]+)`", README)


def commands() -> list[str]:
    """Every layersim command of the README, without what follows a comment or ``&&``."""
    found = [part.strip() for line in CODE for part in line.split("&&")]
    return sorted({part.partition("  #")[0].strip() for part in found if part.startswith("layersim ")})


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_readme_exists_with_its_options(line: str) -> None:
    words = shlex.split(line)[1:]
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= known, f"{line}: {given - known}"


def test_the_readme_has_the_everyday_commands_and_they_are_found_by_this_test() -> None:
    assert {"layersim demo", "layersim extract", "layersim rank", "layersim train --anchors auto"} <= set(
        commands()
    )


def test_ci_installs_and_tests_as_the_readme_says() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "pip install '.[dev]' && pytest" in CODE
    assert "pip install --quiet '.[dev]'" in script
    assert re.search(r"^pytest\b", script, re.MULTILINE)


def test_every_file_that_the_readme_shows_or_links_is_in_the_repository() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert "://" not in target or target.startswith("https://"), target
        if "://" not in target:
            assert (ROOT / target).is_file(), target

"""What `pip install .` brings: every package, its data, and every library that the code imports."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import tomlkit

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomlkit.parse((ROOT / "pyproject.toml").read_text("utf-8")).unwrap()
OWN = {"layersim": "layersim", "cli": "layersim_cli", "data_manifests": "layersim_data"}
LOADED_BY_NAME = {"kaldi-hmm-gmm", "kaldifst", "kaldi-native-fbank"}  # layersim.alignment.builtin.kaldi


def plain(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def imported() -> set[str]:
    """Top-level names that the package's modules import, anywhere in them."""
    found = set()
    for folder in OWN:
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {name.name.partition(".")[0] for name in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - set(OWN.values())


def test_every_library_that_the_code_imports_is_installed_with_it() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    required = {plain(requirement) for requirement in PROJECT["project"]["dependencies"]}
    required |= {plain(one) for extra, ones in extras.items() if extra != "dev" for one in ones}
    distributions = packages_distributions()
    missing = {
        name
        for name in imported()
        if required.isdisjoint(plain(distribution) for distribution in distributions.get(name, [name]))
    }
    assert missing == set()
    assert required >= LOADED_BY_NAME


def test_every_package_is_listed_for_the_wheel() -> None:
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    for folder, name in OWN.items():
        for file in (ROOT / folder).rglob("__init__.py"):
            inside = file.parent.relative_to(ROOT / folder).parts
            assert ".".join((name, *inside)) in listed


def test_data_files_are_listed_for_the_wheel() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    for folder, name in OWN.items():
        held = {file for pattern in patterns.get(name, []) for file in (ROOT / folder).glob(pattern)}
        files = {file for file in (ROOT / folder).rglob("*") if file.is_file() and file.suffix != ".py"}
        left_out = {file for file in files - held if "__pycache__" not in file.parts}
        assert left_out == set()

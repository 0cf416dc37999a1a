"""Real files to spoil, and the process that reads them.

``--hypothesis-profile long`` tries a hundred times as many files.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from reading import ReaderProcess

settings.register_profile("long", max_examples=20_000)

if sys.platform != "linux":
    collect_ignore_glob = ["test_*.py"]  # memory is rationed as Linux does it


@pytest.fixture(scope="session")
def process() -> Iterator[ReaderProcess]:
    with ReaderProcess() as process:
        yield process


@pytest.fixture(scope="session")
def real(pytestconfig: pytest.Config) -> Path | None:
    """The folder of real files beside the repository, None where there is none."""
    folder = pytestconfig.rootpath.parent / "shared"
    return folder if (folder / "mfa_run").is_dir() else None

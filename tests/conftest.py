"""Fixtures that all tests share: real speech and weights where at hand, the command line, tiny audio."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real speech and weights beside the repository; tests that need it skip without it."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("no folder 'shared' with real speech beside the repository")
    return folder


@pytest.fixture(scope="session")
def run_cli() -> Callable[..., tuple[int, str, str]]:
    """Run ``layersim ARGUMENTS`` in a process of its own; gives (exit code, stdout, stderr)."""

    def run(arguments: Sequence[str], cwd: Path, timeout: float = 300) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "layersim_cli.main", *arguments],
            cwd=cwd, capture_output=True, text=True, timeout=timeout, encoding="utf-8", check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def write_tone() -> Callable[..., Path]:
    """Write a noisy tone as an audio file: ``write_tone(path, seconds, rate=16000, channels=1, seed=0)``."""

    def write(path: Path, seconds: float, rate: int = 16_000, channels: int = 1, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        times = np.arange(round(seconds * rate)) / rate
        tone = 0.3 * np.sin(2 * np.pi * (120 + 40 * (seed % 7)) * times)
        wave = tone[:, None] + 0.05 * rng.standard_normal((len(times), channels))
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wave.astype("float32"), rate)
        return path

    return write

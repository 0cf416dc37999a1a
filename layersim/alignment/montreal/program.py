"""The program ``mfa``: found, asked for its version, run and listened to. Every command line is built here.

The options are those of MFA 3.0 to 3.4 (https://montreal-forced-aligner.readthedocs.io, and what the
program's own ``--help`` says). MFA 4.0 gives ``mfa align`` another signature: other versions are refused
before anything runs. Parameters without an option of their own (``--language``, ``--output_analysis``) go
behind all others, where MFA reads them as the parameters of its classes.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from layersim.alignment.montreal.models import Models
from layersim.errors import LayersimError
from layersim.workspace import Progress

INSTALL = "conda create -n aligner -c conda-forge montreal-forced-aligner"
SUPPORTED = (3,)  # major versions

_LAST_LINES = 12  # of what MFA said, in an error message
_PATIENCE = 10.0  # seconds that MFA gets to end by itself when it is stopped
# MFA draws its bars with rich, which draws nothing into a pipe unless it is told that this is a terminal, and
# breaks its messages at 80 characters unless it is told how wide that is.
_SURROUNDINGS = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "240", "PYTHONIOENCODING": "utf-8"}
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_FRAME = re.compile(r"[╭╮╰╯│─┃┏┓┗┛]+")
_BAR = re.compile(r"^\s*(\d{1,3})%\s.*?\d+/\d+")
_STEP = re.compile(r"^\s*INFO\s+(?P<text>.*?)(?:\.\.\.)?\s*$")
_PLACE = re.compile(r" to \S*[\\/].*")  # where it writes
_ITERATION = re.compile(r"^(?P<stage>.+?) - Iteration (?P<done>\d+) of (?P<total>\d+)")
_NO_MODEL = re.compile(
    r"Could not find a model named\W+(?P<name>[\w.-]+)\W+for (?P<kind>acoustic|dictionary)"
)


@dataclass(frozen=True)
class Folders:
    """Where MFA reads and writes. No path begins with another's: MFA compares their texts, and refuses."""

    corpus: Path
    output: Path  # TextGrids
    validation: Path  # what mfa validate lists
    checks: Path  # its temporary directory
    scratch: Path  # the temporary directory from which an interrupted run goes on
    model: Path  # the model that is trained
    log: Path  # all that MFA says

    @classmethod
    def below(cls, folder: Path) -> Folders:
        """Lay them out in one folder."""
        names = ("corpus", "output", "validation", "checks", "scratch", "trained.zip", "mfa.log")
        return cls(*(folder.resolve() / name for name in names))


@dataclass(frozen=True)
class Task:
    """What MFA is to do."""

    folders: Folders
    models: Models
    jobs: int
    words_are_separate: bool  # in the transcripts, by spaces; if not, MFA looks for them where it can


@dataclass(frozen=True)
class Program:
    """An MFA of a version whose commands are known."""

    path: str
    version: str

    @classmethod
    def find(cls) -> Program:
        """Find ``mfa`` on PATH.

        Raises
        ------
        LayersimError
            If there is none, it does not run, or its version is not supported.
        """
        path = shutil.which("mfa")
        if path is None:
            raise LayersimError(
                "the Montreal Forced Aligner is not installed: no program 'mfa' on PATH. Install it with "
                f"conda: {INSTALL}; then conda activate aligner, or add that environment's bin folder to "
                "PATH. pip will not do: its package lacks Kaldi. The built-in aligner (--aligner builtin) "
                "needs pip packages only."
            )
        try:
            done = subprocess.run(
                [path, "version"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                encoding="utf-8", errors="replace", check=False,
            )  # fmt: skip
        except OSError as error:
            raise LayersimError(f"{path}: cannot be run: {error}. Install it with conda: {INSTALL}") from None
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["nothing"]
            raise LayersimError(
                f"{path}: does not run (exit code {done.returncode}; it said: {said[-1].strip()}). If it "
                f"came with pip, that will not do: its package lacks Kaldi. Install it with conda: {INSTALL}"
            )
        found = re.search(r"^\s*v?((\d+)\.\d\S*)\s*$", done.stdout, re.MULTILINE)
        if found is None or int(found[2]) not in SUPPORTED:
            what = f"of version {found[1]}" if found else f"of no known version ({done.stdout.strip()!r})"
            raise LayersimError(
                f"{path}: is a Montreal Forced Aligner {what}; supported is 3.x, since 4.0 renames its "
                f"commands. Install one: {INSTALL}=3"
            )
        return cls(path, found[1])

    def validate(self, task: Task, progress: Progress) -> None:
        """Check a corpus: whether MFA can read it, and which of its words the dictionary lacks."""
        folders, models = task.folders, task.models
        arguments = ["validate", str(folders.corpus), models.dictionary]
        if models.acoustic_model is not None:
            arguments += ["--acoustic_model_path", models.acoustic_model]
        arguments += ["--ignore_acoustics", "--output_directory", str(folders.validation)]
        arguments += [*_common(task, folders.checks, clean=True), *_language(task)]
        self._run(arguments, folders.log, progress)
        shutil.rmtree(folders.checks, ignore_errors=True)

    def align(self, task: Task, progress: Progress, clean: bool) -> None:
        """Align a corpus with a pretrained model, or train one on it and align it with that.

        Parameters
        ----------
        clean : bool
            Start anew, or go on from what an interrupted run left.
        """
        folders, models = task.folders, task.models
        common = ["--output_format", "long_textgrid", *_common(task, folders.scratch, clean)]
        if models.acoustic_model is None:
            arguments = ["train", str(folders.corpus), models.dictionary, str(folders.model)]
            arguments += ["--output_directory", str(folders.output), *common, "--output_analysis"]
        else:
            arguments = ["align", str(folders.corpus), models.dictionary, models.acoustic_model]
            arguments += [str(folders.output), *common, *_language(task)]
        self._run(arguments, folders.log, progress)

    def _run(self, arguments: Sequence[str], log: Path, progress: Progress) -> None:
        """Run one command to its end; kill it if this process is interrupted meanwhile."""
        command = arguments[0]
        said: deque[str] = deque(maxlen=200)
        process = subprocess.Popen(
            [self.path, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **_SURROUNDINGS},
            start_new_session=True,  # so that its own processes can be stopped with it
        )  # fmt: skip
        try:
            with log.open("a", encoding="utf-8") as record:
                record.write(f"$ mfa {' '.join(arguments)}\n")
                for line in _listen(_lines(process), f"mfa {command}", progress):
                    said.append(line)
                    record.write(f"{line}\n")
            code = process.wait()
        finally:
            _stop(process)
        if code:
            raise LayersimError(_failure(command, code, said, log))


def _common(task: Task, scratch: Path, clean: bool) -> list[str]:
    cleaning = "--clean" if clean else "--no_clean"
    return ["--temporary_directory", str(scratch), "--num_jobs", str(task.jobs), cleaning]


def _language(task: Task) -> list[str]:
    """Keep MFA from looking for words where they are separate already."""
    return ["--language", "unknown"] if task.words_are_separate else []


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    r"""Yield what a process prints as it comes, in lines that end with ``\n`` or (bars) with ``\r``."""
    if process.stdout is None:
        raise RuntimeError("a process started with a pipe has none")
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    while block := os.read(process.stdout.fileno(), 1 << 16):
        *complete, rest = re.split(r"[\r\n]", rest + decoder.decode(block))
        yield from complete
    yield rest


def _listen(lines: Iterator[str], label: str, progress: Progress) -> Iterator[str]:
    """Turn bars and counted iterations into progress; yield everything else that says something."""
    step, last = "", ("", -1.0)
    for raw in lines:
        line = _ESCAPE.sub("", raw).rstrip()
        if bar := _BAR.match(line):
            now = (step, float(bar[1]))
            if step and now != last:
                progress(f"{label}: {step}", now[1], 100)
                last = now
            continue
        if message := _STEP.match(line):
            if counted := _ITERATION.match(message["text"]):
                progress(f"{label}: {counted['stage']}", int(counted["done"]), int(counted["total"]))
                step = ""  # its bars would only jump to and fro
            else:
                step = _PLACE.sub("", message["text"])
        if line := " ".join(_FRAME.sub(" ", line).split()):
            yield line


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started; do nothing if it has ended."""
    if process.stdout is not None:
        process.stdout.close()
    for urgent in (False, True):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL if urgent else signal.SIGTERM)
            else:
                process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(None if urgent else _PATIENCE)


def _failure(command: str, code: int, said: Sequence[str], log: Path) -> str:
    """Say why a command failed, in MFA's words and, where its words are known, what to do."""
    if missing := _NO_MODEL.search(" ".join(said)):
        what = {"acoustic": "acoustic model", "dictionary": "dictionary"}[missing["kind"]]
        return (
            f"the Montreal Forced Aligner has no {what} named {missing['name']!r}. Download it: mfa model "
            f"download {missing['kind']} {missing['name']}"
        )
    last = "\n  ".join(list(said)[-_LAST_LINES:]) or "(nothing)"
    return f"mfa {command} failed with exit code {code}. It said last:\n  {last}\nAll that it said: {log}"

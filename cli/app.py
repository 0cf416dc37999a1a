"""What every command shares: the app, how results, progress and errors are shown."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from rich.progress import TaskID

    from layersim.workspace import Workspace

ORDER = (
    "init",
    "corpus",
    "align",
    "extract",
    "cache",
    "rank",
    "train",
    "compare",
    "tune",
    "methods",
    "predict",
    "report",
    "demo",
)  # of use


class CommandsInOrder(TyperGroup):
    """Lists the commands in the order in which a study uses them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return sorted(super().list_commands(ctx), key=ORDER.index)


app = typer.Typer(
    name="layersim",
    cls=CommandsInOrder,
    help="Find the layers of a pretrained speech transformer in which two languages share emotion, "
    "and train an emotion model anchored there.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what stands there.")]
Encoder = Annotated[
    str | None, typer.Option("--encoder", help="Checkpoint folder or hub id [layersim.toml: encoder].")
]
Source = Annotated[str | None, typer.Option("--source", help="The labelled corpus [layersim.toml: source].")]
Target = Annotated[str | None, typer.Option("--target", help="The corpus to transfer to [layersim.toml].")]
Emotions = Annotated[
    str | None, typer.Option("--emotions", help="Comma list [all that both corpora have].", metavar="A,B,..")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of all that is drawn at random.")]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="Take over what a method's source states: paper [wccn: paper-DECH, ..]."),
]
Own = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="One method's own setting, such as wccn.smoothing=0.2.", metavar="METHOD.KEY=VALUE"
    ),
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")]


class Result(Protocol):
    """What a stage returns."""

    def to_table(self) -> str:
        """Return it for people."""

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""


def show(result: Result, as_json: bool) -> None:
    """Print a stage's result on stdout: a short table, or exactly one JSON document."""
    if as_json:
        typer.echo(json.dumps(result.to_json(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        typer.echo(result.to_table())


def show_each(results: Iterable[Result], as_json: bool) -> None:
    """Print one result per corpus: a line each, or one JSON list."""
    if as_json:
        documents = [result.to_json() for result in results]
        typer.echo(json.dumps(documents, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        typer.echo("\n".join(result.to_table() for result in results))


def find_workspace(encoder: str | None = None) -> Workspace:
    """Return the workspace of the current folder, with another encoder where a flag names one."""
    from layersim.workspace import Workspace

    workspace = Workspace.find()
    if encoder is not None:
        folder = Path(encoder).expanduser()
        workspace = replace(workspace, encoder=str(folder.resolve()) if folder.is_dir() else encoder)
    return workspace


def comma_list(text: str | None) -> list[str] | None:
    """Split ``anger,sadness``; None stays None."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def method_list(text: str | None) -> list[str] | None:
    """Split ``cc,la:8,9,11,pa`` at the commas between methods; None stays None."""
    words: list[str] = []
    for part in comma_list(text) or []:
        if words and ":" in words[-1] and re.fullmatch(r"d?\d+(\+[a-z-]+)?", part):
            words[-1] += f",{part}"
        else:
            words.append(part)
    return words if text is not None else None


def method_settings(pairs: Iterable[str] | None) -> dict[str, dict[str, Any]]:
    """Read ``--set METHOD.KEY=VALUE`` options; a value is written as in TOML, or is a plain word.

    Raises
    ------
    typer.BadParameter
        If one has no method, key or value, or is given twice.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    found: dict[str, dict[str, Any]] = {}
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        method, dot, key = name.strip().rpartition(".")
        if not (method and dot and key and equals and text):
            raise typer.BadParameter(
                f"--set {pair!r}: expected METHOD.KEY=VALUE, such as wccn.smoothing=0.2."
            )
        if key in found.setdefault(method, {}):
            raise typer.BadParameter(f"--set: {name} is given twice.")
        try:
            found[method][key] = tomlkit.value(text).unwrap()
        except TOMLKitError:
            found[method][key] = text
    return found


def named_values(pairs: Iterable[str], option: str, known: Iterable[str] | None = None) -> dict[str, str]:
    """Read ``NAME=VALUE`` options, each name once.

    Raises
    ------
    typer.BadParameter
        If one has no name or value, is given twice, or names what is not known.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise typer.BadParameter(f"{option} {pair!r}: expected NAME=VALUE.")
        if name in found:
            raise typer.BadParameter(f"{option}: {name!r} is given twice.")
        if known is not None and name not in known:
            raise typer.BadParameter(f"{option} {pair!r}: no --corpus {name}=PATH goes with it.")
        found[name] = value
    return found


def given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the flags that were given."""
    return {name: value for name, value in flags.items() if value is not None}


class StderrProgress:
    """Draw a stage's progress on stderr: a bar on a terminal, else a line now and then.

    Used as ``with StderrProgress() as progress: stage(..., progress=progress)``.
    """

    LINE_EVERY = 10.0  # seconds between lines where no bar can be drawn

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, tuple[float, float]] = {}  # label -> (when, amount done by then)
        self._said: dict[str, float] = {}

    def __enter__(self) -> StderrProgress:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, label: str, done: float, total: float) -> None:
        """Show that ``done`` of ``total`` is done."""
        now = time.monotonic()
        if label not in self._started or done < self._started[label][1]:  # the next corpus's turn
            self._started[label] = now, done
        since, before = self._started[label]
        elapsed = now - since
        rate = (done - before) / elapsed if elapsed > 0.5 else 0.0
        shown = f"{rate:.1f}/s" if rate else ""
        if self._console.is_terminal:
            if label not in self._tasks:
                self._tasks[label] = self._bars.add_task(label, total=total, rate="")
            self._bars.update(self._tasks[label], completed=done, total=total, rate=shown)
        elif now - self._said.setdefault(label, now) >= self.LINE_EVERY:
            self._said[label] = now
            left = f", {shown}, {(total - done) / rate:.0f} s left" if rate else ""
            self._console.print(f"{label}: {done:.0f} of {total:.0f}{left}", highlight=False)


def log_to_stderr() -> None:
    """Send the library's notices to stderr, where they cannot mix with a result."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger = logging.getLogger("layersim")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logging.addLevelName(logging.WARNING, "warning")

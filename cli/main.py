"""The console script ``layersim``."""

from __future__ import annotations

from typing import Annotated

import typer

from layersim import __version__
from layersim.errors import LayersimError, UsageError

from . import (  # noqa: F401 - they add commands
    alignment,
    caching,
    comparing,
    corpora,
    demonstrate,
    extraction,
    ranking,
    reporting,
    training,
    tuning,
)
from .app import app, log_to_stderr


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"layersim {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find the layers in which two languages share emotion, and train an emotion model anchored there.

    A study is a folder made by `layersim init`. In it, run in order:
    layersim align; layersim extract; layersim rank; layersim train --anchors auto; layersim report.
    """


def main() -> None:
    """Run the command line: exit 0 when done, 1 on a data or run error, 2 on a usage error."""
    log_to_stderr()
    try:
        app()
    except LayersimError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2 if isinstance(error, UsageError) else 1) from None


if __name__ == "__main__":
    main()

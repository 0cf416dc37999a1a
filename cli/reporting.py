"""``layersim report``: one HTML page of all that a workspace holds."""

from __future__ import annotations

import typer

from .app import Encoder, app, find_workspace


@app.command()
def report(encoder: Encoder = None) -> None:
    """Write report/index.html: one self-contained page with every figure, result and setting."""
    workspace = find_workspace(encoder)  # before the imports, which take seconds
    from layersim.report.page import write_report

    typer.echo(str(write_report(workspace)))

"""``layersim demo``: the whole job on synthetic speech, with nothing downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import Force, Json, StderrProgress, app, show


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="The workspace to make.")] = Path("layersim-demo"),
    encoder: Annotated[
        str, typer.Option("--encoder", help="Checkpoint folder, hub id, or the one that comes with layersim.")
    ] = "layersim-mini",
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Make two small synthetic corpora (English, Mandarin) and run every stage on them."""
    from layersim.demo.guide import run_demo

    with StderrProgress() as progress:
        result = run_demo(folder, encoder, progress=progress, force=force)
    show(result, as_json)

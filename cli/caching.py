"""``layersim cache``: how far the caches are, and whether they are whole."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import Encoder, Json, StderrProgress, app, find_workspace, show, show_each

cache_app = typer.Typer(
    help="Look at the extracted features: how far they are, whether they are whole.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(cache_app, name="cache")

Corpora = Annotated[
    list[str] | None, typer.Option("--corpus", help="Only this corpus; repeat for more [all].")
]


@cache_app.command()
def status(corpus: Corpora = None, encoder: Encoder = None, as_json: Json = False) -> None:
    """Show each cache's shards, utterances done, left and failed, its size, who is at work, how it was made.

    Also while layersim extract runs, here or on other machines. Without --encoder: of every encoder, and of
    acoustic features.
    """
    from layersim.features.status import cache_status

    workspace = find_workspace(encoder)
    show(cache_status(workspace, corpus, encoder and workspace.encoder), as_json)


@cache_app.command()
def verify(corpus: Corpora = None, encoder: Encoder = None, as_json: Json = False) -> None:
    """Read every cache whole: checksums, NaN, shapes, and utterances against the manifest.

    Exits with 1 if anything is wrong, and says for each file what to do.
    """
    from layersim.features.verify import verify_caches

    workspace = find_workspace(encoder)
    with StderrProgress() as progress:
        reports = verify_caches(workspace, corpus, encoder and workspace.encoder, progress)
    show_each(reports, as_json)
    if any(report.faults for report in reports):
        raise typer.Exit(1)

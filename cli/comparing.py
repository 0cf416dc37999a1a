"""``layersim compare`` and ``layersim methods``: all methods on all pairs, one table."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from .app import (
    Emotions,
    Force,
    Json,
    Own,
    Preset,
    Seed,
    StderrProgress,
    app,
    comma_list,
    find_workspace,
    given,
    method_list,
    method_settings,
    show,
)


@app.command()
def compare(
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods",
            help="Comma list [those of the paper's tables]; see layersim methods.",
            metavar="A,B,..",
        ),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(help="SOURCE:TARGET, comma list [every corpus to every other].", metavar="A:B,.."),
    ] = None,
    encoders: Annotated[
        str | None, typer.Option(help="Checkpoint folders or hub ids, comma list [layersim.toml: encoder].")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="folds (target speakers in turn), splits (the manifests'), or transductive."),
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Speaker-independent folds of the target.")] = None,
    clips: Annotated[
        str | None,
        typer.Option(
            help="Target-data study: so many labelled target utterances, e.g. 0,30,80,150.", metavar="N,N,.."
        ),
    ] = None,
    matrix: Annotated[
        bool | None,
        typer.Option("--matrix/--no-matrix", help="Every corpus with itself too: the upper rows [no]."),
    ] = None,
    emotions: Emotions = None,
    seeds: Annotated[int | None, typer.Option(help="How many runs, each with a seed of its own.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes at a time [one per core].")] = None,
    device: Annotated[
        str | None, typer.Option(help="Of methods that train the encoder: auto, cpu or cuda.")
    ] = None,
    published: Annotated[
        bool,
        typer.Option("--published", help="Print the papers' figures (other corpora) below, for the eye."),
    ] = False,
    preset: Preset = None,
    set_: Own = None,
    seed: Seed = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Compare methods over pairs of corpora, encoders and seeds; goes on where it was stopped."""
    workspace = find_workspace()  # before the imports, which take seconds
    from layersim.adaptation.opening import own_settings
    from layersim.adaptation.settings import TrainConfig
    from layersim.comparison.compare import compare as compare_stage
    from layersim.comparison.settings import CompareConfig
    from layersim.similarity.settings import RankConfig

    flags = given(
        {"methods": method_list(methods), "pairs": comma_list(pairs), "encoders": comma_list(encoders),
         "protocol": protocol, "folds": folds, "clips": comma_list(clips), "matrix": matrix,
         "emotions": comma_list(emotions), "seeds": seeds, "jobs": jobs, "device": device,
         "seed": seed}
    )  # fmt: skip
    own = replace(own_settings(workspace), flags=method_settings(set_), preset=preset)
    with StderrProgress() as progress:
        result = compare_stage(
            workspace,
            workspace.settings(CompareConfig, flags),
            workspace.settings(TrainConfig),
            workspace.settings(RankConfig),
            own,
            progress=progress,
            force=force,
            with_published=published,
        )
    show(result, as_json)


@app.command("methods")
def list_methods(as_json: Json = False) -> None:
    """List the methods that train and compare know, with their own settings and presets."""
    from layersim.adaptation.method_list import describe_methods

    show(describe_methods(), as_json)

"""``layersim tune``: a search for one method's settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from .app import (
    Emotions,
    Encoder,
    Force,
    Json,
    Own,
    Preset,
    Seed,
    Source,
    StderrProgress,
    Target,
    app,
    comma_list,
    find_workspace,
    given,
    method_settings,
    show,
)


@app.command()
def tune(
    method: Annotated[
        str, typer.Argument(help="A method, such as la:auto or wccn; layersim methods lists them.")
    ],
    source: Source = None,
    target: Target = None,
    objective: Annotated[
        str | None,
        typer.Option(help="source-validation (default), entropy, or snd (soft neighbourhood density)."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Finished trials in all, earlier ones counted [30].")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Runs per trial, each with a seed of its own [3].")
    ] = None,
    startup: Annotated[
        int | None, typer.Option(help="Trials before the search learns from what it found [10].")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which no further trial begins [none].")
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            help="What to try: gamma=0.01:1:log, projection=64|128, dropout=0.3 (fixed); repeat for more.",
            metavar="KEY=LOW:HIGH",
        ),
    ] = None,
    preset: Preset = None,
    set_: Own = None,
    emotions: Emotions = None,
    encoder: Encoder = None,
    seed: Seed = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Search for a method's settings, by no target label and no test utterance; goes on where it was stopped.

    Prints lines for layersim.toml and says by what they were chosen. What --set gives is not searched.
    """
    workspace = find_workspace(encoder)  # before the imports, which take seconds
    from layersim.adaptation.opening import own_settings
    from layersim.adaptation.settings import TrainConfig
    from layersim.comparison.settings import TuneConfig
    from layersim.comparison.tuning import tune as tune_stage

    wanted = None if space is None else [word for text in space for word in comma_list(text) or []]
    flags = given(
        {"objective": objective, "trials": trials, "seeds": seeds, "startup": startup, "timeout": timeout,
         "space": wanted, "seed": seed}
    )  # fmt: skip
    settings = workspace.settings(TuneConfig, flags)
    train = workspace.settings(TrainConfig, given({"emotions": comma_list(emotions)}))
    own = replace(own_settings(workspace), flags=method_settings(set_), preset=preset)
    first, second = workspace.pair(source, target)
    with StderrProgress() as progress:
        result = tune_stage(
            workspace, method, settings, train, first, second, own, progress=progress, force=force
        )
    show(result, as_json)

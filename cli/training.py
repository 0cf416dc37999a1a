"""``layersim train`` and ``layersim predict``: an emotion model anchored at the ranked layers."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from .app import (
    Device,
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
    method_list,
    method_settings,
    show,
)


@app.command()
def train(
    anchors: Annotated[
        str | None,
        typer.Option(
            help="auto, auto:phoneme, auto:label-free, best, worst, all, random:SEED, or layers (8,9,11)."
        ),
    ] = None,
    source: Source = None,
    target: Target = None,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods",
            "--method",
            help="Comma list [cc,cc-std,la]; layersim methods lists them.",
            metavar="A,B,..",
        ),
    ] = None,
    gamma: Annotated[float | None, typer.Option(help="Weight of the CORAL loss.")] = None,
    coral: Annotated[str | None, typer.Option(help="frobenius (the anchoring paper) or squared.")] = None,
    standardise: Annotated[
        str | None, typer.Option(help="la: by whose statistics: corpus, speaker, or source (the plain form).")
    ] = None,
    preset: Preset = None,
    set_: Own = None,
    emotions: Emotions = None,
    seeds: Annotated[int | None, typer.Option(help="How many runs, each with a seed of its own.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Most epochs of one run.")] = None,
    finetune: Annotated[
        str | None,
        typer.Option(
            help="la, wccn: train the encoder itself: full (all weights) or lora (adapters; la).",
            metavar="full|lora",
        ),
    ] = None,
    encoder: Encoder = None,
    device: Annotated[str | None, typer.Option(help="With --finetune: auto, cpu or cuda.")] = None,
    seed: Seed = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Train on the labelled source, tied to the unlabelled target at the anchored layers.

    On several processes: torchrun --nproc-per-node 8 $(which layersim) train ...
    """
    workspace = find_workspace(encoder)  # before the imports, which take seconds
    from layersim.adaptation.distributed import join_processes, leave
    from layersim.adaptation.opening import own_settings
    from layersim.adaptation.train import TrainConfig
    from layersim.adaptation.train import train as train_stage
    from layersim.workspace import no_progress

    flags = given(
        {"anchors": anchors, "methods": method_list(methods), "gamma": gamma, "coral": coral,
         "standardise": standardise, "emotions": comma_list(emotions), "seeds": seeds, "epochs": epochs,
         "seed": seed}
    )  # fmt: skip
    settings = workspace.settings(TrainConfig, flags)
    first, second = workspace.pair(source, target)
    own = replace(own_settings(workspace), flags=method_settings(set_), preset=preset)
    if device is not None and finetune is None:
        raise typer.BadParameter("--device goes with --finetune; small networks are trained on the CPU.")
    with join_processes() as processes, StderrProgress() as bar:
        progress = bar if processes.leads else no_progress
        if not processes.leads:  # one says it for all
            logging.getLogger("layersim").setLevel(logging.ERROR)
        if finetune is None:
            result = train_stage(
                workspace, settings, first, second, own=own, progress=progress, force=force,
                processes=processes,
            )  # fmt: skip
        else:
            from layersim.adaptation.finetune.stage import finetune as finetune_stage

            result = finetune_stage(
                workspace, settings, first, second, finetune, own=own, device=device or "auto",
                progress=progress, force=force, processes=processes,
            )  # fmt: skip
        if processes.leads:
            show(result, as_json)
    if processes.size > 1:
        leave()


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A trained model.safetensors, or its folder.")],
    audio: Annotated[list[Path], typer.Argument(help="Recordings to label.")],
    encoder: Encoder = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Label new recordings: one line a file, the emotion and its probability."""
    from layersim.adaptation.predict import predict as predict_stage

    with StderrProgress() as progress:
        predictions = predict_stage(model, audio, encoder=encoder, device=device or "auto", progress=progress)
    if as_json:
        typer.echo(predictions.to_json(orient="records", force_ascii=False))
    else:
        typer.echo(predictions.to_csv(index=False, float_format="%.3f").rstrip("\n"))

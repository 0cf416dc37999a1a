"""``layersim align``: when each word and phone is spoken."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import Device, Force, Json, Seed, StderrProgress, app, find_workspace, given, show_each

if TYPE_CHECKING:
    from layersim.alignment.machine_text import Transcriber


@app.command()
def align(
    corpus: Annotated[
        list[str] | None,
        typer.Option(help="Only this corpus; repeat for more [all that name no alignments of their own]."),
    ] = None,
    aligner: Annotated[
        str | None,
        typer.Option(help="mfa, builtin, or auto (default: mfa if it is installed, else builtin)."),
    ] = None,
    dictionary: Annotated[
        str | None, typer.Option(help="Pronunciations: a file in MFA's format, or one of MFA's by name.")
    ] = None,
    acoustic_model: Annotated[str | None, typer.Option(help="One of MFA's models, or a file.")] = None,
    transcribe: Annotated[
        str | None, typer.Option(help="Whisper checkpoint that writes the texts that are missing.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes at once [all cores].")] = None,
    device: Device = None,
    seed: Seed = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Find the times of every word and phone from recordings and texts: TextGrids and tables.

    Can be killed at any time: the next run goes on where it stopped. Needs no download: without the Montreal
    Forced Aligner, a model is trained on the corpus itself.
    """
    workspace = find_workspace()  # before the imports, which take seconds
    from layersim.alignment.align import AlignConfig
    from layersim.alignment.align import align as align_stage

    flags = given(
        {"aligner": aligner, "dictionary": _file_or_name(dictionary),
         "acoustic_model": _file_or_name(acoustic_model), "transcribe": _file_or_name(transcribe),
         "jobs": jobs, "device": device, "seed": seed}
    )  # fmt: skip
    settings = workspace.settings(AlignConfig, flags)
    with StderrProgress() as progress:
        results = align_stage(
            workspace, settings, corpus, load_transcriber=_load_transcriber, progress=progress, force=force
        )
    show_each(results, as_json)


def _file_or_name(given_as: str | None) -> str | None:
    """Make what exists here absolute: the stage looks from the workspace on."""
    path = None if given_as is None else Path(given_as).expanduser()
    return str(path.resolve()) if path is not None and path.is_file() else given_as


def _load_transcriber(checkpoint: str, device: str) -> Transcriber:
    from layersim.encoders.transcribe import load_transcriber

    return load_transcriber(checkpoint, device)

"""``layersim extract``: hidden states of every layer into the HDF5 cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import (
    Device,
    Encoder,
    Force,
    Json,
    Seed,
    StderrProgress,
    app,
    comma_list,
    find_workspace,
    given,
    show_each,
)

if TYPE_CHECKING:
    from layersim.features.acoustic.extract import AcousticResult
    from layersim.features.result import ExtractResult
    from layersim.features.share import ShareResult
    from layersim.workspace import Workspace


@app.command()
def extract(
    corpus: Annotated[list[str] | None, typer.Option(help="Only this corpus; repeat for more [all].")] = None,
    encoder: Encoder = None,
    limit: Annotated[
        int | None, typer.Option(help="Only N utterances a corpus, balanced over speakers and emotions.")
    ] = None,
    store: Annotated[str | None, typer.Option(help="pooled (default) or frames (large).")] = None,
    phones: Annotated[str | None, typer.Option(help="Which aligned phones to pool: vowels or all.")] = None,
    middle: Annotated[
        bool | None,
        typer.Option("--middle/--no-middle", help="Pool the middle third of each phone too [no]."),
    ] = None,
    stack: Annotated[str | None, typer.Option(help="Whisper: encoder, decoder or both.")] = None,
    whisper_window: Annotated[
        str | None,
        typer.Option(help="Whisper: full (30 s; default) or trim (as long as the audio: other features)."),
    ] = None,
    device: Device = None,
    precision: Annotated[str | None, typer.Option(help="fp32 (default), bf16 or fp16.")] = None,
    acoustic: Annotated[
        str | None,
        typer.Option(
            metavar="SET,..",
            help="Acoustic features instead: comma list of egemaps, emobase (openSMILE), sequences.",
        ),
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="local (default), or ray: the workers of a cluster make the shards.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Ray's head, HOST:PORT, or auto [a Ray of this machine alone].", metavar="HOST:PORT"
        ),
    ] = None,
    seed: Seed = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Leave out recordings that fail, list them, exit with 1.")
    ] = False,
    num_shards: Annotated[
        int | None, typer.Option(help="Divide the work among K processes; this is one.", metavar="K")
    ] = None,
    shard: Annotated[int | None, typer.Option(help="Which of the K this is, from 0 on.", metavar="I")] = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Run the encoder over every corpus and cache all its layers, pooled over utterances and phones.

    Can be killed at any time: the next run goes on where it stopped. --force replaces caches that were made
    otherwise; one that was made the same way is kept (delete its folder to make it anew). --keep-going
    finishes what can be finished: later stages leave out the recordings that failed, the next run tries them
    again. --acoustic makes the features that classical methods and small convolutional networks read; no
    encoder runs. --num-shards K --shard I makes every K-th file of every cache, so that the jobs of an array
    can share the work on a common file system; none needs to know of the others.
    """
    workspace = find_workspace(encoder)  # before the imports, which take seconds
    from layersim.features.extract import ExtractConfig, extract_share
    from layersim.features.extract import extract as extract_stage
    from layersim.features.share import Share

    share = Share.from_flags(num_shards, shard)

    flags = given(
        {"limit": limit, "store": store, "phones": phones, "middle": middle, "stack": stack,
         "whisper_window": whisper_window, "device": device, "precision": precision, "seed": seed,
         "engine": engine, "address": address}
    )  # fmt: skip
    if acoustic is not None:
        if share is not None:
            flags |= {"num-shards": num_shards, "shard": shard}
        _extract_acoustic(workspace, comma_list(acoustic) or [], corpus, flags, as_json, force, keep_going)
        return
    settings = workspace.settings(ExtractConfig, flags)
    with StderrProgress() as progress:
        if share is not None:
            parts = extract_share(workspace, settings, share, corpus, progress, force, keep_going=keep_going)
            _show_extracted(parts, as_json)
            return
        results = extract_stage(
            workspace, settings, corpus, progress=progress, force=force, keep_going=keep_going
        )
    _show_extracted(results, as_json)


def _extract_acoustic(
    workspace: Workspace,
    sets: list[str],
    corpora: list[str] | None,
    flags: dict[str, Any],
    as_json: bool,
    force: bool,
    keep_going: bool,
) -> None:
    from layersim.errors import UsageError
    from layersim.features.acoustic.extract import extract_acoustic

    if flags:
        strange = ", ".join(f"--{name.replace('_', '-')}" for name in flags)
        raise UsageError(f"{strange} is about the encoder's features: leave it out with --acoustic.")
    with StderrProgress() as progress:
        results = [
            result
            for name in sets
            for result in extract_acoustic(workspace, name, corpora, progress, force, keep_going)
        ]
    _show_extracted(results, as_json)


def _show_extracted(results: Sequence[ExtractResult | ShareResult | AcousticResult], as_json: bool) -> None:
    """Print the results; exit with 1 where utterances have failed."""
    show_each(results, as_json)
    if any(result.failed for result in results):
        raise typer.Exit(1)

"""``layersim rank``: which layers hold emotion that two corpora share."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import (
    Emotions,
    Encoder,
    Force,
    Json,
    Seed,
    Source,
    StderrProgress,
    Target,
    app,
    comma_list,
    find_workspace,
    given,
    show,
)


@app.command()
def rank(
    level: Annotated[str | None, typer.Option(help="utterance (default) or phoneme (vowels).")] = None,
    label_free: Annotated[
        bool | None,
        typer.Option("--label-free/--no-label-free", help="Compare vowels: reads no emotion label [no]."),
    ] = None,
    source: Source = None,
    target: Target = None,
    metric: Annotated[str | None, typer.Option(help="pairwise or centroid.")] = None,
    features: Annotated[str | None, typer.Option(help="raw, centred or zscored.")] = None,
    paper: Annotated[
        bool | None, typer.Option("--paper/--no-paper", help="The paper's plain form: pairwise, raw [no].")
    ] = None,
    emotions: Emotions = None,
    vowels: Annotated[
        str | None, typer.Option(help="Phoneme level: comma list [all shared].", metavar="A,I,..")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Phoneme level: vowels (default) or consonants (extract --phones all).")
    ] = None,
    middle: Annotated[
        bool | None,
        typer.Option("--middle/--no-middle", help="Phoneme level: middle third (extract --middle)."),
    ] = None,
    min_frames: Annotated[
        int | None, typer.Option(help="Phoneme level: leave out segments of fewer frames.")
    ] = None,
    speaker_cap: Annotated[
        int | None, typer.Option(help="Phoneme level: segments a speaker counts in a cell at most; 0: all.")
    ] = None,
    bootstraps: Annotated[int | None, typer.Option(help="Speaker bootstrap replicates.")] = None,
    permutations: Annotated[int | None, typer.Option(help="Label permutations of the null.")] = None,
    encoder: Encoder = None,
    seed: Seed = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Rank layers by how alike two corpora's emotions (or vowels) are in them."""
    workspace = find_workspace(encoder)  # before the imports, which take seconds
    from layersim.similarity.rank import RankConfig
    from layersim.similarity.rank import rank as rank_stage

    flags = given(
        {"level": level, "label_free": label_free, "metric": metric, "features": features,
         "paper": paper, "emotions": comma_list(emotions), "vowels": comma_list(vowels),
         "classes": classes, "middle": middle, "min_frames": min_frames,
         "speaker_cap": speaker_cap, "bootstraps": bootstraps, "permutations": permutations, "seed": seed}
    )  # fmt: skip
    settings = workspace.settings(RankConfig, flags)
    first, second = workspace.pair(source, target)
    with StderrProgress() as progress:
        ranking = rank_stage(workspace, settings, first, second, progress=progress, force=force)
    show(ranking, as_json)

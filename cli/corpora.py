"""``layersim init`` and ``layersim corpus``: from folders of recordings to checked manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import Force, Json, StderrProgress, app, find_workspace, named_values, show

corpus_app = typer.Typer(help="Import and check corpora.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(corpus_app, name="corpus")

NAMED = "NAME=VALUE"


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The workspace to make.")],
    corpus: Annotated[
        list[str], typer.Option(help="A corpus and its folder; twice or more.", metavar="NAME=PATH")
    ],
    encoder: Annotated[
        str | None,
        typer.Option(help="Checkpoint folder or hub id [layersim-mini: small, comes along, for trying]."),
    ] = None,
    alignments: Annotated[
        list[str], typer.Option(help="Phone times: TextGrids, MFA json/csv, a table.", metavar="NAME=PATH")
    ] = [],  # noqa: B006 - typer copies it
    phone_set: Annotated[
        list[str], typer.Option(help="Phone set of the alignments, or a csv [detected].", metavar=NAMED)
    ] = [],  # noqa: B006
    layout: Annotated[list[str], typer.Option(help="Corpus layout [detected].", metavar=NAMED)] = [],  # noqa: B006
    label_map: Annotated[
        list[str], typer.Option(help="Your own label map (TOML).", metavar="NAME=FILE")
    ] = [],  # noqa: B006
    columns: Annotated[
        list[str],
        typer.Option(help="Columns of a plain table: emotion:label,path:file,...", metavar=NAMED),
    ] = [],  # noqa: B006
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Make a workspace: import the corpora, write their manifests and layersim.toml."""
    folders = named_values(corpus, "--corpus")
    if len(folders) < 2:
        raise typer.BadParameter("--corpus: give two, as --corpus NAME=PATH --corpus NAME=PATH.")
    times = named_values(alignments, "--alignments", folders)
    phone_sets = named_values(phone_set, "--phone-set", times)
    layouts = named_values(layout, "--layout", folders)
    maps = named_values(label_map, "--label-map", folders)
    tables = named_values(columns, "--columns", folders)
    from layersim.study import CorpusSource, create_study

    sources = {
        name: CorpusSource(
            folder=Path(path),
            layout=layouts.get(name),
            columns=_column_map(tables[name]) if name in tables else None,
            label_map=Path(maps[name]) if name in maps else None,
            alignments=Path(times[name]) if name in times else None,
            phone_set=phone_sets.get(name),
        )
        for name, path in folders.items()
    }
    with StderrProgress() as progress:
        study = create_study(folder, sources, encoder, progress=progress, force=force)
    show(study, as_json)
    if not as_json:
        typer.echo(f"Next: cd {folder} && layersim extract", err=True)
        if any(name not in times for name in folders):
            typer.echo("For the phoneme level, before that: layersim align", err=True)


@corpus_app.command("import")
def import_(
    name: Annotated[str, typer.Argument(help="The corpus's name, for example emodb.")],
    folder: Annotated[Path, typer.Argument(help="The folder that holds it.")],
    out: Annotated[Path, typer.Option("--out", help="The manifest to write (csv).")],
    layout: Annotated[str | None, typer.Option(help="Corpus layout [detected].")] = None,
    label_map: Annotated[Path | None, typer.Option(help="Your own label map (TOML).")] = None,
    columns: Annotated[str | None, typer.Option(help="Columns of a plain table: emotion:label,...")] = None,
    force: Force = False,
) -> None:
    """Turn one corpus folder into a manifest."""
    from layersim.corpus.importers import import_corpus
    from layersim.corpus.manifest import write_manifest
    from layersim.errors import LayersimError

    if out.exists() and not force:
        raise LayersimError(f"{out} exists. Replace it with --force, or name another file.")
    found = import_corpus(name, folder, layout, _column_map(columns) if columns else None, label_map)
    write_manifest(found.manifest, out)
    typer.echo(f"{out}: {len(found.manifest)} utterances ({found.layout}); audio root {found.audio_root}")
    for note in found.notes:
        typer.echo(note, err=True)


@corpus_app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Corpora of this workspace [all].")] = None,
    as_json: Json = False,
) -> None:
    """Print utterances, speakers, hours, emotions, sentence overlap between splits, and every fault."""
    import json

    from layersim.corpus.check import check_corpus
    from layersim.corpus.recordings import read_corpus_manifest

    workspace = find_workspace()
    reports = {}
    with StderrProgress() as progress:
        for name in names or list(workspace.corpora):
            entry = workspace.corpus(name)
            reports[name] = check_corpus(
                read_corpus_manifest(name, entry), entry.audio_root, progress, entry.outside_audio_root
            )
    if as_json:
        documents = {name: report.to_json() for name, report in reports.items()}
        typer.echo(json.dumps(documents, indent=1, ensure_ascii=False))
    else:
        typer.echo("\n\n".join(report.to_table() for report in reports.values()))
    if any(report.faults for report in reports.values()):
        raise typer.Exit(1)


def _column_map(text: str) -> dict[str, str]:
    """Read ``emotion:label,path:file`` as manifest column -> table column."""
    found = {}
    for part in text.split(","):
        column, colon, theirs = part.partition(":")
        if not (column and colon and theirs):
            raise typer.BadParameter(f"--columns {part!r}: expected COLUMN:THEIRS, as in emotion:label.")
        found[column.strip()] = theirs.strip()
    return found

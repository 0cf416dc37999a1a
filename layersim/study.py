"""Start a study: import corpora, write their manifests, and the ``layersim.toml`` that names them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layersim.alignment.phone_set import load_phone_set
from layersim.alignment.readers import read_alignments
from layersim.alignment.vowels import detect_phone_set
from layersim.corpus.importers import ImportResult, import_corpus
from layersim.corpus.manifest import shared_emotions, write_manifest
from layersim.encoders.checkpoint import EMBEDDED
from layersim.errors import LayersimError
from layersim.settings import FILE_NAME
from layersim.workspace import CorpusEntry, Progress, Workspace, no_progress

logger = logging.getLogger(__name__)

MINIMUM_COVERAGE = 0.5  # a phone set that explains fewer than half of the labels is the wrong one


@dataclass(frozen=True)
class CorpusSource:
    """Where one corpus of a study comes from, and how to read it where that cannot be seen."""

    folder: Path
    layout: str | None = None  # None: recognised from the folder
    columns: Mapping[str, str] | None = None  # manifest column -> the table's column
    label_map: Path | None = None
    alignments: Path | None = None
    phone_set: str | None = None  # None: the built-in set that covers most of the labels


@dataclass(frozen=True)
class Study:
    """A new workspace and what was found on the way."""

    workspace: Workspace
    imports: dict[str, ImportResult]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return what was imported, as one JSON document."""
        return {
            "workspace": str(self.workspace.root),
            "encoder": self.workspace.encoder,
            "source": self.workspace.source,
            "target": self.workspace.target,
            "corpora": {
                name: {
                    "layout": found.layout,
                    "utterances": len(found.manifest),
                    "speakers": int(found.manifest["speaker"].nunique()),
                    "emotions": {str(k): int(v) for k, v in found.manifest["emotion"].value_counts().items()},
                    "unmapped_labels": found.unmapped,
                    "phone_set": self.workspace.corpora[name].phone_set,
                    "notes": found.notes,
                }
                for name, found in self.imports.items()
            },
            "notes": self.notes,
        }

    def to_table(self) -> str:
        """Return a line per corpus, the notes, and what to run next."""
        lines = [f"{self.workspace.root / FILE_NAME}"]
        for name, entry in self.to_json()["corpora"].items():
            emotions = ", ".join(f"{emotion} {count}" for emotion, count in sorted(entry["emotions"].items()))
            lines.append(
                f"  {name} ({entry['layout']}): {entry['utterances']} utterances, "
                f"{entry['speakers']} speakers; {emotions}"
            )
            lines += [f"    {note}" for note in entry["notes"]]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)


def create_study(
    root: Path,
    corpora: Mapping[str, CorpusSource],
    encoder: str | None = None,
    *,
    progress: Progress = no_progress,
    force: bool = False,
) -> Study:
    """Import every corpus and write ``root/layersim.toml`` and ``root/manifests/*.csv``.

    Parameters
    ----------
    encoder : str, optional
        A hub id, or the folder of a checkpoint. Without it, the small encoder that comes with layersim, for
        trying things out; the study's notes say so.

    Raises
    ------
    LayersimError
        If the workspace exists (without ``force``), a folder holds no known corpus, two corpora share
        no emotion, or alignments name unknown utterances or phones.
    """
    if (root / FILE_NAME).exists() and not force:
        raise LayersimError(f"{root / FILE_NAME} exists. Choose another folder, or replace it with --force.")
    encoder = encoder_name(EMBEDDED if encoder is None else encoder)
    imports, entries, notes = {}, {}, []
    for count, (name, source) in enumerate(corpora.items()):
        progress("importing", count, len(corpora))
        found = import_corpus(name, source.folder, source.layout, source.columns, source.label_map)
        imports[name] = found
        phone_set = None
        if source.alignments is not None:
            phone_set, said = _choose_phone_set(name, source, found, progress)
            notes += said
        entries[name] = CorpusEntry(
            manifest=root / "manifests" / f"{name}.csv",
            audio_root=found.audio_root.resolve(),
            alignments=source.alignments.resolve() if source.alignments else None,
            phone_set=phone_set,
        )
    progress("importing", len(corpora), len(corpora))
    if encoder == EMBEDDED:
        notes.append(
            f"encoder {encoder}: a small one for demonstration that comes with layersim. For research name a "
            "checkpoint in layersim.toml or with --encoder, such as microsoft/wavlm-base-plus or "
            "openai/whisper-base."
        )
    names = list(imports)
    for other in names[1:]:
        if not shared_emotions(imports[names[0]].manifest, imports[other].manifest):
            raise LayersimError(
                f"corpora {names[0]} and {other} share no emotion after their label maps. "
                "Check the maps (--label-map NAME=FILE)."
            )
    for name, found in imports.items():
        write_manifest(found.manifest, entries[name].manifest)
    return Study(Workspace.create(root, encoder, entries, force), imports, notes)


def encoder_name(encoder: str) -> str:
    """Return what layersim.toml calls an encoder: a folder by its whole path, a hub id as it is.

    Raises
    ------
    LayersimError
        If it is a path, and there is no such folder.
    """
    folder = Path(encoder).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if encoder.startswith((".", "/", "~")) or encoder.count("/") > 1:
        raise LayersimError(f"encoder {encoder}: no such folder. Give a checkpoint's folder or a hub id.")
    return encoder


def _choose_phone_set(
    name: str, source: CorpusSource, found: ImportResult, progress: Progress
) -> tuple[str, list[str]]:
    """Return the phone set of a corpus's alignments, and what a user should know about them."""
    alignments = source.alignments
    if alignments is None:
        raise ValueError("the corpus has no alignments")
    result = read_alignments(alignments, list(found.manifest["utterance_id"]), progress)
    notes = [f"{name}: {note}" for note in result.notes]
    if result.missing:
        notes.append(f"{name}: {len(result.missing)} utterances have no alignment in {alignments.name}")
    if source.phone_set:
        load_phone_set(source.phone_set)  # an unknown one is an error here, not at extraction
        file = Path(source.phone_set).expanduser()
        return str(file.resolve()) if file.is_file() else source.phone_set, notes
    phone_set, coverage = detect_phone_set(result.phones["phone"])
    if coverage < MINIMUM_COVERAGE:
        raise LayersimError(
            f"{alignments}: no built-in phone set covers these labels (best: {phone_set}, "
            f"{coverage:.0%}). Name one, or a file of your own: --phone-set {name}=SET."
        )
    notes.append(f"{name}: phone set {phone_set} (covers {coverage:.1%} of {len(result.phones)} phones)")
    return phone_set, notes

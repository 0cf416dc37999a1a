"""From a corpus folder to a manifest, by the corpus's real naming scheme.

`import_corpus` recognises the layout, reads the rows, maps the labels, and splits by speaker. Nothing is
skipped silently: what does not become an utterance is counted and listed in ``notes``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import pandas as pd

from layersim.corpus.folder import AudioFiles, Reading, Row, find_audio, listed, without_suffix
from layersim.corpus.iemocap import read_iemocap
from layersim.corpus.labels import apply_label_map, label_map, plain_name
from layersim.corpus.layouts import (
    Casia,
    CremaD,
    EmoDb,
    Emovo,
    Esd,
    EsdEnglish,
    EsdMandarin,
    NamedFiles,
    Ravdess,
    read_named_files,
)
from layersim.corpus.manifest_rows import COLUMNS
from layersim.corpus.podcast import LABELS, read_podcast
from layersim.corpus.splits import Fold, apply_fold, assign_splits, folds
from layersim.corpus.table import METADATA, find_table, read_table
from layersim.errors import LayersimError

logger = logging.getLogger(__name__)

_NAMED: dict[str, type[NamedFiles]] = {
    "emodb": EmoDb,
    "ravdess": Ravdess,
    "esd": Esd,
    "esd-zh": EsdMandarin,
    "esd-en": EsdEnglish,
    "casia": Casia,
    "crema-d": CremaD,
    "emovo": Emovo,
}
LAYOUTS = (*_NAMED, "iemocap", "msp-podcast", "biic-podcast", "table")
_FOLDED = {"emodb": "emodb", "ravdess": "ravdess", "esd": "esd", "esdzh": "esd"}  # plain name -> its folds


@dataclass(frozen=True)
class ImportResult:
    """A corpus as layersim works with it, and everything that was noticed on the way."""

    manifest: pd.DataFrame
    audio_root: Path
    layout: str
    unmapped: dict[str, int]  # labels outside the label map -> number of utterances left out
    notes: list[str] = field(default_factory=list)


def import_corpus(
    name: str,
    folder: Path,
    layout: str | None = None,
    columns: Mapping[str, str] | None = None,
    label_map_file: Path | None = None,
) -> ImportResult:
    """Turn a corpus folder into a manifest.

    Parameters
    ----------
    name : str
        The corpus's name in manifests and caches: letters, digits, ``.``, ``_`` and ``-``.
    folder : Path
        The folder of the corpus, or a table in it.
    layout : str, optional
        One of `LAYOUTS`. Without it: ``table`` if there is a ``metadata.csv``, else the layout of the
        corpus's name, else what the files look like.
    columns : mapping, optional
        For tables: manifest column to the table's column.
    label_map_file : Path, optional
        A label map of the user's own.

    Returns
    -------
    ImportResult
        The splits are the corpus's own where it has them and they keep speakers apart, else fold 1 of the
        known folds, else drawn by speaker; ``notes`` says which.

    Raises
    ------
    LayersimError
        If the folder, layout, table or label map is wrong, or no utterance is found.
    """
    if not re.fullmatch(r"\w[\w.\-]*", name):
        raise LayersimError(f"corpus name {name!r}: use letters, digits, '.', '_' and '-' only.")
    if not folder.exists():
        raise LayersimError(f"{folder}: no such folder. Give the folder of corpus {name}.")
    table = folder if folder.is_file() else None
    root = folder.parent if table else folder
    files = find_audio(root)
    chosen = _choose_layout(name, folder, files, layout, columns)
    if chosen == "table":
        table = table or find_table(root)
        if table is None:
            raise LayersimError(
                f"{root}: no {METADATA}, and not exactly one other csv. Name the table itself."
            )
        reading = read_table(table, files, columns, name)
    else:
        reading = _read(chosen, root, files)
    manifest, repeated = _first_of_each(reading.rows)
    reading.left_out["files or rows that repeat another utterance's name"] = repeated
    notes = reading.notes + [listed(reason, left) for reason, left in reading.left_out.items() if left]
    if manifest.empty:
        raise LayersimError(
            f"{folder}: no utterance of corpus {name} found (layout {chosen}). "
            f"Looked for {reading.looked_for}; found {_seen(files)}."
            + "".join(f"\n  {note}" for note in notes)
            + f"\nCheck the folder, or name the layout: {', '.join(LAYOUTS)}."
        )
    labels = list(dict.fromkeys(manifest["source_label"]))
    manifest, unmapped = apply_label_map(manifest, label_map(reading.label_map or name, label_map_file))
    if unmapped:
        counts = ", ".join(f"{label!r} {count}" for label, count in unmapped.items())
        notes.append(f"utterances with labels outside the label map ({sum(unmapped.values())}): {counts}")
    if manifest.empty:
        raise LayersimError(
            f"{folder}: none of the labels is in the label map of corpus {name}: "
            f"{', '.join(map(repr, labels[:10]))}. Write a map of your own, in the form of "
            "data_manifests/label_maps/emodb.toml, and name it with --label-map."
        )
    manifest.insert(0, "corpus", name)
    manifest, said = _split(manifest, name, chosen)
    notes.append(said)
    kept = [*COLUMNS, *(["gender"] if (manifest["gender"] != "").any() else [])]
    for note in notes:
        logger.info("%s: %s", name, note)
    return ImportResult(manifest[kept], root, chosen, unmapped, notes)


def _choose_layout(
    name: str, folder: Path, files: AudioFiles, layout: str | None, columns: Mapping[str, str] | None
) -> str:
    by_name = {plain_name(known): known for known in LAYOUTS}
    if layout is not None:
        if plain_name(layout) not in by_name:
            raise LayersimError(f"corpus {name}: no layout {layout!r}. Known: {', '.join(LAYOUTS)}.")
        chosen = by_name[plain_name(layout)]
        if columns and chosen != "table":
            raise LayersimError(f"corpus {name}: columns belong to the layout table, not to {chosen}.")
        return chosen
    if columns or folder.is_file() or (folder / METADATA).is_file():
        return "table"
    if plain_name(name) in by_name:
        return by_name[plain_name(name)]
    return _recognise(name, folder, files)


def _recognise(name: str, folder: Path, files: AudioFiles) -> str:
    """Tell the layout from the files: the scheme that at least half of the audio files fit."""
    stems = [without_suffix(path) for path in files.paths]
    if any(folder.rglob(LABELS)):
        for corpus in ("msp", "biic"):
            if any(corpus in stem.casefold() for stem in stems):
                return f"{corpus}-podcast"
    if any(folder.rglob("dialog/EmoEvaluation/*.txt")):
        return "iemocap"
    fitting = {
        layout: sum(bool(known.pattern.search(stem)) for stem in stems) for layout, known in _NAMED.items()
    }
    best = max(fitting, key=fitting.__getitem__)
    if stems and fitting[best] * 2 >= len(stems):
        return best
    if find_table(folder):
        return "table"
    raise LayersimError(
        f"{folder}: the layout of corpus {name} is not recognised ({_seen(files)}). Name it (one of "
        f"{', '.join(LAYOUTS)}), or describe the corpus in a {METADATA} with path, speaker and emotion."
    )


def _seen(files: AudioFiles) -> str:
    return listed("audio files", files.paths) if files.paths else "no audio files"


def _read(layout: str, folder: Path, files: AudioFiles) -> Reading:
    if layout == "iemocap":
        return read_iemocap(folder, files)
    if layout in ("msp-podcast", "biic-podcast"):
        return read_podcast(folder, files, layout)
    reading = read_named_files(_NAMED[layout], folder, files)
    reading.label_map = "esd" if layout.startswith("esd") else layout
    if len(languages := sorted({row.language for row in reading.rows})) > 1:
        reading.notes.append(
            f"languages {' and '.join(languages)}: for one alone, name the layout esd-zh or esd-en"
        )
    return reading


def _first_of_each(rows: list[Row]) -> tuple[pd.DataFrame, list[str]]:
    """Make a table of the rows; of those with the same name the first is taken, the others are listed."""
    taken: dict[str, Row] = {}
    repeated = []
    for row in rows:
        _require_utf8(row.path)
        if taken.setdefault(row.utterance_id, row) is not row:
            repeated.append(row.path)
    columns = [column.name for column in fields(Row)]
    return pd.DataFrame([vars(row) for row in taken.values()], columns=columns), repeated


def _require_utf8(path: str) -> None:
    """Refuse a file name that is no UTF-8: a column of text cannot hold it, nor can a manifest.

    Raises
    ------
    LayersimError
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise LayersimError(f"{path!r}: the name is not UTF-8. Rename the audio file.") from None


def _split(manifest: pd.DataFrame, name: str, layout: str) -> tuple[pd.DataFrame, str]:
    """Give every utterance its split, speakers kept apart; say where it comes from."""
    if (manifest["split"] != "").any():
        return _keep_speakers_apart(manifest)
    corpus = _FOLDED.get(plain_name(layout)) or _FOLDED.get(plain_name(name))
    if corpus is None:
        return assign_splits(manifest), "splits drawn by speaker (60/20/20)"
    known = {s for fold in folds(corpus) for s in (*fold.validation_speakers, *fold.test_speakers)}
    present = set(manifest["speaker"])
    first = folds(corpus)[0]
    fold = Fold(
        tuple(speaker for speaker in first.validation_speakers if speaker in present),
        tuple(speaker for speaker in first.test_speakers if speaker in present),
    )
    training = known.difference(fold.validation_speakers, fold.test_speakers)
    if not (fold.validation_speakers and fold.test_speakers and training & present):
        said = f"splits drawn by speaker (60/20/20): a part of fold 1 of {corpus} has no speaker here"
        return assign_splits(manifest), said
    inside = manifest["speaker"].isin(known)
    whole = apply_fold(manifest[inside], fold)
    said = f"splits: fold 1 of {corpus}"
    if absent := sorted(known - present):
        said += f", without the speakers {', '.join(absent)}"
    if not inside.all():
        others = manifest.loc[~inside, "speaker"].nunique()
        whole = pd.concat([whole, assign_splits(manifest[~inside])]).sort_index()
        said += f"; speakers that it does not name ({others}): drawn by speaker (60/20/20)"
    return whole.reset_index(drop=True), said


def _keep_speakers_apart(manifest: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Take the corpus's splits; a speaker found in several stays in the test set, else in validation.

    What the speaker said in the other splits gets no split, and so is not used in training: the published
    test set stays whole.
    """
    split = manifest["split"].copy()
    removed = 0
    for _, own in split[split != ""].groupby(manifest["speaker"]):
        kept = next(part for part in ("test", "validation", "train") if part in set(own))
        elsewhere = own.index[own != kept]
        split.loc[elsewhere] = ""
        removed += len(elsewhere)
    manifest = manifest.assign(split=split)
    said = "splits: the corpus's own"
    if removed:
        said += f"; utterances of speakers who are also in a later split are in none ({removed})"
    absent = sorted({"train", "validation", "test"} - set(split))
    return manifest, said + (f"; no utterance is in {' or '.join(absent)}" if absent else "")

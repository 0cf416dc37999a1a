"""The manifest: one utterance a row, joined with everything else by its key ``corpus/utterance_id``.

Conventions
-----------
- Columns are those of `COLUMNS`, in that order, then ``gender`` where it is known. Text is ``""`` where
  nothing is known; ``start`` and ``end`` are seconds, both missing where the whole file is the utterance.
- ``path`` is relative to the corpus's audio root, with ``/``. A path that leaves the root is refused.
- ``emotion`` is the label after the label map, ``source_label`` the corpus's own.
- ``split`` is train, validation, test, or empty for what takes no part. No speaker is in two splits.
- A row number in a message is the one that a spreadsheet shows: the header is row 1.
"""

from __future__ import annotations

import hashlib
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from layersim.errors import LayersimError, summarise_faults
from layersim.workspace import write_text

TEXT_COLUMNS = (
    "corpus", "utterance_id", "path", "speaker", "language", "emotion", "split", "text", "source_label",
)  # fmt: skip
COLUMNS = (
    "corpus", "utterance_id", "path", "start", "end", "speaker", "language", "emotion", "split", "text",
    "source_label",
)  # fmt: skip
OPTIONAL = ("gender",)
SPLITS = ("train", "validation", "test", "")
EMOTIONS = (
    "anger", "happiness", "neutral", "sadness", "fear", "disgust", "surprise", "boredom", "calm", "contempt",
    "excitement", "frustration",
)  # fmt: skip


class ManifestError(LayersimError):
    """A manifest is wrong; every bad row was looked at, the first ten are shown."""


def read_manifest(file: Path) -> pd.DataFrame:
    """Read and check a manifest (CSV, UTF-8, with or without a byte-order mark).

    Raises
    ------
    ManifestError
        If the file cannot be read, lacks a column, has an unknown one, is empty, or any row is wrong.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ManifestError(
            f"{file}: no such manifest. Make it with layersim init or corpus import."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file}: cannot be read as UTF-8 text: {error}. Save it as UTF-8.") from None
    try:
        table = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False, na_filter=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ManifestError(f"{file}: cannot be read as CSV: {error}.") from None
    known = (*COLUMNS, *OPTIONAL)
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise ManifestError(
            f"{file}: column{'s' if len(missing) > 1 else ''} {', '.join(missing)} missing. "
            f"A manifest has {', '.join(COLUMNS)}."
        )
    if unknown := [name for name in table.columns if name not in known]:
        raise ManifestError(f"{file}: unknown columns {', '.join(unknown)}. Known: {', '.join(known)}.")
    if table.empty:
        raise ManifestError(f"{file}: has no rows.")
    faults: list[tuple[int, str]] = []
    for name in ("start", "end"):
        numbers = pd.to_numeric(table[name].where(table[name] != ""), errors="coerce").astype(float)
        bad = (table[name] != "") & ~np.isfinite(numbers)
        faults += [(row, f"{name} {table[name].iloc[row]!r} is not a time in seconds.") for row in _rows(bad)]
        table[name] = numbers
    table = table[[name for name in known if name in table.columns]]
    faults += find_faults(table)
    if faults:
        raise _fault_error(str(file), table, faults)
    return table


def check_manifest(manifest: pd.DataFrame, where: str) -> None:
    """Refuse a wrong manifest that was not read from a file; ``where`` names it in the message.

    Raises
    ------
    ManifestError
        As `read_manifest`.
    """
    if faults := find_faults(manifest):
        raise _fault_error(where, manifest, faults)


def find_faults(manifest: pd.DataFrame) -> list[tuple[int, str]]:
    """Look at every row; return (position of the row, what is wrong and what to do), ordered by row."""
    faults: list[tuple[int, str]] = []
    text = {name: manifest[name].astype(str) for name in TEXT_COLUMNS}
    for name in ("corpus", "utterance_id", "path", "speaker", "emotion"):
        faults += [
            (row, f"{name} is empty. Fill it in or remove the row.") for row in _rows(text[name] == "")
        ]
    keys = text["corpus"] + "/" + text["utterance_id"]
    first = ~keys.duplicated(keep="first")
    row_of_first = dict(zip(keys[first], np.flatnonzero(first) + 2, strict=True))
    for row in _rows(~first):
        faults.append(
            (row, f"{keys.iloc[row]} stands in row {row_of_first[keys.iloc[row]]} too. Remove one.")
        )
    path = text["path"].str.replace("\\", "/", regex=False)
    leaves = path.str.match(r"/|[A-Za-z]:") | path.str.contains(r"(?:^|/)\.\.(?:/|$)", regex=True)
    for row in _rows(leaves):
        faults.append(
            (row, f"path {text['path'].iloc[row]!r} leaves the audio root. Make it relative to it.")
        )
    start, end = (pd.to_numeric(manifest[name]).astype(float) for name in ("start", "end"))
    for row in _rows(start.isna() != end.isna()):
        faults.append((row, "only one of start and end is given. Give both or neither."))
    for row in _rows(start < 0):
        faults.append((row, f"start {start.iloc[row]:g} s is before the file. Mend the time."))
    for row in _rows(start >= end):
        faults.append(
            (row, f"start {start.iloc[row]:g} s is not before end {end.iloc[row]:g} s. Mend the times.")
        )
    for row in _rows(~text["split"].isin(SPLITS)):
        split = text["split"].iloc[row]
        faults.append(
            (row, f"split {split!r} is none of train, validation, test, or empty. Set one of these.")
        )
    for row in _rows(~text["emotion"].isin((*EMOTIONS, ""))):
        emotion = text["emotion"].iloc[row]
        faults.append(
            (row, f"emotion {emotion!r} is not among {', '.join(EMOTIONS)}. Map it, or remove the row.")
        )
    faults += _speaker_faults(text["corpus"] + "/" + text["speaker"], text["split"])
    return sorted(faults)


def _speaker_faults(speaker: pd.Series[str], split: pd.Series[str]) -> list[tuple[int, str]]:
    """Say for each speaker found in several splits at which row the second one appears."""
    used = pd.DataFrame({"speaker": speaker, "split": split, "row": np.arange(len(split))})
    used = used[(used["split"] != "") & ~used["speaker"].str.endswith("/")]
    firsts = used.drop_duplicates(["speaker", "split"])
    faults = []
    for name, group in firsts[firsts["speaker"].duplicated(keep=False)].groupby("speaker", sort=False):
        splits = list(group["split"])
        faults.append(
            (
                int(group["row"].iloc[1]),
                f"speaker {str(name).partition('/')[2]!r} is in {' and '.join(splits)}: splits must be "
                "speaker-disjoint. Give this speaker one split.",
            )
        )
    return faults


def _rows(bad: pd.Series[bool]) -> list[int]:
    return [int(row) for row in np.flatnonzero(bad.to_numpy(dtype=bool))]


def _fault_error(where: str, manifest: pd.DataFrame, faults: list[tuple[int, str]]) -> ManifestError:
    names = manifest["utterance_id"]
    lines = [f"{where}, row {row + 2} ({names.iloc[row]}): {what}" for row, what in sorted(faults)]
    rows = len({row for row, _ in faults})
    return ManifestError(summarise_faults(f"{where}: {rows} bad row{'s' if rows > 1 else ''}", lines))


def write_manifest(manifest: pd.DataFrame, file: Path) -> None:
    """Write a manifest, checked first; the same manifest gives the same bytes.

    Raises
    ------
    ManifestError
        If it is wrong.
    """
    check_manifest(manifest, str(file))
    columns = [name for name in (*COLUMNS, *OPTIONAL) if name in manifest.columns]
    write_text(file, manifest[columns].to_csv(index=False, lineterminator="\n"))


def utterance_keys(manifest: pd.DataFrame) -> list[str]:
    """Return ``corpus/utterance_id`` of every row, in order."""
    pairs = zip(manifest["corpus"].tolist(), manifest["utterance_id"].tolist(), strict=True)
    return [f"{corpus}/{name}" for corpus, name in pairs]


def manifest_sha256(manifest: pd.DataFrame) -> str:
    """Hash what a manifest says; the order of its rows does not matter."""
    digest = hashlib.sha256()
    columns = [manifest[name].tolist() for name in COLUMNS]
    for _, row in sorted(zip(utterance_keys(manifest), zip(*columns, strict=True), strict=True)):
        cells = [
            "" if value != value else repr(value) if isinstance(value, float) else str(value) for value in row
        ]
        digest.update("\x1f".join(cells).encode() + b"\x1e")
    return digest.hexdigest()


def shared_emotions(first: pd.DataFrame, second: pd.DataFrame) -> tuple[str, ...]:
    """Return the emotions that both manifests have, sorted."""
    return tuple(sorted(set(first["emotion"]) & set(second["emotion"])))

"""MSP-Podcast and BIIC-Podcast: one table of consensus labels, one audio file per segment.

Lotfian & Busso, IEEE Transactions on Affective Computing 10(4), 2019, and Upadhyay et al., ACII 2023. The
table is ``labels_consensus.csv`` with FileName, EmoClass, SpkrID and Split_Set (Train, Development, Test1,
Test2 ...; BIIC: Train, Development, Test). Words, where the release has them, stand in
``Transcripts/SEGMENT.txt``.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path, PurePosixPath

from layersim.corpus.folder import AudioFiles, Reading, Row, read_corpus_text
from layersim.corpus.table import SPLIT_WORDS, read_csv
from layersim.errors import LayersimError

LABELS = "labels_consensus.csv"
_NEEDED = ("FileName", "EmoClass", "SpkrID", "Split_Set")
_UNKNOWN = {"", "unknown", "unk", "nan", "none"}


def read_podcast(folder: Path, files: AudioFiles, name: str) -> Reading:
    """Read a podcast corpus with its own splits.

    Parameters
    ----------
    name : {"msp-podcast", "biic-podcast"}

    Raises
    ------
    LayersimError
        If there is more than one table of labels, or it lacks a column.
    """
    reading = Reading(looked_for=f"{LABELS} and the audio files that it names", label_map=name)
    tables = sorted(folder.rglob(LABELS))
    if len(tables) > 1:
        raise LayersimError(
            f"{folder}: {len(tables)} tables named {LABELS}: {', '.join(map(str, tables))}. "
            "Give the folder of one release."
        )
    if not tables:
        return reading
    header, rows = read_csv(tables[0])
    if missing := [column for column in _NEEDED if column not in header]:
        raise LayersimError(f"{tables[0]}: no column {', '.join(missing)}. Its columns: {', '.join(header)}.")
    texts = {file.stem: file for file in sorted(folder.rglob("Transcripts/*.txt"))}
    sets, unknown, labelled = Counter[str](), 0, set[str]()
    for entry in rows.values():
        segment = PurePosixPath(entry["FileName"]).stem
        path = files.find(entry["FileName"])
        split = SPLIT_WORDS.get(entry["Split_Set"].casefold())
        if path is not None:
            labelled.add(path)
        if not entry["EmoClass"]:
            reading.left_out["segments without label"].append(segment)
        elif path is None:
            reading.left_out["labels without audio"].append(segment)
        elif split is None:
            reading.left_out[f"segments of the set {entry['Split_Set']!r}"].append(segment)
        else:
            speaker = entry["SpkrID"]
            if speaker.casefold() in _UNKNOWN:
                speaker, unknown = _unknown_speaker(segment), unknown + 1
            sets[entry["Split_Set"]] += 1
            text = read_corpus_text(texts[segment], "cp1252").strip() if segment in texts else ""
            reading.rows.append(
                Row(
                    segment,
                    path,
                    speaker,
                    "en" if name == "msp-podcast" else "zh",
                    entry["EmoClass"],
                    " ".join(text.split()),
                    _gender(entry.get("Gender", "")),
                    split,
                )
            )
    reading.left_out["audio files without label"] = [path for path in files.paths if path not in labelled]
    reading.notes.append(
        "the corpus's own splits: " + ", ".join(f"{key} {count}" for key, count in sorted(sets.items()))
    )
    if unknown:
        reading.notes.append(
            f"segments of unknown speakers ({unknown}): taken as one speaker per podcast (Unknown-PODCAST); "
            "that they are not heard under a known speaker's name too cannot be told"
        )
    return reading


def _unknown_speaker(segment: str) -> str:
    """Name the unknown speakers of one podcast: ``MSP-PODCAST_0023_0048`` is from podcast 0023."""
    numbers = re.findall(r"\d+", segment)
    return f"Unknown-{numbers[0]}" if numbers else "Unknown"


def _gender(given: str) -> str:
    return given.lower() if given.lower() in ("female", "male") else ""

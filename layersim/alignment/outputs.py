"""Writes one corpus's alignments, and finds them again.

::

    phones.csv  words.csv   utterance_id, start, end, phone or word; seconds from the utterance's start
    utterances.csv          one row per utterance, with flags, or the reason why it has no alignment
    emotions.csv            the same by emotion
    textgrids/SPEAKER/UTTERANCE.TextGrid   tiers words and phones
    run.json                last; it names the phone set

Speakers have folders of their own, since a hundred thousand files in one are slow everywhere.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from layersim.alignment.aligned import Alignment
from layersim.alignment.outcome import EmotionSummary, Outcome, outcome_table
from layersim.alignment.preparation import Utterance, manifest_fingerprints
from layersim.alignment.segments import Segment
from layersim.alignment.textgrid import write_textgrid
from layersim.documents import require_form
from layersim.errors import LayersimError
from layersim.provenance import RUN
from layersim.workspace import read_json, write_text

PHONES, WORDS, UTTERANCES, EMOTIONS, TEXTGRIDS = (
    "phones.csv", "words.csv", "utterances.csv", "emotions.csv", "textgrids",
)  # fmt: skip
_NEW_TEXTGRIDS = "textgrids-new"
_UNSAFE = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]+$|^ +')  # on some file system


class OutputWriter:
    """Takes one corpus's alignments as they come; `finish` puts them in the place of older ones.

    Until then the older ones stay whole. From then until ``run.json`` is written the folder counts as
    unfinished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._phones: dict[str, str] = {}  # utterance id -> its lines
        self._words: dict[str, str] = {}
        self._names: set[str] = set()  # of TextGrids, without case
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / _NEW_TEXTGRIDS, ignore_errors=True)  # of a run that was stopped

    def add(self, utterance: Utterance, alignment: Alignment) -> str:
        """Write an utterance's TextGrid and keep its lines; returns where, relative to the folder."""
        name = self._textgrid_name(utterance)
        tiers = {"words": alignment.words, "phones": alignment.phones}
        write_textgrid(self.folder / _NEW_TEXTGRIDS / name, alignment.seconds, tiers)
        self._phones[utterance.utterance_id] = _lines(utterance.utterance_id, alignment.phones)
        self._words[utterance.utterance_id] = _lines(utterance.utterance_id, alignment.words)
        return f"{TEXTGRIDS}/{name}"

    def finish(self, outcomes: Sequence[Outcome], emotions: Sequence[EmotionSummary]) -> None:
        """Replace what was there: TextGrids, and tables in the order of the outcomes."""
        (self.folder / RUN).unlink(missing_ok=True)
        if (self.folder / TEXTGRIDS).exists():  # of utterances that may be gone by now
            shutil.rmtree(self.folder / TEXTGRIDS)
        (self.folder / _NEW_TEXTGRIDS).replace(self.folder / TEXTGRIDS)
        for file, lines, label in ((PHONES, self._phones, "phone"), (WORDS, self._words, "word")):
            rows = (lines.get(outcome.utterance.utterance_id, "") for outcome in outcomes)
            write_text(self.folder / file, f"utterance_id,start,end,{label}\n" + "".join(rows))
        _write_table(self.folder / UTTERANCES, outcome_table(outcomes))
        _write_table(self.folder / EMOTIONS, pd.DataFrame([emotion.model_dump() for emotion in emotions]))

    def _textgrid_name(self, utterance: Utterance) -> str:
        parts = [utterance.speaker.replace("/", "_"), *utterance.utterance_id.split("/")]
        stem = "/".join(_UNSAFE.sub("_", part) or "_" for part in parts)
        name, number = stem, 1
        while name.casefold() in self._names:  # two names became one, or differ in case alone
            number += 1
            name = f"{stem}-{number}"
        self._names.add(name.casefold())
        return f"{name}.TextGrid"


def _lines(utterance_id: str, segments: Sequence[Segment]) -> str:
    text = io.StringIO()
    rows = ((utterance_id, f"{start:.6f}", f"{end:.6f}", label) for start, end, label in segments)
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write_table(file: Path, table: pd.DataFrame) -> None:
    write_text(file, table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))


@dataclass(frozen=True)
class StoredAlignments:
    """What a finished align stage has left for one corpus."""

    phones: Path
    phone_set: str
    run: dict[str, Any]

    def refuse_if_stale(self, corpus: str, manifest: pd.DataFrame) -> None:
        """Refuse alignments of other recordings or texts than a manifest now names.

        Raises
        ------
        LayersimError
            Naming what has changed.
        """
        now = manifest_fingerprints(manifest)
        was = self.run["inputs"]
        changed = [name for name in ("recordings", "texts") if was.get(name) != now[name]]
        if changed:
            raise LayersimError(
                f"{self.phones}: the manifest's {' and '.join(changed)} have changed since {corpus} "
                f"was aligned. Align it again: layersim align --corpus {corpus} --force."
            )


def find_outputs(folder: Path) -> StoredAlignments | None:
    """Find a corpus's alignments; None if the stage has not run there, or not to its end."""
    if not (folder / RUN).is_file():
        return None
    run = read_run(folder)
    if not (folder / PHONES).is_file():
        raise LayersimError(
            f"{folder / PHONES}: is gone, though {RUN} says it was written. Make it anew: layersim align."
        )
    return StoredAlignments(folder / PHONES, str(run["results"]["phone_set"]), run)


def is_complete(folder: Path) -> bool:
    """Whether all that ``run.json`` says was written is there."""
    if not (folder / RUN).is_file():
        return False
    tables = all((folder / name).is_file() for name in (PHONES, WORDS, UTTERANCES, EMOTIONS))
    grids = sum(1 for _ in (folder / TEXTGRIDS).rglob("*.TextGrid"))
    return tables and grids == read_run(folder)["results"]["aligned"]


def read_run(folder: Path) -> dict[str, Any]:
    """Read what a finished align stage says of itself.

    Raises
    ------
    LayersimError
        If its ``run.json`` lacks something.
    """
    run = read_json(folder / RUN)
    form = {"results": {"phone_set": str, "aligned": int}, "inputs": dict}
    require_form(run, form, str(folder / RUN), "Align again: layersim align --force.")
    return run

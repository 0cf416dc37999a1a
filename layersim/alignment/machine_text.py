"""Texts that a model wrote, for utterances whose manifest has none.

They are kept in a table of their own, ``transcripts.csv``, row by row as they come, so that a run that was
stopped goes on where it was. A text that a person corrects there is kept and used.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from layersim.alignment.preparation import Utterance
from layersim.alignment.text import read_text, table_rows
from layersim.corpus.audio import read_audio
from layersim.errors import AudioError, LayersimError
from layersim.workspace import Progress, write_text

COLUMNS = ("utterance_id", "path", "start", "end", "language", "model", "text")
_AT_ONCE = 8  # utterances: what a killed run loses at most


class Transcriber(Protocol):
    """What writes down speech."""

    @property
    def name(self) -> str:
        """The model and its weights, in a few letters."""

    def transcribe(self, waves: Sequence[npt.NDArray[np.float32]], languages: Sequence[str]) -> list[str]:
        """Return one text per recording (mono, 16 kHz), each in its language (``en``, ``zh``, ...)."""


def transcribe_missing(
    utterances: Iterable[Utterance], file: Path, transcriber: Transcriber, label: str, progress: Progress
) -> dict[str, str | AudioError]:
    """Transcribe utterances, but for those that ``file`` holds already.

    Returns
    -------
    dict
        By utterance id: the text, which may be empty; or what is wrong with the recording.

    Raises
    ------
    LayersimError
        If ``file`` is no table of transcripts, or the model does not know a language.
    """
    wanted = list(utterances)
    kept = _read(file)
    found: dict[str, str | AudioError] = {
        utterance.utterance_id: text
        for utterance in wanted
        if (text := kept.get(_key(utterance, transcriber.name))) is not None
    }
    pending = [utterance for utterance in wanted if utterance.utterance_id not in found]
    if not file.exists() or not file.read_bytes().endswith(b"\n"):  # killed while it wrote
        _write(file, kept)
    for first in range(0, len(pending), _AT_ONCE):
        progress(label, len(found), len(wanted))
        batch, waves = [], []
        for utterance in pending[first : first + _AT_ONCE]:
            try:
                waves.append(read_audio(utterance.path, utterance.start, utterance.end))
                batch.append(utterance)
            except AudioError as error:
                found[utterance.utterance_id] = error
        if not batch:
            continue
        texts = transcriber.transcribe(waves, [utterance.language for utterance in batch])
        rows = {}
        for utterance, text in zip(batch, texts, strict=True):
            found[utterance.utterance_id] = rows[_key(utterance, transcriber.name)] = " ".join(text.split())
        _append(file, rows)
    progress(label, len(wanted), len(wanted))
    return found


_Key = tuple[str, ...]  # all columns but the text


def _key(utterance: Utterance, model: str) -> _Key:
    times = ("" if time is None else str(time) for time in (utterance.start, utterance.end))
    return utterance.utterance_id, utterance.file, *times, utterance.language, model


def _read(file: Path) -> dict[_Key, str]:
    if not file.exists():
        return {}
    text = read_text(file)
    rows = list(table_rows(text[: text.rfind("\n") + 1], str(file)))  # whole lines only
    if rows and tuple(rows[0]) != COLUMNS:
        raise LayersimError(f"{file}: expected the columns {', '.join(COLUMNS)}. Mend or delete the file.")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(COLUMNS):
            raise LayersimError(f"{file}, row {number}: has {len(row)} cells, not {len(COLUMNS)}. Mend it.")
    return {tuple(row[:-1]): row[-1] for row in rows[1:]}


def _lines(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write(file: Path, rows: Mapping[_Key, str]) -> None:
    write_text(file, _lines([COLUMNS, *((*key, text) for key, text in rows.items())]))


def _append(file: Path, rows: Mapping[_Key, str]) -> None:
    with file.open("a", encoding="utf-8", newline="") as stream:
        stream.write(_lines((*key, text) for key, text in rows.items()))
        stream.flush()
        os.fsync(stream.fileno())

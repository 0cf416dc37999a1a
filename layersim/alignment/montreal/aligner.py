"""Align a corpus with the Montreal Forced Aligner, from its recordings to phones, words and likelihoods.

Everything stands in one folder::

    corpus/             what MFA reads (see `corpus`); gone when it is done
    scratch/            MFA's temporary directory, from which an interrupted run goes on; gone when it is done
    validation/         what ``mfa validate`` lists: words that the dictionary lacks
    output/             one TextGrid per utterance, alignment_analysis.csv
    trained.zip         the model, where one was trained
    mfa.log             all that MFA said
    mfa.json            what it was made of, and how far it has come

A folder whose ``mfa.json`` says that the same inputs were aligned is read without running MFA, which then
need not even be installed. Inputs are the recordings' ids, speakers, times and texts, their files' paths,
sizes and times of change, and the models (of a file its bytes, of a pretrained one its name).
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layersim.alignment.aligned import Alignment, Failure, Recording
from layersim.alignment.montreal.corpus import Entry, dictionary_words, plan_corpus, write_corpus
from layersim.alignment.montreal.models import Models, choose_models
from layersim.alignment.montreal.output import (
    ANALYSIS,
    read_alignment,
    read_likelihoods,
    read_unknown_words,
)
from layersim.alignment.montreal.program import Folders, Program, Task
from layersim.alignment.pronunciation.transcript import is_han
from layersim.alignment.vowels import detect_phone_set
from layersim.errors import LayersimError
from layersim.workspace import Progress, files_sha256, no_progress, read_json, write_json

_LAYOUT = 1  # of what is written and how; counted up when it changes
_STATE = "mfa.json"
_SHOWN = 10  # words or utterances in a note
_PROGRESS_EVERY = 100  # utterances

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MfaResult:
    """What came of a corpus."""

    results: list[Alignment | Failure]  # in the order of the recordings
    phone_set: str | None  # of the phones; None if nothing was aligned and the models do not tell
    version: str  # of MFA
    notes: list[str]
    unknown: dict[str, int] = field(default_factory=dict)  # word that the dictionary lacks -> occurrences
    unknown_in: dict[str, int] = field(default_factory=dict)  # utterance -> stretches that MFA left unnamed


def align_with_mfa(
    recordings: Sequence[Recording],
    folder: Path,
    *,
    language: str,
    dictionary: str | None,
    acoustic_model: str | None,
    jobs: int,
    progress: Progress = no_progress,
) -> MfaResult:
    """Align recordings with the ``mfa`` on PATH.

    Parameters
    ----------
    folder : Path
        For everything that is kept; a second call with the same inputs goes on in it, or reads it.
    language : str
        Such as ``en``; chooses the models where none are named.
    dictionary, acoustic_model : str or None
        Names of pretrained models or files; see `models.choose_models`. A
        dictionary file alone has a model trained on the recordings.
    jobs : int, >= 1
        Processes that MFA may use.

    Returns
    -------
    MfaResult
        One result per recording. Utterances without text or usable audio, and those that MFA dropped, are
        failures; so is one of whose words the dictionary has none. One with some unknown words is aligned:
        their stretches are left out of its phones, and counted.

    Raises
    ------
    LayersimError
        If MFA or a model is missing, its version is not supported, it fails, or it aligns nothing.
    """
    if jobs < 1:
        raise ValueError(f"jobs: expected at least 1, got {jobs}")
    models = choose_models(language, dictionary, acoustic_model)
    folders = Folders.below(folder)
    entries, failures = plan_corpus(recordings)
    if not entries:
        return MfaResult(list(failures), models.phone_set, "", [])
    inputs = _inputs_sha256(entries, models)
    state = _read_state(folder, inputs)
    if not (state.pop("complete", False) and folders.output.is_dir()):
        state = _run(entries, models, folders, jobs, {"inputs": inputs, **state}, progress)
    unusable = [Failure(name, reason) for name, reason in state.get("unusable", {}).items()]
    known = {failure.utterance_id: failure for failure in (*failures, *unusable)}
    unknown = read_unknown_words(folders.validation)
    likelihoods = read_likelihoods(folders.output / ANALYSIS)
    found: dict[str, Alignment | Failure] = {}
    unknown_in: dict[str, int] = {}
    for done, entry in enumerate(entries):
        if done % _PROGRESS_EVERY == 0:
            progress("reading MFA's alignments", done, len(entries))
        name = entry.recording.utterance_id
        if name not in known:
            found[name], unnamed = read_alignment(entry, folders.output, likelihoods, unknown)
            if unnamed:
                unknown_in[name] = unnamed
    progress("reading MFA's alignments", len(entries), len(entries))
    results = [known.get(r.utterance_id) or found[r.utterance_id] for r in recordings]
    phone_set, notes = _phone_set(models, results)
    if not likelihoods:
        notes.append(f"MFA wrote no {ANALYSIS}: no log-likelihoods")
    if state.get("validation"):
        notes.append(f"mfa validate failed, so that unknown words are not listed: {folders.log} says why")
    notes += _unknown_notes(unknown, unknown_in)
    return MfaResult(results, phone_set, str(state.get("version", "")), notes, unknown, unknown_in)


def _run(
    entries: Sequence[Entry],
    models: Models,
    folders: Folders,
    jobs: int,
    state: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    """Run MFA on what is not aligned yet; return the state in which that leaves the folder."""
    program = Program.find()
    state_file = folders.log.with_name(_STATE)
    if state.get("version") != program.version:  # nothing to go on from
        state = {"inputs": state["inputs"], "version": program.version}
        for path in (folders.corpus, folders.output, folders.validation, folders.checks, folders.scratch):
            shutil.rmtree(path, ignore_errors=True)
        for path in (folders.model, folders.log):
            path.unlink(missing_ok=True)
    own = models.own_dictionary
    words: Collection[str] = ()
    if own and own.suffix.casefold() in (".dict", ".txt") and any(map(_has_han, entries)):
        words = dictionary_words(own)
    written, unusable = write_corpus(folders.corpus, entries, words, progress)
    state["unusable"] = {failure.utterance_id: failure.reason for failure in unusable}
    if not written:
        return state
    write_json(state_file, state)
    task = Task(folders, models, jobs, words_are_separate=bool(words))
    if "validation" not in state:
        try:
            program.validate(task, progress)
            state["validation"] = None
        except LayersimError as error:  # if it is more than a fault of the validator, alignment says so too
            state["validation"] = str(error)
            _logger.warning("mfa validate failed: %s", error)
        write_json(state_file, state)
    shutil.rmtree(folders.output, ignore_errors=True)
    begun = folders.scratch.exists()
    try:
        program.align(task, progress, clean=not begun)
    except LayersimError:
        if not begun:
            raise
        _logger.warning("MFA could not go on from where it had stopped; it starts anew")
        program.align(task, progress, clean=True)
    if not any((folders.output / entry.textgrid).is_file() for entry in written):
        raise LayersimError(
            f"MFA aligned none of {len(written)} utterances. Check that the dictionary ({models.dictionary}) "
            f"and the acoustic model ({models.acoustic_model or 'trained'}) are of the speakers' language. "
            f"What MFA said: {folders.log}"
        )
    write_json(state_file, {**state, "complete": True})
    for path in (folders.corpus, folders.scratch):
        shutil.rmtree(path, ignore_errors=True)
    return state


def _inputs_sha256(entries: Sequence[Entry], models: Models) -> str:
    """Hash what an alignment depends on; see the module."""
    rows = []
    for entry in entries:
        said, stat = entry.recording, entry.recording.path.stat()
        place = (said.utterance_id, said.speaker, said.text, entry.stretch, entry.textgrid)
        rows.append([*place, str(said.path.resolve()), stat.st_size, stat.st_mtime_ns])
    used = [
        files_sha256([Path(name)]) if name and Path(name).is_absolute() else name
        for name in (models.dictionary, models.acoustic_model)
    ]
    return hashlib.sha256(json.dumps([_LAYOUT, used, rows]).encode("utf-8")).hexdigest()


def _read_state(folder: Path, inputs: str) -> dict[str, Any]:
    """Return how far a folder has come with these inputs; nothing if it was made of others."""
    file = folder / _STATE
    state = read_json(file) if file.is_file() else {}
    return state if state.get("inputs") == inputs else {}


def _phone_set(models: Models, results: Sequence[Alignment | Failure]) -> tuple[str | None, list[str]]:
    """Name the set of the phones: as the models say, else as the labels do."""
    if models.phone_set is not None:
        return models.phone_set, []
    labels = [phone.label for result in results if isinstance(result, Alignment) for phone in result.phones]
    if not labels:
        return None, []
    name, coverage = detect_phone_set(labels)
    return name, [f"phone set {name}, found from the labels: it has {100 * coverage:.0f} % of them"]


def _unknown_notes(unknown: Mapping[str, int], unknown_in: Mapping[str, int]) -> list[str]:
    notes = []
    if unknown:
        notes.append(
            f"the dictionary lacks {len(unknown)} words ({sum(unknown.values())} occurrences): "
            f"{_list(unknown)}"
        )
    if unknown_in:
        notes.append(
            f"{sum(unknown_in.values())} unknown words (spn) in {len(unknown_in)} utterances have no phones: "
            f"{_list(unknown_in)}"
        )
    return notes


def _list(counts: Mapping[str, int]) -> str:
    first = ", ".join(f"{name} ({count})" for name, count in list(counts.items())[:_SHOWN])
    return first + (f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else "")


def _has_han(entry: Entry) -> bool:
    return any(map(is_han, entry.recording.text))

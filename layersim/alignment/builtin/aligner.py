"""The built-in aligner: a monophone GMM-HMM, trained on the user's own recordings and nothing else.

What it has is kept in its folder, each file written whole: ``model.safetensors`` after each round of training
(`training`), then ``parts/00000.json ...`` with the alignments of up to 100
recordings of one speaker each. A run that was stopped goes on there. The same recordings and settings give
the same alignments, whatever was stopped and however many processes worked.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from safetensors import safe_open
from safetensors.numpy import save

from layersim.alignment.aligned import Alignment, Failure, Recording
from layersim.alignment.builtin.acoustic_model import SILENCE, AcousticModel, AlignedPath
from layersim.alignment.builtin.cepstra import SHIFT, speech_range
from layersim.alignment.builtin.training import (
    ROUNDS,
    by_speaker,
    hear,
    new_model,
    start_model,
    train_rounds,
    training_set,
    voice_of,
)
from layersim.alignment.phone_set import load_phone_set
from layersim.alignment.pronunciation.languages import find_language
from layersim.alignment.segments import Segment
from layersim.corpus.audio import SAMPLE_RATE, audio_samples
from layersim.errors import AudioError, LayersimError
from layersim.workspace import Progress, no_progress, read_json, write_bytes, write_json

VERSION = 1
"""Goes up when the same recordings and settings give other times."""

_MODEL, _PARTS = "model.safetensors", "parts"
_PART_SIZE = 100


@dataclass(frozen=True)
class _Part:
    """Some recordings of one speaker, and where their alignments go."""

    file: Path
    recordings: list[Recording]
    speakers: list[Recording]  # all of the speaker's, to measure the voice on


def align_builtin(
    recordings: Sequence[Recording],
    folder: Path,
    *,
    language: str,
    phone_set: str,
    seed: int,
    jobs: int,
    progress: Progress = no_progress,
) -> Iterator[Alignment | Failure]:
    """Train on recordings and align each of them.

    Parameters
    ----------
    recordings : sequence of Recording
        Of one language, with their words; of any number of speakers.
    folder : Path
        Where the model and finished parts are kept. What is there of other recordings or settings is deleted.
    language : str
        As manifests have it; one that espeak-ng does not speak costs the synthetic start.
    phone_set : str
        A built-in set, or a file, that knows the words' phones.
    jobs : int
        Processes that align at once.
    progress : callable
        Gets ``measuring voices`` in speakers, ``reading recordings`` in utterances (an hour of speech at
        most), ``hearing synthetic speech`` in lines, ``training the aligner`` in rounds, then ``aligning`` in
        utterances.

    Yields
    ------
    Alignment or Failure
        One per recording, speaker by speaker.

    Raises
    ------
    LayersimError
        If the aligner's packages are not installed, or no recording fits its text.
    """
    if not recordings:
        return
    # The manifest's order is no property of the speech.
    recordings = sorted(recordings, key=lambda recording: recording.utterance_id)
    groups = by_speaker(recordings)
    fingerprint = _fingerprint(recordings, language, phone_set, seed)
    parts = _prepare_folder(folder, fingerprint, groups)
    waiting = [part for part in parts if not part.file.is_file()]
    if waiting:
        _train(recordings, folder, language, phone_set, seed, progress)
    total = len(recordings)
    done = total - sum(len(part.recordings) for part in waiting)
    for part in _align_parts(waiting, folder / _MODEL, _labels(recordings), jobs):
        done += len(part.recordings)
        progress("aligning", done, total)
    for part in parts:
        yield from _read_part(part.file)


def _prepare_folder(folder: Path, fingerprint: str, groups: dict[str, list[Recording]]) -> list[_Part]:
    """Say which parts there are to be; delete what is there of another run."""
    mark = folder / "recordings.json"
    if folder.is_dir() and not (mark.is_file() and read_json(mark).get("sha256") == fingerprint):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(mark, {"sha256": fingerprint})
    parts: list[_Part] = []
    for own in groups.values():
        for first in range(0, len(own), _PART_SIZE):
            file = folder / _PARTS / f"{len(parts):05d}.json"
            parts.append(_Part(file, own[first : first + _PART_SIZE], own))
    return parts


def _train(
    recordings: Sequence[Recording],
    folder: Path,
    language: str,
    phone_set: str,
    seed: int,
    progress: Progress,
) -> None:
    """Train the model in the folder to its end."""
    file = folder / _MODEL
    model, done = new_model(recordings), 0
    if file.is_file():
        done = _load(file, model)
    if done == ROUNDS:
        return
    heard = training_set(recordings, seed, progress)
    if not heard:
        raise LayersimError(f"none of {len(recordings)} recordings can be read. See: layersim corpus check.")
    if not done:
        start_model(model, heard, _voice(language), phone_set, seed, progress)
    for turn in train_rounds(model, heard, done, progress):
        write_bytes(file, save(model.to_arrays(), {"rounds": str(turn)}))
        _load(file, model)  # the file's means are rounded: whoever goes on from it must have learnt the same


def _voice(language: str) -> str | None:
    try:
        return find_language(language).voice
    except LayersimError:
        return None


def _align_parts(parts: Sequence[_Part], model: Path, labels: tuple[str, ...], jobs: int) -> Iterator[_Part]:
    """Align parts and write them; each is given when it is done."""
    by_file = {part.file: part for part in parts}
    tasks = (delayed(_align_part)(part, model, labels) for part in parts)
    for file in Parallel(n_jobs=min(jobs, len(parts)) or 1, return_as="generator_unordered")(tasks):
        yield by_file[file]


@lru_cache(maxsize=1)
def _trained(file: Path, labels: tuple[str, ...], written: int) -> AcousticModel:  # noqa: ARG001 - one model a file and time
    model = AcousticModel(labels, columns=39)
    _load(file, model)
    return model


def _align_part(part: _Part, file: Path, labels: tuple[str, ...]) -> Path:
    """Align some recordings, write the part's file and return it."""
    model = _trained(file, labels, file.stat().st_mtime_ns)
    voice = voice_of(part.speakers)
    rows: list[dict[str, Any]] = []
    for recording in part.recordings:
        found: Alignment | Failure
        try:
            frames = hear(recording)
            if voice is None:
                raise ValueError("a speaker with a readable recording has a voice")
            first, stop = speech_range(frames[:, 0])
            path = model.align(recording.words, voice(frames[first:stop]))
            found = (
                Failure(recording.utterance_id, _too_short(model, recording, (stop - first) * SHIFT))
                if path is None
                else _alignment(recording, path, first)
            )
        except AudioError as error:
            found = Failure(recording.utterance_id, str(error))
        rows.append(_as_row(found))
    write_json(part.file, {"results": rows})
    return part.file


def _too_short(model: AcousticModel, recording: Recording, seconds: float) -> str:
    least = model.fewest_frames(recording.words) * SHIFT
    if seconds < least:
        return (
            f"it is too short for its phones: they take {least:.2f} s at least, and without silence at its "
            f"ends the audio has {seconds:.2f} s. Is its text that of another recording?"
        )
    return "its phones do not fit the audio in any way. Is its text that of another recording?"


def _alignment(recording: Recording, path: AlignedPath, first: int) -> Alignment:
    seconds = audio_samples(recording.path, recording.start, recording.end) / SAMPLE_RATE
    phones: list[Segment] = []
    words: list[list[Segment]] = []
    for span in path.spans:
        if span.label == SILENCE:
            continue
        start, stop = (first + span.first) * SHIFT, (first + span.stop) * SHIFT
        start, end = round(start, 6), round(min(stop, seconds), 6)
        phones.append(Segment(start, end, span.label))
        if span.begins_word:
            words.append([])
        words[-1].append(phones[-1])
    return Alignment(
        recording.utterance_id,
        seconds,
        tuple(
            Segment(said[0].start, said[-1].end, word.text)
            for word, said in zip(recording.words, words, strict=True)
        ),
        tuple(phones),
        path.log_likelihood,
    )


def _as_row(found: Alignment | Failure) -> dict[str, Any]:
    if isinstance(found, Failure):
        return {"utterance_id": found.utterance_id, "failure": found.reason}
    return {
        "utterance_id": found.utterance_id,
        "seconds": found.seconds,
        "words": found.words,
        "phones": found.phones,
        "log_likelihood": found.log_likelihood,
    }


def _read_part(file: Path) -> Iterator[Alignment | Failure]:
    for row in read_json(file)["results"]:
        if "failure" in row:
            yield Failure(row["utterance_id"], row["failure"])
        else:
            words, phones = (tuple(Segment(*cells) for cells in row[name]) for name in ("words", "phones"))
            yield Alignment(row["utterance_id"], row["seconds"], words, phones, row["log_likelihood"])


def _labels(recordings: Sequence[Recording]) -> tuple[str, ...]:
    return new_model(recordings).labels


def _fingerprint(recordings: Sequence[Recording], language: str, phone_set: str, seed: int) -> str:
    sounds = load_phone_set(phone_set).classes  # a user's file may have changed
    digest = hashlib.sha256(json.dumps([VERSION, language, sounds, seed]).encode())
    for recording in recordings:
        file = recording.path.stat() if recording.path.is_file() else None
        row = (
            recording.utterance_id, recording.speaker, str(recording.path),
            file and (file.st_size, file.st_mtime_ns), recording.start, recording.end, recording.text,
            [(word.text, word.pronunciations) for word in recording.words],
        )  # fmt: skip
        digest.update(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def _load(file: Path, model: AcousticModel) -> int:
    """Read a model; returns the rounds that it was trained for."""
    with safe_open(file, framework="numpy") as stored:
        model.load({name: stored.get_tensor(name) for name in stored.keys()})  # noqa: SIM118 - not a dict
        return int(stored.metadata()["rounds"])

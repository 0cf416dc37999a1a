"""A corpus as the Montreal Forced Aligner wants it: a folder per speaker, audio and ``.lab`` side by side.

Conventions
-----------
- Audio is not copied: the corpus holds symbolic links to the user's files. A wav (16 kHz, mono, 16 bit) is
  written instead where a link would not do: for a stretch of a longer file (beside a ``.lab``, MFA takes a
  file whole), for more than one channel (MFA hears the first only, all else here hears their mean), for a
  kind of file that MFA does not look for (`SUFFIXES`), and where the file system has no links.
- Folders and files are named after speakers and utterances in letters, digits, ``_`` and ``-``, with a number
  where two would be the same, also on a file system that does not tell ``a`` from ``A``. MFA's table of
  likelihoods names files without their folders, so that no two utterances of a corpus share a name.
- A transcript is given as it is: MFA parts it into words and drops its punctuation by its own rules. Only Han
  text under a user's own dictionary is parted here, into the longest words that the dictionary has: without a
  pretrained model MFA would take the whole sentence for one word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from layersim.alignment.aligned import Failure, Recording
from layersim.alignment.pronunciation.transcript import compose, is_han, tokens
from layersim.alignment.text import read_text
from layersim.corpus.audio import SAMPLE_RATE, audio_samples, read_audio
from layersim.errors import AudioError
from layersim.workspace import Progress

SUFFIXES = (".wav", ".flac", ".ogg", ".aiff", ".mp3", ".opus")  # what MFA 3 looks for, in any case
_LONGEST_NAME = 100  # characters; file systems take 255 bytes
_PROGRESS_EVERY = 50  # utterances


@dataclass(frozen=True)
class Entry:
    """One utterance's place in MFA's corpus."""

    recording: Recording
    folder: str
    name: str
    seconds: float
    stretch: tuple[float, float] | None  # seconds in the file; None for the whole
    link: bool

    @property
    def textgrid(self) -> str:
        """Where its alignment stands below MFA's output folder."""
        return f"{self.folder}/{self.name}.TextGrid"


def plan_corpus(recordings: Sequence[Recording]) -> tuple[list[Entry], list[Failure]]:
    """Give every utterance its place; those without text or usable audio have none.

    Only headers are read, and nothing is written.

    Raises
    ------
    ValueError
        If two recordings have the same id.
    """
    names = safe_names(recording.utterance_id for recording in recordings)
    if len(names) < len(recordings):
        raise ValueError("recordings: expected different utterance ids, got some twice")
    folders = safe_names(recording.speaker for recording in recordings)
    entries, failures = [], []
    for recording in recordings:
        name = recording.utterance_id
        if not recording.text.strip():
            failures.append(Failure(name, "it has no transcript. Add its text to the manifest."))
            continue
        try:
            stretch = _stretch(recording)
            samples = audio_samples(recording.path, *(stretch or (None, None)))
        except AudioError as error:
            failures.append(Failure(name, str(error)))
            continue
        link = (
            stretch is None
            and recording.path.suffix.casefold() in SUFFIXES
            and soundfile.info(recording.path).channels == 1
        )
        place = (folders[recording.speaker], names[name])
        entries.append(Entry(recording, *place, samples / SAMPLE_RATE, stretch, link))
    return entries, failures


def write_corpus(
    folder: Path, entries: Sequence[Entry], words: Collection[str], progress: Progress
) -> tuple[list[Entry], list[Failure]]:
    """Write MFA's corpus folder. Wavs that an interrupted call has written are kept.

    Parameters
    ----------
    words : collection of str
        Into which Han text is parted; empty to leave text as it is.

    Returns
    -------
    entries, failures
        Those written, and those whose audio turned out to be unusable.
    """
    written, failures = [], []
    longest = max(map(len, words), default=0)
    for done, entry in enumerate(entries):
        if done % _PROGRESS_EVERY == 0:
            progress("preparing MFA's corpus", done, len(entries))
        stem = folder / entry.folder / entry.name
        stem.parent.mkdir(parents=True, exist_ok=True)
        try:
            _place_audio(stem, entry)
        except AudioError as error:
            failures.append(Failure(entry.recording.utterance_id, str(error)))
            continue
        text = part_han(entry.recording.text, words, longest) if words else entry.recording.text
        Path(f"{stem}.lab").write_text(" ".join(text.split()) + "\n", encoding="utf-8")
        written.append(entry)
    progress("preparing MFA's corpus", len(entries), len(entries))
    return written, failures


def safe_names(originals: Iterable[str]) -> dict[str, str]:
    """Name files after anything: the same originals in the same order give the same names, each another.

    >>> safe_names(["03", "Müller, Eva", "Müller; Eva", "a/1", "A_1", "好"])
    {'03': '03', 'Müller, Eva': 'M_ller_Eva', 'Müller; Eva': 'M_ller_Eva-2', 'a/1': 'a_1', 'A_1': 'A_1-2',
     '好': 'x'}
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for original in dict.fromkeys(originals):
        plain = re.sub(r"[^A-Za-z0-9-]+", "_", original).strip("_-")[:_LONGEST_NAME] or "x"
        name, number = plain, 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.casefold())
        names[original] = name
    return names


def part_han(text: str, words: Collection[str], longest: int) -> str:
    """Part runs of Han characters into the longest words of a dictionary, from the left.

    Parameters
    ----------
    longest : int
        Characters in the longest word.

    >>> part_han("就是下雨，也去。 OK", {"下雨", "就是", "也"}, 2)
    '就是 下雨 也 去 OK'
    """
    parts: list[str] = []
    run, end = "", -1
    for token in tokens(compose(text)[0]):
        if is_han(token.text) and (token.start == end or not run):
            run += token.text
        else:
            parts += _longest_words(run, words, longest)
            run = token.text if is_han(token.text) else ""
            if not run:
                parts.append(token.text)
        end = token.end
    return " ".join([*parts, *_longest_words(run, words, longest)])


def dictionary_words(file: Path) -> frozenset[str]:
    """Read the words of a dictionary in MFA's form: the first field of each line."""
    return frozenset(line.split()[0] for line in read_text(file).splitlines() if line.strip())


def _longest_words(run: str, words: Collection[str], longest: int) -> list[str]:
    parts = []
    while run:
        size = next((n for n in range(min(longest, len(run)), 1, -1) if run[:n] in words), 1)
        parts.append(run[:size])
        run = run[size:]
    return parts


def _stretch(recording: Recording) -> tuple[float, float] | None:
    """Return the times of a stretch of a longer file; None for a whole file."""
    if recording.start is None and recording.end is None:
        return None
    end = recording.end
    return recording.start or 0.0, audio_samples(recording.path) / SAMPLE_RATE if end is None else end


def _place_audio(stem: Path, entry: Entry) -> None:
    """Link a file, or write the wav that stands for it."""
    source = entry.recording.path.resolve()
    if entry.link:
        link = Path(f"{stem}{source.suffix.lower()}")
        try:
            link.unlink(missing_ok=True)
            link.symlink_to(source)
            return
        except OSError:
            pass  # no links here: write it
    wav = Path(f"{stem}.wav")
    if not wav.exists():
        wave = read_audio(source, *(entry.stretch or (None, None)))
        draft = wav.with_suffix(".part")
        soundfile.write(draft, wave, SAMPLE_RATE, subtype="PCM_16", format="WAV")
        os.replace(draft, wav)

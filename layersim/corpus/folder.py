"""What stands in a corpus folder: its audio files, its text files, and the rows that are read from them.

Paths are relative to the folder and ``/``-separated. Hidden files are not part of a corpus (``._x.wav`` is
what macOS leaves beside ``x.wav``).
"""

from __future__ import annotations

import codecs
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import soundfile

from layersim.errors import LayersimError

# libsndfile names formats, not suffixes: these are the other common suffixes of formats that it reads.
# "raw" has no header, so that nothing says how to read it.
_SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats() if name != "RAW"} | {
    ".aif", ".aifc", ".snd", ".oga", ".opus", ".sph", ".wave",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One utterance as its corpus describes it: labels not mapped yet."""

    utterance_id: str
    path: str
    speaker: str
    language: str
    source_label: str
    text: str = ""
    gender: str = ""  # "female", "male" or ""
    split: str = ""  # the corpus's own: "train", "validation", "test" or ""
    start: float = math.nan  # seconds; NaN where the whole file is meant
    end: float = math.nan


@dataclass
class Reading:
    """All rows of a corpus folder, and everything in it that did not become one."""

    rows: list[Row] = field(default_factory=list)
    left_out: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)
    looked_for: str = ""  # for the error when nothing was found
    label_map: str = ""  # whose coding of emotions the labels follow; "" for the corpus's own name


class AudioFiles:
    """The audio files of a folder, found by path or, where a name is unique, by name."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = sorted(paths)
        self._exact = {path: path for path in self.paths}
        self._names = _unique((PurePosixPath(path).name, path) for path in self.paths)
        self._stems = _unique((without_suffix(path), path) for path in self.paths)
        self._name_stems = _unique((PurePosixPath(path).stem, path) for path in self.paths)

    def find(self, entry: str) -> str | None:
        """Return the path of the file that ``entry`` means, or None.

        An entry with a folder means that very file, perhaps with another suffix (a corpus converted to
        FLAC keeps its tables). A bare name is looked for in all folders and must stand in one of them only.

        >>> files = AudioFiles(["a/1.flac", "b/1.flac", "b/2.flac"])
        >>> files.find("a/1.wav"), files.find("2.wav"), files.find("1.wav"), files.find("c/2.flac")
        ('a/1.flac', 'b/2.flac', None, None)
        """
        path = entry.strip().replace("\\", "/").removeprefix("./")
        found = self._exact.get(path) or self._stems.get(without_suffix(path)) or self._stems.get(path)
        if found is None and path and "/" not in path:
            found = (
                self._names.get(path)
                or self._name_stems.get(PurePosixPath(path).stem)
                or self._name_stems.get(path)
            )
        return found


def find_audio(folder: Path) -> AudioFiles:
    """List the audio files below a folder; links to folders are followed, each folder is entered once."""
    paths: list[str] = []
    entered: set[str] = set()
    for where, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(where).relative_to(folder)
        paths += [
            (inside / name).as_posix()
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in _SUFFIXES
        ]
    return AudioFiles(paths)


def without_suffix(path: str) -> str:
    """Drop a path's last suffix.

    >>> without_suffix("wav/03a01Fa.wav")
    'wav/03a01Fa'
    """
    return PurePosixPath(path).with_suffix("").as_posix() if PurePosixPath(path).name else path


def read_corpus_text(file: Path, legacy: str) -> str:
    """Read a text file of unknown encoding: UTF-16 or UTF-8 where the bytes say so, else ``legacy``.

    Parameters
    ----------
    legacy : str
        The encoding of the corpus's time and language, such as ``gb18030`` or ``cp1252``. It cannot be
        guessed: every pair of Latin bytes is some Chinese character. Bytes it lacks become U+FFFD.

    Raises
    ------
    LayersimError
        If the file cannot be read.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise LayersimError(f"{file}: cannot be read: {error.strerror}. Mend or remove it.") from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    if b"\0" in data[:200]:  # text has no NUL: UTF-16 without its mark
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode(legacy, errors="replace")


def listed(what: str, names: Iterable[str], shown: int = 5) -> str:
    """Count and name what was left out, in one line.

    >>> listed("labels without audio", ["a", "b", "c"], shown=2)
    'labels without audio (3): a, b and 1 more'
    """
    all_names = list(names)
    more = f" and {len(all_names) - shown} more" if len(all_names) > shown else ""
    return f"{what} ({len(all_names)}): {', '.join(all_names[:shown])}{more}"


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Keep the pairs whose key stands once."""
    known = list(pairs)
    counts = Counter(key for key, _ in known)
    return {key: value for key, value in known if counts[key] == 1}

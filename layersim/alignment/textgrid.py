"""Praat TextGrids: read in every form that Praat and aligners write, write what Praat opens.

Reading is by Praat's own rule for its text files: what counts are quoted strings and free-standing numbers,
in order; all else is decoration. So the long and the short form are one, and a wrong ``intervals: size`` does
no harm. praatio writes, but does not read here: its version 6.2 turns a start of -0.5 into 0.5, loses the
last interval of a short file without a final line end, and refuses ``1e-05`` and neighbours that overlap by
the noise of a float.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from praatio import textgrid
from praatio.utilities.errors import PraatioException

from layersim.alignment.segments import PhoneFile, Segment, choose_tier
from layersim.alignment.text import read_text
from layersim.errors import LayersimError
from layersim.workspace import write_text

_DIGITS = 6  # of a second; praatio refuses intervals that overlap by the noise of a float
_TOKEN = re.compile(
    # Every character in one way only: a broken file takes no longer than a whole one.
    r'"(?P<string>[^"]*(?:""[^"]*)*)"'
    r"|(?<!\S)(?P<number>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)"
)
_TIMES = {"IntervalTier": 2, "TextTier": 1}  # numbers before each label


def read_textgrid(file: Path) -> PhoneFile:
    """Read the phone tier of a TextGrid, and where it says that its recording ends (``xmax``).

    Raises
    ------
    LayersimError
        If it is no TextGrid, ends in the middle, or has no interval tier named like a phone tier.
    """
    end, tiers = _read_grid(file)
    return PhoneFile(choose_tier(tiers, str(file)), end)


def read_tiers(file: Path) -> list[tuple[str, list[Segment]]]:
    """Read the interval tiers of a TextGrid: long or short form, UTF-8 or UTF-16, whatever sizes it states.

    Returns
    -------
    list of (name, segments)
        In the file's order, labels as they stand.

    Raises
    ------
    LayersimError
        If it is no TextGrid or ends in the middle.
    """
    return _read_grid(file)[1]


def _read_grid(file: Path) -> tuple[float | None, list[tuple[str, list[Segment]]]]:
    """Read where the whole ends, and the interval tiers."""
    tokens: list[str | float] = [
        float(found["number"]) if found["string"] is None else found["string"].replace('""', '"').strip()
        for found in _TOKEN.finditer(read_text(file))
    ]
    if len(tokens) < 2 or not str(tokens[0]).startswith("ooTextFile") or tokens[1] != "TextGrid":
        raise LayersimError(f"{file}: is no TextGrid in text form. Save it in Praat as a text file.")
    place = 2
    while place < len(tokens) and isinstance(tokens[place], float):
        place += 1  # the times of the whole and the number of tiers
    end = tokens[3] if place > 3 else None
    tiers = []
    while place < len(tokens):
        name, segments, place = _read_tier(tokens, place, file)
        tiers.append((name, segments))
    intervals = [(name, segments) for name, segments in tiers if segments is not None]
    return end if isinstance(end, float) else None, intervals


def _read_tier(
    tokens: Sequence[str | float], place: int, file: Path
) -> tuple[str, list[Segment] | None, int]:
    """Read one tier from its class on: name, segments (None for points), and where the next one starts."""
    kind, name = tokens[place], tokens[place + 1] if place + 1 < len(tokens) else None
    if kind not in _TIMES or not isinstance(name, str):
        raise LayersimError(f"{file}: expected a tier, found {kind!r}. Open and save it in Praat.")
    times = _TIMES[str(kind)]
    head = tokens[place + 2 : place + 5]  # start, end and stated size
    if len(head) < 3 or any(isinstance(token, str) for token in head):
        raise LayersimError(f"{file}: tier {name!r} breaks off in its head. Open and save it in Praat.")
    place += 5
    segments: list[Segment] = []
    while place < len(tokens) and isinstance(tokens[place], float):
        *numbers, label = tokens[place : place + times + 1]
        if len(numbers) != times or not isinstance(label, str) or any(isinstance(n, str) for n in numbers):
            raise LayersimError(
                f"{file}: tier {name!r} breaks off or lacks a time or label after {len(segments)} entries. "
                "Open and save it in Praat."
            )
        segments.append(Segment(float(numbers[0]), float(numbers[-1]), label))
        place += times + 1
    return name, segments if kind == "IntervalTier" else None, place


def write_textgrid(
    file: Path, duration: float, tiers: Mapping[str, Sequence[tuple[float, float, str]]]
) -> None:
    """Write a TextGrid (long form, UTF-8) of interval tiers, whole or not at all.

    Parameters
    ----------
    duration : float, seconds
        Of the recording; the gaps between intervals become empty intervals.
    tiers : mapping
        Tier name -> (start, end, label), in seconds, rounded to microseconds.

    Raises
    ------
    LayersimError
        If an interval has no length, overlaps another, or reaches beyond the recording.
    """
    length = round(duration, _DIGITS)
    grid = textgrid.Textgrid(0.0, length)
    try:
        for name, intervals in tiers.items():
            entries = [(round(start, _DIGITS), round(end, _DIGITS), label) for start, end, label in intervals]
            if any(start < 0 or end > length for start, end, _ in entries):
                raise LayersimError(f"{file}: tier {name} reaches beyond 0 to {duration:g} s.")
            grid.addTier(textgrid.IntervalTier(name, entries, 0.0, length))
        with TemporaryDirectory() as folder:
            draft = Path(folder) / "draft.TextGrid"
            grid.save(str(draft), "long_textgrid", includeBlankSpaces=True, reportingMode="silence")
            write_text(file, draft.read_text(encoding="utf-8"))
    except PraatioException as error:
        raise LayersimError(f"{file}: cannot be written: {error}") from None

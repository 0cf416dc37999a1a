"""Praat TextGrids: read in every form that Praat and aligners write, write what Praat opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from praatio import textgrid
from praatio.utilities.errors import PraatioException

from layersim.alignment.segments import PHONE_TIERS, Segment, choose_tier
from layersim.errors import LayersimError
from layersim.workspace import write_text

_DIGITS = 6  # of a second; praatio refuses intervals that overlap by the noise of a float


def read_textgrid(file: Path) -> list[Segment]:
    """Read the phone tier of a TextGrid: long or short form, UTF-8 or UTF-16, whatever sizes it states.

    Raises
    ------
    LayersimError
        If it cannot be parsed, or has no interval tier named like a phone tier.
    """
    try:
        grid = textgrid.openTextgrid(
            str(file), includeEmptyIntervals=False, reportingMode="silence", duplicateNamesMode="rename"
        )
        tiers = {
            tier.name: [Segment(float(start), float(end), label) for start, end, label in tier.entries]
            for tier in grid.tiers
            if isinstance(tier, textgrid.IntervalTier)
        }
    except (PraatioException, OSError, ValueError, LookupError, AttributeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise LayersimError(
            f"{file}: is no TextGrid that can be read: {first}. Open and save it in Praat."
        ) from None
    return choose_tier(tiers, str(file))


def write_textgrid(
    file: Path, duration: float, tiers: Mapping[str, Sequence[tuple[float, float, str]]]
) -> None:
    """Write a TextGrid (long form, UTF-8) of interval tiers, whole or not at all.

    Parameters
    ----------
    duration : float, seconds
        Of the recording; the gaps between intervals become empty intervals.
    tiers : mapping
        Tier name -> (start, end, label), in seconds.

    Raises
    ------
    LayersimError
        If intervals overlap or reach beyond the duration.
    """
    grid = textgrid.Textgrid(0.0, round(duration, _DIGITS))
    try:
        for name, intervals in tiers.items():
            entries = [
                (round(start, _DIGITS), round(end, _DIGITS), label)
                for start, end, label in intervals
                if round(start, _DIGITS) < round(end, _DIGITS)
            ]
            if any(start < 0 or end > round(duration, _DIGITS) for start, end, _ in entries):
                raise LayersimError(f"{file}: tier {name} reaches beyond 0 to {duration:g} s.")
            grid.addTier(textgrid.IntervalTier(name, entries, 0.0, round(duration, _DIGITS)))
        with TemporaryDirectory() as folder:
            draft = Path(folder) / "draft.TextGrid"
            grid.save(str(draft), "long_textgrid", includeBlankSpaces=True, reportingMode="silence")
            write_text(file, draft.read_text(encoding="utf-8"))
    except PraatioException as error:
        raise LayersimError(f"{file}: cannot be written: {error}") from None


__all__ = ["PHONE_TIERS", "read_textgrid", "write_textgrid"]

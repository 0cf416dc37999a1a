"""What the Montreal Forced Aligner writes when asked for JSON: one file per utterance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layersim.alignment.segments import PhoneFile, Segment, choose_tier
from layersim.alignment.text import read_text
from layersim.documents import parse_json
from layersim.errors import LayersimError


def read_mfa_json(file: Path) -> PhoneFile:
    """Read the phones of ``mfa align --output_format json``: under ``tiers``, ``phones``, ``entries``.

    Where the recording ends stands under ``end``.

    Raises
    ------
    LayersimError
        If the file is not of that form.
    """
    document = parse_json(read_text(file), str(file))
    try:
        tiers = [(str(name), _entries(tier)) for name, tier in document["tiers"].items()]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise LayersimError(
            f"{file}: is no alignment in MFA's JSON form (tiers, entries): {type(error).__name__}: {error}."
        ) from None
    end = document.get("end")
    known = isinstance(end, (int, float)) and not isinstance(end, bool)
    return PhoneFile(choose_tier(tiers, str(file)), float(end) if known else None)


def _entries(tier: Any) -> list[Segment]:
    return [Segment(float(start), float(end), str(label)) for start, end, label in tier["entries"]]

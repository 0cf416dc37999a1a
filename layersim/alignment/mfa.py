"""What the Montreal Forced Aligner writes beside TextGrids: JSON and CSV, one file per utterance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from layersim.alignment.segments import Segment, choose_tier
from layersim.alignment.table import read_table
from layersim.errors import LayersimError


def read_mfa_json(file: Path) -> list[Segment]:
    """Read the phones of ``mfa align --output_format json``: under ``tiers``, ``phones``, ``entries``.

    Raises
    ------
    LayersimError
        If the file is not of that form.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
        tiers = {str(name): _entries(tier) for name, tier in document["tiers"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LayersimError(
            f"{file}: is no alignment in MFA's JSON form (tiers, entries): {type(error).__name__}: {error}."
        ) from None
    return choose_tier(tiers, str(file))


def _entries(tier: Any) -> list[Segment]:
    return [Segment(float(start), float(end), str(label)) for start, end, label in tier["entries"]]


def read_mfa_csv(file: Path) -> list[Segment]:
    """Read the phones of ``mfa align --output_format csv``: columns Begin, End, Label, Type, Speaker.

    Raises
    ------
    LayersimError
        If a column is missing or a time is no number.
    """
    table, _ = read_table(file, with_utterance=False)
    return [Segment(*row) for row in zip(table["start"], table["end"], table["phone"], strict=True)]

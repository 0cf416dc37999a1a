"""How the page shows a figure and a number."""

from __future__ import annotations

import base64
from pathlib import Path

NOTHING = "–"


def image(file: Path, caption: str) -> dict[str, str]:
    """Embed a figure."""
    kind = "image/svg+xml" if file.suffix == ".svg" else "image/png"
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    return {"data": f"data:{kind};base64,{data}", "alt": caption, "caption": caption}


def number(value: float | None) -> str:
    """Print a score."""
    return NOTHING if value is None else f"{value:.3f}"


def per_cent(share: float | None) -> str:
    """Print a share in per cent."""
    return NOTHING if share is None else f"{100 * share:.1f}"


def span(low: float | None, high: float | None) -> str:
    """Print an interval."""
    return NOTHING if low is None or high is None else f"{low:.3f} to {high:.3f}"

"""What goes wrong on the user's side: their files, their data, their settings.

A message says where, what, and what to do. The caller's own mistakes in Python (a wrong shape, an
unknown argument) are ``ValueError`` instead, so that ``main()`` can catch the one and let the other
keep its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class LayersimError(Exception):
    """The user's data, files or settings are wrong; the message says where, what and what to do."""


class UsageError(LayersimError):
    """A flag has a value that is not allowed; the command line exits with 2."""


class AudioError(LayersimError):
    """A recording cannot be used: missing, empty, corrupt, silent, not finite or too short."""


class StageMissingError(LayersimError):
    """A stage was asked for before the one that it reads from has run."""


class ProvenanceError(LayersimError):
    """A cache was made with other settings than those now asked for."""


class ClaimedError(LayersimError):
    """Another living process is writing what was to be written."""


def summarise_faults(heading: str, faults: Sequence[str], advice: str = "", shown: int = 10) -> str:
    """One message for many faults: the heading, the first ``shown``, how many more, what to do.

    >>> print(summarise_faults("2 bad rows", ["row 2: no speaker", "row 5: no path"], shown=1))
    2 bad rows:
      row 2: no speaker
      ... and 1 more
    """
    lines = [f"{heading}:", *(f"  {fault}" for fault in faults[:shown])]
    if len(faults) > shown:
        lines.append(f"  ... and {len(faults) - shown} more")
    if advice:
        lines.append(advice)
    return "\n".join(lines)

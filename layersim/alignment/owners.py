"""Which utterance a file, or a name in a table, belongs to.

A name and an utterance id are both split at ``/``. They belong together if, read from the end, they agree as
far as both go: the file ``s0/u05`` is that of ``s0/u05``, of ``u05`` and of ``corpus/s0/u05``, but not of
``s1/u05``. The last folders of a name may also be joined with ``_`` or ``-``: ``s0/u05`` is that of
``s0_u05``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

_AUDIO = re.compile(r"\.(?:wav|flac|mp3|ogg|opus|m4a|aiff?|sph|nist)$", re.IGNORECASE)


class Owners:
    """Utterance ids, found by what their files are called.

    >>> owners = Owners(["s0/u05", "s1_u05"])
    >>> owners.of("output/s0/u05"), owners.of("s1/u05"), owners.of("s2/u05")
    (['s0/u05'], ['s1_u05'], [])
    """

    def __init__(self, utterance_ids: Iterable[str]) -> None:
        self._ids: dict[str, list[tuple[str, list[str]]]] = defaultdict(list)
        for name in utterance_ids:
            parts = name.split("/")
            self._ids[parts[-1]].append((name, parts))

    def of(self, name: str) -> list[str]:
        """Return the ids that a name may mean: none, one, or several where it is ambiguous."""
        found: dict[str, None] = {}
        for parts in _readings(_AUDIO.sub("", name.replace("\\", "/")).split("/")):
            for identity, wanted in self._ids.get(parts[-1], ()):
                if all(a == b for a, b in zip(reversed(parts), reversed(wanted), strict=False)):
                    found[identity] = None
        return list(found)


def _readings(parts: Sequence[str]) -> Iterator[Sequence[str]]:
    yield parts
    for first in range(len(parts) - 1):
        for sign in "_-":
            yield (*parts[:first], sign.join(parts[first:]))

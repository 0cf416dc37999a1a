"""Several extracts on one cache at once: who they are, and that none replaces what another is making.

An extract that is at work on a cache holds a claim there (``worker-PROVENANCE-NUMBER.claim``) from before it
looks at the shards until it is done; its name tells others whether they make the same cache. One that has
shards of another making to remove (``--force``) does so under a claim on the whole (``replacing.claim``): no
other may be at work then, and who comes meanwhile waits.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from layersim.errors import ClaimedError
from layersim.features import claims
from layersim.features.claims import Claim, Worker
from layersim.features.shard_file import writing_to
from layersim.features.shard_heads import is_otherwise, refuse_other_shards, remove_other_shards
from layersim.features.shard_writer import remove_left_overs

LOOK_EVERY = 0.5  # seconds between looks at what other processes have done


@contextmanager
def at_work(folder: Path, provenance: Mapping[str, Any], force: bool) -> Iterator[list[Worker]]:
    """Be at work on a cache, together with whoever else is; what killed workers left is removed.

    Parameters
    ----------
    force : bool
        Remove shards that were made otherwise than ``provenance`` says, or cannot be read.

    Yields
    ------
    list of Worker
        The others that were at work when this one came.

    Raises
    ------
    ClaimedError
        If another living extract is at work there with other settings, or what it makes would be removed.
    ProvenanceError
        If shards were made otherwise, and ``force`` is not set.
    LayersimError
        If the folder cannot be written to.
    """
    same = f"worker-{_digest(provenance)}-"
    with ExitStack() as held:
        with writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
            remove_left_overs(folder)
            others = workers_in(folder)
            if force and is_otherwise(folder, provenance):
                with _take_when_free(folder / "replacing"):
                    if is_otherwise(folder, provenance):  # still: another may have replaced it just now
                        _replace(folder, provenance)
                    held.enter_context(_announce(folder, same))
            else:
                held.enter_context(_announce(folder, same))
                if claims.worker_on(folder / "replacing") is not None:
                    _take_when_free(folder / "replacing").release()
            _refuse_other_settings(folder, same)
            refuse_other_shards(folder, provenance)
        yield others
        remove_left_overs(folder)


def workers_in(folder: Path, but: str | None = None) -> list[Worker]:
    """Return the living processes that are at work on a cache, the longest there first; not this one.

    Parameters
    ----------
    but : str, optional
        Without those whose claims begin so: they are found by name, in one look, so that one that comes at
        this moment is not taken for another's.
    """
    this = Worker.this()
    found = {
        worker
        for path in folder.glob(f"worker-*{claims.SUFFIX}")
        if (but is None or not path.name.startswith(but))
        and (worker := claims.worker_on(path.with_suffix(""))) is not None
    }
    return sorted(found - {this}, key=lambda worker: (worker.since, worker.host, worker.process))


def _digest(provenance: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(provenance, sort_keys=True).encode("utf-8")).hexdigest()[:12]


def _announce(folder: Path, name: str) -> Claim:
    claim = claims.take(folder / f"{name}{secrets.token_hex(4)}")
    if claim is None:
        raise ValueError("two workers drew the same name")
    return claim


def _refuse_other_settings(folder: Path, same: str) -> None:
    if others := workers_in(folder, but=same):
        raise ClaimedError(
            f"{folder}: another extract is making this cache with other settings: {others[0]}. Wait until it "
            "has ended, or stop it, then run this command again."
        )


def _replace(folder: Path, provenance: Mapping[str, Any]) -> None:
    if others := workers_in(folder):
        raise ClaimedError(
            f"{folder}: --force would remove what another extract is making there: {others[0]}. Wait until "
            "it has ended, or stop it, then run this command again."
        )
    remove_other_shards(folder, provenance)


def _take_when_free(file: Path) -> Claim:
    while (claim := claims.take(file)) is None:
        time.sleep(LOOK_EVERY)
    return claim

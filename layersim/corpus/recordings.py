"""From a corpus's table in ``layersim.toml`` to its manifest and its files: the one way there.

A manifest may come from someone else, so its paths decide what is opened only below the audio root: one that
is absolute or has ``..`` is refused when the manifest is read, unless ``outside_audio_root = true`` stands in
the corpus's table. What is looked at is the path's text. Links are followed, the root itself may be one, and
so may files and folders in it: whoever made the root made them, and links to a disk elsewhere are how corpora
are shared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pandas as pd

from layersim.corpus.manifest import read_manifest
from layersim.errors import LayersimError
from layersim.workspace import CorpusEntry

Item = TypeVar("Item")
Found = TypeVar("Found")

_BLOCK = 64  # files, after which it is known how fast a disk opens them
_SLOW = 5e-4  # seconds a file: beyond it a thread waits for the disk, and others may work meanwhile
_AT_ONCE = 16


def read_corpus_manifest(name: str, entry: CorpusEntry) -> pd.DataFrame:
    """Read and check the manifest of one corpus.

    Raises
    ------
    ManifestError
        As `layersim.corpus.manifest.read_manifest`.
    LayersimError
        If it holds another corpus's rows.
    """
    manifest = read_manifest(entry.manifest, entry.outside_audio_root)
    if others := sorted(set(manifest["corpus"]) - {name}):
        raise LayersimError(
            f"{entry.manifest}: holds rows of corpus {', '.join(others)}; expected {name} only."
        )
    return manifest


def audio_file(audio_root: Path, path: str) -> Path:
    """Return the file that a manifest's ``path`` names; the manifest has been checked.

    >>> audio_file(Path("corpora/emodb"), "wav/03a01Fa.wav").as_posix()
    'corpora/emodb/wav/03a01Fa.wav'
    """
    return audio_root / path


def map_files(
    function: Callable[[Item], Found], items: Sequence[Item], processes: Executor | None = None
) -> Iterator[Found]:
    """Call a function that opens a file for each item, in order.

    One after the other while files open fast, which is twice as fast as in threads; several at once from
    where they do not, as on a disk across a network.

    Parameters
    ----------
    processes : Executor, optional
        That run already, for other work on these files, and may do this too.
    """
    if processes is not None:
        yield from processes.map(function, items, chunksize=_BLOCK)
        return
    done = 0
    while done < len(items):
        began = time.perf_counter()
        block = items[done : done + _BLOCK]
        yield from [function(item) for item in block]
        done += len(block)
        if time.perf_counter() - began > _SLOW * len(block):
            break
    if done < len(items):
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            yield from pool.map(function, items[done:])

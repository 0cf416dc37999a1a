"""The HDF5 files of a cache: what is in one, where it stands, and how it is opened.

Layout of ``part-00000.h5``, N utterances, P phones, K layers, D wide::

    utterance/table   (N,)       utterance (its key), samples (at 16 kHz), frames
    utterance/mean    (N, K, D)  float32, chunks (64, 1, D)
    utterance/std     (N, K, D)  float32, chunks (64, 1, D)
    utterance/values  (N, K, D)  float32, chunks (64, 1, D); acoustic features, in place of mean and std
    utterance/failed  (M,)       utterance (its key), place, reason; only where utterances have no features
    phone/table       (P,)       utterance (its key), phone, start, end (seconds), frames, middle_frames
    phone/mean        (P, Kf, D) float32, chunks (64, 1, D); Kf: the layers that have frames
    phone/middle      (P, Kf, D) float32, chunks (64, 1, D); only on request
    frames            (Kf, F, D) float16, chunks (1, 256, D); only on request
    frame_offsets     (N + 1,)   utterance n owns frames [offset n, offset n + 1)

``phone`` is there if the corpus has phone times. Its ``frames`` counts the frames centred in the phone;
0 says that the nearest frame stands in. ``middle_frames`` counts likewise those of its middle third, and is
there if ``phone/middle`` is. ``utterance/failed`` names the utterances that this shard should hold and does
not, their place among all of its utterances, and why; such a shard serves, and is made anew by the next run.
Root attributes are the provenance, one JSON text per entry; those of the group ``utterance`` say which
``shard`` of how many ``shards`` this is. Nothing is compressed: hidden states are noise to a codec. A
checksum of all that stands before it (`layersim.features.shard_file`). A file that is there is complete
(`layersim.features.shard_writer`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from layersim.errors import LayersimError
from layersim.features.provenance import NO_LONGER_SAID, UNSAID
from layersim.features.shard_form import inner_dataset, text_attributes

Array = npt.NDArray[Any]

FAILED = "failed.csv"  # beside the shards, see `layersim.features.failures`

MADE_AGAIN = "Delete this file and run layersim extract again: it makes only what is missing."


class MiddleRows(NamedTuple):
    """The middle thirds of one shard's phones."""

    frames: Array  # (P,) centred in the middle third; 0: the nearest stands in
    mean: Array  # (P, Kf, D) float32


@dataclass(frozen=True)
class PhoneRows:
    """The phones of one shard, in the order of its utterances, then of time."""

    utterance: Sequence[str]  # keys, (P,)
    phone: Sequence[str]
    start: Array  # seconds, (P,)
    end: Array
    frames: Array  # centred in the phone; 0: the nearest stands in
    mean: Array  # (P, Kf, D) float32
    middle: MiddleRows | None = None  # None: not asked for


@dataclass(frozen=True)
class FailedRows:
    """The utterances of one shard that have no features."""

    utterance: Sequence[str]  # keys, (M,)
    place: Array  # (M,) among all utterances of the shard, these included
    reason: Sequence[str]

    @classmethod
    def of(cls, failed: Mapping[int, tuple[str, str]]) -> FailedRows | None:
        """Put key and reason of every failed place in order; None if there are none."""
        if not failed:
            return None
        places = sorted(failed)
        keys, reasons = zip(*(failed[place] for place in places), strict=True)
        # The name of a file may hold what UTF-8 does not.
        told = [reason.encode("utf-8", "backslashreplace").decode("utf-8") for reason in reasons]
        return cls(keys, np.array(places), told)


@dataclass(frozen=True)
class ShardRows:
    """The pooled content of one shard."""

    utterance: Sequence[str]  # keys, (N,)
    samples: Array  # (N,)
    frames: Array  # (N,)
    mean: Array  # (N, K, D) float32
    std: Array  # (N, K, D) float32
    phones: PhoneRows | None
    failed: FailedRows | None = None  # None: all utterances are there


@dataclass(frozen=True)
class AcousticRows:
    """The acoustic features of one shard, which no encoder made."""

    utterance: Sequence[str]  # keys, (N,)
    samples: Array  # (N,)
    frames: Array  # (N,) those that hold some of the recording; 0 where there are none to count
    values: Array  # (N, K, D) float32
    failed: FailedRows | None = None  # None: all utterances are there


def part_file(folder: Path, index: int) -> Path:
    """Where shard ``index`` stands."""
    return folder / f"part-{index:05d}.h5"


def part_files(folder: Path) -> list[Path]:
    """Return the finished shards of a folder, in order."""
    return sorted(folder.glob("part-*.h5"))


def shard_ranges(utterances: int, shard_size: int) -> list[range]:
    """Cut the rows of a manifest into shards.

    >>> shard_ranges(5, 2)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [range(start, min(start + shard_size, utterances)) for start in range(0, utterances, shard_size)]


def provenance_of(shard: h5py.File) -> dict[str, Any]:
    """Return the provenance that an open shard carries, without what only older versions said.

    Raises
    ------
    LayersimError
        If an attribute is no JSON.
    """
    said = {key: value for key, value in text_attributes(shard).items() if key not in NO_LONGER_SAID}
    return {**UNSAID, **said}


def failed_of(shard: h5py.File) -> list[tuple[str, int, str]]:
    """Return key, place in the shard and reason of every utterance that an open shard lacks."""
    if "utterance/failed" not in shard:
        return []
    rows = shard["utterance/failed"][:]
    texts = ([text.decode("utf-8") for text in rows[name]] for name in ("utterance", "reason"))
    keys, reasons = texts
    return list(zip(keys, rows["place"].tolist(), reasons, strict=True))


@contextmanager
def open_shard(file: Path) -> Iterator[h5py.File]:
    """Open a finished shard for reading; what is done with it in the ``with`` block only reads it.

    Raises
    ------
    LayersimError
        If it is not HDF5 or not a shard, or is damaged: something other than layersim has written to it.
    """
    try:
        with h5py.File(file, "r") as shard:
            if inner_dataset(shard, "utterance/table") is None:
                raise LayersimError(f"{file}: is not a layersim cache. Move it out of the cache's folder.")
            yield shard
    except LayersimError:
        raise
    except Exception as error:  # of many kinds: h5py says of damaged files what HDF5 stumbled over
        if isinstance(error, OSError) and error.errno is not None:
            raise LayersimError(f"{file}: cannot be read: {error.strerror or error}.") from None
        raise LayersimError(f"{file}: cannot be read as HDF5 ({error}). {MADE_AGAIN}") from error

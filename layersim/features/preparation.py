"""What is to be extracted from one corpus, checked whole before an encoder is loaded.

Reading the headers of all recordings takes seconds; finding the one that is too short after a night of
encoding costs the night. Phone times are relative to the start of their utterance.

Where a run is to keep going, recordings that cannot be used are left out and named; phones that lie beyond
their audio are refused all the same: mending them makes another alignment, and so another cache.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from layersim.alignment.phone_set import load_phone_set
from layersim.alignment.segments import BEYOND_AUDIO
from layersim.alignment.vowels import map_classes
from layersim.corpus.audio import SAMPLE_RATE, count_samples
from layersim.corpus.manifest import manifest_sha256, utterance_keys
from layersim.corpus.recordings import audio_file, map_files
from layersim.corpus.sample import balanced_sample
from layersim.errors import LayersimError
from layersim.features.decoding import Clip
from layersim.features.provenance import (
    ALL_UTTERANCES,
    alignment_sha256,
    request_provenance,
    utterances_sha256,
)
from layersim.features.shards import shard_ranges
from layersim.workspace import Progress, no_progress

logger = logging.getLogger(__name__)

OTHER_LENGTH = 0.1  # seconds: more than aligners and resampling round

_PROGRESS_EVERY = 100  # files


class Part(NamedTuple):
    """Which shard of a corpus a job holds, where it holds only one."""

    shard: int
    of: int  # shards of the whole corpus


@dataclass(frozen=True)
class CorpusJob:
    """One corpus, checked and ready to encode."""

    corpus: str
    manifest: pd.DataFrame  # the selected rows, in the manifest's order
    whole: int  # rows of the whole manifest
    clips: list[Clip]  # one per row
    pooled: pd.DataFrame  # phones to pool (utterance_id, phone, start, end), by row, then time
    offsets: npt.NDArray[np.int64]  # (N + 1,): row n owns the pooled phones [offset n, offset n + 1)
    aligned: pd.DataFrame | None  # all phones of these utterances, with vowels; None: no alignments
    unknown_phones: dict[str, int]  # labels that the phone set does not know, and how often they occur
    provenance: dict[str, Any]  # all but the encoder's part
    inputs: dict[str, str]  # names and hashes for run.json
    notes: list[str] = field(default_factory=list)
    keep_going: bool = False  # whether utterances that fail are left out, rather than stop the run
    unusable: dict[int, str] = field(default_factory=dict)  # row -> why; only with keep_going
    part: Part | None = None  # None: the rows of every shard are here

    @property
    def seconds(self) -> float:
        """Length of the selected audio."""
        return sum(clip.samples for clip in self.clips) / SAMPLE_RATE

    @property
    def shards(self) -> int:
        """How many shards the corpus makes."""
        return self.part.of if self.part else len(self._ranges())

    def rows(self, index: int) -> range:
        """Which of the clips go into shard ``index``.

        Raises
        ------
        ValueError
            If this is the job of another shard.
        """
        if self.part is None:
            return self._ranges()[index]
        if index != self.part.shard:
            raise ValueError(f"index: expected {self.part.shard}, the only shard here, got {index}")
        return range(len(self.clips))

    def samples(self, index: int) -> int:
        """How much audio goes into shard ``index``, in samples at 16 kHz."""
        rows = self.rows(index)
        return sum(clip.samples for clip in self.clips[rows.start : rows.stop])

    def alone(self, index: int) -> CorpusJob:
        """Return the job of one shard, small enough to be sent to another machine."""
        rows = self.rows(index)
        offsets = self.offsets[rows.start : rows.stop + 1]
        return replace(
            self,
            manifest=self.manifest.iloc[rows.start : rows.stop],
            clips=self.clips[rows.start : rows.stop],
            pooled=self.pooled.iloc[int(offsets[0]) : int(offsets[-1])],
            offsets=offsets - offsets[0],
            aligned=None if self.aligned is None else self.aligned.iloc[:0],
            unknown_phones={},
            notes=[],
            unusable={row - rows.start: self.unusable[row] for row in rows if row in self.unusable},
            part=Part(index, self.shards),
        )

    def _ranges(self) -> list[range]:
        return shard_ranges(len(self.clips), self.provenance["shard_size"])


@dataclass(frozen=True)
class Phones:
    """The phones of a corpus and how to read them."""

    table: pd.DataFrame  # utterance_id, start, end, phone
    phone_set: str
    which: Literal["vowels", "all"]
    notes: tuple[str, ...] = ()
    durations: Mapping[str, float] = field(default_factory=dict)  # s, as alignment files say, by utterance


def prepare_corpus(
    manifest: pd.DataFrame,
    audio_root: Path,
    phones: Phones | None,
    *,
    limit: int | None,
    seed: int,
    store: str,
    shard_size: int,
    middle: bool = False,
    keep_going: bool = False,
    progress: Progress = no_progress,
    processes: Executor | None = None,
) -> tuple[CorpusJob | None, list[str]]:
    """Select the utterances, read the header of every recording, and check the phone times against them.

    Parameters
    ----------
    manifest : DataFrame
        Of one corpus.
    limit : int, optional
        Take so many utterances, balanced over emotions and speakers; None: all.
    middle : bool
        Pool the middle thirds of phones too.
    keep_going : bool
        Recordings that cannot be used are no faults, as long as one can.
    processes : Executor, optional
        That may read headers; None: this process does.

    Returns
    -------
    job : CorpusJob or None
        None if there are faults.
    faults : list of str
        Everything that is wrong, one sentence each: file or utterance, what, what to do.

    Raises
    ------
    LayersimError
        If the manifest is empty, holds several corpora, or its phone set is unknown.
    """
    names = sorted(set(manifest["corpus"]))
    if len(names) != 1:
        raise LayersimError(
            f"a manifest of one corpus with at least one row is needed; this one holds {len(manifest)} rows "
            f"of {', '.join(names) or 'no corpus'}."
        )
    whole = manifest
    selection: Any = ALL_UTTERANCES
    if limit is not None and limit < len(manifest):
        manifest = balanced_sample(manifest, limit, seed)
        selection = {"limit": limit, "seed": seed}
    manifest = manifest.reset_index(drop=True)
    samples, unusable = _read_headers(names[0], manifest, audio_root, progress, processes)
    keep_going = keep_going and len(unusable) < len(manifest)
    faults = [] if keep_going else list(unusable.values())
    aligned, notes = None, list(phones.notes) if phones else []
    unknown: dict[str, int] = {}
    chosen = pd.DataFrame({"utterance_id": [], "phone": [], "start": [], "end": []})
    if phones is not None:
        table = phones.table[phones.table["utterance_id"].isin(manifest["utterance_id"])]
        aligned, unknown = map_classes(table.reset_index(drop=True), load_phone_set(phones.phone_set))
        chosen = aligned[aligned["vowel"] != ""] if phones.which == "vowels" else aligned
        if unknown:
            notes.append(_unknown_note(phones.phone_set, unknown))
        faults += _late_phones(manifest, samples, chosen)
        notes += _other_lengths(manifest, samples, phones.durations)
    if faults:
        return None, faults
    chosen, offsets = _in_order(manifest, chosen)
    hashed = alignment_sha256(chosen) if phones else None
    inputs = {"manifest": manifest_sha256(whole), **({"phones": hashed} if hashed else {})}
    job = CorpusJob(
        corpus=names[0],
        manifest=manifest,
        whole=len(whole),
        clips=_clips(manifest, audio_root, samples),
        pooled=chosen,
        offsets=offsets,
        aligned=aligned,
        unknown_phones=unknown,
        provenance=request_provenance(
            selection=selection,
            manifest_sha256=utterances_sha256(manifest),
            alignment_sha256=hashed,
            phone_set=phones.phone_set if phones else None,
            phones=phones.which if phones else None,
            middle=middle and phones is not None,
            store=store,
            shard_size=shard_size,
        ),
        inputs=inputs,
        notes=notes,
        keep_going=keep_going,
        unusable=unusable,
    )
    return job, []


def _time(seconds: float) -> float | None:
    return None if np.isnan(seconds) else float(seconds)


def _read_headers(
    corpus: str, manifest: pd.DataFrame, audio_root: Path, progress: Progress, processes: Executor | None
) -> tuple[npt.NDArray[np.int64], dict[int, str]]:
    """Count the samples of every utterance; and what is wrong with rows that have none, naming the file."""
    columns = (manifest[name].tolist() for name in ("path", "start", "end"))
    stretches = [
        (audio_file(audio_root, path), _time(start), _time(end))
        for path, start, end in zip(*columns, strict=True)
    ]
    samples, unusable = np.zeros(len(manifest), dtype=np.int64), {}
    for place, found in enumerate(map_files(count_samples, stretches, processes)):
        if isinstance(found, str):
            unusable[place] = found
        else:
            samples[place] = found
        if place % _PROGRESS_EVERY == 0:
            progress(f"checking {corpus}", place, len(manifest))
    progress(f"checking {corpus}", len(manifest), len(manifest))
    return samples, unusable


def _late_phones(manifest: pd.DataFrame, samples: npt.NDArray[np.int64], phones: pd.DataFrame) -> list[str]:
    """Phones that end after their utterance; utterances whose header is faulty are left out."""
    durations = dict(zip(manifest["utterance_id"].tolist(), (samples / SAMPLE_RATE).tolist(), strict=True))
    names, ends = phones["utterance_id"].tolist(), phones["end"].to_numpy(dtype=np.float64)
    length = np.array([durations[name] for name in names], dtype=np.float64)
    late = phones[(length > 0) & (ends > length + BEYOND_AUDIO)]
    columns = (late[name].tolist() for name in ("utterance_id", "phone", "start", "end"))
    return [
        f"{utterance}: phone {phone!r} at {start:.3f}..{end:.3f} s lies beyond the audio, which is "
        f"{durations[utterance]:.3f} s long. Is the alignment of another recording, or in other units?"
        for utterance, phone, start, end in zip(*columns, strict=True)
    ]


def _other_lengths(
    manifest: pd.DataFrame, samples: npt.NDArray[np.int64], durations: Mapping[str, float]
) -> list[str]:
    """Say which alignment files end elsewhere than their audio: they may be of other recordings."""
    names, lengths = manifest["utterance_id"].tolist(), (samples / SAMPLE_RATE).tolist()
    others = [
        f"{name} ({durations[name]:.3f} s, audio {length:.3f} s)"
        for name, length in zip(names, lengths, strict=True)
        if length > 0 and name in durations and abs(durations[name] - length) > OTHER_LENGTH
    ]
    if not others:
        return []
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    note = (
        f"{len(others)} alignment files end more than {OTHER_LENGTH:g} s from the end of their audio: "
        f"{', '.join(others[:5])}{more}. Are they of these recordings?"
    )
    logger.warning(note)
    return [note]


def _in_order(manifest: pd.DataFrame, phones: pd.DataFrame) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """Sort phones by the manifest's rows, then by time; and where each row's phones begin."""
    place = {name: row for row, name in enumerate(manifest["utterance_id"].tolist())}
    rows = np.array([place[name] for name in phones["utterance_id"].tolist()], dtype=np.int64)
    order = np.lexsort((phones["end"].to_numpy(), phones["start"].to_numpy(), rows))
    counts = np.bincount(rows, minlength=len(manifest))
    return phones.iloc[order].reset_index(drop=True), np.concatenate([[0], np.cumsum(counts)])


def _clips(manifest: pd.DataFrame, audio_root: Path, samples: npt.NDArray[np.int64]) -> list[Clip]:
    columns = (manifest[name].tolist() for name in ("path", "start", "end"))
    return [
        Clip(key, audio_file(audio_root, path), _time(start), _time(end), length)
        for key, path, start, end, length in zip(
            utterance_keys(manifest), *columns, samples.tolist(), strict=True
        )
    ]


def _unknown_note(phone_set: str, unknown: Mapping[str, int]) -> str:
    shown = ", ".join(f"{phone!r} ({count})" for phone, count in list(unknown.items())[:10])
    more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
    note = f"phones that {phone_set} does not know, taken for no vowel: {shown}{more}"
    logger.warning(note)
    return note

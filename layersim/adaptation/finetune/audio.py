"""What training an encoder reads: the sound of a labelled source and of an unlabelled target.

The counterpart of `layersim.adaptation.data` and `layersim.adaptation.task`, with waveforms where those have
features, and the same promises: the target has no emotions, nothing of a test split is in a task, and
utterances are ordered by key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from layersim.adaptation.data import LabelledFeatures
from layersim.adaptation.task import Probabilities
from layersim.corpus.audio import read_audio
from layersim.corpus.manifest import utterance_keys
from layersim.corpus.splits import assert_speaker_disjoint
from layersim.errors import LayersimError, summarise_faults
from layersim.features.decoding import Clip
from layersim.features.preparation import prepare_corpus
from layersim.workspace import Progress, no_progress

if TYPE_CHECKING:
    import pandas as pd

Wave = npt.NDArray[np.float32]


class Waveforms(Sequence[Wave]):
    """Utterances as sound, mono at 16 kHz; those in files are read when they are asked for.

    Parameters
    ----------
    items : sequence of Clip or of ndarray, shape (samples,)

    >>> waves = Waveforms([np.zeros(400), np.ones(800)])
    >>> len(waves), waves.samples, [len(wave) for wave in waves[torch.tensor([1, 0])]]
    (2, [400, 800], [800, 400])
    """

    def __init__(self, items: Sequence[Clip | npt.NDArray[Any]]) -> None:
        self._items = list(items)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def samples(self) -> list[int]:
        """Lengths, known without reading a file."""
        return [item.samples if isinstance(item, Clip) else len(item) for item in self._items]

    @overload
    def __getitem__(self, place: int) -> Wave: ...

    @overload
    def __getitem__(self, place: slice) -> Waveforms: ...

    @overload
    def __getitem__(self, place: Tensor) -> list[Wave]: ...

    def __getitem__(self, place: int | slice | Tensor) -> Wave | Waveforms | list[Wave]:
        """Read one utterance; those of a LongTensor of places; or take a stretch of them unread.

        Raises
        ------
        AudioError
            If a file cannot be read.
        """
        if isinstance(place, Tensor):
            return [self[number] for number in place.tolist()]
        if isinstance(place, slice):
            return Waveforms(self._items[place])
        item = self._items[place]
        if isinstance(item, Clip):
            return read_audio(item.path, item.start, item.end)
        return np.ascontiguousarray(item, dtype=np.float32)


@dataclass(frozen=True)
class UnlabelledAudio:
    """Utterances without their emotions."""

    keys: tuple[str, ...]
    waveforms: Waveforms

    def __post_init__(self) -> None:
        _require_one_length(self.keys, self.waveforms)

    def __len__(self) -> int:
        return len(self.keys)

    def sha256(self) -> str:
        """Hash keys and lengths: which utterances these are, not every sample of them."""
        return _sha256(self.keys, self.waveforms.samples)


@dataclass(frozen=True)
class LabelledAudio:
    """Utterances with emotion and speaker."""

    keys: tuple[str, ...]
    waveforms: Waveforms
    emotions: tuple[str, ...]
    speakers: tuple[str, ...]

    def __post_init__(self) -> None:
        _require_one_length(self.keys, self.waveforms, self.emotions, self.speakers)

    def __len__(self) -> int:
        return len(self.keys)

    def labels(self) -> LabelledFeatures:
        """Return what is known of the utterances beside their sound, with no features."""
        return LabelledFeatures(self.keys, torch.zeros(len(self), 0), self.emotions, self.speakers)

    def sha256(self) -> str:
        """Hash keys, lengths, emotions and speakers."""
        return _sha256(self.keys, self.waveforms.samples, self.emotions, self.speakers)


@dataclass(frozen=True)
class FinetuneTask:
    """Labelled source, unlabelled target, and the classes to tell apart, as sound.

    Attributes
    ----------
    source, validation : LabelledAudio
        The source's train and validation splits; every emotion is one of ``classes``.
    target : UnlabelledAudio
        The target's train split; may be empty for a method that does not read it.
    classes : tuple of str
        Order of the columns of `Probabilities`.
    """

    source: LabelledAudio
    validation: LabelledAudio
    target: UnlabelledAudio
    classes: tuple[str, ...]

    def sha256(self) -> str:
        """Hash all parts."""
        parts = (self.source.sha256(), self.validation.sha256(), self.target.sha256())
        return _sha256(parts, self.classes)


@dataclass(frozen=True)
class LearnedFromAudio:
    """A trained method that listens: `layersim.adaptation.task.Learned` with sound for features.

    Attributes
    ----------
    probabilities : callable
        Utterances *of the target* as sound to `Probabilities`; `Waveforms` or any sequence of arrays.
    network : Module
        Encoder and classifier with the weights of ``best_epoch``, in evaluation mode.
    """

    probabilities: Callable[[Sequence[Wave]], Probabilities]
    curves: pd.DataFrame
    best_epoch: int
    network: nn.Module
    details: Mapping[str, Any] = field(default_factory=dict)


def read_audio_task(
    source: pd.DataFrame,
    source_root: Path,
    target: pd.DataFrame,
    target_root: Path,
    classes: Sequence[str],
    progress: Progress = no_progress,
) -> FinetuneTask:
    """Find the recordings of a pair of corpora: headers are checked now, the sound is read when needed.

    Parameters
    ----------
    source, target : DataFrame
        Manifests of one corpus each (`layersim.corpus.manifest.read_manifest`), with splits.
    source_root, target_root : Path
        Where the manifests' paths begin.
    classes : sequence of str
        The emotions to tell apart; labelled parts hold no others. The target's part holds all of its train
        split, since leaving utterances out would take their labels.

    Raises
    ------
    LayersimError
        If a recording cannot be used (all are collected), a split is empty, a class has no example, or a
        speaker is in two splits.
    """
    for manifest in (source, target):
        assert_speaker_disjoint(manifest)
    train = read_labelled_audio(source, source_root, "train", classes, progress)
    absent = [name for name in classes if name not in train.emotions]
    if absent:
        raise LayersimError(
            f"{_corpus(source)}: no train utterance of {', '.join(absent)}. Leave the class out, or mend the "
            "column split."
        )
    validation = read_labelled_audio(source, source_root, "validation", classes, progress)
    return FinetuneTask(
        train, validation, read_unlabelled_audio(target, target_root, "train", progress), tuple(classes)
    )


def read_labelled_audio(
    manifest: pd.DataFrame,
    audio_root: Path,
    split: str,
    classes: Sequence[str],
    progress: Progress = no_progress,
) -> LabelledAudio:
    """Find the recordings of one split that carry one of the classes, ordered by key.

    Raises
    ------
    LayersimError
        If there are none, or one cannot be used.
    """
    rows = manifest[(manifest["split"] == split) & manifest["emotion"].isin(list(classes))]
    table, waveforms = _find(
        manifest, rows, f"{split} utterance of {', '.join(classes)}", audio_root, progress
    )
    return LabelledAudio(
        tuple(utterance_keys(table)), waveforms,
        tuple(map(str, table["emotion"])), tuple(map(str, table["speaker"])),
    )  # fmt: skip


def read_unlabelled_audio(
    manifest: pd.DataFrame, audio_root: Path, split: str, progress: Progress = no_progress
) -> UnlabelledAudio:
    """Find the recordings of one split, whatever their emotions, ordered by key.

    Raises
    ------
    LayersimError
        If there are none, or one cannot be used.
    """
    rows = manifest[manifest["split"] == split]
    table, waveforms = _find(manifest, rows, f"{split} utterance", audio_root, progress)
    return UnlabelledAudio(tuple(utterance_keys(table)), waveforms)


def _find(
    manifest: pd.DataFrame, rows: pd.DataFrame, what: str, audio_root: Path, progress: Progress
) -> tuple[pd.DataFrame, Waveforms]:
    if not len(rows):
        raise LayersimError(f"{_corpus(manifest)}: no {what}. Mend the columns split and emotion.")
    order = np.argsort(np.array(utterance_keys(rows), dtype=object), kind="stable")
    table = rows.iloc[order].reset_index(drop=True)
    job, faults = prepare_corpus(
        table, audio_root, None, limit=None, seed=0, store="pooled", shard_size=256, progress=progress
    )
    if job is None:
        raise LayersimError(
            summarise_faults(f"{len(faults)} recordings cannot be used", faults, "Mend or remove them.")
        )
    return table, Waveforms(job.clips)


def _corpus(manifest: pd.DataFrame) -> str:
    return ", ".join(sorted(set(manifest["corpus"]))) or "an empty manifest"


def _require_one_length(*columns: Sequence[Any]) -> None:
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"columns must have one length, got {[len(column) for column in columns]}")


def _sha256(*columns: Sequence[object]) -> str:
    digest = hashlib.sha256()
    for column in columns:
        digest.update("\x1f".join(map(str, column)).encode() + b"\x1e")
    return digest.hexdigest()

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
from layersim.adaptation.loop import VALIDATION
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
Recordings = Mapping[str, Clip]
"""An utterance's key to where its sound is."""


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

    @property
    def validation_uar(self) -> float:
        """UAR on the source's validation split in the best epoch, 0..1."""
        return float(self.curves[VALIDATION[1]].iloc[self.best_epoch - 1])


def find_recordings(rows: pd.DataFrame, audio_root: Path, progress: Progress = no_progress) -> Recordings:
    """Find the recordings of some utterances of one corpus: headers are read now, sound when it is needed.

    Parameters
    ----------
    rows : DataFrame
        Of its manifest (`layersim.corpus.manifest.read_manifest`).
    audio_root : Path
        Where their paths begin.

    Returns
    -------
    mapping
        The utterance's key to its recording.

    Raises
    ------
    LayersimError
        If a recording cannot be used; all are collected.
    """
    if rows.empty:
        return {}
    job, faults = prepare_corpus(
        rows.reset_index(drop=True), audio_root, None, limit=None, seed=0, store="pooled", shard_size=256,
        progress=progress,
    )  # fmt: skip
    if job is None:
        raise LayersimError(
            summarise_faults(f"{len(faults)} recordings cannot be used", faults, "Mend or remove them.")
        )
    return {clip.key: clip for clip in job.clips}


def audio_task(
    source: pd.DataFrame,
    target: pd.DataFrame,
    recordings: tuple[Recordings, Recordings],
    classes: Sequence[str],
) -> FinetuneTask:
    """Put together what a pair of corpora gives to learn from.

    Parameters
    ----------
    source, target : DataFrame
        Rows of manifests, with splits; an utterance of a merged corpus may have several.
    recordings : pair of mappings
        Of all utterances that are heard, as `find_recordings` gives them: the source's, and the target's.
    classes : sequence of str
        The emotions to tell apart; labelled parts hold no others. The target's part holds all of its train
        split, since leaving utterances out would take their labels.

    Raises
    ------
    LayersimError
        If a split is empty, a class has no example, or a speaker is in two splits.
    """
    for manifest in (source, target):
        assert_speaker_disjoint(manifest)
    ours, theirs = recordings
    train = labelled_audio(source, ours, "train", classes)
    absent = [name for name in classes if name not in train.emotions]
    if absent:
        raise LayersimError(
            f"{_corpus(source)}: no train utterance of {', '.join(absent)}. Leave the class out, or mend the "
            "column split."
        )
    validation = labelled_audio(source, ours, "validation", classes)
    return FinetuneTask(train, validation, unlabelled_audio(target, theirs, "train"), tuple(classes))


def labelled_audio(
    manifest: pd.DataFrame, recordings: Recordings, split: str, classes: Sequence[str]
) -> LabelledAudio:
    """Return the utterances of one split that carry one of the classes, ordered by key.

    Raises
    ------
    LayersimError
        If there are none.
    """
    rows = manifest[(manifest["split"] == split) & manifest["emotion"].isin(list(classes))]
    rows, keys = _ordered(manifest, rows, f"{split} utterance of {', '.join(classes)}")
    return LabelledAudio(
        keys, Waveforms([recordings[key] for key in keys]),
        tuple(map(str, rows["emotion"])), tuple(map(str, rows["speaker"])),
    )  # fmt: skip


def unlabelled_audio(manifest: pd.DataFrame, recordings: Recordings, split: str) -> UnlabelledAudio:
    """Return the utterances of one split, whatever their emotions, ordered by key.

    Raises
    ------
    LayersimError
        If there are none.
    """
    rows = manifest[manifest["split"] == split]
    _, keys = _ordered(manifest, rows, f"{split} utterance")
    return UnlabelledAudio(keys, Waveforms([recordings[key] for key in keys]))


def _ordered(manifest: pd.DataFrame, rows: pd.DataFrame, what: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    if not len(rows):
        raise LayersimError(f"{_corpus(manifest)}: no {what}. Mend the columns split and emotion.")
    keys = utterance_keys(rows)
    order = np.argsort(np.array(keys, dtype=object), kind="stable")
    return rows.iloc[order], tuple(keys[place] for place in order)


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

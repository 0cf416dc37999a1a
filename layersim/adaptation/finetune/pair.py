"""A pair of corpora as sound: what a method learns from, and the test set beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersim.adaptation.finetune.audio import (
    FinetuneTask,
    LabelledAudio,
    Recordings,
    audio_task,
    find_recordings,
    labelled_audio,
)
from layersim.adaptation.pair import require_classes
from layersim.workspace import Progress, Workspace, no_progress

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from layersim.features.dataset import CorpusFeatures


@dataclass(frozen=True)
class PairAudio:
    """The counterpart of `layersim.adaptation.pair.PairData`, with sound that is read when it is asked for.

    Attributes
    ----------
    task : FinetuneTask
        All that a method is given.
    test : LabelledAudio
        The target's test split, for afterwards.
    """

    task: FinetuneTask
    test: LabelledAudio

    def hashes(self) -> dict[str, str]:
        """Return one hash per part, by name: of keys, lengths and labels, not of every sample."""
        return {
            "source_train": self.task.source.sha256(),
            "source_validation": self.task.validation.sha256(),
            "target_train": self.task.target.sha256(),
            "target_test": self.test.sha256(),
        }


def corpus_recordings(
    workspace: Workspace,
    corpus: CorpusFeatures,
    labelled: Collection[str],
    unlabelled: Collection[str],
    classes: Sequence[str],
    progress: Progress = no_progress,
) -> Recordings:
    """Find the recordings of those utterances of a workspace's corpus that have features and are heard.

    Parameters
    ----------
    labelled, unlabelled : collection of str
        Splits: of the former the utterances of the classes are heard, of the latter all.

    Raises
    ------
    LayersimError
        If a recording cannot be used; all such are named.
    """
    table = corpus.table
    heard = table["split"].isin(unlabelled) | (
        table["split"].isin(labelled) & table["emotion"].isin(list(classes))
    )
    return find_recordings(table[heard], workspace.corpus(corpus.name).audio_root, progress)


def pair_audio(
    source: CorpusFeatures,
    target: CorpusFeatures,
    recordings: tuple[Recordings, Recordings],
    classes: tuple[str, ...],
    test: CorpusFeatures | None = None,
) -> PairAudio:
    """Put together what a pair of corpora gives to learn from and to be tested on.

    Parameters
    ----------
    recordings : pair of mappings
        The source's and the target's, see `corpus_recordings`.
    test : CorpusFeatures, optional
        Holds the test split where the target does not.

    Raises
    ------
    LayersimError
        If a split is empty, a class has no example, or a speaker is in two splits.
    """
    tested = test or target
    heard = labelled_audio(tested.table, recordings[1], "test", classes)
    require_classes(tested, "test", heard.labels(), classes)
    return PairAudio(audio_task(source.table, target.table, recordings, classes), heard)

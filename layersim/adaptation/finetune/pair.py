"""A pair of corpora as sound: what a method learns from, and the test set beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersim.adaptation.finetune.audio import (
    FinetuneTask,
    LabelledAudio,
    read_audio_task,
    read_labelled_audio,
)
from layersim.adaptation.pair import require_classes
from layersim.workspace import Progress, Workspace, no_progress

if TYPE_CHECKING:
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


def read_pair_audio(
    workspace: Workspace,
    source: CorpusFeatures,
    target: CorpusFeatures,
    classes: tuple[str, ...],
    progress: Progress = no_progress,
) -> PairAudio:
    """Find the recordings of the utterances that have features.

    Raises
    ------
    LayersimError
        If a recording cannot be used, a split is empty, a class has no example, or a speaker is in two
        splits.
    """
    first, second = (workspace.corpus(corpus.name).audio_root for corpus in (source, target))
    test = read_labelled_audio(target.table, second, "test", classes, progress)
    require_classes(target, "test", test.labels(), classes)
    return PairAudio(read_audio_task(source.table, first, target.table, second, classes, progress), test)

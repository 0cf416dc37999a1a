"""A trial: who trains, who validates, who adapts without labels and who is tested, in one run of a method.

Conventions
-----------
- A trial is two corpora whose column ``split`` says who is where, so that whatever trains on a pair of
  corpora trains on it unchanged. The source's rows are ``train`` and ``validation``, both labelled; the
  target's are ``train``, read without labels, and ``test``; a row without a split takes no part.
- No one who is tested is in the source, nor in the adaptation, except in a transductive trial, whose test set
  is held apart because its utterances are in two splits at once. A trial that breaks this cannot be made.
- The class list belongs to the trial and is the same in all folds of a setting. A fold that lacks a class in
  its labelled train split or in its test split is refused: no score is over fewer classes than it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersim.errors import LayersimError
from layersim.features.joined import qualified_speakers

if TYPE_CHECKING:
    import pandas as pd

    from layersim.features.dataset import CorpusFeatures

SHOWN = 6  # speakers named in a sentence


@dataclass(frozen=True, eq=False)
class Trial:
    """One run's corpora.

    Attributes
    ----------
    setting : str
        What scores are averaged over the folds of, such as ``emodb-to-casia``.
    source, target : CorpusFeatures
    classes : tuple of str
        The emotions to tell apart.
    what : str
        One sentence that says who is where.
    fold : int, optional
        1 is the first; None where there are none.
    target_test : CorpusFeatures, optional
        The test set where it is not in ``target``: of a transductive trial.
    """

    setting: str
    source: CorpusFeatures
    target: CorpusFeatures
    classes: tuple[str, ...]
    what: str
    fold: int | None = None
    target_test: CorpusFeatures | None = None

    def __post_init__(self) -> None:
        _refuse_strange_splits(self)
        _refuse_leaks(self)
        _refuse_lacking_classes(self)

    @property
    def name(self) -> str:
        """The setting and the fold, such as ``emodb-to-casia/fold-2``."""
        return self.setting if self.fold is None else f"{self.setting}/fold-{self.fold}"

    @property
    def transductive(self) -> bool:
        """Whether those who are tested are adapted to, unlabelled."""
        return self.target_test is not None

    @property
    def test(self) -> CorpusFeatures:
        """The test set, wherever it is held."""
        return (self.target if self.target_test is None else self.target_test).restrict("test")


def shared_classes(corpora: Sequence[CorpusFeatures], emotions: Sequence[str] | None) -> tuple[str, ...]:
    """Return the class list: as asked for, else what all the corpora have, in alphabetical order.

    Raises
    ------
    LayersimError
        If a corpus lacks an emotion that was asked for, or fewer than two are left.
    """
    found = {corpus.name: _emotions(corpus.table) for corpus in corpora}
    for name, have in found.items():
        if lacking := sorted(set(emotions or ()) - have):
            raise LayersimError(
                f"emotions: {name} has no {', '.join(lacking)}; it has {', '.join(sorted(have)) or 'none'}."
            )
    classes = tuple(sorted(set.intersection(*found.values()) if emotions is None else set(emotions)))
    if len(classes) < 2:
        listed = "; ".join(f"{name}: {', '.join(sorted(have)) or 'none'}" for name, have in found.items())
        raise LayersimError(
            f"{' and '.join(found)}: two emotions at least are needed, got {', '.join(classes) or 'none'} "
            f"({listed}). Check the label maps, or name others with --emotions."
        )
    return classes


def named(speakers: Sequence[str]) -> str:
    """Name speakers in a sentence, or count them.

    >>> named(["03"]), named(["03", "08"]), named([str(number) for number in range(9)])
    ('speaker 03', 'speakers 03, 08', '9 speakers')
    """
    if len(speakers) > SHOWN:
        return f"{len(speakers)} speakers"
    return f"speaker{'s' * (len(speakers) != 1)} {', '.join(speakers)}"


def _emotions(table: pd.DataFrame) -> set[str]:
    return set(table["emotion"][table["split"] != ""]) - {""}


def _refuse_strange_splits(trial: Trial) -> None:
    adaptation = {"train"} if trial.transductive else {"train", "test"}
    sides = [
        ("source", trial.source, {"train", "validation"}),
        ("target", trial.target, adaptation),
        ("target_test", trial.target_test, {"test"}),
    ]
    for name, corpus, allowed in sides:
        found = set() if corpus is None else set(corpus.table["split"])
        if strange := ", ".join(sorted(found - allowed - {""})):
            raise ValueError(f"{name}: expected splits {', '.join(sorted(allowed))} or none, got {strange}")


def _refuse_leaks(trial: Trial) -> None:
    tested = set(qualified_speakers(trial.test.table))
    sides = {"train or validate": trial.source.restrict("train", "validation")}
    if not trial.transductive:
        sides["adapt"] = trial.target.restrict("train")
    for verb, corpus in sides.items():
        if shared := sorted(tested & set(qualified_speakers(corpus.table))):
            more = ", ..." if len(shared) > SHOWN else ""
            raise LayersimError(
                f"{trial.name}: {', '.join(shared[:SHOWN])}{more}: tested, and among those who {verb} too. "
                "Choose other corpora, or give each speaker one split in the manifest."
            )


def _refuse_lacking_classes(trial: Trial) -> None:
    parts = {"train": trial.source.restrict("train"), "test": trial.test}
    for split, corpus in parts.items():
        found = _emotions(corpus.table)
        if lacking := [name for name in trial.classes if name not in found]:
            kept = ",".join(name for name in trial.classes if name not in lacking)
            raise LayersimError(
                f"{trial.name}: no {split} utterance of {', '.join(lacking)} in {corpus.name}. Take fewer "
                f"folds, or leave the class out everywhere: --emotions {kept}."
            )

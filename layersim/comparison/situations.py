"""Words such as ``emodb:casia`` or ``emodb+casia:ravdess``, and the trials that they stand for.

- ``A:B`` is transfer from A to B; ``A:A`` is the upper row, trained and tested on A's own speakers.
- ``A+B:C`` trains on A and B merged, balanced by repetition, and tests on C, in a third language; ``A+B:A``
  tests the same training sets on A's test speakers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersim.comparison.languages import leave_one_language_out, within_language
from layersim.comparison.protocols import as_split, cross_corpus, supervised, transductive
from layersim.comparison.settings import CompareConfig
from layersim.comparison.target_data import target_data_study
from layersim.comparison.trial import Trial
from layersim.errors import LayersimError

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures


@dataclass(frozen=True)
class Situation:
    """Which corpora train and which one is tested.

    Attributes
    ----------
    sources : tuple of str
    target : str
    clips : int, optional
        How many labelled utterances of the target are moved into the training set.
    """

    sources: tuple[str, ...]
    target: str
    clips: int | None = None

    @property
    def source(self) -> str:
        """The training corpora as one word."""
        return "+".join(self.sources)

    @property
    def slug(self) -> str:
        """Name its folder."""
        return f"{self.source}-to-{self.target}" + ("" if self.clips is None else f"-clips-{self.clips}")

    @property
    def tested(self) -> str:
        """Name the test set in a table: the target, and how many of its utterances were labelled."""
        return self.target + ("" if self.clips is None else f" ({self.clips} labelled)")

    @property
    def corpora(self) -> tuple[str, ...]:
        """All corpora that take part, each once."""
        return tuple(dict.fromkeys((*self.sources, self.target)))


def parse_pair(word: str) -> Situation:
    """Read ``A:B`` or ``A+B:C``.

    Raises
    ------
    LayersimError
        If it is of another form, or names a training corpus twice.

    >>> parse_pair("emodb+casia:ravdess").slug
    'emodb+casia-to-ravdess'
    """
    left, colon, target = "".join(word.split()).partition(":")
    sources = tuple(left.split("+"))
    if not colon or not target or not all(sources) or ":" in target or "+" in target:
        raise LayersimError(
            f"pairs: {word!r} cannot be read. Write SOURCE:TARGET, or A+B:TARGET for two merged."
        )
    if len(set(sources)) < len(sources):
        raise LayersimError(f"pairs: {word!r} names a training corpus twice.")
    return Situation(sources, target)


def all_pairs(corpora: Sequence[str], diagonal: bool = False) -> list[Situation]:
    """Return every corpus to every other; with the diagonal also to itself."""
    return [Situation((one,), other) for one in corpora for other in corpora if diagonal or one != other]


def trials_of(
    situation: Situation,
    corpora: dict[str, CorpusFeatures],
    config: CompareConfig,
    classes: Sequence[str],
    upper_row: bool = False,
) -> list[Trial]:
    """Divide the corpora by the protocol.

    Parameters
    ----------
    corpora : dict
        By name; with features of one kind.
    upper_row : bool
        For methods that learn from the target's own labels, whatever the sources are.

    Raises
    ------
    LayersimError
        If the protocol does not fit the situation, or as the protocols themselves.
    """
    sources, target = [corpora[name] for name in situation.sources], corpora[situation.target]
    alone = len(sources) == 1
    itself = target.name in situation.sources
    if situation.clips is not None and itself:
        raise LayersimError(
            f"pairs: {situation.source}:{situation.target} has the target's labels already: leave --clips "
            "out, or name a target that does not train."
        )
    if config.protocol != "folds" and (situation.clips is not None or (itself and alone)):
        raise LayersimError(
            "--clips and pairs such as A:A are defined on folds of the target: leave --protocol out."
        )
    if upper_row or (alone and itself):
        return supervised(target, config.folds, classes)
    if situation.clips is not None:
        return target_data_study(sources, target, (situation.clips,), config.seed, config.folds, classes)
    if config.protocol != "folds" and not alone:
        raise LayersimError(
            f"pairs: {situation.source}:{situation.target} merges corpora, which is defined on folds: "
            "leave --protocol out."
        )
    if config.protocol == "splits":
        return [as_split(sources[0], target, classes)]
    if config.protocol == "transductive":
        return [transductive(sources[0], target, classes)]
    if alone:
        return cross_corpus(sources[0], target, config.folds, classes)
    if situation.target in situation.sources:
        return [
            trial
            for trial in within_language(sources, config.folds, classes)
            if trial.target.name == target.name
        ]
    return leave_one_language_out([*sources, target], target.name, config.folds, classes)

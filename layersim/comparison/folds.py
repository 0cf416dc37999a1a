"""Speaker-independent folds: a corpus's published ones, or its speakers dealt into groups.

Conventions
-----------
- A fold tests one group of speakers and validates on the next; fold 1 is the first. Every speaker tests once
  and validates once.
- Published folds (`layersim.corpus.splits.folds`) are taken where they name exactly the speakers that there
  are and as many folds are asked for as were published. Else speakers are dealt.
- Dealing knows utterances and genders only. It does not keep together those who talk to each other, as the
  two speakers of an IEMOCAP session do: for these take the manifest's own splits.
- What has no split in the manifest takes no part in any fold and keeps none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from layersim.corpus.splits import Fold, apply_fold, deal_speakers, folds
from layersim.errors import LayersimError

if TYPE_CHECKING:
    import pandas as pd

    from layersim.features.dataset import CorpusFeatures

COUNT = 5  # as many as Tang et al. (arXiv 2311.13678) published


@dataclass(frozen=True)
class SpeakerFolds:
    """Folds of one corpus; speakers are named as in its table."""

    folds: tuple[Fold, ...]
    published: bool

    def __len__(self) -> int:
        return len(self.folds)

    def __getitem__(self, number: int) -> Fold:
        """Return a fold, 0 the first; counted round where another corpus has more folds."""
        return self.folds[number % len(self.folds)]

    @property
    def origin(self) -> str:
        """Say where they come from."""
        return "published folds" if self.published else "folds by speaker"


def speaker_folds(table: pd.DataFrame, corpus_name: str, count: int = COUNT) -> SpeakerFolds:
    """Find or make the folds of a corpus.

    Parameters
    ----------
    table : DataFrame
        Manifest rows. Only speakers are read, their utterances counted, and gender where it is known: the
        order of the rows changes nothing.
    corpus_name : str
        Under which folds may have been published.
    count : int, >= 2
        How many; fewer if there are fewer speakers.

    Returns
    -------
    SpeakerFolds
        With two folds the test speakers of one are the validation speakers of the other, and none is left.

    Raises
    ------
    LayersimError
        If fewer than two speakers take part.
    ValueError
        If ``count`` is less than 2.
    """
    if count < 2:
        raise ValueError(f"count: expected at least 2, got {count}")
    used = table[table["split"] != ""]
    speakers = sorted(set(used["speaker"]))
    if len(speakers) < 2:
        raise LayersimError(
            f"{corpus_name}: {len(speakers)} speaker{'s' * (len(speakers) != 1)} with a split; folds by "
            "speaker need two. Check the columns speaker and split of its manifest, or take a larger corpus."
        )
    if published := _published(used, corpus_name, count):
        return SpeakerFolds(published, published=True)
    groups = min(count, len(speakers))
    group_of = deal_speakers(used, dict.fromkeys(range(groups), 1), speakers)
    members = [tuple(name for name in speakers if group_of[name] == group) for group in range(groups)]
    return SpeakerFolds(
        tuple(Fold(members[(group + 1) % groups], members[group]) for group in range(groups)), published=False
    )


def set_splits(corpus: CorpusFeatures, splits: Mapping[str, tuple[str, ...]], others: str) -> CorpusFeatures:
    """Give every utterance that takes part its speaker's split.

    Parameters
    ----------
    splits : mapping
        Split to its speakers.
    others : str
        The split of all other speakers.
    """
    split_of = {speaker: split for split, speakers in splits.items() for speaker in speakers}
    pairs = zip(corpus.table["speaker"].tolist(), corpus.table["split"].tolist(), strict=True)
    new = [split_of.get(speaker, others) if split else "" for speaker, split in pairs]
    return replace(corpus, table=corpus.table.assign(split=new))


def _published(used: pd.DataFrame, corpus_name: str, count: int) -> tuple[Fold, ...]:
    """Return the published folds under the table's names of the speakers; none if they do not fit it."""
    try:
        known = folds(corpus_name)
        splits = [apply_fold(used, fold)["split"] for fold in known]
    except LayersimError:  # nothing was published, or speakers are missing
        return ()
    tested = sum((one == "test").to_numpy(dtype=int) for one in splits)  # per row, in how many folds
    if len(known) != count or bool(np.any(tested != 1)):
        return ()
    return tuple(
        Fold(*(tuple(sorted(set(used["speaker"][one == split]))) for split in ("validation", "test")))
        for one in splits
    )

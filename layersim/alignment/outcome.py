"""What became of each utterance, and whether some emotion came off worse than the others.

An emotion whose alignments are worse is a confound: its vowels then differ from the others' by where they
were cut out, not only by how they sound.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from layersim.alignment.preparation import Utterance

WORSE_BY = 0.05  # share of utterances: smaller differences move no ranking that has an interval
CHANCE = 0.05  # of Fisher's exact test
_FEWEST = 10  # utterances whose median says something


@dataclass(frozen=True)
class Outcome:
    """One utterance and its alignment in numbers."""

    utterance: Utterance
    failure: str | None  # why it has no alignment
    textgrid: str = ""  # below the corpus's folder of alignments
    log_likelihood: float | None = None  # mean per frame
    speech_share: float | None = None  # see `flags.speech_share`
    phones: int = 0
    words: int = 0
    unknown_words: int = 0
    flags: tuple[str, ...] = ()


class EmotionSummary(BaseModel):
    """The outcomes of one emotion."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    emotion: str
    utterances: int
    aligned: int
    failed: int
    flagged: int
    share_failed: float  # of the utterances, 0..1
    share_flagged: float  # of the utterances, 0..1
    log_likelihood_median: float | None  # per frame; None if the aligner says none
    speech_share_mean: float | None


def outcome_table(outcomes: Iterable[Outcome]) -> pd.DataFrame:
    """Return one row per utterance, as ``utterances.csv`` has it."""
    return pd.DataFrame(
        [
            {
                "utterance_id": outcome.utterance.utterance_id,
                "speaker": outcome.utterance.speaker,
                "language": outcome.utterance.language,
                "emotion": outcome.utterance.emotion,
                "seconds": outcome.utterance.seconds,
                "text": outcome.utterance.text,
                "machine_text": int(outcome.utterance.machine_text),
                "log_likelihood": outcome.log_likelihood,
                "speech_share": outcome.speech_share,
                "phones": outcome.phones,
                "words": outcome.words,
                "unknown_words": outcome.unknown_words,
                "flags": ";".join(outcome.flags),
                "failure": outcome.failure or "",
                "textgrid": outcome.textgrid,
            }
            for outcome in outcomes
        ]
    )


def summarise_emotions(outcomes: Iterable[Outcome]) -> list[EmotionSummary]:
    """Count every emotion's outcomes, in the order of their names."""
    groups = _by_emotion(outcomes)
    found = []
    for emotion in sorted(groups):
        group = groups[emotion]
        failed = sum(outcome.failure is not None for outcome in group)
        flagged = sum(bool(outcome.flags) for outcome in group)
        scores = _scores(group)
        shares = [outcome.speech_share for outcome in group if outcome.speech_share is not None]
        found.append(
            EmotionSummary(
                emotion=emotion,
                utterances=len(group),
                aligned=len(group) - failed,
                failed=failed,
                flagged=flagged,
                share_failed=failed / len(group),
                share_flagged=flagged / len(group),
                log_likelihood_median=float(np.median(scores)) if scores else None,
                speech_share_mean=float(np.mean(shares)) if shares else None,
            )
        )
    return found


def worse_emotions(outcomes: Sequence[Outcome]) -> list[str]:
    """Say which emotions align worse than the others, one sentence each.

    Either of two rules: its share of failed or flagged utterances exceeds that of all others together by
    more than 5 points, and not by chance (Fisher's exact test, one-sided, p < 0.05); or its median
    log-likelihood per frame lies below the first quartile of every other emotion (those with at least 10
    utterances are compared). Loud or high speech fits any model a little worse; hence so strict a rule.
    """
    groups = _by_emotion(outcomes)
    found = []
    for emotion in sorted(groups):
        own = groups[emotion]
        others = [outcome for outcome in outcomes if outcome.utterance.emotion != emotion]
        if not others:
            continue
        bad, other_bad = _bad(own), _bad(others)
        share, other_share = bad / len(own), other_bad / len(others)
        if share > other_share + WORSE_BY and _exceeds(bad, len(own), other_bad, len(others)):
            found.append(
                f"{emotion} aligns worse: {share:.1%} of its utterances failed or are flagged, of the others "
                f"{other_share:.1%}; what sets it apart at the vowel level may be that"
            )
        scores = {name: values for name in groups if len(values := _scores(groups[name])) >= _FEWEST}
        quartiles = [float(np.quantile(scores[name], 0.25)) for name in scores if name != emotion]
        if emotion not in scores or not quartiles:
            continue
        middle = float(np.median(scores[emotion]))
        if middle < min(quartiles):
            found.append(
                f"{emotion} fits the acoustic model worse: median log-likelihood {middle:.2f} a frame, below "
                f"the first quartile of every other emotion ({min(quartiles):.2f} and more); look at some of "
                "its TextGrids"
            )
    return found


def _by_emotion(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.utterance.emotion].append(outcome)
    return groups


def _scores(outcomes: Iterable[Outcome]) -> list[float]:
    return [outcome.log_likelihood for outcome in outcomes if outcome.log_likelihood is not None]


def _bad(outcomes: Iterable[Outcome]) -> int:
    return sum(outcome.failure is not None or bool(outcome.flags) for outcome in outcomes)


def _exceeds(bad: int, count: int, other_bad: int, other_count: int) -> bool:
    from scipy.stats import fisher_exact

    table = [[bad, count - bad], [other_bad, other_count - other_bad]]
    return bool(fisher_exact(table, alternative="greater").pvalue < CHANCE)

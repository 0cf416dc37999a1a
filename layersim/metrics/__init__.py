"""How well guesses meet the truth, and how far a number can be trusted.

Conventions
-----------
- Labels are strings, one per utterance; ``truth`` and ``guess`` have the same order and length.
- Scores are 0..1. UAR (also called UA) is the mean of per-class recalls, WA the share correct.
- The class list is explicit and never shrinks: with ``labels`` given, every score is over exactly those
  classes. A class that the truth does not have has no recall: `recalls` says NaN, and `uar` and `macro_f1`
  raise instead of averaging over fewer classes. Without ``labels`` the classes are those of the truth.
- A truth outside the class list raises. A guess outside it is a wrong guess.
- Confusion matrices have the truth in rows and the guess in columns, in the order of the class list.
- Speakers, not utterances, are drawn in a bootstrap and swapped in a permutation test: utterances of one
  speaker are no independent evidence. With one speaker there is no interval, and the functions say None.
"""

from layersim.metrics.intervals import (
    FEW_SPEAKERS,
    Interval,
    percentile_interval,
    speaker_bootstrap,
    speaker_weights,
)
from layersim.metrics.paired import (
    MeanScore,
    MethodRuns,
    PairedDifference,
    mean_uar,
    mean_uar_difference,
    paired_speaker_test,
)
from layersim.metrics.scores import Statistic, confusion, macro_f1, recalls, uar, wa
from layersim.metrics.significance import holm, p_value, permutation_p, spearman

__all__ = [
    "FEW_SPEAKERS",
    "Interval",
    "MeanScore",
    "MethodRuns",
    "PairedDifference",
    "Statistic",
    "confusion",
    "holm",
    "macro_f1",
    "mean_uar",
    "mean_uar_difference",
    "p_value",
    "paired_speaker_test",
    "percentile_interval",
    "permutation_p",
    "recalls",
    "speaker_bootstrap",
    "speaker_weights",
    "spearman",
    "uar",
    "wa",
]

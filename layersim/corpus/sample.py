"""A small balanced part of a corpus, for a quick try."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from layersim.corpus.manifest import utterance_keys


def balanced_sample(manifest: pd.DataFrame, limit: int, seed: int = 0) -> pd.DataFrame:
    """Take ``limit`` utterances, balanced over emotions and, within them, over speakers.

    Each split keeps its share of the sample, and at least one utterance where ``limit`` admits it, so that
    what is trained on the whole corpus can be tried on the sample. Which utterances are taken does not
    depend on the order of the rows; the rows taken keep theirs.

    Parameters
    ----------
    limit : int, >= 1
        Utterances to take; all of them where the manifest has no more.

    Raises
    ------
    ValueError
        If ``limit`` is under 1.
    """
    if limit < 1:
        raise ValueError(f"limit: expected 1 or more, got {limit}")
    if limit >= len(manifest):
        return manifest.reset_index(drop=True)
    keys = np.array(utterance_keys(manifest), dtype=object)
    in_order = np.argsort(keys, kind="stable")
    rank = np.empty(len(manifest), dtype=np.int64)  # a random number for each utterance, tied to its key
    rank[in_order] = np.random.default_rng(seed).permutation(len(manifest))
    table = pd.DataFrame(
        {
            "row": np.arange(len(manifest)),
            "split": manifest["split"].astype(str).to_numpy(),
            "emotion": manifest["emotion"].astype(str).to_numpy(),
            "speaker": manifest["speaker"].astype(str).to_numpy(),
            "rank": rank,
        }
    ).sort_values("rank", ignore_index=True)
    taken: list[int] = []
    for split, wanted in _shares(dict(Counter(table["split"])), limit).items():
        part = table[table["split"] == split]
        # Round 0 holds everyone's first utterance per emotion and speaker, round 1 the second, and so on;
        # within a round the emotions take turns.
        turn = part.groupby(["emotion", "speaker"]).cumcount()
        part = part.assign(turn=turn).sort_values(["turn", "rank"])
        part = part.assign(place=part.groupby("emotion").cumcount()).sort_values(["place", "rank"])
        taken += part["row"].head(wanted).tolist()
    return manifest.iloc[sorted(taken)].reset_index(drop=True)


def _shares(counts: dict[str, int], limit: int) -> dict[str, int]:
    """Divide ``limit`` in proportion to ``counts``, at least one each, by largest remainders.

    >>> _shares({"train": 60, "test": 20, "validation": 20}, 10)
    {'test': 2, 'train': 6, 'validation': 2}
    >>> _shares({"train": 98, "test": 1, "validation": 1}, 2)
    {'test': 1, 'train': 1, 'validation': 0}
    >>> _shares({"train": 88, "test": 4, "validation": 4}, 12)
    {'test': 1, 'train': 10, 'validation': 1}
    """
    total = sum(counts.values())
    names = sorted(counts)
    exact = {name: counts[name] * limit / total for name in names}
    shares = {name: min(counts[name], max(1, int(exact[name]))) for name in names}
    while sum(shares.values()) < limit:
        open_names = [name for name in names if shares[name] < counts[name]]
        shares[max(open_names, key=lambda name: exact[name] - shares[name])] += 1
    while sum(shares.values()) > limit:
        least = 1 if limit >= len(names) else 0
        over = [name for name in names if shares[name] > least]
        shares[max(over, key=lambda name: (shares[name] - exact[name], name))] -= 1
    return shares

"""What a ranking's numbers are, in one line: it stands on every output."""

from __future__ import annotations

from layersim.similarity.phones import class_kind
from layersim.similarity.settings import Features, RankConfig

_PREPARED: dict[Features, str] = {
    "raw": "features as they are",
    "centred": "each corpus's mean{within} removed",
    "zscored": "each corpus standardised{within}",
}


def definition(config: RankConfig) -> str:
    """Name the similarity in one line.

    Parameters
    ----------
    config : RankConfig
        Effective.

    >>> print(definition(RankConfig()))
    pairwise cosine (mean over all cross-corpus pairs of utterances), each corpus's mean removed
    """
    unit = unit_name(config)
    kind = (
        f"pairwise cosine (mean over all cross-corpus pairs of {unit})"
        if config.metric == "pairwise"
        else f"centroid cosine (cosine of the two mean vectors over {unit})"
    )
    if config.level == "utterance":
        return f"{kind}, {_PREPARED[config.features].format(within='')}"
    noun = class_kind(config)
    within = f" over {noun}s, each with equal weight," if config.label_free else f" within each {noun}"
    parts = [f"{kind}, {_PREPARED[config.features].format(within=within)}"]
    if config.label_free:
        parts.append(f"same {noun} in both corpora, no emotion label read; averaged over the shared {noun}s")
    else:
        parts.append(f"per {noun}, then averaged over the shared {noun}s")
    if config.cap:
        parts.append(f"one speaker's segments in one cell weigh as at most {config.cap}")
    if config.min_frames:
        parts.append(f"segments of {config.min_frames} frames or more")
    return "; ".join(parts)


def unit_name(config: RankConfig) -> str:
    """Name what is compared: the rows of a cell."""
    if config.level == "utterance":
        return "utterances"
    middle = "middle thirds of " if config.middle else ""
    return f"{middle}{class_kind(config)} segments"

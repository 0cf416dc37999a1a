"""Metric learning between two languages: segments of one vowel close, of different vowels apart.

Conventions
-----------
- Every segment of either language is an anchor once. Its positives are the segments of the same vowel in
  the *other* language, its negatives the other vowels of the other language; it is compared with nothing of
  its own language, so that a language in itself has nothing to gain.
- Embeddings are compared by their directions alone (unit length), so that no loss falls by making them
  small, and a margin or a temperature means the same at any scale. An embedding of zeros has the cosine 0
  with everything, and a finite gradient.
- A loss is the mean over a language's anchors, then over the two languages. An anchor that has no positive
  or no negative on the other side is left out.

References
----------
Schroff, Kalenichenko & Philbin, "FaceNet", CVPR 2015, eq. 1 and 3.
Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, eq. 2 (there each embedding is compared with
all others; here only with those of the other language).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def triplet_loss(
    source: Tensor, target: Tensor, source_vowels: Tensor, target_vowels: Tensor, margin: float
) -> Tensor:
    """By how much a different vowel is closer than the same one, all triplets counted alike.

    Parameters
    ----------
    source, target : Tensor, shape (n, E) and (m, E), float
        Embeddings of segments.
    source_vowels, target_vowels : Tensor, shape (n,) and (m,), int64
        Their classes, numbered alike on both sides.
    margin : float, >= 0
        In squared distances of unit vectors, 0..4.

    Returns
    -------
    Tensor, shape (), 0..4 + margin
        Mean over triplets of ``max(0, |a - p|^2 - |a - n|^2 + margin)``.

    Raises
    ------
    ValueError
        If shapes do not fit, or no segment has both a positive and a negative.

    >>> source, target = torch.tensor([[3., 0.]]), torch.tensor([[1., 0.], [0., 1.]])
    >>> triplet_loss(source, target, torch.tensor([0]), torch.tensor([0, 1]), 0.5)  # 0 - 2 + 0.5 < 0
    tensor(0.)
    >>> triplet_loss(source, target, torch.tensor([1]), torch.tensor([0, 1]), 0.5)  # 2 - 0 + 0.5
    tensor(2.5000)
    """
    distances = 2 - 2 * _cosines(source, target, source_vowels, target_vowels)  # (n, m)
    same = source_vowels[:, None] == target_vowels[None, :]  # (n, m)

    def of_anchors(between: Tensor, positive: Tensor) -> Tensor:
        excess = torch.relu(
            between[:, :, None] - between[:, None, :] + margin
        )  # (anchor, positive, negative)
        triplets = positive[:, :, None] & ~positive[:, None, :]
        counts = triplets.sum(dim=(1, 2))
        return (excess * triplets).sum(dim=(1, 2))[counts > 0] / counts[counts > 0]

    return _mean_of_languages(of_anchors(distances, same), of_anchors(distances.T, same.T))


def contrastive_loss(
    source: Tensor, target: Tensor, source_vowels: Tensor, target_vowels: Tensor, temperature: float
) -> Tensor:
    """Supervised contrastive loss: how improbable the same vowel is among the other language's segments.

    Parameters
    ----------
    source, target, source_vowels, target_vowels
        As in `triplet_loss`.
    temperature : float, > 0
        By which cosines are divided.

    Returns
    -------
    Tensor, shape (), >= 0
        Mean over anchors of ``-1/|P| sum over positives of log(exp(cos(a, p) / t) / sum over all of the
        other language of exp(cos / t))``. Not below log |P|, because |P| positives share the probability;
        log m where all embeddings are one.

    Raises
    ------
    ValueError
        As `triplet_loss`, or if the temperature is not positive.

    >>> source, target = torch.tensor([[3., 0.]]), torch.tensor([[1., 0.], [0., 1.]])
    >>> contrastive_loss(source, target, torch.tensor([0]), torch.tensor([0, 1]), 1.0)  # log(1 + 1/e)
    tensor(0.3133)
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    cosines = _cosines(source, target, source_vowels, target_vowels) / temperature  # (n, m)
    same = source_vowels[:, None] == target_vowels[None, :]

    def of_anchors(between: Tensor, positive: Tensor) -> Tensor:
        surprise = -torch.log_softmax(between, dim=1)
        counts = positive.sum(dim=1)
        whole = (counts > 0) & (counts < positive.shape[1])
        return (surprise * positive).sum(dim=1)[whole] / counts[whole]

    return _mean_of_languages(of_anchors(cosines, same), of_anchors(cosines.T, same.T))


def _cosines(source: Tensor, target: Tensor, source_vowels: Tensor, target_vowels: Tensor) -> Tensor:
    if source.ndim != 2 or target.ndim != 2 or source.shape[1] != target.shape[1]:
        raise ValueError(
            f"source and target must have shapes (n, E) and (m, E), got {tuple(source.shape)} and "
            f"{tuple(target.shape)}"
        )
    if (len(source_vowels), len(target_vowels)) != (len(source), len(target)):
        raise ValueError(
            f"each segment needs its vowel: got {len(source_vowels)} and {len(target_vowels)} vowels for "
            f"{len(source)} and {len(target)} segments"
        )
    return nn.functional.normalize(source, dim=1) @ nn.functional.normalize(target, dim=1).T


def _mean_of_languages(source: Tensor, target: Tensor) -> Tensor:
    """Mean over the anchors of each side that has any, then over the sides."""
    means = [anchors.mean() for anchors in (source, target) if len(anchors)]
    if not means:
        raise ValueError(
            "no segment has both a segment of its vowel and one of another vowel on the other side"
        )
    return torch.stack(means).mean()

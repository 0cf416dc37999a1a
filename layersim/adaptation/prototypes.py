"""Prototypes: one point per class, to which an embedding is compared; and the episodes that teach to embed.

Conventions
-----------
- A prototype is the mean of its class's embeddings. The logits of an embedding are its negative distances to
  all prototypes over a temperature.
- ``euclidean`` is the *squared* Euclidean distance, summed over dimensions, with which a class mean is the
  best prototype; it grows with the width of the embedding. ``cosine`` is 1 - cosine, 0..2: it wants a low
  temperature (0.1, say) to tell classes apart.
- In an episode every class has as many rows as every other. Support rows make the prototypes, query rows are
  told apart by them, and no row is both.

References
----------
Snell, Swersky & Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017, eq. 1-2 and algorithm 1.
Ren et al., "Meta-Learning for Semi-Supervised Few-Shot Classification", ICLR 2018, eq. 3-4 (`refine`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Distance = Literal["euclidean", "cosine"]


@dataclass(frozen=True)
class Episode:
    """A small task drawn from labelled rows.

    Attributes
    ----------
    classes : Tensor, shape (ways,), int64
        Which classes take part.
    support, query : Tensor, shapes (ways, shots) and (ways, queries), int64
        Row numbers, the classes in the order of ``classes``.
    """

    classes: Tensor
    support: Tensor
    query: Tensor


def draw_episode(
    members: Sequence[Tensor], ways: int, shots: int, queries: int, generator: torch.Generator
) -> Episode:
    """Draw some classes, and of each some rows without replacement.

    Parameters
    ----------
    members : sequence of Tensor, each shape (N_c,), int64
        The rows of each class.
    ways : int, >= 2
        Classes in the episode.
    shots, queries : int, >= 1
        Support and query rows per class.

    Raises
    ------
    ValueError
        If there are fewer classes than ``ways``, or a class has fewer rows than ``shots + queries``.
    """
    smallest = min(len(rows) for rows in members)
    if not 2 <= ways <= len(members) or min(shots, queries) < 1 or shots + queries > smallest:
        raise ValueError(
            f"an episode of {ways} classes with {shots} support and {queries} query rows cannot be drawn "
            f"from {len(members)} classes of {smallest} rows or more"
        )
    classes = torch.randperm(len(members), generator=generator)[:ways].sort().values
    drawn = []
    for number in classes.tolist():
        order = torch.randperm(len(members[number]), generator=generator)
        drawn.append(members[number][order[: shots + queries]])
    rows = torch.stack(drawn)  # (ways, shots + queries)
    return Episode(classes, rows[:, :shots], rows[:, shots:])


def episode_loss(support: Tensor, query: Tensor, distance: Distance, temperature: float) -> Tensor:
    """Cross-entropy of the query rows, told apart by the support rows' prototypes.

    Parameters
    ----------
    support, query : Tensor, shapes (ways, shots, E) and (ways, queries, E)
        Embeddings, one class after the other.

    Returns
    -------
    Tensor, shape (), >= 0
        Mean over all query rows.

    >>> support = torch.tensor([[[0.], [2.]], [[3.], [3.]]])  # prototypes 1 and 3
    >>> episode_loss(support, torch.tensor([[[2.]], [[2.]]]), "euclidean", 1.0)  # both undecided: ln 2
    tensor(0.6931)
    """
    ways, queries, width = query.shape
    values = prototype_logits(query.reshape(-1, width), support.mean(dim=1), distance, temperature)
    return functional.cross_entropy(values, torch.arange(ways).repeat_interleave(queries))


def class_means(embeddings: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Average the embeddings of each class: (N, E) and (N,) to (C, E).

    Raises
    ------
    ValueError
        If a class has no row.
    """
    members = functional.one_hot(truth, classes).to(embeddings.dtype)  # (N, C)
    counts = members.sum(dim=0)
    if (counts == 0).any():
        raise ValueError(f"every class needs a row, got {counts.int().tolist()} rows")
    return members.T @ embeddings / counts[:, None]


def prototype_logits(
    embeddings: Tensor, prototypes: Tensor, distance: Distance, temperature: float
) -> Tensor:
    """Return negative distances over the temperature: (n, E) and (C, E) to (n, C).

    >>> points, prototypes = torch.tensor([[3., 4.]]), torch.tensor([[0., 0.], [3., 0.]])
    >>> prototype_logits(points, prototypes, "euclidean", 2.0)  # 25 and 16, over 2
    tensor([[-12.5000,  -8.0000]])
    >>> prototype_logits(points, prototypes[1:], "cosine", 0.5)  # cosine 3 / 5
    tensor([[-0.8000]])
    """
    if distance == "euclidean":
        # Not by |x|^2 - 2xy + |y|^2: that loses the digits of points that lie close together.
        apart = (embeddings[:, None, :] - prototypes[None, :, :]).square().sum(dim=2)
    else:
        apart = 1 - functional.normalize(embeddings, dim=1) @ functional.normalize(prototypes, dim=1).T
    return -apart / temperature


def refine(
    prototypes: Tensor,
    embeddings: Tensor,
    truth: Tensor,
    unlabelled: Tensor,
    distance: Distance,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Move prototypes by one step of soft k-means over labelled and unlabelled rows.

    A labelled row counts fully for its class, an unlabelled one for every class by its probability.

    Parameters
    ----------
    prototypes : Tensor, shape (C, E)
        Class means of the labelled rows.
    embeddings, truth : Tensor, shapes (N, E) and (N,)
    unlabelled : Tensor, shape (M, E)

    Returns
    -------
    prototypes : Tensor, shape (C, E)
    share : Tensor, shape (C,), sums to M
        How many unlabelled rows each class got.
    """
    soft = prototype_logits(unlabelled, prototypes, distance, temperature).softmax(dim=1)  # (M, C)
    hard = functional.one_hot(truth, len(prototypes)).to(embeddings.dtype)  # (N, C)
    total = hard.T @ embeddings + soft.T @ unlabelled
    share = soft.sum(dim=0)
    return total / (hard.sum(dim=0) + share)[:, None], share

"""What every training loop needs of random orders and of labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor


def streams(seed: int, count: int) -> list[int]:
    """Derive seeds for independent random streams; the first ones do not depend on how many are asked for."""
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(count, np.uint32)]


def batches(rows: int, batch: int, seed: int) -> Iterator[Tensor]:
    """Give batches of a random order of all rows, for ever; what fills no batch waits for a new order.

    Raises
    ------
    ValueError
        If there are fewer rows than a batch has.
    """
    if not 1 <= batch <= rows:
        raise ValueError(f"batch must be 1 to {rows} (the rows), got {batch}")
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(rows, generator=generator)
        yield from order[: rows // batch * batch].split(batch)


def class_numbers(emotions: Sequence[str], classes: Sequence[str]) -> Tensor:
    """Turn emotions into their places in the class list, shape (N,), int64.

    Raises
    ------
    ValueError
        If an emotion is not a class.
    """
    place = {name: number for number, name in enumerate(classes)}
    strange = sorted(set(emotions) - set(place))
    if strange:
        raise ValueError(f"emotions {strange} are not in classes {list(classes)}")
    return torch.tensor([place[name] for name in emotions], dtype=torch.int64)


def class_weights(truth: Tensor, classes: int) -> Tensor:
    """N / (C · N_c): every class weighs the same in the sum over the rows; 0 for an absent one.

    >>> class_weights(torch.tensor([0, 0, 0, 1]), 3)
    tensor([0.4444, 1.3333, 0.0000])
    """
    counts = torch.bincount(truth, minlength=classes).float()
    return torch.where(counts > 0, len(truth) / (classes * counts.clamp(min=1)), torch.zeros_like(counts))

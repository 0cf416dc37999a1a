"""What every training loop needs of random orders and of labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def streams(seed: int, count: int) -> list[int]:
    """Derive seeds for independent random streams; the first ones do not depend on how many are asked for."""
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(count, np.uint32)]


class Batches(Iterator[Tensor]):
    """Batches of a random order of all rows, for ever; what fills no batch waits for a new order.

    Raises
    ------
    ValueError
        If there are fewer rows than a batch has.

    >>> order = Batches(rows=5, batch=2, seed=0)
    >>> first, place = next(order), order.state_dict()
    >>> second = next(order)
    >>> order.load_state_dict(place)
    >>> torch.equal(next(order), second)
    True
    """

    def __init__(self, rows: int, batch: int, seed: int) -> None:
        if not 1 <= batch <= rows:
            raise ValueError(f"batch must be 1 to {rows} (the rows), got {batch}")
        self._rows, self._batch = rows, batch
        self._generator = torch.Generator().manual_seed(seed)
        self._draw()

    def __next__(self) -> Tensor:
        if self._taken == len(self._order):
            self._draw()
        self._taken += 1
        return self._order[self._taken - 1]

    def state_dict(self) -> dict[str, Any]:
        """Return where it stands: the generator before the present order, and the batches taken of that."""
        return {"generator": self._before, "taken": self._taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where another one with the same rows and batch stood."""
        self._generator.set_state(state["generator"])
        self._draw()
        self._taken = int(state["taken"])

    def _draw(self) -> None:
        self._before = self._generator.get_state()
        order = torch.randperm(self._rows, generator=self._generator)
        self._order: tuple[Tensor, ...] = order[: self._rows // self._batch * self._batch].split(self._batch)
        self._taken = 0


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

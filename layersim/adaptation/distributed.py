"""Training on several processes, as ``torchrun`` starts them: what each does, and what they add up.

Conventions
-----------
- One batch is shared: process r takes its rows r, r + size, r + 2 size, ..., and on every process the loss is
  that of the whole batch. (The mean of the parts' losses is another one: a covariance, or a class-weighted
  mean, of a part is not that of the whole.) What a loss needs of all rows is a sum over them, `total`.
- `total` is differentiable, and gradients are averaged over processes afterwards, as DistributedDataParallel
  does. That gives the gradient of one process with the whole batch: with ``L = f(t)``, ``t = sum of t_r``,
  each process gets ``size * f'(t) * dt_r/dw`` (the gradients of all ``size`` copies of L reach its part), and
  the mean over processes is ``f'(t) * dt/dw``.
- Weights, orders and seeds are the same everywhere, so nothing but gradients has to be sent to keep them so.
- All read, process 0 alone writes and speaks. It does so in `lead`, for which the others wait.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn, TypeVar, cast

import torch
import torch.distributed
from torch import Tensor, nn

from layersim.errors import LayersimError

Result = TypeVar("Result")

# The others wait for process 0 where it works alone; one that dies ends them all, which torchrun sees to.
_PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class Processes:
    """The processes that train together, as one of them sees them.

    Attributes
    ----------
    rank : int, 0..size - 1
        This one's number.
    size : int, >= 1
    local : int
        This one's number on its machine: which GPU is its own.
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """Return this process's part of a batch's rows."""
        return rows[self.rank :: self.size]

    def total(self, part: Tensor) -> Tensor:
        """Add a tensor up over all processes; differentiable, see the module."""
        return part if self.size == 1 else cast("Tensor", _Total.apply(part))

    def gather(self, own: Tensor, count: int) -> Tensor:
        """Put the rows of all shares in their order: `share` undone, on every process; no gradient.

        Parameters
        ----------
        own : Tensor, shape (n, ...)
            This process's share of ``count`` rows.
        """
        if self.size == 1:
            return own
        rows = own.new_zeros(count, *own.shape[1:])
        rows[self.rank :: self.size] = own.detach()
        torch.distributed.all_reduce(rows)  # to every row the others add zeros: exact
        return rows

    def average_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over processes."""
        if self.size == 1:
            return
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        for work in [torch.distributed.all_reduce(gradient, async_op=True) for gradient in gradients]:
            work.wait()
        for gradient in gradients:
            gradient.div_(self.size)

    def lead(self, action: Callable[[], Result]) -> Result:
        """Let process 0 do something; all wait, and get what came of it.

        Raises
        ------
        LayersimError
            On every process, if it was raised there.
        """
        if self.size == 1:
            return action()
        outcome: list[Any] = [None, None]
        if self.leads:
            try:
                outcome[0] = action()
            except LayersimError as error:
                outcome[1] = error
        torch.distributed.broadcast_object_list(outcome)
        if outcome[1] is not None:
            raise outcome[1]
        return cast("Result", outcome[0])

    def require_same(self, done: int) -> None:
        """Refuse to go on where the processes do not find the same number of epochs done.

        Raises
        ------
        LayersimError
        """
        expected = self.lead(lambda: done)
        if expected != done:
            raise LayersimError(
                f"process 0 goes on from epoch {expected + 1}, process {self.rank} from {done + 1}. "
                "All machines must see the workspace on one disk."
            )

    def require(self, batch: int) -> None:
        """Refuse batches that leave a process without a row.

        Raises
        ------
        LayersimError
        """
        if batch < self.size:
            raise LayersimError(
                f"batches have {batch} utterances a side, and {self.size} processes share them: each needs "
                "one at least. Raise batch (layersim.toml, [train] or [train.finetune]), or start fewer."
            )


ALONE = Processes()


@contextmanager
def join_processes() -> Iterator[Processes]:
    """Join the processes that ``torchrun`` or ``accelerate launch`` has started; without it, stay alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield Processes(torch.distributed.get_rank(), size, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        torch.distributed.destroy_process_group()


def leave() -> NoReturn:
    """End a process of several whose work is done, without taking the interpreter down first.

    Threads of gloo may outlive their group, and abort a process while the interpreter ends ("terminate called
    without an active exception"), which torchrun takes for a failure of all. That was seen once, in some
    hundred trainings, and not traced to its thread; without a teardown there is nothing to abort.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def cross_entropy(
    logits: Tensor, truth: Tensor, weight: Tensor | None = None, processes: Processes = ALONE
) -> Tensor:
    """Class-weighted mean cross-entropy of a whole batch, of which each process has its share.

    Parameters
    ----------
    logits : Tensor, shape (n, C)
    truth : Tensor, shape (n,), int64
    weight : Tensor, shape (C,), optional
        Per class; the mean is over rows, each weighted by its class.
    """
    if processes.size == 1:
        return nn.functional.cross_entropy(logits, truth, weight)
    total = nn.functional.cross_entropy(logits, truth, weight, reduction="sum")
    weights = torch.ones_like(total) * len(truth) if weight is None else weight[truth].sum()
    summed, over = processes.total(torch.stack([total, weights])).unbind()
    return summed / over


class SharedDropout(nn.Dropout):
    """Dropout that drops of a whole batch what it would drop in one process.

    Every process draws for all rows, from the same random numbers, and uses its share.
    """

    def __init__(self, share: float, rows: int, processes: Processes) -> None:
        super().__init__(share)
        self.rows, self.processes = rows, processes

    def forward(self, x: Tensor) -> Tensor:
        """Drop in training: (n, ...), of ``rows`` in the whole batch."""
        if not self.training:
            return x
        return x * self.processes.share(super().forward(x.new_ones(self.rows, *x.shape[1:])))


class _Total(torch.autograd.Function):
    """The sum over processes; so is its gradient, since every process's loss depends on every part."""

    @staticmethod
    def forward(_: Any, part: Tensor) -> Tensor:
        summed = part.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(summed)
        return summed

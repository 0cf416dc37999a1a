"""Hooks that hand over what enters or leaves a block, for as long as a ``with`` lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

Keep = Callable[[Tensor], None]


@contextmanager
def on_input(block: nn.Module, keep: Keep) -> Iterator[None]:
    """Call ``keep`` with the hidden states that enter a block."""

    def hook(_module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        keep(args[0] if args else named["hidden_states"])

    handle = block.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def on_output(block: nn.Module, keep: Keep) -> Iterator[None]:
    """Call ``keep`` with the hidden states that leave a block, which some versions wrap in a tuple."""

    def hook(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        keep(output[0] if isinstance(output, tuple) else output)

    handle = block.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()

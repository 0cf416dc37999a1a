"""What a training that was killed goes on from: all that its next epoch depends on, in one file.

Conventions
-----------
- Kept are the weights, the best epoch's weights, the record of all epochs so far, and all that *moves* from
  one epoch to the next: the optimiser, a scheduler, orders, generators, torch's own random numbers. A
  training that goes on from there ends with the bytes that it would have had.
- A file is written whole or not at all, and at most every `SECONDS`: an epoch on cached features may take
  milliseconds, and keeping it as long. A training loses no more than that, and a shorter one writes no file.
- Who keeps one says what the training depends on (`layersim.adaptation.run`); a file by itself does not.
- Files are read with ``weights_only``: one that somebody else put there runs no code.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from layersim.errors import LayersimError
from layersim.workspace import write_bytes

SECONDS = 5.0  # between two writings


class HasState(Protocol):
    """An optimiser, a scheduler, an order of batches."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that it goes on from."""

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Take it back."""


Moving = Mapping[str, HasState | torch.Generator]
"""What moves from one epoch to the next beside the network, by name."""


@dataclass(frozen=True)
class Standing:
    """Where a training stands between two epochs.

    Attributes
    ----------
    rows : list of dict
        One per epoch that is done: ``epoch`` and its losses.
    best_epoch : int
        Whose weights are the best so far; 0 as long as there are none.
    best_weights : dict of Tensor
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Checkpoint:
    """One training's file; `layersim.adaptation.loop.run_epochs` writes and reads it."""

    file: Path
    _written: float = field(default_factory=time.monotonic)

    def numbered(self, number: int) -> Checkpoint:
        """Return that of one of several trainings that follow each other."""
        return Checkpoint(self.file.with_name(f"{self.file.stem}-{number}{self.file.suffix}"))

    def is_due(self) -> bool:
        """Tell whether it is time to write again."""
        return time.monotonic() - self._written >= SECONDS

    def write(self, standing: Standing, network: nn.Module, moving: Moving) -> None:
        """Keep where a training stands."""
        content = io.BytesIO()
        torch.save(
            {
                "rows": json.dumps(standing.rows),  # floats as text: exact, and NaN is among them
                "best_epoch": standing.best_epoch,
                "best_weights": standing.best_weights,
                "network": network.state_dict(),
                "moving": {name: _state(thing) for name, thing in moving.items()},
                "random": torch.get_rng_state(),
            },
            content,
        )
        write_bytes(self.file, content.getvalue())
        self._written = time.monotonic()

    def read(self, network: nn.Module, moving: Moving) -> Standing | None:
        """Bring a training to where the file says it stood; None if there is no file.

        Raises
        ------
        LayersimError
            If the file cannot be read, or is of another training.
        """
        if not self.file.is_file():
            return None
        try:
            found: dict[str, Any] = torch.load(self.file, weights_only=True)
            network.load_state_dict(found["network"])
            for name, thing in moving.items():
                _load(thing, found["moving"][name])
            torch.set_rng_state(found["random"])
            return Standing(json.loads(found["rows"]), found["best_epoch"], found["best_weights"])
        except Exception as error:  # zip, pickle and each part have errors of their own
            raise LayersimError(
                f"{self.file}: the epochs kept there cannot be read ({error}). Delete the file; the training "
                "then begins anew."
            ) from error


def _state(thing: HasState | torch.Generator) -> Any:
    return thing.get_state() if isinstance(thing, torch.Generator) else thing.state_dict()


def _load(thing: HasState | torch.Generator, state: Any) -> None:
    if isinstance(thing, torch.Generator):
        thing.set_state(state)
    else:
        thing.load_state_dict(state)

"""What `test_distributed` compares: done by one process, or by two under torchrun (``FILE ENCODER``)."""

from __future__ import annotations

import runpy
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from layersim.adaptation import checkpoint
from layersim.adaptation.anchored import learn_anchored
from layersim.adaptation.checkpoint import Checkpoint
from layersim.adaptation.coral import summed_coral
from layersim.adaptation.distributed import Processes, cross_entropy, join_processes, leave
from layersim.adaptation.finetune.anchored import learn_anchored_finetune
from layersim.adaptation.finetune.audio import FinetuneTask, UnlabelledAudio
from layersim.adaptation.finetune.settings import FinetuneConfig
from layersim.adaptation.pair import read_pair
from layersim.adaptation.settings import TrainConfig
from layersim.encoders.load import load_encoder
from layersim.errors import LayersimError
from layersim.workspace import Progress, no_progress

CLASSES = ("anger", "happiness", "neutral", "sadness")
FOLDER = Path(__file__).parent
FORMS = ("frobenius", "squared")


class Two(nn.Module):
    """Two layers' projections and a classifier on the first."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.ModuleList(nn.Linear(5, 3) for _ in range(2))
            self.classes = nn.Linear(3, 4)

    def forward(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ours, theirs = (
            torch.stack([layer(rows) for layer in self.layers], dim=1) for rows in (source, target)
        )
        return self.classes(ours[:, 0]), ours, theirs


def losses(processes: Processes, form: Any, wrapped: bool) -> dict[str, Tensor]:
    """The loss of a batch of 11 and 7 rows far from zero, and every gradient; float64."""
    draws = torch.Generator().manual_seed(1)
    source, target = (100 + torch.randn(rows, 5, generator=draws).double() for rows in (11, 7))
    truth = torch.arange(11) % 4
    network = Two().double()
    called = nn.parallel.DistributedDataParallel(network) if wrapped and processes.size > 1 else network
    logits, ours, theirs = called(processes.share(source), processes.share(target))
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0]).double()
    loss = cross_entropy(logits, processes.share(truth), weight, processes)
    loss = loss + cross_entropy(logits, processes.share(truth), None, processes)
    loss = loss + 0.3 * summed_coral(ours, theirs, form, processes)
    loss.backward()
    if called is network:
        processes.average_gradients(network.parameters())
    return {"loss": loss.detach(), **{name: part.grad for name, part in network.named_parameters()}}


def cached(
    processes: Processes, kept: Checkpoint | None = None, progress: Progress = no_progress
) -> dict[str, Tensor]:
    """Layer anchoring on cached features, dropout as by default, batches that do not divide."""
    make_corpus = runpy.run_path(str(FOLDER.parent / "conftest.py"))["make_corpus"]
    data = read_pair(
        make_corpus("german", seed=1), make_corpus("english", seed=2), ("2", "3"), CLASSES, "corpus"
    )
    config = TrainConfig(epochs=3, batch=13, projection=5)
    learned = learn_anchored(data.task(CLASSES), config, 7, progress, kept=kept, processes=processes)
    return results(learned, learned.probabilities(data.target_test.features))


def resumed(processes: Processes, folder: Path) -> dict[str, Tensor]:
    """The same, stopped after two of three epochs and begun again."""

    def stop(_label: str, done: float, _total: float) -> None:
        if done == 2:
            raise InterruptedError

    checkpoint.SECONDS = 0.0
    kept = Checkpoint(folder / "training.pt")
    with suppress(InterruptedError):
        cached(processes, kept, stop)
    processes.lead(lambda: None)  # here the first has written its last epoch, which all are to read
    return cached(processes, kept)


def finetuned(processes: Processes, encoder: str, mode: Any) -> dict[str, Tensor]:
    """The same with an encoder that is trained, nothing dropped."""
    tones = runpy.run_path(str(FOLDER / "conftest.py"))["tones"]
    target = tones(7, 3)
    task = FinetuneTask(
        tones(8, 1), tones(5, 2), UnlabelledAudio(target.keys, target.waveforms), ("anger", "sadness")
    )
    config = FinetuneConfig(
        epochs=2, batch=5, crop_seconds=0.2, projection=5, mode=mode, dropout=0.0, lora_dropout=0.0,
        gamma=0.01, encoder_learning_rate=1e-3, lora_learning_rate=1e-2, accumulate=2, measure="epoch",
    )  # fmt: skip
    learned = learn_anchored_finetune(task, load_encoder(encoder), ("1", "2"), config, 7, processes=processes)
    return results(learned, learned.probabilities(tones(3, 9).waveforms))


def results(learned: Any, probabilities: Any) -> dict[str, Tensor]:
    state = {name: value.clone() for name, value in learned.network.state_dict().items()}
    curves = torch.tensor(learned.curves.to_numpy(dtype=float))
    return {**state, "curves": curves, "probabilities": torch.tensor(probabilities)}


def failures(processes: Processes) -> list[str]:
    """What processes hear of an error of the first one, and of batches too small to share."""

    def fail() -> None:
        raise LayersimError("a full disk")

    said = []
    for attempt in (lambda: processes.lead(fail), lambda: processes.require(1)):
        try:
            attempt()
        except LayersimError as error:
            said.append(str(error))
    return said


def work(processes: Processes, encoder: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        f"{form} {'DDP' if wrapped else 'plain'}": losses(processes, form, wrapped)
        for form in FORMS
        for wrapped in (False, True)
    }
    found["cached"] = cached(processes)
    found |= {mode: finetuned(processes, encoder, mode) for mode in ("full", "lora")}
    return found


if __name__ == "__main__":
    with join_processes() as joined:
        rows = torch.arange(7)
        content = {
            "size": joined.size,
            "work": work(joined, sys.argv[2]),
            "gathered": joined.gather(joined.share(rows), 7),
            "failures": failures(joined),
            "resumed": resumed(joined, Path(sys.argv[1]).parent),
        }
        torch.save(content, f"{sys.argv[1]}.{joined.rank}")
    leave()

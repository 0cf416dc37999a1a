"""One run: a method, a seed, and the folder with everything that came of it."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from layersim.adaptation.checkpoint import Checkpoint
from layersim.adaptation.distributed import ALONE, Processes
from layersim.adaptation.evaluate import domain_statistics, predict_part, score
from layersim.adaptation.method import Method
from layersim.adaptation.model_file import FILE_NAME, ModelDescription, TrainedModel, save_model
from layersim.adaptation.network import AnchoredClassifier
from layersim.adaptation.pair import PairData
from layersim.adaptation.settings import TrainConfig
from layersim.adaptation.task import Learned
from layersim.documents import read_frame, require_form
from layersim.errors import LayersimError
from layersim.figures.confusion import confusion_matrix
from layersim.figures.curves import training_curves
from layersim.figures.save import save
from layersim.metrics import uar
from layersim.provenance import RUN, write_run
from layersim.settings import Settings
from layersim.workspace import Progress, read_json, write_json, write_text

if TYPE_CHECKING:
    from layersim.adaptation.finetune.audio import LearnedFromAudio

METRICS, PREDICTIONS, CURVES = "metrics.json", "predictions.csv", "curves.csv"
EPOCHS, REQUEST = "epochs", "request.json"

logger = logging.getLogger(__name__)

# Settings that a single run does not depend on, beyond what its request says in their place.
_ELSEWHERE = {"anchors", "methods", "emotions", "seeds", "seed", "standardise"}
_OF_CORAL = {"gamma"}


@dataclass(frozen=True)
class Run:
    """What one run is asked to do.

    Attributes
    ----------
    bootstraps : int
        Speaker replicates of the interval.
    inputs : mapping
        Name to hash of everything that is read.
    encoder : mapping
        The description of the encoder, or of the acoustic features.
    folder : Path
        Where it writes.
    """

    method: Method
    seed: int
    classes: tuple[str, ...]
    batch: int
    bootstraps: int
    inputs: Mapping[str, str]
    source: str
    target: str
    encoder: Mapping[str, Any]
    folder: Path

    @property
    def settings(self) -> Settings[Any]:
        """The method's."""
        return self.method.settings

    def request(self) -> dict[str, Any]:
        """Everything but the inputs that the results depend on."""
        left_out = _ELSEWHERE if self.method.coral else _ELSEWHERE | _OF_CORAL
        if not isinstance(self.settings.config, TrainConfig):
            left_out = set()
        request = {
            "method": self.method.name,
            "layers": list(self.method.layers),
            "standardise": self.method.standardise,
            "seed": self.seed,
            "emotions": list(self.classes),
            "batch_used": self.batch,
            "encoder": dict(self.encoder),
            "bootstraps": self.bootstraps,
            **self.settings.config.model_dump(mode="json", exclude=left_out),
        }
        if self.method.self_training is not None:
            request["self_training"] = self.method.self_training.config.model_dump(mode="json")
        return request

    def what_changed(self) -> str | None:
        """Compare the folder with what is asked: None if it is finished alike, "" if it is not finished.

        Otherwise says which settings or inputs differ, with both values of a setting.
        """
        if not (self.folder / RUN).is_file():
            return ""
        found = read_json(self.folder / RUN)
        form = {"results": ({"files": ([str], ...), "request": (dict, ...)}, ...), "inputs": (dict, ...)}
        require_form(found, form, str(self.folder / RUN), "Replace it, and all like it, with --force.")
        results = found.get("results", {})
        if not all((self.folder / name).is_file() for name in results.get("files", ())):
            return ""
        return self.differences(results.get("request", {}), found.get("inputs", {})) or None

    def differences(self, before: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
        """Say in what an earlier request and its inputs differ from these, with both values of a setting."""
        asked = json.loads(json.dumps(self.request()))
        changed = [
            f"{name} was {before.get(name)!r}, is {asked.get(name)!r}"
            for name in sorted(before.keys() | asked.keys())
            if before.get(name) != asked.get(name)
        ]
        changed += [
            f"{name} changed"
            for name in sorted(inputs.keys() | self.inputs.keys())
            if inputs.get(name) != self.inputs.get(name)
        ]
        return "; ".join(changed)

    def is_wanted(self, force: bool) -> bool:
        """Tell whether there is anything to train: with ``force`` always, else unless it is finished alike.

        Raises
        ------
        LayersimError
            If the folder holds a model that was trained differently, and ``force`` is not set.
        """
        changed = self.what_changed()
        if changed and not force:
            raise LayersimError(
                f"{self.folder}: holds a model that was trained differently ({changed}). Replace it, and "
                "all like it, with --force."
            )
        return force or changed is not None

    @property
    def epochs(self) -> Path:
        """Where epochs are kept while it is trained, beside what was asked for."""
        return self.folder / EPOCHS

    def begun_otherwise(self) -> str:
        """Say in what a training that was begun and not finished differs from this one; "" if in nothing."""
        if not (self.epochs / REQUEST).is_file():
            return ""
        begun = read_json(self.epochs / REQUEST)
        form = {"request": dict, "inputs": dict}
        require_form(begun, form, str(self.epochs / REQUEST), f"Delete {self.epochs}.")
        return self.differences(begun["request"], begun["inputs"])

    def begin(self) -> None:
        """From here on the folder is not finished; what was begun there alike is kept, to go on from."""
        (self.folder / RUN).unlink(missing_ok=True)
        remove_unfinished(self.folder)
        if not (self.epochs / REQUEST).is_file():  # epochs alone could be of anything
            self.forget_epochs()
        write_json(self.epochs / REQUEST, {"request": self.request(), "inputs": dict(self.inputs)})

    def forget_epochs(self) -> None:
        """Remove what was kept to go on from."""
        shutil.rmtree(self.epochs, ignore_errors=True)

    def train(self, data: PairData, progress: Progress, processes: Processes = ALONE) -> None:
        """Train, score, and write the folder; ``run.json`` comes last.

        A training that was killed goes on from the epochs that it kept.

        Parameters
        ----------
        processes : Processes
            Those that call this alike. Where they cannot share the method's batches, the first does it all.
        """
        if processes.size > 1 and not self.method.definition.shared:
            return processes.lead(lambda: self.train(data, progress))
        processes.lead(self._begin_anew)
        learned = self.method.learn(
            data.task(self.classes), self.seed, progress,
            kept=Checkpoint(self.epochs / "training.pt"), processes=processes,
        )  # fmt: skip
        return processes.lead(lambda: self._finish(learned, data))

    def _begin_anew(self) -> None:
        """Begin, and give up what was begun otherwise: on cached features that is minutes."""
        if changed := self.begun_otherwise():
            logger.warning("%s: gives up what was begun otherwise, not finished: %s", self.folder, changed)
            self.forget_epochs()
        self.begin()

    def _finish(self, learned: Learned, data: PairData) -> None:
        validated = predict_part(learned.probabilities, data.source_validation, self.classes)
        self.write(
            learned,
            predict_part(learned.probabilities, data.target_test, self.classes),
            {
                "uar": uar(validated["emotion"].tolist(), validated["predicted"].tolist()),
                "counts": data.source_validation.counts(self.classes),
            },
            self._save_model(learned, data),
            self._domain(learned, data),
            data.notes,
        )

    def write(
        self,
        learned: Learned | LearnedFromAudio,
        tested: pd.DataFrame,
        validation: Mapping[str, Any],
        files: Sequence[str],
        domain: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """Score a training and write the folder; ``run.json`` comes last.

        Parameters
        ----------
        tested : DataFrame
            The prediction table of the target's test set.
        validation : mapping
            ``uar`` and ``counts`` of the source's validation split.
        files : sequence of str
            What has been written of the model, in the folder.
        domain : mapping, optional
            See `domain_statistics`.
        """
        scores = score(tested, self.classes, self.bootstraps)
        metrics = {
            "method": self.method.name,
            "seed": self.seed,
            "layers": list(self.method.layers),
            "best_epoch": learned.best_epoch,
            "epochs": None if learned.curves is None else len(learned.curves),
            "target_test": scores,
            "source_validation": dict(validation),
            "training": _at_best(learned),
            "domain": domain,
            "details": dict(learned.details),
        }
        written = [METRICS, PREDICTIONS, *files]
        write_json(self.folder / METRICS, metrics)
        write_text(self.folder / PREDICTIONS, tested.to_csv(index=False, lineterminator="\n"))
        if learned.curves is not None:
            write_text(self.folder / CURVES, learned.curves.to_csv(index=False, lineterminator="\n"))
            written.append(CURVES)
        self._draw(learned, scores["confusion"])
        study = {"source": self.source, "target": self.target, "encoder": str(self.encoder["checkpoint"])}
        if self.method.finetune is not None:
            study |= {"methods": self.method.word, "finetune": self.method.finetune}
        write_run(
            self.folder,
            "train",
            study,
            self.settings,
            self.inputs,
            {"request": self.request(), "uar": scores["uar"], "files": written},
            notes,
        )

    def _save_model(self, learned: Learned, data: PairData) -> list[str]:
        """Write a network that `layersim predict` can use, if it is an `AnchoredClassifier`."""
        if not isinstance(learned.network, AnchoredClassifier):
            return []
        description = ModelDescription(
            method=self.method.name,
            classes=self.classes,
            layers=self.method.layers,
            width=data.source_train.features.shape[2],
            projection=self.settings.config.projection,
            source=self.source,
            target=self.target,
            encoder=dict(self.encoder),
        )
        model = TrainedModel(description, learned.network, data.target_statistics)
        save_model(self.folder / FILE_NAME, model)
        return [FILE_NAME]

    def _domain(self, learned: Learned, data: PairData) -> dict[str, Any] | None:
        if not isinstance(learned.network, AnchoredClassifier):
            return None
        form = self.settings.config.coral
        return domain_statistics(learned.network, data, self.method.layers, form)

    def _draw(self, learned: Learned | LearnedFromAudio, counts: list[list[int]]) -> None:
        name = f"{self.method.folder}, {self.source} → {self.target}, seed {self.seed}"
        if learned.curves is not None:
            drawn = training_curves(learned.curves, name, chosen_epoch=learned.best_epoch)
            save(drawn, self.folder / "curves")
        save(confusion_matrix(counts, self.classes, name), self.folder / "confusion")


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process was writing."""
    for file in folder.glob(".*.tmp"):
        file.unlink(missing_ok=True)


def read_predictions(folder: Path, name: str = PREDICTIONS) -> pd.DataFrame:
    """Read back a run's prediction table.

    Raises
    ------
    LayersimError
        If it is gone, no table, or lacks a column.
    """
    names = ("utterance", "speaker", "emotion", "predicted")
    return read_frame(folder / name, names, "Make it again with --force.")


def _at_best(learned: Learned | LearnedFromAudio) -> dict[str, float | None]:
    """Return the losses of the kept epoch; None where a method has none."""
    if learned.curves is None or learned.best_epoch is None:
        return {}
    row = learned.curves.iloc[learned.best_epoch - 1]
    return {
        str(name): None if math.isnan(value) else float(value)
        for name, value in row.items()
        if name != "epoch"
    }

"""One run: a method, a seed, and the folder with everything that came of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from layersim.adaptation.data import PairData
from layersim.adaptation.evaluate import domain_statistics, predict_part, score
from layersim.adaptation.fit import Fit, fit
from layersim.adaptation.method import Method
from layersim.adaptation.model_file import FILE_NAME, ModelDescription, TrainedModel, save_model
from layersim.adaptation.settings import TrainConfig
from layersim.figures.confusion import confusion_matrix
from layersim.figures.curves import training_curves
from layersim.figures.save import save
from layersim.metrics import uar
from layersim.provenance import RUN, write_run
from layersim.settings import Settings
from layersim.workspace import Progress, read_json, write_json, write_text

METRICS, PREDICTIONS, CURVES = "metrics.json", "predictions.csv", "curves.csv"

# Settings that a single run does not depend on, beyond what its request says in their place.
_ELSEWHERE = {"anchors", "methods", "emotions", "seeds", "seed", "standardise"}
_OF_CORAL = {"gamma"}


@dataclass(frozen=True)
class Run:
    """What one run is asked to do.

    Attributes
    ----------
    inputs : mapping
        Name to hash of everything that is read.
    encoder : mapping
        The encoder's description.
    folder : Path
        Where it writes.
    """

    method: Method
    seed: int
    classes: tuple[str, ...]
    batch: int
    settings: Settings[TrainConfig]
    inputs: Mapping[str, str]
    source: str
    target: str
    encoder: Mapping[str, Any]
    folder: Path

    def request(self) -> dict[str, Any]:
        """Everything but the inputs that the results depend on."""
        left_out = _ELSEWHERE if self.method.coral else _ELSEWHERE | _OF_CORAL
        return {
            "method": self.method.name,
            "layers": list(self.method.layers),
            "standardise": self.method.standardise,
            "seed": self.seed,
            "emotions": list(self.classes),
            "batch_used": self.batch,
            "encoder": dict(self.encoder),
            **self.settings.config.model_dump(mode="json", exclude=left_out),
        }

    def what_changed(self) -> str | None:
        """Compare the folder with what is asked: None if it is finished alike, "" if it is not finished.

        Otherwise says which settings or inputs differ, with both values of a setting.
        """
        if not all((self.folder / name).is_file() for name in (RUN, FILE_NAME, METRICS, PREDICTIONS, CURVES)):
            return ""
        found = read_json(self.folder / RUN)
        asked = json.loads(json.dumps(self.request()))
        before = found.get("results", {}).get("request", {})
        changed = [
            f"{name} was {before.get(name)!r}, is {asked.get(name)!r}"
            for name in sorted(before.keys() | asked.keys())
            if before.get(name) != asked.get(name)
        ]
        inputs = found.get("inputs", {})
        changed += [
            f"{name} changed"
            for name in sorted(inputs.keys() | self.inputs.keys())
            if inputs.get(name) != self.inputs.get(name)
        ]
        return "; ".join(changed) or None

    def train(self, data: PairData, progress: Progress) -> None:
        """Train, score, and write the folder; ``run.json`` comes last."""
        (self.folder / RUN).unlink(missing_ok=True)  # from here on the folder is not finished
        config = self.settings.config
        fitted = fit(
            data.source_train,
            data.source_validation,
            data.target_train if self.method.coral else None,
            self.classes,
            self.batch,
            config,
            self.seed,
            progress,
        )
        description = ModelDescription(
            method=self.method.name,
            classes=self.classes,
            layers=self.method.layers,
            width=data.source_train.features.shape[2],
            projection=config.projection,
            source=self.source,
            target=self.target,
            encoder=dict(self.encoder),
        )
        save_model(self.folder / FILE_NAME, TrainedModel(description, fitted.network, data.target_statistics))
        validated = predict_part(fitted.network, data.source_validation, self.classes)
        tested = predict_part(fitted.network, data.target_test, self.classes)
        scores = score(tested, self.classes, config.bootstraps)
        metrics = {
            "method": self.method.name,
            "seed": self.seed,
            "layers": list(self.method.layers),
            "best_epoch": fitted.best_epoch,
            "epochs": len(fitted.curves),
            "target_test": scores,
            "source_validation": {
                "uar": uar(validated["emotion"].tolist(), validated["predicted"].tolist()),
                "counts": data.source_validation.counts(self.classes),
            },
            "training": _at_best(fitted),
            "domain": domain_statistics(fitted.network, data, self.method.layers, config.coral),
        }
        write_json(self.folder / METRICS, metrics)
        write_text(self.folder / PREDICTIONS, tested.to_csv(index=False, lineterminator="\n"))
        write_text(self.folder / CURVES, fitted.curves.to_csv(index=False, lineterminator="\n"))
        self._draw(fitted, scores["confusion"])
        write_run(
            self.folder,
            "train",
            {"source": self.source, "target": self.target, "encoder": str(self.encoder["checkpoint"])},
            self.settings,
            self.inputs,
            {"request": self.request(), "uar": scores["uar"]},
        )

    def _draw(self, fitted: Fit, counts: list[list[int]]) -> None:
        name = f"{self.method.folder}, {self.source} → {self.target}, seed {self.seed}"
        save(training_curves(fitted.curves, name, chosen_epoch=fitted.best_epoch), self.folder / "curves")
        save(confusion_matrix(counts, self.classes, name), self.folder / "confusion")


def read_predictions(folder: Path) -> pd.DataFrame:
    """Read back a run's prediction table."""
    names = ("utterance", "speaker", "emotion", "predicted")
    return pd.read_csv(folder / PREDICTIONS, dtype=dict.fromkeys(names, str), keep_default_na=False)


def _at_best(fitted: Fit) -> dict[str, float | None]:
    """Return the losses of the kept epoch; None where a method has none."""
    row = fitted.curves.iloc[fitted.best_epoch - 1]
    return {
        name: None if math.isnan(row[name]) else float(row[name])
        for name in ("cross_entropy", "coral", "gamma_coral", "coral_floor")
    }
